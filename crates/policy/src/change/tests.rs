//! Every kind of refusal has a remedy, and every remedy's documents allow.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::caller::Principal;
use crate::context::Context;
use crate::decide::evaluate;
use crate::layers::{Attached, Layers, Request};
use crate::policy::{Policy, PolicyKind};
use crate::set::PolicySet;

const RESOURCE: &str = "arn:aws:sagemaker:us-east-1:111111111111:pipeline/blue-churn";

fn attached(name: &str, kind: PolicyKind, statements: &str) -> Attached {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Attached::inline(name, Arc::new(Policy::parse(&text, kind).unwrap()))
}

fn session() -> Principal {
    Principal::session("111111111111", "arn:aws:iam::111111111111:role/R", "AROAR000000000001", "s")
}

fn first(layers: &Layers<'_>, keys: &[(&str, &str)]) -> Remedy {
    let mut context = Context::new();
    for (key, value) in keys {
        context.set(key, *value);
    }
    let who = session();
    let request = Request {
        action: "sagemaker:StartPipelineExecution",
        resource: RESOURCE,
        resource_account: Some("111111111111"),
        principal: &who,
        context: &context,
    };
    assert!(!evaluate(&request, layers).allowed());
    let remedies = remedies(&request, layers, 4);
    assert!(remedies.windows(2).all(|pair| pair[0].cost <= pair[1].cost), "the smallest first");
    remedies.into_iter().next().expect("there is a way")
}

fn identity(statements: &str) -> PolicySet {
    PolicySet::from([attached("R/p", PolicyKind::Identity, statements)])
}

#[test]
fn nothing_allows() {
    let set = PolicySet::default();
    let remedy = first(&Layers { identity: &set, ..Layers::default() }, &[]);
    let [change] = remedy.changes.as_slice() else { panic!("{remedy:?}") };
    assert_eq!((change.kind, change.layer), (ChangeKind::AddPolicy, Some(Cause::Identity)));
    let document: serde_json::Value = serde_json::from_str(change.document.as_deref().unwrap()).unwrap();
    let want = json!({"Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": RESOURCE});
    assert_eq!(document["Statement"], json!([want]), "one action, one resource");
    let set = identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#);
    let change = &first(&Layers { identity: &set, ..Layers::default() }, &[]).changes[0];
    assert_eq!((change.kind, change.patch[0].path.as_str()), (ChangeKind::AddStatement, "/Statement/-"));
}

#[test]
fn tags() {
    let own = r#"{"Effect":"Allow","Action":"sagemaker:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/T":"${aws:PrincipalTag/T}"}}}"#;
    let set = identity(own);
    let layers = Layers { identity: &set, ..Layers::default() };
    let change = |keys: &[(&str, &str)]| first(&layers, keys).changes[0].clone();
    let untagged = change(&[("aws:PrincipalTag/T", "red")]);
    assert_eq!((untagged.kind, untagged.after), (ChangeKind::TagResource, Some(vec!["red".to_owned()])));
    let wrong = change(&[("aws:PrincipalTag/T", "red"), ("aws:ResourceTag/T", "blue")]);
    assert_eq!((wrong.kind, wrong.before, wrong.after), (ChangeKind::Session, Some(vec!["red".to_owned()]), Some(vec!["blue".to_owned()])));
    let named =
        identity(r#"{"Effect":"Allow","Action":"sagemaker:*","Resource":"arn:aws:sagemaker:*:*:pipeline/${aws:PrincipalTag/T}-*"}"#);
    let named = first(&Layers { identity: &named, ..Layers::default() }, &[("aws:PrincipalTag/T", "red")]).changes[0].clone();
    assert_eq!((named.kind, named.after), (ChangeKind::Session, Some(vec!["blue".to_owned()])));
    let request = identity(
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotLike":{"aws:RequestTag/userId":"u-*"}}}"#,
    );
    let request = first(&Layers { identity: &request, ..Layers::default() }, &[]).changes[0].clone();
    assert_eq!((request.kind, request.after), (ChangeKind::Request, Some(vec!["u-1".to_owned()])));
}

#[test]
fn a_deny_makes_an_exception() {
    let all = identity(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#);
    let levels = [PolicySet::from([
        attached("p-FullAWSAccess", PolicyKind::ServiceControl, r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#),
        attached("p-1", PolicyKind::ServiceControl, r#"{"Sid":"No","Effect":"Deny","Action":"sagemaker:*","Resource":"*"}"#),
    ])];
    let change = first(
        &Layers { identity: &all, service_control: &levels, ..Layers::default() },
        &[("aws:PrincipalArn", "arn:aws:iam::111111111111:role/R")],
    )
    .changes[0]
        .clone();
    assert_eq!((change.kind, change.level, change.policy.as_deref()), (ChangeKind::ChangeStatement, Some(0), Some("p-1")));
    assert_eq!(change.patch[0].value, Some(json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/R"}})));
}

#[test]
fn several_layers_at_once() {
    let set = PolicySet::default();
    let fence =
        attached("arn:aws:iam::111111111111:policy/fence", PolicyKind::Boundary, r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#);
    let levels = [
        PolicySet::from([attached("p-1", PolicyKind::ServiceControl, r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#)]),
        PolicySet::default(),
    ];
    let remedy = first(&Layers { identity: &set, boundary: Some(&fence), service_control: &levels, ..Layers::default() }, &[]);
    let layers: Vec<(Option<Cause>, Option<usize>)> = remedy.changes.iter().map(|change| (change.layer, change.level)).collect();
    let scp = Some(Cause::ServiceControl);
    assert_eq!(layers, [(scp, Some(0)), (scp, Some(1)), (Some(Cause::Identity), None), (Some(Cause::Boundary), None)]);
}

#[test]
fn conditions_that_do_not_hold() {
    for (condition, keys, kind) in [
        (r#""NumericLessThanEquals":{"s3:max-keys":"10"}"#, vec![("s3:max-keys", "100")], ChangeKind::Request),
        (r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, vec![("aws:SourceIp", "192.0.2.1")], ChangeKind::ChangeStatement),
        (
            r#""DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}"#,
            vec![("aws:CurrentTime", "2026-01-01T00:00:00Z")],
            ChangeKind::AddStatement,
        ),
        (r#""Bool":{"aws:MultiFactorAuthPresent":"true"}"#, vec![("aws:MultiFactorAuthPresent", "false")], ChangeKind::AddStatement),
        (r#""Null":{"aws:RequestTag/T":"false"}"#, vec![], ChangeKind::Request),
        (r#""ForAnyValue:StringEquals":{"aws:TagKeys":["a"]}"#, vec![], ChangeKind::Request),
        (
            r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/x"}"#,
            vec![("aws:PrincipalArn", "arn:aws:iam::111111111111:role/R")],
            ChangeKind::AddStatement,
        ),
    ] {
        let set = identity(&format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#));
        let remedy = first(&Layers { identity: &set, ..Layers::default() }, &keys);
        let widened = matches!(kind, ChangeKind::ChangeStatement | ChangeKind::AddStatement);
        let policy = matches!(remedy.changes[0].kind, ChangeKind::ChangeStatement | ChangeKind::AddStatement);
        assert!(remedy.changes[0].kind == kind || (widened && policy), "{condition}: {remedy:?}");
    }
}

#[test]
fn an_allowed_request_needs_nothing() {
    let (who, context, set) = (session(), Context::new(), identity(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#));
    let request = Request { action: "s3:ListBucket", resource: "*", resource_account: None, principal: &who, context: &context };
    assert!(remedies(&request, &Layers { identity: &set, ..Layers::default() }, 3).is_empty());
}
