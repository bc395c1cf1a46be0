//! CompleteMultipartUpload: the parts become one object, in one commit.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Checks, Cx, Ids, Permit, Reply};
use tenantry_store::{Expect, List, Row};

use super::{MAX_PARTS, PART, Part, Upload, find, part_check};
use crate::{
    bucket::Bucket,
    bytes::{
        checksum::{self, Checksum},
        hex,
        hold::Hold,
        sweep,
    },
    error, names,
    object::{
        condition::WriteIf,
        details::text,
        install::install,
        put::show_id,
        version::{self, MANIFEST, Manifest, Version},
    },
    operation::operation,
};

/// Every part but the last: 5 MiB.
const MIN_PART: u64 = 5 * 1024 * 1024;
/// The largest object: 5 TiB.
const MAX_OBJECT: u64 = 5 * 1024 * 1024 * 1024 * 1024;

operation!(CompleteMultipartUpload: "s3:PutObject" on ["object"] + write [], Map<String, Value>, resolve, complete);

async fn resolve(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    names::check_key(text(input, "Key").unwrap_or_default())?;
    let bucket = Bucket::named(cx, text(input, "Bucket").unwrap_or_default(), text(input, "ExpectedBucketOwner")).await?;
    Ok(part_check(cx, &bucket, input, true).await?.into())
}

/// A line of the client's list.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "PartNumber")]
    number: Option<u32>,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The parts that the client lists, as they were stored.
fn chosen(upload: &Upload, listed: &[Listed], stored: Vec<(Row, Part)>) -> Result<Vec<(Row, Part)>> {
    let invalid = |number: u32| {
        let text = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
        AwsError::new(400, "InvalidPart", text).with("UploadId", upload.id.as_str()).with("PartNumber", number.to_string())
    };
    let mut stored = stored.into_iter().peekable();
    let mut out: Vec<(Row, Part)> = Vec::with_capacity(listed.len());
    let mut before = 0;
    for one in listed {
        let number = one.number.filter(|number| (1..=MAX_PARTS).contains(number)).ok_or_else(|| invalid(one.number.unwrap_or(0)))?;
        if number <= before {
            return Err(AwsError::new(
                400,
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
            )
            .with("UploadId", upload.id.as_str()));
        }
        before = number;
        while stored.peek().is_some_and(|(_, part)| part.number < number) {
            stored.next();
        }
        let (row, part) = stored.next().filter(|(_, part)| part.number == number).ok_or_else(|| invalid(number))?;
        if one.etag.as_deref().is_none_or(|etag| etag.trim_matches('"') != part.etag) {
            return Err(invalid(number));
        }
        for (member, value) in &one.rest {
            let claimed = member.starts_with("Checksum").then(|| value.as_str()).flatten();
            let own =
                part.checksum.as_ref().filter(|checksum| checksum.algorithm.member() == *member).map(|checksum| checksum.value.as_str());
            if claimed.is_some() && claimed != own {
                return Err(invalid(number));
            }
        }
        out.push((row, part));
    }
    for (_, part) in out.iter().rev().skip(1) {
        if part.size < MIN_PART {
            return Err(AwsError::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
                .with("ProposedSize", part.size.to_string())
                .with("MinSizeAllowed", MIN_PART.to_string())
                .with("PartNumber", part.number.to_string())
                .with("ETag", part.etag.as_str()));
        }
    }
    Ok(out)
}

/// `md5 of md5s-N`
fn etag(parts: &[(Row, Part)]) -> String {
    let mut hash = Md5::new();
    for (_, part) in parts {
        let bytes: Vec<u8> =
            (0..part.etag.len() / 2).filter_map(|i| u8::from_str_radix(part.etag.get(i * 2..i * 2 + 2)?, 16).ok()).collect();
        hash.update(&bytes);
    }
    format!("{}-{}", hex(&hash.finalize()), parts.len())
}

/// The object's checksum; held against what the client claims of the whole.
fn whole(upload: &Upload, parts: &[(Row, Part)], input: &Map<String, Value>) -> Result<Option<Checksum>> {
    let Some(algorithm) = upload.algorithm else { return Ok(None) };
    let raw = parts.iter().map(|(_, part)| {
        let checksum = part.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm)?;
        Some((STANDARD.decode(&checksum.value).ok()?, part.size))
    });
    let raw: Option<Vec<_>> = raw.collect();
    let raw = raw.ok_or_else(|| AwsError::internal("a part has no checksum of its upload's algorithm"))?;
    let checksum = checksum::of_parts(algorithm, upload.composite, &raw);
    let kind = text(input, "ChecksumType");
    if kind.is_some_and(|kind| checksum.as_ref().is_none_or(|checksum| checksum.kind() != kind)) {
        return Err(error::request("The upload was created with another checksum type than the complete request has."));
    }
    if let Some(claimed) = text(input, &algorithm.member()) {
        // A composite value may come with or without its count.
        let own = checksum.as_ref().map(|checksum| checksum.value.as_str()).unwrap_or_default();
        if claimed != own && own.split('-').next() != Some(claimed) {
            return Err(checksum::mismatch(algorithm));
        }
    }
    Ok(checksum)
}

async fn complete(cx: &Cx, permit: Permit<CompleteMultipartUpload>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    let key = text(&input, "Key").unwrap_or_default().to_owned();
    let (row, upload) = find(cx, &bucket, &key, text(&input, "UploadId").unwrap_or_default()).await?;
    let conditions = WriteIf::read(&input)?;
    let listed = input.get("MultipartUpload").and_then(|upload| upload.get("Parts")).cloned().unwrap_or_default();
    let listed: Vec<Listed> = serde_json::from_value(listed).map_err(|_| error::malformed_xml())?;
    if listed.is_empty() || listed.len() > MAX_PARTS as usize {
        return Err(error::malformed_xml());
    }
    let rows = cx.kernel.store().list(&List::of(PART, bucket.scope()).parent(&upload.id)).await?;
    let stored = rows.into_iter().map(|row| row.body().map(|part: Part| (row, part))).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut others: BTreeSet<String> = stored.iter().map(|(row, _)| row.id.clone()).collect();
    let parts = chosen(&upload, &listed, stored)?;
    parts.iter().for_each(|(row, _)| _ = others.remove(&row.id));
    // Before the commit that takes the parts' rows away, and requires them.
    let _hold = Hold::of(parts.iter().filter_map(|(_, part)| part.segment.as_ref()));
    let size: u64 = parts.iter().map(|(_, part)| part.size).sum();
    if size > MAX_OBJECT {
        return Err(error::too_large(size, MAX_OBJECT));
    }
    if input.get("MpuObjectSize").is_some_and(|claimed| claimed.as_u64() != Some(size) && claimed.as_str() != Some(&size.to_string())) {
        return Err(error::request("The provided 'x-amz-mp-object-size' header does not match what was computed."));
    }
    let checksum = whole(&upload, &parts, &input)?;
    let manifest_id = Ids::lower(32);
    let manifest = Manifest {
        parts: parts
            .iter()
            .map(|(_, part)| version::Part {
                number: part.number,
                segment: part.segment.clone(),
                size: part.size,
                checksum: part.checksum.as_ref().map(|c| c.value.clone()),
            })
            .collect(),
    };
    let new = Version {
        size,
        etag: etag(&parts),
        manifest: Some(manifest_id.clone()),
        parts: u32::try_from(parts.len()).ok(),
        checksum,
        details: upload.details.clone(),
        encryption: upload.encryption.clone(),
        tags: upload.tags.clone(),
        ..Version::new(cx.now())
    };
    let scope = bucket.scope().clone();
    let name = bucket.name.clone();
    let still_there = row.clone();
    let installed = install(cx, bucket, &key, new, &conditions, |batch| {
        for (row, _) in &parts {
            batch.delete(PART, &scope, row.id.as_str(), Expect::Version(row.version));
        }
        for id in &others {
            batch.delete(PART, &scope, id.as_str(), Expect::Any);
        }
        batch.delete(still_there.kind, &scope, still_there.id.as_str(), Expect::Version(still_there.version));
        batch.put(Row::new(MANIFEST, &scope, manifest_id.as_str(), cx.now()).parent(name.as_str()).with(&manifest)?, Expect::Absent);
        sweep::request(batch, cx.now());
        Ok(())
    })
    .await;
    let version = match installed {
        Ok(version) => version,
        Err(lost) if lost.code == "OperationAborted" => {
            // Lost again and again: most likely because the upload is gone.
            find(cx, &Bucket::in_scope(&cx.kernel, &scope, &name).await?, &key, &upload.id).await?;
            return Err(lost);
        }
        Err(other) => return Err(other),
    };
    Ok(Reply::new(answer(cx, &name, &key, &version)))
}

fn answer(cx: &Cx, bucket: &str, key: &str, version: &Version) -> Value {
    let base = if cx.request.base_url.is_empty() {
        format!("https://{bucket}.s3.amazonaws.com")
    } else {
        format!("{}/{bucket}", cx.request.base_url)
    };
    let mut output = json!({"Location": format!("{base}/{}", crate::list::encoded(key, true)), "Bucket": bucket, "Key": key, "ETag": version.quoted_etag()});
    version.encryption.show(&mut output);
    show_id(version, &mut output);
    if let Some(checksum) = &version.checksum {
        checksum.show(&mut output, true);
    }
    output
}
