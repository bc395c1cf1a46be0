//! Long-running work: a row and a step.
//!
//! A reconciler owns a queue. `step(key)` looks at stored state and the world, takes one bounded
//! idempotent action, and says when to look again; it takes no other input, so what resumes after a
//! crash is what ran before it. A step that keeps failing is put further and further off, and after
//! [`QUARANTINE`] failures only every hour, with a [`QUARANTINED`] row that says why: the queue never
//! stops for it.

use std::{pin::Pin, sync::Arc, time::Duration};

use tenantry_core::Result;
use tenantry_core::Scope;
use tenantry_store::{Batch, CommitError, Expect, Kind, Row, Work};
use tokio::sync::{Semaphore, watch};

use crate::kernel::Kernel;

/// A step that takes longer has lost its lease: another may run beside it.
pub const LEASE: Duration = Duration::from_secs(120);
/// So many failures in a row put an item into quarantine.
pub const QUARANTINE: u32 = 20;
/// An item in quarantine; global scope of no account, id: `<queue> <key>`, body: `attempts`, `reason`.
pub const QUARANTINED: Kind = Kind::new("work.quarantined");
/// Steps of one queue at a time.
const PARALLEL: usize = 16;
/// How long a queue sleeps when nothing says that there is work.
const IDLE: Duration = Duration::from_secs(5);

/// What a step answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing more to do for this key.
    Done,
    /// Look again after this long.
    After(Duration),
}

/// The future of a step.
pub type StepFuture<'a> = Pin<Box<dyn Future<Output = Result<Next>> + Send + 'a>>;

/// Works one queue.
pub trait Reconciler: Send + Sync {
    /// The queue's name: the kind of the rows that it works on.
    fn queue(&self) -> &'static str;
    /// One step for one key.
    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a>;
}

/// The key of a row's work: `account/region/id`.
#[must_use]
pub fn key_of(scope: &tenantry_core::Scope, id: &str) -> String {
    format!("{}/{}/{id}", scope.account, scope.region)
}

/// The scope and id of a key made by [`key_of`].
#[must_use]
pub fn parse_key(key: &str) -> Option<(tenantry_core::Scope, &str)> {
    let (account, rest) = key.split_once('/')?;
    let (region, id) = rest.split_once('/')?;
    Some((tenantry_core::Scope::new(account, region), id))
}

impl Kernel {
    /// Works all queues until `closing` says so; returns when the steps that run have ended.
    pub async fn run(&self, closing: watch::Receiver<bool>) {
        if let Err(error) = crate::audit::Retention::begin(self).await {
            tracing::error!(%error, "old audit events are not removed");
        }
        let mut queues = tokio::task::JoinSet::new();
        for reconciler in &self.inner().reconcilers {
            queues.spawn(work(self.clone(), Arc::clone(reconciler), closing.clone()));
        }
        while queues.join_next().await.is_some() {}
    }

    /// Runs every due step of every queue until none is due now: for tests with a manual clock.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle(&self) -> Result<()> {
        loop {
            let mut worked = false;
            for reconciler in &self.inner().reconcilers {
                while let Some(work) = self.store().claim(reconciler.queue(), self.now(), LEASE.as_millis() as i64).await? {
                    step(self, &**reconciler, &work).await;
                    worked = true;
                }
            }
            if !worked {
                return Ok(());
            }
        }
    }
}

async fn work(kernel: Kernel, reconciler: Arc<dyn Reconciler>, mut closing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut signal = kernel.store().work_signal();
    while !*closing.borrow() {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        signal.mark_unchanged();
        match kernel.store().claim(reconciler.queue(), kernel.now(), LEASE.as_millis() as i64).await {
            Ok(Some(work)) => {
                let (kernel, reconciler) = (kernel.clone(), Arc::clone(&reconciler));
                tokio::spawn(async move {
                    step(&kernel, &*reconciler, &work).await;
                    drop(place);
                });
            }
            Ok(None) => {
                drop(place);
                let wait = match kernel.store().work_next(reconciler.queue()).await {
                    Ok(Some(due)) => Duration::from_millis(u64::try_from(due.millis() - kernel.now().millis()).unwrap_or(0))
                        .clamp(Duration::from_millis(5), IDLE),
                    _ => IDLE,
                };
                tokio::select! {
                    _ = signal.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                    _ = closing.changed() => {}
                }
            }
            Err(error) => {
                drop(place);
                tracing::error!(queue = reconciler.queue(), %error, "work cannot be claimed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    let _all_ended = places.acquire_many(PARALLEL as u32).await;
}

async fn step(kernel: &Kernel, reconciler: &dyn Reconciler, work: &Work) {
    let queue = reconciler.queue();
    let outcome = tokio::time::timeout(LEASE, reconciler.step(kernel, &work.key)).await;
    let mut batch = Batch::new();
    match outcome {
        Ok(Ok(Next::Done)) => _ = batch.finish_work(work),
        Ok(Ok(Next::After(wait))) => {
            _ = batch.release_work(work, kernel.now().plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
        }
        Ok(Err(error)) => {
            tracing::warn!(queue, key = %work.key, attempts = work.attempts, %error, "step failed");
            quarantine(kernel, work, &error.to_string(), &mut batch);
            batch.retry_work(work, kernel.now().plus_millis(backoff(work.attempts)));
        }
        Err(_) => {
            tracing::warn!(queue, key = %work.key, "step took longer than its lease");
            quarantine(kernel, work, "the step took longer than its lease", &mut batch);
            batch.retry_work(work, kernel.now().plus_millis(backoff(work.attempts)));
        }
    }
    match kernel.store().commit(batch).await {
        Ok(()) | Err(CommitError::LeaseLost { .. }) => {}
        // The lease runs out and the step is repeated.
        Err(error) => tracing::error!(queue, key = %work.key, %error, "a step's end cannot be stored"),
    }
}

/// Says why an item that failed too often waits.
fn quarantine(kernel: &Kernel, work: &Work, reason: &str, batch: &mut Batch) {
    if work.attempts < QUARANTINE {
        return;
    }
    let id = format!("{} {}", work.queue, work.key);
    let body = serde_json::json!({"attempts": work.attempts, "reason": reason});
    if let Ok(row) = Row::new(QUARANTINED, &Scope::global(""), id, kernel.now()).with(&body) {
        batch.put(row, Expect::Any);
    }
}

/// Milliseconds until the next attempt: 400 ms doubling to a minute; an hour in quarantine.
fn backoff(attempts: u32) -> i64 {
    if attempts >= QUARANTINE { 3_600_000 } else { (200_i64 << attempts.min(9)).min(60_000) }
}
