//! CopyObject, and what UploadPartCopy shares with it: finding and checking the source.
//!
//! A copy needs to read the source and to write the destination; both are checked before anything is
//! read. Bytes that lie under the same key are not moved: the new row names the same blob.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, Expect};

use super::{
    condition::{ReadIf, WriteIf},
    details::{self, Details, Encryption, text},
    get::{self, existing_tags},
    install::install,
    put::{show_id, write_checks},
    version::{self, Found, Version},
};
use crate::{
    bucket::{Bucket, acl},
    bytes::{
        checksum::{Algorithm, Claim},
        hex,
        hold::Hold,
        receive::{self, MAX_PIECE, Received, Terms},
    },
    error, names,
    operation::operation,
};

operation!(CopyObject: "s3:PutObject" on ["object"] + write [] and ["s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion",
    "s3:GetObjectVersionTagging", "s3:ListBucket", "s3:ListBucketVersions", "s3:PutObjectAcl", "s3:PutObjectTagging"], Map<String, Value>, resolve, copy);

/// `bucket/key?versionId=…`, taken apart.
pub(crate) struct Source {
    pub bucket: String,
    pub key: String,
    pub id: Option<String>,
}

impl Source {
    /// From an `x-amz-copy-source` header.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn read(input: &Map<String, Value>) -> Result<Self> {
        let header = text(input, "CopySource").unwrap_or_default();
        let wrong =
            || error::argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", header);
        if header.starts_with("arn:") {
            return Err(error::not_implemented("Copying from an access point"));
        }
        let (path, query) = header.split_once('?').unwrap_or((header, ""));
        let path = tenantry_wire::percent_decode(path).ok_or_else(wrong)?;
        let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/').ok_or_else(wrong)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(wrong());
        }
        names::check_source_key(key)?;
        let id = match query {
            "" => None,
            query => Some(query.strip_prefix("versionId=").filter(|id| !id.is_empty()).ok_or_else(wrong)?.to_owned()),
        };
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), id })
    }
}

/// The conditions on a source.
pub(crate) fn source_conditions(input: &Map<String, Value>) -> Result<ReadIf> {
    let prefix = "CopySource";
    let members = input.iter().filter_map(|(name, value)| name.strip_prefix(prefix).map(|name| (name.to_owned(), value.clone())));
    ReadIf::deserialize(Value::Object(members.collect())).map_err(|_| error::request("A condition on the copy source cannot be read"))
}

/// The checks of reading a source, in whichever region its bucket is.
pub(crate) async fn source_checks(cx: &Cx, source: &Source, expected_owner: Option<&str>) -> Result<Checks> {
    let bucket = Bucket::anywhere(cx, &source.bucket, expected_owner).await?;
    get::read_checks(cx, &bucket, &source.key, source.id.as_deref(), ["s3:GetObject", "s3:GetObjectVersion"]).await
}

/// The source, after authorization.
///
/// # Errors
/// As for reads; `InvalidRequest` where it is a delete marker.
pub(crate) async fn source_version(cx: &Cx, source: &Source, conditions: &ReadIf) -> Result<(Bucket, Found)> {
    let bucket = Bucket::anywhere(cx, &source.bucket, None).await?;
    let found = version::find(&cx.kernel, &bucket, &source.key, source.id.as_deref()).await?;
    let found = found.ok_or_else(|| match &source.id {
        Some(id) => error::no_such_version(&source.key, id),
        None => error::no_such_key(&source.key),
    })?;
    if found.version.marker {
        return Err(error::request("The source of a copy request may not specifically refer to a delete marker by version id."));
    }
    conditions.require(&found.version)?;
    Ok((bucket, found))
}

async fn resolve(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    let key = text(input, "Key").unwrap_or_default();
    names::check_key(key)?;
    let source = Source::read(input)?;
    let bucket = Bucket::named(cx, text(input, "Bucket").unwrap_or_default(), text(input, "ExpectedBucketOwner")).await?;
    let mut checks = write_checks(cx, &bucket, key, input, true)?;
    for check in source_checks(cx, &source, text(input, "ExpectedSourceBucketOwner")).await?.iter() {
        checks = checks.and(check.clone());
    }
    if text(input, "TaggingDirective") != Some("REPLACE") {
        // Tags that come along are read there and written here.
        let from = Bucket::anywhere(cx, &source.bucket, None).await?;
        let found = version::find(&cx.kernel, &from, &source.key, source.id.as_deref()).await?;
        if found.as_ref().is_some_and(|found| !found.version.tags.is_empty()) {
            let read = if source.id.is_some() { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
            checks = checks
                .and(existing_tags(from.check(cx, read, Some(&source.key)).key_if("s3:versionid", source.id.as_deref()), found.as_ref()))
                .and(bucket.check(cx, "s3:PutObjectTagging", Some(key)));
        }
    }
    Ok(checks)
}

async fn copy(cx: &Cx, permit: Permit<CopyObject>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    let key = text(&input, "Key").unwrap_or_default();
    details::refuse_unsupported(&input)?;
    acl::accept_object(&bucket, &input)?;
    let source = Source::read(&input)?;
    let (from, found) = source_version(cx, &source, &source_conditions(&input)?).await?;
    if found.version.size > MAX_PIECE {
        return Err(error::request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_PIECE}"
        )));
    }
    let replaces = text(&input, "MetadataDirective") == Some("REPLACE");
    let encryption = Encryption::read(&bucket, &input)?;
    let onto_itself = source.bucket == bucket.name && source.key == key && source.id.is_none();
    let changes = replaces
        || ["StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled"]
            .iter()
            .any(|member| input.contains_key(*member));
    if onto_itself && !changes {
        let text = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(error::request(text));
    }
    let mut stored = if replaces { Details::read(&input)? } else { found.version.details.clone() };
    if !replaces {
        stored.headers.remove("WebsiteRedirectLocation");
        if let Some(location) = input.get("WebsiteRedirectLocation") {
            stored.headers.insert("WebsiteRedirectLocation".to_owned(), location.clone());
        }
        stored.set_class(text(&input, "StorageClass"))?;
    }
    let tags = match text(&input, "TaggingDirective") {
        Some("REPLACE") => details::header_tags(&input)?,
        _ => found.version.tags.clone(),
    };
    let wanted = text(&input, "ChecksumAlgorithm").map(Algorithm::named).transpose()?;
    let bytes = bytes_of(cx, &from, &found, &encryption.label(), wanted).await?;
    let version = Version { details: stored, encryption, tags, ..bytes.version };
    let version = install(cx, bucket, key, version, &WriteIf::read(&input)?, |batch| {
        if let Some(source) = &bytes.required {
            require(source, batch);
        }
        Ok(())
    })
    .await
    .map_err(|error| if error.code == "OperationAborted" { vanished(&source, error) } else { error })?;
    Ok(Reply::new(answer(&version, &found.version, source.id.is_some() || found.version.id != version::NULL)))
}

/// A source that was changed during the copy, again and again.
fn vanished(source: &Source, error: AwsError) -> AwsError {
    error.with("CopySource", format!("{}/{}", source.bucket, source.key))
}

/// What a copy's row will name.
struct Bytes {
    version: Version,
    /// The source's row, which must still be there where its blob is named again.
    required: Option<Found>,
    _hold: Hold,
    _received: Option<Received>,
}

/// The source's bytes under the key that the copy is to have: the same blob, or written anew.
async fn bytes_of(cx: &Cx, from: &Bucket, found: &Found, label: &str, wanted: Option<Algorithm>) -> Result<Bytes> {
    let source = &found.version;
    let algorithm = wanted.or(source.checksum.as_ref().map(|checksum| checksum.algorithm));
    // A whole object's checksum stays true; a composite one is of parts that the copy does not have.
    let checksum_stays = match (&source.checksum, algorithm) {
        (None, None) => true,
        (Some(checksum), Some(algorithm)) => checksum.algorithm == algorithm && !checksum.composite,
        _ => false,
    };
    let same_key = source.segment.as_ref().is_none_or(|segment| segment.label == label);
    if source.manifest.is_none() && same_key && checksum_stays {
        let version = Version {
            size: source.size,
            etag: source.etag.clone(),
            segment: source.segment.clone(),
            checksum: source.checksum.clone(),
            ..Version::new(cx.now())
        };
        return Ok(Bytes { version, required: Some(found.clone()), _hold: Hold::of(&source.segment), _received: None });
    }
    let body = get::contents(cx, from, source, (0, source.size)).await?;
    let terms = Terms { claim: &Claim::default(), also: algorithm, label, limit: MAX_PIECE };
    let received = receive::receive(cx, Some(body), terms).await?;
    let version = Version {
        size: received.size,
        etag: hex(&received.md5),
        segment: received.segment.clone(),
        checksum: received.checksum.clone(),
        ..Version::new(cx.now())
    };
    Ok(Bytes { version, required: None, _hold: Hold::of([]), _received: Some(received) })
}

/// Lets a batch fail unless the source is still what was read.
fn require(source: &Found, batch: &mut Batch) {
    batch.require(source.row.kind, &source.row.scope, source.row.id.as_str(), Expect::Version(source.row.version));
}

fn answer(version: &Version, source: &Version, source_has_id: bool) -> Value {
    let mut result = json!({"ETag": version.quoted_etag(), "LastModified": version.modified});
    if let Some(checksum) = &version.checksum {
        checksum.show(&mut result, true);
    }
    let mut output = json!({ "CopyObjectResult": result });
    if source_has_id {
        output["CopySourceVersionId"] = source.id.as_str().into();
    }
    version.encryption.show(&mut output);
    show_id(version, &mut output);
    output
}
