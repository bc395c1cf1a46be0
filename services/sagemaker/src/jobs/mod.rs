//! Training jobs and processing jobs: their operations, and running them.

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

pub(crate) mod archive;
pub(crate) mod container;
pub(crate) mod data;
pub(crate) mod logs;
pub(crate) mod uri;

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    Vec::new()
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers(_machinery: &Arc<crate::Machinery>) -> Vec<Arc<dyn Reconciler>> {
    Vec::new()
}
