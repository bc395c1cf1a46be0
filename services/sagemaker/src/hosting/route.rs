//! From an endpoint's name to an instance that takes the request.
//!
//! A variant is chosen by its share of the weights, an instance by how few requests it has. Where no instance
//! is ready the request waits a while: the server may just have been started, or a container anew.

use std::{sync::Arc, time::Duration};

use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Ids, Kernel, reconcile::key_of};
use tokio::time::Instant;

use super::{
    container,
    instance::{InFlight, Instance},
    record::{self, Endpoint, Fleet},
    serving::{self, Serving},
    variant::Variant,
};
use crate::names;

/// How long a request waits for an instance.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A request's way.
pub(crate) struct Route {
    /// The endpoint's name as it was made.
    pub endpoint: String,
    /// What serves it.
    pub fleet: Fleet,
    /// The variant's name.
    pub variant: String,
    /// The instance.
    pub instance: Arc<Instance>,
    /// Keeps the instance while the request runs.
    pub guard: InFlight,
}

/// `ValidationError`: what the runtime answers to bad requests.
pub(crate) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationError", message)
}

/// A number in 0..1.
pub(crate) fn chance() -> f64 {
    const DIGITS: u32 = 8;
    let drawn = u64::from_str_radix(&Ids::lower(DIGITS as usize), 36).unwrap_or(0);
    drawn as f64 / 36u64.pow(DIGITS) as f64
}

/// The variant for a number in 0..1.
fn by_weight(variants: &[Variant], chance: f64) -> Option<&Variant> {
    let sum: f64 = variants.iter().map(|variant| variant.current_weight).sum();
    let mut left = chance * sum;
    let weighted = variants.iter().find(|variant| {
        left -= variant.current_weight;
        left < 0.0
    });
    weighted.or(variants.first())
}

/// The fleet that serves an endpoint now, and the endpoint.
///
/// # Errors
/// `ValidationError` where there is none, or none that serves.
pub(crate) async fn serving_fleet(kernel: &Kernel, scope: &Scope, name: &str) -> Result<(Endpoint, Fleet)> {
    let missing = || invalid(format!("Endpoint {name} of account {} not found.", scope.account));
    let row = kernel.store().get(names::ENDPOINT, scope, &record::id(name)).await?.ok_or_else(missing)?;
    if matches!(row.status.as_str(), "Creating" | "Failed" | "Deleting") {
        return Err(missing());
    }
    let endpoint: Endpoint = row.body()?;
    let fleet = endpoint.fleet.clone().ok_or_else(missing)?;
    Ok((endpoint, fleet))
}

/// Finds an instance, waiting until `deadline` for one.
///
/// # Errors
/// `ValidationError` for what is not there, `ServiceUnavailable` when no instance is ready in time.
pub(crate) async fn find(kernel: &Kernel, scope: &Scope, name: &str, target: Option<&str>, deadline: Instant) -> Result<Route> {
    let serving = Serving::of(&container::machinery(kernel)?);
    let mut changes = serving.changes();
    let mut asked = false;
    loop {
        changes.mark_unchanged();
        let (endpoint, fleet) = serving_fleet(kernel, scope, name).await?;
        let fleet = match &endpoint.shift {
            Some(_) => endpoint.answering(chance(), target).cloned().unwrap_or(fleet),
            None => fleet,
        };
        let variant = match target {
            None => by_weight(&fleet.variants, chance()),
            Some(target) => fleet.variants.iter().find(|variant| variant.name == target),
        };
        let missing = || invalid(format!("Could not find variant \"{}\" of endpoint \"{}\".", target.unwrap_or_default(), endpoint.arn));
        let variant = variant.ok_or_else(missing)?.name.clone();
        if let Some((instance, guard)) = serving.pick(scope, name, &fleet.id, &variant) {
            return Ok(Route { endpoint: endpoint.name, fleet, variant, instance, guard });
        }
        if !asked {
            asked = true;
            serving::look_again(kernel, &key_of(scope, &record::id(name)));
        }
        if Instant::now() >= deadline {
            return Err(AwsError::new(503, "ServiceUnavailable", format!("No instance of variant {variant} is ready. Please try again.")));
        }
        // Also without news: the row may have changed.
        let next = deadline.min(Instant::now() + Duration::from_secs(1));
        drop(tokio::time::timeout_at(next, changes.changed()).await);
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::Arn;

    use super::*;
    use crate::hosting::{
        container::{Container, Source},
        variant::Size,
    };

    fn variant(name: &str, weight: f64) -> Variant {
        let role = Arn::parse("arn:aws:iam::123456789012:role/r").unwrap();
        let container = Container {
            model: "m".into(),
            image: "i".into(),
            source: Source::None,
            env: Default::default(),
            role,
            isolated: false,
            vpc: false,
            hostname: None,
            after: Vec::new(),
            direct: false,
        };
        Variant {
            name: name.into(),
            container,
            size: Size::Instance("ml.m5.large".into()),
            desired: 1,
            current: 1,
            desired_weight: weight,
            current_weight: weight,
            download_secs: 1,
            startup_secs: 1,
            volume_gib: 1,
        }
    }

    #[test]
    fn weights() {
        let variants = [variant("a", 1.0), variant("b", 0.0), variant("c", 3.0)];
        let of = |chance| by_weight(&variants, chance).unwrap().name.as_str();
        assert_eq!((of(0.0), of(0.249), of(0.25), of(0.999_999)), ("a", "a", "c", "c"));
        let none = [variant("a", 0.0), variant("b", 0.0)];
        assert_eq!(by_weight(&none, 0.5).unwrap().name, "a");
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..1.0).contains(&chance)));
    }

    /// A number in 0..1 after the other, the same for the same seed.
    fn numbers(mut seed: u64) -> impl FnMut() -> f64 {
        move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn many_requests_are_shared_by_weight() {
        const REQUESTS: u32 = 100_000;
        for (seed, weights) in [(1, [1.0, 1.0, 2.0]), (7, [0.1, 0.0, 0.9]), (42, [3.0, 5.0, 0.5])] {
            let variants = [variant("a", weights[0]), variant("b", weights[1]), variant("c", weights[2])];
            let (mut number, mut seen) = (numbers(seed), std::collections::BTreeMap::new());
            for _ in 0..REQUESTS {
                *seen.entry(by_weight(&variants, number()).unwrap().name.clone()).or_insert(0_u32) += 1;
            }
            let sum: f64 = weights.iter().sum();
            for (name, weight) in ["a", "b", "c"].iter().zip(weights) {
                let (wanted, got) = (weight / sum, f64::from(*seen.get(*name).unwrap_or(&0)) / f64::from(REQUESTS));
                // Five standard deviations of a binomial share.
                assert!((wanted - got).abs() <= 5.0 * (wanted * (1.0 - wanted) / f64::from(REQUESTS)).sqrt(), "{name}: {got} of {wanted}");
            }
        }
    }
}
