//! images (being written)

use tenantry_kernel::OperationRow;

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    Vec::new()
}
