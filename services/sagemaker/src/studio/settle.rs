//! What becomes of what was asked for: `Pending` and `Updating` end `InService`, `Deleting` ends in nothing.
//!
//! An app ends `Failed`, because nothing serves it. What is deleted is looked at once more: something may have come
//! to hang on it between the request and here, and then it stays, as `Delete_Failed` with the reason.

use std::time::Duration;

use tenantry_core::{Result, Scope};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile::parse_key};
use tenantry_store::{Batch, CommitError, Expect, Kind, List, Row};

use super::{
    APP, DOMAIN, PROFILE, SPACE,
    domain_record::{OWNERS, SLOTS, TOTAL, slot},
    record::{self, Record},
};

/// How long a deleted app is listed.
const LISTED: Duration = Duration::from_secs(24 * 3600);
/// Apps that are forgotten in one commit.
const TOGETHER: usize = 200;
/// Why no app is `InService`.
const NO_APPLICATION: &str = "ConfigurationError: applications are not available on this instance yet: nothing would serve the app.";

/// Domains.
pub(super) struct Domains;
/// User profiles.
pub(super) struct Profiles;
/// Spaces.
pub(super) struct Spaces;
/// Apps.
pub(super) struct Apps;

macro_rules! settles {
    ($name:ident, $kind:expr, $step:ident) => {
        impl Reconciler for $name {
            fn queue(&self) -> &'static str {
                $kind.as_str()
            }
            fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
                Box::pin(async move {
                    match parse_key(key) {
                        Some((scope, id)) => $step(kernel, $kind, &scope, id).await,
                        None => Ok(Next::Done),
                    }
                })
            }
        }
    };
}

settles!(Domains, DOMAIN, step);
settles!(Profiles, PROFILE, step);
settles!(Spaces, SPACE, step);
settles!(Apps, APP, step_app);

/// Stores what a step came to; a row that was changed meanwhile is looked at again.
async fn store(kernel: &Kernel, batch: Batch, then: Next) -> Result<Next> {
    match kernel.store().commit(batch).await {
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Ok(Next::After(Duration::ZERO)),
        done => done.map(|()| then).map_err(Into::into),
    }
}

/// The row with another status.
fn becomes(kernel: &Kernel, row: Row, status: &str, failure: Option<String>) -> Result<Batch> {
    let mut record: Record = row.body()?;
    record.failure = failure;
    let mut batch = Batch::new();
    batch.update(row.status(status).at(kernel.now()).with(&record)?);
    Ok(batch)
}

/// The row gone, with its tags.
fn gone(row: &Row) -> Result<Batch> {
    let record: Record = row.body()?;
    let mut batch = Batch::new();
    batch.delete(row.kind, &row.scope, &*row.id, Expect::Version(row.version));
    batch.set_tags(record.arn, Vec::new());
    Ok(batch)
}

async fn step(kernel: &Kernel, kind: Kind, scope: &Scope, id: &str) -> Result<Next> {
    let Some(row) = kernel.store().get(kind, scope, id).await? else { return Ok(Next::Done) };
    match row.status.as_str() {
        "Pending" | "Updating" => store(kernel, becomes(kernel, row, "InService", None)?, Next::Done).await,
        "Deleting" => {
            if let Some(by) = record::dependants(kernel, &row).await? {
                let why = record::held(kind, &row.body::<Record>()?.arn, by);
                return store(kernel, becomes(kernel, row, "Delete_Failed", Some(why))?, Next::Done).await;
            }
            let mut batch = Batch::new();
            if !forget_apps(kernel, &row, &mut batch).await? {
                return store(kernel, batch, Next::After(Duration::ZERO)).await;
            }
            batch.append_batch(gone(&row)?);
            if kind == DOMAIN {
                for number in 1..=TOTAL {
                    let place = slot(scope, number);
                    if kernel.store().unique(SLOTS, &place).await?.as_deref() == Some(id) {
                        batch.release_unique(SLOTS, place);
                    }
                }
                batch.release_unique(OWNERS, format!("{}/{id}", scope.region));
            }
            store(kernel, batch, Next::Done).await
        }
        _ => Ok(Next::Done),
    }
}

/// Apps that failed or are listed as deleted go with what they were of. `false` where there are more of them
/// than one commit takes.
async fn forget_apps(kernel: &Kernel, row: &Row, batch: &mut Batch) -> Result<bool> {
    let domain = row.id.split('/').next().unwrap_or_default();
    let mut left = TOGETHER;
    for app in kernel.store().list(&List::of(APP, &row.scope).parent(domain)).await? {
        let record: Record = app.body()?;
        let of = match row.kind {
            PROFILE => record.text("UserProfileName").eq_ignore_ascii_case(&row.name),
            SPACE => record.text("SpaceName").eq_ignore_ascii_case(&row.name),
            _ => true,
        };
        if !of {
            continue;
        }
        if left == 0 {
            return Ok(false);
        }
        left -= 1;
        batch.append_batch(gone(&app)?);
    }
    Ok(true)
}

async fn step_app(kernel: &Kernel, kind: Kind, scope: &Scope, id: &str) -> Result<Next> {
    let Some(row) = kernel.store().get(kind, scope, id).await? else { return Ok(Next::Done) };
    match row.status.as_str() {
        "Pending" => store(kernel, becomes(kernel, row, "Failed", Some(NO_APPLICATION.to_owned()))?, Next::Done).await,
        "Deleting" => {
            let mut batch = becomes(kernel, row.clone(), "Deleted", None)?;
            batch.set_tags(row.body::<Record>()?.arn, Vec::new());
            store(kernel, batch, Next::After(LISTED)).await
        }
        // Looked at sooner than a day after it was deleted, it waits on.
        "Deleted" if kernel.now() < row.updated.plus_secs(LISTED.as_secs() as i64) => Ok(Next::After(LISTED)),
        "Deleted" => store(kernel, gone(&row)?, Next::Done).await,
        _ => Ok(Next::Done),
    }
}
