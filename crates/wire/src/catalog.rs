//! The embedded models. A service is one row here, beside its row in `models/operations.toml`.

use std::sync::OnceLock;

use crate::{load::load, model::Service};

struct Entry {
    /// The model's name.
    name: &'static str,
    /// The host name's first part where it is not the name.
    endpoint: &'static str,
    /// What stands before the dot of `X-Amz-Target`; empty for other protocols.
    target: &'static str,
    text: &'static str,
    loaded: OnceLock<Service>,
}

macro_rules! entries {
    ($($name:literal $endpoint:literal $target:literal,)*) => {
        [$(Entry {
            name: $name,
            endpoint: $endpoint,
            target: $target,
            text: include_str!(concat!("../../../models/", $name, ".json")),
            loaded: OnceLock::new(),
        }),*]
    };
}

// Endpoint and target are repeated from the models so that finding a service parses no other; a test compares.
static ENTRIES: [Entry; 11] = entries![
    "accessanalyzer" "access-analyzer" "",
    "cloudtrail" "cloudtrail" "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
    "iam" "iam" "",
    "logs" "logs" "Logs_20140328",
    "organizations" "organizations" "AWSOrganizationsV20161128",
    "s3" "s3" "",
    "sagemaker" "api.sagemaker" "SageMaker",
    "sagemaker-runtime" "runtime.sagemaker" "",
    "service-quotas" "servicequotas" "ServiceQuotasV20190624",
    "sts" "sts" "",
    "tenantry" "tenantry" "Tenantry",
];

impl Entry {
    fn get(&'static self) -> &'static Service {
        self.loaded.get_or_init(|| load(self.text))
    }
}

/// A service by its model's name (`sagemaker-runtime`) or its endpoint's prefix (`runtime.sagemaker`).
#[must_use]
pub fn service(endpoint_or_name: &str) -> Option<&'static Service> {
    ENTRIES.iter().find(|entry| entry.name == endpoint_or_name || entry.endpoint == endpoint_or_name).map(Entry::get)
}

/// All services. Parses every model that was not used yet.
pub fn services() -> impl Iterator<Item = &'static Service> {
    ENTRIES.iter().map(Entry::get)
}

pub(crate) fn by_target_prefix(prefix: &str) -> Option<&'static Service> {
    ENTRIES.iter().find(|entry| !entry.target.is_empty() && entry.target == prefix).map(Entry::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_agree_with_models() {
        for entry in &ENTRIES {
            let service = entry.get();
            assert_eq!(entry.name, service.name);
            assert_eq!(entry.endpoint, service.endpoint_prefix);
            assert_eq!(entry.target, service.target_prefix.as_deref().unwrap_or_default());
            assert!(service.operations().count() > 0);
        }
    }

    #[test]
    fn every_listed_operation_is_modelled() {
        let listed = include_str!("../../../models/operations.toml");
        for service in services() {
            for operation in service.operations() {
                assert!(listed.contains(&format!("\"{}\"", operation.name)), "{} {}", service.name, operation.name);
            }
        }
    }

    #[test]
    fn found_by_target_and_endpoint() {
        let (found, op) = Service::from_target("SageMaker.CreateModel").unwrap();
        assert_eq!((found.name.as_str(), op.name.as_str()), ("sagemaker", "CreateModel"));
        assert!(Service::from_target("SageMaker.Nothing").is_none());
        assert!(Service::from_target(".CreateModel").is_none());
        assert!(Service::from_target("CreateModel").is_none());
        assert_eq!(service("runtime.sagemaker").unwrap().name, "sagemaker-runtime");
        assert_eq!(service("sagemaker-runtime").unwrap().signing_name, "sagemaker");
        assert!(service("").is_none());
    }
}
