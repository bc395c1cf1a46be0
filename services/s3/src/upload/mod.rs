//! Multipart uploads: parts that are kept until they are put together or forgotten.
//!
//! `s3.upload`  id `bucket/key NUL upload`, parent the bucket
//! `s3.part`    id `upload/00001`, parent the upload
//!
//! Both lie in the bucket owner's global scope. A part that is sent again replaces the first.

pub(crate) mod begin;
pub(crate) mod complete;
pub(crate) mod list;
pub(crate) mod part;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenantry_core::{Result, Tag, Timestamp};
use tenantry_kernel::{Check, Cx};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use crate::{
    bucket::Bucket,
    bytes::{Segment, checksum::Algorithm, sweep},
    error,
    object::{
        details::{Details, Encryption, text},
        put::write_check,
        version::object_id,
    },
};

pub(crate) const UPLOAD: Kind = Kind::new("s3.upload");
pub(crate) const PART: Kind = Kind::new("s3.part");

/// The greatest part number.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// An upload that was begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub id: String,
    pub key: String,
    pub begun: Timestamp,
    /// ARN of who began it.
    pub initiator: String,
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    #[serde(default)]
    pub composite: bool,
    #[serde(default)]
    pub details: Details,
    #[serde(default)]
    pub encryption: Encryption,
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Members of the request that began it, for the condition keys of its parts.
    #[serde(default)]
    pub asked: Map<String, Value>,
}

/// A part that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub number: u32,
    pub size: u64,
    /// Hexadecimal MD5.
    pub etag: String,
    pub modified: Timestamp,
    #[serde(default)]
    pub segment: Option<Segment>,
    /// Base64, of the upload's algorithm or the one that the part came with.
    #[serde(default)]
    pub checksum: Option<crate::bytes::checksum::Checksum>,
}

/// `bucket/key NUL upload`
pub(crate) fn upload_id(bucket: &str, key: &str, upload: &str) -> String {
    format!("{}\0{upload}", object_id(bucket, key))
}

/// `upload/00001`
pub(crate) fn part_id(upload: &str, number: u32) -> String {
    format!("{upload}/{number:05}")
}

/// An upload of a key, with its row.
///
/// # Errors
/// `NoSuchUpload`.
pub(crate) async fn find(cx: &Cx, bucket: &Bucket, key: &str, upload: &str) -> Result<(Row, Upload)> {
    let missing = || error::no_such_upload(upload);
    if upload.is_empty() || upload.len() > 128 || !upload.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(missing());
    }
    let row = cx.kernel.store().get(UPLOAD, bucket.scope(), &upload_id(&bucket.name, key, upload)).await?.ok_or_else(missing)?;
    let body = row.body()?;
    Ok((row, body))
}

/// A check on a part of an upload, or on its end (`creates`), with the condition keys of the request that began it and
/// of this one. An upload that is not there is told of later.
pub(crate) async fn part_check(cx: &Cx, bucket: &Bucket, input: &Map<String, Value>, creates: bool) -> Result<Check> {
    let key = text(input, "Key").unwrap_or_default();
    let begun = find(cx, bucket, key, text(input, "UploadId").unwrap_or_default()).await.ok();
    let mut members = begun.map(|(_, upload)| upload.asked).unwrap_or_default();
    members.extend(input.iter().map(|(member, value)| (member.clone(), value.clone())));
    write_check(cx, bucket, key, &members, creates)
}

/// Deletes an upload with its parts.
pub(crate) async fn forget(kernel: &tenantry_kernel::Kernel, row: &Row, upload: &str, batch: &mut Batch) -> Result<()> {
    for part in kernel.store().list(&List::of(PART, &row.scope).parent(upload)).await? {
        batch.delete(PART, &row.scope, part.id, Expect::Any);
    }
    batch.delete(UPLOAD, &row.scope, row.id.as_str(), Expect::Version(row.version));
    sweep::request(batch, kernel.now());
    Ok(())
}

/// Deletes all uploads of a bucket that goes.
pub(crate) async fn forget_all(cx: &Cx, bucket: &Bucket, batch: &mut Batch) -> Result<()> {
    for row in cx.kernel.store().list(&List::of(UPLOAD, bucket.scope()).parent(&bucket.name)).await? {
        let upload: Upload = row.body()?;
        forget(&cx.kernel, &row, &upload.id, batch).await?;
    }
    Ok(())
}
