//! This project's evaluator.

use std::{hint::black_box, sync::Arc, time::Instant};

use serde_json::json;
use tenantry_policy::{Attached, Context, Layers, Policy, PolicyKind, PolicySet, Principal, Request, evaluate};

use crate::{
    Times,
    scene::{ACCOUNT, Asked, ROLE, Scene},
    timed,
};

const ROUNDS: usize = 200_000;

fn attached(document: &serde_json::Value, kind: PolicyKind) -> Attached {
    let policy = Policy::parse(&document.to_string(), kind).expect("the scene's documents are valid");
    Attached::inline("policy", Arc::new(policy))
}

fn context(asked: &Asked) -> Context {
    let mut context = Context::new();
    context.set("aws:PrincipalTag/team", &*asked.principal_team).set("aws:ResourceTag/team", &*asked.resource_team);
    // What every request has besides.
    for (key, value) in [
        ("aws:CurrentTime", "2026-01-01T00:00:00Z"),
        ("aws:EpochTime", "1767225600"),
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:SecureTransport", "true"),
        ("aws:RequestedRegion", "us-east-1"),
        ("aws:UserAgent", "bench"),
        ("aws:PrincipalArn", ROLE),
        ("aws:PrincipalAccount", ACCOUNT),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:ResourceAccount", ACCOUNT),
        ("aws:PrincipalOrgID", "o-bench"),
    ] {
        context.set(key, value);
    }
    context
}

fn measure(scene: &Scene, layers: &Layers<'_>) -> (Vec<bool>, Times) {
    let principal = Principal::session(ACCOUNT, ROLE, "AROAEXAMPLE000001", "session");
    let contexts: Vec<Context> = scene.requests.iter().map(context).collect();
    let requests: Vec<Request<'_>> = scene
        .requests
        .iter()
        .zip(&contexts)
        .map(|(asked, context)| Request {
            action: asked.action,
            resource: &asked.resource,
            resource_account: Some(ACCOUNT),
            principal: &principal,
            context,
        })
        .collect();
    let answers = requests.iter().map(|request| evaluate(request, layers).allowed()).collect();
    let one = |round: usize| {
        let request = &requests[round % requests.len()];
        let start = Instant::now();
        let decision = evaluate(black_box(request), black_box(layers));
        let time = start.elapsed();
        drop(black_box(decision));
        time.as_nanos() as u64
    };
    (answers, timed(ROUNDS, one))
}

fn teams(scene: &Scene, kind: PolicyKind) -> PolicySet {
    scene.policies().iter().map(|document| attached(document, kind)).collect()
}

/// Identity policies alone.
pub(crate) fn identity(scene: &Scene) -> (Vec<bool>, Times) {
    let identity = teams(scene, PolicyKind::Identity);
    measure(scene, &Layers { identity: &identity, ..Layers::default() })
}

/// Two levels of service and resource control policies with a guard each, an endpoint's policy, a
/// boundary, a session policy and a resource's policy over the same identity policies.
pub(crate) fn seven(scene: &Scene) -> Times {
    let all = |principal: bool| {
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        if principal {
            statement["Principal"] = json!("*");
        }
        statement
    };
    let guard = |principal: bool| {
        let mut statement = json!({
            "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-bench"}, "Bool": {"aws:PrincipalIsAWSService": "false"}},
        });
        if principal {
            statement["Principal"] = json!("*");
        }
        statement
    };
    let document = |statements: Vec<serde_json::Value>| json!({"Version": "2012-10-17", "Statement": statements});
    let level = |kind, named| PolicySet::from([attached(&document(vec![all(named)]), kind), attached(&document(vec![guard(named)]), kind)]);
    let service_control = [level(PolicyKind::ServiceControl, false), level(PolicyKind::ServiceControl, false)];
    let resource_control = [level(PolicyKind::ResourceControl, true), level(PolicyKind::ResourceControl, true)];
    let endpoint = attached(&document(vec![all(true), guard(true)]), PolicyKind::Endpoint);
    let sagemaker = json!({"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"});
    let boundary = attached(&document(vec![sagemaker.clone()]), PolicyKind::Boundary);
    let session = PolicySet::from([attached(&document(vec![sagemaker]), PolicyKind::Session)]);
    let account = json!({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sagemaker:*", "Resource": "*"});
    let resource = attached(&document(vec![account, guard(true)]), PolicyKind::Resource);
    let identity = teams(scene, PolicyKind::Identity);
    let layers = Layers {
        identity: &identity,
        boundary: Some(&boundary),
        session: Some(&session),
        service_control: &service_control,
        resource_control: &resource_control,
        resource: Some(&resource),
        endpoint: Some(&endpoint),
        ..Layers::default()
    };
    measure(scene, &layers).1
}
