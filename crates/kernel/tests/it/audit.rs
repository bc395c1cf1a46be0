//! Every change has its event in the same commit; a refusal has an explanation and no change; a read leaves nothing.

use serde_json::{Value, json};
use tenantry_core::{Region, Scope};
use tenantry_kernel::DENIAL;
use tenantry_store::{Fault, List, Store};

use crate::place::{ALL, GROUP, MEMBER, Place};

async fn events(place: &Place) -> Vec<Value> {
    let events = place.store.events(None, 1000, false).await.unwrap();
    events.iter().map(|event| event.json().unwrap()).collect()
}

async fn groups(place: &Place) -> usize {
    place.store.list(&List::of(GROUP, &Scope::new(MEMBER, "us-east-1"))).await.unwrap().len()
}

/// Denials are recorded behind the answer.
async fn until_denied(place: &Place, count: usize) {
    let scope = Scope::global(MEMBER);
    while place.store.list(&List::of(DENIAL, &scope)).await.unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_has_one_event() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.describe(&key).await, "");
    assert_eq!(events(&place).await, Vec::<Value>::new(), "a read leaves nothing");
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await, "");
    let all = events(&place).await;
    assert_eq!(all.len(), 1);
    let event = &all[0];
    for (name, value) in [
        ("service", json!("logs")),
        ("operation", json!("CreateLogGroup")),
        ("account", json!(MEMBER)),
        ("principal", json!(format!("arn:aws:iam::{MEMBER}:user/u"))),
        ("accessKeyId", json!(key.id)),
        ("outcome", json!("allowed")),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    let text = event.to_string();
    assert!(!text.contains(&key.secret));
    assert_eq!(place.store.verify_events().await.unwrap().broken, None);
}

#[tokio::test]
async fn a_refusal_has_an_explanation_and_no_change() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.send(&key, "CreateLogGroup", r#"{"logGroupName":"g"}"#).await, "AccessDeniedException");
    assert_eq!(groups(&place).await, 0);
    until_denied(&place, 1).await;
    let all = events(&place).await;
    assert_eq!((all.len(), &all[0]["outcome"]), (1, &json!("denied")));
    let rows = place.store.list(&List::of(DENIAL, &Scope::global(MEMBER))).await.unwrap();
    let body: Value = rows[0].body().unwrap();
    assert_eq!(rows[0].id, body["requestId"].as_str().unwrap());
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
    assert_eq!((groups(&place).await, events(&place).await.len()), (0, 0));
    place.create(&caller, "g").await.unwrap();
    assert_eq!((groups(&place).await, events(&place).await.len()), (1, 1));
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
