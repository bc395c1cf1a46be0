//! Service-specific credentials: a user name and a password for services that take no signatures, such as git over
//! HTTPS. Create, List, Update, Reset, Delete.
//!
//! The password is made here, answered once and stored as a secret. User names are unique among all accounts, so
//! that the service finds the credential by them.
//!
//! Source: "Service-specific credentials for IAM users", IAM User Guide.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Scope, Secret, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{User, kind},
};
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use super::{
    entity, error,
    owned::{self, Owner},
    quota,
    users::{OwnInput, resolve_own},
};
use tenantry_kernel::operation;

/// Services that take such credentials.
const SERVICES: [&str; 2] = ["codecommit.amazonaws.com", "cassandra.amazonaws.com"];
/// Who holds a user name: `service user` -> account.
const NAMES: &str = "service-credential";

/// A stored credential, without its password.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Credential {
    id: String,
    service: String,
    name: String,
    status: String,
    created: Timestamp,
}

impl Credential {
    fn secret(&self) -> String {
        format!("service-credential/{}", self.id)
    }
    fn unique(&self) -> String {
        format!("{} {}", self.service, self.name)
    }
    fn shown(&self, user: &User) -> Value {
        json!({
            "UserName": user.name, "Status": self.status, "ServiceUserName": self.name, "CreateDate": self.created,
            "ServiceSpecificCredentialId": self.id, "ServiceName": self.service,
        })
    }
    fn with_password(&self, user: &User, password: &str) -> Value {
        let mut value = self.shown(user);
        value["ServicePassword"] = json!(password);
        json!({ "ServiceSpecificCredential": value })
    }
}

/// 44 characters, like AWS's.
fn password() -> String {
    format!("{}=", Ids::token(43))
}

fn supported(service: &str) -> Result<()> {
    let text = || format!("No such service {service} is supported for Service Specific Credentials");
    if SERVICES.contains(&service) { Ok(()) } else { Err(AwsError::new(404, "NotSupportedService", text())) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    #[serde(flatten)]
    own: OwnInput,
    service_name: String,
    credential_age_days: Option<u32>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let checks = resolve_own(cx, action, input.own.user_name.as_ref()).await?;
    let keyed = |check: &Check| {
        check
            .clone()
            .key("iam:ServiceSpecificCredentialServiceName", input.service_name.as_str())
            .key_if("iam:ServiceSpecificCredentialAgeDays", input.credential_age_days.map(|days| days.to_string()))
    };
    Ok(checks.iter().map(keyed).collect())
}

async fn create(cx: &Cx, permit: Permit<CreateServiceSpecificCredential>, input: CreateInput) -> Result<Reply> {
    supported(&input.service_name)?;
    if input.credential_age_days.is_some() {
        return Err(error::validation(format!("CredentialAgeDays is not supported for {}.", input.service_name)));
    }
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let owner = Owner::find(cx, &scope, input.own.user_name.as_ref()).await?;
        let before = owner.all::<Credential>(cx, kind::SERVICE_CREDENTIAL).await?;
        let names: Vec<&str> = before.iter().filter(|(_, it)| it.service == input.service_name).map(|(_, it)| it.name.as_str()).collect();
        if names.len() >= quota::SERVICE_CREDENTIALS {
            return Err(error::quota("ServiceSpecificCredentialsPerUser", quota::SERVICE_CREDENTIALS));
        }
        let name = free_name(cx, &scope, &owner.user, &input.service_name).await?;
        let it = Credential {
            id: Ids::unique("ACCA"),
            service: input.service_name.clone(),
            name,
            status: "Active".to_owned(),
            created: cx.now(),
        };
        let password = password();
        let mut batch = Batch::new();
        owner.hold(&mut batch);
        batch.claim_unique(NAMES, it.unique(), scope.account.to_string());
        batch.put_secret(it.secret(), Secret::new(password.clone()));
        batch.put(owner.row(cx, kind::SERVICE_CREDENTIAL, &it.id).with(&it)?, Expect::Absent);
        match cx.commit(batch).await {
            Ok(()) => return Ok(it.with_password(&owner.user, &password).into()),
            Err(CommitError::Conflict { .. } | CommitError::UniqueTaken { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

/// `ann-at-111122223333`, `ann+1-at-111122223333`, …: the first that nobody has. A user's names stay where the
/// user gets another.
async fn free_name(cx: &Cx, scope: &Scope, user: &User, service: &str) -> Result<String> {
    let mut at = 0;
    loop {
        let number = if at == 0 { String::new() } else { format!("+{at}") };
        let name = format!("{}{number}-at-{}", user.name, scope.account);
        if cx.kernel.store().unique(NAMES, &format!("{service} {name}")).await?.is_none() {
            return Ok(name);
        }
        at += 1;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CredentialInput {
    #[serde(flatten)]
    own: OwnInput,
    service_specific_credential_id: String,
    #[serde(default)]
    status: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &CredentialInput) -> Result<Checks> {
    let checks = resolve_own(cx, action, input.own.user_name.as_ref()).await?;
    let row = cx.kernel.store().get(kind::SERVICE_CREDENTIAL, &cx.global(), &input.service_specific_credential_id).await?;
    let service = row.as_ref().map(Row::body::<Credential>).transpose()?.map(|it| it.service);
    Ok(checks.iter().map(|check| check.clone().key_if("iam:ServiceSpecificCredentialServiceName", service.as_deref())).collect())
}

async fn find(cx: &Cx, scope: &Scope, input: &CredentialInput) -> Result<(Owner, Row, Credential)> {
    let owner = Owner::find(cx, scope, input.own.user_name.as_ref()).await?;
    let id = &input.service_specific_credential_id;
    let found = owner.one(cx, kind::SERVICE_CREDENTIAL, id).await?;
    let (row, it) = found.ok_or_else(|| error::no_such_entity(format!("No such credential {id} exists")))?;
    Ok((owner, row, it))
}

async fn update(cx: &Cx, permit: Permit<UpdateServiceSpecificCredential>, input: CredentialInput) -> Result<Reply> {
    let (_, mut row, mut it) = find(cx, &permit.global(), &input).await?;
    it.status = owned::status(&input.status)?;
    row.set_body(&it)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn reset(cx: &Cx, permit: Permit<ResetServiceSpecificCredential>, input: CredentialInput) -> Result<Reply> {
    let (owner, row, it) = find(cx, &permit.global(), &input).await?;
    let password = password();
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    batch.put_secret(it.secret(), Secret::new(password.clone()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(it.with_password(&owner.user, &password).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteServiceSpecificCredential>, input: CredentialInput) -> Result<Reply> {
    let (_, row, it) = find(cx, &permit.global(), &input).await?;
    let mut batch = Batch::new();
    owned::delete(&mut batch, &row);
    batch.release_unique(NAMES, it.unique());
    batch.delete_secret(it.secret());
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    #[serde(flatten)]
    own: OwnInput,
    service_name: Option<String>,
    #[serde(default)]
    all_users: bool,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    if input.all_users {
        return Ok(Check::on(action, cx.global_arn("iam", "user/*")).into());
    }
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn list(cx: &Cx, permit: Permit<ListServiceSpecificCredentials>, input: ListInput) -> Result<Reply> {
    let scope = permit.global();
    if let Some(service) = &input.service_name {
        supported(service)?;
    }
    let users = if input.all_users {
        entity::all::<User>(cx, &scope).await?
    } else {
        vec![Owner::find(cx, &scope, input.own.user_name.as_ref()).await?.user]
    };
    let mut items = Vec::new();
    for row in cx.kernel.store().list(&List::of(kind::SERVICE_CREDENTIAL, &scope)).await? {
        let it: Credential = row.body()?;
        let wanted = input.service_name.as_ref().is_none_or(|service| *service == it.service);
        if let Some(user) = users.iter().find(|user| user.id == row.parent && wanted) {
            items.push((row.id, it.shown(user)));
        }
    }
    entity::answer("ServiceSpecificCredentials", items, input.marker.as_deref(), input.max_items)
}

operation!(
    "iam",
    CreateServiceSpecificCredential,
    ["user"] + ["iam:ServiceSpecificCredentialServiceName", "iam:ServiceSpecificCredentialAgeDays"],
    CreateInput,
    resolve_create,
    create
);
operation!(
    "iam",
    UpdateServiceSpecificCredential,
    ["user"] + ["iam:ServiceSpecificCredentialServiceName"],
    CredentialInput,
    resolve,
    update
);
operation!("iam", ResetServiceSpecificCredential, ["user"] + ["iam:ServiceSpecificCredentialServiceName"], CredentialInput, resolve, reset);
operation!(
    "iam",
    DeleteServiceSpecificCredential,
    ["user"] + ["iam:ServiceSpecificCredentialServiceName"],
    CredentialInput,
    resolve,
    delete
);
operation!("iam", ListServiceSpecificCredentials, ["user"], ListInput, resolve_list, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateServiceSpecificCredential>(),
    OperationRow::of::<UpdateServiceSpecificCredential>(),
    OperationRow::of::<ResetServiceSpecificCredential>(),
    OperationRow::of::<DeleteServiceSpecificCredential>(),
    OperationRow::of::<ListServiceSpecificCredentials>(),
];
