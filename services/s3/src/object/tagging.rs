//! The tags of an object. They lie in the version's row, and policies see them as `s3:ExistingObjectTag/K`.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Tag};
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError};

use super::{
    details::MAX_TAGS,
    get::{read_checks, readable},
    put::{request_object_tags, show_id},
};
use crate::{
    bucket::{ATTEMPTS, Bucket, tagging},
    error, names,
    operation::operation,
};

operation!(GetObjectTagging: "s3:GetObjectTagging" | "s3:GetObjectVersionTagging" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], Input, resolve_get, get);
operation!(PutObjectTagging: "s3:PutObjectTagging" | "s3:PutObjectVersionTagging" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:RequestObjectTag/<key>", "s3:RequestObjectTagKeys",
    "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], PutInput, resolve_put, put);
operation!(DeleteObjectTagging: "s3:DeleteObjectTagging" | "s3:DeleteObjectVersionTagging" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], Input, resolve_delete, delete);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    bucket: String,
    key: String,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    #[serde(flatten)]
    of: Input,
    tagging: tagging::Tagging,
}

async fn checks(cx: &Cx, input: &Input, actions: [&'static str; 2]) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    read_checks(cx, &bucket, &input.key, input.version_id.as_deref(), actions).await
}

async fn resolve_get(cx: &Cx, input: &Input) -> Result<Checks> {
    checks(cx, input, ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]).await
}

async fn get(cx: &Cx, permit: Permit<GetObjectTagging>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let version = readable(cx, &bucket, &input.key, input.version_id.as_deref(), "GET").await?.version;
    let mut output = json!({"TagSet": version.tags});
    show_id(&version, &mut output);
    Ok(Reply::new(output))
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    let checks = checks(cx, &input.of, ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"]).await?;
    Ok(checks.iter().map(|check| request_object_tags(check.clone(), &input.tagging.tag_set)).collect())
}

async fn put(cx: &Cx, permit: Permit<PutObjectTagging>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.of.bucket).await?;
    set(cx, &bucket, &input.of, tagging::check(input.tagging.tag_set, MAX_TAGS)?).await
}

async fn resolve_delete(cx: &Cx, input: &Input) -> Result<Checks> {
    checks(cx, input, ["s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"]).await
}

async fn delete(cx: &Cx, permit: Permit<DeleteObjectTagging>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    set(cx, &bucket, &input, Vec::new()).await
}

async fn set(cx: &Cx, bucket: &Bucket, input: &Input, tags: Vec<Tag>) -> Result<Reply> {
    for _ in 0..ATTEMPTS {
        let mut found = readable(cx, bucket, &input.key, input.version_id.as_deref(), "PUT").await?;
        found.version.tags.clone_from(&tags);
        let mut batch = Batch::new();
        // The object itself is not modified: its time stays.
        batch.update(found.row.with(&found.version)?);
        match cx.commit(batch).await {
            Ok(()) => {
                let mut output = json!({});
                show_id(&found.version, &mut output);
                return Ok(Reply::new(output));
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::conflict())
}
