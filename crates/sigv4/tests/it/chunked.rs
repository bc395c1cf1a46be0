//! Bodies in chunks: AWS's documented example, AWS's own chunk signer, split anywhere, and tampered with.

use aws_sigv4::sign::v4::{self, SigningParams};
use aws_smithy_runtime_api::http::Headers;
use proptest::prelude::*;
use tenantry_core::Timestamp;
use tenantry_sigv4::{ChunkDecoder, Fault, Form, Payload, Presented, SigningKey};

use crate::{differential::identity, roundtrip::NOW};

/// What [`ChunkDecoder`] needs of a verified request.
pub fn presented(signed_chunks: bool, trailer: bool) -> Presented {
    Presented {
        access_key: "AKIDEXAMPLE".into(),
        date: NOW,
        scope_date: "20260101".into(),
        region: "eu-west-1".into(),
        service: "s3".into(),
        signed_headers: vec!["host".into()],
        signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".into(),
        token: None,
        form: Form::Header,
        payload: Payload::Streaming { signed_chunks, trailer },
    }
}

fn key() -> SigningKey {
    SigningKey::derive("secret", "20260101", "eu-west-1", "s3")
}

type Decoded = Result<(Vec<u8>, Vec<(String, String)>), Fault>;

fn decode(presented: &Presented, key: &SigningKey, length: Option<u64>, body: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = ChunkDecoder::new(presented, key, length)?;
    let mut out = Vec::new();
    let mut rest = body;
    for cut in cuts {
        let (piece, after) = rest.split_at(cut % (rest.len() + 1));
        decoder.push(piece, &mut out)?;
        rest = after;
    }
    decoder.push(rest, &mut out)?;
    Ok((out, decoder.finish()?))
}

/// A body as AWS's Rust signer signs it.
fn encode(chunks: &[Vec<u8>], signed: bool, trailers: Option<&[(String, String)]>) -> Vec<u8> {
    let identity = identity(None);
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("s3")
        .time(crate::differential::system_time(NOW))
        .settings(())
        .build()
        .unwrap();
    let mut previous = presented(true, false).signature;
    let mut body = Vec::new();
    for chunk in chunks.iter().map(Vec::as_slice).chain([&[][..]]) {
        body.extend(format!("{:x}", chunk.len()).into_bytes());
        if signed {
            previous = v4::sign_chunk(&chunk.to_vec().into(), &previous, &params).unwrap().signature().to_owned();
            body.extend(format!(";chunk-signature={previous}").into_bytes());
        }
        body.extend(b"\r\n");
        body.extend(chunk);
        if !chunk.is_empty() {
            body.extend(b"\r\n");
        }
    }
    if let Some(trailers) = trailers {
        let mut headers = Headers::new();
        for (name, value) in trailers {
            body.extend(format!("{name}:{value}\r\n").into_bytes());
            headers.insert(name.clone(), value.clone());
        }
        if signed {
            let signature = v4::sign_trailer(&headers, &previous, &params).unwrap().signature().to_owned();
            body.extend(format!("x-amz-trailer-signature:{signature}\r\n").into_bytes());
        }
    }
    body.extend(b"\r\n");
    body
}

fn trailers() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map("x-amz-checksum-[a-z0-9]{1,6}", "[A-Za-z0-9+/]{1,8}=", 0..3).prop_map(|map| map.into_iter().rev().collect())
}

proptest! {
    #[test]
    fn agrees_with_aws_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
        trailers in trailers(),
        (signed, trailer) in prop::sample::select(vec![(true, false), (true, true), (false, true)]),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        at in any::<prop::sample::Index>(),
        with in 1_u8..,
    ) {
        let body = encode(&chunks, signed, trailer.then_some(&trailers));
        let clear = chunks.concat();
        let presented = presented(signed, trailer);
        let length = Some(clear.len() as u64);
        let expected = if trailer { trailers } else { Vec::new() };
        prop_assert_eq!(decode(&presented, &key(), length, &body, &cuts), Ok((clear.clone(), expected.clone())));
        let bytes = vec![1; body.len()];
        prop_assert_eq!(decode(&presented, &key(), length, &body, &bytes), Ok((clear.clone(), expected)));
        for wrong in [clear.len() as u64 + 1, (clear.len() as u64).wrapping_sub(1)] {
            if wrong != u64::MAX {
                prop_assert_eq!(decode(&presented, &key(), Some(wrong), &body, &[]), Err(Fault::IncompleteBody));
            }
        }
        let short = at.index(body.len());
        prop_assert!(decode(&presented, &key(), None, &body[..short], &cuts).is_err(), "cut off at {}", short);
        prop_assert!(decode(&presented, &key(), length, &[&body, &b"x"[..]].concat(), &cuts).is_err(), "something follows");
        if signed {
            let mut tampered = body.clone();
            tampered[short] ^= with;
            let result = decode(&presented, &key(), length, &tampered, &cuts);
            // Letters of a size or of a trailer's name may change their case, and a CR may go missing after a trailer; all else is noticed.
            let harmless = |result: &Decoded| matches!(result, Ok((out, _)) if *out == clear) && (with == 0x20 || trailer && body[short] == b'\r');
            prop_assert!(result.is_err() || harmless(&result), "byte {} of {:?}", short, String::from_utf8_lossy(&body));
        }
    }
}

/// The signatures that AWS's documentation gives for 65 KiB of `a` ("Transferring payload in multiple chunks", and the page on trailers).
#[test]
fn documented_examples() {
    let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
    let example = |seed: &str, trailer| Presented {
        date: Timestamp::parse("20130524T000000Z").unwrap(),
        scope_date: "20130524".into(),
        region: "us-east-1".into(),
        signature: seed.into(),
        ..presented(true, trailer)
    };
    let body = |signatures: [&str; 3]| {
        let [first, second, last] = signatures;
        let (a, b) = ("a".repeat(65536), "a".repeat(1024));
        format!("10000;chunk-signature={first}\r\n{a}\r\n400;chunk-signature={second}\r\n{b}\r\n0;chunk-signature={last}\r\n")
    };
    let plain = body([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]) + "\r\n";
    let seed = example("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", false);
    let (out, trailers) = decode(&seed, &key, Some(66560), plain.as_bytes(), &[]).unwrap();
    assert_eq!((out, trailers), (vec![b'a'; 66560], vec![]));
    let moved = plain.replacen("\r\na", "\r\nb", 1);
    assert_eq!(decode(&seed, &key, Some(66560), moved.as_bytes(), &[]), Err(Fault::ChunkMismatch));

    let chunks = body([
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]);
    let seed = example("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", true);
    for separator in ["\r\n", "\n\r\n", "\n"] {
        let body = format!(
            "{chunks}x-amz-checksum-crc32c:sOO8/Q=={separator}x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
        );
        let (out, trailers) = decode(&seed, &key, Some(66560), body.as_bytes(), &[]).unwrap();
        assert_eq!((out.len(), trailers), (66560, vec![("x-amz-checksum-crc32c".into(), "sOO8/Q==".into())]));
        let appended = body.replace("\r\n\r\n", "\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        assert_ne!(appended, body);
        assert!(matches!(decode(&seed, &key, Some(66560), appended.as_bytes(), &[]), Err(Fault::BadChunk(_))));
        let forged = body.replace("sOO8", "sOO9");
        assert_eq!(decode(&seed, &key, Some(66560), forged.as_bytes(), &[]), Err(Fault::ChunkMismatch));
    }
}

#[test]
fn bounds_and_framing() {
    let unsigned = presented(false, true);
    let run = |body: &[u8]| decode(&unsigned, &key(), None, body, &[]);
    assert_eq!(run(b"3\r\nabc\r\n0\r\n\r\n"), Ok((b"abc".to_vec(), vec![])));
    assert_eq!(run(b"3\r\nabc\r\n0\r\nX-A: b \r\n\r\n"), Ok((b"abc".to_vec(), vec![("x-a".into(), "b".into())])));
    for body in [
        "",
        "0\r\n",
        "3\r\nabc\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "3;a=b\r\nabc\r\n0\r\n\r\n",
        "0\r\na:1\r\na:2\r\n\r\n",
        "0\r\nno-colon\r\n\r\n",
        "0\r\n:x\r\n\r\n",
        "0\r\na b:x\r\n\r\n",
        "0\r\n\r\n0\r\n\r\n",
        "0\r\nx-amz-trailer-signature:0\r\n\r\n",
        "ffffffffffffffff\r\na\r\n",
        "10000000000000000\r\n",
        "1\r\na\r\nffffffffffffffff\r\n",
    ] {
        assert!(run(body.as_bytes()).is_err(), "{body:?}");
    }
    // More than was announced is refused before it is handed out.
    let mut decoder = ChunkDecoder::new(&unsigned, key(), Some(3)).unwrap();
    let mut out = Vec::new();
    assert_eq!(decoder.push(b"2\r\nab\r\n2\r\ncd", &mut out), Err(Fault::IncompleteBody));
    assert_eq!(out, b"ab");
    let long_header = [&[b'0'; 1025][..], b"\r\n"].concat();
    assert!(matches!(run(&long_header), Err(Fault::BadChunk(_))));
    let many: String = (0..2000).map(|i| format!("x-{i}:abcdefgh\r\n")).collect();
    assert!(matches!(run(format!("0\r\n{many}\r\n").as_bytes()), Err(Fault::BadChunk(_))));
    assert!(ChunkDecoder::new(&Presented { payload: Payload::Unsigned, ..unsigned }, key(), None).is_err());

    // A chunk larger than any that is held: bytes come out as they go in.
    let mut decoder = ChunkDecoder::new(&presented(false, true), key(), Some(1 << 40)).unwrap();
    let mut out = Vec::new();
    decoder.push(b"10000000000\r\n", &mut out).unwrap();
    for _ in 0..64 {
        out.clear();
        decoder.push(&[7; 4096], &mut out).unwrap();
        assert_eq!(out.len(), 4096);
    }
    assert_eq!(decoder.finish(), Err(Fault::IncompleteBody));
}
