//! What a decision costs, in counts: statements looked at and allocations. Times are `cargo xtask
//! bench`'s.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::hint::black_box;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tenantry_policy::{Attached, Cause, Context, Layers, Policy, PolicyKind, PolicySet, Principal, Request, evaluate};

const ACCOUNT: &str = "111111111111";
const ROLE: &str = "arn:aws:iam::111111111111:role/teams/Scientist";

fn attached(statements: &Json, kind: PolicyKind) -> Attached {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Attached::inline("p", Arc::new(Policy::parse(&text, kind).unwrap()))
}

fn endpoint(team: usize) -> String {
    format!("arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/team-{team}-")
}

/// A team's own endpoints, a secret for the team, and what everyone may list.
fn team(team: usize) -> Attached {
    let statements = json!([
        {"Effect": "Allow", "Action": ["sagemaker:InvokeEndpoint", "sagemaker:Describe*"], "Resource": format!("{}*", endpoint(team)),
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}},
        {"Effect": "Deny", "Action": "sagemaker:*", "Resource": format!("{}secret*", endpoint(team))},
        {"Effect": "Allow", "Action": format!("logs:Read{team}"), "Resource": "*"},
    ]);
    attached(&statements, PolicyKind::Identity)
}

#[test]
fn a_decision_looks_at_the_same_statements_among_1000_policies_as_in_one() {
    for count in [1, 2, 10, 100, 1000] {
        let set: PolicySet = (0..count).map(team).collect();
        let last = count - 1;
        assert_eq!(set.len(), count);
        assert_eq!(set.relevant("sagemaker:InvokeEndpoint", &format!("{}a", endpoint(last))), 1, "{count}");
        assert_eq!(set.relevant("SageMaker:invokeendpoint", &format!("{}secret", endpoint(last))), 2, "{count}");
        assert_eq!(set.relevant("logs:Read0", "*"), 1, "{count}");
        assert_eq!(set.relevant("sagemaker:InvokeEndpoint", &endpoint(count + 7)), 0, "{count}");
        assert_eq!(set.relevant("s3:GetObject", "arn:aws:s3:::b/k"), 0, "{count}");
    }
}

fn context() -> Context {
    let mut context = Context::new();
    context.set("aws:PrincipalTag/Team", "red").set("aws:ResourceTag/team", "red").set("aws:PrincipalOrgID", "o-1");
    context
        .set("aws:CurrentTime", "2026-01-01T00:00:00Z")
        .set("aws:SourceIp", "10.1.2.3")
        .set("a:number", "5.25")
        .set("a:bytes", "AAECAw==");
    context.set("aws:PrincipalArn", ROLE).set_list("aws:TagKeys", ["Team", "Project"]).set_bool("aws:SecureTransport", true);
    context
}

/// Every operator, as a condition that holds.
fn conditions() -> Json {
    json!({
        "StringEquals": {"aws:ResourceTag/TEAM": "${aws:PrincipalTag/team}"},
        "StringNotEquals": {"aws:username": "${aws:PrincipalTag/team}"},
        "StringEqualsIgnoreCase": {"aws:PrincipalTag/team": "RED"},
        "StringLike": {"aws:PrincipalArn": "*role/${missing:key, 'teams'}/*"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Project"]},
        "NumericLessThan": {"a:number": "5.3"},
        "DateGreaterThan": {"aws:CurrentTime": "2025-12-31T23:59:59+01:00"},
        "Bool": {"aws:SecureTransport": "true"},
        "BinaryEquals": {"a:bytes": "AAECAw=="},
        "IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"]},
        "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"},
        "Null": {"aws:username": "true"},
    })
}

#[test]
fn an_allowed_request_allocates_nothing() {
    let all = |named: bool| {
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": conditions()});
        if named {
            statement["Principal"] = json!("*");
        }
        statement
    };
    let guard = |named: bool| {
        let mut statement = json!({"Effect": "Deny", "NotAction": "iam:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}});
        if named {
            statement["Principal"] = json!({"AWS": "*"});
        }
        statement
    };
    let set = |kind, named| PolicySet::from([attached(&json!([all(named)]), kind), attached(&json!([guard(named)]), kind)]);
    let identity: PolicySet = (0..20).map(team).chain([attached(&json!([all(false), guard(false)]), PolicyKind::Identity)]).collect();
    let service_control = [set(PolicyKind::ServiceControl, false), set(PolicyKind::ServiceControl, false)];
    let resource_control = [set(PolicyKind::ResourceControl, true), set(PolicyKind::ResourceControl, true)];
    let (boundary, session) = (attached(&all(false), PolicyKind::Boundary), set(PolicyKind::Session, false));
    let account = json!({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "*", "Resource": "*", "Condition": conditions()});
    let (resource, endpoint_policy) =
        (attached(&json!([account, guard(true)]), PolicyKind::Resource), attached(&json!([all(true), guard(true)]), PolicyKind::Endpoint));
    let layers = Layers {
        identity: &identity,
        boundary: Some(&boundary),
        session: Some(&session),
        service_control: &service_control,
        resource_control: &resource_control,
        resource: Some(&resource),
        endpoint: Some(&endpoint_policy),
        ..Layers::default()
    };
    let who = Principal::session(ACCOUNT, ROLE, "AROASCIENTIST0001", "session");
    let (context, resource) = (context(), format!("{}a", endpoint(3)));
    let request = |action| Request { action, resource: &resource, resource_account: Some(ACCOUNT), principal: &who, context: &context };
    // Two actions: allowed by a policy of many, and by the one that allows everything.
    for action in ["SageMaker:invokeendpoint", "s3:GetObject"] {
        let decision = evaluate(&request(action), &layers);
        assert!(decision.allowed() && decision.cause == Cause::Identity, "{decision:?}");
        let request = request(action);
        let counted = allocation_counter::measure(|| drop(black_box(evaluate(black_box(&request), black_box(&layers)))));
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{action}");
    }
    let counted = allocation_counter::measure(|| drop(black_box(Vec::<u8>::with_capacity(1))));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
