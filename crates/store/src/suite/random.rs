//! Random batches against both backends: each must answer and hold the same.

use std::sync::Arc;

use proptest::prelude::*;
use tenantry_core::{Secret, Tag, Timestamp};

use super::{Dir, THING, at, here};
use crate::{Batch, ByScope, Expect, List, Memory, Row, SeriesRead, Sqlite, Store, Work};

#[derive(Debug, Clone)]
enum Act {
    Put(u8, u8, Expect),
    Delete(u8, Expect),
    RequireNone(u8),
    Tags(u8, Vec<(u8, u8)>),
    Merge(u8, Vec<(u8, u8)>),
    Untag(u8, u8),
    Claim(u8, u8),
    Release(u8),
    Secret(u8, Option<u8>),
    Append(u8, Vec<(i64, u8)>),
    Trim(u8, i64),
    Forget(u8),
    Enqueue(u8, i64),
    Cancel(u8),
    Settle(u8, u8, i64),
    Event(u8),
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Act>),
    Claim(i64),
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![Just(Expect::Absent), Just(Expect::Present), Just(Expect::Any), (1..4u64).prop_map(Expect::Version)]
}

fn act() -> impl Strategy<Value = Act> {
    let key = 0..4u8;
    let pairs = proptest::collection::vec((0..3u8, 0..9u8), 0..3);
    let lines = proptest::collection::vec((0..50i64, 0..9u8), 0..4);
    prop_oneof![
        3 => (key.clone(), key.clone(), expect()).prop_map(|(a, b, e)| Act::Put(a, b, e)),
        1 => (key.clone(), expect()).prop_map(|(a, e)| Act::Delete(a, e)),
        1 => key.clone().prop_map(Act::RequireNone),
        1 => (key.clone(), pairs.clone()).prop_map(|(a, p)| Act::Tags(a, p)),
        1 => (key.clone(), pairs).prop_map(|(a, p)| Act::Merge(a, p)),
        1 => (key.clone(), 0..3u8).prop_map(|(a, k)| Act::Untag(a, k)),
        1 => (key.clone(), 0..2u8).prop_map(|(a, o)| Act::Claim(a, o)),
        1 => key.clone().prop_map(Act::Release),
        1 => (key.clone(), proptest::option::of(0..9u8)).prop_map(|(a, v)| Act::Secret(a, v)),
        1 => (key.clone(), lines).prop_map(|(a, l)| Act::Append(a, l)),
        1 => (key.clone(), 0..50i64).prop_map(|(a, t)| Act::Trim(a, t)),
        1 => key.clone().prop_map(Act::Forget),
        3 => (key.clone(), 0..50i64).prop_map(|(a, t)| Act::Enqueue(a, t)),
        1 => key.clone().prop_map(Act::Cancel),
        3 => (0..4u8, 0..4u8, 0..50i64).prop_map(|(n, how, t)| Act::Settle(n, how, t)),
        1 => (0..9u8).prop_map(Act::Event),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => proptest::collection::vec(act(), 0..6).prop_map(Step::Commit), 1 => (0..60i64).prop_map(Step::Claim)]
}

fn batch(acts: &[Act], claimed: &[Work]) -> Batch {
    let mut b = Batch::new();
    let (scope, text) = (here(), |n: &u8| n.to_string());
    let tags = |pairs: &[(u8, u8)]| pairs.iter().map(|(k, v)| Tag::new(k.to_string(), v.to_string())).collect::<Vec<_>>();
    for act in acts {
        match act {
            Act::Put(id, parent, expect) => b.put(Row::new(THING, &scope, text(id), at(1)).parent(text(parent)), *expect),
            Act::Delete(id, expect) => b.delete(THING, &scope, text(id), *expect),
            Act::RequireNone(parent) => b.require_none(THING, &scope, text(parent)),
            Act::Tags(arn, pairs) => b.set_tags(text(arn), tags(pairs)),
            Act::Merge(arn, pairs) => b.merge_tags(text(arn), tags(pairs)),
            Act::Untag(arn, key) => b.remove_tags(text(arn), vec![text(key)]),
            Act::Claim(name, owner) => b.claim_unique("n", text(name), text(owner)),
            Act::Release(name) => b.release_unique("n", text(name)),
            Act::Secret(id, Some(value)) => b.put_secret(text(id), Secret::new(text(value))),
            Act::Secret(id, None) => b.delete_secret(text(id)),
            Act::Append(name, lines) => b.append(text(name), lines.iter().map(|(t, n)| (at(*t), "l".repeat(*n as usize))).collect()),
            Act::Trim(name, before) => b.trim_series(text(name), at(*before)),
            Act::Forget(name) => b.delete_series(text(name)),
            Act::Enqueue(key, due) => b.enqueue("q", text(key), at(*due)),
            Act::Cancel(key) => b.cancel_work("q", text(key)),
            Act::Settle(nth, how, due) => match (claimed.iter().rev().nth(*nth as usize), how) {
                (None, _) => continue,
                (Some(work), 0) => b.finish_work(work),
                (Some(work), 1) => b.release_work(work, at(*due)),
                (Some(work), 2) => b.retry_work(work, at(*due)),
                (Some(work), _) => b.extend_work(work, at(*due)),
            },
            Act::Event(n) => b.event(at(1), &serde_json::json!({ "n": n })),
        };
    }
    b
}

/// All that can be read.
async fn dump(store: &dyn Store) -> String {
    let mut out = format!("{:?}\n", store.list(&List::by(THING, ByScope::All)).await.unwrap());
    for name in (0..4u8).map(|n| n.to_string()) {
        let secret = store.secret(&name).await.unwrap().map(Secret::into_exposed);
        let lines = store.series_read(&SeriesRead::between(&name, None, None, 99)).await.unwrap();
        out += &format!("{:?} {:?} ", store.tags(&name).await.unwrap(), store.unique("n", &name).await.unwrap());
        out += &format!("{secret:?} {:?} {lines:?} ", store.series_stats(&name).await.unwrap());
        out += &format!("{:?}\n", store.work_get("q", &name).await.unwrap());
    }
    let due = store.work_due("q", Timestamp::from_secs(99), 9).await.unwrap();
    out + &format!("{due:?} {:?} {:?}", store.work_next("q").await.unwrap(), store.verify_events().await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn backends_agree(steps in proptest::collection::vec(step(), 1..30)) {
        let dir = Dir::new();
        let stores: [Arc<dyn Store>; 2] = [Arc::new(Memory::new()), Arc::new(Sqlite::open(&dir.0).unwrap())];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut claimed = Vec::new();
            for step in steps {
                match step {
                    Step::Commit(acts) => {
                        let before = dump(&*stores[0]).await;
                        let one = stores[0].commit(batch(&acts, &claimed)).await;
                        let two = stores[1].commit(batch(&acts, &claimed)).await;
                        prop_assert_eq!(&one, &two);
                        if one.is_err() {
                            prop_assert_eq!(before, dump(&*stores[0]).await);
                        }
                    }
                    Step::Claim(now) => {
                        let one = stores[0].claim("q", at(now), 5000).await.unwrap();
                        prop_assert_eq!(&one, &stores[1].claim("q", at(now), 5000).await.unwrap());
                        claimed.extend(one);
                    }
                }
                prop_assert_eq!(dump(&*stores[0]).await, dump(&*stores[1]).await);
            }
            Ok(())
        })?;
    }
}
