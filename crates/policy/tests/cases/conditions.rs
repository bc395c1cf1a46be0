//! Every operator, and what becomes of keys that are missing, empty or lists.

use tenantry_policy::{Layers, PolicyKind, PolicySet};

use crate::{alice, ask, context, policy};

/// Whether a statement with this condition applies: as an Allow, and as a Deny.
fn applies(condition: &str, keys: &str) -> (bool, bool) {
    let with = |effect: &str| format!(r#"{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#);
    let all = crate::statement("Allow", "*", "*");
    let allow = PolicySet::from([policy(PolicyKind::Identity, &with("Allow"))]);
    let deny = PolicySet::from([policy(PolicyKind::Identity, &format!("{all},{}", with("Deny")))]);
    let allowed = |held: &PolicySet| {
        ask(&alice(), "s3:GetObject", crate::OBJECT, &context(keys), &Layers { identity: held, ..Layers::default() }).allowed()
    };
    (allowed(&allow), !allowed(&deny))
}

fn table(cases: &[(&str, &str, bool)]) {
    for (condition, keys, want) in cases {
        assert_eq!(applies(condition, keys), (*want, *want), "{condition} with {keys}");
    }
}

#[test]
fn strings() {
    table(&[
        (r#""StringEquals":{"a:k":"red"}"#, "a:k=red", true),
        (r#""StringEquals":{"a:k":"red"}"#, "A:K=red", true),
        (r#""StringEquals":{"a:k":"red"}"#, "a:k=Red", false),
        (r#""StringEquals":{"a:k":["red","blue"]}"#, "a:k=blue", true),
        (r#""StringEquals":{"a:k":"r*"}"#, "a:k=red", false),
        (r#""StringEquals":{"a:k":"r*"}"#, "a:k=r*", true),
        (r#""StringEquals":{"a:k":""}"#, "a:k=", true),
        (r#""StringEquals":{"a:k":""}"#, "", false),
        (r#""StringEquals":{"a:k":[]}"#, "a:k=x", false),
        (r#""StringNotEquals":{"a:k":"red"}"#, "a:k=blue", true),
        (r#""StringNotEquals":{"a:k":"red"}"#, "a:k=red", false),
        (r#""StringNotEquals":{"a:k":["red","blue"]}"#, "a:k=blue", false),
        (r#""StringNotEquals":{"a:k":["red","blue"]}"#, "a:k=green", true),
        (r#""StringNotEquals":{"a:k":"red"}"#, "", true),
        (r#""StringEqualsIgnoreCase":{"a:k":"RED"}"#, "a:k=red", true),
        (r#""StringEqualsIgnoreCase":{"a:k":"É"}"#, "a:k=é", true),
        (r#""StringEqualsIgnoreCase":{"a:k":"R*"}"#, "a:k=red", false),
        (r#""StringNotEqualsIgnoreCase":{"a:k":"RED"}"#, "a:k=red", false),
        (r#""StringLike":{"a:k":"r*"}"#, "a:k=red", true),
        (r#""StringLike":{"a:k":"R*"}"#, "a:k=red", false),
        (r#""StringLike":{"a:k":"r?d"}"#, "a:k=red", true),
        (r#""StringLike":{"a:k":"*"}"#, "a:k=", true),
        (r#""StringLike":{"a:k":"*"}"#, "", false),
        (r#""StringNotLike":{"a:k":"r*"}"#, "a:k=red", false),
        (r#""StringNotLike":{"a:k":["r*","b*"]}"#, "a:k=green", true),
        (r#""stringlike":{"a:k":"r*"}"#, "a:k=red", true),
        (r#""StringEquals":{"a:k":true}"#, "a:k=true", true),
        (r#""StringEquals":{"a:k":5}"#, "a:k=5", true),
    ]);
}

#[test]
fn blocks_are_joined_by_and() {
    table(&[
        (r#""StringEquals":{"a:k":"x","a:l":"y"}"#, "a:k=x; a:l=y", true),
        (r#""StringEquals":{"a:k":"x","a:l":"y"}"#, "a:k=x; a:l=z", false),
        (r#""StringEquals":{"a:k":"x"},"StringLike":{"a:l":"y"}"#, "a:k=x", false),
        (r#""StringEquals":{"a:k":"x"},"Bool":{"a:l":"true"}"#, "a:k=x; a:l=true", true),
        ("", "", true),
        (r#""StringEquals":{}"#, "", true),
    ]);
}

#[test]
fn variables() {
    table(&[
        (r#""StringEquals":{"r:t":"${p:t}"}"#, "r:t=red; p:t=red", true),
        (r#""StringEquals":{"r:t":"${p:t}"}"#, "r:t=red; p:t=blue", false),
        // Absent is not equal to absent.
        (r#""StringEquals":{"r:t":"${p:t}"}"#, "", false),
        (r#""StringEquals":{"r:t":"${p:t}"}"#, "r:t=", false),
        (r#""StringEquals":{"r:t":"${p:t}"}"#, "r:t=; p:t=", true),
        // A guard fires when its variable has no value.
        (r#""StringNotEquals":{"r:t":"${p:t}"}"#, "r:t=red", true),
        (r#""StringNotEquals":{"r:t":"${p:t}"}"#, "", true),
        (r#""StringNotLike":{"r:t":"${p:t}*"}"#, "r:t=red", true),
        (r#""ArnNotLike":{"r:t":"arn:aws:s3:::${p:t}"}"#, "r:t=arn:aws:s3:::b", true),
        (r#""StringLike":{"r:t":"${p:t}*.tar.gz"}"#, "r:t=t1-m.tar.gz; p:t=t1", true),
        (r#""StringLike":{"r:t":"${p:t}*"}"#, "r:t=red; p:t=*", false),
        (r#""StringLike":{"r:t":"${p:t}"}"#, "r:t=*; p:t=*", true),
        (r#""StringLike":{"r:t":"${*}"}"#, "r:t=red", false),
        (r#""StringEquals":{"r:t":["${p:t}","red"]}"#, "r:t=red", true),
        (r#""StringEquals":{"r:t":"${p:t, 'red'}"}"#, "r:t=red", true),
        (r#""StringEqualsIgnoreCase":{"r:t":"${p:t}"}"#, "r:t=RED; p:t=red", true),
        (r#""Bool":{"r:t":"${p:t}"}"#, "r:t=true; p:t=TRUE", true),
        (r#""ArnLike":{"r:t":"arn:aws:s3:::${p:t}/*"}"#, "r:t=arn:aws:s3:::b/x; p:t=b", true),
        (r#""ArnEquals":{"r:t":"${p:t}"}"#, "r:t=arn:aws:s3:::b; p:t=arn:aws:s3:::b", true),
        (r#""ArnEquals":{"r:t":"${p:t}"}"#, "r:t=arn:aws:s3:::b; p:t=arn:aws:s3:::*", false),
        (r#""ArnLike":{"r:t":"arn:aws:s3:${p:t}:1:b"}"#, "r:t=arn:aws:s3:r:2:x:1:b; p:t=r:2:x", false),
        // Not in numbers, dates, networks and Null.
        (r#""NumericEquals":{"r:t":"${p:t}"}"#, "r:t=5; p:t=5", false),
        (r#""IpAddress":{"r:t":"${p:t}"}"#, "r:t=10.0.0.1; p:t=10.0.0.1", false),
    ]);
}

#[test]
fn numbers_and_dates() {
    table(&[
        (r#""NumericEquals":{"a:k":"5"}"#, "a:k=5.0", true),
        (r#""NumericEquals":{"a:k":5}"#, "a:k=05", true),
        (r#""NumericNotEquals":{"a:k":"5"}"#, "a:k=5.0", false),
        (r#""NumericLessThan":{"a:k":"10"}"#, "a:k=9", true),
        (r#""NumericLessThan":{"a:k":"10"}"#, "a:k=10", false),
        (r#""NumericLessThanEquals":{"a:k":"10"}"#, "a:k=10.0", true),
        (r#""NumericGreaterThan":{"a:k":"-3"}"#, "a:k=-2.5", true),
        (r#""NumericGreaterThanEquals":{"a:k":"10"}"#, "a:k=9.99", false),
        (r#""NumericLessThan":{"a:k":"10"}"#, "a:k=five", false),
        (r#""NumericLessThan":{"a:k":"ten"}"#, "a:k=5", false),
        (r#""NumericNotEquals":{"a:k":"5"}"#, "a:k=five", true),
        (r#""NumericNotEquals":{"a:k":"5"}"#, "", true),
        (r#""DateGreaterThan":{"a:k":"2024-01-01T00:00:00Z"}"#, "a:k=2024-01-01T00:00:01Z", true),
        (r#""DateGreaterThan":{"a:k":"2024-01-01T00:00:00Z"}"#, "a:k=1704067200", false),
        (r#""DateEquals":{"a:k":"2024-01-01T01:00:00+01:00"}"#, "a:k=1704067200", true),
        (r#""DateEquals":{"a:k":1704067200}"#, "a:k=2024-01-01", true),
        (r#""DateLessThan":{"a:k":"2024-01-01"}"#, "a:k=2023-12-31T23:59:59Z", true),
        (r#""DateLessThan":{"a:k":"2024-01-01"}"#, "a:k=yesterday", false),
        (r#""DateNotEquals":{"a:k":"2024-01-01"}"#, "a:k=2024-01-01T00:00:00Z", false),
        (r#""DateLessThanEquals":{"a:k":"2024-01-01"}"#, "a:k=2024", true),
        (r#""DateGreaterThanEquals":{"a:k":"2024-01-01"}"#, "", false),
    ]);
}

#[test]
fn other_types() {
    table(&[
        (r#""Bool":{"a:k":"true"}"#, "a:k=true", true),
        (r#""Bool":{"a:k":"True"}"#, "a:k=TRUE", true),
        (r#""Bool":{"a:k":true}"#, "a:k=true", true),
        (r#""Bool":{"a:k":"false"}"#, "a:k=true", false),
        (r#""Bool":{"a:k":"false"}"#, "", false),
        (r#""BoolIfExists":{"a:k":"false"}"#, "", true),
        (r#""Bool":{"a:k":"1"}"#, "a:k=1", false),
        (r#""BinaryEquals":{"a:k":"QmluYXJ5"}"#, "a:k=QmluYXJ5", true),
        (r#""BinaryEquals":{"a:k":"QmluYXJ5"}"#, "a:k=QmluYXJ6", false),
        (r#""BinaryEquals":{"a:k":"!"}"#, "a:k=!", false),
        (r#""IpAddress":{"a:k":"10.0.0.0/8"}"#, "a:k=10.9.8.7", true),
        (r#""IpAddress":{"a:k":["192.0.2.0/24","10.17.0.0/16"]}"#, "a:k=10.17.1.2", true),
        (r#""IpAddress":{"a:k":"10.0.0.1"}"#, "a:k=10.0.0.2", false),
        (r#""NotIpAddress":{"a:k":"10.0.0.0/8"}"#, "a:k=11.0.0.1", true),
        (r#""NotIpAddress":{"a:k":["10.0.0.0/8","11.0.0.0/8"]}"#, "a:k=11.0.0.1", false),
        (r#""NotIpAddress":{"a:k":"10.0.0.0/8"}"#, "", true),
        (r#""IpAddress":{"a:k":"0.0.0.0/0"}"#, "a:k=2001:db8::1", false),
        (r#""IpAddress":{"a:k":"2001:db8::/32"}"#, "a:k=2001:db8::1", true),
        (r#""IpAddress":{"a:k":"::/0"}"#, "a:k=not-an-address", false),
        (r#""ArnEquals":{"a:k":"arn:aws:s3:::b"}"#, "a:k=arn:aws:s3:::b", true),
        (r#""ArnEquals":{"a:k":"arn:aws:s3:::b*"}"#, "a:k=arn:aws:s3:::bc", true),
        (r#""ArnLike":{"a:k":"arn:aws:sts::*:assumed-role/Amazon*"}"#, "a:k=arn:aws:sts::1:assumed-role/AmazonX/s", true),
        (r#""ArnLike":{"a:k":"arn:aws:*:b"}"#, "a:k=arn:aws:s3:::b", false),
        (r#""ArnLike":{"a:k":"*"}"#, "a:k=arn:aws:s3:::b", false),
        (r#""ArnLike":{"a:k":"arn:aws:s3:::b"}"#, "a:k=b", false),
        (r#""ArnNotLike":{"a:k":"arn:aws:s3:::b"}"#, "a:k=arn:aws:s3:::c", true),
        (r#""ArnNotEquals":{"a:k":"arn:aws:s3:::*"}"#, "a:k=arn:aws:s3:::c", false),
        (r#""ArnLikeIfExists":{"a:k":"arn:aws:s3:::b"}"#, "", true),
    ]);
}

#[test]
fn presence() {
    table(&[
        (r#""Null":{"a:k":"true"}"#, "", true),
        (r#""Null":{"a:k":"true"}"#, "a:k=x", false),
        (r#""Null":{"a:k":"false"}"#, "a:k=x", true),
        (r#""Null":{"a:k":"false"}"#, "", false),
        (r#""Null":{"a:k":"false"}"#, "a:k=", true),
        (r#""Null":{"a:k":true}"#, "", true),
        (r#""Null":{"a:k":"false"}"#, "a:k=[]", true),
        (r#""Null":{"a:k":"false"}"#, "a:k=[x]", true),
        (r#""Null":{"a:k":["true","false"]}"#, "a:k=x", true),
        (r#""Null":{"a:k":"maybe"}"#, "", false),
        (r#""Null":{"a:k":"true","a:l":"true"}"#, "a:l=x", false),
        (r#""StringEqualsIfExists":{"a:k":"red"}"#, "", true),
        (r#""StringEqualsIfExists":{"a:k":"red"}"#, "a:k=blue", false),
        (r#""StringNotEqualsIfExists":{"a:k":"red"}"#, "", true),
        (r#""StringNotEqualsIfExists":{"a:k":"red"}"#, "a:k=red", false),
        (r#""NumericLessThanIfExists":{"a:k":"5"}"#, "", true),
        (r#""StringEqualsIfExists":{"a:k":"red"}"#, "a:k=", false),
    ]);
}

#[test]
fn sets() {
    table(&[
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=[x,y]", true),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=[x,z]", false),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=[]", true),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "", true),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=", true),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=x", true),
        (r#""ForAllValues:StringEquals":{"a:k":["x","y"]}"#, "a:k=z", false),
        (r#""ForAllValues:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[z,w]", true),
        (r#""ForAllValues:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[z,x]", false),
        // Outside the list, not "different from some member of it".
        (r#""ForAllValues:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[x]", false),
        (r#""ForAllValues:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[]", true),
        (r#""ForAllValues:StringLike":{"a:k":["x*"]}"#, "a:k=[x1,x2]", true),
        (r#""ForAnyValue:StringEquals":{"a:k":["x","y"]}"#, "a:k=[z,y]", true),
        (r#""ForAnyValue:StringEquals":{"a:k":["x","y"]}"#, "a:k=[z]", false),
        (r#""ForAnyValue:StringEquals":{"a:k":["x","y"]}"#, "a:k=[]", false),
        (r#""ForAnyValue:StringEquals":{"a:k":["x","y"]}"#, "", false),
        (r#""ForAnyValue:StringEquals":{"a:k":["x","y"]}"#, "a:k=x", true),
        (r#""ForAnyValue:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[x,z]", true),
        (r#""ForAnyValue:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[x,y]", false),
        (r#""ForAnyValue:StringNotEquals":{"a:k":["x","y"]}"#, "", false),
        (r#""ForAnyValue:StringNotEquals":{"a:k":["x","y"]}"#, "a:k=[]", false),
        (r#""ForAnyValue:StringNotEqualsIfExists":{"a:k":["x","y"]}"#, "", true),
        (r#""ForAnyValue:StringEqualsIfExists":{"a:k":["x"]}"#, "", true),
        (r#""ForAnyValue:StringEqualsIfExists":{"a:k":["x"]}"#, "a:k=[y]", false),
        (r#""ForAnyvalue:StringLike":{"a:k":"sage*"}"#, "a:k=[sagemaker:x]", true),
        (r#""ForAllValues:ArnLike":{"a:k":"arn:aws:s3:::*"}"#, "a:k=[arn:aws:s3:::b,x]", false),
        (r#""ForAnyValue:StringEquals":{"a:k":"${p:t}"}"#, "a:k=[x,y]; p:t=y", true),
        (r#""ForAllValues:StringEquals":{"a:k":"${p:t}"}"#, "a:k=[x]", false),
    ]);
}

/// Without a set operator nobody knows what was meant: never fail open.
#[test]
fn lists_without_a_set_operator() {
    for operator in ["StringEquals", "StringNotEquals", "StringLike", "StringEqualsIfExists", "ArnLike", "Bool"] {
        for keys in ["a:k=[x]", "a:k=[x,y]", "a:k=[]"] {
            assert_eq!(applies(&format!(r#""{operator}":{{"a:k":"x"}}"#), keys), (false, true), "{operator} {keys}");
        }
    }
}

/// Tags whose keys differ in letter case only: nobody knows which is meant, whatever is asked of them.
#[test]
fn tags_that_differ_in_case_only() {
    let mut keys = tenantry_policy::Context::new();
    keys.set_unclear("aws:ResourceTag/Team", ["red", "blue"]);
    for operator in [
        "StringEquals",
        "StringNotEquals",
        "StringLikeIfExists",
        "ForAnyValue:StringEquals",
        "ForAnyValue:StringNotEquals",
        "ForAllValues:StringLike",
    ] {
        for operand in ["red", "blue", "green", "*"] {
            let condition = format!(r#""{operator}":{{"aws:ResourceTag/team":"{operand}"}}"#);
            assert!(!applies_to(&keys, "Allow", &condition), "{condition}");
            assert!(applies_to(&keys, "Deny", &condition), "{condition}");
        }
    }
    assert!(applies_to(&keys, "Allow", r#""Null":{"aws:ResourceTag/team":"false"}"#));
    assert!(!applies_to(&keys, "Deny", r#""Null":{"aws:ResourceTag/team":"true"}"#));
    let named = r#""StringEquals":{"a:k":"${aws:ResourceTag/team, 'red'}"}"#;
    keys.set("a:k", "red");
    assert!(!applies_to(&keys, "Allow", named), "it is there, so no default stands in for it");
}

/// Whether a statement with this effect and condition applies.
fn applies_to(keys: &tenantry_policy::Context, effect: &str, condition: &str) -> bool {
    let all = if effect == "Deny" { format!("{},", crate::statement("Allow", "*", "*")) } else { String::new() };
    let text = format!(r#"{all}{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#);
    let held = PolicySet::from([policy(PolicyKind::Identity, &text)]);
    let layers = Layers { identity: &held, ..Layers::default() };
    ask(&alice(), "s3:GetObject", crate::OBJECT, keys, &layers).allowed() == (effect == "Allow")
}
