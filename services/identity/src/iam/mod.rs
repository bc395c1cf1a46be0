//! IAM: users, groups, roles, policies, access keys, instance profiles.
//!
//! IAM is global: all rows are in the account's global scope, named without case. The documents are
//! those of [`tenantry_kernel::directory`], which authentication and authorization read on every
//! call; a change is in force when its commit is.

mod attached;
mod attempts;
mod certificates;
mod context_keys;
mod credential_report;
mod der;
mod details;
mod document;
pub(crate) mod entity;
pub(crate) mod error;
mod granting;
mod groups;
mod held_policies;
mod inline;
pub(crate) mod keys;
mod last_accessed;
mod last_used;
mod linked;
mod login;
mod mfa;
pub(crate) mod mfa_codes;
pub(crate) mod oidc_providers;
mod owned;
mod password;
mod password_policy;
pub(crate) mod policies;
mod profiles;
pub(crate) mod providers;
mod qr;
mod quota;
mod render;
mod roles;
pub(crate) mod saml_providers;
mod service_credentials;
mod settings;
mod simulate;
mod ssh_keys;
pub(crate) mod tags;
mod totp;
mod trust;
mod users;
mod versions;

use tenantry_kernel::OperationRow;

/// IAM's operations.
pub(crate) const TABLES: &[&[OperationRow]] = &[
    users::TABLE,
    keys::TABLE,
    login::TABLE,
    password_policy::TABLE,
    mfa::TABLE,
    mfa_codes::TABLE,
    ssh_keys::TABLE,
    certificates::TABLE,
    service_credentials::TABLE,
    credential_report::TABLE,
    last_accessed::TABLE,
    granting::TABLE,
    context_keys::TABLE,
    groups::TABLE,
    roles::TABLE,
    linked::TABLE,
    inline::TABLE,
    attached::TABLE,
    policies::TABLE,
    versions::TABLE,
    profiles::TABLE,
    tags::TABLE,
    saml_providers::TABLE,
    oidc_providers::TABLE,
    settings::TABLE,
    details::TABLE,
    simulate::TABLE,
];
