//! The one writer: a thread that gathers what waits into one transaction, so that many commits share
//! one fsync. Each batch has its own savepoint: one that is refused does not fail its neighbours.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tenantry_core::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::{fault, recent::Recent, write};
use crate::{Batch, CommitError, StoreError, Work, batch::Write};

/// The most batches in one transaction: bounds what a failing disk takes down, and the wait of the first.
const GROUP: usize = 256;
/// How many may wait before those who commit wait to be heard at all.
pub(super) const QUEUE: usize = 1024;

/// What the writer is asked to do.
pub(super) enum Job {
    Commit { batch: Batch, reply: oneshot::Sender<Result<(), CommitError>> },
    Claim { queue: String, now: Timestamp, lease_ms: i64, reply: oneshot::Sender<Result<Option<Work>, StoreError>> },
}

/// What the process learns of commits.
pub(super) struct Signals {
    pub(super) revision: AtomicU64,
    pub(super) work: watch::Sender<u64>,
}

/// A job that waits for the transaction to be durable; also one that was refused, since what it was
/// refused for may be in the same transaction and is not true before that is committed.
enum Pending {
    Commit { reply: oneshot::Sender<Result<(), CommitError>>, answer: Result<(), CommitError>, principals: bool, work: bool },
    Claim { reply: oneshot::Sender<Result<Option<Work>, StoreError>>, answer: Result<Option<Work>, StoreError> },
}

/// Runs until every sender is gone.
pub(super) fn run(mut sql: Connection, mut jobs: mpsc::Receiver<Job>, signals: &Signals, recent: &Recent) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        commit(&mut sql, group, signals, recent);
    }
}

fn commit(sql: &mut Connection, group: Vec<Job>, signals: &Signals, recent: &Recent) {
    let mut pending = Vec::with_capacity(group.len());
    let changed: Vec<_> = group.iter().flat_map(writes).filter_map(|write| recent.changed(write)).collect();
    let done = transaction(sql, group, &mut pending, || recent.commit_begins(&changed));
    recent.commit_ended(&changed);
    if done.is_err() && !sql.is_autocommit() {
        // Failing here leaves the transaction open; the next BEGIN then fails and says so to its callers.
        let _ = sql.execute_batch("ROLLBACK");
    }
    if done.is_ok() {
        announce(&pending, signals);
    }
    for job in pending {
        // Whoever does not listen any more has given up waiting; the commit stands.
        match job {
            Pending::Commit { reply, answer, .. } => drop(reply.send(done.clone().map_err(CommitError::Store).and(answer))),
            Pending::Claim { reply, answer } => drop(reply.send(done.clone().and(answer))),
        }
    }
}

/// What a job writes.
fn writes(job: &Job) -> &[Write] {
    match job {
        Job::Commit { batch, .. } => &batch.writes,
        Job::Claim { .. } => &[],
    }
}

/// Before anybody hears that a commit is done, caches must know.
fn announce(pending: &[Pending], signals: &Signals) {
    if pending.iter().any(|job| matches!(job, Pending::Commit { answer: Ok(()), principals: true, .. })) {
        signals.revision.fetch_add(1, Ordering::SeqCst);
    }
    if pending.iter().any(|job| matches!(job, Pending::Commit { answer: Ok(()), work: true, .. })) {
        signals.work.send_modify(|n| *n += 1);
    }
}

/// Applies all jobs and commits; `ready` is told before others can see it. An error is everybody's.
fn transaction(sql: &mut Connection, group: Vec<Job>, pending: &mut Vec<Pending>, ready: impl FnOnce()) -> Result<(), StoreError> {
    let mut broken = sql.execute_batch("BEGIN IMMEDIATE").map_err(fault);
    for job in group {
        match job {
            Job::Commit { batch, reply } => {
                let (principals, work) = (batch.touches_principals(), batch.touches_work());
                let answer = within(sql, &mut broken, |sql| write::apply(sql, batch));
                pending.push(Pending::Commit { reply, answer, principals, work });
            }
            Job::Claim { queue, now, lease_ms, reply } => {
                let answer = within(sql, &mut broken, |sql| write::claim(sql, &queue, now, lease_ms).map_err(fault));
                pending.push(Pending::Claim { reply, answer });
            }
        }
    }
    broken?;
    ready();
    sql.execute_batch("COMMIT").map_err(fault)
}

/// Runs one job in a savepoint. `broken` is set once the whole transaction is lost: some faults (a full
/// disk) make SQLite roll back everything, and then nobody in the group may be told that it went well.
fn within<T, E: From<StoreError> + ToString>(
    sql: &Connection,
    broken: &mut Result<(), StoreError>,
    job: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    broken.clone()?;
    let mut lose = |error: StoreError| {
        *broken = Err(error.clone());
        E::from(error)
    };
    sql.execute_batch("SAVEPOINT job").map_err(|e| lose(fault(e)))?;
    let done = job(sql);
    if sql.is_autocommit() {
        let cause = done.err().map_or_else(|| "the transaction was rolled back".to_owned(), |e| e.to_string());
        return Err(lose(StoreError::Unavailable(cause)));
    }
    let end = if done.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    sql.execute_batch(end).map_err(|e| lose(fault(e)))?;
    done
}
