//! Training jobs and processing jobs: their operations, and running them.
//!
//! A Create call stores the request and puts the job into a queue; `step` takes it from there: it assumes the
//! execution role, downloads the inputs as that role (`transfer`, `data`), has the engine run the image's or the user's
//! command in a sandbox whose only way out is a broker (`container`), follows its log (`logs`, `metrics`), and
//! uploads what it leaves. What both kinds of jobs need is a `Plan`; `training` and `processing` make one from
//! a request and hold their operations. `data`, `archive`, `container` and `logs` also serve hosting.
//!
//! Not here: VPCs, KMS keys, pipe mode, registries' images, file systems, spot interruption, warm pools, debugger rules.
//! Those that matter to security are refused.

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

pub(crate) mod admission;
pub mod archive;
pub(crate) mod container;
pub(crate) mod data;
mod home;
mod live;
pub(crate) mod logs;
pub mod metrics;
mod plan;
mod processing;
mod reason;
mod record;
mod step;
#[cfg(test)]
pub(crate) mod tests;
mod training;
mod transfer;
pub(crate) mod trial;
mod update;
pub(crate) mod uri;
mod verbs;

use record::Of;

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [training::table(), update::table(), processing::table()].concat()
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers(machinery: &Arc<crate::Machinery>) -> Vec<Arc<dyn Reconciler>> {
    let admission = admission::Admission::of(machinery);
    let jobs = |of| Arc::new(step::Jobs::new(of, machinery, &admission)) as Arc<dyn Reconciler>;
    vec![jobs(Of::Training), jobs(Of::Processing)]
}
