//! PutObjectAcl and GetObjectAcl: the owner has full control (see the bucket's `acl`).

use serde::Deserialize;
use serde_json::{Map, Value};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::get::{read_checks, readable};
use crate::{
    bucket::{Bucket, acl},
    error, names,
    object::details::text,
    operation::operation,
};

operation!(GetObjectAcl: "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], Input, resolve_get, get);
operation!(PutObjectAcl: "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid", "s3:x-amz-acl",
    "s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write", "s3:x-amz-grant-write-acp",
    "s3:x-amz-storage-class"] and ["s3:ListBucket", "s3:ListBucketVersions"], Input, resolve_put, put);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    bucket: String,
    key: String,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
    access_control_policy: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

async fn resolve_get(cx: &Cx, input: &Input) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    read_checks(cx, &bucket, &input.key, input.version_id.as_deref(), ["s3:GetObjectAcl", "s3:GetObjectVersionAcl"]).await
}

async fn get(cx: &Cx, permit: Permit<GetObjectAcl>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    readable(cx, &bucket, &input.key, input.version_id.as_deref(), "GET").await?;
    Ok(Reply::new(acl::owner_has_full_control(&bucket.owner)))
}

async fn resolve_put(cx: &Cx, input: &Input) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let checks = read_checks(cx, &bucket, &input.key, input.version_id.as_deref(), ["s3:PutObjectAcl", "s3:PutObjectVersionAcl"]).await?;
    let keys = |check: &Check| match check.action {
        "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" => {
            acl::grant_keys(cx, check.clone().key_if("s3:x-amz-acl", text(&input.rest, "ACL")), &input.rest)
                .key_if("s3:x-amz-storage-class", cx.request.headers.get("x-amz-storage-class").map(String::as_str))
        }
        _ => check.clone(),
    };
    Ok(checks.iter().map(keys).collect())
}

async fn put(cx: &Cx, permit: Permit<PutObjectAcl>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    readable(cx, &bucket, &input.key, input.version_id.as_deref(), "PUT").await?;
    match &input.access_control_policy {
        Some(document) if acl::is_owners(document, &bucket.owner) => Ok(Reply::empty()),
        Some(_) if bucket.ignores_acls() => Err(AwsError::new(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")),
        Some(_) => Err(error::not_implemented("A grant in an ACL")),
        None if !input.rest.contains_key("ACL") && !input.rest.keys().any(|name| name.starts_with("Grant")) => {
            Err(AwsError::new(400, "MissingSecurityHeader", "Your request was missing a required header"))
        }
        None => acl::accept_object(&bucket, &input.rest).map(|()| Reply::empty()),
    }
}
