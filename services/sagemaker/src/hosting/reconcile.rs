//! Makes endpoints what their rows say.
//!
//! A step compares row and instances, starts and stops instances, and moves the status on when they are as
//! wanted. Each step is short: an instance prepares itself in a task of its own and has the row looked at when
//! it changes. A new fleet takes over in one commit; the old one's instances answer what they have begun.

use std::{sync::Arc, time::Duration};

use tenantry_core::{Result, Scope};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile::parse_key};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    deployment::{Deployment, Move},
    record::{self, Endpoint, Fleet},
    serving::{Readiness, Serving, unknown_size},
};
use crate::{Machinery, names, usage};

/// Between looks while something is under way. Instances report changes at once; this is for what they cannot.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Between looks at an endpoint that serves: after a restart of the server it is down at most this long.
const SETTLED: Duration = Duration::from_secs(10);

/// Instances for which there is no room for so long fail the endpoint, or its update.
pub(super) const INSUFFICIENT_AFTER: Duration = Duration::from_secs(1800);
/// What is then said, in AWS's words.
pub(super) const INSUFFICIENT: &str = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a \
                            different ML instance type or after some time.";

/// The reconciler of endpoints.
pub(super) struct Endpoints(Arc<Serving>);

impl Endpoints {
    pub fn new(machinery: &Arc<Machinery>) -> Self {
        Self(Serving::of(machinery))
    }
}

impl Reconciler for Endpoints {
    fn queue(&self) -> &'static str {
        names::ENDPOINT.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, id)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(names::ENDPOINT, &scope, id).await? else { return Ok(Next::Done) };
            let endpoint: Endpoint = row.body()?;
            match self.step(kernel, &scope, row, endpoint).await {
                // A request changed the row meanwhile: look again.
                Err(error) if error.code == "ConflictException" => Ok(Next::After(Duration::from_millis(100))),
                other => other,
            }
        })
    }
}

impl Endpoints {
    async fn step(&self, kernel: &Kernel, scope: &Scope, row: Row, mut endpoint: Endpoint) -> Result<Next> {
        let serving = &self.0;
        let wanted: Vec<_> = match row.status.as_str() {
            "Deleting" | "Failed" => Vec::new(),
            _ => endpoint.fleet.iter().chain(&endpoint.next).collect(),
        };
        serving.want(kernel, scope, &endpoint, &wanted);
        match row.status.as_str() {
            "Deleting" if serving.is_gone(scope, &row.id) => delete(kernel, row, &endpoint).await,
            "Deleting" => Ok(Next::After(UNDER_WAY)),
            "Failed" => Ok(Next::Done),
            "Creating" | "Updating" if endpoint.next.is_some() => self.roll_out(kernel, scope, row, endpoint).await,
            "RollingBack" => commit(kernel, row, &endpoint, "InService").await,
            "Updating" => self.resize(kernel, scope, row, endpoint).await,
            _ => {
                let fleet = endpoint.fleet.as_ref();
                if let Some(Readiness::Failed(reason)) = fleet.map(|fleet| serving.readiness(scope, &endpoint, fleet)) {
                    endpoint.failure = Some(clip(reason));
                    return commit(kernel, row, &endpoint, "Failed").await;
                }
                // The next look puts others in their places: a place whose container never serves is tried every ten seconds.
                serving.release_failed(scope, &endpoint);
                Ok(Next::After(SETTLED))
            }
        }
    }

    /// The next fleet takes over once all of it is ready, after the steps of its deployment. If it fails before that,
    /// the old one answers everything again.
    async fn roll_out(&self, kernel: &Kernel, scope: &Scope, row: Row, mut endpoint: Endpoint) -> Result<Next> {
        let Some(next) = endpoint.next.clone() else { return Ok(Next::After(UNDER_WAY)) };
        let now = kernel.now();
        let policy = endpoint.deployment.as_ref().filter(|_| endpoint.fleet.is_some());
        let deployment = policy.map(|policy| Deployment::read(policy, &next)).transpose()?.unwrap_or_default();
        let reason = match next.variants.iter().find(|variant| variant.size.limits(self.0.machinery()).is_none()) {
            Some(variant) => Some(unknown_size(variant).message),
            None => self
                .0
                .any_failure(scope, &endpoint, &next)
                .or_else(|| self.no_capacity(kernel, &row, scope, &endpoint, &next))
                .or_else(|| deployment.is_late(next.since, now)),
        };
        if let Some(reason) = reason {
            (endpoint.next, endpoint.shift) = (None, None);
            endpoint.failure = Some(clip(reason));
            let status = if endpoint.fleet.is_some() { "RollingBack" } else { "Failed" };
            if endpoint.fleet.is_none() {
                // What it was to be is still described.
                endpoint.next = Some(next);
            }
            return commit(kernel, row, &endpoint, status).await;
        }
        if endpoint.shift.is_none() && !matches!(self.0.readiness(scope, &endpoint, &next), Readiness::Ready) {
            return Ok(Next::After(UNDER_WAY));
        }
        match deployment.next(endpoint.shift.as_ref(), now) {
            Move::Wait(due) => {
                let left = u64::try_from(due.millis() - now.millis()).unwrap_or(0);
                Ok(Next::After(UNDER_WAY.min(Duration::from_millis(left))))
            }
            Move::Step(shift) => {
                endpoint.shift = Some(shift);
                commit(kernel, row, &endpoint, "Updating").await
            }
            Move::TakeOver => {
                (endpoint.fleet, endpoint.next, endpoint.shift) = (Some(next), None, None);
                commit(kernel, row, &endpoint, "InService").await
            }
        }
    }

    /// Why a fleet is given up that has waited for room for too long.
    fn no_capacity(&self, kernel: &Kernel, row: &Row, scope: &Scope, endpoint: &Endpoint, fleet: &Fleet) -> Option<String> {
        let waited = kernel.now().millis().saturating_sub(row.updated.millis());
        let late = waited >= i64::try_from(INSUFFICIENT_AFTER.as_millis()).unwrap_or(i64::MAX);
        (late && self.0.waits(scope, endpoint, fleet).is_some()).then(|| INSUFFICIENT.to_owned())
    }

    /// Weights change at once, counts when the new instances are ready.
    async fn resize(&self, kernel: &Kernel, scope: &Scope, row: Row, mut endpoint: Endpoint) -> Result<Next> {
        let Some(fleet) = endpoint.fleet.clone() else { return commit(kernel, row, &endpoint, "InService").await };
        let failure = self.0.any_failure(scope, &endpoint, &fleet).or_else(|| self.no_capacity(kernel, &row, scope, &endpoint, &fleet));
        if failure.is_none() && !matches!(self.0.readiness(scope, &endpoint, &fleet), Readiness::Ready) {
            return Ok(Next::After(UNDER_WAY));
        }
        for variant in endpoint.fleet.iter_mut().flat_map(|fleet| &mut fleet.variants) {
            if failure.is_some() {
                (variant.desired, variant.desired_weight) = (variant.current, variant.current_weight);
            } else {
                (variant.current, variant.current_weight) = (variant.desired, variant.desired_weight);
            }
        }
        let status = if failure.is_some() { "RollingBack" } else { "InService" };
        endpoint.failure = failure.map(clip);
        commit(kernel, row, &endpoint, status).await
    }
}

/// A failure reason has at most 1,024 characters.
fn clip(reason: String) -> String {
    if reason.chars().count() > 1024 { reason.chars().take(1024).collect() } else { reason }
}

async fn commit(kernel: &Kernel, mut row: Row, endpoint: &Endpoint, status: &str) -> Result<Next> {
    let mut batch = Batch::new();
    usage::change(&mut batch, &row.scope, &record::used(&row)?, &record::uses(endpoint, status), kernel.now());
    row.set_body(endpoint)?;
    row.status = status.to_owned();
    batch.update(row.at(kernel.now()));
    kernel.store().commit(batch).await?;
    // The next step stops what is not wanted any more.
    Ok(Next::After(Duration::ZERO))
}

async fn delete(kernel: &Kernel, row: Row, endpoint: &Endpoint) -> Result<Next> {
    let mut batch = Batch::new();
    usage::change(&mut batch, &row.scope, &record::used(&row)?, &usage::Uses::new(), kernel.now());
    batch.delete(names::ENDPOINT, &row.scope, &row.id, Expect::Version(row.version));
    batch.set_tags(endpoint.arn.as_str(), Vec::new());
    match kernel.store().commit(batch).await {
        Err(CommitError::NotFound { .. }) => Ok(Next::Done),
        done => {
            done?;
            Ok(Next::Done)
        }
    }
}
