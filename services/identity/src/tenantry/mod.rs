//! Questions about authorization that AWS has no operations for.
//!
//! A service of its own, so that no name of AWS's is taken: actions are `tenantry:…`, requests are signed for
//! `tenantry` (JSON protocol, `X-Amz-Target: Tenantry.<Operation>`). Callers are told what concerns their own
//! account; what another account has said about its resources stays there.

mod error;
mod explain;
mod reach;

use tenantry_kernel::OperationRow;

/// The service's operations.
pub(crate) const TABLES: &[&[OperationRow]] = &[explain::TABLE, reach::TABLE];
