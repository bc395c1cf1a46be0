//! Service quotas of instance types: which there are, what they are called, and what an account has to begin with.
//!
//! AWS has a quota for each use of each instance type ("Amazon SageMaker AI endpoints and quotas"), and accounts begin
//! with values that differ. Here every account begins with the same ones, which are large: what runs at a time is decided
//! by the host's room and by turns, quotas only bound how much an account can have waiting or serving. AWS's codes are
//! arbitrary; here they follow from the name, so that they are the same on every instance.

use std::{collections::HashMap, sync::OnceLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::instance;

/// What instances are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// Training jobs, also those of tuning jobs.
    Training,
    /// Managed spot training.
    SpotTraining,
    /// Processing jobs.
    Processing,
    /// Batch transform.
    Transform,
    /// Endpoints.
    Endpoint,
}

/// All of them.
pub const USES: [Use; 5] = [Use::Training, Use::SpotTraining, Use::Processing, Use::Transform, Use::Endpoint];
/// Instances of a type that an account's jobs of one kind may have, waiting ones included, until it asks for more.
pub const DEFAULT_JOB_INSTANCES: u64 = 1000;
/// Instances of a type that an account's endpoints may have until it asks for more.
pub const DEFAULT_ENDPOINT_INSTANCES: u64 = 100;
/// More than this is not granted to anyone.
pub const MOST_INSTANCES: u64 = 10_000;
/// The kind of rows that hold values other than the defaults: scope of the account and region, id: the quota's code, body: [`Applied`].
pub const APPLIED: &str = "servicequotas.applied";

/// The value of a quota that was asked for and granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Instances.
    pub value: u64,
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// `L-` and eight hexadecimal digits.
    pub code: String,
    /// `ml.m5.xlarge for training job usage`.
    pub name: String,
    /// What an account begins with.
    pub default: u64,
}

impl Use {
    const fn words(self) -> &'static str {
        match self {
            Self::Training => "training job usage",
            Self::SpotTraining => "spot training job usage",
            Self::Processing => "processing job usage",
            Self::Transform => "transform job usage",
            Self::Endpoint => "endpoint usage",
        }
    }

    /// The quota of this use of a type, whether or not there is such a type.
    #[must_use]
    pub fn quota(self, instance_type: &str) -> Quota {
        let name = format!("{instance_type} for {}", self.words());
        let default = if self == Self::Endpoint { DEFAULT_ENDPOINT_INSTANCES } else { DEFAULT_JOB_INSTANCES };
        let code = Sha256::digest(&name).iter().take(4).fold("L-".to_owned(), |code, byte| format!("{code}{byte:02X}"));
        Quota { code, name, default }
    }
}

/// Every quota, by name.
#[must_use]
pub fn quotas() -> &'static [Quota] {
    static ALL: OnceLock<Vec<Quota>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Quota> = instance::names().iter().flat_map(|name| USES.map(|of| of.quota(name))).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    })
}

/// The quota with a code.
#[must_use]
pub fn quota(code: &str) -> Option<&'static Quota> {
    static BY_CODE: OnceLock<HashMap<&'static str, &'static Quota>> = OnceLock::new();
    BY_CODE.get_or_init(|| quotas().iter().map(|quota| (quota.code.as_str(), quota)).collect()).get(code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_of_every_type_has_one() {
        let wanted = Use::Training.quota("ml.m5.xlarge");
        assert_eq!((wanted.name.as_str(), wanted.default), ("ml.m5.xlarge for training job usage", DEFAULT_JOB_INSTANCES));
        assert_eq!(quota(&wanted.code), Some(&wanted));
        assert_eq!(Use::Endpoint.quota("ml.g5.48xlarge").default, DEFAULT_ENDPOINT_INSTANCES);
        assert_eq!(quota("L-00000000"), None);
        let codes: std::collections::HashSet<_> = quotas().iter().map(|quota| &quota.code).collect();
        assert_eq!(codes.len(), quotas().len(), "codes are unique");
        assert!(quotas().len() > 1000 && quotas().iter().all(|quota| quota.code.len() == 10));
    }
}
