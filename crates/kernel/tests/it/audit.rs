//! Every call has its event: a change's in the same commit, a read's and a refusal's behind the answer; a refusal
//! has an explanation and no change.

use serde_json::{Value, json};
use tenantry_core::{Region, Scope};
use tenantry_kernel::{
    DENIAL, Reconciler, ServiceSession,
    audit::{Attribute, Retention, complete, lookup_key, seen_by},
};
use tenantry_store::{EventsBy, Fault, List, Store};

use crate::place::{ALL, GROUP, MANAGEMENT, MEMBER, Place, document};

/// The events of calls, as they are told.
async fn events(place: &Place) -> Vec<Value> {
    place.kernel.flush_audit().await;
    let mut told = Vec::new();
    for event in place.store.events(None, 1000, false).await.unwrap() {
        if let Some((event, _)) = complete(&*place.store, &event).await.unwrap() {
            told.push(event);
        }
    }
    told
}

async fn groups(place: &Place) -> usize {
    place.store.list(&List::of(GROUP, &Scope::new(MEMBER, "us-east-1"))).await.unwrap().len()
}

/// The names of the events that a key finds.
async fn found(place: &Place, account: &str, attribute: Attribute, value: &str) -> Vec<String> {
    place.kernel.flush_audit().await;
    let key = lookup_key(account, "us-east-1", attribute, value);
    let found = place.store.events_by(&EventsBy { key, from: None, until: None, before: None, limit: 99 }).await.unwrap();
    found.iter().map(|event| event.json().unwrap()["eventName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_change_and_a_read_have_an_event_each() {
    let place = Place::new().await;
    let user = place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.describe(&key).await, "");
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await, "");
    let all = events(&place).await;
    assert_eq!(all.len(), 2);
    let (change, read) = (&all[0], &all[1]);
    let (change, read) = if change["readOnly"] == json!(false) { (change, read) } else { (read, change) };
    for (pointer, value) in [
        ("/eventVersion", json!("1.11")),
        ("/eventSource", json!("logs.amazonaws.com")),
        ("/eventName", json!("CreateLogGroup")),
        ("/eventTime", json!("2026-11-22T12:00:00Z")),
        ("/awsRegion", json!("us-east-1")),
        ("/eventType", json!("AwsApiCall")),
        ("/eventCategory", json!("Management")),
        ("/managementEvent", json!(true)),
        ("/readOnly", json!(false)),
        ("/recipientAccountId", json!(MEMBER)),
        ("/userIdentity/type", json!("IAMUser")),
        ("/userIdentity/principalId", json!(user.id)),
        ("/userIdentity/arn", json!(format!("arn:aws:iam::{MEMBER}:user/u"))),
        ("/userIdentity/userName", json!("u")),
        ("/userIdentity/accessKeyId", json!(key.id)),
        ("/requestParameters", json!({"logGroupName": "g"})),
        ("/responseElements", Value::Null),
        ("/resources/0/ARN", json!(format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:g"))),
        ("/resources/0/type", json!("AWS::Logs::LogGroup")),
    ] {
        assert_eq!(change.pointer(pointer), Some(&value), "{pointer}");
    }
    assert_eq!(
        (&read["eventName"], &read["readOnly"], &read["responseElements"]),
        (&json!("DescribeLogGroups"), &json!(true), &Value::Null)
    );
    assert!(read.get("errorCode").is_none());
    assert!(!json!(all).to_string().contains(&key.secret));
    assert_eq!(place.store.verify_events().await.unwrap().broken, None);
}

#[tokio::test]
async fn a_refusal_has_an_explanation_and_no_change() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await, "AccessDeniedException");
    assert_eq!(groups(&place).await, 0);
    let all = events(&place).await;
    assert_eq!((all.len(), &all[0]["errorCode"]), (1, &json!("AccessDenied")));
    assert!(all[0]["errorMessage"].as_str().unwrap().contains("is not authorized to perform: logs:CreateLogGroup"));
    assert_eq!(all[0]["responseElements"], Value::Null);
    let rows = place.store.list(&List::of(DENIAL, &Scope::global(MEMBER))).await.unwrap();
    let body: Value = rows[0].body().unwrap();
    assert_eq!(rows[0].id, body["requestId"].as_str().unwrap());
    assert_eq!(all[0]["additionalEventData"]["explanations"], json!([rows[0].id]), "the event leads to the explanation");
    assert_eq!(body["explanation"]["checks"][0]["allowed"], false);
    assert!(body["message"].as_str().unwrap().contains("is not authorized to perform: logs:CreateLogGroup"));
    // Who is not known at all leaves nothing.
    let nobody = crate::place::Key { secret: "wrong".to_owned(), ..key };
    assert_eq!(place.describe(&nobody).await, "InvalidSignatureException");
    assert_eq!(events(&place).await.len(), 1);
}

#[tokio::test]
async fn change_and_event_are_one_commit() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    place.store.inject(1, Fault::Before);
    assert_eq!(place.create(&caller, "g").await.err().unwrap().code, "InternalFailure");
    assert_eq!((groups(&place).await, place.store.events(None, 9, false).await.unwrap().len()), (0, 0));
    let failed = events(&place).await;
    assert_eq!((failed.len(), &failed[0]["errorCode"]), (1, &json!("InternalFailure")), "the call has its event all the same");
    place.create(&caller, "g").await.unwrap();
    assert_eq!((groups(&place).await, place.store.events(None, 9, false).await.unwrap().len()), (1, 2), "at once, not behind the answer");
    assert_eq!(events(&place).await.len(), 2);
}

#[tokio::test]
async fn an_invalid_call_has_its_event() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":""}"#).await, "InvalidParameterException");
    assert_eq!(place.send(&key, "CreateLogGroup", "no json").await, "SerializationException");
    let all = events(&place).await;
    assert_eq!(
        all.iter().map(|event| event["errorCode"].as_str().unwrap()).collect::<Vec<_>>(),
        ["InvalidParameterException", "SerializationException"]
    );
    assert_eq!((&all[0]["requestParameters"], &all[1]["requestParameters"]), (&json!({"logGroupName": ""}), &Value::Null));
}

#[tokio::test]
async fn a_session_shows_its_issuer_and_a_services_call_the_service() {
    let place = Place::new().await;
    let role = place.role(MEMBER, "work", &[ALL]).await;
    let key = place.session(MEMBER, &role).await;
    assert_eq!(place.describe(&key).await, "");
    let region = Region::from("us-east-1");
    let wish = ServiceSession {
        role: &role.arn,
        service: "sagemaker.amazonaws.com",
        session: "SageMaker",
        source: None,
        source_identity: Some("alice"),
        region: &region,
    };
    let caller = place.kernel.assume_for_service(&wish).await.unwrap();
    place.create(&caller, "g").await.unwrap();
    let all = events(&place).await;
    let by = |name: &str| all.iter().find(|event| event["eventName"] == name).unwrap();
    let direct = by("DescribeLogGroups");
    let issuer = &direct["userIdentity"]["sessionContext"]["sessionIssuer"];
    assert_eq!(
        (&issuer["type"], &issuer["arn"], &issuer["userName"], &issuer["principalId"]),
        (&json!("Role"), &json!(role.arn), &json!("work"), &json!(role.id))
    );
    assert_eq!(direct["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"], "false");
    assert!(direct["userIdentity"].get("invokedBy").is_none());
    let forwarded = by("CreateLogGroup");
    assert_eq!(forwarded["userIdentity"]["invokedBy"], "sagemaker.amazonaws.com");
    assert_eq!(
        (&forwarded["sourceIPAddress"], &forwarded["userAgent"]),
        (&json!("sagemaker.amazonaws.com"), &json!("sagemaker.amazonaws.com"))
    );
    assert_eq!(forwarded["userIdentity"]["sessionContext"]["sourceIdentity"], "alice");
    assert_eq!(found(&place, MEMBER, Attribute::Username, "SageMaker").await, ["CreateLogGroup"]);
    assert_eq!(found(&place, MEMBER, Attribute::Username, "s").await, ["DescribeLogGroups"]);
}

#[tokio::test]
async fn events_are_found_by_their_attributes() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    place.describe(&key).await;
    place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await;
    for (attribute, value, expected) in [
        (Attribute::Changes, "", 1),
        (Attribute::All, "", 2),
        (Attribute::EventName, "CreateLogGroup", 1),
        (Attribute::EventName, "DeleteLogGroup", 0),
        (Attribute::EventSource, "logs.amazonaws.com", 2),
        (Attribute::Username, "u", 2),
        (Attribute::AccessKeyId, key.id.as_str(), 2),
        (Attribute::ResourceType, "AWS::Logs::LogGroup", 2),
        (Attribute::ResourceName, "g", 1),
    ] {
        assert_eq!(found(&place, MEMBER, attribute, value).await.len(), expected, "{attribute:?} {value}");
        assert_eq!(found(&place, MANAGEMENT, attribute, value).await.len(), 0, "of another account: {attribute:?} {value}");
    }
}

#[tokio::test]
async fn another_account_sees_which_account_called_and_not_who() {
    let event = json!({
        "recipientAccountId": "1", "responseElements": {"secret": true},
        "userIdentity": {"type": "IAMUser", "principalId": "AIDA", "accountId": "1", "userName": "u", "accessKeyId": "AKIA"},
    });
    assert_eq!(seen_by(event.clone(), "1"), event);
    let seen = seen_by(event, "2");
    assert_eq!(seen["userIdentity"], json!({"type": "AWSAccount", "principalId": "AIDA", "accountId": "1"}));
    assert_eq!((&seen["recipientAccountId"], &seen["responseElements"]), (&json!("2"), &Value::Null));
}

#[tokio::test]
async fn a_call_that_is_given_up_has_its_event() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    place.store.inject(1, Fault::Delay(std::time::Duration::from_secs(3600)));
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), place.create(&caller, "g")).await;
    assert!(given_up.is_err());
    let addenda = place.kernel.flush_audit();
    addenda.await;
    let raw = place.store.events(None, 9, false).await.unwrap();
    assert!(raw.iter().any(|event| event.text.contains("RequestAbandoned")), "{raw:?}");
}

#[tokio::test]
async fn old_events_are_pruned_with_their_explanations() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[&document("Allow", "logs:DescribeLogGroups")]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await, "AccessDeniedException");
    place.kernel.flush_audit().await;
    place.clock.advance_secs(89 * 86_400);
    assert_eq!(place.describe(&key).await, "");
    place.kernel.flush_audit().await;
    Retention::default().step(&place.kernel, "").await.unwrap();
    assert_eq!(events(&place).await.len(), 2, "after 89 days everything is there");
    place.clock.advance_secs(2 * 86_400);
    Retention::default().step(&place.kernel, "").await.unwrap();
    let left = events(&place).await;
    assert_eq!((left.len(), &left[0]["eventName"]), (1, &json!("DescribeLogGroups")));
    assert!(place.store.list(&List::of(DENIAL, &Scope::global(MEMBER))).await.unwrap().is_empty());
    assert_eq!(found(&place, MEMBER, Attribute::All, "").await, ["DescribeLogGroups"]);
    let verified = place.store.verify_events().await.unwrap();
    assert_eq!((verified.broken, verified.pruned), (None, 1));
    // Too many are too many, however young.
    for _ in 0..5 {
        place.describe(&key).await;
    }
    place.kernel.flush_audit().await;
    Retention::of(90, 3).step(&place.kernel, "").await.unwrap();
    assert!(events(&place).await.len() <= 3);
    assert_eq!(place.store.verify_events().await.unwrap().broken, None);
}

#[tokio::test]
async fn an_operation_that_names_nothing_is_refused() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    let input = json!({"logGroupName": "g"});
    let refused = place.kernel.call(&caller, &Region::from("us-east-1"), "logs", "DeleteLogGroup", input).await;
    assert_eq!(refused.err().unwrap().code, "InternalFailure");
    let unserved = place.kernel.call(&caller, &Region::from("us-east-1"), "logs", "PutLogEvents", json!({})).await;
    assert_eq!(unserved.err().unwrap().code, "UnknownOperationException");
    let invalid = place.kernel.call(&caller, &Region::from("us-east-1"), "logs", "CreateLogGroup", json!({"logGroupName": ""})).await;
    assert_eq!(invalid.err().unwrap().code, "InvalidParameterException", "internal calls are validated as requests are");
}
