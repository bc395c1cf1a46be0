//! A body on its way in: hashed, encrypted and written as it arrives.
//!
//! Nothing that names the bytes is committed before all of it is on disk and proven to be what was
//! announced; a body that fails leaves nothing behind.

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use tenantry_blob::Stored;
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Body, Cx};

use super::{
    Segment,
    checksum::{Algorithm, Checksum, Claim},
    digests::Digests,
    seal::Keys,
};
use crate::error;

/// The largest object that one request may bring, and the largest part: 5 GiB.
pub(crate) const MAX_PIECE: u64 = 5 * 1024 * 1024 * 1024;

/// Bytes that are on disk and not named by a row yet. **Keep it until the row is committed.**
pub(crate) struct Received {
    /// `None` where there are no bytes.
    pub segment: Option<Segment>,
    pub size: u64,
    pub md5: [u8; 16],
    pub checksum: Option<Checksum>,
    _kept: Option<Stored>,
}

/// How a body is to be taken.
pub(crate) struct Terms<'a> {
    /// What the client says of it.
    pub claim: &'a Claim,
    /// Computed also where the client claims nothing.
    pub also: Option<Algorithm>,
    /// Which key it is sealed under.
    pub label: &'a str,
    /// The most bytes.
    pub limit: u64,
}

/// Takes a body in.
///
/// # Errors
/// What the body's proof says, `IncompleteBody`, `BadDigest`, `EntityTooLarge`, or a disk that refuses.
pub(crate) async fn receive(cx: &Cx, body: Option<Body>, terms: Terms<'_>) -> Result<Received> {
    let keys = Keys::load(&cx.kernel).await?;
    let mut sealer = keys.sealer(terms.label)?;
    let mut writer = cx.kernel.blobs().writer();
    let algorithm = terms.claim.algorithm.or(terms.also);
    let mut digests = Digests::new(algorithm);
    let (mut size, mut trailers, mut sealed) = (0u64, Vec::new(), Vec::new());
    let mut body = body.unwrap_or_else(tenantry_kernel::empty);
    while let Some(frame) = body.frame().await {
        match frame.map_err(broken)?.into_data() {
            Ok(data) => {
                size += data.len() as u64;
                if size > terms.limit {
                    return Err(error::too_large(size, terms.limit));
                }
                digests.update(&data).await?;
                sealer.push(&data, &mut sealed)?;
                for block in sealed.drain(..) {
                    writer.write(block).await?;
                }
            }
            Err(frame) => {
                for (name, value) in frame.into_trailers().unwrap_or_default().iter() {
                    trailers.push((name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
                }
            }
        }
    }
    let (md5, value) = digests.finish().await?;
    let value = value.map(|bytes| STANDARD.encode(bytes));
    terms.claim.prove(&md5, value.as_deref(), &trailers)?;
    let checksum = algorithm.zip(value).map(|(algorithm, value)| Checksum { algorithm, value, composite: false });
    if size == 0 {
        return Ok(Received { segment: None, size, md5, checksum, _kept: None });
    }
    let (last, name) = sealer.finish()?;
    if let Some(last) = last {
        writer.write(last).await?;
    }
    let stored = writer.finish(name).await?;
    let segment = Segment { blob: stored.id, size, label: sealer.label, salt: sealer.salt };
    Ok(Received { segment: Some(segment), size, md5, checksum, _kept: Some(stored) })
}

/// A body that failed: with the answer that its proof gives, or because the client went away.
fn broken(failure: std::io::Error) -> AwsError {
    match failure.get_ref().and_then(|inner| inner.downcast_ref::<AwsError>()) {
        Some(answer) => answer.clone(),
        None => AwsError::new(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    }
}

/// The length that the client announces, before anything is read.
///
/// # Errors
/// `EntityTooLarge`; `MissingContentLength` for a client that announces none.
pub(crate) fn announced(cx: &Cx, limit: u64) -> Result<()> {
    let headers = &cx.request.headers;
    let length = headers.get("x-amz-decoded-content-length").or_else(|| headers.get("content-length"));
    match length.map(|text| text.parse::<u64>()) {
        Some(Ok(length)) if length > limit => Err(error::too_large(length, limit)),
        Some(Ok(_)) => Ok(()),
        // The platform's own calls have no headers.
        None if headers.is_empty() => Ok(()),
        _ => Err(AwsError::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")),
    }
}
