//! Service Quotas: what an account may use of SageMaker's instance types, and asking for more.
//!
//! Which quotas there are is data of the compute crate ([`tenantry_compute::quota`]); SageMaker enforces them and reads the
//! values that are granted here. A request is decided at once, by one rule for everybody: up to
//! [`tenantry_compute::quota::MOST_INSTANCES`] it is approved, above it is not. Both are recorded.
//!
//! Not here: quotas of other services, templates of organizations, support cases, automatic management, tags.

mod change;
mod page;
mod read;
#[cfg(test)]
mod tests;

use serde_json::Value;
use tenantry_compute::quota::{self, Quota};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::OperationRow;

/// The one service that has quotas.
const SAGEMAKER: &str = "sagemaker";
/// Its name for people.
const SAGEMAKER_NAME: &str = "Amazon SageMaker";

/// All operations.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<read::ListServices>(),
        OperationRow::of::<read::ListServiceQuotas>(),
        OperationRow::of::<read::GetServiceQuota>(),
        OperationRow::of::<read::ListAWSDefaultServiceQuotas>(),
        OperationRow::of::<read::GetAWSDefaultServiceQuota>(),
        OperationRow::of::<change::RequestServiceQuotaIncrease>(),
        OperationRow::of::<change::GetRequestedServiceQuotaChange>(),
        OperationRow::of::<change::ListRequestedServiceQuotaChangeHistory>(),
        OperationRow::of::<change::ListRequestedServiceQuotaChangeHistoryByQuota>(),
    ]
}

/// `operation!(GetServiceQuota, ["quota"] + ["servicequotas:service"], resolve, handle)`; inputs are whole documents.
macro_rules! operation {
    ($name:ident, $types:tt + $keys:tt, $resolve:expr, $handle:expr) => {
        tenantry_kernel::operation!("service-quotas" as "servicequotas", $name, $types + $keys, serde_json::Value, $resolve, $handle);
    };
}
use operation;

fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap_or_default()
}

fn missing(what: &str) -> AwsError {
    AwsError::new(400, "NoSuchResourceException", format!("The request failed because the specified {what} does not exist."))
}

fn illegal(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "IllegalArgumentException", message)
}

/// The service that an input names.
///
/// # Errors
/// `NoSuchResourceException`.
fn service(input: &Value) -> Result<()> {
    if text(input, "ServiceCode") == SAGEMAKER { Ok(()) } else { Err(missing("service")) }
}

/// The quota that an input names.
///
/// # Errors
/// `NoSuchResourceException`.
fn named(input: &Value) -> Result<&'static Quota> {
    service(input)?;
    quota::quota(text(input, "QuotaCode")).ok_or_else(|| missing("quota"))
}

fn arn(scope: &Scope, service: &str, code: &str) -> Arn {
    Arn::new("servicequotas", scope.region.as_str(), scope.account.as_str(), format_args!("{service}/{code}"))
}
