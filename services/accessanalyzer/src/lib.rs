//! IAM Access Analyzer, as far as it judges documents: `ValidatePolicy`.
//!
//! Keeps no state. Not here: analyzers, their findings, policy generation, custom policy checks.

mod validate;

use tenantry_kernel::OperationRow;

/// All operations.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<validate::ValidatePolicy>()]
}
