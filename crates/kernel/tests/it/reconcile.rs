//! The work loop: retries, quarantine, leases, and that one bad item stops nobody.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_kernel::{
    Kernel, Next, Reconciler, StepFuture,
    reconcile::{LEASE, QUARANTINE},
};
use tenantry_store::{Batch, CommitError, Store};

use crate::place::Place;

const QUEUE: &str = "test.queue";

type Script = Box<dyn Fn(u32) -> Act + Send + Sync>;

/// What a step does on its n-th run.
enum Act {
    Answer(Result<Next>),
    Panic,
    TakeForever,
    /// Looks away until its lease is over and somebody else has claimed the item.
    LoseLease,
    /// Something happens to the same key meanwhile.
    EnqueueAgain,
}

struct Scripted {
    runs: Mutex<BTreeMap<String, u32>>,
    script: BTreeMap<&'static str, Script>,
    clock: Mutex<Option<Arc<tenantry_kernel::ManualClock>>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = (&'static str, Script)>) -> Arc<Self> {
        Arc::new(Self { runs: Mutex::default(), script: script.into_iter().collect(), clock: Mutex::default() })
    }
    fn runs(&self, key: &str) -> u32 {
        self.runs.lock().unwrap().get(key).copied().unwrap_or(0)
    }
    async fn act(&self, kernel: &Kernel, key: &str) -> Result<Next> {
        let run = {
            let mut runs = self.runs.lock().unwrap();
            let run = runs.entry(key.to_owned()).or_default();
            *run += 1;
            *run
        };
        match self.script[key](run) {
            Act::Answer(answer) => answer,
            Act::Panic => panic!("a step that panics"),
            Act::TakeForever => std::future::pending().await,
            Act::LoseLease => {
                let clock = self.clock.lock().unwrap().clone().unwrap();
                clock.advance_secs(LEASE.as_secs() as i64 + 1);
                let other = kernel.store().claim(QUEUE, kernel.now(), 60_000).await?.unwrap();
                assert_eq!(other.key, key);
                Ok(Next::Done)
            }
            Act::EnqueueAgain => {
                let mut batch = Batch::new();
                batch.enqueue(QUEUE, key, kernel.now());
                kernel.store().commit(batch).await?;
                Ok(Next::Done)
            }
        }
    }
}

impl Reconciler for Scripted {
    fn queue(&self) -> &'static str {
        QUEUE
    }
    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(self.act(kernel, key))
    }
}

fn fails() -> Script {
    Box::new(|_| Act::Answer(Err(AwsError::internal("it does not work"))))
}

fn done() -> Script {
    Box::new(|_| Act::Answer(Ok(Next::Done)))
}

async fn place(work: &Arc<Scripted>) -> Place {
    let place = Place::with(vec![Arc::clone(work) as Arc<dyn Reconciler>]).await;
    *work.clock.lock().unwrap() = Some(Arc::clone(&place.clock));
    let mut batch = Batch::new();
    for key in work.script.keys() {
        batch.enqueue(QUEUE, *key, place.kernel.now());
    }
    place.commit(batch).await;
    place
}

/// Milliseconds until an item is due again.
async fn wait_of(place: &Place, key: &str) -> i64 {
    place.store.work_get(QUEUE, key).await.unwrap().unwrap().due.millis() - place.kernel.now().millis()
}

#[tokio::test]
async fn done_is_forgotten_and_after_comes_again() {
    let again: Script = Box::new(|run| Act::Answer(Ok(if run < 3 { Next::After(Duration::from_secs(30)) } else { Next::Done })));
    let work = Scripted::new([("a", done()), ("b", again)]);
    let place = place(&work).await;
    place.kernel.settle().await.unwrap();
    assert_eq!((work.runs("a"), work.runs("b")), (1, 1));
    assert!(place.store.work_get(QUEUE, "a").await.unwrap().is_none());
    assert_eq!(wait_of(&place, "b").await, 30_000);
    place.clock.advance_secs(29);
    place.kernel.settle().await.unwrap();
    assert_eq!(work.runs("b"), 1);
    for runs in [2, 3] {
        place.clock.advance_secs(30);
        place.kernel.settle().await.unwrap();
        assert_eq!(work.runs("b"), runs);
    }
    assert!(place.store.work_get(QUEUE, "b").await.unwrap().is_none());
}

#[tokio::test]
async fn failures_are_put_off_further_and_further_and_then_quarantined() {
    let work = Scripted::new([("bad", fails()), ("good", done())]);
    let place = place(&work).await;
    let mut waits = Vec::new();
    for _ in 0..QUARANTINE + 2 {
        place.kernel.settle().await.unwrap();
        let wait = wait_of(&place, "bad").await;
        waits.push(wait);
        place.clock.advance_secs(wait / 1000 + 1);
    }
    assert_eq!(work.runs("good"), 1, "a failing item stops nobody");
    assert_eq!(work.runs("bad"), QUARANTINE + 2);
    let (trying, quarantined) = waits.split_at(QUARANTINE as usize - 1);
    assert!(trying.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert!(trying[0] < 1000 && trying.last() == Some(&60_000), "{waits:?}");
    assert!(quarantined.iter().all(|wait| *wait == 3_600_000), "{waits:?}");
}

#[tokio::test]
async fn progress_starts_the_count_anew() {
    let flaky: Script = Box::new(|run| Act::Answer(if run == 6 { Ok(Next::After(Duration::ZERO)) } else { Err(AwsError::internal("no")) }));
    let work = Scripted::new([("a", flaky)]);
    let place = place(&work).await;
    let mut waits = Vec::new();
    for _ in 0..6 {
        place.kernel.settle().await.unwrap();
        waits.push(wait_of(&place, "a").await);
        place.clock.advance_secs(61);
    }
    // The sixth run went well and the seventh, at once, failed for the first time again.
    assert_eq!(waits[0], waits[5], "{waits:?}");
    assert!(waits[4] > waits[0], "{waits:?}");
}

#[tokio::test]
async fn a_leased_item_is_not_taken_before_its_lease_is_over() {
    let work = Scripted::new([("a", done())]);
    let place = place(&work).await;
    let held = place.store.claim(QUEUE, place.kernel.now(), 10_000).await.unwrap().unwrap();
    place.kernel.settle().await.unwrap();
    assert_eq!(work.runs("a"), 0);
    place.clock.advance_secs(11);
    place.kernel.settle().await.unwrap();
    assert_eq!(work.runs("a"), 1);
    let mut batch = Batch::new();
    batch.release_work(&held, Timestamp::default());
    assert!(matches!(place.store.commit(batch).await, Err(CommitError::LeaseLost { .. })), "whoever is late changes nothing");
}

#[tokio::test]
async fn a_step_that_lost_its_lease_does_not_end_the_others_work() {
    let work = Scripted::new([("a", Box::new(|_| Act::LoseLease) as Script)]);
    let place = place(&work).await;
    place.kernel.settle().await.unwrap();
    let item = place.store.work_get(QUEUE, "a").await.unwrap().expect("the item is still the other's");
    assert!(item.leased_until.is_some());
}

#[tokio::test]
async fn what_happens_during_a_step_is_not_overlooked() {
    let script: Script = Box::new(|run| if run == 1 { Act::EnqueueAgain } else { Act::Answer(Ok(Next::Done)) });
    let work = Scripted::new([("a", script)]);
    let place = place(&work).await;
    place.kernel.settle().await.unwrap();
    assert_eq!(work.runs("a"), 2);
    assert!(place.store.work_get(QUEUE, "a").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_step_without_end_is_ended_by_its_lease() {
    let work = Scripted::new([("a", Box::new(|_| Act::TakeForever) as Script)]);
    let place = place(&work).await;
    place.kernel.settle().await.unwrap();
    assert_eq!(work.runs("a"), 1);
    let item = place.store.work_get(QUEUE, "a").await.unwrap().unwrap();
    assert_eq!((item.attempts, item.leased_until), (1, None));
}

#[tokio::test(start_paused = true)]
async fn the_loop_goes_on_past_panics_and_ends_when_told() {
    let work = Scripted::new([
        ("a-panics", Box::new(|_| Act::Panic) as Script),
        ("b-hangs", Box::new(|_| Act::TakeForever) as Script),
        ("c", done()),
    ]);
    let place = place(&work).await;
    let (close, closing) = tokio::sync::watch::channel(false);
    let kernel = place.kernel.clone();
    let running = tokio::spawn(async move { kernel.run(closing).await });
    while work.runs("c") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // New work wakes the loop.
    let mut batch = Batch::new();
    batch.enqueue(QUEUE, "c", place.kernel.now());
    place.commit(batch).await;
    while work.runs("c") < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(work.runs("a-panics"), 1, "it waits for its lease to run out");
    place.clock.advance_secs(LEASE.as_secs() as i64 + 1);
    while work.runs("a-panics") < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    close.send_replace(true);
    tokio::time::timeout(Duration::from_secs(600), running).await.expect("it ends when its steps have").unwrap();
}
