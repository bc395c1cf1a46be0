//! Audit events: chained, found by their keys, pruned.

use serde_json::json;

use super::{at, commit, done, thing};
use crate::{CommitError, EventKey, EventsBy, Expect, Store, canonical_json};

pub(super) async fn all(store: &dyn Store) {
    events(store).await;
    found_events(store).await;
    pruned_events(store).await;
}

async fn events(store: &dyn Store) {
    let before = store.verify_events().await.unwrap();
    assert_eq!(before.broken, None);
    commit(store, |b| done(b.event(at(1), &json!({"b": 1, "a": "é"})).event(at(0), &json!(null)))).await.unwrap();
    commit(store, |b| done(b.event(at(2), &json!([])))).await.unwrap();
    let after = store.verify_events().await.unwrap();
    assert_eq!((after.broken, after.intact), (None, before.intact + 3));
    assert_ne!(after.head, before.head);
    let (first, last) = (before.intact + 1, after.intact);
    let all = store.events(Some(before.intact), 9, false).await.unwrap();
    assert_eq!(all.iter().map(|e| e.seq).collect::<Vec<_>>(), (first..=last).collect::<Vec<_>>());
    assert_eq!((all[0].text.as_str(), all[0].time), (r#"{"a":"é","b":1}"#, at(1)));
    assert_eq!(all[0].json().unwrap(), json!({"a": "é", "b": 1}));
    assert_eq!(all[2].hash, after.head);
    assert_eq!(store.events(None, 2, true).await.unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [last, last - 1]);
    assert_eq!(store.events(Some(last), 1, true).await.unwrap()[0].seq, last - 1);
    assert_eq!(store.events(None, 1, false).await.unwrap()[0].seq, 1);
    assert!(store.events(Some(last), 9, false).await.unwrap().is_empty());
}

async fn found_events(store: &dyn Store) {
    let (us, them) = (EventKey::of(&["us"]), EventKey::of(&["them"]));
    assert_ne!(EventKey::of(&["a", "b"]), EventKey::of(&["ab", ""]));
    let add = |n: i64, keys: &[EventKey]| (at(n), canonical_json(&json!({ "n": n })), keys.to_vec());
    for (time, text, keys) in [add(10, &[us]), add(30, &[us, them]), add(20, &[us, us]), add(20, &[them])] {
        commit(store, |b| done(b.event_under(time, text, keys))).await.unwrap();
    }
    let last = store.verify_events().await.unwrap().intact;
    let query = EventsBy { key: us, from: None, until: None, before: None, limit: 9 };
    let seqs = async |query: &EventsBy| store.events_by(query).await.unwrap().iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&query).await, [last - 2, last - 1, last - 3], "newest first, by time");
    assert_eq!(seqs(&EventsBy { limit: 1, ..query.clone() }).await, [last - 2]);
    assert_eq!(seqs(&EventsBy { before: Some((at(30), last - 2)), ..query.clone() }).await, [last - 1, last - 3]);
    assert_eq!(seqs(&EventsBy { from: Some(at(20)), until: Some(at(29)), ..query.clone() }).await, [last - 1]);
    assert_eq!(seqs(&EventsBy { key: them, ..query.clone() }).await, [last - 2, last]);
    assert_eq!(seqs(&EventsBy { key: EventKey::of(&["nobody"]), ..query.clone() }).await, [0; 0]);
    assert_eq!(store.events_by(&query).await.unwrap()[0].text, r#"{"n":30}"#);
}

async fn pruned_events(store: &dyn Store) {
    let before = store.verify_events().await.unwrap();
    let key = EventKey::of(&["pruned"]);
    commit(store, |b| {
        (1..=4).for_each(|n| done(b.event_under(at(n), format!("{n}"), vec![key])));
    })
    .await
    .unwrap();
    let through = before.intact + 2;
    commit(store, |b| done(b.prune_events(at(9), through))).await.unwrap();
    let after = store.verify_events().await.unwrap();
    assert_eq!((after.broken, after.pruned, after.intact), (None, through, through + 3), "two are left, and the checkpoint");
    assert_eq!(store.events(None, 1, false).await.unwrap()[0].seq, through + 1);
    let query = EventsBy { key, from: None, until: None, before: None, limit: 9 };
    assert_eq!(store.events_by(&query).await.unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [through + 2, through + 1]);
    // What is pruned already, and the newest, are left alone.
    commit(store, |b| done(b.prune_events(at(9), through))).await.unwrap();
    assert_eq!(store.verify_events().await.unwrap(), after);
    let refused = commit(store, |b| done(b.prune_events(at(9), u64::MAX).put(thing("pruned"), Expect::Present))).await;
    assert!(matches!(refused, Err(CommitError::NotFound { .. })));
    assert_eq!(store.verify_events().await.unwrap(), after, "a refused batch prunes nothing");
    commit(store, |b| done(b.prune_events(at(9), u64::MAX))).await.unwrap();
    let all = store.verify_events().await.unwrap();
    assert_eq!((all.broken, all.pruned, all.intact), (None, after.intact - 1, after.intact + 1));
}
