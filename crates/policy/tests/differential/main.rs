//! The evaluator against an obvious reference, over random worlds, and properties that must hold
//! whatever the documents say.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod pairs;
mod reference;
mod tape;

use std::sync::Arc;

use proptest::prelude::*;
use reference::{Answer, Asked, World};
use serde_json::{Value as Json, json};
use tape::{Question, Tape, noise};
use tenantry_policy::{
    Attached, Context, Decision, Layers, Outcome, Policy, PolicyKind, PolicySet, Principal, Request, ResourcePolicyMode, Value, Verdict,
};

fn attach(json: &Json, kind: PolicyKind) -> Attached {
    let policy = Policy::parse(&json.to_string(), kind).unwrap_or_else(|fault| panic!("{fault}: {json}"));
    Attached::inline("p", Arc::new(policy))
}

fn attach_all(documents: &[Json], kind: PolicyKind) -> PolicySet {
    documents.iter().map(|json| attach(json, kind)).collect()
}

/// A world whose documents are compiled.
struct Compiled {
    identity: PolicySet,
    session: Option<PolicySet>,
    boundary: Option<Attached>,
    resource: Option<Attached>,
    endpoint: Option<Attached>,
    service_control: Vec<PolicySet>,
    resource_control: Vec<PolicySet>,
    mode: ResourcePolicyMode,
}

impl Compiled {
    fn new(world: &World) -> Self {
        let one = |json: &Option<Json>, kind| json.as_ref().map(|json| attach(json, kind));
        let levels = |levels: &[Vec<Json>], kind| levels.iter().map(|level| attach_all(level, kind)).collect();
        let mut resource = one(&world.resource, if world.trust { PolicyKind::Trust } else { PolicyKind::Resource });
        if let Some(held) = &mut resource {
            let mut policy = (*held.policy).clone();
            policy.resolve_principals(&|arn| world.ids.get(arn).cloned());
            held.policy = Arc::new(policy);
        }
        Self {
            identity: attach_all(&world.identity, PolicyKind::Identity),
            session: world.session.as_ref().map(|documents| attach_all(documents, PolicyKind::Session)),
            boundary: one(&world.boundary, PolicyKind::Boundary),
            resource,
            endpoint: one(&world.endpoint, PolicyKind::Endpoint),
            service_control: levels(&world.scp, PolicyKind::ServiceControl),
            resource_control: levels(&world.rcp, PolicyKind::ResourceControl),
            mode: if world.must_allow { ResourcePolicyMode::MustAllow } else { ResourcePolicyMode::Normal },
        }
    }

    fn ask<T>(&self, asked: &Asked, ask: fn(&Request<'_>, &Layers<'_>) -> T) -> T {
        let mut context = Context::new();
        for (key, value) in asked.keys {
            match value {
                Value::One(value) => context.set(key, value),
                Value::Many(values) if asked.unclear.contains(key) => context.set_unclear(key, values),
                Value::Many(values) => context.set_list(key, values),
            };
        }
        let layers = Layers {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: self.session.as_ref(),
            service_control: &self.service_control,
            resource_control: &self.resource_control,
            resource: self.resource.as_ref(),
            resource_mode: self.mode,
            endpoint: self.endpoint.as_ref(),
        };
        let request = Request {
            action: asked.action,
            resource: asked.resource,
            resource_account: asked.owner,
            principal: asked.who,
            context: &context,
        };
        ask(&request, &layers)
    }
}

fn evaluate(asked: &Asked, world: &World) -> Decision {
    Compiled::new(world).ask(asked, tenantry_policy::evaluate)
}

/// A request and a world, from one tape.
struct Scene {
    question: Question,
    world: World,
}

impl Scene {
    fn new(bytes: &[u8]) -> Self {
        let mut tape = Tape::new(bytes);
        Self { question: tape.question(), world: tape.world() }
    }

    fn asked(&self) -> Asked<'_> {
        self.question.asked()
    }
}

/// A tape: a seed and a length. Shrinking the length leaves ever simpler worlds.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0usize..300).prop_map(|(seed, len)| noise(seed, len))
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

/// Every document of the world, to be edited.
fn documents(world: &mut World) -> Vec<&mut Json> {
    let World { identity, boundary, session, scp, rcp, resource, endpoint, .. } = world;
    let all = identity.iter_mut().chain(boundary).chain(session.iter_mut().flatten()).chain(scp.iter_mut().flatten());
    all.chain(rcp.iter_mut().flatten()).chain(resource).chain(endpoint).collect()
}

/// The policies of each layer, or level, that may hold several.
fn layers(world: &mut World) -> Vec<&mut Vec<Json>> {
    let World { identity, session, scp, rcp, .. } = world;
    std::iter::once(identity).chain(session).chain(scp).chain(rcp).collect()
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_deny_never_allows(bytes in bytes(), place in 0usize..8) {
        let mut scene = Scene::new(&bytes);
        let before = evaluate(&scene.asked(), &scene.world);
        let trust = scene.world.trust;
        let mut documents = documents(&mut scene.world);
        if documents.is_empty() {
            return Ok(());
        }
        let at = place % documents.len();
        let statement = &mut documents[at]["Statement"];
        let mut list = match statement.take() { Json::Array(list) => list, single => vec![single] };
        let named = list.iter().any(|held| held.get("Principal").or(held.get("NotPrincipal")).is_some());
        let mut deny = match named && trust {
            true => json!({"Effect": "Deny", "Action": "sts:*"}),
            false => json!({"Effect": "Deny", "Action": ["s3:*", "kms:*"], "Resource": "*"}),
        };
        if named {
            deny["Principal"] = json!("*");
        }
        if deny.get("Resource").is_none() && list.iter().any(|held| held.get("Resource").or(held.get("NotResource")).is_some()) {
            deny["Resource"] = json!("*");
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
        for policies in layers(&mut scene.world) {
            policies.reverse();
        }
        scene.world.scp.reverse();
        scene.world.rcp.reverse();
        let after = evaluate(&scene.asked(), &scene.world);
        prop_assert_eq!((before.outcome, before.cause), (after.outcome, after.cause));
    }

    #[test]
    fn splitting_and_merging_policies_changes_nothing(bytes in bytes()) {
        let mut scene = Scene::new(&bytes);
        let before = evaluate(&scene.asked(), &scene.world);
        let statements = |document: &Json| match &document["Statement"] { Json::Array(list) => list.clone(), single => vec![single.clone()] };
        let with = |document: &Json, statement: Json| {
            let mut one = document.clone();
            one["Statement"] = statement;
            one
        };
        let mut split = scene.world.clone();
        for policies in layers(&mut split) {
            *policies = policies.iter().flat_map(|document| statements(document).into_iter().map(|one| with(document, one))).collect();
        }
        let told = evaluate(&scene.asked(), &split);
        prop_assert_eq!((before.outcome, before.cause), (told.outcome, told.cause));
        for policies in layers(&mut scene.world) {
            let version = |document: &Json| document["Version"].clone();
            if policies.len() > 1 && policies.iter().all(|document| version(document) == version(&policies[0])) {
                *policies = vec![with(&policies[0], Json::Array(policies.iter().flat_map(statements).collect()))];
            }
        }
        let told = evaluate(&scene.asked(), &scene.world);
        prop_assert_eq!((before.outcome, before.cause), (told.outcome, told.cause));
    }

    #[test]
    fn a_federated_session_is_never_more_than_its_user(bytes in bytes()) {
        let mut scene = Scene::new(&bytes);
        let user = Principal::user("111111111111", "arn:aws:iam::111111111111:user/eng/alice", "AIDAALICE00000001");
        scene.question.who = Principal::federated_user("111111111111", user.user_arn.as_deref().unwrap(), "AIDAALICE00000001", "bob");
        // What a resource's policy grants to the session itself is its own.
        scene.world.resource = None;
        let session = evaluate(&scene.asked(), &scene.world);
        scene.question.who = user;
        scene.world.session = None;
        let user = evaluate(&scene.asked(), &scene.world);
        prop_assert!(!session.allowed() || user.allowed());
    }

    #[test]
    fn restrictions_never_grant(bytes in bytes(), which in 0usize..5) {
        let scene = Scene::new(&bytes);
        prop_assume!(scene.question.who.kind != tenantry_policy::PrincipalKind::FederatedUser);
        let mut free = scene.world.clone();
        match which {
            0 => free.session = None,
            1 => free.boundary = None,
            2 => free.scp = vec![],
            3 => free.rcp = vec![],
            _ => free.endpoint = None,
        }
        let limited = evaluate(&scene.asked(), &scene.world);
        prop_assert!(!limited.allowed() || evaluate(&scene.asked(), &free).allowed());
    }

    #[test]
    fn explanations_fit_the_decision(bytes in bytes()) {
        let scene = Scene::new(&bytes);
        let decision = evaluate(&scene.asked(), &scene.world);
        let told = Compiled::new(&scene.world).ask(&scene.asked(), tenantry_policy::explain);
        prop_assert_eq!(&told.decision, &decision);
        prop_assert!(serde_json::to_string(&told).is_ok());
        if scene.question.action == "sts:GetCallerIdentity" {
            // Allowed whatever the layers say.
            return Ok(());
        }
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
        let upper = scene.question.action.to_uppercase();
        scene.question.keys = scene.question.keys.iter().map(|(key, value)| (key.to_uppercase(), value.clone())).collect();
        scene.question.unclear = scene.question.unclear.iter().map(|key| key.to_uppercase()).collect();
        let asked = Asked { action: &upper, ..scene.asked() };
        prop_assert_eq!(before, evaluate(&asked, &scene.world));
    }
}
