//! CloudWatch Logs: groups, streams, events.
//!
//! Storage, shared with the services that write logs of jobs (they write it through the store, since
//! services do not import each other):
//!
//! - row `logs.group`, scope of the account and region, id = the group's name;
//! - row `logs.stream`, id = `<group>\0<stream>`, parent = the group's name;
//! - lines in the series `logs/<account>/<region>/<group>\0<stream>`.
//!
//! Not here: Insights queries, subscriptions, metric filters, KMS keys for groups (refused, not ignored).

mod events;
mod filter;
mod groups;
mod model;
mod streams;
mod tags;

use tenantry_kernel::OperationRow;

/// All operations.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [groups::table(), streams::table(), events::table(), tags::table()].concat()
}
