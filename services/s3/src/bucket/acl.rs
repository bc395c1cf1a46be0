//! Access control lists: the owner has full control, and that is all they ever say here.
//!
//! Buckets start with "bucket owner enforced", where S3 itself knows nothing else ("Controlling ownership
//! of objects and disabling ACLs", Amazon S3 User Guide). Grants to others are what bucket policies are for.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AccountId, AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::{Bucket, create::BucketInput};
use crate::{error, names, object::details::text, operation::operation};

operation!(GetBucketAcl: "s3:GetBucketAcl" on ["bucket"] + [], BucketInput, resolve_get, get);
operation!(PutBucketAcl: "s3:PutBucketAcl" on ["bucket"] + ["s3:x-amz-acl", "s3:x-amz-grant-full-control", "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write", "s3:x-amz-grant-write-acp"],
    PutInput, resolve_put, put);

fn not_supported() -> AwsError {
    AwsError::new(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

/// Whether a canned ACL may be given to a bucket.
///
/// # Errors
/// `AccessControlListNotSupported`, `AccessDenied`, `NotImplemented`.
pub(crate) fn accept_bucket(enforced: bool, blocks_public: bool, acl: Option<&str>) -> Result<()> {
    match acl {
        None | Some("private") => Ok(()),
        Some(_) if enforced => Err(AwsError::new(
            400,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )),
        Some(acl) if acl.starts_with("public") && blocks_public => Err(error::access_denied()),
        Some(acl) => Err(error::not_implemented(&format!("The canned ACL {acl}"))),
    }
}

/// Whether the ACL headers of a write may stand.
///
/// # Errors
/// As [`accept_bucket`].
pub(crate) fn accept_object(bucket: &Bucket, input: &Map<String, Value>) -> Result<()> {
    let grants = input.keys().any(|name| name.starts_with("Grant"));
    let blocks_public = bucket.settings.public_access.is_some_and(|access| access.block_public_acls);
    match text(input, "ACL") {
        _ if grants && bucket.ignores_acls() => Err(not_supported()),
        _ if grants => Err(error::not_implemented("A grant in an ACL")),
        None | Some("bucket-owner-full-control") => Ok(()),
        Some("private") if !bucket.ignores_acls() => Ok(()),
        // S3 lets it pass where it says what holds anyway.
        Some("private" | "bucket-owner-read") if bucket.ignores_acls() => Err(not_supported()),
        Some(_) if bucket.ignores_acls() => Err(not_supported()),
        Some(acl) if acl.starts_with("public") && blocks_public => Err(error::access_denied()),
        Some(acl) => Err(error::not_implemented(&format!("The canned ACL {acl}"))),
    }
}

/// Whether an ACL document says that the owner has full control and nothing else.
pub(crate) fn is_owners(document: &Value, owner: &AccountId) -> bool {
    let id = names::canonical_id(owner);
    let grants = document["Grants"].as_array().map(Vec::as_slice).unwrap_or_default();
    let full = |grant: &Value| grant["Permission"] == "FULL_CONTROL" && grant["Grantee"]["ID"] == id.as_str();
    document["Owner"]["ID"] == id.as_str() && !grants.is_empty() && grants.iter().all(full)
}

/// The answer of both ACL reads.
pub(crate) fn owner_has_full_control(owner: &AccountId) -> Value {
    let id = names::canonical_id(owner);
    json!({"Owner": {"ID": id}, "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": id}, "Permission": "FULL_CONTROL"}]})
}

async fn resolve_get(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:GetBucketAcl", None).into())
}

async fn get(cx: &Cx, permit: Permit<GetBucketAcl>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    Ok(Reply::new(owner_has_full_control(&bucket.owner)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    bucket: String,
    #[serde(rename = "ACL")]
    acl: Option<String>,
    access_control_policy: Option<Value>,
    expected_bucket_owner: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let check = bucket.check(cx, "s3:PutBucketAcl", None).key_if("s3:x-amz-acl", input.acl.as_deref());
    Ok(grant_keys(cx, check, &input.rest).into())
}

/// `s3:x-amz-grant-…`: from the members, or from headers that the operation's model does not have.
pub(crate) fn grant_keys(cx: &Cx, check: Check, input: &Map<String, Value>) -> Check {
    const KEYS: [(&str, &str); 5] = [
        ("GrantFullControl", "s3:x-amz-grant-full-control"),
        ("GrantRead", "s3:x-amz-grant-read"),
        ("GrantReadACP", "s3:x-amz-grant-read-acp"),
        ("GrantWrite", "s3:x-amz-grant-write"),
        ("GrantWriteACP", "s3:x-amz-grant-write-acp"),
    ];
    KEYS.iter().fold(check, |check, (member, key)| {
        let header = || key.strip_prefix("s3:").and_then(|header| cx.request.headers.get(header)).map(String::as_str);
        check.key_if(key, input.get(*member).and_then(Value::as_str).or_else(header))
    })
}

async fn put(cx: &Cx, permit: Permit<PutBucketAcl>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let enforced = bucket.ignores_acls();
    if let Some(document) = &input.access_control_policy {
        return match is_owners(document, &bucket.owner) {
            true => Ok(Reply::empty()),
            false if enforced => Err(not_supported()),
            false => Err(error::not_implemented("A grant in an ACL")),
        };
    }
    if input.rest.keys().any(|name| name.starts_with("Grant")) {
        return Err(if enforced { not_supported() } else { error::not_implemented("A grant in an ACL") });
    }
    match input.acl.as_deref() {
        None => Err(AwsError::new(400, "MissingSecurityHeader", "Your request was missing a required header")),
        Some("private") => Ok(Reply::empty()),
        Some(_) if enforced => Err(not_supported()),
        other => {
            let blocks_public = bucket.settings.public_access.is_some_and(|access| access.block_public_acls);
            accept_bucket(false, blocks_public, other)?;
            Ok(Reply::empty())
        }
    }
}
