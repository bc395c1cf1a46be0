//! Signature version 2 in the query: URLs that botocore's `HmacV1QueryAuth` made, and what is not to pass.

use tenantry_core::Timestamp;
use tenantry_sigv4::{Credentials, Dialect, Fault, Payload, PresentedV2, sha256_hex, verify_post_policy_v2, verify_v2};

use crate::Request;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const UNTIL: i64 = 1_800_000_000;
const GET: &str = "versionId=x%2By&response-content-disposition=attachment%3B%20filename%3Da&prefix=z&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=zy1BNkrBng2ZYbwcDVKECQI0cdI%3D&Expires=1800000000";
const PUT: &str = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=b6b3D%2BD8q4u8laqEdJbCofelh1k%3D&content-type=text%2Fx&x-amz-acl=private&x-amz-security-token=tok%2Fen%2B%3D&Expires=1800000000";
const HEAD: &str = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=nd9BwTtL19dV3v%2BGH8Q3m8G4GsY%3D&Expires=1800000000";

fn get() -> Request {
    Request::new("GET", "/b/a%20b/%C3%A4", GET, &[("host", "h:4566")])
}

fn put() -> Request {
    Request::new("PUT", "/b/k", PUT, &[("host", "h")])
}

fn read(request: &Request) -> Result<PresentedV2, Fault> {
    match request.with(tenantry_sigv4::present)? {
        Some(Credentials::V2(presented)) => Ok(presented),
        other => panic!("{other:?}"),
    }
}

fn check_at(request: &Request, bucket: Option<&str>, now: i64) -> Result<(), Fault> {
    let presented = read(request)?;
    let hash = sha256_hex(&request.body);
    request.with(|parts| verify_v2(parts, &presented, bucket, SECRET, Some(&hash), Timestamp::from_secs(now)))
}

fn check(request: &Request) -> Result<(), Fault> {
    check_at(request, None, UNTIL - 60)
}

#[test]
fn what_botocore_signs() {
    assert_eq!(check(&get()), Ok(()));
    assert_eq!(check(&put()), Ok(()));
    let presented = read(&put()).unwrap();
    assert_eq!(presented.token.as_deref(), Some("tok/en+="));
    assert_eq!(presented.carried, [("content-type", "text/x"), ("x-amz-acl", "private")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(presented.payload, Payload::Unsigned);
    let shown = format!("{presented:?}");
    assert!(!shown.contains("tok/en") && !shown.contains(&presented.signature), "{shown}");
    // What the query carries may come as headers as well.
    assert_eq!(check(&put().header("content-type", "text/x").header("x-amz-acl", "private")), Ok(()));
    // The bucket of a host's name stands in front of the path.
    let host = Request::new("HEAD", "/k", HEAD, &[("host", "b.s3.amazonaws.com")]);
    assert_eq!(check_at(&host, Some("b"), UNTIL), Ok(()));
    assert!(check_at(&host, None, UNTIL).is_err() && check_at(&host, Some("c"), UNTIL).is_err());
}

#[test]
fn what_was_changed() {
    let mismatch = |request: Request| {
        let fault = check(&request);
        assert!(matches!(fault, Err(Fault::SignatureMismatch { .. })), "{fault:?} {request:?}");
    };
    mismatch(Request { method: "PUT".into(), ..get() });
    mismatch(Request { path: "/b/a%20b/%C3%A5".into(), ..get() });
    mismatch(Request { path: "/b2/a%20b/%C3%A4".into(), ..get() });
    for (from, to) in [
        ("x%2By", "x%2Bz"),
        ("versionId=x%2By&", ""),
        ("filename%3Da", "filename%3Db"),
        ("prefix=z", "prefix=z&acl"),
        ("prefix=z", "partNumber=1"),
        ("zy1B", "zy1A"),
        ("EXAMPLE", "EXAMPLF"),
        ("1800000000", "1800000001"),
    ] {
        let request = Request { query: GET.replace(from, to), ..get() };
        match from {
            // The access key says which secret it is; here it is always the same one.
            "EXAMPLE" => assert_eq!(check(&request), Ok(())),
            _ => mismatch(request),
        }
    }
    mismatch(Request { query: PUT.replace("private", "public-read"), ..put() });
    mismatch(Request { query: PUT.replace("&x-amz-acl=private", ""), ..put() });
    mismatch(Request { query: PUT.replace("text%2Fx", "text%2Fy"), ..put() });
    mismatch(Request { query: PUT.replace("tok%2Fen", "tok"), ..put() });
    mismatch(put().header("x-amz-meta-a", "1"));
    mismatch(put().header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="));
    let presented = read(&get()).unwrap();
    let other = get().with(|parts| verify_v2(parts, &presented, None, "another secret", None, Timestamp::from_secs(0)));
    assert!(matches!(other, Err(Fault::SignatureMismatch { .. })));
}

#[test]
fn a_parameter_that_chooses_another_operation() {
    for more in
        ["encryption", "publicAccessBlock", "policyStatus", "attributes", "legal-hold", "ownershipControls", "Versions", "nonsense=1"]
    {
        let fault = check(&Request { query: format!("{GET}&{more}"), ..get() });
        assert!(matches!(fault, Err(Fault::NotSigned(_))), "{more}: {fault:?}");
    }
    for more in ["versionId=x%2By", "%76ersionId=y"] {
        assert!(matches!(check(&Request { query: format!("{GET}&{more}"), ..get() }), Err(Fault::IncompleteV2(_))), "{more}");
    }
    assert!(check(&Request { query: format!("{GET}&max-keys=%zz"), ..get() }).is_err());
}

#[test]
fn what_has_expired() {
    assert_eq!(check_at(&get(), None, UNTIL), Ok(()));
    let fault = check_at(&get(), None, UNTIL + 1).unwrap_err();
    let error = fault.answer(Dialect::S3);
    assert_eq!((error.status, &*error.code, &*error.message), (403, "AccessDenied", "Request has expired"));
}

#[test]
fn what_is_not_whole_or_too_much() {
    for query in [
        "AWSAccessKeyId=AKID&Signature=x",
        "AWSAccessKeyId=AKID",
        "Signature=x",
        "awsaccesskeyid=AKID&Signature=x&Expires=1",
        "%41WSAccessKeyId=AKID",
        "AWSAccessKeyId=&Signature=x&Expires=1",
        "AWSAccessKeyId=A/B&Signature=x&Expires=1",
        "AWSAccessKeyId=A&Signature=x&Expires=-1",
        "AWSAccessKeyId=A&Signature=x&Expires=+1",
        "AWSAccessKeyId=A&Signature=x&Expires=",
        "AWSAccessKeyId=A&Signature=x&Expires=99999999999999999999",
        "AWSAccessKeyId=A&Signature=x&Expires=999999999999",
        "AWSAccessKeyId=A&Signature=x&Expires=1&Expires=2",
        "AWSAccessKeyId=A&AWSAccessKeyId=B&Signature=x&Expires=1",
        "AWSAccessKeyId=A&Signature=x&Expires=1&x-amz-acl=a&x-amz-acl=b",
        "AWSAccessKeyId=A&Signature=x&Expires=1&X-Amz-Acl=a",
        "AWSAccessKeyId=A&Signature=x&Expires=1&x-amz-meta-a=1%0Ax-amz-acl:public-read",
    ] {
        let fault = read(&Request { query: query.into(), ..get() });
        assert!(matches!(fault, Err(Fault::IncompleteV2(_))), "{query}: {fault:?}");
    }
    for more in
        ["X-Amz-Signature=x", "x-amz-credential=x", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Date=20260101T000000Z", "X-Amz-Expires=1"]
    {
        assert_eq!(read(&Request { query: format!("{GET}&{more}"), ..get() }), Err(Fault::Ambiguous), "{more}");
    }
    assert_eq!(read(&get().header("authorization", "AWS4-HMAC-SHA256 x")), Err(Fault::Ambiguous));
    assert_eq!(read(&put().header("x-amz-acl", "public-read")), Err(Fault::Ambiguous));
    assert_eq!(read(&put().header("x-amz-security-token", "tok/en+=")), Err(Fault::Ambiguous));
    assert_eq!(read(&get().header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")), Err(Fault::BadContentHash));
    let header = get().with(|_| Request::new("GET", "/", "", &[("authorization", "AWS AKID:x")]));
    assert!(matches!(header.with(tenantry_sigv4::present), Err(Fault::UnsupportedAlgorithm(_))));
}

#[test]
fn a_form() {
    // printf e30= | openssl dgst -sha1 -hmac $SECRET -binary | base64
    let signature = "4QWH4O9CWtowYUW+X4P2gZ/6fNc=";
    assert_eq!(verify_post_policy_v2(SECRET, "e30=", signature), Ok(()));
    assert!(verify_post_policy_v2(SECRET, "e31=", signature).is_err());
    assert!(verify_post_policy_v2("another", "e30=", signature).is_err());
    assert!(verify_post_policy_v2(SECRET, "e30=", "").is_err());
}

#[test]
fn a_bucket_by_its_path() {
    // printf 'GET\n\n\n1800000000\n/b/' | openssl dgst -sha1 -hmac $SECRET -binary | base64
    let query = "list-type=2&prefix=a&AWSAccessKeyId=AKID&Signature=%2FcHIffQAAywFzgx77tvPTTUYfsc%3D&Expires=1800000000";
    assert_eq!(check(&Request::new("GET", "/b", query, &[])), Ok(()));
    assert_eq!(check(&Request::new("GET", "/b/", query, &[])), Ok(()));
    assert!(check(&Request::new("GET", "/c", query, &[])).is_err());
    assert!(check(&Request::new("GET", "/b/k", query, &[])).is_err());
    assert!(check(&Request::new("GET", "/b", &format!("{query}&versions"), &[])).is_err());
}
