//! The one test suite that every backend passes, and the comparison of backends under random batches.

mod events;
mod faults;
mod listings;
mod random;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use tenantry_core::{Scope, Secret, Tag, Timestamp};

use crate::{
    Batch, CommitError, Entry, Expect, Fault, Kind, List, Memory, Row, SeriesOrder, SeriesRead, SeriesStats, Sqlite, Store, StoreError,
};

pub(crate) const THING: Kind = Kind::new("test.thing");
const ROLE: Kind = Kind::new("iam.role");

/// A directory that is removed again.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = std::env::temp_dir().join(format!("store-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn here() -> Scope {
    Scope::new("111111111111", "us-east-1")
}

fn thing(id: &str) -> Row {
    Row::new(THING, &here(), id, at(1))
}

/// Ends a chain of writes where a closure must give nothing back.
pub(crate) fn done(_: &mut Batch) {}

pub(crate) async fn commit(store: &dyn Store, build: impl FnOnce(&mut Batch)) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    build(&mut batch);
    store.commit(batch).await
}

async fn ids(store: &dyn Store, list: List<'_>) -> Vec<String> {
    store.list(&list).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// Everything that a backend must do.
async fn suite(store: Arc<dyn Store>) {
    let store = &*store;
    rows(store).await;
    expectations(store).await;
    atomicity(store).await;
    listings::ordering(store).await;
    listings::creation(store).await;
    listings::scopes(store).await;
    tags(store).await;
    names_and_secrets(store).await;
    series(store).await;
    leases(store).await;
    fencing(store).await;
    events::all(store).await;
    revisions(store).await;
    limits(store).await;
}

#[tokio::test]
async fn memory_passes() {
    suite(Arc::new(Memory::new())).await;
}

#[tokio::test]
async fn sqlite_passes() {
    let dir = Dir::new();
    suite(Arc::new(Sqlite::open(&dir.0).unwrap())).await;
}

async fn rows(store: &dyn Store) {
    assert_eq!(store.get(THING, &here(), "a").await.unwrap(), None);
    let mut row =
        thing("a").parent("p\0é").name("Ä").status("InService").with(&json!({"z": [1, 2.5, null, "\0"], "a": {"é": true}})).unwrap();
    commit(store, |b| done(b.put(row.clone(), Expect::Absent))).await.unwrap();
    row.version = 1;
    let read = store.get(THING, &here(), "a").await.unwrap().unwrap();
    assert_eq!(read, row);
    assert_eq!(read.body::<Value>().unwrap(), json!({"z": [1, 2.5, null, "\0"], "a": {"é": true}}));
    assert!(matches!(read.body::<Vec<u8>>(), Err(StoreError::Corrupt(_))), "another form is damage, not a default");

    let changed = read.status("Failed").at(at(9));
    commit(store, |b| done(b.update(changed.clone()))).await.unwrap();
    let read = store.get(THING, &here(), "a").await.unwrap().unwrap();
    assert_eq!((read.version, read.status.as_str(), read.created, read.updated), (2, "Failed", at(1), at(9)));
    commit(store, |b| done(b.delete(THING, &here(), "a", Expect::Version(2)))).await.unwrap();
    assert_eq!(store.get(THING, &here(), "a").await.unwrap(), None);
    commit(store, |_| ()).await.unwrap();
}

async fn expectations(store: &dyn Store) {
    let conflict = || Err(CommitError::Conflict { kind: THING, id: "e".to_owned() });
    let missing = || Err(CommitError::NotFound { kind: THING, id: "e".to_owned() });
    let put = |expect| commit(store, move |b| done(b.put(thing("e"), expect)));
    let delete = |expect| commit(store, move |b| done(b.delete(THING, &here(), "e", expect)));
    let require = |expect| commit(store, move |b| done(b.require(THING, &here(), "e", expect)));

    assert_eq!(put(Expect::Version(1)).await, conflict());
    assert_eq!(put(Expect::Present).await, missing());
    assert_eq!(require(Expect::Present).await, missing());
    assert_eq!(require(Expect::Absent).await, Ok(()));
    assert_eq!(delete(Expect::Version(1)).await, conflict());
    assert_eq!(delete(Expect::Present).await, missing());
    assert_eq!(delete(Expect::Any).await, Ok(()));
    assert_eq!(put(Expect::Absent).await, Ok(()));
    assert_eq!(put(Expect::Absent).await, conflict());
    assert_eq!(put(Expect::Version(2)).await, conflict());
    assert_eq!(put(Expect::Version(1)).await, Ok(()));
    assert_eq!(put(Expect::Present).await, Ok(()));
    assert_eq!(put(Expect::Any).await, Ok(()));
    assert_eq!(require(Expect::Version(4)).await, Ok(()));
    assert_eq!(require(Expect::Version(3)).await, conflict());
    assert_eq!(require(Expect::Absent).await, conflict());
    assert_eq!(delete(Expect::Absent).await, conflict());
    assert_eq!(delete(Expect::Version(3)).await, conflict());
    assert_eq!(delete(Expect::Present).await, Ok(()));
    assert_eq!(store.get(THING, &here(), "e").await.unwrap(), None);
    assert_eq!(put(Expect::Any).await, Ok(()), "versions start anew");
    assert_eq!(delete(Expect::Version(1)).await, Ok(()));
}

/// One refused write undoes all that came before it, of every kind.
async fn atomicity(store: &dyn Store) {
    let arn = "arn:aws:test:::atomic";
    commit(store, |b| {
        b.put(thing("old").status("before"), Expect::Any)
            .set_tags(arn, vec![Tag::new("k", "before")])
            .append("atomic", vec![(at(1), "before".into())]);
        b.claim_unique("atomic", "name", "before").put_secret("atomic", Secret::new("before".into())).enqueue("atomic", "before", at(5));
    })
    .await
    .unwrap();
    let head = store.verify_events().await.unwrap();
    let refused = commit(store, |b| {
        b.put(thing("old").status("after"), Expect::Any)
            .put(thing("new"), Expect::Any)
            .set_tags(arn, vec![])
            .append("atomic", vec![(at(2), "after".into())]);
        b.append("atomic-new", vec![]).release_unique("atomic", "name").claim_unique("atomic", "name", "after");
        b.put_secret("atomic", Secret::new("after".into())).enqueue("atomic", "before", at(1)).enqueue("atomic", "after", at(1));
        b.event(at(1), &json!({"after": true})).put(thing("old"), Expect::Absent);
    })
    .await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    assert_eq!(store.get(THING, &here(), "old").await.unwrap().unwrap().status, "before");
    assert_eq!(store.get(THING, &here(), "new").await.unwrap(), None);
    assert_eq!(store.tags(arn).await.unwrap(), [Tag::new("k", "before")]);
    assert_eq!(store.series_stats("atomic").await.unwrap().unwrap().last_seq, 1);
    assert_eq!(store.series_read(&SeriesRead::behind("atomic", 0, 9)).await.unwrap().len(), 1);
    assert_eq!(store.series_stats("atomic-new").await.unwrap(), None);
    assert_eq!(store.unique("atomic", "name").await.unwrap().as_deref(), Some("before"));
    assert_eq!(store.secret("atomic").await.unwrap().unwrap().expose(), "before");
    assert_eq!(store.work_next("atomic").await.unwrap(), Some(at(5)));
    assert_eq!(store.work_get("atomic", "after").await.unwrap(), None);
    assert_eq!(store.verify_events().await.unwrap(), head);

    let mut first = Batch::new();
    first.put(thing("new").parent("atomic"), Expect::Absent);
    let mut second = Batch::new();
    second.require(THING, &here(), "new", Expect::Version(1)).require_none(THING, &here(), "atomic");
    first.append_batch(second);
    let refused = store.commit(first).await;
    assert_eq!(refused, Err(CommitError::NotEmpty { kind: THING, parent: "atomic".to_owned() }), "a later write sees an earlier one");
    commit(store, |b| done(b.require_none(THING, &here(), "atomic").delete(THING, &here(), "old", Expect::Any))).await.unwrap();
    commit(store, |b| done(b.cancel_work("atomic", "before"))).await.unwrap();
    assert_eq!(commit(store, |b| done(b.require_none(THING, &here(), ""))).await, Ok(()));
}

async fn tags(store: &dyn Store) {
    let arn = "arn:aws:s3:::b";
    commit(store, |b| done(b.set_tags(arn, vec![Tag::new("b", "2"), Tag::new("a", "1"), Tag::new("A", "")]))).await.unwrap();
    assert_eq!(store.tags(arn).await.unwrap(), [Tag::new("A", ""), Tag::new("a", "1"), Tag::new("b", "2")]);
    commit(store, |b| done(b.merge_tags(arn, vec![Tag::new("a", "9"), Tag::new("c", "3")]).remove_tags(arn, vec!["b".into(), "x".into()])))
        .await
        .unwrap();
    assert_eq!(store.tags(arn).await.unwrap(), [Tag::new("A", ""), Tag::new("a", "9"), Tag::new("c", "3")]);
    commit(store, |b| done(b.set_tags(arn, vec![Tag::new("é", "\0")]))).await.unwrap();
    assert_eq!(store.tags(arn).await.unwrap(), [Tag::new("é", "\0")]);
    assert!(store.tags("arn:aws:s3:::").await.unwrap().is_empty());
    commit(store, |b| done(b.set_tags(arn, vec![]))).await.unwrap();
    assert!(store.tags(arn).await.unwrap().is_empty());
}

async fn names_and_secrets(store: &dyn Store) {
    let taken = Err(CommitError::UniqueTaken { namespace: "bucket".into(), name: "n\0".into(), owner: "one".into() });
    let claim = |owner: &'static str| commit(store, move |b| done(b.claim_unique("bucket", "n\0", owner)));
    assert_eq!(claim("one").await, Ok(()));
    assert_eq!(claim("one").await, Ok(()));
    assert_eq!(claim("two").await, taken);
    assert_eq!(store.unique("bucket", "n\0").await.unwrap().as_deref(), Some("one"));
    assert_eq!(store.unique("bucket", "n").await.unwrap(), None, "nothing ends at a NUL");
    assert_eq!(store.unique("key", "n\0").await.unwrap(), None);
    commit(store, |b| done(b.release_unique("bucket", "n\0").claim_unique("bucket", "n\0", "two"))).await.unwrap();
    assert_eq!(store.unique("bucket", "n\0").await.unwrap().as_deref(), Some("two"));

    assert!(store.secret("s").await.unwrap().is_none());
    commit(store, |b| done(b.put_secret("s", Secret::new("one".into())).put_secret("s", Secret::new("t\0wo".into())))).await.unwrap();
    assert_eq!(store.secret("s").await.unwrap().unwrap().expose(), "t\0wo");
    commit(store, |b| done(b.delete_secret("s"))).await.unwrap();
    assert!(store.secret("s").await.unwrap().is_none());
}

async fn series(store: &dyn Store) {
    let read = async |query: SeriesRead<'_>| store.series_read(&query).await.unwrap().into_iter().map(|e: Entry| e.seq).collect::<Vec<_>>();
    assert_eq!(store.series_stats("log").await.unwrap(), None);
    commit(store, |b| {
        done(b.append("log", vec![(at(10), "a".into()), (at(30), "é\0".into())]).append("log", vec![(at(20), String::new())]))
    })
    .await
    .unwrap();
    commit(store, |b| done(b.append("log", vec![(at(10), "d".into()), (at(40), "e".into())]).append("other", vec![(at(1), "x".into())])))
        .await
        .unwrap();
    let stats = SeriesStats { last_seq: 5, count: 5, bytes: 6, first_time: Some(at(10)), last_time: Some(at(40)) };
    assert_eq!(store.series_stats("log").await.unwrap(), Some(stats));
    let second = store.series_read(&SeriesRead::behind("log", 1, 1)).await.unwrap();
    assert_eq!(second, [Entry { seq: 2, time: at(30), text: "é\0".into() }]);

    assert_eq!(read(SeriesRead::behind("log", 0, 3)).await, [1, 2, 3]);
    assert_eq!(read(SeriesRead::behind("log", 5, 3)).await, [0; 0]);
    assert_eq!(read(SeriesRead::newest("log", 2)).await, [5, 4]);
    let down = SeriesRead { order: SeriesOrder::Seq(Some(4)), ..SeriesRead::newest("log", 9) };
    assert_eq!(read(down).await, [3, 2, 1]);
    let by_time = SeriesRead::between("log", None, None, 9);
    assert_eq!(read(by_time).await, [1, 4, 3, 2, 5]);
    assert_eq!(read(SeriesRead { reverse: true, ..by_time }).await, [5, 2, 3, 4, 1]);
    assert_eq!(read(SeriesRead { order: SeriesOrder::Time(Some((at(10), 4))), ..by_time }).await, [3, 2, 5]);
    assert_eq!(read(SeriesRead { order: SeriesOrder::Time(Some((at(10), 4))), reverse: true, ..by_time }).await, [1]);
    assert_eq!(read(SeriesRead::between("log", Some(at(10)), Some(at(30)), 9)).await, [1, 4, 3]);
    for (from, until) in [(at(5), at(35)), (at(20), at(35)), (at(30), at(31))] {
        let page = SeriesRead { order: SeriesOrder::Time(Some((at(20), 3))), ..SeriesRead::between("log", Some(from), Some(until), 9) };
        assert_eq!(read(page).await, [2], "{from:?}");
        let back = if from <= at(10) { vec![4, 1] } else { vec![] };
        assert_eq!(read(SeriesRead { reverse: true, ..page }).await, back, "{from:?}");
    }
    assert_eq!(read(SeriesRead { from: Some(at(20)), ..SeriesRead::behind("log", 2, 9) }).await, [3, 5]);

    commit(store, |b| done(b.trim_series("log", at(20)).trim_series("none", at(20)))).await.unwrap();
    let stats = SeriesStats { last_seq: 5, count: 3, bytes: 4, first_time: Some(at(20)), last_time: Some(at(40)) };
    assert_eq!(store.series_stats("log").await.unwrap(), Some(stats));
    commit(store, |b| done(b.append("log", vec![(at(1), "f".into())]))).await.unwrap();
    assert_eq!(read(SeriesRead::behind("log", 0, 9)).await, [2, 3, 5, 6]);
    commit(store, |b| done(b.trim_series("log", at(99)))).await.unwrap();
    let stats = SeriesStats { last_seq: 6, count: 0, bytes: 0, first_time: None, last_time: None };
    assert_eq!(store.series_stats("log").await.unwrap(), Some(stats));
    commit(store, |b| done(b.delete_series("log").append("log", vec![(at(1), "g".into())]))).await.unwrap();
    assert_eq!(read(SeriesRead::behind("log", 0, 9)).await, [1]);
    assert_eq!(read(SeriesRead::behind("other", 0, 9)).await, [1]);
}

async fn leases(store: &dyn Store) {
    assert_eq!(store.claim("q", at(100), 1000).await.unwrap(), None);
    assert_eq!(store.work_next("q").await.unwrap(), None);
    commit(store, |b| done(b.enqueue("q", "late", at(20)).enqueue("q", "b", at(10)).enqueue("q", "a", at(10)).enqueue("r", "x", at(1))))
        .await
        .unwrap();
    commit(store, |b| done(b.enqueue("q", "late", at(30)))).await.unwrap();
    assert_eq!(store.work_get("q", "late").await.unwrap().unwrap().due, at(20), "sooner wins");
    assert_eq!(store.work_next("q").await.unwrap(), Some(at(10)));
    assert_eq!(store.claim("q", at(9), 1000).await.unwrap(), None, "not due");
    let due: Vec<_> = store.work_due("q", at(20), 2).await.unwrap().into_iter().map(|w| w.key).collect();
    assert_eq!(due, ["a", "b"]);

    let first = store.claim("q", at(20), 5000).await.unwrap().unwrap();
    assert_eq!((first.key.as_str(), first.due, first.leased_until, first.attempts), ("a", at(10), Some(at(25)), 1));
    assert_eq!(store.work_get("q", "a").await.unwrap().unwrap(), first);
    let second = store.claim("q", at(20), 5000).await.unwrap().unwrap();
    let third = store.claim("q", at(20), 5000).await.unwrap().unwrap();
    assert_eq!((second.key.as_str(), third.key.as_str()), ("b", "late"));
    assert!(first.token < second.token && second.token < third.token);
    assert_eq!(store.claim("q", at(24), 5000).await.unwrap(), None, "all are leased");
    assert_eq!(store.work_next("q").await.unwrap(), Some(at(25)));

    commit(store, |b| done(b.finish_work(&second).release_work(&third, at(50)))).await.unwrap();
    assert_eq!(store.work_get("q", "b").await.unwrap(), None);
    let again = store.claim("q", at(25), 5000).await.unwrap().unwrap();
    assert_eq!((again.key.as_str(), again.attempts), ("a", 2), "the lease ran out");
    commit(store, |b| done(b.retry_work(&again, at(40)))).await.unwrap();
    let again = store.claim("q", at(40), 5000).await.unwrap().unwrap();
    assert_eq!((again.key.as_str(), again.attempts, again.due), ("a", 3, at(40)), "attempts go on counting");
    commit(store, |b| done(b.extend_work(&again, at(60)))).await.unwrap();
    let other = store.claim("q", at(59), 1).await.unwrap().unwrap();
    assert_eq!((other.key.as_str(), other.attempts), ("late", 1), "released with progress");
    commit(store, |b| done(b.finish_work(&again).finish_work(&other).cancel_work("r", "x").cancel_work("r", "x"))).await.unwrap();
    assert_eq!(store.work_due("q", at(999), 9).await.unwrap(), []);
    assert_eq!(store.work_next("r").await.unwrap(), None);
}

async fn fencing(store: &dyn Store) {
    let lost = || Err(CommitError::LeaseLost { queue: "f".into(), key: "k".into() });
    commit(store, |b| done(b.enqueue("f", "k", at(1)))).await.unwrap();
    let unleased = store.work_get("f", "k").await.unwrap().unwrap();
    assert_eq!(commit(store, |b| done(b.finish_work(&unleased))).await, lost(), "not leased at all");
    let slow = store.claim("f", at(1), 1000).await.unwrap().unwrap();
    let quick = store.claim("f", at(2), 1000).await.unwrap().unwrap();
    let settles: [fn(&mut Batch, &crate::Work); 4] = [
        |b, w| done(b.finish_work(w)),
        |b, w| done(b.release_work(w, at(1))),
        |b, w| done(b.retry_work(w, at(1))),
        |b, w| done(b.extend_work(w, at(9))),
    ];
    for settle in settles {
        let late = commit(store, |b| settle(b.put(thing("fenced"), Expect::Any), &slow)).await;
        assert_eq!(late, lost());
    }
    assert_eq!(store.get(THING, &here(), "fenced").await.unwrap(), None, "what the late one wrote does not count");

    // What is enqueued during a step is not lost when the step ends.
    commit(store, |b| done(b.enqueue("f", "k", at(70)).enqueue("f", "k", at(50)).enqueue("f", "k", at(60)))).await.unwrap();
    assert_eq!(store.claim("f", at(2), 1000).await.unwrap(), None);
    commit(store, |b| done(b.finish_work(&quick))).await.unwrap();
    let kept = store.work_get("f", "k").await.unwrap().unwrap();
    assert_eq!((kept.due, kept.leased_until, kept.token, kept.attempts), (at(50), None, 0, 0));
    assert_eq!(commit(store, |b| done(b.finish_work(&quick))).await, lost(), "a token counts once");
    let work = store.claim("f", at(50), 1000).await.unwrap().unwrap();
    commit(store, |b| done(b.enqueue("f", "k", at(55)).release_work(&work, at(90)))).await.unwrap();
    assert_eq!(store.work_next("f").await.unwrap(), Some(at(55)));
    // A wish from before the next claim is what that claim sees; one for later stays.
    let work = store.claim("f", at(60), 1000).await.unwrap().unwrap();
    commit(store, |b| done(b.enqueue("f", "k", at(60)))).await.unwrap();
    let work_again = store.claim("f", at(61), 1000).await.unwrap().unwrap();
    assert!(work_again.token > work.token);
    commit(store, |b| done(b.enqueue("f", "k", at(99)))).await.unwrap();
    let last = store.claim("f", at(62), 1000).await.unwrap().unwrap();
    commit(store, |b| done(b.finish_work(&last))).await.unwrap();
    assert_eq!(store.work_next("f").await.unwrap(), Some(at(99)));
    let last = store.claim("f", at(99), 1000).await.unwrap().unwrap();
    commit(store, |b| done(b.cancel_work("f", "k"))).await.unwrap();
    assert_eq!(commit(store, |b| done(b.finish_work(&last))).await, lost());
    commit(store, |b| done(b.enqueue("f", "k", at(1)))).await.unwrap();
    let anew = store.claim("f", at(99), 1000).await.unwrap().unwrap();
    assert!(anew.token > last.token, "tokens never come again");
    commit(store, |b| done(b.finish_work(&anew))).await.unwrap();
}

async fn revisions(store: &dyn Store) {
    let changes = async |build: &dyn Fn(&mut Batch)| {
        let before = store.revision();
        commit(store, build).await.unwrap();
        store.revision() != before
    };
    let scope = here();
    assert!(changes(&|b| done(b.put(Row::new(ROLE, &scope, "r", at(1)), Expect::Any))).await);
    assert!(changes(&|b| done(b.put(Row::new(Kind::new("org.policy"), &scope, "r", at(1)), Expect::Any))).await);
    assert!(changes(&|b| done(b.delete(ROLE, &scope, "r", Expect::Any))).await);
    assert!(changes(&|b| done(b.set_tags("arn:aws:iam::111111111111:role/r", vec![]))).await);
    assert!(changes(&|b| done(b.delete_secret("s"))).await);
    assert!(changes(&|b| done(b.release_unique("a", "b"))).await);
    assert!(
        !changes(&|b| done(
            b.put(thing("r"), Expect::Any).delete(THING, &scope, "r", Expect::Any).set_tags("arn:aws:s3:::b", vec![]).append("r", vec![])
        ))
        .await
    );
    let session = Kind::new("sts.session");
    let fresh = |b: &mut Batch, id: &str, expect| {
        done(b.put(Row::new(session, &here(), id, at(1)), expect).claim_unique("key", id, "1").put_secret(id, Secret::new("s".to_owned())))
    };
    assert!(!changes(&|b| fresh(b, "one", Expect::Absent)).await, "new credentials were never remembered");
    assert!(changes(&|b| fresh(b, "two", Expect::Any)).await);
    assert!(changes(&|b| done(b.put_secret("three", Secret::new("s".to_owned())))).await);
    assert!(changes(&|b| done(b.delete(session, &scope, "one", Expect::Any))).await);
    let both = |b: &mut Batch| {
        fresh(b, "four", Expect::Absent);
        done(b.put(Row::new(ROLE, &here(), "q", at(1)), Expect::Any));
    };
    assert!(changes(&both).await);
    assert!(!changes(&|b| done(b.require(ROLE, &scope, "r", Expect::Absent))).await);

    let mut signal = store.work_signal();
    assert!(!signal.has_changed().unwrap());
    commit(store, |b| done(b.enqueue("signal", "k", at(1)))).await.unwrap();
    assert!(signal.has_changed().unwrap());
    signal.mark_unchanged();
    commit(store, |b| done(b.cancel_work("signal", "k"))).await.unwrap();
    assert!(!signal.has_changed().unwrap());
}

async fn limits(store: &dyn Store) {
    let invalid = |result| matches!(result, Err(CommitError::Store(StoreError::Invalid(_))));
    let id = "x".repeat(crate::MAX_ID_BYTES);
    commit(store, |b| done(b.put(thing(&id), Expect::Absent).delete(THING, &here(), id.clone(), Expect::Present))).await.unwrap();
    let longer = format!("{id}x");
    assert!(invalid(commit(store, |b| done(b.put(thing(&longer), Expect::Absent))).await));
    assert!(invalid(commit(store, |b| done(b.claim_unique("n", longer.clone(), "o"))).await));
    let line = "x".repeat(crate::MAX_BODY_BYTES);
    commit(store, |b| done(b.append("limit", vec![(at(1), line.clone())]).delete_series("limit"))).await.unwrap();
    assert!(invalid(commit(store, |b| done(b.append("limit", vec![(at(1), format!("{line}x"))]))).await));
    let many = |count: usize| move |b: &mut Batch| (0..count).for_each(|_| done(b.cancel_work("limit", "k")));
    commit(store, many(crate::MAX_WRITES)).await.unwrap();
    assert!(invalid(commit(store, many(crate::MAX_WRITES + 1)).await));
}
