//! Versions of objects in the index.
//!
//! `s3.object`    id `bucket/key`: the current version, where it is not a delete marker
//! `s3.version`   id `bucket/key NUL order id`: every other version and every delete marker, newest first
//! `s3.manifest`  id random: the segments of an object of several parts
//!
//! All have the bucket as parent and lie in its owner's global scope. An object that was never
//! overwritten in a versioned bucket has one row; a listing of objects reads nothing but current ones.

use serde::{Deserialize, Serialize};
use tenantry_core::{Result, Scope, Tag, Timestamp};
use tenantry_kernel::{Ids, Kernel};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use crate::{
    bucket::Bucket,
    bytes::{Segment, checksum::Checksum},
    error,
    object::details::{Details, Encryption},
};

pub(crate) const OBJECT: Kind = Kind::new("s3.object");
pub(crate) const VERSION: Kind = Kind::new("s3.version");
pub(crate) const MANIFEST: Kind = Kind::new("s3.manifest");

/// The id of a version made while versioning was not enabled.
pub(crate) const NULL: &str = "null";
/// Rows that are read at a time where a key's versions are searched.
const PAGE: usize = 200;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The version id; [`NULL`] without versioning.
    pub id: String,
    /// Greater than every earlier version's of the key: microseconds of its time, and more where that is not enough.
    pub order: u64,
    pub modified: Timestamp,
    #[serde(default)]
    pub marker: bool,
    #[serde(default)]
    pub size: u64,
    /// Without quotes.
    #[serde(default)]
    pub etag: String,
    /// The bytes, where they are one segment.
    #[serde(default)]
    pub segment: Option<Segment>,
    /// The [`MANIFEST`] row with the segments, where they are parts.
    #[serde(default)]
    pub manifest: Option<String>,
    #[serde(default)]
    pub parts: Option<u32>,
    #[serde(default)]
    pub checksum: Option<Checksum>,
    #[serde(default)]
    pub details: Details,
    #[serde(default)]
    pub encryption: Encryption,
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// The segments of an object of several parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub parts: Vec<Part>,
}

/// A part of a finished object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub number: u32,
    pub segment: Option<Segment>,
    pub size: u64,
    /// Base64.
    #[serde(default)]
    pub checksum: Option<String>,
}

impl Version {
    /// A version without bytes, to be filled.
    pub fn new(now: Timestamp) -> Self {
        Self {
            id: NULL.to_owned(),
            order: 0,
            modified: now,
            marker: false,
            size: 0,
            etag: String::new(),
            segment: None,
            manifest: None,
            parts: None,
            checksum: None,
            details: Details::default(),
            encryption: Encryption::default(),
            tags: Vec::new(),
        }
    }
    pub fn quoted_etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }
    /// The parts of an object that has some.
    pub async fn manifest(&self, kernel: &Kernel, scope: &Scope) -> Result<Option<Manifest>> {
        let Some(id) = &self.manifest else { return Ok(None) };
        let row = kernel.store().get(MANIFEST, scope, id).await?;
        row.ok_or_else(|| tenantry_core::AwsError::internal("an object's manifest is missing"))?.body().map(Some).map_err(Into::into)
    }
    /// Where its bytes are, in order.
    pub async fn segments(&self, kernel: &Kernel, scope: &Scope) -> Result<Vec<Segment>> {
        match self.manifest(kernel, scope).await? {
            Some(manifest) => Ok(manifest.parts.into_iter().filter_map(|part| part.segment).collect()),
            None => Ok(self.segment.clone().into_iter().collect()),
        }
    }
    /// Forgets what belongs to it alone, when its row goes. The bytes are swept later.
    pub fn forget(&self, batch: &mut Batch, scope: &Scope) {
        if let Some(manifest) = &self.manifest {
            batch.delete(MANIFEST, scope, manifest.as_str(), Expect::Any);
        }
    }
    fn suffix(&self) -> String {
        if self.id == NULL { format!("{:016x}{NULL}", u64::MAX - self.order) } else { self.id.clone() }
    }
}

/// A version's id: its order, greatest first, and what cannot be guessed.
pub(crate) fn new_id(order: u64) -> String {
    format!("{:016x}{}", u64::MAX - order, Ids::lower(16))
}

/// Whether a text could be a version's id.
pub(crate) fn is_id(text: &str) -> bool {
    text == NULL || (text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()))
}

/// `bucket/key`
pub(crate) fn object_id(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// The row of the current version.
pub(crate) fn object_row(bucket: &Bucket, key: &str, version: &Version) -> Result<Row> {
    Ok(Row::new(OBJECT, bucket.scope(), object_id(&bucket.name, key), version.modified).parent(bucket.name.as_str()).with(version)?)
}

/// The row of a version that is not current, or of a delete marker.
pub(crate) fn version_row(bucket: &Bucket, key: &str, version: &Version) -> Result<Row> {
    let id = format!("{}\0{}", object_id(&bucket.name, key), version.suffix());
    Ok(Row::new(VERSION, bucket.scope(), id, version.modified).parent(bucket.name.as_str()).with(version)?)
}

/// A version with the row that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub row: Row,
    pub version: Version,
}

impl Found {
    pub fn of(row: Row) -> Result<Self> {
        Ok(Self { version: row.body()?, row })
    }
    /// Whether it is the current version (a delete marker never is, though it may be the latest).
    pub fn is_current(&self) -> bool {
        self.row.kind == OBJECT
    }
    /// Lets a batch fail unless this row is still what was read.
    pub fn delete(&self, batch: &mut Batch) {
        batch.delete(self.row.kind, &self.row.scope, self.row.id.as_str(), Expect::Version(self.row.version));
    }
}

/// The current version of a key.
pub(crate) async fn current(kernel: &Kernel, bucket: &Bucket, key: &str) -> Result<Option<Found>> {
    let row = kernel.store().get(OBJECT, bucket.scope(), &object_id(&bucket.name, key)).await?;
    row.map(Found::of).transpose()
}

/// The newest version of a key that is not current, or delete marker.
pub(crate) async fn newest_other(kernel: &Kernel, bucket: &Bucket, key: &str, after: Option<&str>) -> Result<Option<Found>> {
    let prefix = format!("{}\0", object_id(&bucket.name, key));
    let rows = kernel.store().list(&List::of(VERSION, bucket.scope()).prefix(&prefix).after(after).limit(1)).await?;
    rows.into_iter().next().map(Found::of).transpose()
}

/// The null version of a key, where it is not current.
pub(crate) async fn other_null(kernel: &Kernel, bucket: &Bucket, key: &str) -> Result<Option<Found>> {
    let prefix = format!("{}\0", object_id(&bucket.name, key));
    let mut after: Option<String> = None;
    loop {
        let query = List::of(VERSION, bucket.scope()).prefix(&prefix).after(after.as_deref()).limit(PAGE);
        let rows = kernel.store().list(&query).await?;
        let Some(last) = rows.last().map(|row| row.id.clone()) else { return Ok(None) };
        if let Some(row) = rows.into_iter().find(|row| row.id.ends_with(NULL) && row.id.len() == prefix.len() + 16 + NULL.len()) {
            return Found::of(row).map(Some);
        }
        after = Some(last);
    }
}

/// A version by its id, current or not, marker or not.
///
/// # Errors
/// `InvalidArgument` for what cannot be a version's id.
pub(crate) async fn by_id(kernel: &Kernel, bucket: &Bucket, key: &str, id: &str) -> Result<Option<Found>> {
    if !is_id(id) {
        return Err(error::invalid_version());
    }
    if let Some(found) = current(kernel, bucket, key).await?
        && found.version.id == id
    {
        return Ok(Some(found));
    }
    if id == NULL {
        return other_null(kernel, bucket, key).await;
    }
    let row = kernel.store().get(VERSION, bucket.scope(), &format!("{}\0{id}", object_id(&bucket.name, key))).await?;
    row.map(Found::of).transpose()
}

/// What a read of a key, or of one of its versions, is about.
pub(crate) async fn find(kernel: &Kernel, bucket: &Bucket, key: &str, id: Option<&str>) -> Result<Option<Found>> {
    match id {
        Some(id) => by_id(kernel, bucket, key, id).await,
        None => current(kernel, bucket, key).await,
    }
}
