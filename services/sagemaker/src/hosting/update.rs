//! UpdateEndpoint and UpdateEndpointWeightsAndCapacities: a new fleet, or other numbers for the one that serves.
//!
//! A new fleet is complete before it gets a request, and the old one ends when it has answered what it was asked. How
//! traffic moves between them is `deployment`'s.

use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::{Batch, CommitError};

use super::{
    config, container,
    deployment::Deployment,
    model::text,
    record::{self, Endpoint, Fleet, arn},
    variant::{Size, Variant, within_limit},
};
use crate::{
    error::{throttled, validation},
    operation::operation,
    usage,
};

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

async fn resolve_update(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let scope = cx.scope();
    let endpoint = Check::on(action, arn(&scope, text(input, "EndpointName")));
    Ok(Checks::from(endpoint).and(Check::on(action, config::arn(&scope, text(input, "EndpointConfigName")))))
}

async fn update(cx: &Cx, permit: Permit<UpdateEndpoint>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let row = record::row(&cx.kernel, scope, text(&input, "EndpointName")).await?;
    let mut endpoint: Endpoint = row.body()?;
    let Some(serving) = endpoint.fleet.as_ref().filter(|_| row.status == "InService") else { return Err(in_progress(&endpoint.arn)) };
    let mut next = Fleet::plan(&cx.kernel, scope, text(&input, "EndpointConfigName")).await?;
    let machinery = container::machinery(&cx.kernel)?;
    for variant in &next.variants {
        variant.container.check_images(&machinery)?;
    }
    if input["RetainAllVariantProperties"] == json!(true) {
        retain(&mut next, serving, &input["ExcludeRetainedVariantProperties"]);
    }
    within_limit(next.instances())?;
    if input["RetainDeploymentConfig"] == json!(true) && input["DeploymentConfig"].is_object() {
        return Err(validation("DeploymentConfig and RetainDeploymentConfig cannot be specified together."));
    }
    if input["RetainDeploymentConfig"] != json!(true) {
        endpoint.deployment = Some(input["DeploymentConfig"].clone()).filter(Value::is_object);
    }
    Deployment::read(endpoint.deployment.as_ref().unwrap_or(&Value::Null), &next)?;
    (endpoint.next, endpoint.shift) = (Some(next), None);
    endpoint.failure = None;
    store(cx, row, endpoint).await
}

async fn store(cx: &Cx, row: tenantry_store::Row, endpoint: Endpoint) -> Result<Reply> {
    let (before, after) = (record::used(&row)?, record::uses(&endpoint, "Updating"));
    let turn = usage::turn(&row.scope, &before, &after).await;
    for _ in 0..usage::RACES {
        let mut batch = Batch::new();
        usage::admit(&cx.kernel, &row.scope, &mut batch, &before, &after).await?;
        record::change(&mut batch, row.clone(), &endpoint, "Updating", cx.now())?;
        match cx.commit(batch).await {
            Err(error) if usage::raced(&error) => {}
            Err(CommitError::Conflict { .. }) => return Err(in_progress(&endpoint.arn)),
            done => {
                done?;
                drop(turn);
                return Ok(Reply::new(json!({"EndpointArn": endpoint.arn})));
            }
        }
    }
    Err(throttled())
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
