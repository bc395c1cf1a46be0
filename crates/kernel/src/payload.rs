//! A streaming body held against what was signed of it, while the handler reads it.
//!
//! Nobody may take a forged body for whole: what remains to be proven is held back, and where it is not proven the body ends with
//! an error.

use std::{io, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tenantry_core::{AwsError, Result};
use tenantry_sigv4::{ChunkDecoder, Dialect, Fault, Payload, Presented, SigningKey};

use crate::{
    authenticate::hex,
    body::{self, Body},
    door::Head,
};

/// A streaming body that fails at its end unless it is what was signed. A handler that gets an error
/// out of it must throw away what it wrote; the error holds the [`AwsError`] to answer.
pub(crate) fn proven(body: Body, presented: &Presented, key: Arc<SigningKey>, head: &Head) -> Result<Body> {
    match &presented.payload {
        Payload::Unsigned => Ok(body),
        Payload::Computed => Err(AwsError::new(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")),
        Payload::Signed(promised) => {
            let (length, promised) = (hyper::body::Body::size_hint(&body).exact(), promised.clone());
            Ok(body::on_demand(length, move || hashed(body, promised)))
        }
        Payload::Streaming { .. } => {
            let length = head.header("x-amz-decoded-content-length").map(str::parse::<u64>).transpose();
            let length = length.map_err(|_| AwsError::new(400, "InvalidArgument", "x-amz-decoded-content-length is not a number"))?;
            let length =
                length.ok_or_else(|| AwsError::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header."))?;
            let decoder = ChunkDecoder::new(presented, &*key, Some(length)).map_err(|fault| fault.answer(Dialect::S3))?;
            Ok(body::on_demand(Some(length), move || decoded(body, decoder, length)))
        }
    }
}

/// A body that fails at its end unless its SHA-256 is what was promised.
pub(crate) fn hashed(mut body: Body, promised: String) -> Body {
    let length = hyper::body::Body::size_hint(&body).exact();
    let (sender, out) = body::channel(length);
    tokio::spawn(async move {
        let mut hash = Sha256::new();
        // The last chunk is held back until the hash is known, so that nobody takes a forged body for whole.
        let mut held: Option<Bytes> = None;
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => {
                    hash.update(&data);
                    if let Some(ready) = held.replace(data)
                        && sender.send(Ok(ready)).await.is_err()
                    {
                        return;
                    }
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    let _gone = sender.send(Err(error)).await;
                    return;
                }
            }
        }
        let actual = hex(&hash.finalize());
        if actual == promised {
            if let Some(last) = held {
                let _gone = sender.send(Ok(last)).await;
            }
        } else {
            let fault = Fault::PayloadMismatch { client: promised, server: actual };
            let _gone = sender.send(Err(io::Error::other(fault.answer(Dialect::S3)))).await;
        }
    });
    out
}

/// Unwraps `aws-chunked`. Trailers (checksums) come as a last trailers frame, in lower case.
fn decoded(mut body: Body, mut decoder: ChunkDecoder, length: u64) -> Body {
    let (sender, out) = body::channel_with_trailers(Some(length));
    tokio::spawn(async move {
        let fail = |fault: &Fault| io::Error::other(fault.answer(Dialect::S3));
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => {
                    let mut clear = Vec::with_capacity(data.len());
                    if let Err(fault) = decoder.push(&data, &mut clear) {
                        let _gone = sender.send(Err(fail(&fault))).await;
                        return;
                    }
                    if !clear.is_empty() && sender.send(Ok(hyper::body::Frame::data(Bytes::from(clear)))).await.is_err() {
                        return;
                    }
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    let _gone = sender.send(Err(error)).await;
                    return;
                }
            }
        }
        match decoder.finish() {
            Ok(trailers) => {
                let mut map = hyper::HeaderMap::new();
                for (name, value) in trailers {
                    if let (Ok(name), Ok(value)) = (hyper::header::HeaderName::try_from(name), hyper::header::HeaderValue::try_from(value))
                    {
                        map.append(name, value);
                    }
                }
                let _gone = sender.send(Ok(hyper::body::Frame::trailers(map))).await;
            }
            Err(fault) => _ = sender.send(Err(fail(&fault))).await,
        }
    });
    out
}
