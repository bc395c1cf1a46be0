//! Documents and the findings they must have: every code at least once, and none on sound ones.

use tenantry_policy::PolicyKind;

use super::{Finding, FindingType, findings};

fn codes(text: &str, kind: PolicyKind) -> Vec<&'static str> {
    findings(text, kind).iter().map(|finding| finding.code).collect()
}

fn statement(inside: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{inside}}}]}}"#)
}

fn allow(action: &str, resource: &str) -> String {
    statement(&format!(r#""Effect":"Allow","Action":{action},"Resource":{resource}"#))
}

#[test]
fn sound_documents_have_none() {
    for (text, kind) in [
        (allow(r#"["s3:GetObject","s3:PutObject"]"#, r#""arn:aws:s3:::bucket/*""#), PolicyKind::Identity),
        (allow(r#"["s3:ListBucket"]"#, r#"["arn:aws:s3:::bucket","arn:aws:s3:::${aws:PrincipalTag/team}"]"#), PolicyKind::Identity),
        (allow(r#""sagemaker:Create*""#, r#""arn:aws:sagemaker:*:111111111111:model/team-*""#), PolicyKind::Identity),
        (allow(r#""*""#, r#""arn:aws:s3:::b""#), PolicyKind::Boundary),
        (
            statement(
                r#""Effect":"Deny","NotAction":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-west-1"]}}"#,
            ),
            PolicyKind::ServiceControl,
        ),
        (
            statement(
                r#""Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"}}"#,
            ),
            PolicyKind::Trust,
        ),
        (
            statement(
                r#""Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111111111111:oidc-provider/idp.example.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{"idp.example.com:aud":"x"}}"#,
            ),
            PolicyKind::Trust,
        ),
        (
            statement(
                r#""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}"#,
            ),
            PolicyKind::Resource,
        ),
        (
            statement(
                r#""Effect":"Allow","Action":"sagemaker:CreateTrainingJob","Resource":"*","Condition":{"ForAllValues:StringEquals":{"sagemaker:VpcSubnets":["a"]},"Null":{"sagemaker:VpcSubnets":"false"}}"#,
            ),
            PolicyKind::Identity,
        ),
    ] {
        assert_eq!(findings(&text, kind), [], "{text}");
    }
}

#[test]
fn a_finding_has_a_place() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\"Effect\": \"Allow\", \"Resource\": \"*\",\n    \"Action\": [\"s3:GetObject\", \"s3:GetObjekt\"]}]\n}";
    let found = findings(text, PolicyKind::Identity);
    let [Finding { kind, code, text, path, span }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*kind, *code), (FindingType::Error, "INVALID_ACTION"));
    assert!(text.contains("did you mean `GetObject`?"), "{text}");
    assert_eq!(serde_json::to_string(path).unwrap(), r#"[{"value":"Statement"},{"index":0},{"value":"Action"},{"index":1}]"#);
    assert_eq!((span.start.line, span.start.column, span.end.column), (4, 31, 45));
}

#[test]
fn the_form_of_the_document() {
    for (text, code) in [
        ("{", "JSON_SYNTAX_ERROR"),
        ("[]", "DATA_TYPE_MISMATCH"),
        (r#"{"Version":"2012-10-17"}"#, "MISSING_STATEMENT"),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, "MISSING_STATEMENT"),
        (r#"{"Version":"2013-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#, "INVALID_VERSION"),
        (r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#, "MISSING_VERSION"),
        (r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#, "OLD_VERSION"),
        (r#"{"Version":"2012-10-17","Statement":["x"]}"#, "DATA_TYPE_MISMATCH"),
        (
            r#"{"Version":"2012-10-17","version":"x","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
            "DUPLICATE_KEYS_WITH_DIFFERENT_CASE",
        ),
        (r#"{"Version":"2012-10-17","Extra":1,"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#, "INVALID_POLICY_ELEMENT"),
    ] {
        assert!(codes(text, PolicyKind::Identity).contains(&code), "{text}: {:?}", findings(text, PolicyKind::Identity));
    }
    let long = allow(&format!("[{}\"s3:GetObject\"]", "\"s3:GetObject\",".repeat(500)), r#""*""#);
    assert!(codes(&long, PolicyKind::Identity).contains(&"POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA"));
    assert_eq!(codes(&" ".repeat(super::MAX_DOCUMENT + 1), PolicyKind::Identity), ["POLICY_SIZE_EXCEEDED"]);
}

#[test]
fn elements_of_a_statement() {
    use PolicyKind::{Identity, Resource, Trust};
    for (inside, kind, code) in [
        (r#""Action":"s3:*","Resource":"*""#, Identity, "MISSING_EFFECT"),
        (r#""Effect":"allow","Action":"s3:*","Resource":"*""#, Identity, "INVALID_EFFECT"),
        (r#""Effect":"Allow","Resource":"*""#, Identity, "MISSING_ACTION"),
        (r#""Effect":"Allow","Action":"s3:*""#, Identity, "MISSING_RESOURCE"),
        (r#""Effect":"Allow","Action":"s3:*","Resource":"*""#, Resource, "MISSING_PRINCIPAL"),
        (r#""Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*""#, Identity, "UNSUPPORTED_PRINCIPAL"),
        (r#""Effect":"Deny","Action":"s3:*","Resource":"*","Principal":"*""#, PolicyKind::ServiceControl, "SCP_SYNTAX_ERROR_PRINCIPAL"),
        (r#""Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*""#, Identity, "UNSUPPORTED_ELEMENT_COMBINATION"),
        (r#""Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"a b""#, Identity, "UNSUPPORTED_SID"),
        (r#""Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"""#, Identity, "EMPTY_SID_VALUE"),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"a"},{"Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"a""#,
            Identity,
            "UNIQUE_SIDS_REQUIRED",
        ),
        (r#""Effect":"Allow","Action":[],"Resource":"*""#, Identity, "EMPTY_ARRAY_ACTION"),
        (r#""Effect":"Allow","Action":5,"Resource":"*""#, Identity, "DATA_TYPE_MISMATCH"),
        (r#""Effect":"Allow","Action":"s3:GetObject","Resource":[]"#, Identity, "EMPTY_ARRAY_RESOURCE"),
        (r#""Effect":"Allow","Effekt":"x","Action":"s3:*","Resource":"*""#, Identity, "INVALID_POLICY_ELEMENT"),
        (r#""Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"s3:GetObject""#, Trust, "ROLE_TRUST_POLICY_UNSUPPORTED_ACTION"),
        (
            r#""Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole","Resource":"*""#,
            Trust,
            "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE",
        ),
        (
            r#""Effect":"Allow","NotPrincipal":{"AWS":"111111111111"},"Action":"s3:GetObject","Resource":"*""#,
            Resource,
            "ALLOW_WITH_NOT_PRINCIPAL",
        ),
        (
            r#""Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/*"},"Action":"s3:GetObject","Resource":"*""#,
            Resource,
            "UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
        ),
        (r#""Effect":"Allow","Principal":{"AWS":"alice"},"Action":"s3:GetObject","Resource":"*""#, Resource, "INVALID_PRINCIPAL_FORMAT"),
        (r#""Effect":"Allow","Principal":{"User":"alice"},"Action":"s3:GetObject","Resource":"*""#, Resource, "INVALID_PRINCIPAL_KEY"),
        (r#""Effect":"Allow","Principal":{"Service":"sagemaker"},"Action":"sts:AssumeRole""#, Trust, "INVALID_SERVICE_PRINCIPAL_FORMAT"),
        (
            r#""Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole""#,
            Trust,
            "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL",
        ),
    ] {
        let text = statement(inside);
        assert!(codes(&text, kind).contains(&code), "{code}: {:?}", findings(&text, kind));
    }
}

#[test]
fn actions_and_arns_that_do_not_exist() {
    for (action, resource, code) in [
        (r#""s3:GetObjekt""#, r#""*""#, "INVALID_ACTION"),
        (r#""GetObject""#, r#""*""#, "INVALID_ACTION"),
        (r#""s3:Frobnicate*""#, r#""*""#, "INVALID_ACTION"),
        (r#""s4:GetObject""#, r#""*""#, "INVALID_SERVICE_IN_ACTION"),
        (r#""s3:Get${aws:username}""#, r#""*""#, "VARIABLE_UNSUPPORTED_IN_ELEMENT"),
        (r#"["s3:Get*","s3:GetObject"]"#, r#""*""#, "REDUNDANT_ACTION"),
        (r#""s3:GetObject""#, r#""bucket/*""#, "INVALID_ARN_PREFIX"),
        (r#""s3:GetObject""#, r#""arn:aws:s3""#, "MISSING_ARN_FIELD"),
        (r#""s3:GetObject""#, r#""arn:amazon:s3:::b/*""#, "INVALID_PARTITION"),
        (r#""s3:GetObject""#, r#""arn:aws:S3:::b/*""#, "INVALID_ARN_SERVICE_CASE"),
        (r#""s3:GetObject""#, r#""arn:aws:s4:::b/*""#, "INVALID_SERVICE"),
        (r#""sagemaker:CreateModel""#, r#""arn:aws:sagemaker:us-east-1:1234:model/x""#, "INVALID_ARN_ACCOUNT"),
        (r#""sagemaker:CreateModel""#, r#""arn:aws:sagemaker:us-east-1:111111111111:modell/x""#, "INVALID_ARN_RESOURCE"),
        (r#""sagemaker:CreateModel""#, r#""arn:aws:sagemaker::111111111111:model/x""#, "MISSING_ARN_REGION"),
        (r#""iam:GetRole""#, r#""arn:aws:iam:us-east-1:111111111111:role/x""#, "ARN_REGION_NOT_ALLOWED"),
        (r#""s3:GetObject""#, r#""arn:aws:s3::111111111111:b/k""#, "ARN_ACCOUNT_NOT_ALLOWED"),
        (r#""s3:GetObject""#, r#"["arn:aws:s3:::b/*","arn:aws:s3:::b/k"]"#, "REDUNDANT_RESOURCE"),
        (r#""s3:ListAllMyBuckets""#, r#""arn:aws:s3:::b""#, "ACTION_WITHOUT_RESOURCE_TYPES"),
        (r#""s3:ListBucket""#, r#""arn:aws:s3:::b/*""#, "ACTION_WITHOUT_MATCHING_RESOURCE"),
        (r#""s3:GetObject""#, r#"["arn:aws:s3:::b","arn:aws:s3:::b/*"]"#, "RESOURCE_WITHOUT_MATCHING_ACTION"),
        (r#""iam:PassRole""#, r#""*""#, "PASS_ROLE_WITH_STAR_IN_RESOURCE"),
        (r#""iam:*""#, r#""*""#, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE"),
        (r#""iam:CreateServiceLinkedRole""#, r#""*""#, "CREATE_SLR_WITH_STAR_IN_RESOURCE"),
    ] {
        let text = allow(action, resource);
        assert!(codes(&text, PolicyKind::Identity).contains(&code), "{code}: {:?}", findings(&text, PolicyKind::Identity));
    }
}

#[test]
fn conditions() {
    for (condition, code) in [
        (r#"{}"#, "EMPTY_OBJECT_CONDITION"),
        (r#"5"#, "DATA_TYPE_MISMATCH"),
        (r#"{"StringIs":{"aws:username":"a"}}"#, "INVALID_CONDITION_OPERATOR"),
        (r#"{"StringEquals":{"username":"a"}}"#, "INVALID_CONDITION_KEY_FORMAT"),
        (r#"{"StringEquals":{"aws:user":"a"}}"#, "INVALID_GLOBAL_CONDITION_KEY"),
        (r#"{"StringEquals":{"s3:Colour":"a"}}"#, "INVALID_SERVICE_CONDITION_KEY"),
        (r#"{"StringEquals":{"sagemaker:ModelArn":"a"}}"#, "UNSUPPORTED_ACTION_FOR_CONDITION_KEY"),
        (r#"{"StringEquals":{"aws:RequestTag":"a"}}"#, "MISSING_TAG_KEY_IN_CONDITION"),
        (r#"{"StringEquals":{"aws:TagKeys":"a"}}"#, "MISSING_QUALIFIER"),
        (r#"{"ForAllValues:StringEquals":{"aws:username":"a"}}"#, "FOR_ALL_VALUES_WITH_SINGLE_VALUED_KEY"),
        (r#"{"NullIfExists":{"aws:username":"true"}}"#, "NULL_WITH_IF_EXISTS"),
        (r#"{"ForAnyValue:Null":{"aws:username":"true"}}"#, "NULL_WITH_QUALIFIER"),
        (r#"{"Bool":{"aws:SecureTransport":["true","false"]}}"#, "INVALID_CONDITION_MULTIPLE_BOOLEAN"),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "TYPE_MISMATCH_BOOLEAN"),
        (r#"{"NumericEquals":{"aws:MultiFactorAuthAge":"x"}}"#, "TYPE_MISMATCH_NUMBER"),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/40"}}"#, "TYPE_MISMATCH_IP_RANGE"),
        (r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.1.1"]}}"#, "PRIVATE_IP_ADDRESS"),
        (r#"{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}"#, "INVALID_DATE_VALUE"),
        (r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3"}}"#, "TYPE_MISMATCH_ARN"),
        (r#"{"StringEquals":{"aws:username":"a*"}}"#, "WILDCARD_WITHOUT_LIKE_OPERATOR"),
        (r#"{"StringEquals":{"aws:CurrentTime":"a"}}"#, "TYPE_MISMATCH"),
        (r#"{"StringEquals":{"aws:username":[]}}"#, "EMPTY_ARRAY_CONDITION"),
        (r#"{"StringEquals":{"aws:username":{}}}"#, "INVALID_CONDITION_DATA_TYPE"),
        (r#"{"StringEquals":{"aws:username":"${aws:x"}}"#, "MISSING_BRACE_IN_VARIABLE"),
        (r#"{"StringEquals":{"aws:username":"${}"}}"#, "EMPTY_VARIABLE"),
        (r#"{"StringEquals":{"aws:username":"${aws:username, x}"}}"#, "MISSING_QUOTE_IN_VARIABLE"),
        (r#"{"StringEquals":{"aws:username":"${aws:user name}"}}"#, "UNSUPPORTED_SPACE_IN_VARIABLE"),
    ] {
        let text = statement(&format!(r#""Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{condition}"#));
        assert!(codes(&text, PolicyKind::Identity).contains(&code), "{code}: {:?}", findings(&text, PolicyKind::Identity));
    }
    let old =
        r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::${aws:username}/*"}}"#;
    assert!(codes(old, PolicyKind::Identity).contains(&"VARIABLE_UNSUPPORTED_IN_VERSION"));
}

#[test]
fn whatever_cannot_be_saved_is_an_error() {
    // Two rules of Organizations and of IAM that have no check of their own here.
    let region = allow(r#""s3:*""#, r#""arn:aws:s3:us-east-1::accesspoint-not/x""#);
    assert!(findings(&region, PolicyKind::Identity).iter().any(|finding| finding.kind == FindingType::Error));
    let rcp = statement(r#""Effect":"Deny","Principal":{"AWS":"111111111111"},"Action":"s3:*","Resource":"*""#);
    assert!(codes(&rcp, PolicyKind::ResourceControl).contains(&"MALFORMED_POLICY_DOCUMENT"));
}

#[test]
fn hostile_documents_end() {
    let many = (0..20_000).map(|at| format!("\"s3:a{at}*\"")).collect::<Vec<_>>().join(",");
    assert!(findings(&allow(&format!("[{many}]"), r#""*""#), PolicyKind::Identity).len() <= super::MAX_FINDINGS);
    let stars = format!("\"s3:{}b\"", "*a".repeat(60_000));
    assert!(codes(&allow(&stars, r#""arn:aws:s3:::b""#), PolicyKind::Identity).contains(&"INVALID_ACTION"));
    let any = (0..20_000).map(|at| format!("\"s3:*{at}*\"")).collect::<Vec<_>>().join(",");
    assert!(findings(&allow(&format!("[{any}]"), r#""arn:aws:s3:::b""#), PolicyKind::Identity).len() <= super::MAX_FINDINGS);
    let keys = (0..5_000).map(|at| format!("\"s3:RequestObjectTag/{at}\":\"x\"")).collect::<Vec<_>>().join(",");
    let actions = "\"s3:*\",".repeat(3_000);
    let inside = format!(r#""Effect":"Allow","Action":[{actions}"s3:*"],"Resource":"*","Condition":{{"StringEquals":{{{keys}}}}}"#);
    assert!(findings(&statement(&inside), PolicyKind::Identity).len() <= super::MAX_FINDINGS);
    let arns = (0..4_000).map(|at| format!("\"arn:aws:sagemaker:*:*:*{at}*\"")).collect::<Vec<_>>().join(",");
    assert!(findings(&allow(r#""sagemaker:*""#, &format!("[{arns}]")), PolicyKind::Identity).len() <= super::MAX_FINDINGS);
}
