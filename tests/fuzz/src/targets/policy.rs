//! Policy documents and offline cases.
//!
//! Held without a second evaluator: a Deny of everything always denies; nothing is allowed where nothing allows; more
//! policies never turn a Deny into anything else; an explanation ends in the same decision; white space means nothing.

use std::sync::Arc;

use serde_json::Value;
use tenantry_policy::{Attached, Context, Layers, Outcome, Policy, PolicyKind, PolicySet, Principal, Request, evaluate, explain};

use super::{MEMORY, seeds};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar},
};

pub(super) fn targets() -> Vec<Target> {
    let target = |name, what, make: fn() -> Run, seeds| Target {
        name,
        what,
        grammar: Grammar { head: false, form: Form::Json, tokens: TOKENS, longest: 16 << 10 },
        memory: MEMORY,
        renew: 0,
        make,
        seeds,
    };
    vec![
        target(
            "policy",
            "policy documents of every kind: parsed, indexed, evaluated, explained, checked",
            || Box::new(document),
            || seeds(DOCUMENTS),
        ),
        target("case", "offline cases: whole requests with all layers", || Box::new(case), || seeds(CASES)),
    ]
}

const TOKENS: &[&str] = &[
    "2012-10-17",
    "2008-10-17",
    "Allow",
    "Deny",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Principal",
    "NotPrincipal",
    "Condition",
    "Sid",
    "Effect",
    "Statement",
    "Version",
    "Id",
    "*",
    "**",
    "?",
    "s3:*",
    "s3:Get*",
    "*:*",
    "sagemaker:CreateTrainingJob",
    "iam:Pass?ole",
    "arn:aws:s3:::b/*",
    "arn:*:s3:::*",
    "arn:aws:sagemaker:*:123456789012:*",
    "${aws:username}",
    "${aws:PrincipalTag/team}",
    "${*}",
    "${$}",
    "${?}",
    "${aws:username, 'none'}",
    "${",
    "}",
    "StringEquals",
    "StringLike",
    "StringEqualsIfExists",
    "ForAllValues:StringLike",
    "ForAnyValue:ArnLike",
    "NumericLessThan",
    "DateGreaterThan",
    "Bool",
    "Null",
    "IpAddress",
    "BinaryEquals",
    "aws:SourceIp",
    "10.0.0.0/8",
    "::/0",
    "1.2.3.4/33",
    "aws:TagKeys",
    "aws:CurrentTime",
    "2026-11-22T12:00:00Z",
    "AWS",
    "Service",
    "Federated",
    "CanonicalUser",
    "123456789012",
    "arn:aws:iam::123456789012:root",
    "sagemaker.amazonaws.com",
    "true",
];

const DOCUMENTS: &[&str] = &[
    r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":["s3:Get*","s3:PutObject"],"Resource":"arn:aws:s3:::bucket/${aws:username}/*","Condition":{"StringLike":{"aws:PrincipalTag/team":["r?d","${aws:username}"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},{"Effect":"Deny","NotAction":"iam:*","NotResource":"arn:aws:iam::*:role/x","Condition":{"Null":{"aws:TokenIssueTime":"true"},"NumericLessThanIfExists":{"s3:max-keys":10},"DateLessThan":{"aws:CurrentTime":"2026-11-22T12:00:00Z"}}}]}"#,
    r#"{"Version":"2012-10-17","Id":"x","Statement":{"Effect":"Allow","Principal":{"AWS":["123456789012","arn:aws:iam::123456789012:user/ann"],"Service":"sagemaker.amazonaws.com"},"Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]},"Bool":{"aws:SecureTransport":true},"ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}}}}"#,
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"*"},"Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":"*","Action":["sts:TagSession","sts:AssumeRole*"],"Condition":{"ForAllValues:StringLike":{"sts:TransitiveTagKeys":"*"}}}]}"#,
];

const CASES: &[&str] = &[
    r#"{"id":1,"request":{"principal":"arn:aws:iam::123456789012:user/ann","action":"s3:GetObject","resource":"arn:aws:s3:::bucket/ann/x","context":{"aws:SourceIp":"10.1.2.3","aws:TagKeys":["a","b"],"s3:max-keys":7,"aws:SecureTransport":true}},"policies":{"identity":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}],"scp":[{"policies":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}]}]}}"#,
    r#"{"request":{"principal":"arn:aws:sts::123456789012:assumed-role/r/s","action":"sagemaker:CreateTrainingJob","resource":"arn:aws:sagemaker:us-east-1:123456789012:training-job/j","resource_account":"210987654321"},"policies":{"identity":["{\"Version\":\"2012-10-17\",\"Statement\":[]}"],"boundary":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:*","Resource":"*"}]}],"session":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}],"resource":{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]},"vpce":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}]}}"#,
];

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

const DENY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
const NOBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}"#;

fn attached(policy: Policy) -> Attached {
    Attached::inline("p", Arc::new(policy))
}

fn set(policies: &[&Attached]) -> PolicySet {
    policies.iter().map(|policy| (*policy).clone()).collect()
}

fn contexts() -> [Context; 2] {
    let mut full = Context::new();
    full.set("aws:username", "ann")
        .set("aws:PrincipalTag/team", "red")
        .set("aws:SourceIp", "10.1.2.3")
        .set("aws:CurrentTime", "2026-11-22T12:00:00Z");
    full.set("aws:SourceArn", "arn:aws:s3:::bucket")
        .set("s3:max-keys", "7")
        .set_bool("aws:SecureTransport", true)
        .set_list("aws:TagKeys", ["a", "b"]);
    full.set_unclear("sts:TransitiveTagKeys", ["a"]);
    [Context::new(), full]
}

fn document(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let findings = tenantry_offline::findings(text, KINDS[input.len() % KINDS.len()]);
    assert!(findings.iter().all(|finding| serde_json::to_string(finding).is_ok()));
    let spaced = serde_json::from_str::<Value>(text).ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    let (deny, nobody) = (attached(parse(DENY, PolicyKind::Identity)), attached(parse(NOBODY, PolicyKind::Resource)));
    let principals = [
        Principal::user("123456789012", "arn:aws:iam::123456789012:user/ann", "AIDAEXAMPLE"),
        Principal::session("123456789012", "arn:aws:iam::123456789012:role/a/r", "AROAEXAMPLE", "s"),
        Principal::service("sagemaker.amazonaws.com"),
        Principal::anonymous(),
    ];
    let contexts = contexts();
    for kind in KINDS {
        let Ok(policy) = Policy::parse(text, kind) else { continue };
        assert!(policy.size() <= text.len() && policy.len() < text.len());
        let (_, _, _) = (policy.names_resources(), policy.principals().count(), policy.resources().count());
        let again = spaced.as_deref().and_then(|text| Policy::parse(text, kind).ok()).map(attached);
        let one = attached(policy);
        for (principal, context) in principals.iter().flat_map(|principal| contexts.iter().map(move |context| (principal, context))) {
            for (action, resource) in [
                ("s3:GetObject", "arn:aws:s3:::bucket/ann/x"),
                ("sts:AssumeRole", "arn:aws:iam::123456789012:role/x"),
                ("s3:ListAllMyBuckets", "*"),
            ] {
                let request = Request { action, resource, resource_account: Some("123456789012"), principal, context };
                judged(&request, kind, &one, again.as_ref(), &deny, &nobody);
            }
        }
    }
}

fn parse(text: &str, kind: PolicyKind) -> Policy {
    Policy::parse(text, kind).expect("our own document is well formed")
}

fn judged(request: &Request<'_>, kind: PolicyKind, one: &Attached, again: Option<&Attached>, deny: &Attached, nobody: &Attached) {
    let resource_side = matches!(kind, PolicyKind::Resource | PolicyKind::Trust | PolicyKind::Endpoint | PolicyKind::ResourceControl);
    let decide = |identity: &[&Attached], resource: Option<&Attached>| {
        let identity = set(identity);
        evaluate(request, &Layers { identity: &identity, resource, ..Layers::default() })
    };
    let decided = if resource_side { decide(&[], Some(one)) } else { decide(&[one], None) };
    if let Some(again) = again {
        let spaced = if resource_side { decide(&[], Some(again)) } else { decide(&[again], None) };
        // Members that stand twice are one in the copy.
        if again.policy.size() == one.policy.size() {
            assert_eq!(
                spaced.outcome, decided.outcome,
                "white space counts, on {} {} by {}",
                request.action, request.resource, request.principal.arn
            );
        }
    }
    let resource = resource_side.then_some(one);
    let identity: &[&Attached] = if resource_side { &[] } else { &[one] };
    let denied = decide(&[identity, &[deny]].concat(), resource);
    let applies = matches!(request.principal.arn.split(':').nth(2), Some("iam" | "sts"));
    assert!(!applies || denied.outcome == Outcome::ExplicitDeny, "a Deny of everything denies nothing: {denied:?}");
    if !resource_side {
        assert!(!decide(identity, Some(nobody)).allowed(), "a resource that denies everybody lets {} in", request.principal.arn);
    }
    if decided.outcome == Outcome::ExplicitDeny {
        assert_eq!(decide(&[identity, identity].concat(), resource).outcome, Outcome::ExplicitDeny, "a Deny is lost");
    }
    let identity = set(identity);
    let layers = Layers { identity: &identity, resource, ..Layers::default() };
    let explanation = explain(request, &layers);
    assert_eq!(explanation.decision.outcome, decided.outcome, "explained otherwise");
    assert!(serde_json::to_string(&explanation).is_ok());
    assert!(decided.message(&request.principal.arn, request.action, Some(request.resource)).len() < 4096);
}

fn case(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for line in text.lines() {
        let answer = tenantry_offline::evaluate_line(line);
        assert!(serde_json::to_string(&answer).is_ok());
        let again = tenantry_offline::evaluate_line(line);
        assert_eq!(serde_json::to_string(&answer).ok(), serde_json::to_string(&again).ok(), "the same case, judged otherwise");
    }
}
