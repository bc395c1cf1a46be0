//! ListObjectsV2 and ListObjects.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::Row;

use super::{cursor::Cursor, encoded, page, rolled, wants_url};
use crate::{
    bucket::Bucket,
    error, names,
    object::version::{OBJECT, Version, object_id},
    operation::operation,
};

operation!(ListObjectsV2: "s3:ListBucket" on ["bucket"] + ["s3:delimiter", "s3:max-keys", "s3:prefix"], ListInput, resolve, list_v2);
operation!(ListObjects: "s3:ListBucket" on ["bucket"] + ["s3:delimiter", "s3:max-keys", "s3:prefix"], ListInput, resolve, list_v1);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    max_keys: Option<i64>,
    encoding_type: Option<String>,
    expected_bucket_owner: Option<String>,
    /// V1.
    marker: Option<String>,
    /// V2.
    continuation_token: Option<String>,
    start_after: Option<String>,
    #[serde(default)]
    fetch_owner: bool,
}

async fn resolve(cx: &Cx, input: &ListInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let check = bucket
        .check(cx, "s3:ListBucket", None)
        .key_if("s3:prefix", input.prefix.as_deref())
        .key_if("s3:delimiter", input.delimiter.as_deref())
        .key_if("s3:max-keys", input.max_keys.map(|keys| keys.to_string()));
    Ok(check.into())
}

/// A line of a listing.
enum Entry {
    Object(String, Box<Version>),
    Prefix(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// The entries behind `after`, and whether there are more.
async fn walk(cx: &Cx, bucket: &Bucket, input: &ListInput, after: Option<&str>, most: usize) -> Result<(Vec<Entry>, bool)> {
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let within = |text: &str| object_id(&bucket.name, text);
    let mut cursor = Cursor::new(cx.kernel.store(), OBJECT, bucket.scope(), within(prefix));
    let mut entries = Vec::new();
    if let Some(after) = after {
        // A common prefix was given out as a whole: nothing under it comes again.
        match rolled(after, prefix, input.delimiter.as_deref()).filter(|common| *common == after && after.starts_with(prefix)) {
            Some(common) => jump(&mut cursor, common, within),
            None => cursor.after(within(after)),
        }
    }
    let start = bucket.name.len() + 1;
    while let Some(row) = cursor.peek().await? {
        if entries.len() == most {
            return Ok((entries, true));
        }
        let key = row.id.get(start..).unwrap_or_default();
        match rolled(key, prefix, input.delimiter.as_deref()) {
            Some(common) => {
                let common = common.to_owned();
                jump(&mut cursor, &common, within);
                entries.push(Entry::Prefix(common));
            }
            None => {
                let (key, version) = (key.to_owned(), Row::body(row)?);
                cursor.take();
                entries.push(Entry::Object(key, Box::new(version)));
            }
        }
    }
    Ok((entries, false))
}

/// Past everything under a common prefix.
fn jump(cursor: &mut Cursor<'_>, common: &str, within: impl Fn(&str) -> String) {
    match names::after_all_of(common) {
        Some(next) => cursor.seek(within(&next)),
        None => cursor.end(),
    }
}

/// What both versions of the answer have in common.
fn output(bucket: &Bucket, input: &ListInput, entries: &[Entry], most: usize, truncated: bool, owner: bool) -> Result<Value> {
    let url = wants_url(input.encoding_type.as_deref())?;
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(json!({"Prefix": encoded(prefix, url)})),
            Entry::Object(key, version) => {
                let mut object = json!({
                    "Key": encoded(key, url),
                    "LastModified": version.modified,
                    "ETag": version.quoted_etag(),
                    "Size": version.size,
                    "StorageClass": version.details.class(),
                });
                if let Some(checksum) = &version.checksum {
                    object["ChecksumAlgorithm"] = json!([checksum.algorithm.name()]);
                    object["ChecksumType"] = checksum.kind().into();
                }
                if owner {
                    object["Owner"] = names::owner(&bucket.owner);
                }
                contents.push(object);
            }
        }
    }
    let mut output = json!({
        "Name": bucket.name,
        "Prefix": encoded(input.prefix.as_deref().unwrap_or_default(), url),
        "MaxKeys": most,
        "IsTruncated": truncated,
    });
    if !contents.is_empty() {
        output["Contents"] = contents.into();
    }
    if !prefixes.is_empty() {
        output["CommonPrefixes"] = prefixes.into();
    }
    if let Some(delimiter) = input.delimiter.as_deref().filter(|text| !text.is_empty()) {
        output["Delimiter"] = encoded(delimiter, url).into();
    }
    if url {
        output["EncodingType"] = "url".into();
    }
    Ok(output)
}

async fn list_v2(cx: &Cx, permit: Permit<ListObjectsV2>, input: ListInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let most = page(input.max_keys, "max-keys")?;
    let wrong = || {
        error::argument(
            "The continuation token provided is incorrect",
            "continuation-token",
            input.continuation_token.as_deref().unwrap_or_default(),
        )
    };
    let after = match &input.continuation_token {
        Some(token) => Some(String::from_utf8(URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?).map_err(|_| wrong())?),
        None => input.start_after.clone().filter(|text| !text.is_empty()),
    };
    let (entries, more) = if most == 0 { (Vec::new(), false) } else { walk(cx, &bucket, &input, after.as_deref(), most).await? };
    let mut output = output(&bucket, &input, &entries, most, more, input.fetch_owner)?;
    output["KeyCount"] = entries.len().into();
    if let Some(token) = &input.continuation_token {
        output["ContinuationToken"] = token.as_str().into();
    }
    if let Some(last) = entries.last().filter(|_| more) {
        output["NextContinuationToken"] = URL_SAFE_NO_PAD.encode(last.name()).into();
    }
    if let Some(after) = &input.start_after {
        output["StartAfter"] = encoded(after, wants_url(input.encoding_type.as_deref())?).into();
    }
    Ok(Reply::new(output))
}

async fn list_v1(cx: &Cx, permit: Permit<ListObjects>, input: ListInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let most = page(input.max_keys, "max-keys")?;
    let marker = input.marker.as_deref().filter(|text| !text.is_empty());
    let (entries, more) = if most == 0 { (Vec::new(), false) } else { walk(cx, &bucket, &input, marker, most).await? };
    let mut output = output(&bucket, &input, &entries, most, more, true)?;
    let url = wants_url(input.encoding_type.as_deref())?;
    output["Marker"] = encoded(marker.unwrap_or_default(), url).into();
    // Without a delimiter clients take the last key.
    if let Some(last) = entries.last().filter(|_| more && input.delimiter.as_deref().is_some_and(|text| !text.is_empty())) {
        output["NextMarker"] = encoded(last.name(), url).into();
    }
    Ok(Reply::new(output))
}
