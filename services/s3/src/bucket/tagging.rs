//! The tags of a bucket. They lie in the tag table. Policies do not see them: S3 has tag-based access to
//! buckets only where it was enabled for the bucket, and that operation is not served.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AwsError, Result, Tag};
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{Bucket, create::BucketInput};
use crate::operation::operation;

/// Tags of a bucket.
pub(crate) const BUCKET_TAGS: usize = 50;

operation!(GetBucketTagging: "s3:GetBucketTagging" on ["bucket"] + [], BucketInput, resolve_get, get);
operation!(PutBucketTagging: "s3:PutBucketTagging" on ["bucket"] + [], PutInput, resolve_put, put);
operation!(DeleteBucketTagging: "s3:PutBucketTagging" on ["bucket"] + [], BucketInput, resolve_delete, delete);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    bucket: String,
    tagging: Tagging,
    expected_bucket_owner: Option<String>,
}

/// `Tagging` of requests.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tagging {
    pub tag_set: Vec<Tag>,
}

/// Checks a set of tags ("Tag restrictions").
///
/// # Errors
/// `InvalidTag`, `BadRequest`.
pub(crate) fn check(tags: Vec<Tag>, most: usize) -> Result<Vec<Tag>> {
    let wrong = |text: &str| AwsError::new(400, "InvalidTag", text);
    if tags.len() > most {
        return Err(AwsError::new(400, "BadRequest", format!("Object tags cannot be greater than {most}")));
    }
    let mut seen = HashSet::new();
    for tag in &tags {
        if tag.key.is_empty() || tag.key.chars().count() > 128 {
            return Err(wrong("The TagKey you have provided is invalid"));
        }
        if tag.value.chars().count() > 256 {
            return Err(wrong("The TagValue you have provided is invalid"));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(wrong("System tags cannot be added/updated by requester"));
        }
        let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        if !tag.key.chars().all(allowed) || !tag.value.chars().all(allowed) {
            return Err(wrong("The TagKey or TagValue you have provided is invalid"));
        }
        if !seen.insert(tag.key.as_str()) {
            return Err(wrong("Cannot provide multiple Tags with the same key"));
        }
    }
    drop(seen);
    Ok(tags)
}

async fn resolve_get(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:GetBucketTagging", None).into())
}

async fn get(cx: &Cx, permit: Permit<GetBucketTagging>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let tags = cx.kernel.store().tags(bucket.arn().as_str()).await?;
    if tags.is_empty() {
        return Err(AwsError::new(404, "NoSuchTagSet", "The TagSet does not exist").with("BucketName", bucket.name));
    }
    Ok(Reply::new(json!({ "TagSet": tags })))
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    // Of the actions on buckets only those that make one have keys of the request's tags.
    Ok(bucket.check(cx, "s3:PutBucketTagging", None).into())
}

async fn put(cx: &Cx, permit: Permit<PutBucketTagging>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let tags = check(input.tagging.tag_set, BUCKET_TAGS)?;
    set(cx, bucket, tags).await
}

async fn set(cx: &Cx, bucket: Bucket, tags: Vec<Tag>) -> Result<Reply> {
    let arn = bucket.arn();
    let write = move |_: &mut super::Settings, batch: &mut tenantry_store::Batch| {
        batch.set_tags(arn.as_str(), tags.clone());
        Ok(())
    };
    bucket.change(cx, write).await?;
    Ok(Reply { status: 204, ..Reply::empty() })
}

async fn resolve_delete(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:PutBucketTagging", None).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteBucketTagging>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    set(cx, bucket, Vec::new()).await
}
