//! CloudTrail: the history of management events, and trails that deliver events to buckets.
//!
//! The events themselves are the kernel's (`tenantry_kernel::audit`): this service reads them and makes
//! none. A trail is a row `cloudtrail.trail` (scope: account and home region, id: its name) and, apart
//! from it, how far it has got: a row `cloudtrail.delivery` under the same id, which only its
//! [`Delivery`] writes.
//!
//! Not here, and refused by name: organization trails, KMS keys, SNS topics, CloudWatch Logs groups, log
//! file validation; nor channels, dashboards, event data stores, Insights.

mod delivery;
mod error;
mod logging;
mod lookup;
mod manage;
mod operation;
mod read;
mod selectors;
mod tags;
#[cfg(test)]
mod tests;
mod trail;

pub use delivery::Delivery;
use tenantry_kernel::OperationRow;

/// All operations.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<lookup::LookupEvents>(),
        OperationRow::of::<manage::CreateTrail>(),
        OperationRow::of::<manage::UpdateTrail>(),
        OperationRow::of::<manage::DeleteTrail>(),
        OperationRow::of::<read::GetTrail>(),
        OperationRow::of::<read::DescribeTrails>(),
        OperationRow::of::<read::ListTrails>(),
        OperationRow::of::<read::GetTrailStatus>(),
        OperationRow::of::<logging::StartLogging>(),
        OperationRow::of::<logging::StopLogging>(),
        OperationRow::of::<selectors::PutEventSelectors>(),
        OperationRow::of::<selectors::GetEventSelectors>(),
        OperationRow::of::<tags::AddTags>(),
        OperationRow::of::<tags::RemoveTags>(),
        OperationRow::of::<tags::ListTags>(),
    ]
}
