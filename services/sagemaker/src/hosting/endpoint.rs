//! Endpoints: made, described, listed, deleted. Follows CreateEndpoint and its kin in the SageMaker API Reference.
//!
//! An operation writes what is wanted; `reconcile` makes it so.

use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, reconcile::key_of, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    config, container,
    deployment::Deployment,
    model::{paged, text},
    record::{self, Endpoint, Fleet, arn},
    serving::Serving,
    update,
    variant::Variant,
};
use crate::{
    error::{throttled, validation},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    tagging, usage,
};

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateEndpoint>(),
        OperationRow::of::<DescribeEndpoint>(),
        OperationRow::of::<ListEndpoints>(),
        OperationRow::of::<DeleteEndpoint>(),
    ]
}

operation!(CreateEndpoint, ["endpoint", "endpoint-config"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeEndpoint, ["endpoint"], Value, resolve_named, describe);
operation!(ListEndpoints, ["*"], Filter, resolve_list, list);
operation!(DeleteEndpoint, ["endpoint"], Value, resolve_named, delete);

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let scope = cx.scope();
    let arn = arn(&scope, text(input, "EndpointName"));
    let tags = tags_of(input, "Tags");
    let config = Check::on(action, config::arn(&scope, text(input, "EndpointConfigName"))).request_tags(&tags);
    let endpoint = Check::on(action, arn.clone()).request_tags(&tags);
    Ok(Checks::from(endpoint).and(config).and_if(tagging::on_create(&arn, &tags, "CreateEndpoint")))
}

async fn create(cx: &Cx, permit: Permit<CreateEndpoint>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    let name = text(&input, "EndpointName");
    let arn = arn(scope, name);
    let next = Fleet::plan(&cx.kernel, scope, text(&input, "EndpointConfigName")).await?;
    Deployment::read(&input["DeploymentConfig"], &next)?;
    let machinery = container::machinery(&cx.kernel)?;
    for variant in &next.variants {
        variant.container.check_images(&machinery)?;
    }
    let endpoint = Endpoint {
        name: name.to_owned(),
        arn: arn.clone(),
        fleet: None,
        next: Some(next),
        failure: None,
        source_identity: crate::author::source_identity(&cx.caller),
        deployment: Some(input["DeploymentConfig"].clone()).filter(Value::is_object),
        shift: None,
    };
    let row = Row::new(names::ENDPOINT, scope, record::id(name), cx.now()).name(name).status("Creating").with(&endpoint)?;
    let (before, after) = (usage::Uses::new(), record::uses(&endpoint, "Creating"));
    let turn = usage::turn(scope, &before, &after).await;
    for _ in 0..usage::RACES {
        let mut batch = Batch::new();
        usage::admit(&cx.kernel, scope, &mut batch, &before, &after).await?;
        usage::change(&mut batch, scope, &before, &after, cx.now());
        batch.put(row.clone(), Expect::Absent);
        batch.set_tags(arn.as_str(), tags.clone());
        batch.enqueue(names::ENDPOINT.as_str(), key_of(scope, &record::id(name)), cx.now());
        match cx.commit(batch).await {
            Err(error) if usage::raced(&error) => {}
            Err(CommitError::Conflict { .. }) => {
                return Err(validation(format!("Cannot create already existing endpoint \"{arn}\".")));
            }
            done => {
                done?;
                drop(turn);
                return Ok(Reply::new(json!({"EndpointArn": arn})));
            }
        }
    }
    Err(throttled())
}

async fn resolve_named(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), text(input, "EndpointName"))).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeEndpoint>, input: Value) -> Result<Reply> {
    let row = record::row(&cx.kernel, permit.scope(), text(&input, "EndpointName")).await?;
    let endpoint: Endpoint = row.body()?;
    let mut output = json!({
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointStatus": row.status,
        "CreationTime": row.created,
        "LastModifiedTime": row.updated,
    });
    if let Some(shown) = endpoint.fleet.as_ref().or(endpoint.next.as_ref()) {
        output["EndpointConfigName"] = json!(shown.config);
        let live = endpoint.fleet.is_some();
        // Before it first serves, AWS shows no variants.
        if live {
            output["ProductionVariants"] = shown.variants.iter().map(|variant| variant.summary(live, shown.since)).collect();
        }
        if let Some(capture) = &shown.capture {
            output["DataCaptureConfig"] = capture.summary(row.status == "InService");
        }
        if let Some(asynchronous) = &shown.asynchronous {
            output["AsyncInferenceConfig"] = asynchronous.document.clone();
        }
    }
    if let (Some(next), "Creating" | "Updating") = (&endpoint.next, row.status.as_str()) {
        let (status, since) = match &endpoint.shift {
            None => ("Creating", next.since),
            Some(shift) => (if shift.share < 1.0 { "ActivatingTraffic" } else { "Baking" }, shift.since),
        };
        let summary = |variant: &Variant| {
            let mut summary = variant.summary(false, next.since);
            summary["VariantStatus"] = json!([{"Status": status, "StartTime": since}]);
            summary
        };
        let mut variants: Vec<Value> = next.variants.iter().map(summary).collect();
        if let Some(waits) = Serving::of(&container::machinery(&cx.kernel)?).waits(permit.scope(), &endpoint, next) {
            let status = json!([{"Status": "Creating", "StatusMessage": waits.said(), "StartTime": next.since}]);
            variants.iter_mut().for_each(|variant| variant["VariantStatus"] = status.clone());
        }
        output["PendingDeploymentSummary"] =
            json!({"EndpointConfigName": next.config, "ProductionVariants": variants, "StartTime": next.since});
    }
    if let Some(reason) = &endpoint.failure {
        output["FailureReason"] = json!(reason);
    }
    if let Some(deployment) = &endpoint.deployment {
        output["LastDeploymentConfig"] = deployment.clone();
    }
    Ok(Reply::new(output))
}

async fn resolve_list(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListEndpoints>, filter: Filter) -> Result<Reply> {
    let scope = permit.scope();
    let page = listing::page(cx, scope, Shape::of(names::ENDPOINT), &filter, |_| true).await?;
    let summary = |row: &Row| {
        json!({
            "EndpointName": row.name,
            "EndpointArn": arn(scope, &row.name),
            "CreationTime": row.created,
            "LastModifiedTime": row.updated,
            "EndpointStatus": row.status,
        })
    };
    Ok(paged("Endpoints", page.rows.iter().map(summary).collect(), page.next_token))
}

async fn delete(cx: &Cx, permit: Permit<DeleteEndpoint>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let name = text(&input, "EndpointName");
    let row = record::row(&cx.kernel, scope, name).await?;
    let mut endpoint: Endpoint = row.body()?;
    // What is asked for while it goes is refused; what runs is ended by the reconciler.
    (endpoint.next, endpoint.shift) = (None, None);
    let mut batch = Batch::new();
    record::change(&mut batch, row, &endpoint, "Deleting", cx.now())?;
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(update::in_progress(&endpoint.arn)),
        done => {
            done?;
            Ok(Reply::empty())
        }
    }
}
