//! What is presented but not understood is refused, in AWS's words, and never taken for an anonymous request.

use tenantry_core::Timestamp;
use tenantry_sigv4::{Dialect, Fault, Form, Payload};

use crate::{Request, present};

const SIGNATURE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn plain() -> Request {
    Request::new("GET", "/", "", &[("host", "example.amazonaws.com")])
}

fn authorized(value: &str) -> Request {
    plain().header("x-amz-date", "20260101T000000Z").header("authorization", value)
}

fn well_formed(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
    )
}

fn fault(request: &Request) -> Fault {
    match request.with(present) {
        Err(fault) => fault,
        other => panic!("{request:?} is {other:?}"),
    }
}

#[test]
fn nothing_is_anonymous() {
    for query in ["", "list-type=2&prefix=X-Amz-Signature", "Action=X&Expires=2", "&&="] {
        assert_eq!(Request { query: query.into(), ..plain() }.with(present), Ok(None), "{query}");
    }
    assert_eq!(plain().header("x-amz-date", "20260101T000000Z").header("x-amz-acl", "private").with(present), Ok(None));
}

#[test]
fn other_schemes() {
    for value in [
        "AWS AKID:c2ln",
        "AWS",
        "Bearer abc",
        "Basic dTpw",
        "bearer abc",
        "AWS4-ECDSA-P256-SHA256 Credential=x",
        "aws4-hmac-sha256 Credential=x",
        "AWS4-HMAC-SHA256,Credential=x",
        "",
        "é",
    ] {
        assert!(matches!(fault(&authorized(value)), Fault::UnsupportedAlgorithm(_)), "{value}");
    }
    // The value of an unknown scheme may be a secret: it is not repeated.
    assert!(!fault(&authorized("SECRET/TOKEN")).message().contains("TOKEN"));
    let ecdsa = "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=x";
    for query in ["SignatureVersion=2&Signature=x", "AWSAccessKeyId=AKID&Signature=x&Expires=1&SignatureVersion=2", ecdsa] {
        assert!(matches!(fault(&Request { query: query.into(), ..plain() }), Fault::UnsupportedAlgorithm(_)), "{query}");
    }
}

#[test]
fn more_than_one() {
    let value = well_formed("sts");
    assert_eq!(fault(&authorized(&value).header("authorization", &value)), Fault::Ambiguous);
    assert_eq!(fault(&authorized(&value).header("authorization", "Bearer x")), Fault::Ambiguous);
    assert_eq!(fault(&Request { query: "X-Amz-Credential=x".into(), ..authorized(&value) }), Fault::Ambiguous);
    assert!(matches!(fault(&authorized(&value).header("x-amz-date", "20260101T000000Z")), Fault::Incomplete(_)));
    assert!(matches!(
        fault(&authorized(&value).header("x-amz-security-token", "a").header("x-amz-security-token", "b")),
        Fault::Incomplete(_)
    ));
    assert!(matches!(fault(&plain().header("x-amz-security-token", "a")), Fault::Incomplete(_)));
}

#[test]
fn broken_headers() {
    let good = well_formed("sts");
    assert!(authorized(&good).with(present).is_ok());
    for (from, to, text) in [
        (
            "Credential=AKID/20260101/us-east-1/sts/aws4_request, ",
            "",
            "Authorization header requires 'Credential' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
        ("SignedHeaders=host;x-amz-date, ", "", "Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256"),
        (
            "/us-east-1",
            "",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKID/20260101/sts/aws4_request'",
        ),
        ("aws4_request", "aws4", "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws4'."),
        (
            "20260101",
            "20251231",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20251231' != '20260101', from '20260101T000000Z'.",
        ),
        (
            "host;x-amz-date",
            "x-amz-date;host",
            "SignedHeaders must be lower-case header names, sorted, each once, separated by semicolons.",
        ),
        ("host;", "host;host;", "SignedHeaders must be lower-case header names, sorted, each once, separated by semicolons."),
        ("host;", "Host;", "SignedHeaders must be lower-case header names, sorted, each once, separated by semicolons."),
        ("host;", "host;;", "SignedHeaders must be lower-case header names, sorted, each once, separated by semicolons."),
        ("Signature=0", "Signature=", "Signature must be 64 lower-case hexadecimal digits."),
        ("Signature=0", "Signature=A", "Signature must be 64 lower-case hexadecimal digits."),
        (", Signature", ", Signature=1, Signature", "Authorization header has more than one 'Signature' parameter."),
        (
            ", Signature",
            ", Else=1, Signature",
            "Authorization header has an unknown parameter; only 'Credential', 'SignedHeaders' and 'Signature' are allowed.",
        ),
        (", Signature", ", else, Signature", "Authorization header must be a list of key=value pairs separated by commas."),
    ] {
        assert_eq!(fault(&authorized(&good.replacen(from, to, 1))).message(), text);
    }
    let undated = plain().header("authorization", "AWS4-HMAC-SHA256");
    assert_eq!(
        fault(&undated).message(),
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires \
         'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"
    );
    for date in [
        "2026-01-01T00:00:00Z",
        "20260101T000000",
        "20260101T000000Z ; x",
        "20260101T240000Z",
        "20260101T000060Z",
        "20260230T000000Z",
        "",
        "now",
    ] {
        assert!(matches!(fault(&plain().header("x-amz-date", date).header("authorization", &good)), Fault::Incomplete(_)), "{date}");
    }
    // Commas without spaces and the parts in any order are fine, and `Date` stands in for `x-amz-date`.
    let tight = good.replace(", ", ",").replace("host;x-amz-date", "date;host");
    let request = plain().header("date", "Thu, 01 Jan 2026 00:00:00 GMT").header("authorization", &tight);
    let presented = request.with(present).unwrap().unwrap();
    assert_eq!(
        (presented.date, presented.form, presented.payload),
        (Timestamp::parse("20260101T000000Z").unwrap(), Form::Header, Payload::Computed)
    );
}

#[test]
fn broken_queries() {
    let good = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
    );
    let with = |query: &str| Request { query: query.into(), ..plain() };
    assert!(with(&good).with(present).is_ok());
    for (i, pair) in good.split('&').enumerate() {
        let pairs: Vec<_> = good.split('&').enumerate().filter(|(j, _)| *j != i).map(|(_, pair)| pair).collect();
        let missing = fault(&with(&pairs.join("&")));
        assert!(
            matches!(&missing, Fault::IncompleteQuery(text) if text.starts_with("Query-string authentication version 4 requires")),
            "{pair}"
        );
        assert_eq!(missing.answer(Dialect::S3).code, "AuthorizationQueryParametersError");
        assert!(matches!(fault(&with(&format!("{good}&{pair}"))), Fault::IncompleteQuery(_)), "{pair} twice");
        let (name, value) = pair.split_once('=').unwrap();
        assert!(
            matches!(fault(&with(&good.replace(pair, &format!("{}={value}", name.to_lowercase())))), Fault::IncompleteQuery(_)),
            "{name} in lower case"
        );
    }
    for (expires, text) in [
        ("0", "at least 1"),
        ("-1", "non-negative"),
        ("604801", "less than a week"),
        ("99999999999999999999", "number"),
        ("1e3", "number"),
        ("", "number"),
        ("%2B60", "number"),
        ("6-0", "number"),
    ] {
        let fault = fault(&with(&good.replace("Expires=60", &format!("Expires={expires}"))));
        assert!(matches!(&fault, Fault::BadExpires(message) if message.contains(text)), "{expires}: {fault:?}");
    }
    assert!(with(&good.replace("Expires=60", "Expires=604800")).with(present).is_ok());
}

#[test]
fn content_hashes() {
    let read = |service: &str, hash: &str| {
        authorized(&well_formed(service)).header("x-amz-content-sha256", hash).with(present).map(|p| p.unwrap().payload)
    };
    assert_eq!(read("s3", SIGNATURE), Ok(Payload::Signed(SIGNATURE.into())));
    assert_eq!(read("sts", SIGNATURE), Ok(Payload::Signed(SIGNATURE.into())));
    let streaming = |signed_chunks, trailer| Payload::Streaming { signed_chunks, trailer };
    for (word, payload) in [
        ("UNSIGNED-PAYLOAD", Payload::Unsigned),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", streaming(true, false)),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", streaming(true, true)),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", streaming(false, true)),
    ] {
        assert_eq!(read("s3", word), Ok(payload));
        assert_eq!(read("sts", word), Err(Fault::BadContentHash), "only S3 takes bodies that are not signed");
    }
    for word in [
        "",
        "unsigned-payload",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD",
        &SIGNATURE[1..],
        &SIGNATURE.replacen('0', "A", 1),
    ] {
        assert_eq!(read("s3", word), Err(Fault::BadContentHash), "{word}");
    }
}

#[test]
fn clock_texts() {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    let request = authorized(&well_formed("sts"));
    let fault = |now: &str| request.check("secret", at(now)).unwrap_err();
    let late = fault("20260101T003000Z");
    assert_eq!(late.message(), "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z (20260101T003000Z - 15 min.)");
    let early = fault("20251231T230000Z");
    assert_eq!(
        early.message(),
        "Signature not yet current: 20260101T000000Z is still later than 20251231T231500Z (20251231T230000Z + 15 min.)"
    );
    let code = |dialect| (late.answer(dialect).status, late.answer(dialect).code);
    assert_eq!(code(Dialect::Query), (403, "SignatureDoesNotMatch".into()));
    assert_eq!(code(Dialect::Json), (400, "InvalidSignatureException".into()));
    assert_eq!(code(Dialect::S3), (403, "RequestTimeTooSkewed".into()));
}
