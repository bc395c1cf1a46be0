//! GetObjectAttributes.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{
    get::{read_checks, readable},
    put::show_id,
    version::Version,
};
use crate::{bucket::Bucket, list, names, operation::operation};

operation!(GetObjectAttributes: "s3:GetObjectAttributes" | "s3:GetObjectVersionAttributes" on ["object"] + ["s3:ExistingObjectTag/<key>", "s3:versionid"] and ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"], Input, resolve, get);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    bucket: String,
    key: String,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
    object_attributes: Vec<String>,
    max_parts: Option<i64>,
    part_number_marker: Option<u32>,
}

async fn resolve(cx: &Cx, input: &Input) -> Result<Checks> {
    names::check_key(&input.key)?;
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let id = input.version_id.as_deref();
    let own = read_checks(cx, &bucket, &input.key, id, ["s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"]).await?;
    let read = read_checks(cx, &bucket, &input.key, id, ["s3:GetObject", "s3:GetObjectVersion"]).await?;
    Ok(own.iter().chain(read.iter()).cloned().collect())
}

async fn get(cx: &Cx, permit: Permit<GetObjectAttributes>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let version = readable(cx, &bucket, &input.key, input.version_id.as_deref(), "GET").await?.version;
    let mut output = json!({"LastModified": version.modified});
    show_id(&version, &mut output);
    for wanted in &input.object_attributes {
        match wanted.as_str() {
            // Here without quotes.
            "ETag" => output["ETag"] = version.etag.as_str().into(),
            "ObjectSize" => output["ObjectSize"] = version.size.into(),
            "StorageClass" => output["StorageClass"] = version.details.class().into(),
            "Checksum" => {
                if let Some(checksum) = &version.checksum {
                    let mut shown = json!({});
                    checksum.show(&mut shown, true);
                    output["Checksum"] = shown;
                }
            }
            "ObjectParts" => {
                if let Some(parts) = parts(cx, &bucket, &version, &input).await? {
                    output["ObjectParts"] = parts;
                }
            }
            _ => {}
        }
    }
    Ok(Reply::new(output))
}

async fn parts(cx: &Cx, bucket: &Bucket, version: &Version, input: &Input) -> Result<Option<Value>> {
    let Some(manifest) = version.manifest(&cx.kernel, bucket.scope()).await? else { return Ok(None) };
    let most = list::page(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let mut shown = json!({"TotalPartsCount": manifest.parts.len(), "PartNumberMarker": marker, "MaxParts": most});
    // Single parts are listed where they have checksums of their own.
    let Some(checksum) = &version.checksum else { return Ok(Some(shown)) };
    let behind: Vec<_> = manifest.parts.iter().filter(|part| part.number > marker).collect();
    let page = &behind[..behind.len().min(most)];
    shown["IsTruncated"] = (page.len() < behind.len()).into();
    shown["NextPartNumberMarker"] = page.last().map_or(marker, |part| part.number).into();
    let list = page.iter().map(|part| {
        let mut one = json!({"PartNumber": part.number, "Size": part.size});
        if let Some(value) = &part.checksum {
            one[checksum.algorithm.member()] = value.as_str().into();
        }
        one
    });
    shown["Parts"] = list.collect();
    Ok(Some(shown))
}
