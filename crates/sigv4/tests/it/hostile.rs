//! Whatever arrives: an answer, never a panic; and nothing that was not signed with the key is accepted.

use proptest::prelude::*;
use tenantry_sigv4::{ChunkDecoder, Fault, GitPassword, SigningKey, verify};

use crate::{Request, chunked::presented, present, roundtrip::NOW};

/// Text in which the words that matter are frequent.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "AWS4-HMAC-SHA256",
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        "/aws4_request",
        "AKID/20260101/us-east-1/s3",
        "X-Amz-Algorithm=",
        "X-Amz-Credential=",
        "X-Amz-Date=",
        "X-Amz-Expires=",
        "X-Amz-SignedHeaders=",
        "X-Amz-Signature=",
        "20260101T000000Z",
        "host",
        "%2F",
        "%",
        "&",
        ";",
        ",",
        " ",
        "=",
        "é",
        "\0",
        "60",
        "\n",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ]);
    prop::collection::vec(prop_oneof![4 => word.prop_map(str::to_owned), 1 => any::<String>()], 0..16).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn requests(path in words(), query in words(), authorization in prop::option::of(words()), date in words(), hash in prop::option::of(words()), name in any::<String>()) {
        let mut request = Request::new("GET", &path, &query, &[("host", "h")]).header("x-amz-date", &date).header(&name, "x");
        request.headers.extend(authorization.map(|value| ("authorization".to_owned(), value)));
        request.headers.extend(hash.map(|value| ("x-amz-content-sha256".to_owned(), value)));
        if let Ok(Some(presented)) = request.with(present) {
            let key = SigningKey::derive("secret", &presented.scope_date, &presented.region, &presented.service);
            prop_assert!(request.with(|parts| verify(parts, &presented, &key, None, NOW)).is_err());
        }
        prop_assert!(GitPassword::read(&path, &query).is_err() || query.len() == 80);
    }

    #[test]
    fn bodies(pieces in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        "[0-9a-f]{1,17};chunk-signature=[0-9a-f]{64}\r\n".prop_map(String::into_bytes),
        "[0-9a-f]{1,2}\r\n".prop_map(String::into_bytes),
        "x[a-z-]{0,9}: ?[ -~]{0,9}\r?\n".prop_map(String::into_bytes),
        Just(b"0\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
    ], 0..12), signed: bool, trailer: bool) {
        let key = SigningKey::derive("secret", "20260101", "eu-west-1", "s3");
        let mut decoder = ChunkDecoder::new(&presented(signed, trailer || !signed), &key, Some(100)).unwrap();
        let mut failed: Option<Fault> = None;
        for piece in &pieces {
            let mut out = Vec::new();
            let result = decoder.push(piece, &mut out);
            prop_assert!(out.len() <= piece.len());
            if let (Some(fault), false) = (&failed, piece.is_empty()) {
                prop_assert_eq!(result.as_ref().err(), Some(fault), "once failed, always failed");
            }
            failed = failed.or(result.err());
        }
        let finished = decoder.finish();
        prop_assert!(failed.is_none() || finished.is_err());
        prop_assert!(!signed || finished.is_err(), "no signature was right");
    }
}
