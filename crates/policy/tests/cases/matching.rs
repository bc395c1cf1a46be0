//! Action, NotAction, Resource, NotResource, variables.

use tenantry_policy::{Layers, Policy, PolicyKind, PolicySet};

use crate::{alice, ask, context, document, json, named, policy};

#[test]
fn actions() {
    for (element, action, want) in [
        ("*", "s3:GetObject", true),
        ("*:*", "s3:GetObject", true),
        ("s3:GetObject", "s3:GetObject", true),
        ("S3:getobject", "s3:GetObject", true),
        ("s3:getobject", "S3:GETOBJECT", true),
        ("s3:Get*", "s3:GetObject", true),
        ("s3:*Object", "s3:PutObject", true),
        ("s3:*Object", "s3:PutObjectAcl", false),
        ("s3:G?tObject", "s3:GetObject", true),
        ("s3:G?tObject", "s3:GtObject", false),
        ("s3:*", "s3express:CreateSession", false),
        ("s3:GetObject", "s3:GetObjectAcl", false),
        ("kms:UnTagResource", "kms:UntagResource", true),
        ("sagemaker:*App", "sagemaker:CreateApp", true),
        ("Sagemaker:Send*", "sagemaker:SendHeartbeat", true),
        ("s3:Upload*", "s3:PutObject", false),
        ("s3:", "s3:GetObject", false),
        ("s3:GetObject ", "s3:GetObject", false),
        ("s3:Get Object", "s3:GetObject", false),
        ("s3:GetObject,s3:PutObject", "s3:GetObject", false),
        ("s3:*,", "s3:GetObject", false),
        ("s3:${aws:username}", "s3:alice", false),
        (r#"["kms:*","s3:GetObject"]"#, "s3:GetObject", true),
        (r#"["kms:*","s3:GetObject"]"#, "logs:PutLogEvents", false),
    ] {
        // An ARN holds one colon too many for the case with two names: that one is refused instead.
        if element.matches(':').count() > 1 && !element.starts_with('[') {
            let text = document(&crate::statement("Allow", element, "*"));
            assert!(Policy::parse(&text, PolicyKind::Identity).is_err(), "{element}");
            continue;
        }
        let held = PolicySet::from([policy(PolicyKind::Identity, &crate::statement("Allow", element, "*"))]);
        let layers = Layers { identity: &held, ..Layers::default() };
        let keys = context("aws:username=alice");
        assert_eq!(ask(&alice(), action, crate::OBJECT, &keys, &layers).allowed(), want, "{element} ~ {action}");
    }
}

#[test]
fn resources() {
    let bucket = "arn:aws:s3:::b/k";
    let group = "arn:aws:logs:us-east-1:111111111111:log-group:/aws/x:log-stream:y";
    for (element, resource, want) in [
        ("*", bucket, true),
        ("*", "*", true),
        ("arn:aws:s3:::b/k", bucket, true),
        ("arn:aws:s3:::B/k", bucket, false),
        ("arn:aws:s3:::b/*", bucket, true),
        ("arn:aws:s3:::b*", "arn:aws:s3:::b/k/l/m", true),
        ("arn:aws:s3:::b/?", bucket, true),
        ("arn:aws:s3:::b/??", bucket, false),
        ("arn:aws:s3:::*", bucket, true),
        ("arn:aws:s3::*:b/k", bucket, true),
        ("arn:*:s3:::b/k", bucket, true),
        ("arn:aws:s3:::b/k", "*", false),
        ("arn:aws:s3:::*", "*", false),
        ("arn:aws:logs:us-east-1:111111111111:*", group, true),
        ("arn:aws:logs:*:*:log-group:/aws/*:log-stream:y", group, true),
        ("arn:aws:logs:*:*:log-group:*", group, true),
        ("arn:aws:logs:us-*:1111*:log-group:/aws/x:*", group, true),
        // A wildcard does not cross one of the first five colons.
        ("arn:aws:logs:*:log-group:/aws/x:log-stream:y", group, false),
        ("arn:aws:logs:us-east-1*:log-group:*", group, false),
        // Stored, and matching nothing.
        ("arn:aws:logs:::*", group, false),
        ("arn:aws:catalog:*:111111111111:portfolio/*", "arn:aws:servicecatalog:us-east-1:111111111111:portfolio/p", false),
        ("arn:aws:s3:::b/*}", bucket, false),
        // Short ARNs are padded in identity policies.
        ("arn:aws:logs:us-east-1", group, true),
        ("arn:aws:logs:*", group, true),
        ("arn:aws:logs", group, true),
        ("arn:aws:s3", group, false),
        (r#"["arn:aws:s3:::c","arn:aws:s3:::b/k"]"#, bucket, true),
    ] {
        let held = PolicySet::from([policy(PolicyKind::Identity, &crate::statement("Allow", "*", element))]);
        let layers = Layers { identity: &held, ..Layers::default() };
        assert_eq!(ask(&alice(), "s3:GetObject", resource, &context(""), &layers).allowed(), want, "{element} ~ {resource}");
    }
}

#[test]
fn short_arns_elsewhere() {
    for (kind, element, stored, want) in [
        (PolicyKind::Resource, "arn:aws:s3", true, false),
        (PolicyKind::Resource, "arn:aws:s3:*", true, true),
        (PolicyKind::Endpoint, "arn:aws:s3", true, false),
        (PolicyKind::Endpoint, "arn:aws:s3:*", true, true),
        (PolicyKind::ServiceControl, "arn:aws:s3:*", true, true),
        (PolicyKind::ServiceControl, "arn:aws:s3", false, false),
        (PolicyKind::ResourceControl, "arn:aws:s3:*", false, false),
        (PolicyKind::Session, "arn:aws:s3", true, true),
    ] {
        let principal = match kind {
            PolicyKind::Resource | PolicyKind::Endpoint | PolicyKind::ResourceControl => r#""Principal":"*","#,
            _ => "",
        };
        let statement = format!(r#"{{{principal}"Effect":"Allow","Action":"*","Resource":"{element}"}}"#);
        assert_eq!(Policy::parse(&document(&statement), kind).is_ok(), stored, "{kind:?} {element}");
        if !stored {
            continue;
        }
        let (all, held) = (PolicySet::from([policy(PolicyKind::Identity, &crate::statement("Allow", "*", "*"))]), policy(kind, &statement));
        let level = [PolicySet::from([held.clone()])];
        let one = PolicySet::from([held.clone()]);
        let layers = match kind {
            PolicyKind::Resource => Layers { resource: Some(&held), ..Layers::default() },
            PolicyKind::Endpoint => Layers { identity: &all, endpoint: Some(&held), ..Layers::default() },
            PolicyKind::Session => Layers { identity: &all, session: Some(&one), ..Layers::default() },
            _ => Layers { identity: &all, service_control: &level, ..Layers::default() },
        };
        assert_eq!(ask(&crate::session(), "s3:GetObject", crate::OBJECT, &context(""), &layers).allowed(), want, "{kind:?} {element}");
    }
}

#[test]
fn negated_elements() {
    let cases = [
        ("NotAction excepts", r#""NotAction":"iam:*","Resource":"*""#, "iam:CreateUser", "*", false),
        ("NotAction allows the rest", r#""NotAction":"iam:*","Resource":"*""#, "s3:GetObject", crate::OBJECT, true),
        ("NotAction excepts the whole list", r#""NotAction":["iam:*","S3:get*"],"Resource":"*""#, "s3:GetObject", crate::OBJECT, false),
        (
            "NotAction and Resource miss what has no resource",
            r#""NotAction":"iam:*","Resource":"arn:aws:s3:::*""#,
            "s3:ListAllMyBuckets",
            "*",
            false,
        ),
        ("NotResource excepts", r#""Action":"*","NotResource":"arn:aws:s3:::b/*""#, "s3:GetObject", crate::OBJECT, false),
        ("NotResource allows the rest", r#""Action":"*","NotResource":"arn:aws:s3:::c/*""#, "s3:GetObject", crate::OBJECT, true),
        ("NotResource reaches what has no resource", r#""Action":"*","NotResource":"arn:aws:s3:::c/*""#, "s3:ListAllMyBuckets", "*", true),
        ("NotResource * reaches nothing", r#""Action":"*","NotResource":"*""#, "s3:ListAllMyBuckets", "*", false),
        (
            "NotResource excepts the whole list",
            r#""Action":"*","NotResource":["arn:aws:s3:::c","arn:aws:s3:::b/*"]"#,
            "s3:GetObject",
            crate::OBJECT,
            false,
        ),
        ("NotResource with a value", r#""Action":"*","NotResource":"arn:aws:s3:::${aws:username}/*""#, "s3:GetObject", crate::OBJECT, true),
        (
            "NotResource without a value matches nothing",
            r#""Action":"*","NotResource":"arn:aws:s3:::${aws:PrincipalTag/x}/*""#,
            "s3:GetObject",
            crate::OBJECT,
            false,
        ),
    ];
    for (name, elements, action, resource, want) in cases {
        let held = PolicySet::from([policy(PolicyKind::Identity, &format!(r#"{{"Effect":"Allow",{elements}}}"#))]);
        let layers = Layers { identity: &held, ..Layers::default() };
        assert_eq!(ask(&alice(), action, resource, &context("aws:username=alice"), &layers).allowed(), want, "{name}");
    }
}

#[test]
fn variables_in_resources() {
    let cases = [
        ("a tag", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=red", "arn:aws:s3:::b/red/x", true),
        ("another tenant's", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=red", "arn:aws:s3:::b/blue/x", false),
        ("the key in another case", "arn:aws:s3:::b/${AWS:principaltag/team}/*", "aws:PrincipalTag/TEAM=red", "arn:aws:s3:::b/red/x", true),
        ("a tenant named *", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=*", "arn:aws:s3:::b/red/x", false),
        (
            "what the tenant named * owns",
            "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*",
            "aws:PrincipalTag/Team=*",
            "arn:aws:s3:::b/*/x",
            true,
        ),
        ("a tenant named ?", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=r?d", "arn:aws:s3:::b/red/x", false),
        ("a tenant named ${*}", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=${*}", "arn:aws:s3:::b/*/x", false),
        ("no value", "arn:aws:s3:::b/${aws:PrincipalTag/Team}*", "", "arn:aws:s3:::b/x", false),
        ("an empty value", "arn:aws:s3:::b/${aws:PrincipalTag/Team}/*", "aws:PrincipalTag/Team=", "arn:aws:s3:::b//x", true),
        ("a default", "arn:aws:s3:::b/${aws:PrincipalTag/Team, 'shared'}/*", "", "arn:aws:s3:::b/shared/x", true),
        (
            "a default that is not needed",
            "arn:aws:s3:::b/${aws:PrincipalTag/Team, 'shared'}/*",
            "aws:PrincipalTag/Team=red",
            "arn:aws:s3:::b/shared/x",
            false,
        ),
        ("a list has no value", "arn:aws:s3:::b/${aws:TagKeys}/*", "aws:TagKeys=[red]", "arn:aws:s3:::b/red/x", false),
        ("an escaped star", "arn:aws:s3:::b/${*}", "", "arn:aws:s3:::b/x", false),
        ("an escaped star itself", "arn:aws:s3:::b/${*}", "", "arn:aws:s3:::b/*", true),
        ("an escaped question mark", "arn:aws:s3:::b/${?}", "", "arn:aws:s3:::b/?", true),
        ("an escaped dollar", "arn:aws:s3:::b/${$}{x}", "", "arn:aws:s3:::b/${x}", true),
        ("the account segment", "arn:*:kms:*:${aws:PrincipalAccount}:key/*", "aws:PrincipalAccount=1", "arn:aws:kms:r:1:key/k", true),
        (
            "a colon in a value stays in its segment",
            "arn:aws:kms:*:${aws:PrincipalTag/a}:*",
            "aws:PrincipalTag/a=1:key/k",
            "arn:aws:kms:r:1:key/k:x",
            false,
        ),
        (
            "mixed with wildcards",
            "arn:aws:sagemaker:*:*:endpoint/m-${aws:PrincipalTag/T}-*",
            "aws:PrincipalTag/T=t1",
            "arn:aws:sagemaker:r:1:endpoint/m-t1-x",
            true,
        ),
    ];
    for (name, element, keys, resource, want) in cases {
        let held = PolicySet::from([policy(PolicyKind::Identity, &crate::statement("Allow", "*", &json(element)))]);
        let layers = Layers { identity: &held, ..Layers::default() };
        assert_eq!(ask(&alice(), "s3:GetObject", resource, &context(keys), &layers).allowed(), want, "{name}");
    }
}

#[test]
fn old_versions_have_no_variables() {
    for (version, resource, want) in [
        (r#""Version":"2008-10-17","#, "arn:aws:s3:::b/red", false),
        ("", "arn:aws:s3:::b/red", false),
        ("", "arn:aws:s3:::b/${aws:username}", true),
        (r#""Version":"2008-10-17","#, "arn:aws:s3:::b/${anything}", false),
        (r#""Version":"2012-10-17","#, "arn:aws:s3:::b/red", true),
    ] {
        let text = format!(
            r#"{{{version}"Statement":{{"Principal":"*","Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${{aws:username}}"}}}}"#
        );
        let held = tenantry_policy::Attached::inline("p", std::sync::Arc::new(Policy::parse(&text, PolicyKind::Resource).unwrap()));
        let layers = Layers { resource: Some(&held), ..Layers::default() };
        assert_eq!(ask(&alice(), "s3:GetObject", resource, &context("aws:username=red"), &layers).allowed(), want, "{version} {resource}");
    }
    let text = r#"{"Statement":{"Principal":"*","Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${*}"}}"#;
    let held = tenantry_policy::Attached::inline("p", std::sync::Arc::new(Policy::parse(text, PolicyKind::Resource).unwrap()));
    let layers = Layers { resource: Some(&held), ..Layers::default() };
    assert!(ask(&alice(), "s3:GetObject", "arn:aws:s3:::b/${x}", &context(""), &layers).allowed(), "its star is still a wildcard");
}

#[test]
fn the_deciding_statement_is_named() {
    let allow = r#"{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"}"#;
    let deny = r#"{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::secret/*"},{"Sid":"No","Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::other/*"}"#;
    let held = PolicySet::from([named("first", PolicyKind::Identity, allow), named("second", PolicyKind::Identity, deny)]);
    let layers = Layers { identity: &held, ..Layers::default() };
    let place = |resource: &str| {
        let decision = ask(&alice(), "s3:GetObject", resource, &context(""), &layers);
        decision.statement.map(|at| (at.policy.to_string(), at.sid.map(|sid| sid.to_string()), at.index))
    };
    assert_eq!(place(crate::OBJECT), Some(("first".into(), Some("Read".into()), 1)));
    assert_eq!(place("arn:aws:s3:::secret/x"), Some(("second".into(), None, 0)));
    assert_eq!(place("arn:aws:s3:::other/x"), Some(("second".into(), Some("No".into()), 1)));
    assert_eq!(ask(&alice(), "s3:PutObject", crate::OBJECT, &context(""), &layers).statement, None);
}
