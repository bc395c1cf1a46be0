//! IAM: users, groups, roles, policies, access keys, instance profiles.
//!
//! IAM is global: all rows are in the account's global scope, named without case. The documents are
//! those of [`tenantry_kernel::directory`], which authentication and authorization read on every
//! call; a change is in force when its commit is.

mod attached;
mod details;
mod document;
pub(crate) mod entity;
pub(crate) mod error;
mod groups;
mod inline;
pub(crate) mod keys;
mod linked;
pub(crate) mod policies;
mod profiles;
mod quota;
mod render;
mod roles;
mod settings;
mod simulate;
pub(crate) mod tags;
mod trust;
mod users;
mod versions;

use tenantry_kernel::OperationRow;

/// IAM's operations.
pub(crate) const TABLES: &[&[OperationRow]] = &[
    users::TABLE,
    keys::TABLE,
    groups::TABLE,
    roles::TABLE,
    linked::TABLE,
    inline::TABLE,
    attached::TABLE,
    policies::TABLE,
    versions::TABLE,
    profiles::TABLE,
    tags::TABLE,
    settings::TABLE,
    details::TABLE,
    simulate::TABLE,
];
