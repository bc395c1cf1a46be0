//! DeleteObject and DeleteObjects.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::{
    condition::WriteIf,
    remove::{Removed, Target, remove, remove_many},
};
use crate::{
    bucket::{Bucket, Hand},
    error, names,
    operation::operation,
};

/// Keys of one DeleteObjects.
pub(crate) const MAX_KEYS: usize = 1000;
/// Keys that go in one commit.
const TOGETHER: usize = 100;

operation!(DeleteObject: "s3:DeleteObject" | "s3:DeleteObjectVersion" on ["object"] + ["s3:if-match", "s3:versionid"], DeleteInput, resolve, delete);
operation!(DeleteObjects: "s3:DeleteObject" | "s3:DeleteObjectVersion" on ["object"] + ["s3:if-match", "s3:versionid"], ManyInput, resolve_many, delete_many);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteInput {
    bucket: String,
    key: String,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
    if_match: Option<String>,
    #[serde(rename = "MFA")]
    mfa: Option<String>,
}

/// The check of deleting a key, or one version of it.
fn check(cx: &Cx, bucket: &Bucket, key: &str, id: Option<&str>, if_match: Option<&str>) -> Check {
    let action = if id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    bucket.check(cx, action, Some(key)).key_if("s3:versionid", id).key_if("s3:if-match", if_match)
}

async fn resolve(cx: &Cx, input: &DeleteInput) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(check(cx, &bucket, &input.key, input.version_id.as_deref(), input.if_match.as_deref()).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteObject>, input: DeleteInput) -> Result<Reply> {
    if input.mfa.is_some() {
        return Err(error::not_implemented("MFA delete"));
    }
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let conditions = WriteIf { if_match: input.if_match, if_none_match: None };
    let removed = remove(Hand::Call(cx), bucket, &Target { key: &input.key, id: input.version_id.as_deref(), conditions }).await?;
    let mut output = json!({});
    if let Some(version) = removed.version {
        output["VersionId"] = version.into();
    }
    if removed.marker {
        output["DeleteMarker"] = true.into();
    }
    Ok(Reply::new(output))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ManyInput {
    bucket: String,
    delete: Many,
    expected_bucket_owner: Option<String>,
    #[serde(rename = "MFA")]
    mfa: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Many {
    objects: Vec<One>,
    #[serde(default)]
    quiet: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One {
    key: String,
    version_id: Option<String>,
    #[serde(rename = "ETag")]
    etag: Option<String>,
}

/// The call itself stands or falls with the first key that may be deleted (or with the first, where none
/// may); every key is judged by itself before it goes.
async fn resolve_many(cx: &Cx, input: &ManyInput) -> Result<Checks> {
    let objects = &input.delete.objects;
    if objects.is_empty() || objects.len() > MAX_KEYS {
        return Err(error::malformed_xml());
    }
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    for one in objects {
        if one.refusal(cx, &bucket).await?.is_none() {
            return Ok(one.check(cx, &bucket).into());
        }
    }
    Ok(objects.iter().take(1).map(|one| one.check(cx, &bucket)).collect())
}

async fn delete_many(cx: &Cx, permit: Permit<DeleteObjects>, input: ManyInput) -> Result<Reply> {
    if input.mfa.is_some() {
        return Err(error::not_implemented("MFA delete"));
    }
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for several in input.delete.objects.chunks(TOGETHER) {
        let mut good = Vec::with_capacity(several.len());
        for one in several {
            let refused = match names::check_key(&one.key) {
                Ok(()) => one.refusal(cx, &bucket).await?,
                Err(malformed) => Some(malformed),
            };
            match refused {
                None => good.push(one),
                Some(refused) => errors.push(one.failed(&refused)),
            }
        }
        let targets: Vec<Target<'_>> = good.iter().map(|one| one.target()).collect();
        for (one, outcome) in good.iter().zip(remove_many(Hand::Call(cx), &bucket, &targets).await) {
            match outcome {
                Ok(removed) => deleted.push(one.deleted(removed)),
                Err(refused) => errors.push(one.failed(&refused)),
            }
        }
    }
    let mut output = json!({});
    if !input.delete.quiet {
        output["Deleted"] = deleted.into();
    }
    if !errors.is_empty() {
        output["Errors"] = errors.into();
    }
    Ok(Reply::new(output))
}

impl One {
    fn check(&self, cx: &Cx, bucket: &Bucket) -> Check {
        check(cx, bucket, &self.key, self.version_id.as_deref(), self.etag.as_deref())
    }

    /// Why this key may not be deleted; `None` where it may.
    async fn refusal(&self, cx: &Cx, bucket: &Bucket) -> Result<Option<AwsError>> {
        cx.refusal(&self.check(cx, bucket)).await
    }

    fn target(&self) -> Target<'_> {
        let conditions = WriteIf { if_match: self.etag.clone(), if_none_match: None };
        Target { key: &self.key, id: self.version_id.as_deref(), conditions }
    }

    fn deleted(&self, removed: Removed) -> Value {
        let mut entry = json!({"Key": self.key});
        if let Some(id) = &self.version_id {
            entry["VersionId"] = id.as_str().into();
        }
        if removed.marker {
            entry["DeleteMarker"] = true.into();
            entry["DeleteMarkerVersionId"] = removed.version.into();
        }
        entry
    }

    fn failed(&self, refused: &AwsError) -> Value {
        let internal = refused.status >= 500 && refused.code != "NotImplemented";
        let code = if internal { "InternalError" } else { &*refused.code };
        let message = if internal { "We encountered an internal error. Please try again." } else { &refused.message };
        let mut entry = json!({"Key": self.key, "Code": code, "Message": message});
        if let Some(id) = &self.version_id {
            entry["VersionId"] = id.as_str().into();
        }
        entry
    }
}
