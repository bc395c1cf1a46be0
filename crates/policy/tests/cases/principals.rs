//! Who a resource policy names, and how far the naming reaches.

use std::sync::Arc;

use tenantry_policy::{
    Attached, Context, Layers, Policy, PolicyKind, PolicySet, Principal, PrincipalName, Request, ResourcePolicyMode, evaluate,
};

use crate::{A, B, OBJECT, ROLE, USER, alice, policy, session, statement};

fn bob() -> Principal {
    Principal::federated_user(A, USER, "AIDAALICE00000001", "bob")
}

fn stranger() -> Principal {
    Principal::session(B, "arn:aws:iam::222222222222:role/R", "AROAR000000000002", "S")
}

fn resource(effect: &str, element: &str) -> Attached {
    policy(PolicyKind::Resource, &format!(r#"{{"Effect":"{effect}",{element},"Action":"*","Resource":"*"}}"#))
}

fn decide(who: &Principal, layers: &Layers) -> bool {
    let request = Request { action: "s3:GetObject", resource: OBJECT, resource_account: Some(A), principal: who, context: &Context::new() };
    evaluate(&request, layers).allowed()
}

/// What is allowed with nothing else, with a boundary that allows nothing, with a session policy
/// that allows nothing: three letters, `y` or `n`.
fn reach(who: &Principal, element: &str, mode: ResourcePolicyMode) -> String {
    let held = resource("Allow", element);
    let nothing = policy(PolicyKind::Identity, &statement("Allow", "none:None", "*"));
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "*", "*"))]);
    let closed = PolicySet::from([nothing.clone()]);
    // A federated user needs a session policy to have anything from its user.
    let session = (who.kind == tenantry_policy::PrincipalKind::FederatedUser).then_some(&all);
    let base = Layers { resource: Some(&held), resource_mode: mode, session, ..Layers::default() };
    let probes = [base, Layers { boundary: Some(&nothing), ..base }, Layers { session: Some(&closed), ..base }];
    probes.iter().map(|layers| if decide(who, layers) { 'y' } else { 'n' }).collect()
}

#[test]
fn naming_in_the_same_account() {
    let cases = [
        ("everyone", session(), r#""Principal":"*""#, "yyy"),
        ("everyone as AWS", session(), r#""Principal":{"AWS":"*"}"#, "yyy"),
        ("everyone, a user", alice(), r#""Principal":"*""#, "yyy"),
        ("everyone, federated", bob(), r#""Principal":"*""#, "yyy"),
        ("the session", session(), r#""Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/R/S"}"#, "yyy"),
        ("another session", session(), r#""Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/R/T"}"#, "nnn"),
        ("the role", session(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#, "ynn"),
        ("a role without its path", session(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:role/R"}"#, "nnn"),
        ("the role's id", session(), r#""Principal":{"AWS":"AROAR000000000001"}"#, "ynn"),
        ("another role's id", session(), r#""Principal":{"AWS":"AROAR000000000009"}"#, "nnn"),
        ("the user", alice(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:user/eng/alice"}"#, "yyn"),
        ("the user's id", alice(), r#""Principal":{"AWS":"AIDAALICE00000001"}"#, "yyn"),
        ("a user of another case", alice(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:user/eng/Alice"}"#, "nnn"),
        ("the federated session", bob(), r#""Principal":{"AWS":"arn:aws:sts::111111111111:federated-user/bob"}"#, "yyy"),
        ("the user behind it", bob(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:user/eng/alice"}"#, "ynn"),
        ("the account", session(), r#""Principal":{"AWS":"111111111111"}"#, "nnn"),
        ("the account's root", alice(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:root"}"#, "nnn"),
        ("several, the best counts", session(), r#""Principal":{"AWS":["111111111111","arn:aws:iam::111111111111:role/team/R"]}"#, "ynn"),
        ("a service", session(), r#""Principal":{"Service":"sagemaker.amazonaws.com"}"#, "nnn"),
        ("everyone but another", session(), r#""NotPrincipal":{"AWS":"222222222222"}"#, "yyy"),
        ("everyone but the role", session(), r#""NotPrincipal":{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#, "nnn"),
        ("everyone but the account", session(), r#""NotPrincipal":{"AWS":"111111111111"}"#, "nnn"),
    ];
    for (name, who, element, want) in &cases {
        assert_eq!(reach(who, element, ResourcePolicyMode::Normal), *want, "{name}");
        // Whoever is named needs no identity policy of a key or role either.
        assert_eq!(reach(who, element, ResourcePolicyMode::MustAllow), *want, "{name}, must allow");
    }
}

/// The account is named first and last, the role in between: the furthest reach counts.
#[test]
fn several_statements() {
    let name = |arn: &str| format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{arn}"}},"Action":"*","Resource":"*"}}"#);
    for (order, want) in [([A, ROLE, A], true), ([ROLE, A, A], true), ([A, A, USER], false)] {
        let held = policy(PolicyKind::Resource, &order.map(name).join(","));
        assert_eq!(decide(&session(), &Layers { resource: Some(&held), ..Layers::default() }), want, "{order:?}");
    }
}

#[test]
fn must_allow() {
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "*", "*"))]);
    for (name, who, element, want) in [
        ("identity alone is not enough", session(), r#""Principal":{"Service":"x.amazonaws.com"}"#, false),
        ("the account delegates", session(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:root"}"#, true),
        ("root is not above a key policy", Principal::root(A), r#""Principal":{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#, false),
        ("root through its account", Principal::root(A), r#""Principal":{"AWS":"111111111111"}"#, true),
    ] {
        let held = resource("Allow", element);
        let layers = Layers { identity: &all, resource: Some(&held), resource_mode: ResourcePolicyMode::MustAllow, ..Layers::default() };
        assert_eq!(decide(&who, &layers), want, "{name}");
    }
    let layers = Layers { identity: &all, resource_mode: ResourcePolicyMode::MustAllow, ..Layers::default() };
    assert!(!decide(&session(), &layers), "no policy at all allows nobody");
}

#[test]
fn across_accounts() {
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "*", "*"))]);
    let nothing = policy(PolicyKind::Identity, &statement("Allow", "none:None", "*"));
    let closed = PolicySet::from([nothing.clone()]);
    let session_arn = r#""Principal":{"AWS":"arn:aws:sts::222222222222:assumed-role/R/S"}"#;
    for (name, who, element, identity, want) in [
        ("account and identity", stranger(), r#""Principal":{"AWS":"222222222222"}"#, true, true),
        ("account without identity", stranger(), r#""Principal":{"AWS":"222222222222"}"#, false, false),
        ("role and identity", stranger(), r#""Principal":{"AWS":"arn:aws:iam::222222222222:role/R"}"#, true, true),
        ("role without identity", stranger(), r#""Principal":{"AWS":"arn:aws:iam::222222222222:role/R"}"#, false, false),
        ("session and identity", stranger(), session_arn, true, true),
        ("session without identity", stranger(), session_arn, false, false),
        ("everyone without identity", stranger(), r#""Principal":"*""#, false, false),
        ("everyone and identity", stranger(), r#""Principal":"*""#, true, true),
        ("identity without resource", stranger(), r#""Principal":{"AWS":"111111111111"}"#, true, false),
        ("root of the other account", Principal::root(B), r#""Principal":{"AWS":"222222222222"}"#, false, true),
        ("root that nobody named", Principal::root(B), r#""Principal":{"AWS":"111111111111"}"#, false, false),
    ] {
        let held = resource("Allow", element);
        let none = PolicySet::default();
        let identity = if identity { &all } else { &none };
        for mode in [ResourcePolicyMode::Normal, ResourcePolicyMode::MustAllow] {
            let layers = Layers { identity, resource: Some(&held), resource_mode: mode, ..Layers::default() };
            assert_eq!(decide(&who, &layers), want, "{name} {mode:?}");
        }
    }
    let held = resource("Allow", session_arn);
    let layers = Layers { identity: &all, resource: Some(&held), ..Layers::default() };
    assert!(!decide(&stranger(), &Layers { boundary: Some(&nothing), ..layers }), "the boundary holds across accounts");
    assert!(!decide(&stranger(), &Layers { session: Some(&closed), ..layers }), "the session policy holds across accounts");
    assert!(!decide(&stranger(), &Layers { identity: &all, ..Layers::default() }), "no resource policy");
}

#[test]
fn callers_without_an_account() {
    let sagemaker = || Principal::service("sagemaker.amazonaws.com");
    let saml = || Principal::provider("arn:aws:iam::111111111111:saml-provider/p", "arn:aws:iam::111111111111:saml-provider/p");
    for (name, who, element, want) in [
        ("the service", sagemaker(), r#""Principal":{"Service":["glue.amazonaws.com","sagemaker.amazonaws.com"]}"#, true),
        ("another service", sagemaker(), r#""Principal":{"Service":"glue.amazonaws.com"}"#, false),
        ("any service", sagemaker(), r#""Principal":{"Service":"*"}"#, true),
        ("everyone, a service", sagemaker(), r#""Principal":"*""#, true),
        ("an account, a service", sagemaker(), r#""Principal":{"AWS":"111111111111"}"#, false),
        ("everyone, anonymous", Principal::anonymous(), r#""Principal":"*""#, true),
        ("any service, anonymous", Principal::anonymous(), r#""Principal":{"Service":"*"}"#, false),
        ("everyone else, anonymous", Principal::anonymous(), r#""NotPrincipal":{"AWS":"111111111111"}"#, true),
        ("the provider", saml(), r#""Principal":{"Federated":"arn:aws:iam::111111111111:saml-provider/p"}"#, true),
        ("another provider", saml(), r#""Principal":{"Federated":"arn:aws:iam::111111111111:saml-provider/q"}"#, false),
        ("a user is no provider", alice(), r#""Principal":{"Federated":"arn:aws:iam::111111111111:saml-provider/p"}"#, false),
    ] {
        let held = resource("Allow", element);
        assert_eq!(decide(&who, &Layers { resource: Some(&held), ..Layers::default() }), want, "{name}");
    }
    let all = PolicySet::from([policy(PolicyKind::Identity, &statement("Allow", "*", "*"))]);
    assert!(!decide(&Principal::anonymous(), &Layers { identity: &all, ..Layers::default() }), "nothing but a resource policy counts");
    let mut logs = Principal::service("logs.amazonaws.com");
    logs.service_names.push("logs.us-east-1.amazonaws.com".into());
    let held = resource("Allow", r#""Principal":{"Service":"logs.us-east-1.amazonaws.com"}"#);
    assert!(decide(&logs, &Layers { resource: Some(&held), ..Layers::default() }), "a regional name");
}

#[test]
fn denials() {
    let account = r#""NotPrincipal":{"AWS":"111111111111"}"#;
    let chain = r#""NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:role/team/R"]}"#;
    let exact = r#""NotPrincipal":{"AWS":["arn:aws:iam::111111111111:root","arn:aws:sts::111111111111:assumed-role/R/S"]}"#;
    let role_only = r#""NotPrincipal":{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#;
    let user = r#""NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/eng/alice"]}"#;
    let service = r#""NotPrincipal":{"Service":"sagemaker.amazonaws.com"}"#;
    for (name, who, element, denied) in [
        ("everyone", session(), r#""Principal":"*""#, true),
        ("the role hits its sessions", session(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:role/team/R"}"#, true),
        ("the account hits its roles", session(), r#""Principal":{"AWS":"111111111111"}"#, true),
        ("the account hits its users", alice(), r#""Principal":{"AWS":"111111111111"}"#, true),
        ("the account hits its root", Principal::root(A), r#""Principal":{"AWS":"111111111111"}"#, true),
        ("the user hits its federated sessions", bob(), r#""Principal":{"AWS":"arn:aws:iam::111111111111:user/eng/alice"}"#, true),
        ("another session", session(), r#""Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/R/T"}"#, false),
        ("another account", session(), r#""Principal":{"AWS":"222222222222"}"#, false),
        ("not: the account alone spares no role", session(), account, true),
        ("not: the account alone spares no user", alice(), account, true),
        ("not: the account spares its root", Principal::root(A), account, false),
        ("not: account and role", session(), chain, false),
        ("not: account and session", session(), exact, false),
        ("not: the role alone", session(), role_only, true),
        ("not: account and user", alice(), user, false),
        ("not: account and another", alice(), chain, true),
        ("not: the user's federated session", bob(), user, false),
        ("not: the service", Principal::service("sagemaker.amazonaws.com"), service, false),
        ("not: another service", Principal::service("glue.amazonaws.com"), service, true),
        ("not: the anonymous", Principal::anonymous(), chain, true),
        ("not: everyone", alice(), r#""NotPrincipal":"*""#, false),
    ] {
        let text = format!(
            r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},{{"Effect":"Deny",{element},"Action":"*","Resource":"*"}}"#
        );
        let held = policy(PolicyKind::Resource, &text);
        assert_eq!(decide(&who, &Layers { resource: Some(&held), ..Layers::default() }), !denied, "{name}");
    }
    let held = policy(
        PolicyKind::Resource,
        &format!(
            r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},{{"Effect":"Deny",{chain},"Action":"*","Resource":"*"}}"#
        ),
    );
    let all = policy(PolicyKind::Identity, &statement("Allow", "*", "*"));
    let layers = Layers { resource: Some(&held), boundary: Some(&all), ..Layers::default() };
    assert!(!decide(&session(), &layers), "a boundary of any content makes NotPrincipal deny");
}

#[test]
fn a_namesake_is_somebody_else() {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["{ROLE}","{USER}","{A}"],"Service":"x.amazonaws.com"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let mut trust = Policy::parse(&text, PolicyKind::Trust).unwrap();
    let named: Vec<PrincipalName> = trust.principals().cloned().collect();
    assert_eq!(
        named,
        [
            PrincipalName::Role(ROLE.into()),
            PrincipalName::User(USER.into()),
            PrincipalName::Account(A.into()),
            PrincipalName::Service("x.amazonaws.com".into())
        ]
    );
    trust.resolve_principals(&|arn| (arn == ROLE).then(|| "AROAR000000000001".to_owned()));
    let held = Attached::inline("trust", Arc::new(trust));
    let allowed = |who: &Principal| {
        let request =
            Request { action: "sts:AssumeRole", resource: ROLE, resource_account: Some(A), principal: who, context: &Context::new() };
        let layers = Layers { resource: Some(&held), resource_mode: ResourcePolicyMode::MustAllow, ..Layers::default() };
        evaluate(&request, &layers).allowed()
    };
    assert!(allowed(&session()));
    assert!(!allowed(&Principal::session(A, ROLE, "AROAR000000000077", "S")), "deleted and created again");
    assert!(allowed(&alice()), "a name that was not resolved goes on matching by arn");
}

/// A session is named by its role's name alone: bound to the role's id, it is not that of a namesake.
#[test]
fn sessions_of_a_role_made_again_are_strangers() {
    let arn = "arn:aws:sts::111111111111:assumed-role/R/S";
    let text = crate::document(&format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{arn}"}},"Action":"*","Resource":"*"}}"#));
    let mut policy = Policy::parse(&text, PolicyKind::Resource).unwrap();
    let again = Principal::session(A, ROLE, "AROAR000000000099", "S");
    assert_eq!(again.arn, session().arn);
    for (bound, who, want) in [(false, session(), true), (false, again.clone(), true), (true, session(), true), (true, again, false)] {
        if bound {
            policy.resolve_principals(&|name| (name == arn).then(|| "AROAR000000000001".to_owned()));
        }
        let held = Attached::inline("bucket", Arc::new(policy.clone()));
        assert_eq!(decide(&who, &Layers { resource: Some(&held), ..Layers::default() }), want, "{bound} {:?}", who.unique_id);
    }
}
