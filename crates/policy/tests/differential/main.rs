//! The evaluator against an obvious reference, over random worlds, and properties that must hold
//! whatever the documents say.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod reference;
mod tape;

use std::sync::Arc;

use proptest::prelude::*;
use reference::{Answer, Asked, Keys, World};
use serde_json::{Value as Json, json};
use tape::Tape;
use tenantry_policy::{
    Attached, Cause, Context, Decision, Layers, Outcome, Policy, PolicyKind, Principal, Request, ResourcePolicyMode, Value, Verdict,
};

fn attach(json: &Json, kind: PolicyKind) -> Attached {
    let policy = Policy::parse(&json.to_string(), kind).unwrap_or_else(|fault| panic!("{fault}: {json}"));
    Attached::inline("p", Arc::new(policy))
}

fn levels(levels: &[Vec<Json>], kind: PolicyKind) -> Vec<Vec<Attached>> {
    levels.iter().map(|level| level.iter().map(|json| attach(json, kind)).collect()).collect()
}

fn evaluate(asked: &Asked, world: &World) -> Decision {
    judge(asked, world, tenantry_policy::evaluate)
}

fn judge<T>(asked: &Asked, world: &World, ask: fn(&Request<'_>, &Layers<'_>) -> T) -> T {
    let mut context = Context::new();
    for (key, value) in asked.keys {
        match value {
            Value::One(value) => context.set(key, value),
            Value::Many(values) => context.set_list(key, values),
        };
    }
    let identity: Vec<Attached> = world.identity.iter().map(|json| attach(json, PolicyKind::Identity)).collect();
    let session: Option<Vec<Attached>> =
        world.session.as_ref().map(|list| list.iter().map(|json| attach(json, PolicyKind::Session)).collect());
    let boundary = world.boundary.as_ref().map(|json| attach(json, PolicyKind::Boundary));
    let resource = world.resource.as_ref().map(|json| attach(json, PolicyKind::Resource));
    let endpoint = world.endpoint.as_ref().map(|json| attach(json, PolicyKind::Endpoint));
    let service_control = levels(&world.scp, PolicyKind::ServiceControl);
    let resource_control = levels(&world.rcp, PolicyKind::ResourceControl);
    let layers = Layers {
        identity: &identity,
        boundary: boundary.as_ref(),
        session: session.as_deref(),
        service_control: &service_control,
        resource_control: &resource_control,
        resource: resource.as_ref(),
        resource_mode: if world.must_allow { ResourcePolicyMode::MustAllow } else { ResourcePolicyMode::Normal },
        endpoint: endpoint.as_ref(),
    };
    let request = Request {
        action: asked.action,
        resource: asked.resource,
        resource_account: Some(asked.owner),
        principal: asked.who,
        context: &context,
    };
    ask(&request, &layers)
}

/// A request and a world, from one tape.
struct Scene {
    action: &'static str,
    resource: &'static str,
    owner: &'static str,
    who: Principal,
    keys: Keys,
    world: World,
}

impl Scene {
    fn new(bytes: &[u8]) -> Self {
        let mut tape = Tape::new(bytes);
        Self {
            who: tape.principal(),
            action: tape.pick(&["s3:GetObject", "s3:PutObject", "S3:GETOBJECT", "kms:Decrypt", "sts:AssumeRole"]),
            resource: tape.pick(&[
                "arn:aws:s3:::b/red/x",
                "*",
                "arn:aws:s3:::b/*/x",
                "arn:aws:s3:::b//x",
                "arn:aws:kms:us-east-1:111111111111:key/k",
            ]),
            owner: tape.pick(&["111111111111", "111111111111", "222222222222"]),
            keys: tape.keys(),
            world: tape.world(),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked { action: self.action, resource: self.resource, owner: self.owner, who: &self.who, keys: &self.keys }
    }
}

/// A tape: a seed and a length. Shrinking the length leaves ever simpler worlds.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0usize..260).prop_map(|(seed, len)| noise(seed, len))
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(step).collect()
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn answer(decision: &Decision) -> Answer {
    match decision.outcome {
        Outcome::Allow => Answer::Allow,
        Outcome::ImplicitDeny => Answer::Implicit,
        Outcome::ExplicitDeny => Answer::Explicit,
    }
}

/// The random worlds are worth judging: every kind of answer turns up often.
#[test]
fn worlds_reach_every_answer() {
    let mut seen: std::collections::HashMap<(Answer, Cause), usize> = std::collections::HashMap::new();
    for seed in 0..3_000 {
        let scene = Scene::new(&noise(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15), 260));
        let decision = evaluate(&scene.asked(), &scene.world);
        *seen.entry((answer(&decision), decision.cause)).or_default() += 1;
    }
    use Cause::{Boundary, Endpoint, Identity, Resource, ResourceControl, ServiceControl, Session};
    let mut wanted = vec![(Answer::Allow, Identity), (Answer::Allow, Resource)];
    for cause in [Identity, Resource, Boundary, Session, Endpoint, ServiceControl, ResourceControl] {
        wanted.extend([(Answer::Implicit, cause), (Answer::Explicit, cause)]);
    }
    for key in wanted {
        assert!(seen.get(&key).is_some_and(|count| *count >= 8), "{key:?} is rare: {seen:?}");
    }
}

/// Every document of the world, to be edited.
fn documents(world: &mut World) -> Vec<&mut Json> {
    let World { identity, boundary, session, scp, rcp, resource, endpoint, .. } = world;
    let all = identity.iter_mut().chain(boundary).chain(session.iter_mut().flatten()).chain(scp.iter_mut().flatten());
    all.chain(rcp.iter_mut().flatten()).chain(resource).chain(endpoint).collect()
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn agrees_with_the_reference(bytes in bytes()) {
        let scene = Scene::new(&bytes);
        let decision = evaluate(&scene.asked(), &scene.world);
        prop_assert_eq!(answer(&decision), reference::decide(&scene.asked(), &scene.world), "{:?} {:#?}", decision, scene.world);
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_deny_never_allows(bytes in bytes(), place in 0usize..8) {
        let mut scene = Scene::new(&bytes);
        let before = evaluate(&scene.asked(), &scene.world);
        let deny = json!({"Effect": "Deny", "Action": ["s3:*", "kms:*"], "Resource": "*"});
        let mut documents = documents(&mut scene.world);
        if documents.is_empty() {
            return Ok(());
        }
        let at = place % documents.len();
        let statement = &mut documents[at]["Statement"];
        let mut list = match statement.take() { Json::Array(list) => list, single => vec![single] };
        let mut deny = deny;
        if list.iter().any(|held| held.get("Principal").or(held.get("NotPrincipal")).is_some()) {
            deny["Principal"] = json!("*");
        }
        list.push(deny);
        *statement = Json::Array(list);
        let after = evaluate(&scene.asked(), &scene.world);
        prop_assert!(before.allowed() || !after.allowed());
    }

    #[test]
    fn order_does_not_matter(bytes in bytes()) {
        let mut scene = Scene::new(&bytes);
        let before = evaluate(&scene.asked(), &scene.world);
        for document in documents(&mut scene.world) {
            if let Json::Array(list) = &mut document["Statement"] {
                list.reverse();
            }
        }
        scene.world.identity.reverse();
        let after = evaluate(&scene.asked(), &scene.world);
        prop_assert_eq!((before.outcome, before.cause), (after.outcome, after.cause));
    }

    #[test]
    fn restrictions_never_grant(bytes in bytes(), which in 0usize..4) {
        let scene = Scene::new(&bytes);
        prop_assume!(scene.who.kind != tenantry_policy::PrincipalKind::FederatedUser);
        let mut free = scene.world.clone();
        match which {
            0 => free.session = None,
            1 => free.boundary = None,
            2 => free.scp = vec![],
            _ => free.endpoint = None,
        }
        let limited = evaluate(&scene.asked(), &scene.world);
        prop_assert!(!limited.allowed() || evaluate(&scene.asked(), &free).allowed());
    }

    #[test]
    fn explanations_fit_the_decision(bytes in bytes()) {
        let scene = Scene::new(&bytes);
        let decision = evaluate(&scene.asked(), &scene.world);
        let told = judge(&scene.asked(), &scene.world, tenantry_policy::explain);
        prop_assert_eq!(&told.decision, &decision);
        prop_assert!(serde_json::to_string(&told).is_ok());
        let denied = told.layers.iter().any(|layer| layer.verdict == Verdict::ExplicitDeny);
        prop_assert_eq!(denied, decision.explicit());
        if decision.outcome == Outcome::ImplicitDeny {
            let lacking = |layer: &&tenantry_policy::LayerOutcome| layer.layer == decision.cause && layer.verdict != Verdict::Allow;
            prop_assert!(told.layers.iter().any(|layer| lacking(&layer)));
        }
        if let (true, Some(statement)) = (decision.allowed(), &decision.statement) {
            let cause = |layer: &tenantry_policy::LayerOutcome| layer.layer == decision.cause && layer.index == Some(statement.index);
            prop_assert!(told.layers.iter().any(cause));
        }
    }

    #[test]
    fn letter_case_of_actions_and_keys_does_not_matter(bytes in bytes()) {
        let mut scene = Scene::new(&bytes);
        let before = evaluate(&scene.asked(), &scene.world);
        let keys = scene.keys.iter().map(|(key, value)| (key.to_uppercase(), value.clone())).collect();
        let upper = scene.action.to_uppercase();
        scene.keys = keys;
        let asked = Asked { action: &upper, ..scene.asked() };
        prop_assert_eq!(before, evaluate(&asked, &scene.world));
    }
}

fn kinds() -> impl Strategy<Value = PolicyKind> {
    use PolicyKind as Kind;
    proptest::sample::select(vec![
        Kind::Identity,
        Kind::Resource,
        Kind::Trust,
        Kind::Session,
        Kind::Boundary,
        Kind::ServiceControl,
        Kind::ResourceControl,
        Kind::Endpoint,
    ])
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
        if let Ok(policy) = Policy::parse(&document.to_string(), kind) {
            let held = [Attached::inline("p", Arc::new(policy))];
            let who = Principal::root("111111111111");
            let context = Context::new();
            let request = Request { action: &action, resource: &resource, resource_account: None, principal: &who, context: &context };
            let layers = Layers { identity: &held, resource: Some(&held[0]), ..Layers::default() };
            let _ = tenantry_policy::explain(&request, &layers);
        }
    }
}
