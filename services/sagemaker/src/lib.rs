//! SageMaker: pipelines, jobs, models, endpoints, the model registry, experiments, Studio's control plane, and the runtime.
//!
//! Operations write rows and put work into queues; reconcilers do the work, each as the role session
//! that the row names. Data moves by S3 operations through the kernel, so a role that may not read a
//! bucket fails its job as on AWS.

pub mod author;
pub mod error;
pub mod experiments;
pub mod hosting;
pub mod images;
pub mod jobs;
pub mod listing;
pub mod names;
mod operation;
pub mod pipelines;
pub mod registry;
pub mod studio;
pub mod tagging;
pub mod tuning;
mod usage;
mod vpc;
#[cfg(test)]
mod world;

use std::{path::PathBuf, sync::Arc};

use tenantry_compute::{Compute, HostCapacity, Images};
use tenantry_kernel::{OperationRow, Reconciler};

/// What reconcilers and the runtime need besides the kernel. Provided to the kernel once, at composition.
pub struct Machinery {
    /// Runs jobs and servers.
    pub engine: Arc<dyn Compute>,
    /// What image URIs mean here.
    pub images: Images,
    /// What this host has; instance types are scaled onto it.
    pub host: HostCapacity,
    /// Directories of jobs and endpoints, brokers' sockets. Emptied when the server starts.
    pub work: PathBuf,
    /// The certificate bundle that sandboxes trust: the instance's CA and the system's.
    pub ca_bundle: PathBuf,
}

/// All operations of `sagemaker` and `sagemaker-runtime`.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [
        tagging::table(),
        pipelines::table(),
        jobs::table(),
        tuning::table(),
        hosting::table(),
        registry::table(),
        experiments::table(),
        images::table(),
        studio::table(),
    ]
    .concat()
}

/// All reconcilers.
#[must_use]
pub fn reconcilers(machinery: &Arc<Machinery>) -> Vec<Arc<dyn Reconciler>> {
    [pipelines::reconcilers(), jobs::reconcilers(machinery), tuning::reconcilers(), hosting::reconcilers(machinery), studio::reconcilers()]
        .concat()
}
