//! PutObject.

use serde_json::{Map, Value, json};
use tenantry_core::{Result, Tag, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_policy::PrincipalKind;

use super::{
    condition::WriteIf,
    details::{self, Details, Encryption, text},
    install::install,
    version::Version,
};
use crate::{
    bucket::{Bucket, acl},
    bytes::{
        checksum::Claim,
        hex,
        receive::{self, MAX_PIECE, Terms},
    },
    names,
    operation::operation,
};

operation!(PutObject: "s3:PutObject" on ["object"] + write [] and ["s3:PutObjectAcl", "s3:PutObjectTagging"], Map<String, Value>, resolve, put);

/// The checks of everything that makes an object, or (`creates` is false) begins to: the action itself, and those for
/// tags and an ACL that come along.
pub(crate) fn write_checks(cx: &Cx, bucket: &Bucket, key: &str, input: &Map<String, Value>, creates: bool) -> Result<Checks> {
    let tags = details::header_tags(input)?;
    let check = write_check(cx, bucket, key, input, creates)?;
    let tagging = (!tags.is_empty()).then(|| request_object_tags(bucket.check(cx, "s3:PutObjectTagging", Some(key)), &tags));
    // A service that delivers to a bucket leaves it to its owner; the documented bucket policies allow it no more than that.
    let delivers = cx.caller.principal.kind == PrincipalKind::Service && text(input, "ACL") == Some("bucket-owner-full-control");
    let acl = text(input, "ACL").filter(|_| !delivers).map(|acl| bucket.check(cx, "s3:PutObjectAcl", Some(key)).key("s3:x-amz-acl", acl));
    let grants = input.keys().any(|name| name.starts_with("Grant"));
    let grants = grants.then(|| acl::grant_keys(cx, bucket.check(cx, "s3:PutObjectAcl", Some(key)), input));
    Ok(Checks::from(check).and_if(tagging).and_if(acl).and_if(grants))
}

/// `s3:PutObject` with all condition keys of a write's headers. A part of an upload has those that the upload was begun
/// with, so that a policy that demands a key's encryption is kept by uploads in parts too.
pub(crate) fn write_check(cx: &Cx, bucket: &Bucket, key: &str, input: &Map<String, Value>, creates: bool) -> Result<Check> {
    let check = write_keys(bucket.check(cx, "s3:PutObject", Some(key)), input);
    let check = acl::grant_keys(cx, check, input).key("s3:ObjectCreationOperation", creates.to_string());
    Ok(request_object_tags(lock_keys(cx, check, input), &details::header_tags(input)?))
}

/// `s3:object-lock-…`.
fn lock_keys(cx: &Cx, check: Check, input: &Map<String, Value>) -> Check {
    const DAY: i64 = 24 * 60 * 60;
    let until = input.get("ObjectLockRetainUntilDate").cloned().and_then(|until| serde_json::from_value::<Timestamp>(until).ok());
    check
        .key_if("s3:object-lock-mode", text(input, "ObjectLockMode"))
        .key_if("s3:object-lock-legal-hold", text(input, "ObjectLockLegalHoldStatus"))
        .key_if("s3:object-lock-retain-until-date", until.map(|until| until.iso8601(false)))
        .key_if("s3:object-lock-remaining-retention-days", until.map(|until| ((until.secs() - cx.now().secs()) / DAY).to_string()))
}

/// The condition keys that come from headers of a write.
fn write_keys(check: Check, input: &Map<String, Value>) -> Check {
    const KEYS: [(&str, &str); 10] = [
        ("ACL", "s3:x-amz-acl"),
        ("CopySource", "s3:x-amz-copy-source"),
        ("IfMatch", "s3:if-match"),
        ("IfNoneMatch", "s3:if-none-match"),
        ("MetadataDirective", "s3:x-amz-metadata-directive"),
        ("SSECustomerAlgorithm", "s3:x-amz-server-side-encryption-customer-algorithm"),
        ("SSEKMSKeyId", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
        ("ServerSideEncryption", "s3:x-amz-server-side-encryption"),
        ("StorageClass", "s3:x-amz-storage-class"),
        ("WebsiteRedirectLocation", "s3:x-amz-website-redirect-location"),
    ];
    KEYS.iter().fold(check, |check, (member, key)| check.key_if(key, text(input, member)))
}

/// `s3:RequestObjectTag/K` and `s3:RequestObjectTagKeys`.
pub(crate) fn request_object_tags(check: Check, tags: &[Tag]) -> Check {
    if tags.is_empty() {
        return check;
    }
    let check = tags.iter().fold(check, |check, tag| check.key(format!("s3:RequestObjectTag/{}", tag.key), tag.value.as_str()));
    check.list("s3:RequestObjectTagKeys", tags.iter().map(|tag| tag.key.clone()).collect())
}

async fn resolve(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    let key = text(input, "Key").unwrap_or_default();
    names::check_key(key)?;
    let bucket = Bucket::named(cx, text(input, "Bucket").unwrap_or_default(), text(input, "ExpectedBucketOwner")).await?;
    write_checks(cx, &bucket, key, input, true)
}

async fn put(cx: &Cx, permit: Permit<PutObject>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    let key = text(&input, "Key").unwrap_or_default();
    // Everything that can be refused is refused before the body is read.
    details::refuse_unsupported(&input)?;
    acl::accept_object(&bucket, &input)?;
    let conditions = WriteIf::read(&input)?;
    let tags = details::header_tags(&input)?;
    let encryption = Encryption::read(&bucket, &input)?;
    let stored = Details::read(&input)?;
    let claim = Claim::read(&input, cx.request.headers.get("x-amz-trailer").map(String::as_str))?;
    receive::announced(cx, MAX_PIECE)?;
    let current = super::version::current(&cx.kernel, &bucket, key).await?;
    conditions.require(current.as_ref().map(|found| &found.version), key)?;
    let label = encryption.label();
    let received = receive::receive(cx, cx.take_body(), Terms { claim: &claim, also: None, label: &label, limit: MAX_PIECE }).await?;
    let version = Version {
        size: received.size,
        etag: hex(&received.md5),
        segment: received.segment.clone(),
        checksum: received.checksum.clone(),
        details: stored,
        encryption,
        tags,
        ..Version::new(cx.now())
    };
    let version = install(cx, bucket, key, version, &conditions, |_| Ok(())).await?;
    drop(received);
    let mut output = json!({"ETag": version.quoted_etag()});
    version.encryption.show(&mut output);
    show_id(&version, &mut output);
    if let Some(checksum) = &version.checksum {
        checksum.show(&mut output, true);
    }
    Ok(Reply::new(output))
}

/// `VersionId`, which answers have in versioned buckets only.
pub(crate) fn show_id(version: &Version, output: &mut Value) {
    if version.id != super::version::NULL {
        output["VersionId"] = version.id.as_str().into();
    }
}
