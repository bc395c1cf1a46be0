//! Named cases of the offline format.

use serde_json::{Value, json};

use super::evaluate_line;

const ALICE: &str = "arn:aws:iam::111111111111:user/alice";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/Team/s1";
const OBJECT: &str = "arn:aws:s3:::b/k";

fn answer(case: &Value) -> Value {
    serde_json::to_value(evaluate_line(&case.to_string())).unwrap()
}

fn decision(policies: Value, request: Value) -> String {
    let answer = answer(&json!({"policies": policies, "request": request}));
    answer["decision"].as_str().map_or_else(|| format!("error: {}", answer["error"].as_str().unwrap()), str::to_owned)
}

fn statement(effect: &str, action: &str, resource: &str, more: Value) -> Value {
    let mut statement = json!({"Effect": effect, "Action": action, "Resource": resource});
    for (name, value) in more.as_object().unwrap() {
        statement[name] = value.clone();
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

fn allow(action: &str, resource: &str) -> Value {
    statement("Allow", action, resource, json!({}))
}

fn get(principal: &str) -> Value {
    json!({"principal": principal, "action": "s3:GetObject", "resource": OBJECT})
}

#[test]
fn an_answer_names_the_deciding_statement() {
    let document = statement("Allow", "s3:*", "*", json!({"Sid": "S"}));
    let case = json!({"id": 7, "policies": {"identity": [allow("sqs:*", "*"), document]}, "request": get(ALICE)});
    assert_eq!(
        answer(&case),
        json!({"id": 7, "decision": "Allow", "reason": "allowed: statement 0 (`S`) of identity[1]",
            "statements": [{"policy": "identity[1]", "index": 0, "sid": "S", "effect": "Allow"}]})
    );
    let full = allow("*", "*");
    let deny = statement("Deny", "s3:*", "*", json!({}));
    let case =
        json!({"id": "x", "policies": {"identity": [full], "scp": [{"level": "root", "policies": [full, deny]}]}, "request": get(ALICE)});
    let answer = answer(&case);
    assert_eq!(answer["decision"], "ExplicitDeny");
    assert_eq!(answer["statements"], json!([{"policy": "scp[0].policies[1]", "index": 0, "sid": null, "effect": "Deny"}]));
    assert!(answer["reason"].as_str().unwrap().contains("with an explicit deny in a service control policy"));
}

#[test]
fn what_cannot_be_judged_says_where() {
    let failed = |line: &str| serde_json::to_value(evaluate_line(line)).unwrap();
    assert!(failed("{").get("id").is_none());
    assert_eq!(failed(r#"{"id":"a"}"#)["id"], "a");
    let bad = |policies: Value| decision(policies, get(ALICE));
    assert_eq!(bad(json!({"boundary": [allow("*", "*"), {"Statement": 5}]})), "error: policies.boundary[1]: Syntax errors in policy.");
    assert!(bad(json!({"boundry": []})).contains("unknown field `boundry`"));
    assert!(decision(json!({}), get("alice")).starts_with("error: request.principal: `alice`"));
    assert!(decision(json!({}), json!({"principal": ALICE, "action": "s3:Get*", "resource": OBJECT})).starts_with("error: request.action"));
    assert!(
        decision(json!({}), json!({"principal": ALICE, "action": "s3:GetObject", "resource": "b/k"}))
            .starts_with("error: request.resource")
    );
    let twice = r#"{"id":1,"policies":{"identity":[{"Version":"2012-10-17","Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}]},
        "request":{"principal":"arn:aws:iam::111111111111:user/alice","action":"s3:GetObject","resource":"*"}}"#;
    assert_eq!(failed(&twice.replace('\n', " "))["error"], "policies.identity[0]: Syntax errors in policy.");
}

#[test]
fn documents_may_be_strings_and_old() {
    let text = allow("s3:*", "*").to_string();
    assert_eq!(decision(json!({"identity": [text]}), get(ALICE)), "Allow");
    let mut old = allow("s3:*", "arn:aws:s3:::${aws:username}/*");
    old["Version"] = json!("2008-10-17");
    let request = json!({"principal": ALICE, "action": "s3:GetObject", "resource": "arn:aws:s3:::alice/k"});
    assert_eq!(decision(json!({"identity": [old]}), request.clone()), "ImplicitDeny", "no variables before 2012");
    old["Version"] = json!("2012-10-17");
    assert_eq!(decision(json!({"identity": [old]}), request), "Allow", "the user's name follows from the ARN");
}

#[test]
fn who_a_principal_is() {
    let named = |principal: Value| json!({"resource": statement("Allow", "s3:*", "*", json!({"Principal": principal}))});
    let role = "arn:aws:iam::111111111111:role/path/Team";
    assert_eq!(decision(named(json!({"AWS": role})), get(SESSION)), "Allow", "a session ARN has no path");
    assert_eq!(decision(named(json!({"AWS": role})), get("arn:aws:iam::111111111111:role/path/Team")), "Allow");
    assert_eq!(decision(named(json!({"AWS": "arn:aws:iam::111111111111:role/Other"})), get(SESSION)), "ImplicitDeny");
    assert_eq!(decision(named(json!({"AWS": SESSION})), get(role)), "ImplicitDeny", "a role is not one of its sessions");
    assert_eq!(decision(named(json!({"Service": "sagemaker.amazonaws.com"})), get("sagemaker.amazonaws.com")), "Allow");
    let fed = "arn:aws:sts::111111111111:federated-user/bob";
    assert_eq!(decision(named(json!({"AWS": fed})), get(fed)), "Allow");
    assert_eq!(decision(json!({"identity": [allow("*", "*")]}), get(fed)), "ImplicitDeny", "no session policy, no permissions");
    assert_eq!(decision(json!({}), get("arn:aws:iam::111111111111:root")), "Allow");
    let anonymous =
        json!({"principal": {"type": "Anonymous"}, "action": "s3:GetObject", "resource": OBJECT, "resource_account": "111111111111"});
    assert_eq!(decision(named(json!("*")), anonymous.clone()), "Allow");
    assert_eq!(decision(named(json!({"AWS": "111111111111"})), anonymous), "ImplicitDeny");
}

#[test]
fn layers_that_may_have_several_documents() {
    let (s3, sqs) = (allow("s3:*", "*"), allow("sqs:*", "*"));
    let with = |name: &str, list: Value| {
        let mut policies = json!({"identity": [allow("*", "*")]});
        policies[name] = list;
        decision(policies, get(SESSION))
    };
    let deny = statement("Deny", "s3:*", "*", json!({}));
    for name in ["boundary", "session", "vpce"] {
        assert_eq!(with(name, json!([sqs])), "ImplicitDeny", "{name}");
        assert_eq!(with(name, json!([sqs, s3])), "Allow", "{name}");
        assert_eq!(with(name, json!([s3, deny])), "ExplicitDeny", "{name}");
        assert_eq!(with(name, json!([])), "Allow", "{name}: an empty list is none");
        assert_eq!(with(name, Value::Null), "Allow", "{name}");
    }
    assert_eq!(with("scp", json!([{"level": "root", "policies": [s3]}, {"level": "account", "policies": []}])), "ImplicitDeny");
    let only = statement("Deny", "sqs:*", "*", json!({"Principal": "*"}));
    assert_eq!(with("rcp", json!([{"level": "root", "policies": [only]}])), "Allow", "full access is always attached");
}

#[test]
fn trust_and_key_policies_must_allow() {
    let all = json!({"identity": [allow("*", "*")]});
    for (action, resource) in
        [("sts:AssumeRole", "arn:aws:iam::111111111111:role/R"), ("kms:Decrypt", "arn:aws:kms:us-east-1:111111111111:key/1")]
    {
        let request = json!({"principal": ALICE, "action": action, "resource": resource});
        assert_eq!(decision(all.clone(), request.clone()), "ImplicitDeny", "{action}");
        let mut document =
            json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Principal": {"AWS": ALICE}}});
        assert_eq!(decision(json!({"resource": document}), request.clone()), "Allow", "{action}");
        document["Statement"]["Principal"] = json!({"AWS": "111111111111"});
        assert_eq!(decision(json!({"resource": document}), request), "ImplicitDeny", "{action}: the account delegates");
    }
    let alias = json!({"principal": ALICE, "action": "kms:DeleteAlias", "resource": "arn:aws:kms:us-east-1:111111111111:alias/mine"});
    assert_eq!(decision(all.clone(), alias), "Allow");
    let own = json!({"principal": ALICE, "action": "iam:DeletePolicy", "resource": "arn:aws:iam::aws:policy/ReadOnlyAccess"});
    assert_eq!(decision(all, own), "ImplicitDeny", "AWS's own");
}

#[test]
fn no_resource_and_any_resource() {
    let ask = |action: &str, resource: &str, extra: Value| {
        let mut request = json!({"principal": ALICE, "action": action, "resource": "*"});
        for (name, value) in extra.as_object().unwrap() {
            request[name] = value.clone();
        }
        decision(json!({"identity": [allow(action, resource)]}), request)
    };
    assert_eq!(ask("s3:ListAllMyBuckets", "arn:aws:s3:::*", json!({})), "ImplicitDeny", "the action has no resource");
    assert_eq!(ask("s3:ListAllMyBuckets", "*", json!({})), "Allow");
    assert_eq!(ask("s3:GetObject", "arn:aws:s3:::b/*", json!({})), "Allow", "there is such a resource");
    assert_eq!(ask("s3:GetObject", "arn:aws:s3:::b/*", json!({"wildcard_only_action": true})), "ImplicitDeny");
    assert_eq!(ask("s3:GetObject", "arn:aws:s3:::b/*", json!({"wildcard_only_action": true, "resource": OBJECT})), "ImplicitDeny");
}

#[test]
fn lists_and_single_values() {
    let ask = |operator: &str, key: &str, value: Value| {
        let document = statement("Allow", "s3:*", "*", json!({"Condition": {operator: {key: "a"}}}));
        let mut request = get(ALICE);
        request["context"] = json!({key: value});
        decision(json!({"identity": [document]}), request)
    };
    assert_eq!(ask("StringEquals", "aws:PrincipalTag/t", json!(["a"])), "Allow", "clients send lists of one");
    assert_eq!(ask("StringEquals", "aws:PrincipalTag/t", json!(["a", "b"])), "ImplicitDeny");
    assert_eq!(ask("ForAnyValue:StringEquals", "aws:TagKeys", json!("a")), "Allow");
    assert_eq!(ask("StringEquals", "aws:TagKeys", json!("a")), "ImplicitDeny", "a list needs a set operator");
    assert_eq!(ask("StringEquals", "custom:Key", json!("a")), "Allow", "any key is accepted");
    assert!(ask("StringEquals", "custom:Key", json!({})).starts_with("error: not a case"));
}

#[test]
fn keys_that_follow_and_keys_that_are_given() {
    let ask = |key: &str, value: &str, context: Value| {
        let document = statement("Allow", "s3:*", "*", json!({"Condition": {"StringEquals": {key: value}}}));
        let mut request = get(SESSION);
        request["context"] = context;
        decision(json!({"identity": [document]}), request)
    };
    for (key, value) in [
        ("aws:PrincipalArn", "arn:aws:iam::111111111111:role/Team"),
        ("aws:PrincipalAccount", "111111111111"),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:ResourceAccount", "111111111111"),
        ("aws:PrincipalIsAWSService", "false"),
    ] {
        assert_eq!(ask(key, value, json!({})), "Allow", "{key}");
        assert_eq!(ask(key, value, json!({key.to_uppercase(): "other"})), "ImplicitDeny", "{key}: what is given wins");
    }
}

#[test]
fn nobody_in_particular_has_no_identity_to_get() {
    let request = json!({"principal": {"type": "Anonymous"}, "action": "sts:GetCallerIdentity", "resource": "*"});
    assert_eq!(decision(json!({}), request), "ImplicitDeny");
    let deny = statement("Deny", "*", "*", json!({}));
    let request = json!({"principal": ALICE, "action": "sts:GetCallerIdentity", "resource": "*"});
    assert_eq!(decision(json!({"identity": [deny]}), request), "Allow");
}
