//! Identity: the services IAM, STS and Organizations.
//!
//! These operations write the directory that the kernel's authentication and authorization read. What
//! a policy means is not decided here (the policy crate does that); who may call is decided by the
//! kernel; this crate keeps the rows true: names unique, documents parsed, references in both
//! directions, quotas, secrets answered once.
//!
//! The reading order: `operation` (how an operation is declared), `iam::entity` (what all of IAM has
//! in common), then any file of a noun.

mod account;
mod bootstrap;
mod iam;
mod managed;
mod organizations;
mod page;
mod sts;
mod tenantry;

pub use bootstrap::{Administrator, bootstrap};
pub use managed::managed;
pub use organizations::create_account::CreateAccounts;
pub use sts::{Issuers, Reach, ReachPolicy, UsedAssertions};
use tenantry_kernel::OperationRow;

/// The operations of the three services, and of ours.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [iam::TABLES, sts::TABLES, organizations::TABLES, tenantry::TABLES]
        .into_iter()
        .flatten()
        .flat_map(|table| table.iter().copied())
        .collect()
}
