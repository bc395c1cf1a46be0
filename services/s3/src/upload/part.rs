//! UploadPart and UploadPartCopy.

use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Body, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{MAX_PARTS, PART, Part, Upload, find, part_check, part_id};
use crate::{
    bucket::Bucket,
    bytes::{
        checksum::Claim,
        hex,
        receive::{self, MAX_PIECE, Terms},
        sweep,
    },
    error, names,
    object::{
        copy::{Source, source_checks, source_conditions, source_version},
        details::{self, text},
        get, range,
        version::NULL,
    },
    operation::operation,
};

operation!(UploadPart: "s3:PutObject" on ["object"] + write [], Map<String, Value>, resolve, upload);
operation!(UploadPartCopy: "s3:PutObject" on ["object"] + write [] and ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"],
    Map<String, Value>, resolve_copy, copy);

async fn named(cx: &Cx, input: &Map<String, Value>) -> Result<Bucket> {
    names::check_key(text(input, "Key").unwrap_or_default())?;
    Bucket::named(cx, text(input, "Bucket").unwrap_or_default(), text(input, "ExpectedBucketOwner")).await
}

async fn resolve(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    let bucket = named(cx, input).await?;
    Ok(part_check(cx, &bucket, input, false).await?.into())
}

async fn resolve_copy(cx: &Cx, input: &Map<String, Value>) -> Result<Checks> {
    let bucket = named(cx, input).await?;
    let source = Source::read(input)?;
    let write = part_check(cx, &bucket, input, false).await?;
    let read = source_checks(cx, &source, text(input, "ExpectedSourceBucketOwner")).await?;
    Ok(std::iter::once(write).chain(read.iter().cloned()).collect())
}

fn number(input: &Map<String, Value>) -> Result<u32> {
    let number = input.get("PartNumber").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (1..=MAX_PARTS).contains(number)).ok_or_else(|| {
        let shown = input.get("PartNumber").map(ToString::to_string).unwrap_or_default();
        error::argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", &shown)
    })
}

/// Takes a part in and commits its row.
async fn keep(
    cx: &Cx,
    bucket: &Bucket,
    input: &Map<String, Value>,
    upload: &(Row, Upload),
    claim: &Claim,
    body: Option<Body>,
) -> Result<Part> {
    let number = number(input)?;
    let (row, upload) = upload;
    if let (Some(own), Some(given)) = (upload.algorithm, claim.algorithm)
        && own != given
    {
        let text = format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            own.name().to_ascii_lowercase(),
            given.name().to_ascii_lowercase()
        );
        return Err(error::request(text));
    }
    let label = upload.encryption.label();
    let terms = Terms { claim, also: upload.algorithm, label: &label, limit: MAX_PIECE };
    let received = receive::receive(cx, body, terms).await?;
    let part = Part {
        number,
        size: received.size,
        etag: hex(&received.md5),
        modified: cx.now(),
        segment: received.segment.clone(),
        checksum: received.checksum.clone(),
    };
    let id = part_id(&upload.id, number);
    let mut batch = Batch::new();
    // The upload may be aborted or completed meanwhile: then there is nothing to add to.
    batch.require(row.kind, &row.scope, row.id.as_str(), Expect::Version(row.version));
    batch.put(Row::new(PART, bucket.scope(), id, cx.now()).parent(upload.id.as_str()).with(&part)?, Expect::Any);
    sweep::request(&mut batch, cx.now());
    match cx.commit(batch).await {
        Ok(()) => Ok(part),
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Err(error::no_such_upload(&upload.id)),
        Err(other) => Err(other.into()),
    }
}

async fn upload(cx: &Cx, permit: Permit<UploadPart>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    details::refuse_unsupported(&input)?;
    number(&input)?;
    let upload = find(cx, &bucket, text(&input, "Key").unwrap_or_default(), text(&input, "UploadId").unwrap_or_default()).await?;
    let claim = Claim::read(&input, cx.request.headers.get("x-amz-trailer").map(String::as_str))?;
    receive::announced(cx, MAX_PIECE)?;
    let part = keep(cx, &bucket, &input, &upload, &claim, cx.take_body()).await?;
    let mut output = json!({"ETag": format!("\"{}\"", part.etag)});
    upload.1.encryption.show(&mut output);
    if let Some(checksum) = &part.checksum {
        checksum.show(&mut output, false);
    }
    Ok(Reply::new(output))
}

async fn copy(cx: &Cx, permit: Permit<UploadPartCopy>, input: Map<String, Value>) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, text(&input, "Bucket").unwrap_or_default()).await?;
    details::refuse_unsupported(&input)?;
    number(&input)?;
    let upload = find(cx, &bucket, text(&input, "Key").unwrap_or_default(), text(&input, "UploadId").unwrap_or_default()).await?;
    let source = Source::read(&input)?;
    let (from, found) = source_version(cx, &source, &source_conditions(&input)?).await?;
    let span = span(text(&input, "CopySourceRange"), found.version.size)?;
    if span.1 > MAX_PIECE {
        return Err(error::request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_PIECE}"
        )));
    }
    let body = get::contents(cx, &from, &found.version, span).await?;
    let part = keep(cx, &bucket, &input, &upload, &Claim::default(), Some(body)).await?;
    let mut result = json!({"ETag": format!("\"{}\"", part.etag), "LastModified": part.modified});
    if let Some(checksum) = &part.checksum {
        checksum.show(&mut result, false);
    }
    let mut output = json!({ "CopyPartResult": result });
    if found.version.id != NULL {
        output["CopySourceVersionId"] = found.version.id.as_str().into();
    }
    upload.1.encryption.show(&mut output);
    Ok(Reply::new(output))
}

/// The bytes of a copy's source. Here a range has both ends and must lie within the source.
fn span(header: Option<&str>, size: u64) -> Result<(u64, u64)> {
    let Some(text) = header else { return Ok((0, size)) };
    let wrong = || {
        error::argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            text,
        )
    };
    let outside = |_: AwsError| {
        error::argument(&format!("Range specified is not valid for source object of size: {size}"), "x-amz-copy-source-range", text)
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(wrong)?;
    let (Ok(_), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { return Err(wrong()) };
    if last >= size {
        return Err(outside(error::malformed_xml()));
    }
    range::read(Some(text), size).map_err(outside)?.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ranges() {
        assert_eq!(span(None, 10).unwrap(), (0, 10));
        assert_eq!(span(Some("bytes=2-9"), 10).unwrap(), (2, 8));
        for text in ["bytes=2-10", "bytes=2-", "bytes=-2", "2-3", "bytes=5-2"] {
            assert_eq!(span(Some(text), 10).unwrap_err().code, "InvalidArgument", "{text}");
        }
    }
}
