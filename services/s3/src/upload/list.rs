//! ListMultipartUploads and ListParts.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::List;

use super::{PART, Part, UPLOAD, Upload, find, part_id, upload_id};
use crate::{
    bucket::Bucket,
    list::{cursor::Cursor, encoded, page, rolled, wants_url},
    names,
    object::version::object_id,
    operation::operation,
};

operation!(ListMultipartUploads: "s3:ListBucketMultipartUploads" on ["bucket"] + [], UploadsInput, resolve_uploads, uploads);
operation!(ListParts: "s3:ListMultipartUploadParts" on ["object"] + [], PartsInput, resolve_parts, parts);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UploadsInput {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    max_uploads: Option<i64>,
    encoding_type: Option<String>,
    key_marker: Option<String>,
    upload_id_marker: Option<String>,
    expected_bucket_owner: Option<String>,
}

async fn resolve_uploads(cx: &Cx, input: &UploadsInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:ListBucketMultipartUploads", None).into())
}

/// A line of the listing.
enum Entry {
    Upload(Box<Upload>),
    Prefix(String),
}

async fn uploads(cx: &Cx, permit: Permit<ListMultipartUploads>, input: UploadsInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let most = page(input.max_uploads, "max-uploads")?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|text| !text.is_empty());
    let within = |text: &str| object_id(&bucket.name, text);
    let mut cursor = Cursor::new(cx.kernel.store(), UPLOAD, bucket.scope(), within(prefix));
    let key_marker = input.key_marker.as_deref().filter(|text| !text.is_empty());
    let id_marker = input.upload_id_marker.as_deref().filter(|text| !text.is_empty());
    match (key_marker, id_marker) {
        (Some(key), Some(id)) => cursor.after(upload_id(&bucket.name, key, id)),
        (Some(key), None) => match rolled(key, prefix, delimiter).filter(|common| *common == key) {
            Some(common) => pass(&mut cursor, common, within),
            None => cursor.seek(format!("{}\u{1}", within(key))),
        },
        _ => {}
    }
    let (mut entries, mut more) = (Vec::new(), false);
    while let Some(row) = cursor.peek().await? {
        if entries.len() >= most {
            more = most > 0;
            break;
        }
        let upload: Upload = row.body()?;
        match rolled(&upload.key, prefix, delimiter) {
            Some(common) => {
                let common = common.to_owned();
                pass(&mut cursor, &common, within);
                entries.push(Entry::Prefix(common));
            }
            None => {
                cursor.take();
                entries.push(Entry::Upload(Box::new(upload)));
            }
        }
    }
    let url = wants_url(input.encoding_type.as_deref())?;
    let mut output = render(&bucket, &entries, url);
    output["Prefix"] = encoded(prefix, url).into();
    output["KeyMarker"] = encoded(key_marker.unwrap_or_default(), url).into();
    output["UploadIdMarker"] = id_marker.unwrap_or_default().into();
    output["MaxUploads"] = most.into();
    output["IsTruncated"] = more.into();
    if let Some(delimiter) = delimiter {
        output["Delimiter"] = encoded(delimiter, url).into();
    }
    if url {
        output["EncodingType"] = "url".into();
    }
    match entries.last().filter(|_| more) {
        Some(Entry::Prefix(common)) => output["NextKeyMarker"] = encoded(common, url).into(),
        Some(Entry::Upload(upload)) => {
            output["NextKeyMarker"] = encoded(&upload.key, url).into();
            output["NextUploadIdMarker"] = upload.id.as_str().into();
        }
        None => {}
    }
    Ok(Reply::new(output))
}

/// Past everything under a common prefix.
fn pass(cursor: &mut Cursor<'_>, common: &str, within: impl Fn(&str) -> String) {
    match names::after_all_of(common) {
        Some(next) => cursor.seek(within(&next)),
        None => cursor.end(),
    }
}

fn render(bucket: &Bucket, entries: &[Entry], url: bool) -> Value {
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Prefix(common) => prefixes.push(json!({"Prefix": encoded(common, url)})),
            Entry::Upload(upload) => {
                let mut one = json!({
                    "Key": encoded(&upload.key, url),
                    "UploadId": upload.id,
                    "Initiated": upload.begun,
                    "StorageClass": upload.details.class(),
                    "Owner": names::owner(&bucket.owner),
                    "Initiator": {"ID": upload.initiator},
                });
                show_checksum(upload, &mut one);
                uploads.push(one);
            }
        }
    }
    let mut output = json!({"Bucket": bucket.name});
    if !uploads.is_empty() {
        output["Uploads"] = uploads.into();
    }
    if !prefixes.is_empty() {
        output["CommonPrefixes"] = prefixes.into();
    }
    output
}

fn show_checksum(upload: &Upload, output: &mut Value) {
    if let Some(algorithm) = upload.algorithm {
        output["ChecksumAlgorithm"] = algorithm.name().into();
        output["ChecksumType"] = if upload.composite { "COMPOSITE" } else { "FULL_OBJECT" }.into();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartsInput {
    bucket: String,
    key: String,
    upload_id: String,
    max_parts: Option<i64>,
    part_number_marker: Option<u32>,
    expected_bucket_owner: Option<String>,
}

async fn resolve_parts(cx: &Cx, input: &PartsInput) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:ListMultipartUploadParts", Some(&input.key)).into())
}

async fn parts(cx: &Cx, permit: Permit<ListParts>, input: PartsInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let (_, upload) = find(cx, &bucket, &input.key, &input.upload_id).await?;
    let most = page(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = part_id(&upload.id, marker);
    let query = List::of(PART, bucket.scope()).parent(&upload.id).after(Some(&after)).limit(most + 1);
    let mut rows = cx.kernel.store().list(&query).await?;
    let more = rows.len() > most;
    rows.truncate(most);
    let mut last = marker;
    let mut list = Vec::new();
    for row in &rows {
        let part: Part = row.body()?;
        last = part.number;
        let mut one =
            json!({"PartNumber": part.number, "LastModified": part.modified, "ETag": format!("\"{}\"", part.etag), "Size": part.size});
        if let Some(checksum) = &part.checksum {
            checksum.show(&mut one, false);
        }
        list.push(one);
    }
    let mut output = json!({
        "Bucket": bucket.name,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": marker,
        "MaxParts": most,
        "IsTruncated": more && most > 0,
        "Initiator": {"ID": upload.initiator},
        "Owner": names::owner(&bucket.owner),
        "StorageClass": upload.details.class(),
    });
    if !list.is_empty() {
        output["Parts"] = list.into();
        output["NextPartNumberMarker"] = last.into();
    }
    show_checksum(&upload, &mut output);
    Ok(Reply::new(output))
}
