//! STS: temporary credentials.
//!
//! A session is a row with a secret and an opaque random token; nothing about it can be derived from
//! anything else, and no credential is made in any other way than here (and, for services' own role
//! sessions, in the kernel).

mod assume_role;
mod caller;
mod credentials;
mod decode;
mod error;
mod federated;
mod packed;
mod saml;
mod saml_attributes;
mod user_sessions;
mod web_identity;
mod web_identity_keys;

pub use federated::UsedAssertions;
use tenantry_kernel::OperationRow;
pub use web_identity_keys::{Issuers, Reach, ReachPolicy};

/// STS's operations.
pub(crate) const TABLES: &[&[OperationRow]] =
    &[assume_role::TABLE, caller::TABLE, user_sessions::TABLE, decode::TABLE, saml::TABLE, web_identity::TABLE];
