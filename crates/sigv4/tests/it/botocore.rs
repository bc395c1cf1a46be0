//! Signatures that botocore 1.43 made: the client most of our users have.

use tenantry_core::Timestamp;
use tenantry_sigv4::{Fault, Form, GitPassword, Payload, SigningKey, verify_post_policy};

use crate::{Request, present};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20260102T030405Z";

fn now() -> Timestamp {
    Timestamp::parse(DATE).unwrap()
}

fn authorization(service: &str, signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=ASIAIOSFODNN7EXAMPLE/20260102/eu-west-1/{service}/aws4_request, SignedHeaders={signed}, Signature={signature}"
    )
}

fn presigned(service: &str, expires: u32, signed: &str, signature: &str) -> String {
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAIOSFODNN7EXAMPLE%2F20260102%2Feu-west-1%2F{service}%2Faws4_request&X-Amz-Date={DATE}\
         &X-Amz-Expires={expires}&X-Amz-SignedHeaders={signed}&X-Amz-Security-Token=tok%2Fen%2B%3D&X-Amz-Signature={signature}"
    )
}

fn s3_put() -> Request {
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let signed = "host;x-amz-content-sha256;x-amz-date;x-amz-meta-note;x-amz-security-token";
    let mut request =
        Request::new("PUT", "/year%3D2026//a/../b%20%2B~c.txt", "tagging&versionId=a%2Bb%20c", &[("host", "b.s3.eu-west-1.amazonaws.com")])
            .header("x-amz-meta-note", "two  spaces")
            .header("x-amz-date", DATE)
            .header("x-amz-security-token", "tok/en+=")
            .header("x-amz-content-sha256", hash)
            .header("authorization", &authorization("s3", signed, "bfcf9ab004e5ec38338d4c97f8cb493da380a8961647d3d3d58df9dc61d18163"));
    request.body = b"hello".to_vec();
    request
}

#[test]
fn s3_object() {
    let request = s3_put();
    assert_eq!(request.check(SECRET, now()), Ok(()));
    let presented = request.with(present).unwrap().unwrap();
    assert_eq!(presented.token.as_deref(), Some("tok/en+="));
    let shown = format!("{presented:?}");
    assert!(shown.contains("20260102/eu-west-1/s3") && !shown.contains("tok/en") && !shown.contains(&presented.signature), "{shown}");
    // An S3 key's dots and slashes are part of its name.
    for path in ["/year%3D2026//b%20%2B~c.txt", "/year%3D2026/a/../b%20%2B~c.txt", "/year%3D2026//a/../b%20+~c.txt%20"] {
        assert!(Request { path: path.into(), ..s3_put() }.check(SECRET, now()).is_err(), "{path}");
    }
    // The same characters, escaped otherwise, name the same key.
    assert_eq!(Request { path: "/year=2026//a/../b%20+%7ec.txt".into(), ..s3_put() }.check(SECRET, now()), Ok(()));
    assert!(Request { query: "tagging&versionId=a+b%20c".into(), ..s3_put() }.check(SECRET, now()).is_err(), "a raw plus is a space");
    let fault = Request { body: b"hellO".to_vec(), ..s3_put() }.check(SECRET, now());
    assert!(matches!(fault, Err(Fault::PayloadMismatch { .. })));
    assert_eq!(s3_put().without("authorization").without("x-amz-security-token").with(present), Ok(None));
}

#[test]
fn s3_demands_a_signed_token() {
    let mut request = s3_put();
    let at = request.position("authorization");
    request.headers[at].1 = request.headers[at].1.replace(";x-amz-security-token", "");
    assert_eq!(request.check(SECRET, now()), Err(Fault::NotSigned("x-amz-security-token".into())));
}

#[test]
fn presigned_urls() {
    let query = presigned("s3", 600, "host", "c42ed3f9dd68adc4ba80a3002ef26671f98117244a9228b1734c8daa0521634c");
    let mut request = Request::new("GET", "/k%20ey", &query, &[("host", "b.s3.eu-west-1.amazonaws.com")]);
    assert_eq!(request.with(present).unwrap().unwrap().payload, Payload::Unsigned);
    assert_eq!(request.check(SECRET, now().plus_secs(600)), Ok(()));
    assert_eq!(request.check(SECRET, now().plus_secs(601)), Err(Fault::Expired { until: now().plus_secs(600), now: now().plus_secs(601) }));
    assert_eq!(request.check(SECRET, now().plus_secs(-901)), Err(Fault::NotYetValid { from: now(), now: now().plus_secs(-901) }));
    request.query = request.query.replace("tok%2Fen", "tok%2Fem");
    assert!(request.check(SECRET, now()).is_err(), "S3 signs the token");

    // What an EKS token is: the caller's identity, for whoever holds the URL.
    let query = format!(
        "Action=GetCallerIdentity&Version=2011-06-15&{}",
        presigned("sts", 60, "host%3Bx-k8s-aws-id", "dac91fd97329cc976388ee9bb1852481caf58515bf2547536616c5e7ef3e5879")
    );
    let request = Request::new("GET", "/", &query, &[("host", "sts.eu-west-1.amazonaws.com"), ("x-k8s-aws-id", "cluster")]);
    let presented = request.with(present).unwrap().unwrap();
    assert_eq!((presented.payload, presented.form), (Payload::Computed, Form::Presigned { expires_secs: 60 }));
    assert_eq!(request.check(SECRET, now()), Ok(()));
    assert!(request.without("x-k8s-aws-id").header("x-k8s-aws-id", "other").check(SECRET, now()).is_err());
}

#[test]
fn json_service_with_an_escaped_path() {
    let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A111122223333%3Afunction%3Af/invocations";
    let signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    let mut request = Request::new("POST", path, "", &[("host", "lambda.eu-west-1.amazonaws.com"), ("content-type", "application/json")])
        .header("x-amz-target", "x")
        .header("user-agent", "z")
        .header("x-amzn-trace-id", "Root=1")
        .header("x-amz-date", DATE)
        .header("x-amz-security-token", "tok/en+=")
        .header("authorization", &authorization("lambda", signed, "ef8e51a405e87dc3df2ee1fbec415d44c7e378c642ddb6c3f191ea7889a3e46e"));
    request.body = b"{}".to_vec();
    assert_eq!(request.check(SECRET, now()), Ok(()));
    request.path = path.replace("%3A", ":");
    assert!(request.check(SECRET, now()).is_err(), "what is on the wire is signed");
}

#[test]
fn browser_upload() {
    let key = SigningKey::derive(SECRET, "20260102", "eu-west-1", "s3");
    let policy = "eyJleHBpcmF0aW9uIjogIjIwMjYtMDEtMDJUMDQ6MDA6MDBaIiwgImNvbmRpdGlvbnMiOiBbeyJidWNrZXQiOiAiYiJ9LCB7IngtYW16LWFsZ29yaXRobSI6ICJBV1M0LUhNQUMtU0hBMjU2In0sIHsieC1hbXotY3JlZGVudGlhbCI6ICJBS0lBSU9TRk9ETk43RVhBTVBMRS8yMDI2MDEwMi9ldS13ZXN0LTEvczMvYXdzNF9yZXF1ZXN0In0sIHsieC1hbXotZGF0ZSI6ICIyMDI2MDEwMlQwMzA0MDVaIn1dfQ==";
    let signature = "60bf932264576a832323f18ea010caa8eb3bb4416c61355e17f64cac58c6ffef";
    assert_eq!(verify_post_policy(&key, policy, signature), Ok(()));
    assert!(verify_post_policy(&key, &policy[4..], signature).is_err());
    assert!(verify_post_policy(&key, policy, &signature.replace('6', "7")).is_err());
    assert!(verify_post_policy(&key, policy, &signature.to_uppercase()).is_err());
    assert!(verify_post_policy(&SigningKey::derive(SECRET, "20260103", "eu-west-1", "s3"), policy, signature).is_err());
}

/// Made with the string that `aws codecommit credential-helper get` signs.
#[test]
fn git_password() {
    let (host, path, region) = ("git-codecommit.eu-west-1.amazonaws.com", "/v1/repos/seed", "eu-west-1");
    let password = format!("{DATE}c4a989f4dc066493dbe4fba74a8cc09b91193d2965f4bdfc527ae89e7d9d0e02");
    let read = GitPassword::read("AKIAIOSFODNN7EXAMPLE", &password).unwrap();
    assert_eq!((read.access_key.as_str(), read.token.as_deref(), read.scope_date().as_str()), ("AKIAIOSFODNN7EXAMPLE", None, "20260102"));
    let key = SigningKey::derive(SECRET, &read.scope_date(), region, "codecommit");
    assert_eq!(read.verify(host, path, region, &key, now().plus_secs(900)), Ok(()));
    assert_eq!(read.verify(host, path, region, &key, now().plus_secs(-900)), Ok(()));
    for secs in [901, -901] {
        assert!(matches!(read.verify(host, path, region, &key, now().plus_secs(secs)), Err(Fault::Skewed { .. })));
    }
    for (host, path, region) in
        [("git-codecommit.eu-west-2.amazonaws.com", path, region), (host, "/v1/repos/other", region), (host, path, "eu-west-2")]
    {
        assert!(matches!(read.verify(host, path, region, &key, now()), Err(Fault::SignatureMismatch { .. })));
    }
    assert_eq!(GitPassword::read("ASIAX%tok/en+=", &password).unwrap().token.as_deref(), Some("tok/en+="));
    for (username, password) in [
        ("", password.as_str()),
        ("AKIA%", &password),
        ("AK IA", &password),
        ("AKIA", ""),
        ("AKIA", &password[1..]),
        ("AKIA", &password[..79]),
        ("AKIA", "é20260102T030405Z"),
    ] {
        assert!(GitPassword::read(username, password).is_err(), "{username} {password}");
    }
}
