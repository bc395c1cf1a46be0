//! How long events are kept: as long as LookupEvents finds them on AWS, and no more than a disk bears.
//!
//! Explanations of denials go with the events that name them.

use std::time::Duration;

use tenantry_core::{AccountId, Result, Scope, Timestamp};
use tenantry_store::{Batch, Event, Expect};

use super::DENIAL;
use crate::{
    kernel::Kernel,
    reconcile::{Next, Reconciler, StepFuture},
};

/// Days that events are kept ("Working with CloudTrail event history", AWS CloudTrail User Guide).
pub const KEPT_DAYS: i64 = 90;
/// Events that are kept at most, the newest.
pub const MOST_EVENTS: u64 = 10_000_000;
/// Events that are removed in one step.
const TOGETHER: usize = 2000;
/// How often one looks.
const EVERY: Duration = Duration::from_secs(3600);
/// The queue, and its only key.
const QUEUE: &str = "audit.retention";

/// Removes old events.
pub struct Retention {
    days: i64,
    most: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: KEPT_DAYS, most: MOST_EVENTS }
    }
}

impl Retention {
    /// With other limits.
    #[must_use]
    pub fn of(days: i64, most: u64) -> Self {
        Self { days, most }
    }

    /// Makes the first look due.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin(kernel: &Kernel) -> Result<()> {
        let mut batch = Batch::new();
        batch.behind().enqueue(QUEUE, QUEUE, kernel.now());
        Ok(kernel.store().commit(batch).await?)
    }

    /// Whether an event may go: it is old, or too many follow it.
    fn is_over(&self, event: &Event, newest: u64, now: Timestamp) -> bool {
        event.time < now.plus_secs(-self.days * 86_400) || newest - event.seq >= self.most
    }
}

impl Reconciler for Retention {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, _: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let store = kernel.store();
            let newest = store.events(None, 1, true).await?.first().map_or(0, |event| event.seq);
            let mut oldest = store.events(None, TOGETHER, false).await?;
            let over = oldest.iter().take_while(|event| self.is_over(event, newest, kernel.now())).count();
            // A chain of which nothing is left but what says that it was pruned is left alone.
            oldest.truncate(over);
            let Some(last) = oldest.last().filter(|last| last.seq < newest) else { return Ok(Next::After(EVERY)) };
            let mut batch = Batch::new();
            batch.behind();
            for event in &oldest {
                forget_explanations(event, &mut batch);
            }
            batch.prune_events(kernel.now(), last.seq);
            store.commit(batch).await?;
            Ok(Next::After(if over == TOGETHER { Duration::from_millis(100) } else { EVERY }))
        })
    }
}

/// Removes the explanations of the denials of a call.
fn forget_explanations(event: &Event, batch: &mut Batch) {
    if !event.text.contains(r#""explanations":["#) {
        return;
    }
    let Ok(whole) = event.json() else { return };
    let account = whole.pointer("/recipientAccountId").and_then(|account| account.as_str()).unwrap_or_default();
    let scope = Scope::global(AccountId::from(account));
    let ids = whole.pointer("/additionalEventData/explanations").and_then(|ids| ids.as_array());
    for id in ids.into_iter().flatten().filter_map(|id| id.as_str()) {
        batch.delete(DENIAL, &scope, id, Expect::Any);
    }
}
