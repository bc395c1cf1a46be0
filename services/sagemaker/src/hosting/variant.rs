//! A production variant: which model on how many instances, with which share of the traffic.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_compute::{Limits, MAX_PIDS, instance};
use tenantry_core::{Result, Scope};
use tenantry_kernel::Kernel;

use super::{
    container::{Container, refuse},
    model,
};
use crate::{
    Machinery,
    error::{limit, validation},
    jobs::container::instance_limits,
};

/// Instances that the variants of one endpoint may have together.
pub(crate) const MAX_INSTANCES: u64 = 20;
/// Where the configuration does not say: seconds until model data must be there.
const DOWNLOAD_SECS: u64 = 1200;
/// Where the configuration does not say: seconds until a container must answer its ping.
const STARTUP_SECS: u64 = 480;
/// Where the configuration does not say: GiB that model data may have.
const VOLUME_GIB: u64 = 30;
/// A serverless variant has one virtual processor for so many MiB.
const MIB_PER_CPU: u64 = 1769;

/// Members that nothing here honours.
const REFUSED: [&str; 8] = [
    "AcceleratorType",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InstancePools",
    "VariantInstanceProvisionTimeoutInSeconds",
    "CapacityReservationConfig",
    "AcceleratorPartitionLayouts",
    "ManagedInstanceScaling",
];

/// A variant as an endpoint runs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// `AllTraffic`.
    pub name: String,
    /// What its instances run.
    pub container: Container,
    /// What they are.
    pub size: Size,
    /// Instances that it shall have.
    pub desired: u64,
    /// Instances that it had when it last was as desired.
    pub current: u64,
    /// Its share of the traffic shall be this over the sum.
    pub desired_weight: f64,
    /// Its share now.
    pub current_weight: f64,
    /// Seconds for the model's data.
    pub download_secs: u64,
    /// Seconds until the container answers its ping.
    pub startup_secs: u64,
    /// What model data may fill, in GiB.
    pub volume_gib: u64,
}

/// How large an instance is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Size {
    /// `ml.m5.large`.
    Instance(String),
    /// `MemorySizeInMB`, `MaxConcurrency`: one sandbox of that size that always runs.
    Serverless {
        /// MiB.
        memory: u64,
        /// Requests at a time.
        concurrency: u64,
        /// As asked for.
        config: Value,
    },
}

impl Size {
    /// What an instance may use on this host.
    pub fn limits(&self, machinery: &Machinery) -> Option<Limits> {
        match self {
            Self::Instance(name) => instance_limits(machinery, name),
            Self::Serverless { memory, .. } => {
                let memory_bytes = (memory << 20).min(machinery.host.memory_bytes / 5 * 4);
                let cpu_millis = (memory * 1000 / MIB_PER_CPU).clamp(500, u64::from(machinery.host.cpus) * 1000);
                Some(Limits { memory_bytes, cpu_millis, pids: MAX_PIDS, tmp_bytes: memory_bytes / 2, disk_bytes: None })
            }
        }
    }
}

/// Checks the `ProductionVariants` of a configuration without looking at models.
///
/// # Errors
/// `ValidationException` naming the member, `ResourceLimitExceeded`.
pub(super) fn check(variants: &[Value]) -> Result<()> {
    let mut instances = 0;
    for (index, variant) in variants.iter().enumerate() {
        let name = &variant["VariantName"];
        if variants[..index].iter().any(|other| other["VariantName"] == *name) {
            return Err(validation(format!("Duplicate variant name {name} in ProductionVariants.")));
        }
        if variant["ModelName"].as_str().is_none() {
            return Err(validation(
                "ModelName is required in each production variant: inference components are not supported by this instance.",
            ));
        }
        refuse(variant, &REFUSED)?;
        let routing = variant["RoutingConfig"]["RoutingStrategy"].as_str();
        if routing.is_some_and(|strategy| !matches!(strategy, "RANDOM" | "LEAST_OUTSTANDING_REQUESTS")) {
            return Err(validation("RoutingStrategy must be RANDOM or LEAST_OUTSTANDING_REQUESTS on this instance."));
        }
        if variant["InitialVariantWeight"].as_f64().is_some_and(|weight| weight < 0.0) {
            return Err(validation("InitialVariantWeight must not be negative."));
        }
        match (variant["InstanceType"].as_str(), &variant["ServerlessConfig"]) {
            (Some(_), Value::Object(_)) => return Err(validation("InstanceType and ServerlessConfig cannot be given together.")),
            (Some(name), _) if instance(name).is_none() => {
                return Err(validation(format!("InstanceType {name} is not known by this instance.")));
            }
            (None, Value::Object(_)) => instances += 1,
            (None, _) => return Err(validation("Each production variant needs an InstanceType or a ServerlessConfig.")),
            (Some(_), _) => match variant["InitialInstanceCount"].as_u64() {
                Some(count) => instances += count,
                None => return Err(validation("InitialInstanceCount is required with InstanceType.")),
            },
        }
    }
    within_limit(instances)
}

/// Refuses more instances than an endpoint may have.
///
/// # Errors
/// `ResourceLimitExceeded`.
pub(super) fn within_limit(instances: u64) -> Result<()> {
    if instances > MAX_INSTANCES {
        return Err(limit(format!(
            "The account-level service limit 'Instances for one endpoint' is {MAX_INSTANCES} Instances, with a request delta of {instances} Instances."
        )));
    }
    Ok(())
}

impl Variant {
    /// A checked production variant with its model as it is now.
    ///
    /// # Errors
    /// `ValidationException` when the model does not exist.
    pub async fn place(kernel: &Kernel, scope: &Scope, document: &Value) -> Result<Self> {
        let number = |member: &str, default: u64| document[member].as_u64().unwrap_or(default);
        let serverless = &document["ServerlessConfig"];
        let (size, count) = match document["InstanceType"].as_str() {
            Some(name) => (Size::Instance(name.to_owned()), number("InitialInstanceCount", 1)),
            None => {
                let of = |member: &str| serverless[member].as_u64().unwrap_or(1);
                (Size::Serverless { memory: of("MemorySizeInMB"), concurrency: of("MaxConcurrency"), config: serverless.clone() }, 1)
            }
        };
        let weight = document["InitialVariantWeight"].as_f64().unwrap_or(1.0);
        Ok(Self {
            name: model::text(document, "VariantName").to_owned(),
            container: model::get(kernel, scope, model::text(document, "ModelName")).await?.container,
            size,
            desired: count,
            current: count,
            desired_weight: weight,
            current_weight: weight,
            download_secs: number("ModelDataDownloadTimeoutInSeconds", DOWNLOAD_SECS),
            startup_secs: number("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECS),
            volume_gib: number("VolumeSizeInGB", VOLUME_GIB),
        })
    }

    /// As `DescribeEndpoint` shows it; `live` when it serves.
    pub fn summary(&self, live: bool, since: tenantry_core::Timestamp) -> Value {
        let deployed = |image: &String| json!({"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": since});
        let images: Vec<Value> = self.container.all().map(|container| deployed(&container.image)).collect();
        let mut summary = json!({
            "VariantName": self.name,
            "DeployedImages": images,
            "DesiredWeight": self.desired_weight,
            "DesiredInstanceCount": self.desired,
        });
        if live {
            summary["CurrentWeight"] = json!(self.current_weight);
            summary["CurrentInstanceCount"] = json!(self.current);
        }
        if let Size::Serverless { config, .. } = &self.size {
            summary["CurrentServerlessConfig"] = config.clone();
            summary["DesiredServerlessConfig"] = config.clone();
            for count in ["DesiredInstanceCount", "CurrentInstanceCount"] {
                if let Some(members) = summary.as_object_mut() {
                    members.remove(count);
                }
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(with: Value) -> Value {
        let mut variant = json!({"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1});
        for (name, value) in with.as_object().unwrap() {
            variant[name] = value.clone();
        }
        variant
    }

    #[test]
    fn variants_are_checked() {
        assert!(check(&[variant(json!({}))]).is_ok());
        assert!(check(&[variant(json!({"InitialInstanceCount": MAX_INSTANCES}))]).is_ok());
        assert!(
            check(&[variant(json!({"InstanceType": null, "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}}))]).is_ok()
        );
        assert_eq!(check(&[variant(json!({"InitialInstanceCount": MAX_INSTANCES + 1}))]).unwrap_err().code, "ResourceLimitExceeded");
        for wrong in [
            json!({"ModelName": null}),
            json!({"InstanceType": null}),
            json!({"InitialInstanceCount": null}),
            json!({"InstanceType": "ml.zz.large"}),
            json!({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}}),
            json!({"EnableSSMAccess": true}),
            json!({"AcceleratorType": "ml.eia1.medium"}),
            json!({"InitialVariantWeight": -1.0}),
            json!({"RoutingConfig": {"RoutingStrategy": "KV_AWARE"}}),
        ] {
            assert_eq!(check(&[variant(wrong.clone())]).unwrap_err().code, "ValidationException", "{wrong}");
        }
        assert!(check(&[variant(json!({})), variant(json!({}))]).unwrap_err().message.contains("Duplicate"));
    }
}
