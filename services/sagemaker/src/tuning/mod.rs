//! Automatic model tuning: training jobs with hyperparameters searched for, until the best are found.
//!
//! A tuning job is a row and a reconciler ([`drive`]); its training jobs are training jobs, with the tuning job as the
//! parent of their rows. What is searched is [`space`], how is [`search`] (with the model in [`gauss`]); both are pure, and all
//! chance comes from the job's seed. What is accepted is [`request`]'s to say.
//!
//! Not here, and refused by name: Hyperband, Autotune, warm starts, convergence detection.

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

mod control;
mod create;
mod drive;
mod gauss;
mod random;
mod read;
mod record;
mod request;
mod search;
mod space;
mod stopping;
#[cfg(test)]
mod tests;

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [create::table(), read::table(), control::table()].concat()
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers() -> Vec<Arc<dyn Reconciler>> {
    vec![Arc::new(drive::Driver)]
}
