//! Organizations: accounts in a tree, and the control policies above them.
//!
//! Actions are checked against the caller's own policies; then the caller's account must have the
//! standing that the operation needs (management account, delegated administrator, member).

mod accounts;
mod attach;
pub(crate) mod create_account;
mod delegation;
mod error;
pub(crate) mod org;
pub(crate) mod organization;
mod policies;
mod tags;
mod tree;

use tenantry_kernel::OperationRow;

/// Organizations' operations.
pub(crate) const TABLES: &[&[OperationRow]] = &[
    organization::TABLE,
    tree::TABLE,
    accounts::TABLE,
    create_account::TABLE,
    policies::TABLE,
    attach::TABLE,
    tags::TABLE,
    delegation::TABLE,
];
