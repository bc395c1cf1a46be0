//! What may be stored, and the texts of refusal.

use tenantry_policy::{Policy, PolicyKind};

use crate::document;

const SYNTAX: &str = "Syntax errors in policy.";
const VERSION: &str = "Policy document must be version 2012-10-17 or greater.";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
const WILD: &str = "Resource vendor must be fully qualified and cannot contain regexes.";
const LEGACY: &str = "The policy failed legacy parsing";
const CONTROL: &str = "The provided policy document does not meet the requirements of the specified policy type.";

fn refusal(text: &str, kind: PolicyKind) -> String {
    Policy::parse(text, kind).map_or_else(|fault| fault.message, |_| String::new())
}

#[test]
fn identity_documents() {
    let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let whole = [
        ("", SYNTAX),
        ("null", SYNTAX),
        ("[]", SYNTAX),
        ("{}", SYNTAX),
        (r#"{"Version":"2012-10-17"}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":["x"]}"#, SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Statement":{all}}}"#), ""),
        (&format!(r#"{{"Version":"2012-10-17","Id":"x","Statement":[{all}]}}"#), ""),
        (&format!(r#"{{"Version":"2012-10-17","Id":5,"Statement":[{all}]}}"#), SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Other":1,"Statement":[{all}]}}"#), SYNTAX),
        (&format!(r#"{{"version":"2012-10-17","Statement":[{all}]}}"#), SYNTAX),
        (&format!(r#"{{"Version":"2012-10-18","Statement":[{all}]}}"#), SYNTAX),
        (&format!(r#"{{"Version":"2008-10-17","Statement":[{all}]}}"#), VERSION),
        (&format!(r#"{{"Statement":[{all}]}}"#), VERSION),
        (r#"{"Statement":[{"Effect":"Allow"}]}"#, VERSION),
        (r#"{"Statement":[{"Effect":"Maybe"}]}"#, SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Statement":[{all}],"Statement":[{all}]}}"#), SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}"#, SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Statement":[{all}]}} x"#), SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Id":"中","Statement":[{all}]}}"#), SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Id":"é","Statement":[{all}]}}"#), ""),
        (&format!("{}{}", "[".repeat(5000), "]".repeat(5000)), SYNTAX),
        (&format!(r#"{{"Version":"2012-10-17","Id":"{}","Statement":[{all}]}}"#, "x".repeat(300_000)), SYNTAX),
    ];
    for (text, want) in whole {
        let shown: String = text.chars().take(120).collect();
        assert_eq!(refusal(text, PolicyKind::Identity), want, "{shown}");
    }
}

#[test]
fn identity_statements() {
    let paths = "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.";
    for (statement, want) in [
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#, ""),
        (r#"{"Effect":"Allow","Action":["s3:HeadObject","kms:ReEncrypt","nosuch:Thing"],"Resource":"*"}"#, ""),
        (r#"{"Action":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"allow","Action":"s3:*","Resource":"*"}"#, LEGACY),
        (r#"{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Resource":"*"}"#, "Policy statement must contain actions."),
        (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, "Policy statement must contain actions."),
        (r#"{"Effect":"Allow","Action":"s3:*"}"#, "Policy statement must contain resources."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":[]}"#, "Policy statement must contain resources."),
        (r#"{"Effect":"Allow","Action":5,"Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":[["s3:*"]],"Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Extra":1}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"GetObject","Resource":"*"}"#, VENDOR),
        (r#"{"Effect":"Allow","Action":"s3:a:b","Resource":"*"}"#, "Actions/Condition can contain only one colon."),
        (r#"{"Effect":"Allow","Action":"s*:Get","Resource":"*"}"#, "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards."),
        (r#"{"Effect":"Allow","Action":"*:Untag*","Resource":"*"}"#, "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards."),
        (r#"{"Effect":"Allow","Action":"s_3:Get","Resource":"*"}"#, "Vendor s_3 is not valid"),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}"#, "Resource bucket must be in ARN format or \"*\"."),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:sea:s3:::b"}"#,
            "Partition \"sea\" is not valid for resource \"arn:sea:s3:::b\".",
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:sea:s3"}"#,
            "Partition \"sea\" is not valid for resource \"arn:sea:s3:*:*:*\".",
        ),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws"}"#, WILD),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:*:us-east-1:1:x"}"#, WILD),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:us-east-1::b"}"#,
            "Resource arn:aws:s3:us-east-1::b can not contain region information.",
        ),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:us-east-1:1:accesspoint/x"}"#, ""),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:iam:r:1:role/x"}"#,
            "IAM resource arn:aws:iam:r:1:role/x cannot contain region information.",
        ),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:iam::1:u*"}"#, paths),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:*:iam::*:role/x"}"#, ""),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:catalog:*:1:x"}"#, ""),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:logs:::*","arn:aws:s3:::b/*}"]}"#, ""),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:::b"}"#, LEGACY),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3::b"}"#, LEGACY),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#, "Policy document should not specify a principal."),
        (r#"{"Effect":"Allow","NotPrincipal":"*","Action":"s3:*","Resource":"*"}"#, "Policy document should not specify a principal."),
        (
            r#"{"Sid":"Has space","Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
        (r#"{"Sid":"","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"","Effect":"Allow","Action":"s3:*","Resource":"*"}"#, ""),
        (
            r#"{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
            "Statement IDs (SID) in a single policy must be unique.",
        ),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":[]}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"a:k":"x"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{}}}"#, ""),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NullIfExists":{"a:k":"true"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"ForAnyValue:Null":{"a:k":"true"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"ForSome:StringEquals":{"a:k":"x"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"k":"x"}}}"#, VENDOR),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"a:k":{"x":1}}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"a:k":null}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"a:k":"soon"}}}"#, LEGACY),
    ] {
        for kind in [PolicyKind::Identity, PolicyKind::Boundary, PolicyKind::Session] {
            assert_eq!(refusal(&document(statement), kind), want, "{kind:?} {statement}");
        }
    }
}

#[test]
fn documents_with_principals() {
    use PolicyKind::{Endpoint, Resource, ResourceControl, ServiceControl, Trust};
    let wrong = |kind: &str, value: &str| format!("Invalid principal in policy: \"{kind}\":\"{value}\"");
    let star = "arn:aws:sts::111111111111:assumed-role/R/*";
    let cases: Vec<(PolicyKind, String, String)> = vec![
        (Trust, r#"{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}"#.into(), String::new()),
        (Trust, r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#.into(), "Missing required field Principal".into()),
        (
            Trust,
            r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}"#.into(),
            "Has prohibited field Resource".into(),
        ),
        (Trust, r#"{"Effect":"Allow","NotPrincipal":"*","Action":"sts:AssumeRole"}"#.into(), "Has prohibited field NotPrincipal".into()),
        (
            Trust,
            r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}"#.into(),
            "AssumeRole policy may only specify STS AssumeRole actions.".into(),
        ),
        (
            Trust,
            r#"{"Effect":"Allow","Principal":{},"Action":"sts:AssumeRole"}"#.into(),
            "Missing required field Principal cannot be empty!".into(),
        ),
        (Trust, r#"{"Effect":"Allow","Principal":"me","Action":"sts:AssumeRole"}"#.into(), wrong("STAR", "me")),
        (Trust, format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{star}"}},"Action":"sts:AssumeRole"}}"#), wrong("AWS", star)),
        (Trust, r#"{"Effect":"Allow","Principal":{"Who":"x"},"Action":"sts:AssumeRole"}"#.into(), SYNTAX.into()),
        (
            Resource,
            r#"{"Sid":"Allow use of-the key","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#.into(),
            String::new(),
        ),
        (Resource, r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*"}"#.into(), String::new()),
        (Resource, r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#.into(), "Missing required field Principal".into()),
        (Resource, r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"anything"}"#.into(), String::new()),
        (Endpoint, r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*sagemaker*"}"#.into(), String::new()),
        (ServiceControl, r#"{"Effect":"Deny","Action":"s3:*","Resource":"*"}"#.into(), String::new()),
        (ServiceControl, r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}"#.into(), CONTROL.into()),
        (ResourceControl, r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}"#.into(), String::new()),
        (ResourceControl, r#"{"Effect":"Deny","Principal":{"AWS":"111111111111"},"Action":"s3:*","Resource":"*"}"#.into(), CONTROL.into()),
        (ResourceControl, r#"{"Effect":"Deny","Action":"s3:*","Resource":"*"}"#.into(), "Missing required field Principal".into()),
    ];
    for (kind, statement, want) in cases {
        assert_eq!(refusal(&document(&statement), kind), want, "{kind:?} {statement}");
    }
}

#[test]
fn principals() {
    for (element, stored) in [
        (r#"{"AWS":"111111111111"}"#, true),
        (r#"{"AWS":"11111111111"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:root"}"#, true),
        (r#"{"AWS":"arn:aws-cn:iam::111111111111:root"}"#, true),
        (r#"{"AWS":"arn:aws:iam::111111111111:role/service-role/R"}"#, true),
        (r#"{"AWS":"arn:aws:iam::111111111111:role/"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:role/R*"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:group/g"}"#, false),
        (r#"{"AWS":"arn:aws:iam::*:role/R"}"#, false),
        (r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/R"}"#, false),
        (r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/R/S"}"#, true),
        (r#"{"AWS":"arn:aws:sts::111111111111:federated-user/bob"}"#, true),
        (r#"{"AWS":"AROAR000000000001"}"#, true),
        (r#"{"AWS":"AGPAR000000000001"}"#, false),
        (r#"{"AWS":["*","111111111111"]}"#, true),
        (r#"{"AWS":"**"}"#, false),
        (r#"{"Service":"lambda.amazonaws.com"}"#, true),
        (r#"{"Service":"lambda"}"#, false),
        (r#"{"Service":"*.amazonaws.com"}"#, false),
        (r#"{"Federated":"arn:aws:iam::111111111111:saml-provider/p"}"#, true),
        (r#"{"Federated":"cognito-identity.amazonaws.com"}"#, true),
        (r#"{"Federated":"*"}"#, false),
        (r#"{"CanonicalUser":"79a59df900b949e5"}"#, false),
    ] {
        let text = document(&format!(r#"{{"Effect":"Allow","Principal":{element},"Action":"sts:AssumeRole"}}"#));
        let result = Policy::parse(&text, PolicyKind::Trust);
        assert_eq!(result.is_ok(), stored, "{element}");
        assert!(result.err().is_none_or(|fault| fault.is_principal()), "{element}");
    }
}

#[test]
fn sizes_and_parts() {
    let text = "{ \"Version\" : \"2012-10-17\",\n\t\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":[\"arn:aws:s3:::b\",\"arn:aws:s3:::b/*\"]}}";
    let policy = Policy::parse(text, PolicyKind::Resource).unwrap();
    assert_eq!(policy.size(), text.split_whitespace().map(str::len).sum::<usize>());
    assert_eq!(policy.resources().collect::<Vec<_>>(), ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]);
    assert!(policy.names_resources());
    assert_eq!((policy.text(), policy.id(), policy.len(), policy.is_empty()), (text, None, 1, false));
    let text = document(r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*"}"#);
    assert!(!Policy::parse(&text, PolicyKind::Resource).unwrap().names_resources());
}
