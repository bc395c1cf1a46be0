//! Signatures that are right for what they cover, on requests where they do not cover enough.

use tenantry_sigv4::{EMPTY_SHA256, Fault, normal_path, presign, sign};

use crate::{
    Request, present,
    roundtrip::{NOW, signer},
};

fn signed(request: &Request, s3: bool) -> Request {
    let mut out = request.clone();
    out.headers.extend(request.with(|parts| sign(parts, EMPTY_SHA256, &signer(s3, None), NOW)));
    out
}

fn plain() -> Request {
    Request::new("GET", "/a", "", &[("host", "h.example")])
}

#[test]
fn host_is_signed() {
    let request = signed(&plain().without("host"), false).header("host", "h.example");
    let fault = request.check("secret", NOW).unwrap_err();
    assert_eq!(fault, Fault::NotSigned("host".into()));
    assert_eq!(fault.message(), "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
}

#[test]
fn missing_is_not_empty() {
    let request = signed(&plain().header("x-note", ""), false);
    assert_eq!(request.check("secret", NOW), Ok(()));
    assert!(matches!(request.without("x-note").check("secret", NOW), Err(Fault::SignatureMismatch { .. })));
}

#[test]
fn broken_escapes_are_not_their_own_escapes() {
    let query = signed(&Request { query: "a=%25zz".into(), ..plain() }, false);
    assert_eq!(query.check("secret", NOW), Ok(()));
    for broken in ["a=%zz", "a=%25zz&%", "a=%25zz&%2", "a=%25zz&%é"] {
        assert!(matches!(Request { query: broken.into(), ..query.clone() }.check("secret", NOW), Err(Fault::Incomplete(_))), "{broken}");
    }
    let path = signed(&Request { path: "/%25zz".into(), ..plain() }, true);
    assert_eq!(path.check("secret", NOW), Ok(()));
    assert!(matches!(Request { path: "/%zz".into(), ..path }.check("secret", NOW), Err(Fault::Incomplete(_))));
}

#[test]
fn token_added_after_presigning() {
    for (s3, fine) in [(true, false), (false, true)] {
        let query = plain().with(|parts| presign(parts, 60, &signer(s3, None), NOW)) + "&X-Amz-Security-Token=t";
        assert_eq!(Request { query, ..plain() }.check("secret", NOW).is_ok(), fine, "s3: {s3}");
    }
}

#[test]
fn one_token_and_one_hash() {
    let query = plain().with(|parts| presign(parts, 60, &signer(false, Some("t")), NOW));
    let request = Request { query, ..plain() };
    assert_eq!(request.check("secret", NOW), Ok(()));
    assert_eq!(request.header("x-amz-security-token", "u").check("secret", NOW), Err(Fault::Ambiguous));

    let plain = plain().header("x-amz-content-sha256", EMPTY_SHA256);
    let request = Request { query: "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD".into(), ..plain.clone() };
    let query = request.with(|parts| presign(parts, 60, &signer(true, None), NOW));
    assert_eq!(Request { query, ..plain }.with(present), Err(Fault::Ambiguous));
}

/// Outside S3 the signature covers the normal path only: that is what a server has to route by.
#[test]
fn dots_and_slashes() {
    let request = signed(&Request { path: "/a/b/".into(), ..plain() }, false);
    for path in ["/a/b/", "//a/./b//", "/x/../a/b/", "/../a/b/c/..", "/a/b/."] {
        assert_eq!(normal_path(path), "/a/b/");
        assert_eq!(Request { path: path.into(), ..request.clone() }.check("secret", NOW), Ok(()), "{path}");
    }
    for path in ["/a/b", "/a/b/c/../..", "/a%2Fb/", "/a/%2E/b/", ""] {
        assert_ne!(normal_path(path), "/a/b/");
        assert!(Request { path: path.into(), ..request.clone() }.check("secret", NOW).is_err(), "{path}");
    }
}
