//! Signing certificates of users: Upload, Update, Delete, List. They are kept and shown; nothing here is signed
//! with them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_kernel::{Checks, Cx, Ids, OperationRow, Permit, Reply, directory::kind};
use tenantry_store::{Batch, Expect, Row};

use super::{
    der, entity, error,
    owned::{self, Owner},
    quota,
    users::{OwnInput, resolve_own},
};
use tenantry_kernel::operation;

/// A stored certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub id: String,
    body: String,
    pub status: String,
    pub uploaded: Timestamp,
}

fn shown(owner: &Owner, it: &Certificate) -> Value {
    json!({
        "UserName": owner.user.name, "CertificateId": it.id, "CertificateBody": it.body, "Status": it.status, "UploadDate": it.uploaded,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UploadInput {
    #[serde(flatten)]
    own: OwnInput,
    certificate_body: String,
}

async fn resolve_upload(cx: &Cx, action: &'static str, input: &UploadInput) -> Result<Checks> {
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn upload(cx: &Cx, permit: Permit<UploadSigningCertificate>, input: UploadInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let bytes = der::from_pem(&input.certificate_body, "CERTIFICATE").filter(|bytes| der::is_certificate(bytes));
    let bytes =
        bytes.ok_or_else(|| AwsError::new(400, "MalformedCertificate", "Certificate body is not a PEM-encoded X.509 certificate."))?;
    let before = owner.all::<Certificate>(cx, kind::SIGNING_CERTIFICATE).await?;
    if before.iter().any(|(_, it)| der::from_pem(&it.body, "CERTIFICATE").as_ref() == Some(&bytes)) {
        return Err(AwsError::new(409, "DuplicateCertificate", "The certificate is already associated with the user."));
    }
    if before.len() >= quota::SIGNING_CERTIFICATES {
        return Err(error::quota("SigningCertificatesPerUser", quota::SIGNING_CERTIFICATES));
    }
    let it = Certificate {
        id: format!("{}{}", Ids::access_key(""), Ids::access_key("")),
        body: input.certificate_body,
        status: "Active".to_owned(),
        uploaded: cx.now(),
    };
    let mut batch = Batch::new();
    owner.hold(&mut batch);
    batch.put(owner.row(cx, kind::SIGNING_CERTIFICATE, &it.id).with(&it)?, Expect::Absent);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(json!({ "Certificate": shown(&owner, &it) }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CertificateInput {
    #[serde(flatten)]
    own: OwnInput,
    certificate_id: String,
    #[serde(default)]
    status: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &CertificateInput) -> Result<Checks> {
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn find(cx: &Cx, owner: &Owner, id: &str) -> Result<(Row, Certificate)> {
    let found = owner.one(cx, kind::SIGNING_CERTIFICATE, id).await?;
    found.ok_or_else(|| error::no_such_entity(format!("The Certificate with id {id} cannot be found.")))
}

async fn update(cx: &Cx, permit: Permit<UpdateSigningCertificate>, input: CertificateInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let (mut row, mut it) = find(cx, &owner, &input.certificate_id).await?;
    it.status = owned::status(&input.status)?;
    row.set_body(&it)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeleteSigningCertificate>, input: CertificateInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let (row, _) = find(cx, &owner, &input.certificate_id).await?;
    let mut batch = Batch::new();
    owned::delete(&mut batch, &row);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, permit: Permit<ListSigningCertificates>, input: owned::ListInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.user_name.as_ref()).await?;
    let all = owner.all::<Certificate>(cx, kind::SIGNING_CERTIFICATE).await?;
    let items = all.into_iter().map(|(row, it)| (row.id, shown(&owner, &it))).collect();
    entity::answer("Certificates", items, input.marker.as_deref(), input.max_items)
}

operation!("iam", UploadSigningCertificate, ["user"], UploadInput, resolve_upload, upload);
operation!("iam", UpdateSigningCertificate, ["user"], CertificateInput, resolve, update);
operation!("iam", DeleteSigningCertificate, ["user"], CertificateInput, resolve, delete);
operation!("iam", ListSigningCertificates, ["user"], owned::ListInput, owned::resolve_list, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<UploadSigningCertificate>(),
    OperationRow::of::<UpdateSigningCertificate>(),
    OperationRow::of::<DeleteSigningCertificate>(),
    OperationRow::of::<ListSigningCertificates>(),
];
