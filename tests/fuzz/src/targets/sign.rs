//! SigV4: what is presented, what is signed, and bodies signed by the chunk.
//!
//! Held: whatever request is signed verifies, and verifies no more once a byte of its path or a signed header is another; a
//! stream of signed chunks reads back as what was signed however it is cut, and never with a byte changed.

use tenantry_core::Timestamp;
use tenantry_sigv4::{ChunkDecoder, Credentials, Form as Where, Payload, PostScope, Presented, Signer, SigningKey};

use super::{MEMORY, http::Plain, seeds};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar, split_line},
};

/// 2026-11-22T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
const SECRET: &str = "a secret of nobody";

pub(super) fn targets() -> Vec<Target> {
    let target = |name, what, form, tokens, make: fn() -> Run, seeds| Target {
        name,
        what,
        // Short: each of its cuts is a signature, or a push.
        grammar: Grammar { head: form == Form::Bytes, form, tokens, longest: 4 << 10 },
        memory: MEMORY,
        renew: 0,
        make,
        seeds,
    };
    vec![
        target(
            "signature",
            "what a request presents, in header and query; what we sign verifies and changed does not",
            Form::Http,
            TOKENS,
            || Box::new(signature),
            || {
                seeds(&[
                    "GET /a/../b%20c?x=1&y HTTP/1.1\nhost: sts.amazonaws.com\nx-amz-meta-a:  b   c\n\n",
                    "PUT /b/k HTTP/1.1\nhost: b.s3.amazonaws.com\nx-amz-content-sha256: UNSIGNED-PAYLOAD\nauthorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261122/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\nx-amz-date: 20261122T120000Z\n\n",
                    "GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0000000000000000000000000000000000000000000000000000000000000000 HTTP/1.1\nhost: s3.amazonaws.com\n\n",
                    "GET /b/k?AWSAccessKeyId=AKIAEXAMPLE&Expires=1795348900&Signature=AAAA%3D HTTP/1.1\nhost: s3.amazonaws.com\n\n",
                ])
            },
        ),
        target(
            "chunks",
            "aws-chunked bodies: raw, and signed by us, cut anywhere and changed anywhere",
            Form::Bytes,
            CHUNKS,
            || Box::new(chunks),
            || {
                seeds(&[
                    "raw unsigned 5\n5\r\nhello\r\n0\r\n\r\n",
                    "raw trailer 5\n5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
                    "raw signed 3\n3;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\nabc\r\n0;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n",
                    "make 3 7 19\nwhat is to be signed in chunks and cut into pieces",
                ])
            },
        ),
    ]
}

const TOKENS: &[&str] = &[
    "authorization: AWS4-HMAC-SHA256 ",
    "Credential=",
    "SignedHeaders=host",
    "Signature=",
    ", ",
    "/aws4_request",
    "20261122",
    "20261122T120000Z",
    "x-amz-date: ",
    "date: ",
    "x-amz-security-token: t",
    "X-Amz-Security-Token=t&",
    "X-Amz-Expires=604801",
    "X-Amz-Signature=",
    "x-amz-signature=",
    "AWSAccessKeyId=",
    "authorization: Basic ",
    "authorization: Bearer ",
    "authorization: AWS ",
    "AWS4-ECDSA-P256-SHA256",
    "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "x-amz-decoded-content-length: 1",
    "%2F",
    "%",
    "//",
    "/./",
    "/../",
    "host: ",
];
const CHUNKS: &[&str] = &[
    "\r\n",
    "0\r\n",
    "\r\n\r\n",
    ";chunk-signature=",
    "x-amz-trailer-signature:",
    "x-amz-checksum-crc32:",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "-1\r\n",
    "+5\r\n",
    "0x5\r\n",
    "raw ",
    "make ",
    "signed ",
    "unsigned ",
    "trailer ",
    "signed-trailer ",
    "5;a=b;",
    "\n",
    "\r",
];

fn signature(input: &[u8]) {
    let plain = Plain::read(input);
    plain.with_parts(|parts| match tenantry_sigv4::present(parts) {
        Ok(Some(Credentials::V4(presented))) => {
            let key = SigningKey::derive(SECRET, &presented.scope_date, &presented.region, &presented.service);
            assert!(presented.date <= Timestamp::from_secs(253_402_300_799), "a date beyond the calendar");
            // Nobody has signed it.
            assert!(
                tenantry_sigv4::verify(parts, &presented, &key, Some(tenantry_sigv4::EMPTY_SHA256), NOW).is_err(),
                "a signature out of nothing"
            );
        }
        Ok(Some(Credentials::V2(presented))) => {
            assert!(tenantry_sigv4::verify_v2(parts, &presented, None, SECRET, None, NOW).is_err(), "a signature out of nothing");
        }
        Ok(None) => signed_and_back(&plain),
        Err(fault) => drop(fault.to_string()),
    });
    if let Some((_, value)) = plain.headers.first() {
        drop(PostScope::read(value, "20261122T120000Z"));
    }
}

/// What we sign is what we verify.
fn signed_and_back(plain: &Plain) {
    let service = if plain.header("host").is_some_and(|host| host.contains("s3")) { "s3" } else { "sts" };
    let signer = Signer { access_key: "AKIAEXAMPLE", secret: SECRET, token: None, region: "us-east-1", service };
    let added = plain.with_parts(|parts| tenantry_sigv4::sign(parts, tenantry_sigv4::EMPTY_SHA256, &signer, NOW));
    let mut signed = plain.clone();
    signed.headers.extend(added);
    let verified = |plain: &Plain| {
        plain.with_parts(|parts| {
            let Ok(Some(Credentials::V4(presented))) = tenantry_sigv4::present(parts) else { return false };
            let key = SigningKey::derive(SECRET, &presented.scope_date, &presented.region, &presented.service);
            tenantry_sigv4::verify(parts, &presented, &key, Some(tenantry_sigv4::EMPTY_SHA256), NOW).is_ok()
        })
    };
    if !verified(&signed) {
        return;
    }
    // The last ones are those that signing added; verifying is linear, so not all of many are tried.
    for (at, (name, _)) in signed.headers.iter().enumerate().rev().filter(|(_, (name, _))| name != "authorization").take(8) {
        let mut other = signed.clone();
        other.headers[at].1.push('x');
        assert!(!verified(&other), "a changed header `{name}` verifies");
    }
    let mut other = signed.clone();
    other.path.push('x');
    assert!(!verified(&other), "a changed path verifies");
    let mut other = signed.clone();
    other.method.push('X');
    assert!(!verified(&other), "a changed method verifies");
    let mut other = signed;
    other.query.push_str("&zz=1");
    assert!(!verified(&other), "a changed query verifies");
    let mut presigned = plain.clone();
    presigned.query = plain.with_parts(|parts| tenantry_sigv4::presign(parts, 60, &signer, NOW));
    if verified(&presigned) {
        presigned.path.push('x');
        assert!(!verified(&presigned), "a changed path of a presigned URL verifies");
    }
}

fn presented(signed: bool, trailer: bool) -> Presented {
    Presented {
        access_key: "AKIAEXAMPLE".to_owned(),
        date: NOW,
        scope_date: "20261122".to_owned(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
        signed_headers: vec!["host".to_owned()],
        signature: "0".repeat(64),
        token: None,
        form: Where::Header,
        payload: Payload::Streaming { signed_chunks: signed, trailer },
    }
}

fn key() -> SigningKey {
    SigningKey::derive(SECRET, "20261122", "us-east-1", "s3")
}

/// Reads a body cut into pieces of these lengths, over and over.
fn read(presented: &Presented, body: &[u8], length: Option<u64>, cuts: &[usize]) -> Option<Vec<u8>> {
    let mut decoder = ChunkDecoder::new(presented, key(), length).expect("the payload streams");
    let (mut out, mut rest) = (Vec::new(), body);
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*cut).clamp(1, rest.len()));
        let before = out.len();
        let pushed = decoder.push(piece, &mut out);
        assert!(out.len() - before <= piece.len(), "more came out than went in");
        pushed.ok()?;
        rest = behind;
    }
    decoder.finish().ok().map(|_| out)
}

fn chunks(input: &[u8]) {
    let (head, body) = split_line(input);
    let head = String::from_utf8_lossy(head);
    let mut words = head.split_whitespace();
    if words.next() != Some("make") {
        let kind = words.next().unwrap_or_default();
        let length = words.next().and_then(|word| word.parse().ok());
        let presented = presented(kind.starts_with("signed"), kind.ends_with("trailer"));
        let whole = read(&presented, body, length, &[usize::MAX]);
        for cuts in [&[1][..], &[7, 1, 30]] {
            assert_eq!(read(&presented, body, length, cuts), whole, "how it is cut counts");
        }
        if let (Some(out), Some(length)) = (whole, length) {
            assert_eq!(out.len() as u64, length, "not as long as announced");
        }
        return;
    }
    let cuts: Vec<usize> = words.filter_map(|word| word.parse().ok()).take(16).chain([64]).collect();
    let (presented, stream) = sign_chunks(body, &cuts);
    let length = Some(body.len() as u64);
    assert_eq!(read(&presented, &stream, length, &cuts).as_deref(), Some(body), "what was signed does not read back");
    let mut changed = stream;
    let at = cuts.iter().fold(body.len(), |at, cut| at.wrapping_mul(31).wrapping_add(*cut)) % changed.len();
    changed[at] ^= 1;
    if let Some(out) = read(&presented, &changed, length, &cuts) {
        assert_eq!(out, body, "a changed byte at {at} reads as something else");
    }
}

/// A body as a client signs it, and what the request presents of it.
fn sign_chunks(body: &[u8], cuts: &[usize]) -> (Presented, Vec<u8>) {
    let presented = presented(true, false);
    let (mut stream, mut before, mut rest) = (Vec::new(), presented.signature.clone(), body);
    let mut cuts = cuts.iter().cycle();
    loop {
        let (piece, behind) = rest.split_at(cuts.next().map_or(1, |cut| (*cut).max(1)).min(rest.len()));
        let scope = presented.scope();
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n20261122T120000Z\n{scope}\n{before}\n{}\n{}",
            tenantry_sigv4::EMPTY_SHA256,
            tenantry_sigv4::sha256_hex(piece)
        );
        before = hex_hmac(&text);
        stream.extend_from_slice(format!("{:x};chunk-signature={before}\r\n", piece.len()).as_bytes());
        stream.extend_from_slice(piece);
        stream.extend_from_slice(b"\r\n");
        if piece.is_empty() {
            return (presented, stream);
        }
        rest = behind;
    }
}

/// Written apart from the crate under test.
fn hex_hmac(text: &str) -> String {
    use ring::hmac::{HMAC_SHA256, Key, sign};
    let step = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes());
    let mut tag = step(format!("AWS4{SECRET}").as_bytes(), "20261122");
    for part in ["us-east-1", "s3", "aws4_request", text] {
        tag = step(tag.as_ref(), part);
    }
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
