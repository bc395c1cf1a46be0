//! GetObject and HeadObject.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Timestamp};
use tenantry_kernel::{Body, Check, Checks, Cx, Permit, Reply};

use super::{
    condition::{ReadIf, Verdict},
    range,
    version::{self, Found, NULL, Version},
};
use crate::{
    bucket::{Bucket, Versioning},
    bytes::send,
    error, names,
    operation::operation,
};

operation!(GetObject: "s3:GetObject" | "s3:GetObjectVersion" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], ReadInput, resolve_get, get);
operation!(HeadObject: "s3:GetObject" | "s3:GetObjectVersion" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:ListBucket", "s3:ListBucketVersions"], ReadInput, resolve_head, head);

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReadInput {
    bucket: String,
    key: String,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
    #[serde(flatten)]
    conditions: ReadIf,
    range: Option<String>,
    part_number: Option<u32>,
    checksum_mode: Option<String>,
    #[serde(flatten)]
    overrides: Overrides,
    #[serde(rename = "SSECustomerAlgorithm")]
    customer_algorithm: Option<String>,
}

/// Headers of the answer that the request chooses.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Overrides {
    response_cache_control: Option<String>,
    response_content_disposition: Option<String>,
    response_content_encoding: Option<String>,
    response_content_language: Option<String>,
    response_content_type: Option<String>,
    response_expires: Option<Timestamp>,
}

impl Overrides {
    fn apply(self, output: &mut Value) {
        let all = [
            ("CacheControl", self.response_cache_control),
            ("ContentDisposition", self.response_content_disposition),
            ("ContentEncoding", self.response_content_encoding),
            ("ContentLanguage", self.response_content_language),
            ("ContentType", self.response_content_type),
        ];
        for (member, value) in all {
            if let Some(value) = value {
                output[member] = value.into();
            }
        }
        if let Some(expires) = self.response_expires {
            output["Expires"] = json!(expires);
        }
    }
    fn any(&self) -> bool {
        self.response_cache_control.is_some()
            || self.response_content_disposition.is_some()
            || self.response_content_encoding.is_some()
            || self.response_content_language.is_some()
            || self.response_content_type.is_some()
            || self.response_expires.is_some()
    }
}

async fn resolve_get(cx: &Cx, input: &ReadInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    names::check_key(&input.key)?;
    let actions = ["s3:GetObject", "s3:GetObjectVersion"];
    read_checks(cx, &bucket, &input.key, input.version_id.as_deref(), actions).await
}

async fn resolve_head(cx: &Cx, input: &ReadInput) -> Result<Checks> {
    // Where the bucket is elsewhere the handler says so in a header; an error of HEAD has no body to say it in.
    let bucket = Bucket::anywhere(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    names::check_key(&input.key)?;
    let actions = ["s3:GetObject", "s3:GetObjectVersion"];
    read_checks(cx, &bucket, &input.key, input.version_id.as_deref(), actions).await
}

/// The checks of a read of an object (`actions[0]`) or of a version of it by its id (`actions[1]`, and then that one only). Of a key that is not there
/// only those are told who may list the bucket: so `s3:ListBucket` is needed as well.
pub(crate) async fn read_checks(cx: &Cx, bucket: &Bucket, key: &str, id: Option<&str>, actions: [&'static str; 2]) -> Result<Checks> {
    let found = version::find(&cx.kernel, bucket, key, id).await?.filter(|found| !found.version.marker);
    let keys = |check: Check| existing_tags(check.key_if("s3:versionid", id), found.as_ref());
    let action = actions[usize::from(id.is_some())];
    let mut checks = Checks::from(keys(bucket.check(cx, action, Some(key))));
    if found.is_none() {
        let (action, prefix) = if id.is_some() { ("s3:ListBucketVersions", key) } else { ("s3:ListBucket", key) };
        checks = checks.and(bucket.check(cx, action, None).key("s3:prefix", prefix));
    }
    Ok(checks)
}

/// `s3:ExistingObjectTag/K`.
pub(crate) fn existing_tags(check: Check, found: Option<&Found>) -> Check {
    let tags = found.map(|found| found.version.tags.as_slice()).unwrap_or_default();
    tags.iter().fold(check, |check, tag| check.key(format!("s3:ExistingObjectTag/{}", tag.key), tag.value.as_str()))
}

/// The version that a read is about.
///
/// # Errors
/// `NoSuchKey`, `NoSuchVersion`; `MethodNotAllowed` for a delete marker by its id.
pub(crate) async fn readable(cx: &Cx, bucket: &Bucket, key: &str, id: Option<&str>, method: &str) -> Result<Found> {
    match (version::find(&cx.kernel, bucket, key, id).await?, id) {
        (Some(found), _) if found.version.marker => Err(error::method_not_allowed(method)),
        (Some(found), _) => Ok(found),
        (None, Some(id)) => Err(error::no_such_version(key, id)),
        (None, None) => Err(error::no_such_key(key)),
    }
}

/// All headers of a read.
fn describe(bucket: &Bucket, version: &Version, input: &ReadInput) -> Value {
    let mut output = json!({
        "AcceptRanges": "bytes",
        "LastModified": Timestamp::from_secs(version.modified.secs()),
        "ETag": version.quoted_etag(),
        "ContentLength": version.size,
    });
    version.details.show(&mut output);
    version.encryption.show(&mut output);
    if version.id != NULL || bucket.settings.versioning != Versioning::Off {
        output["VersionId"] = version.id.as_str().into();
    }
    if !version.tags.is_empty() {
        output["TagCount"] = version.tags.len().into();
    }
    if input.checksum_mode.as_deref() == Some("ENABLED")
        && let Some(checksum) = &version.checksum
    {
        checksum.show(&mut output, true);
    }
    output
}

/// What both reads have in common: the answer, the status, and which bytes are asked for.
struct Answer {
    output: Value,
    status: u16,
    span: (u64, u64),
    version: Version,
}

async fn answer(cx: &Cx, bucket: &Bucket, input: ReadInput, method: &str) -> Result<Answer> {
    if input.customer_algorithm.is_some() {
        return Err(error::request("The encryption parameters are not applicable to this object."));
    }
    if input.overrides.any() && cx.caller.account.as_str().is_empty() {
        return Err(error::request("Request specific response headers cannot be used for anonymous GET requests."));
    }
    let version = readable(cx, bucket, &input.key, input.version_id.as_deref(), method).await?.version;
    let mut output = describe(bucket, &version, &input);
    match input.conditions.judge(&version) {
        Verdict::Go => {}
        Verdict::Failed(which) => return Err(error::precondition(which)),
        Verdict::NotModified => {
            let kept = ["ETag", "LastModified", "CacheControl", "Expires", "VersionId"];
            let members = output.as_object_mut().into_iter().flat_map(std::mem::take).filter(|(name, _)| kept.contains(&name.as_str()));
            return Ok(Answer { output: Value::Object(members.collect()), status: 304, span: (0, 0), version });
        }
    }
    let mut span = range::read(input.range.as_deref(), version.size)?;
    if let Some(number) = input.part_number {
        if input.range.is_some() {
            return Err(error::request("Cannot specify both Range header and partNumber query parameter"));
        }
        span = Some(part(cx, bucket, &version, number).await?);
        if let Some(parts) = version.parts {
            output["PartsCount"] = parts.into();
        }
    }
    let mut status = 200;
    if let Some((start, len)) = span {
        status = 206;
        output["ContentLength"] = len.into();
        // An object (or a part of it) may be empty: then there is no last byte to name.
        if len > 0 {
            output["ContentRange"] = format!("bytes {start}-{}/{}", start + len - 1, version.size).into();
        }
        // The checksum is the whole object's.
        if input.part_number.is_none()
            && let Some(checksum) = &version.checksum
            && len != version.size
        {
            let all = output.as_object_mut();
            all.map(|all| (all.remove(&checksum.algorithm.member()), all.remove("ChecksumType")));
        }
    }
    input.overrides.apply(&mut output);
    Ok(Answer { output, status, span: span.unwrap_or((0, version.size)), version })
}

/// Where part `number` lies.
async fn part(cx: &Cx, bucket: &Bucket, version: &Version, number: u32) -> Result<(u64, u64)> {
    let beyond = || tenantry_core::AwsError::new(416, "InvalidPartNumber", "The requested partnumber is not satisfiable");
    let Some(manifest) = version.manifest(&cx.kernel, bucket.scope()).await? else {
        return if number == 1 { Ok((0, version.size)) } else { Err(beyond()) };
    };
    let mut start = 0;
    for (index, part) in manifest.parts.iter().enumerate() {
        if index + 1 == number as usize {
            return Ok((start, part.size));
        }
        start += part.size;
    }
    Err(beyond())
}

async fn get(cx: &Cx, permit: Permit<GetObject>, input: ReadInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    loop {
        let answer = answer(cx, &bucket, input.clone(), "GET").await?;
        let body = match answer.status {
            304 => Ok(tenantry_kernel::empty()),
            _ => contents(cx, &bucket, &answer.version, answer.span).await,
        };
        match body {
            Ok(body) => return Ok(Reply { status: answer.status, ..Reply::streaming(answer.output, body) }),
            Err(error) => {
                // Deleted or overwritten between reading the row and opening the bytes: then what is there now is the answer.
                let now = version::find(&cx.kernel, &bucket, &input.key, input.version_id.as_deref()).await?;
                if now.is_some_and(|now| now.version.order == answer.version.order) {
                    return Err(error);
                }
            }
        }
    }
}

/// A version's bytes `span.0..span.0 + span.1`.
pub(crate) async fn contents(cx: &Cx, bucket: &Bucket, version: &Version, span: (u64, u64)) -> Result<Body> {
    let segments = version.segments(&cx.kernel, bucket.scope()).await?;
    send::body(&cx.kernel, segments, span.0, span.1).await
}

async fn head(cx: &Cx, permit: Permit<HeadObject>, input: ReadInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    if bucket.elsewhere(cx) {
        let headers = vec![("x-amz-bucket-region".to_owned(), bucket.settings.region.to_string())];
        return Ok(Reply { status: 301, headers, ..Reply::empty() });
    }
    let answer = answer(cx, &bucket, input, "HEAD").await?;
    Ok(Reply { status: answer.status, ..Reply::new(answer.output) })
}
