//! Endpoint configurations: which variants an endpoint has. Follows CreateEndpointConfig in the SageMaker API Reference.
//!
//! A configuration never changes; an endpoint copies what it needs when it is made or updated.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Kernel, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    asynchronous, capture,
    container::refuse,
    model::{self, paged, text},
    variant,
};
use crate::{
    error::validation,
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    tagging, vpc,
};

/// Members that nothing here honours. A key that would encrypt storage is refused, not ignored.
const REFUSED: [&str; 8] = [
    "KmsKeyId",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "ExecutionRoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
    "CrossRegionTrafficConfig",
    "MetricsConfig",
];

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateEndpointConfig>(),
        OperationRow::of::<DescribeEndpointConfig>(),
        OperationRow::of::<ListEndpointConfigs>(),
        OperationRow::of::<DeleteEndpointConfig>(),
    ]
}

/// What a configuration's row holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    /// As asked for, without tags.
    pub request: Value,
}

pub(super) fn arn(scope: &Scope, name: &str) -> Arn {
    names::arn(scope, "endpoint-config", name)
}

fn missing(scope: &Scope, name: &str) -> AwsError {
    validation(format!("Could not find endpoint configuration \"{}\".", arn(scope, name)))
}

/// A configuration that exists.
///
/// # Errors
/// `ValidationException` where there is none.
pub(super) async fn get(kernel: &Kernel, scope: &Scope, name: &str) -> Result<Value> {
    let row = kernel.store().get(names::ENDPOINT_CONFIG, scope, &name.to_lowercase()).await?;
    Ok(row.ok_or_else(|| missing(scope, name))?.body::<Config>()?.request)
}

const KEYS: [&str; 11] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:NetworkIsolation",
    "sagemaker:VolumeKmsKey",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:VpcSubnets",
    "sagemaker:InstanceTypes",
    "sagemaker:AcceleratorTypes",
    "sagemaker:ModelArn",
    "sagemaker:ServerlessMemorySize",
    "sagemaker:ServerlessMaxConcurrency",
];

operation!(CreateEndpointConfig, ["endpoint-config"] + KEYS and ["iam:PassRole", "sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeEndpointConfig, ["endpoint-config"], Value, resolve_named, describe);
operation!(ListEndpointConfigs, ["*"], Filter, resolve_list, list);
operation!(DeleteEndpointConfig, ["endpoint-config"], Value, resolve_named, delete);

fn variants(input: &Value) -> &[Value] {
    input["ProductionVariants"].as_array().map_or(&[], Vec::as_slice)
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let scope = cx.scope();
    let arn = arn(&scope, text(input, "EndpointConfigName"));
    let tags = tags_of(input, "Tags");
    let of = |member: &str| variants(input).iter().filter_map(|variant| variant[member].as_str().map(str::to_owned)).collect::<Vec<_>>();
    let mut check = Check::on(action, arn.clone()).request_tags(&tags);
    for (key, values) in [("sagemaker:InstanceTypes", of("InstanceType")), ("sagemaker:AcceleratorTypes", of("AcceleratorType"))] {
        if !values.is_empty() {
            check = check.list(key, values);
        }
    }
    check = check.key_of("sagemaker:ModelArn", of("ModelName").iter().map(|name| names::arn(&scope, "model", name).to_string()));
    // Members that are refused below have their keys all the same: a policy's no comes first.
    check = vpc::keys(check, &input["VpcConfig"])
        .key_if("sagemaker:NetworkIsolation", input["EnableNetworkIsolation"].as_bool().map(|on| on.to_string()))
        .key_if("sagemaker:VolumeKmsKey", input["KmsKeyId"].as_str().filter(|key| !key.is_empty()));
    for (key, member) in [("sagemaker:ServerlessMemorySize", "MemorySizeInMB"), ("sagemaker:ServerlessMaxConcurrency", "MaxConcurrency")] {
        let largest = variants(input).iter().filter_map(|variant| variant["ServerlessConfig"][member].as_u64()).max();
        check = check.key_if(key, largest.map(|number| number.to_string()));
    }
    let role = input["ExecutionRoleArn"].as_str().map(|role| Arn::parse(role).map_err(|_| validation(format!("Invalid role ARN: {role}"))));
    let role = role.transpose()?.map(|role| Check::pass_role_for(role, names::PRINCIPAL, &arn));
    Ok(Checks::from(check).and_if(role).and_if(tagging::on_create(&arn, &tags, "CreateEndpointConfig")))
}

async fn create(cx: &Cx, permit: Permit<CreateEndpointConfig>, mut input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    let name = text(&input, "EndpointConfigName").to_owned();
    let arn = arn(scope, &name);
    refuse(&input, &REFUSED)?;
    variant::check(variants(&input))?;
    capture::Capture::read(&input["DataCaptureConfig"])?;
    asynchronous::Config::read(&input["AsyncInferenceConfig"])?;
    for variant in variants(&input) {
        model::get(&cx.kernel, scope, text(variant, "ModelName")).await?;
    }
    if let Some(members) = input.as_object_mut() {
        members.remove("Tags");
    }
    let row = Row::new(names::ENDPOINT_CONFIG, scope, name.to_lowercase(), cx.now()).name(&name).with(&Config { request: input })?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.set_tags(arn.as_str(), tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(validation(format!("Cannot create already existing endpoint configuration \"{arn}\"."))),
        done => {
            done?;
            Ok(Reply::new(json!({"EndpointConfigArn": arn})))
        }
    }
}

async fn resolve_named(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), text(input, "EndpointConfigName"))).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeEndpointConfig>, input: Value) -> Result<Reply> {
    let (scope, name) = (permit.scope(), text(&input, "EndpointConfigName"));
    let row = cx.kernel.store().get(names::ENDPOINT_CONFIG, scope, &name.to_lowercase()).await?.ok_or_else(|| missing(scope, name))?;
    let mut output = row.body::<Config>()?.request;
    output["EndpointConfigArn"] = json!(arn(scope, &row.name));
    output["CreationTime"] = json!(row.created);
    if output["EnableNetworkIsolation"].is_null() {
        output["EnableNetworkIsolation"] = json!(false);
    }
    Ok(Reply::new(output))
}

async fn resolve_list(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListEndpointConfigs>, filter: Filter) -> Result<Reply> {
    let scope = permit.scope();
    let page = listing::page(cx, scope, Shape::of(names::ENDPOINT_CONFIG), &filter, |_| true).await?;
    let summary =
        |row: &Row| json!({"EndpointConfigName": row.name, "EndpointConfigArn": arn(scope, &row.name), "CreationTime": row.created});
    Ok(paged("EndpointConfigs", page.rows.iter().map(summary).collect(), page.next_token))
}

async fn delete(cx: &Cx, permit: Permit<DeleteEndpointConfig>, input: Value) -> Result<Reply> {
    let (scope, name) = (permit.scope(), text(&input, "EndpointConfigName"));
    let mut batch = Batch::new();
    batch.delete(names::ENDPOINT_CONFIG, scope, name.to_lowercase(), Expect::Present);
    batch.set_tags(arn(scope, name).as_str(), Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::NotFound { .. }) => Err(missing(scope, name)),
        done => {
            done?;
            Ok(Reply::empty())
        }
    }
}
