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
mod packed;
mod user_sessions;

use tenantry_kernel::OperationRow;

/// STS's operations.
pub(crate) const TABLES: &[&[OperationRow]] = &[assume_role::TABLE, caller::TABLE, user_sessions::TABLE, decode::TABLE];
