//! Quotas at their limit and one past it, and documents that cannot be stored, in AWS's words.

use serde_json::{Value, json};

use crate::world::{World, allow, trust_account};

/// A policy of `size` characters without whitespace, padded with whitespace that does not count.
fn of_size(size: usize) -> String {
    let shell = allow("s3:GetObject", "arn:aws:s3:::").len();
    format!("\n {}\t", allow("s3:GetObject", &format!("arn:aws:s3:::{}", "b".repeat(size - shell))))
}

/// A trust policy of that size.
fn trust_of_size(account: &str, size: usize) -> String {
    let document = |sid: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Sid": sid, "Effect": "Allow", "Principal": { "AWS": account }, "Action": "sts:AssumeRole" }] })
            .to_string()
    };
    document(&"s".repeat(size - document("").len()))
}

fn tags(count: usize) -> Value {
    (0..count).map(|n| json!({ "Key": format!("k{n}"), "Value": "v" })).collect()
}

#[tokio::test]
async fn inline_policies_of_users_and_groups() {
    let w = World::new().await;
    w.iam("CreateUser", json!({ "UserName": "u" })).await;
    w.iam("CreateGroup", json!({ "GroupName": "g" })).await;
    for (operation, member, name, noun, most) in
        [("PutUserPolicy", "UserName", "u", "user", 2048), ("PutGroupPolicy", "GroupName", "g", "group", 5120)]
    {
        let put = |policy: &str, size: usize| json!({ member: name, "PolicyName": policy, "PolicyDocument": of_size(size) });
        w.iam(operation, put("one", 1000)).await;
        w.iam(operation, put("two", most - 1000)).await;
        let error = w.refused("iam", operation, put("two", most - 999)).await;
        let text = format!("Maximum policy size of {most} bytes exceeded for {noun} {name}");
        assert_eq!((error.status, &*error.code, error.message.as_str()), (409, "LimitExceeded", text.as_str()));
    }
}

#[tokio::test]
async fn trust_policies() {
    let w = World::new().await;
    let account = w.account.as_str();
    w.role("longest", &trust_of_size(account, 2048)).await;
    let longer = json!({ "RoleName": "longer", "AssumeRolePolicyDocument": trust_of_size(account, 2049) });
    let update = json!({ "RoleName": "longest", "PolicyDocument": trust_of_size(account, 2049) });
    for (operation, input) in [("CreateRole", longer), ("UpdateAssumeRolePolicy", update)] {
        let error = w.refused("iam", operation, input).await;
        let wanted = (409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048");
        assert_eq!((error.status, &*error.code, error.message.as_str()), wanted, "{operation}");
    }
}

#[tokio::test]
async fn versions_and_their_size() {
    let w = World::new().await;
    let made = w.iam("CreatePolicy", json!({ "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    let arn = made["Policy"]["Arn"].clone();
    let version = |size: usize| json!({ "PolicyArn": arn, "PolicyDocument": of_size(size) });
    let error = w.refused("iam", "CreatePolicyVersion", version(6145)).await;
    assert_eq!((&*error.code, error.message.as_str()), ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144"));
    for _ in 0..4 {
        w.iam("CreatePolicyVersion", version(6144)).await;
    }
    let error = w.refused("iam", "CreatePolicyVersion", version(200)).await;
    assert_eq!((error.status, &*error.code), (409, "LimitExceeded"));
    assert!(error.message.starts_with("A managed policy can have up to 5 versions."), "{error}");
}

#[tokio::test]
async fn fifty_tags() {
    let w = World::new().await;
    let trust = trust_account(w.account.as_str());
    let role = |name: &str, count: usize| json!({ "RoleName": name, "AssumeRolePolicyDocument": trust, "Tags": tags(count) });
    w.iam("CreateRole", role("most", 50)).await;
    let more = json!({ "RoleName": "most", "Tags": [{ "Key": "one", "Value": "more" }] });
    assert_eq!(&*w.refused("iam", "TagRole", more).await.code, "LimitExceeded");
    let again = json!({ "RoleName": "most", "Tags": [{ "Key": "k0", "Value": "other" }] });
    w.iam("TagRole", again).await;
    let error = w.refused("iam", "CreateRole", role("toomany", 51)).await;
    assert!(matches!(&*error.code, "LimitExceeded" | "InvalidInput" | "ValidationError"), "{error}");
}

#[tokio::test]
async fn what_a_session_may_pass() {
    let w = World::new().await;
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "AWS": w.account.as_str() }, "Action": ["sts:AssumeRole", "sts:TagSession"] }] });
    let role = w.role("R", &trust.to_string()).await;
    let input = |policy: Value, arns: usize, session_tags: usize| {
        let mut input = json!({ "RoleArn": role["Arn"], "RoleSessionName": "session" });
        if !policy.is_null() {
            input["Policy"] = policy;
        }
        if arns > 0 {
            input["PolicyArns"] = (0..arns).map(|_| json!({ "arn": "arn:aws:iam::aws:policy/ReadOnlyAccess" })).collect();
        }
        if session_tags > 0 {
            input["Tags"] = tags(session_tags);
        }
        input
    };
    let exact = of_size(2045);
    assert_eq!(exact.len(), 2048);
    let done = w.call(&w.admin, "sts", "AssumeRole", input(json!(exact), 0, 0)).await.unwrap();
    assert_eq!(done["PackedPolicySize"], 50);
    let error = w.refused("sts", "AssumeRole", input(json!(of_size(2046)), 0, 0)).await;
    assert!(matches!(&*error.code, "PackedPolicyTooLarge" | "ValidationError"), "{error}");
    w.call(&w.admin, "sts", "AssumeRole", input(Value::Null, 10, 0)).await.unwrap();
    assert_eq!(&*w.refused("sts", "AssumeRole", input(Value::Null, 11, 0)).await.code, "ValidationError");
    // Policy and tags together are too much: the answer says by how much.
    let long = (0..20).map(|n| json!({ "Key": format!("key{n}"), "Value": "v".repeat(200) })).collect::<Vec<_>>();
    let mut together = input(json!(exact), 0, 0);
    together["Tags"] = json!(long);
    let error = w.refused("sts", "AssumeRole", together).await;
    assert_eq!(&*error.code, "PackedPolicyTooLarge");
    assert!(error.message.contains('%'), "{error}");
}

#[tokio::test]
async fn documents_that_cannot_be_stored() {
    let w = World::new().await;
    let statement = |inside: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{{{inside}}}]}}"#);
    for (document, text) in [
        ("{".to_owned(), "Syntax errors in policy."),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#.to_owned(),
            "Policy document must be version 2012-10-17 or greater.",
        ),
        (
            statement(r#""Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*""#),
            "Policy document should not specify a principal.",
        ),
        (statement(r#""Effect":"Allow","Action":"s3:*""#), "Policy statement must contain resources."),
        (statement(r#""Effect":"Allow","Resource":"*""#), "Policy statement must contain actions."),
        (
            statement(r#""Effect":"Allow","Action":"GetObject","Resource":"*""#),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            statement(r#""Effect":"Allow","Action":"s*:GetObject","Resource":"*""#),
            "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards.",
        ),
        (statement(r#""Effect":"Allow","Action":"s3:*","Resource":"bucket""#), r#"Resource bucket must be in ARN format or "*"."#),
        (
            statement(r#""Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"a b""#),
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
    ] {
        let error = w.refused("iam", "CreatePolicy", json!({ "PolicyName": "p", "PolicyDocument": document })).await;
        assert_eq!((error.status, &*error.code, error.message.as_str()), (400, "MalformedPolicyDocument", text), "{document}");
    }
    let trust = |inside: &str| json!({ "RoleName": "r", "AssumeRolePolicyDocument": statement(inside) });
    for (inside, text) in [
        (r#""Effect":"Allow","Action":"sts:AssumeRole""#, "Missing required field Principal"),
        (r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject""#, "AssumeRole policy may only specify STS AssumeRole actions."),
        (r#""Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*""#, "Has prohibited field Resource"),
        (r#""Effect":"Allow","Principal":{"AWS":"alice"},"Action":"sts:AssumeRole""#, r#"Invalid principal in policy: "AWS":"alice""#),
    ] {
        let error = w.refused("iam", "CreateRole", trust(inside)).await;
        assert_eq!((error.status, &*error.code, error.message.as_str()), (400, "MalformedPolicyDocument", text), "{inside}");
    }
}
