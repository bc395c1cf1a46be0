//! StartLogging and StopLogging. A trail delivers what happens from its start on.

use tenantry_core::Result;
use tenantry_kernel::{Cx, Permit, Reply, reconcile::key_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use crate::{
    delivery::{FIRST, QUEUE},
    error,
    operation::operation,
    trail::{self, DELIVERY, NameInput, Progress, Trail, find_home},
};

operation!(StartLogging, ["trail"] + [] and [], NameInput, trail::resolve, start);
operation!(StopLogging, ["trail"] + [] and [], NameInput, trail::resolve, stop);

async fn start(cx: &Cx, permit: Permit<StartLogging>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find_home(cx, permit.account(), &input.name).await?;
    let mut trail: Trail = row.body()?;
    if trail.logging {
        return Ok(Reply::empty());
    }
    let store = cx.kernel.store();
    (trail.logging, trail.started) = (true, Some(cx.now()));
    let mut progress: Progress = match store.get(DELIVERY, &scope, &row.id).await? {
        Some(row) => row.body()?,
        None => Progress::default(),
    };
    // What happened while nobody logged is not delivered.
    progress.cursor = store.events(None, 1, true).await?.first().map_or(0, |event| event.seq);
    let mut batch = Batch::new();
    batch.put(Row::new(DELIVERY, &scope, row.id.clone(), cx.now()).with(&progress)?, Expect::Any);
    batch.enqueue(QUEUE, key_of(&scope, &row.id), cx.now().plus_millis(FIRST.as_millis() as i64));
    batch.update(row.with(&trail)?);
    done(cx.commit(batch).await)
}

async fn stop(cx: &Cx, permit: Permit<StopLogging>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find_home(cx, permit.account(), &input.name).await?;
    let mut trail: Trail = row.body()?;
    if !trail.logging {
        return Ok(Reply::empty());
    }
    (trail.logging, trail.stopped) = (false, Some(cx.now()));
    let mut batch = Batch::new();
    // What happened until now is still delivered.
    batch.enqueue(QUEUE, key_of(&scope, &row.id), cx.now());
    batch.update(row.with(&trail)?);
    done(cx.commit(batch).await)
}

fn done(committed: std::result::Result<(), CommitError>) -> Result<Reply> {
    match committed {
        Err(CommitError::Conflict { .. }) => Err(error::changed_meanwhile()),
        done => Ok(done.map(|()| Reply::empty())?),
    }
}
