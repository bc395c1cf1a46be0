//! Service quotas: how many instances of a type an account uses, and whether it may use more.
//!
//! Each instance in use is a row `sagemaker.usage` below its quota's name, written with what uses it and removed with its
//! end, in the same commits; so the sum cannot drift. Who wants more counts the rows and also writes the quota's gate, as it
//! read it: of two who counted at the same time one has to count again, so a limit holds also for requests that race. A turn
//! in memory only keeps them from racing for nothing.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use tenantry_compute::quota::{self, Applied, Quota, Use};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::Kernel;
use tenantry_store::{Batch, ByScope, CommitError, Expect, Kind, Row};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::limit;

/// An instance in use; id: quota, user and index; parent: the quota's name.
const USED: Kind = Kind::new("sagemaker.usage");
/// Changes with every grant; id: the quota's name.
const GATE: Kind = Kind::new("sagemaker.usage-gate");
/// Values that were asked for.
const APPLIED: Kind = Kind::new(quota::APPLIED);
/// How often a request counts again when others were faster.
pub(crate) const RACES: usize = 50;

/// Instances in use, by quota and by what uses them.
pub(crate) type Uses = BTreeMap<(String, String), u64>;

/// Adds a use.
pub(crate) fn add(uses: &mut Uses, of: Use, instance_type: &str, user: impl Into<String>, count: u64) {
    if count > 0 {
        uses.insert((of.quota(instance_type).name, user.into()), count);
    }
}

/// Writes what is used from now on in place of what was.
pub(crate) fn change(batch: &mut Batch, scope: &Scope, before: &Uses, after: &Uses, now: Timestamp) {
    let id = |(quota, user): &(String, String), index: u64| format!("{quota}/{user}/{index}");
    for (of, count) in before {
        for index in after.get(of).copied().unwrap_or(0)..*count {
            batch.delete(USED, scope, id(of, index), Expect::Any);
        }
    }
    for (of, count) in after {
        for index in before.get(of).copied().unwrap_or(0)..*count {
            batch.put(Row::new(USED, scope, id(of, index), now).parent(&of.0), Expect::Any);
        }
    }
}

/// Whoever holds it need not fear to race for the same quotas in this process.
#[must_use]
pub(crate) struct Turn {
    _held: Vec<MutexGuard<'static, ()>>,
}

static TURNS: LazyLock<Vec<Mutex<()>>> = LazyLock::new(|| (0..64).map(|_| Mutex::default()).collect());

/// Waits for the turn of all quotas of which `after` uses more than `before`.
pub(crate) async fn turn(scope: &Scope, before: &Uses, after: &Uses) -> Turn {
    let place = |quota: &String| {
        let mut hasher = DefaultHasher::new();
        (scope.account.as_str(), scope.region.as_str(), quota).hash(&mut hasher);
        hasher.finish() as usize % TURNS.len()
    };
    // In one order for all, so that nobody waits in a circle.
    let places: std::collections::BTreeSet<usize> = more(before, after).keys().map(place).collect();
    let mut held = Vec::new();
    for place in places {
        held.push(TURNS[place].lock().await);
    }
    Turn { _held: held }
}

/// How much more is used, by quota.
fn more(before: &Uses, after: &Uses) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<&String, (u64, u64)> = BTreeMap::new();
    before.iter().for_each(|((quota, _), count)| sums.entry(quota).or_default().0 += count);
    after.iter().for_each(|((quota, _), count)| sums.entry(quota).or_default().1 += count);
    sums.into_iter().filter(|(_, (before, after))| after > before).map(|(quota, (before, after))| (quota.clone(), after - before)).collect()
}

/// Lets a batch go through only if what is used more stays within the account's quotas. It fails as [`raced`] when somebody was
/// faster.
///
/// # Errors
/// `ResourceLimitExceeded`.
pub(crate) async fn admit(kernel: &Kernel, scope: &Scope, batch: &mut Batch, before: &Uses, after: &Uses) -> Result<()> {
    for (name, delta) in more(before, after) {
        // First the gate: who counts is counted by those who read it later.
        let gate = kernel.store().get(GATE, scope, &name).await?;
        let most = value(kernel, scope, &name).await?;
        let used = kernel.store().count(USED, ByScope::Exact(scope), Some(&name)).await?;
        if used.saturating_add(delta) > most {
            return Err(limit(format!(
                "The account-level service limit '{name}' is {most} Instances, with current utilization of {used} Instances and a request \
                 delta of {delta} Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is \
                 not available, contact AWS support to request an increase for this quota."
            )));
        }
        let expect = gate.as_ref().map_or(Expect::Absent, |gate| Expect::Version(gate.version));
        batch.put(gate.unwrap_or_else(|| Row::new(GATE, scope, &name, kernel.now())).at(kernel.now()), expect);
    }
    Ok(())
}

/// What the account has of a quota.
async fn value(kernel: &Kernel, scope: &Scope, name: &str) -> Result<u64> {
    let known = quota::quotas().binary_search_by(|quota| quota.name.as_str().cmp(name)).ok();
    let Some(Quota { code, default, .. }) = known.map(|at| &quota::quotas()[at]) else { return Ok(0) };
    let applied = kernel.store().get(APPLIED, scope, code).await?;
    Ok(applied.map(|row| row.body::<Applied>()).transpose()?.map_or(*default, |applied| applied.value))
}

/// Whether somebody else was let in meanwhile: count again.
pub(crate) fn raced(error: &CommitError) -> bool {
    matches!(error, CommitError::Conflict { kind, .. } if *kind == GATE)
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
