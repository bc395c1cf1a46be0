//! What is stored of an endpoint: the fleet that serves, and the one that is being made.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Ids, Kernel, reconcile::key_of};
use tenantry_store::{Batch, Row};

use super::{asynchronous, capture::Capture, config, variant::Variant};
use crate::{error::validation, names};

/// What an endpoint's row holds; its status is the row's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// As it was named.
    pub name: String,
    /// Lower case.
    pub arn: Arn,
    /// The fleet that answers invocations.
    pub fleet: Option<Fleet>,
    /// The fleet that will, once all of it is ready.
    pub next: Option<Fleet>,
    /// Why it failed, or why its last update did.
    pub failure: Option<String>,
    /// Of whoever made it; carried on to its role sessions.
    pub source_identity: Option<String>,
    /// As the last update asked for.
    pub deployment: Option<Value>,
}

/// Instances made from one configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fleet {
    /// Tells apart fleets of the same endpoint: names of sandboxes come from it.
    pub id: String,
    /// The configuration's name.
    pub config: String,
    /// Its variants.
    pub variants: Vec<Variant>,
    /// What is recorded of requests.
    pub capture: Option<Capture>,
    /// Where asynchronous answers go.
    pub asynchronous: Option<asynchronous::Config>,
    /// When it was asked for.
    pub since: Timestamp,
}

impl Fleet {
    /// A fleet of a configuration, with the models as they are now.
    ///
    /// # Errors
    /// `ValidationException` when the configuration or a model does not exist.
    pub async fn plan(kernel: &Kernel, scope: &Scope, name: &str) -> Result<Self> {
        let config = config::get(kernel, scope, name).await?;
        let mut variants = Vec::new();
        for variant in config["ProductionVariants"].as_array().into_iter().flatten() {
            variants.push(Variant::place(kernel, scope, variant).await?);
        }
        Ok(Self {
            id: Ids::lower(12),
            config: config["EndpointConfigName"].as_str().unwrap_or(name).to_owned(),
            variants,
            capture: Capture::read(&config["DataCaptureConfig"])?,
            asynchronous: asynchronous::Config::read(&config["AsyncInferenceConfig"])?,
            since: kernel.now(),
        })
    }

    /// Instances that it shall have.
    pub fn instances(&self) -> u64 {
        self.variants.iter().map(|variant| variant.desired).sum()
    }
}

/// The row's id.
pub(crate) fn id(name: &str) -> String {
    name.to_lowercase()
}

/// `arn:aws:sagemaker:R:A:endpoint/<name>`.
pub(crate) fn arn(scope: &Scope, name: &str) -> Arn {
    names::arn(scope, "endpoint", name)
}

/// `Could not find endpoint "arn…".`
pub(crate) fn missing(scope: &Scope, name: &str) -> AwsError {
    validation(format!("Could not find endpoint \"{}\".", arn(scope, name)))
}

/// An endpoint's row.
///
/// # Errors
/// `ValidationException` where there is none.
pub(super) async fn row(kernel: &Kernel, scope: &Scope, name: &str) -> Result<Row> {
    kernel.store().get(names::ENDPOINT, scope, &id(name)).await?.ok_or_else(|| missing(scope, name))
}

/// Adds the changed row and its work to a batch: the reconciler looks at once.
pub(super) fn change(batch: &mut Batch, mut row: Row, endpoint: &Endpoint, status: &str, now: Timestamp) -> Result<()> {
    row.set_body(endpoint)?;
    row.status = status.to_owned();
    batch.enqueue(names::ENDPOINT.as_str(), key_of(&row.scope, &row.id), now);
    batch.update(row.at(now));
    Ok(())
}
