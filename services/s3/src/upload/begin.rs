//! CreateMultipartUpload and AbortMultipartUpload.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Result, Timestamp};
use tenantry_kernel::{Checks, Cx, Ids, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{UPLOAD, Upload, find, forget, upload_id};
use crate::{
    bucket::{BUCKET, Bucket, acl},
    bytes::checksum::Algorithm,
    error, names,
    object::{
        details::{self, Details, Encryption, text},
        put::write_checks,
    },
    operation::operation,
};

operation!(CreateMultipartUpload: "s3:PutObject" on ["object"] + write [] and ["s3:PutObjectAcl", "s3:PutObjectTagging"],
    Map<String, Value>, resolve, create);
operation!(AbortMultipartUpload: "s3:AbortMultipartUpload" on ["object"] + [], AbortInput, resolve_abort, abort);

/// Members that have condition keys: policies see them again with every part.
const ASKED: [&str; 10] = [
    "ACL",
    "GrantFullControl",
    "GrantRead",
    "GrantReadACP",
    "GrantWriteACP",
    "SSEKMSKeyId",
    "ServerSideEncryption",
    "StorageClass",
    "Tagging",
    "WebsiteRedirectLocation",
];

async fn resolve(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    let key = text(input, "Key").unwrap_or_default();
    names::check_key(key)?;
    let bucket = Bucket::named(cx, text(input, "Bucket").unwrap_or_default(), text(input, "ExpectedBucketOwner")).await?;
    write_checks(cx, &bucket, key, input, false)
}

/// The algorithm and kind of checksum that the object is to have.
fn checksum(input: &Map<String, Value>) -> Result<(Option<Algorithm>, bool)> {
    let algorithm = text(input, "ChecksumAlgorithm").map(Algorithm::named).transpose()?;
    let Some(known) = algorithm else {
        return match text(input, "ChecksumType") {
            None => Ok((None, false)),
            Some(_) => Err(error::request("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")),
        };
    };
    let composite = match text(input, "ChecksumType") {
        None => known != Algorithm::Crc64Nvme,
        Some(kind) => kind == "COMPOSITE",
    };
    let possible = if composite { known != Algorithm::Crc64Nvme } else { known.polynomial().is_some() };
    match possible {
        true => Ok((algorithm, composite)),
        false => {
            let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
            Err(error::request(format!(
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                known.name().to_ascii_lowercase()
            )))
        }
    }
}

async fn create(cx: &Cx, permit: Permit<CreateMultipartUpload>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    let key = text(&input, "Key").unwrap_or_default();
    details::refuse_unsupported(&input)?;
    acl::accept_object(&bucket, &input)?;
    let (algorithm, composite) = checksum(&input)?;
    let upload = Upload {
        id: Ids::lower(64),
        key: key.to_owned(),
        begun: cx.now(),
        initiator: cx.caller.arn.clone(),
        algorithm,
        composite,
        details: Details::read(&input)?,
        encryption: Encryption::read(&bucket, &input)?,
        tags: details::header_tags(&input)?,
        asked: input.iter().filter(|(member, _)| ASKED.contains(&member.as_str())).map(|(m, v)| (m.clone(), v.clone())).collect(),
    };
    let row =
        Row::new(UPLOAD, bucket.scope(), upload_id(&bucket.name, key, &upload.id), cx.now()).parent(bucket.name.as_str()).with(&upload)?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.require(BUCKET, bucket.scope(), bucket.name.as_str(), Expect::Present);
    cx.commit(batch).await.map_err(|refused| match refused {
        CommitError::NotFound { .. } => error::no_such_bucket(&bucket.name),
        other => other.into(),
    })?;
    let mut output = json!({"Bucket": bucket.name, "Key": key, "UploadId": upload.id});
    upload.encryption.show(&mut output);
    if let Some(algorithm) = algorithm {
        output["ChecksumAlgorithm"] = algorithm.name().into();
        output["ChecksumType"] = if composite { "COMPOSITE" } else { "FULL_OBJECT" }.into();
    }
    Ok(Reply::new(output))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AbortInput {
    bucket: String,
    key: String,
    upload_id: String,
    expected_bucket_owner: Option<String>,
    if_match_initiated_time: Option<Timestamp>,
}

async fn resolve_abort(cx: &Cx, input: &AbortInput) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:AbortMultipartUpload", Some(&input.key)).into())
}

async fn abort(cx: &Cx, permit: Permit<AbortMultipartUpload>, input: AbortInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let (row, upload) = find(cx, &bucket, &input.key, &input.upload_id).await?;
    if input.if_match_initiated_time.is_some_and(|time| time.secs() != upload.begun.secs()) {
        return Err(error::precondition("x-amz-if-match-initiated-time"));
    }
    let mut batch = Batch::new();
    forget(&cx.kernel, &row, &upload.id, &mut batch).await?;
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        // Completed or aborted by another request.
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Err(error::no_such_upload(&input.upload_id)),
        Err(other) => Err(other.into()),
    }
}
