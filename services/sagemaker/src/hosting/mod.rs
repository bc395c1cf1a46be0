//! hosting (being written)

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

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
