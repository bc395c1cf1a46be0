//! AWS's signing suite, read from the published package of AWS's Rust signer; nothing of it is kept here.

use std::{fs, path::PathBuf, process::Command};

use tenantry_core::Timestamp;
use tenantry_sigv4::{Fault, Form, Signer, presign, sign};

use crate::{Request, present};

struct Case {
    name: String,
    secret: String,
    token: Option<String>,
    now: Timestamp,
    /// As a client has it before signing; `None` for cases that AWS's SDK team added without its context.
    plain: Option<Request>,
    normal: bool,
    omit_token: bool,
    header: Request,
    query: Option<Request>,
    canonical: String,
}

fn suite() -> PathBuf {
    // Without the network first; a workspace whose other packages were never built may still have to download those.
    let output = metadata(&["--offline"]).or_else(|_| metadata(&[])).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|p| p["name"] == "aws-sigv4").unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap()).with_file_name("aws-signing-test-suite").join("v4")
}

fn metadata(more: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", "host-tuple"])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Reads the suite's request files: a request line, headers (a line that starts with white space continues the one before), a body.
fn parse(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with(' ') {
            let last = headers.last_mut().unwrap();
            last.1 = format!("{}\n{line}", last.1);
        } else {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    Request { method: method.into(), path: path.into(), query: query.into(), headers, body: body.into() }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = fs::read_dir(suite()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
        .into_iter()
        .map(|dir| {
            let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
            let name = dir.file_name().unwrap().to_string_lossy().into_owned();
            let header = parse(&read("header-signed-request.txt").unwrap());
            let canonical = read("header-canonical-request.txt").unwrap().trim_end().to_owned();
            let query = read("query-signed-request.txt").map(|text| parse(&text));
            let Some(context) = read("context.json") else {
                let now =
                    header.headers.iter().find(|(name, _)| name == "x-amz-date").and_then(|(_, date)| Timestamp::parse(date)).unwrap();
                // The credentials that the SDK's tests use throughout.
                let secret = "notrealrnrELgWzOk3IfjzDKtFBhDby".into();
                return Case { name, secret, token: None, now, plain: None, normal: true, omit_token: false, header, query, canonical };
            };
            let context: serde_json::Value = serde_json::from_str(&context).unwrap();
            Case {
                name,
                secret: context["credentials"]["secret_access_key"].as_str().unwrap().into(),
                token: context["credentials"]["token"].as_str().map(Into::into),
                now: Timestamp::parse(context["timestamp"].as_str().unwrap()).unwrap(),
                plain: Some(parse(&read("request.txt").unwrap())),
                normal: context["normalize"].as_bool().unwrap(),
                omit_token: context["omit_session_token"].as_bool().unwrap_or(false),
                header,
                query,
                canonical,
            }
        })
        .collect()
}

/// The canonical request that a wrong signature is answered with is the one the suite expects.
#[test]
fn accepts_all_and_explains_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 39, "only {} cases found", cases.len());
    for case in &cases {
        let name = &case.name;
        if name == "double-url-encode" {
            // Published without the secret that signed it; its canonical path is checked below.
            assert!(matches!(case.header.check(&case.secret, case.now), Err(Fault::SignatureMismatch { .. })));
        } else {
            assert_eq!(case.header.check(&case.secret, case.now), Ok(()), "{name}");
        }
        if let Some(query) = &case.query {
            assert_eq!(query.check(&case.secret, case.now), Ok(()), "{name}");
        }
        let Err(Fault::SignatureMismatch { canonical_request, .. }) = case.header.check("another", case.now) else { panic!("{name}") };
        if case.plain.is_none() {
            assert_eq!(canonical_request.lines().nth(1), case.canonical.lines().nth(1), "{name}");
        } else if case.normal {
            assert_eq!(canonical_request, case.canonical, "{name}");
        }
    }
    let presigned = cases.iter().filter(|case| case.query.is_some()).count();
    assert!(presigned >= 37, "only {presigned} presigned cases found");
}

/// Signing makes the suite's signatures. (It always normalises, leaves no token out, and adds the hash for S3 only.)
#[test]
fn signs_the_same() {
    let mut signed = 0;
    for case in cases() {
        let Some(plain) = case.plain.as_ref().filter(|_| case.normal && !case.omit_token) else { continue };
        // The encoded space is for a signer that decodes before it encodes; what is sent then is the decoded path.
        let plain = &Request { path: case.header.path.clone(), ..plain.clone() };
        let expected = case.header.with(present).unwrap().unwrap();
        let signer = Signer {
            access_key: &expected.access_key,
            secret: &case.secret,
            token: case.token.as_deref(),
            region: &expected.region,
            service: &expected.service,
        };
        if !expected.signed_headers.iter().any(|name| name == "x-amz-content-sha256") {
            let hash = tenantry_sigv4::sha256_hex(&plain.body);
            let added = plain.with(|parts| sign(parts, &hash, &signer, case.now));
            let authorization = &added.iter().find(|(name, _)| name == "authorization").unwrap().1;
            assert!(authorization.ends_with(&expected.signature), "{}", case.name);
            signed += 1;
        }
        let presented = case.query.as_ref().unwrap().with(present).unwrap().unwrap();
        assert_eq!(presented.form, Form::Presigned { expires_secs: 3600 });
        // Our presigned URLs are for requests without a body.
        if plain.body.is_empty() {
            let query = plain.with(|parts| presign(parts, 3600, &signer, case.now));
            assert!(query.ends_with(&presented.signature), "{}", case.name);
        }
    }
    assert!(signed >= 25, "only {signed}");
}

/// A name for a change, and the request with it.
type Change = (String, Request);

/// Every change that must break `request`'s signature.
fn changes(request: &Request, signed: &[String], omit_token: bool) -> Vec<Change> {
    let mut out: Vec<Change> = Vec::new();
    let mut add = |name: String, change: &dyn Fn(&mut Request)| {
        let mut changed = request.clone();
        change(&mut changed);
        assert_ne!(&changed, request, "{name}");
        out.push((name, changed));
    };
    add("method".into(), &|r| r.method = "DELETE".into());
    add("method's case".into(), &|r| r.method = r.method.to_lowercase());
    add("path".into(), &|r| r.path.push('x'));
    add("another parameter".into(), &|r| r.query = format!("{}&Extra=1", r.query));
    add("body".into(), &|r| r.body.push(b'x'));
    for name in signed {
        let at = request.position(name);
        add(format!("{name} removed"), &|r| drop(r.headers.remove(at)));
        add(format!("{name} changed"), &|r| r.headers[at].1.push('1'));
        add(format!("{name} twice"), &|r| r.headers.push((name.clone(), "again".into())));
        add(format!("{name} emptied"), &|r| r.headers[at].1.clear());
    }
    add("unsigned x-amz- header".into(), &|r| r.headers.push(("x-amz-acl".into(), "public-read".into())));
    if let Some(at) = request.headers.iter().position(|(name, _)| name == "authorization") {
        add("authorization twice".into(), &|r| r.headers.push(r.headers[at].clone()));
        for (from, to) in [
            ("/20150830/", "/20150831/"),
            ("/us-east-1/", "/us-east-2/"),
            ("/service/", "/services/"),
            ("/aws4_request", "/aws5_request"),
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            ("Credential=", "Credentials="),
            ("SignedHeaders=", "SignedHeaders=a;"),
            ("host;", ""),
            ("SignedHeaders=", "X="),
            ("Signature=", "Signature=0"),
        ] {
            add(format!("{from} to {to}"), &|r| r.headers[at].1 = r.headers[at].1.replace(from, to));
        }
        let last = request.headers[at].1.len() - 1;
        let digit = if request.headers[at].1.ends_with('0') { "1" } else { "0" };
        add("signature".into(), &|r| r.headers[at].1.replace_range(last.., digit));
        add("also in the query".into(), &|r| r.query = format!("{}&X-Amz-Signature=0", r.query));
    } else {
        let pairs: Vec<_> = request.query.split('&').map(str::to_owned).collect();
        for (i, pair) in pairs.iter().enumerate() {
            if omit_token && pair.starts_with("X-Amz-Security-Token") {
                continue;
            }
            let put = |replacement: &[String]| [&pairs[..i], replacement, &pairs[i + 1..]].concat().join("&");
            add(format!("{pair} removed"), &|r| r.query = put(&[]));
            add(format!("{pair} changed"), &|r| r.query = put(&[format!("{pair}1")]));
            add(format!("{pair} twice"), &|r| r.query = put(&[pair.clone(), pair.clone()]));
            add(format!("{pair} renamed"), &|r| r.query = put(&[format!("x{pair}")]));
        }
        add("also in the header".into(), &|r| r.headers.push(("authorization".into(), "AWS4-HMAC-SHA256 Credential=x".into())));
    }
    out
}

#[test]
fn refuses_every_change() {
    let mut tried = 0;
    for case in cases().into_iter().filter(|case| case.name != "double-url-encode") {
        for request in [Some(&case.header), case.query.as_ref()].into_iter().flatten() {
            let presented = request.with(present).unwrap().unwrap();
            for (name, changed) in changes_of(&case, request, &presented.signed_headers) {
                assert!(changed.check(&case.secret, case.now).is_err(), "{}: {name}: {changed:?}", case.name);
                tried += 1;
            }
            // The time frame's ends are inside, the moments beyond are outside.
            let (ahead, behind) = (-900, if presented.form == Form::Header { 900 } else { 3600 });
            for (secs, fine) in [(ahead, true), (ahead - 1, false), (behind, true), (behind + 1, false)] {
                assert_eq!(request.check(&case.secret, case.now.plus_secs(secs)).is_ok(), fine, "{}: {secs}", case.name);
            }
        }
    }
    assert!(tried > 1500, "{tried}");
}

/// The changes that say something about `case`: not those that leave the request as it is.
fn changes_of(case: &Case, request: &Request, signed: &[String]) -> Vec<Change> {
    let scoped = request.headers.iter().all(|(name, value)| name != "authorization" || value.contains("/us-east-1/service/"));
    assert!(scoped, "{}", case.name);
    changes(request, signed, case.omit_token)
}
