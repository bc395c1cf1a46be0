//! Hostile documents and requests: nothing panics, nothing takes long.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tenantry_policy::{Attached, Context, Layers, Policy, PolicyKind, PolicySet, Principal, Request, evaluate, explain};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

const KINDS: [PolicyKind; 8] = [
    PolicyKind::Identity,
    PolicyKind::Resource,
    PolicyKind::Trust,
    PolicyKind::Session,
    PolicyKind::Boundary,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
    PolicyKind::Endpoint,
];

fn kinds() -> impl Strategy<Value = PolicyKind> {
    proptest::sample::select(KINDS.to_vec())
}

/// JSON of the right words in the wrong places.
fn debris() -> impl Strategy<Value = Json> {
    let words = [
        "Version",
        "2012-10-17",
        "Statement",
        "Effect",
        "Allow",
        "Deny",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Principal",
        "NotPrincipal",
        "AWS",
        "Service",
        "Condition",
        "Sid",
        "StringEquals",
        "ForAllValues:ArnLike",
        "Null",
        "*",
        "s3:*",
        "${",
        "${a,'",
        "${}",
        "arn:aws:iam::1:role/x",
        "arn:aws",
        "true",
        "",
        "é",
        "10.0.0.0/8",
        "DateLessThan",
        ":",
        "::::::",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        word.clone().prop_map(Json::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null)
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::vec((word.clone(), inner), 0..6).prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200), kind in kinds()) {
        let _ = Policy::parse(&String::from_utf8_lossy(&text), kind);
    }

    #[test]
    fn debris_never_panics(mut statement in debris(), wrap in any::<bool>(), kind in kinds(), action in "[a-z:*?$é]{0,8}", resource in "[a-z:*?$é/{}]{0,20}") {
        if let (true, Json::Object(members)) = (wrap, &mut statement) {
            members.insert("Effect".into(), json!("Allow"));
            members.insert("Action".into(), json!(["sts:*", action]));
            if kind != PolicyKind::Trust {
                members.insert("Resource".into(), json!([resource, "arn:aws:s3:::${aws:username}"]));
            }
        }
        let document = json!({"Version": "2012-10-17", "Statement": statement});
        judge(&document.to_string(), kind, &action, &resource, &Context::new());
    }

    #[test]
    fn damaged_documents_never_panic(which in 0..DOCUMENTS.len(), damage in proptest::collection::vec((any::<u16>(), any::<u16>(), 0u8..6, any::<u8>()), 1..6)) {
        let mut bytes = DOCUMENTS[which].as_bytes().to_vec();
        for (at, other, how, byte) in damage {
            let len = bytes.len().max(1);
            let (from, to) = (usize::from(at.min(other)) % len, usize::from(at.max(other)) % len);
            let (from, to) = (from.min(to), from.max(to));
            match how {
                0 => bytes.insert(from, byte),
                1 => drop(bytes.drain(from..to.min(from + 12))),
                2 => bytes.insert(from, b"\"{}[]:,$*?'\\"[usize::from(byte) % 12]),
                3 => {
                    let copy = bytes[from..to].to_vec();
                    drop(bytes.splice(from..from, copy));
                }
                4 => bytes.truncate(to),
                _ => bytes.swap(from, to),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut context = Context::new();
        context.set("aws:PrincipalTag/team", &*text).set("aws:SourceIp", &*text).set_list("aws:TagKeys", [&*text, ""]);
        for kind in KINDS {
            judge(&text, kind, "s3:GetObject", "arn:aws:s3:::b/red/x", &context);
            judge(&text, kind, &text, &text, &context);
        }
    }
}

/// Parses, and judges and explains if that succeeds, for callers of several kinds.
fn judge(text: &str, kind: PolicyKind, action: &str, resource: &str, context: &Context) {
    let Ok(policy) = Policy::parse(text, kind) else { return };
    let held = PolicySet::from([Attached::inline("p", Arc::new(policy))]);
    let levels = [held.clone()];
    let user = Principal::user("111111111111", "arn:aws:iam::111111111111:user/alice", "AIDAALICE00000001");
    for who in [Principal::root("111111111111"), user, Principal::anonymous()] {
        let request = Request { action, resource, resource_account: None, principal: &who, context };
        let layers =
            Layers { identity: &held, resource: Some(&held[0]), endpoint: Some(&held[0]), service_control: &levels, ..Layers::default() };
        assert_eq!(explain(&request, &layers).decision, evaluate(&request, &layers));
    }
}

/// As people write them.
const DOCUMENTS: [&str; 5] = [
    r#"{"Version":"2012-10-17","Statement":[{"Sid":"Team","Effect":"Allow","Action":["s3:GetObject","s3:Put*"],"Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team, 'red'}/*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"},"Bool":{"aws:SecureTransport":true}}}]}"#,
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":"iam:*","NotResource":["arn:aws:s3:::*","arn:aws:kms"],"Condition":{"ForAllValues:StringNotLike":{"aws:TagKeys":["a*","${*}"]},"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]},"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}}}"#,
    r#"{"Version":"2008-10-17","Id":"bucket","Statement":[{"Effect":"Allow","Principal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/alice"],"Service":"logs.amazonaws.com"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"},{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"*","Resource":"*"}]}"#,
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111111111111:saml-provider/P"},"Action":["sts:AssumeRoleWithSAML","sts:TagSession"],"Condition":{"StringLike":{"aws:RequestTag/team":"*"},"NumericLessThanEqualsIfExists":{"aws:MultiFactorAuthAge":"3600"},"Null":{"sts:ExternalId":"true"}}}]}"#,
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"ArnNotLikeIfExists":{"aws:PrincipalArn":"arn:aws:iam::*:role/é*"},"BinaryEquals":{"a:b":"AAEC"},"ForAnyValue:StringEqualsIgnoreCase":{"aws:TagKeys":"Team"}}}]}"#,
];

#[test]
fn documents_as_written_are_read() {
    for document in DOCUMENTS {
        assert!(KINDS.iter().any(|kind| Policy::parse(document, *kind).is_ok()), "{document}");
    }
}

fn statement(action: &Json, resource: &Json) -> String {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": resource}}).to_string()
}

/// Were any of these more than linear in document times text, this test would not end.
#[test]
fn costly_patterns_end() {
    let text = format!("arn:aws:s3:::{}", "a".repeat(4_000));
    let value = format!("{}b", "a".repeat(255));
    let mut context = Context::new();
    context.set("aws:PrincipalTag/t", &*value).set("aws:UserAgent", "a".repeat(20_000));
    let star = |what: &str, times: usize| format!("arn:aws:s3:::{}b", format!("*{what}").repeat(times));
    for pattern in [
        star("a", 4_000),
        star("a?", 4_000),
        star("?", 4_000),
        star("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 1_000),
        star("${aws:PrincipalTag/t}", 2_000),
        star("a${aws:PrincipalTag/t}?", 2_000),
        format!("arn:aws:s3:::*{}b", "?".repeat(1_000)),
        "${".repeat(20_000),
        "${a,'".repeat(20_000),
        "${'}'".repeat(20_000),
    ] {
        judge(&statement(&json!("*"), &json!(pattern)), PolicyKind::Resource, "s3:GetObject", &text, &context);
        let like = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"StringLike": {"aws:UserAgent": pattern}}}});
        judge(&like.to_string(), PolicyKind::Identity, "s3:GetObject", &text, &context);
    }
    let actions: Vec<String> = (0..2_000).map(|at| format!("s3:{}b{at}", "*a".repeat(20))).collect();
    judge(&statement(&json!(actions), &json!("*")), PolicyKind::Resource, &format!("s3:{}", "a".repeat(2_000)), &text, &context);
}

#[test]
fn large_and_deep_documents_end() {
    for text in ["[".repeat(1_000_000), r#"{"a":"#.repeat(100_000), format!(r#"{{"Statement":{}1"#, "[".repeat(200)), " ".repeat(300_000)] {
        assert!(KINDS.iter().all(|kind| Policy::parse(&text, *kind).is_err()));
    }
    let many: Vec<String> = (0..6_000).map(|at| format!("arn:aws:s3:::{at}/*")).collect();
    let statements: Vec<Json> = (0..2_000).map(|_| json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})).collect();
    for document in [
        statement(&json!("*"), &json!(many)),
        statement(&json!(vec!["s3:*"; 20_000]), &json!("*")),
        json!({"Version": "2012-10-17", "Statement": statements}).to_string(),
    ] {
        KINDS.iter().for_each(|kind| judge(&document, *kind, "s3:GetObject", "arn:aws:s3:::5999/x", &Context::new()));
    }
    assert!(Policy::parse(&statement(&json!("*"), &json!("x".repeat(300_000))), PolicyKind::Resource).is_err(), "too long");
}
