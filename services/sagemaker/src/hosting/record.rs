//! What is stored of an endpoint: the fleet that serves, and the one that is being made.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_compute::quota::Use;
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Ids, Kernel, reconcile::key_of};
use tenantry_store::{Batch, Row};

use super::{
    asynchronous,
    capture::Capture,
    config,
    deployment::Shift,
    variant::{Size, Variant},
};
use crate::{
    error::validation,
    names,
    usage::{self, Uses},
};

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
    /// How far traffic has moved to the next fleet.
    #[serde(default)]
    pub shift: Option<Shift>,
}

impl Endpoint {
    /// The fleet that answers a request, by a number in 0..1: while traffic moves, the next one answers its share. A
    /// variant that only one of them has is that one's.
    pub fn answering(&self, chance: f64, target: Option<&str>) -> Option<&Fleet> {
        let has = |fleet: &&Fleet| target.is_none_or(|target| fleet.variants.iter().any(|variant| variant.name == target));
        let serving = self.fleet.as_ref()?;
        let next = self.shift.as_ref().zip(self.next.as_ref()).filter(|(_, next)| has(next));
        match next {
            Some((shift, next)) if chance < shift.share || !has(&serving) => Some(next),
            _ => Some(serving),
        }
    }
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

/// The instances that an endpoint uses in a status: of the fleet that serves and of the one that is being made.
pub(super) fn uses(endpoint: &Endpoint, status: &str) -> Uses {
    let mut uses = Uses::new();
    if status == "Failed" {
        return uses;
    }
    for fleet in endpoint.fleet.iter().chain(&endpoint.next) {
        for variant in &fleet.variants {
            if let Size::Instance(instance_type) = &variant.size {
                let user = format!("{}/{}/{}", endpoint.arn, fleet.id, variant.name);
                usage::add(&mut uses, Use::Endpoint, instance_type, user, variant.desired.max(variant.current));
            }
        }
    }
    uses
}

/// The instances that a stored endpoint uses.
pub(super) fn used(row: &Row) -> Result<Uses> {
    Ok(uses(&row.body()?, &row.status))
}

/// Adds the changed row and its work to a batch: the reconciler looks at once.
pub(super) fn change(batch: &mut Batch, mut row: Row, endpoint: &Endpoint, status: &str, now: Timestamp) -> Result<()> {
    usage::change(batch, &row.scope, &used(&row)?, &uses(endpoint, status), now);
    row.set_body(endpoint)?;
    row.status = status.to_owned();
    batch.enqueue(names::ENDPOINT.as_str(), key_of(&row.scope, &row.id), now);
    batch.update(row.at(now));
    Ok(())
}
