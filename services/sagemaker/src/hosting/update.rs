//! UpdateEndpoint and UpdateEndpointWeightsAndCapacities: a new fleet, or other numbers for the one that serves.
//!
//! A new fleet is complete before the old one gets no more requests, and the old one ends when it has
//! answered: traffic moves all at once. Canary, linear and rolling deployments are refused.

use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::{Batch, CommitError};

use super::{
    config, container,
    model::text,
    record::{self, Endpoint, Fleet, arn},
    variant::{Size, Variant, within_limit},
};
use crate::{error::validation, operation::operation};

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<UpdateEndpoint>(), OperationRow::of::<UpdateEndpointWeightsAndCapacities>()]
}

operation!(UpdateEndpoint, ["endpoint", "endpoint-config"], Value, resolve_update, update);
operation!(UpdateEndpointWeightsAndCapacities, ["endpoint"], Value, resolve_capacities, capacities);

/// `Cannot update in-progress endpoint "arn…".`
pub(super) fn in_progress(arn: &Arn) -> AwsError {
    validation(format!("Cannot update in-progress endpoint \"{arn}\"."))
}

/// Refuses deployments that do not move all traffic at once.
///
/// # Errors
/// `ValidationException`.
pub(super) fn check_deployment(deployment: &Value) -> Result<()> {
    container::refuse(deployment, &["RollingUpdatePolicy", "AutoRollbackConfiguration"])?;
    match deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"].as_str() {
        None | Some("ALL_AT_ONCE") => Ok(()),
        Some(other) => Err(validation(format!("Traffic routing {other} is not supported by this instance: use ALL_AT_ONCE."))),
    }
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let scope = cx.scope();
    let endpoint = Check::on(action, arn(&scope, text(input, "EndpointName")));
    Ok(Checks::from(endpoint).and(Check::on(action, config::arn(&scope, text(input, "EndpointConfigName")))))
}

async fn update(cx: &Cx, permit: Permit<UpdateEndpoint>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    check_deployment(&input["DeploymentConfig"])?;
    let row = record::row(&cx.kernel, scope, text(&input, "EndpointName")).await?;
    let mut endpoint: Endpoint = row.body()?;
    let Some(serving) = endpoint.fleet.as_ref().filter(|_| row.status == "InService") else { return Err(in_progress(&endpoint.arn)) };
    let mut next = Fleet::plan(&cx.kernel, scope, text(&input, "EndpointConfigName")).await?;
    let machinery = container::machinery(&cx.kernel)?;
    for variant in &next.variants {
        container::serving_image(&machinery, &variant.container.image, variant.container.multi_model())?;
    }
    if input["RetainAllVariantProperties"] == json!(true) {
        retain(&mut next, serving, &input["ExcludeRetainedVariantProperties"]);
    }
    within_limit(next.instances())?;
    if input["RetainDeploymentConfig"] != json!(true) {
        endpoint.deployment = Some(input["DeploymentConfig"].clone()).filter(Value::is_object);
    }
    endpoint.next = Some(next);
    endpoint.failure = None;
    store(cx, row, endpoint).await
}

async fn store(cx: &Cx, row: tenantry_store::Row, endpoint: Endpoint) -> Result<Reply> {
    let mut batch = Batch::new();
    record::change(&mut batch, row, &endpoint, "Updating", cx.now())?;
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(in_progress(&endpoint.arn)),
        done => {
            done?;
            Ok(Reply::new(json!({"EndpointArn": endpoint.arn})))
        }
    }
}

/// Variants that keep their name keep their numbers.
fn retain(next: &mut Fleet, serving: &Fleet, excluded: &Value) {
    let kept = |what: &str| !excluded.as_array().into_iter().flatten().any(|property| property["VariantPropertyType"] == json!(what));
    for variant in &mut next.variants {
        let Some(before) = serving.variants.iter().find(|before| before.name == variant.name) else { continue };
        if kept("DesiredInstanceCount") && !matches!(variant.size, Size::Serverless { .. }) {
            (variant.desired, variant.current) = (before.desired, before.desired);
        }
        if kept("DesiredWeight") {
            (variant.desired_weight, variant.current_weight) = (before.desired_weight, before.desired_weight);
        }
    }
    if kept("DataCaptureConfig") {
        next.capture.clone_from(&serving.capture);
    }
}

async fn resolve_capacities(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), text(input, "EndpointName"))).into())
}

async fn capacities(cx: &Cx, permit: Permit<UpdateEndpointWeightsAndCapacities>, input: Value) -> Result<Reply> {
    let row = record::row(&cx.kernel, permit.scope(), text(&input, "EndpointName")).await?;
    let mut endpoint: Endpoint = row.body()?;
    let arn = endpoint.arn.clone();
    let Some(fleet) = endpoint.fleet.as_mut().filter(|_| row.status == "InService") else { return Err(in_progress(&arn)) };
    for wish in input["DesiredWeightsAndCapacities"].as_array().into_iter().flatten() {
        let name = text(wish, "VariantName");
        let variant = fleet.variants.iter_mut().find(|variant| variant.name == name);
        adjust(variant.ok_or_else(|| validation(format!("Could not find variant \"{name}\" in endpoint \"{arn}\".")))?, wish)?;
    }
    within_limit(fleet.instances())?;
    if fleet.variants.iter().all(|variant| variant.desired_weight <= 0.0) {
        return Err(validation("At least one variant must have a weight above 0."));
    }
    endpoint.failure = None;
    store(cx, row, endpoint).await
}

fn adjust(variant: &mut Variant, wish: &Value) -> Result<()> {
    container::refuse(wish, &["ServerlessUpdateConfig"])?;
    if let Some(weight) = wish["DesiredWeight"].as_f64() {
        if weight < 0.0 {
            return Err(validation("DesiredWeight must not be negative."));
        }
        variant.desired_weight = weight;
    }
    match (wish["DesiredInstanceCount"].as_i64(), &variant.size) {
        (None, _) => Ok(()),
        (Some(_), Size::Serverless { .. }) => Err(validation("DesiredInstanceCount is not for serverless variants.")),
        (Some(..1), _) => Err(validation("DesiredInstanceCount must be at least 1.")),
        (Some(count), _) => {
            variant.desired = count.unsigned_abs();
            Ok(())
        }
    }
}
