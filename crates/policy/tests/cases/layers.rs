//! The order of the layers, what each does alone, and which one is named.

use tenantry_policy::{
    Attached, Cause, Context, Layers, Outcome, PolicyKind, PolicySet, Principal, Request, ResourcePolicyMode, evaluate, explain,
};

use crate::{A, B, OBJECT, alice, ask, context, policy, session, statement};

fn of(kind: PolicyKind, word: char) -> Attached {
    let principal = match kind {
        PolicyKind::Resource | PolicyKind::Endpoint | PolicyKind::ResourceControl => r#""Principal":"*","#,
        _ => "",
    };
    let (effect, action) = match word {
        'a' => ("Allow", "s3:*"),
        'd' => ("Deny", "s3:*"),
        _ => ("Allow", "none:None"),
    };
    policy(kind, &format!(r#"{{{principal}"Effect":"{effect}","Action":"{action}","Resource":"*"}}"#))
}

/// Reads `i:a b:n s:d scp:a,n rcp:a vpce:a r:a`: layers of allow, nothing or deny; `-` is a level
/// without policies, `ad` two policies in one place.
fn decide(who: &Principal, owner: &str, spec: &str) -> (Outcome, Cause) {
    let (mut identity, mut boundary, mut session, mut resource, mut endpoint) = (PolicySet::default(), None, None, None, None);
    let (mut scp, mut rcp) = (vec![], vec![]);
    for part in spec.split_whitespace() {
        let (place, words) = part.split_once(':').unwrap();
        let all =
            |kind: PolicyKind, words: &str| -> PolicySet { words.chars().filter(|word| *word != '-').map(|word| of(kind, word)).collect() };
        let one = |kind: PolicyKind| all(kind, words).last().cloned();
        match place {
            "i" => identity = all(PolicyKind::Identity, words),
            "b" => boundary = one(PolicyKind::Boundary),
            "s" => session = Some(all(PolicyKind::Session, words)),
            "r" => resource = one(PolicyKind::Resource),
            "vpce" => endpoint = one(PolicyKind::Endpoint),
            "scp" => scp = words.split(',').map(|level| all(PolicyKind::ServiceControl, level)).collect(),
            "rcp" => rcp = words.split(',').map(|level| all(PolicyKind::ResourceControl, level)).collect(),
            other => panic!("{other}"),
        }
    }
    let layers = Layers {
        identity: &identity,
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        service_control: &scp,
        resource_control: &rcp,
        resource: resource.as_ref(),
        resource_mode: ResourcePolicyMode::Normal,
        endpoint: endpoint.as_ref(),
    };
    let request =
        Request { action: "s3:GetObject", resource: OBJECT, resource_account: Some(owner), principal: who, context: &Context::new() };
    let decision = evaluate(&request, &layers);
    (decision.outcome, decision.cause)
}

#[test]
fn order_and_causes() {
    use Cause as C;
    use Outcome::{Allow, ExplicitDeny, ImplicitDeny};
    let linked = || Principal::session(A, "arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/L", "AROAL000000000001", "x");
    let bob = || Principal::federated_user(A, crate::USER, "AIDAALICE00000001", "bob");
    for (name, who, owner, spec, want) in [
        ("nothing", session(), A, "", (ImplicitDeny, C::Identity)),
        ("identity", session(), A, "i:a", (Allow, C::Identity)),
        ("identity for something else", session(), A, "i:n", (ImplicitDeny, C::Identity)),
        ("identity denies", session(), A, "i:ad", (ExplicitDeny, C::Identity)),
        ("resource alone", session(), A, "r:a", (Allow, C::Resource)),
        ("identity and resource", session(), A, "i:a r:a", (Allow, C::Resource)),
        ("resource denies", session(), A, "i:a r:d", (ExplicitDeny, C::Resource)),
        ("resource says nothing", session(), A, "i:a r:n", (Allow, C::Identity)),
        ("boundary allows", session(), A, "i:a b:a", (Allow, C::Identity)),
        ("boundary says nothing", session(), A, "i:a b:n", (ImplicitDeny, C::Boundary)),
        ("boundary denies", session(), A, "i:a b:d", (ExplicitDeny, C::Boundary)),
        ("boundary grants nothing", session(), A, "b:a", (ImplicitDeny, C::Identity)),
        ("boundary denies what the resource grants", session(), A, "b:d r:a", (ExplicitDeny, C::Boundary)),
        ("session policy allows", session(), A, "i:a s:a", (Allow, C::Identity)),
        ("session policy says nothing", session(), A, "i:a s:n", (ImplicitDeny, C::Session)),
        ("session policies add up", session(), A, "i:a s:na", (Allow, C::Identity)),
        ("session policy denies", session(), A, "i:a s:ad", (ExplicitDeny, C::Session)),
        ("session policy grants nothing", session(), A, "s:a", (ImplicitDeny, C::Identity)),
        ("an empty list of session policies", session(), A, "i:a s:-", (ImplicitDeny, C::Session)),
        ("boundary before session", session(), A, "i:a b:n s:n", (ImplicitDeny, C::Boundary)),
        ("scp allows", session(), A, "i:a scp:a", (Allow, C::Identity)),
        ("scp grants nothing", session(), A, "scp:a", (ImplicitDeny, C::Identity)),
        ("scp says nothing", session(), A, "i:a scp:n", (ImplicitDeny, C::ServiceControl)),
        ("every level must allow", session(), A, "i:a scp:a,n,a", (ImplicitDeny, C::ServiceControl)),
        ("three levels allow", session(), A, "i:a scp:a,na,a", (Allow, C::Identity)),
        ("a level without policies", session(), A, "i:a scp:a,-", (ImplicitDeny, C::ServiceControl)),
        ("scp denies at any level", session(), A, "i:a scp:a,ad", (ExplicitDeny, C::ServiceControl)),
        ("scp stands above the resource policy", session(), A, "r:a scp:n", (ImplicitDeny, C::ServiceControl)),
        ("rcp allows", session(), A, "i:a rcp:a,a", (Allow, C::Identity)),
        ("rcp says nothing", session(), A, "i:a rcp:a,n", (ImplicitDeny, C::ResourceControl)),
        ("rcp denies", session(), A, "i:a rcp:ad", (ExplicitDeny, C::ResourceControl)),
        ("rcp before scp", session(), A, "i:a rcp:n scp:n", (ImplicitDeny, C::ResourceControl)),
        ("endpoint allows", session(), A, "i:a vpce:a", (Allow, C::Identity)),
        ("endpoint says nothing", session(), A, "i:a vpce:n", (ImplicitDeny, C::Endpoint)),
        ("endpoint denies", session(), A, "i:a vpce:d", (ExplicitDeny, C::Endpoint)),
        ("endpoint grants nothing", session(), A, "vpce:a", (ImplicitDeny, C::Identity)),
        ("endpoint stands above the resource policy", session(), A, "r:a vpce:n", (ImplicitDeny, C::Endpoint)),
        ("scp before endpoint", session(), A, "i:a scp:n vpce:n", (ImplicitDeny, C::ServiceControl)),
        ("an explicit deny before a closed gate", session(), A, "i:ad scp:n", (ExplicitDeny, C::Identity)),
        ("one cause of many denials", session(), A, "i:ad scp:ad r:d b:d s:d", (ExplicitDeny, C::ServiceControl)),
        ("root needs nothing", Principal::root(A), A, "", (Allow, C::Identity)),
        ("root has no identity policies", Principal::root(A), A, "i:d", (Allow, C::Identity)),
        ("root below an scp", Principal::root(A), A, "scp:n", (ImplicitDeny, C::ServiceControl)),
        ("root denied by an scp", Principal::root(A), A, "scp:ad", (ExplicitDeny, C::ServiceControl)),
        ("root below an rcp", Principal::root(A), A, "rcp:ad", (ExplicitDeny, C::ResourceControl)),
        ("root denied by the resource", Principal::root(A), A, "r:d", (ExplicitDeny, C::Resource)),
        ("root behind an endpoint", Principal::root(A), A, "vpce:n", (ImplicitDeny, C::Endpoint)),
        ("root abroad", Principal::root(B), A, "", (ImplicitDeny, C::Resource)),
        ("service-linked: no scp", linked(), A, "i:a scp:d", (Allow, C::Identity)),
        ("service-linked: no rcp", linked(), A, "i:a rcp:d", (Allow, C::Identity)),
        ("service-linked: no boundary", linked(), A, "i:a b:n", (Allow, C::Identity)),
        ("service-linked: identity counts", linked(), A, "i:n", (ImplicitDeny, C::Identity)),
        ("federated without a session policy", bob(), A, "i:a", (ImplicitDeny, C::Session)),
        ("federated with one", bob(), A, "i:a s:a", (Allow, C::Identity)),
        ("federated, everyone named", bob(), A, "r:a", (Allow, C::Resource)),
        ("a user's boundary", alice(), A, "i:a b:n", (ImplicitDeny, C::Boundary)),
        ("service: resource only", Principal::service("x.amazonaws.com"), A, "i:a", (ImplicitDeny, C::Resource)),
        ("service: no scp", Principal::service("x.amazonaws.com"), A, "r:a scp:d", (Allow, C::Resource)),
        ("service: rcp", Principal::service("x.amazonaws.com"), A, "r:a rcp:d", (ExplicitDeny, C::ResourceControl)),
        ("anonymous: public", Principal::anonymous(), A, "r:a", (Allow, C::Resource)),
        ("anonymous: private", Principal::anonymous(), A, "", (ImplicitDeny, C::Resource)),
        ("anonymous: endpoint", Principal::anonymous(), A, "r:a vpce:n", (ImplicitDeny, C::Endpoint)),
        ("abroad: both sides", session(), B, "i:a r:a", (Allow, C::Resource)),
        ("abroad: caller's side first", session(), B, "", (ImplicitDeny, C::Identity)),
        ("abroad: their side", session(), B, "i:a", (ImplicitDeny, C::Resource)),
        ("abroad: boundary", session(), B, "i:a r:a b:n", (ImplicitDeny, C::Boundary)),
        ("abroad: session", session(), B, "i:a r:a s:n", (ImplicitDeny, C::Session)),
        ("abroad: deny at home", session(), B, "i:ad r:a", (ExplicitDeny, C::Identity)),
        ("abroad: their rcp", session(), B, "i:a r:a rcp:ad", (ExplicitDeny, C::ResourceControl)),
    ] {
        assert_eq!(decide(&who, owner, spec), want, "{name}: {spec}");
    }
}

#[test]
fn an_unowned_resource_is_the_callers_own() {
    let held = PolicySet::from([of(PolicyKind::Identity, 'a')]);
    let who = session();
    let request =
        Request { action: "s3:ListAllMyBuckets", resource: "*", resource_account: None, principal: &who, context: &Context::new() };
    assert!(evaluate(&request, &Layers { identity: &held, ..Layers::default() }).allowed());
}

#[test]
fn who_am_i_cannot_be_denied() {
    let deny = PolicySet::from([policy(PolicyKind::Identity, &statement("Deny", "*", "*"))]);
    let layers = Layers { identity: &deny, ..Layers::default() };
    assert!(ask(&session(), "sts:GetCallerIdentity", "*", &context(""), &layers).allowed());
    assert!(!ask(&session(), "sts:GetSessionToken", "*", &context(""), &layers).allowed());
}

#[test]
fn statements_without_a_principal_never_apply() {
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "*", "*"))]);
    let open = policy(PolicyKind::Endpoint, &statement("Allow", "*", "*"));
    let layers = Layers { identity: &all, endpoint: Some(&open), ..Layers::default() };
    assert!(!ask(&session(), "s3:GetObject", OBJECT, &context(""), &layers).allowed());
    // An identity policy in the place of a resource policy grants nothing.
    assert!(!ask(&session(), "s3:GetObject", OBJECT, &context(""), &Layers { resource: Some(&all[0]), ..Layers::default() }).allowed());
}

#[test]
fn trust() {
    let cases = [
        ("the session principal needs no identity policy", r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/R/S"}"#, false, true),
        ("nor does the role", r#"{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#, false, true),
        ("the account does", r#"{"AWS":"111111111111"}"#, false, false),
        ("the account and an identity policy", r#"{"AWS":"111111111111"}"#, true, true),
        ("an identity policy alone", r#"{"Service":"lambda.amazonaws.com"}"#, true, false),
    ];
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "sts:*", "*"))]);
    let (none, target) = (PolicySet::default(), "arn:aws:iam::111111111111:role/T");
    for (name, principal, identity, want) in cases {
        let trust = policy(
            PolicyKind::Trust,
            &format!(
                r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole","Condition":{{"StringLike":{{"aws:RequestTag/T":"tenant*"}}}}}}"#
            ),
        );
        let layers = Layers {
            identity: if identity { &all } else { &none },
            resource: Some(&trust),
            resource_mode: ResourcePolicyMode::MustAllow,
            ..Layers::default()
        };
        let decision = ask(&session(), "sts:AssumeRole", target, &context("aws:RequestTag/T=tenant1"), &layers);
        assert_eq!(decision.allowed(), want, "{name}");
        let decision = ask(&session(), "sts:AssumeRole", target, &context(""), &layers);
        assert_eq!((decision.outcome, decision.cause), (Outcome::ImplicitDeny, Cause::Trust), "{name}, untagged");
        assert!(!ask(&session(), "sts:TagSession", target, &context("aws:RequestTag/T=tenant1"), &layers).allowed(), "{name}, tagging");
    }
}

#[test]
fn an_explanation_names_the_near_miss() {
    let held = PolicySet::from([
        crate::named("far", PolicyKind::Identity, &statement("Allow", "s3:*", "arn:aws:s3:::other/*")),
        crate::named(
            "near",
            PolicyKind::Identity,
            r#"{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Sid":"Tagged","Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"${aws:PrincipalTag/Team}"}}}"#,
        ),
    ]);
    let who = session();
    let keys = context("aws:ResourceTag/team=blue; aws:PrincipalTag/team=red");
    let request = Request { action: "s3:GetObject", resource: OBJECT, resource_account: Some(A), principal: &who, context: &keys };
    let told = explain(&request, &Layers { identity: &held, ..Layers::default() });
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["decision"]["outcome"], "implicit-deny");
    let layer = json["layers"].as_array().unwrap().iter().find(|layer| layer["layer"] == "identity").unwrap();
    let want = serde_json::json!({
        "policy": "near", "sid": "Tagged", "index": 1, "stage": "condition", "operator": "StringEquals",
        "key": "aws:ResourceTag/Team", "expected": ["${aws:PrincipalTag/Team}"], "actual": ["blue"],
    });
    for (member, value) in want.as_object().unwrap() {
        assert_eq!(layer["nearest"][member], *value, "{member}");
    }
    assert_eq!(layer["nearest"]["resolved"], serde_json::json!(["red"]), "both values");
    assert_eq!(layer["nearest"]["conditions"][0]["actual"], serde_json::json!(["blue"]));
    assert_eq!((&layer["nearest"]["pointer"], &layer["nearest"]["position"]["line"]), (&"/Statement/1".into(), &1.into()));
    assert_eq!(layer["misses"].as_array().unwrap().len(), 2, "all that come near: {layer}");
    let first = PolicySet::from([held[0].clone()]);
    let told = explain(&request, &Layers { identity: &first, ..Layers::default() });
    let json = serde_json::to_value(&told).unwrap();
    let layer = json["layers"].as_array().unwrap().iter().find(|layer| layer["layer"] == "identity").unwrap();
    assert_eq!((&layer["nearest"]["stage"], &layer["nearest"]["expected"][0]), (&"resource".into(), &"arn:aws:s3:::other/*".into()));
}

#[test]
fn an_explanation_holds_the_statement() {
    let held = PolicySet::from([policy(
        PolicyKind::Identity,
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"No","Effect":"Deny","Action":"s3:*","Resource":"*"}"#,
    )]);
    let who = session();
    let keys = context("");
    let request = Request { action: "s3:GetObject", resource: OBJECT, resource_account: Some(A), principal: &who, context: &keys };
    let levels = ['a', 'n'].map(|word| PolicySet::from([of(PolicyKind::ServiceControl, word)]));
    let told = serde_json::to_value(explain(&request, &Layers { identity: &held, service_control: &levels, ..Layers::default() })).unwrap();
    let layers = told["layers"].as_array().unwrap();
    let at = |name: &str, level: Option<u64>| {
        layers.iter().find(|layer| layer["layer"] == name && layer["level"].as_u64() == level).unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(at("identity", None)["verdict"], "explicit-deny");
    assert_eq!(at("identity", None)["statement"]["Sid"], "No");
    assert_eq!(at("service-control", Some(0))["verdict"], "allow");
    assert_eq!(at("service-control", Some(1))["verdict"], "implicit-deny");
    assert_eq!(at("boundary", None)["verdict"], "not-applicable");
}
