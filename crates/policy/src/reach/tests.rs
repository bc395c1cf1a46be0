use std::sync::Arc;

use super::*;
use crate::caller::Principal;
use crate::context::Context;
use crate::policy::{Policy, PolicyKind};

fn attached(name: &str, kind: PolicyKind, statements: &str) -> Attached {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Attached::inline(name, Arc::new(Policy::parse(&text, kind).unwrap()))
}

fn role() -> Principal {
    Principal::session("111111111111", "arn:aws:iam::111111111111:role/R", "AROAR000000000001", "s")
}

fn ask(identity: &[Attached], boundary: Option<&Attached>, action: &str) -> Possible {
    let (who, mut context) = (role(), Context::new());
    context.set("aws:PrincipalAccount", "111111111111");
    let request =
        Request { action, resource: "arn:aws:s3:::b/t1-x", resource_account: Some("111111111111"), principal: &who, context: &context };
    let set = PolicySet::from(identity.to_vec());
    let layers = Layers { identity: &set, boundary, ..Layers::default() };
    possible(&mut Reducer::new(), &request, &layers, Unknown { session: true, resource: false })
}

#[test]
fn depends_on_what_is_not_known() {
    let tagged = attached(
        "own",
        PolicyKind::Identity,
        r#"{"Sid":"Own","Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/Tenant}-*"},
        {"Effect":"Allow","Action":"s3:PutObject","Resource":"*"},
        {"Sid":"Mfa","Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}},
        {"Effect":"Allow","Action":"s3:DeleteObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}},
        {"Effect":"Allow","Action":"s3:List*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"222222222222","aws:SourceVpce":"v"}}}"#,
    );
    let set = [tagged];
    let get = ask(&set, None, "s3:GetObject");
    assert_eq!(get.answer, Answer::Conditional);
    assert_eq!((get.depends[0].operator.as_str(), get.depends[0].key.as_str()), ("Resource", "aws:PrincipalTag/Tenant"));
    assert_eq!((get.depends[0].effect, get.depends[0].policy.as_str(), get.depends[0].index), ("allow-if", "own", 0));
    let put = ask(&set, None, "s3:PutObject");
    assert_eq!(put.answer, Answer::Conditional);
    assert_eq!((put.depends[0].effect, put.depends[0].sid.as_deref(), put.depends[0].index), ("deny-if", Some("Mfa"), 2));
    assert_eq!(ask(&set, None, "s3:DeleteObject").answer, Answer::Allowed, "the caller's account is known");
    assert_eq!(ask(&set, None, "s3:ListBucket").answer, Answer::Denied, "and no unknown can make up for it");
    assert_eq!(ask(&set, None, "sqs:SendMessage").cause, Some(Cause::Identity));
    let fence = attached(
        "fence",
        PolicyKind::Boundary,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#,
    );
    assert_eq!(ask(&set, Some(&fence), "s3:DeleteObject").answer, Answer::Conditional);
    let nothing = attached("fence", PolicyKind::Boundary, r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"}"#);
    assert_eq!(ask(&set, Some(&nothing), "s3:DeleteObject").cause, Some(Cause::Boundary));
}

#[test]
fn lists_permissions() {
    let set = PolicySet::from([attached(
        "p",
        PolicyKind::Identity,
        r#"{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::b/*","arn:aws:s3:::${aws:PrincipalAccount}/*"]},
        {"Sid":"D","Effect":"Deny","Action":"s3:Put*","Resource":"arn:aws:s3:::b/secret/*"},
        {"Sid":"N","Effect":"Allow","NotAction":"s3:*","NotResource":"arn:aws:sqs:*:*:hidden"}"#,
    )]);
    let mut context = Context::new();
    context.set("aws:PrincipalAccount", "111111111111");
    let layers = Layers { identity: &set, ..Layers::default() };
    let told = permissions(&mut Reducer::new(), &role(), &context, &layers, &["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]);
    let of = |action: &str| told.iter().filter(|one| one.actions.contains(&action.to_owned())).collect::<Vec<_>>();
    assert_eq!(of("s3:GetObject")[0].resources, ["arn:aws:s3:::b/*", "arn:aws:s3:::111111111111/*"]);
    assert!(of("s3:GetObject")[0].except.is_empty());
    let put = of("s3:PutObject");
    assert_eq!(put.len(), 2, "one pattern is cut into: {put:?}");
    assert!(put.iter().any(|one| one.except.iter().any(|except| except.sid.as_deref() == Some("D"))));
    assert!(of("sqs:SendMessage")[0].except_listed);
}
