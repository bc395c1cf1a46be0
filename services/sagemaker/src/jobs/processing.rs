//! Processing jobs: CreateProcessingJob, DescribeProcessingJob, ListProcessingJobs, StopProcessingJob.
//!
//! Inputs and outputs that are `AppManaged` are the job's own business. Athena and Redshift data sets and the feature
//! store are refused. Traffic between the hosts of a job never leaves one machine's loopback, so it counts as encrypted.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::Row;

use super::{
    plan::{self, Input, NO_KEYS, Output, Plan, local_path, pairs, refuse, s3_uri, text, texts},
    record::{Of, Record},
    verbs,
};
use crate::{
    Machinery,
    error::validation,
    listing::{self, Filter, Shape},
    operation::operation,
    vpc,
};

/// The operations of this module.
pub(crate) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateProcessingJob>(),
        OperationRow::of::<DescribeProcessingJob>(),
        OperationRow::of::<ListProcessingJobs>(),
        OperationRow::of::<StopProcessingJob>(),
    ]
}

const TYPES: [&str; 1] = ["processing-job"];
/// Condition keys of CreateProcessingJob that are set here.
const KEYS: [&str; 10] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:InstanceTypes",
    "sagemaker:InterContainerTrafficEncryption",
    "sagemaker:MaxRuntimeInSeconds",
    "sagemaker:NetworkIsolation",
    "sagemaker:OutputKmsKey",
    "sagemaker:VolumeKmsKey",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:VpcSubnets",
];
/// Where no StoppingCondition is given.
const DEFAULT_RUNTIME: u64 = 86_400;

/// The input of CreateProcessingJob.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    processing_job_name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(CreateProcessingJob, TYPES + KEYS and ["iam:PassRole", "sagemaker:AddTags"], Create, create_checks, create);

async fn create_checks(cx: &Cx, action: &'static str, input: &Create) -> Result<Checks> {
    let request = plan::view(&input.rest);
    verbs::create_checks(cx, Of::Processing, action, "CreateProcessingJob", &input.processing_job_name, &input.rest, |check| {
        let cluster = &request["ProcessingResources"]["ClusterConfig"];
        let check = verbs::network_keys(check, &request["NetworkConfig"]);
        let check = verbs::key(check, "sagemaker:VolumeKmsKey", &cluster["VolumeKmsKeyId"]);
        let check = verbs::key(check, "sagemaker:OutputKmsKey", &request["ProcessingOutputConfig"]["KmsKeyId"]);
        let check = verbs::key(check, "sagemaker:MaxRuntimeInSeconds", &request["StoppingCondition"]["MaxRuntimeInSeconds"]);
        match text(cluster, "InstanceType") {
            "" => check,
            instance_type => check.list("sagemaker:InstanceTypes", vec![instance_type.to_owned()]),
        }
    })
}

async fn create(cx: &Cx, permit: Permit<CreateProcessingJob>, input: Create) -> Result<Reply> {
    let name = input.processing_job_name;
    let mut request = input.rest;
    request.insert("ProcessingJobName".to_owned(), json!(name));
    verbs::create(cx, permit.scope(), Of::Processing, &name, request, complete).await
}

/// Refuses images that are not known, or have nothing to run.
fn complete(_: &mut Map<String, Value>, machinery: &Machinery, plan: &Plan) -> Result<()> {
    let image = machinery.images.resolve(&plan.image).map_err(|error| validation(error.to_string()))?;
    if plan.entrypoint.is_none() && image.entry.processing.is_empty() {
        return Err(validation(format!("Image {} has no processing program: give AppSpecification.ContainerEntrypoint.", plan.image)));
    }
    Ok(())
}

/// What a processing job runs.
///
/// # Errors
/// `ValidationException` for what cannot run here.
pub(crate) fn plan(scope: &Scope, record: &Record) -> Result<Plan> {
    let request = plan::view(&record.request);
    let (app, cluster, network) =
        (&request["AppSpecification"], &request["ProcessingResources"]["ClusterConfig"], &request["NetworkConfig"]);
    refuse(&request["ProcessingOutputConfig"], "KmsKeyId", NO_KEYS)?;
    refuse(cluster, "VolumeKmsKeyId", NO_KEYS)?;
    refuse(cluster, "InstancePreferences", "there is one kind of capacity, give InstanceType")?;
    let (instance_type, hosts) = (text(cluster, "InstanceType"), cluster["InstanceCount"].as_u64().unwrap_or(0));
    if instance_type.is_empty() || hosts == 0 {
        return Err(validation("ProcessingResources.ClusterConfig must have an InstanceType and an InstanceCount."));
    }
    let hosts = usize::try_from(hosts).unwrap_or(1);
    let job = text(&request, "ProcessingJobName");
    let arn = Of::Processing.arn(scope, job).to_string();
    let mut config = record.request.clone();
    config.remove("Tags");
    config.insert("ProcessingJobArn".to_owned(), json!(arn));
    let files = |host| {
        let config = [
            ("config/processingjobconfig.json", Value::Object(config.clone())),
            ("config/resourceconfig.json", plan::resource_config(host, hosts, instance_type)),
        ];
        config.into_iter().map(|(path, content)| (PathBuf::from(path), content)).collect()
    };
    let mut plan = Plan {
        image: text(app, "ImageUri").to_owned(),
        entrypoint: app["ContainerEntrypoint"].is_array().then(|| texts(&app["ContainerEntrypoint"])),
        arguments: texts(&app["ContainerArguments"]),
        role: plan::role(scope, text(&request, "RoleArn"))?,
        instance_type: instance_type.to_owned(),
        hosts,
        volume_gib: cluster["VolumeSizeInGB"].as_u64().unwrap_or(1).max(1),
        max_runtime: Duration::from_secs(request["StoppingCondition"]["MaxRuntimeInSeconds"].as_u64().unwrap_or(DEFAULT_RUNTIME)),
        env: pairs(&request["Environment"]),
        isolated: network["EnableNetworkIsolation"] == json!(true),
        vpc: vpc::asked(&network["VpcConfig"])?,
        inputs: inputs(&request)?,
        outputs: outputs(&request)?,
        archives: Vec::new(),
        files: (0..hosts).map(files).collect(),
        dirs: ["processing", "output", "config"].map(PathBuf::from).to_vec(),
    };
    plan.env.insert("PROCESSING_JOB_NAME".to_owned(), job.to_owned());
    plan.env.insert("PROCESSING_JOB_ARN".to_owned(), arn);
    Ok(plan)
}

fn inputs(request: &Value) -> Result<Vec<Input>> {
    let given = request["ProcessingInputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    plan::unique(given.iter().map(|input| text(input, "InputName")), "Input names")?;
    let mut inputs = Vec::new();
    for input in given {
        let name = text(input, "InputName");
        let source = &input["S3Input"];
        if source.is_null() {
            return Err(validation(format!("The data source of input {name} is not available here: use S3Input.")));
        }
        if input["AppManaged"] == json!(true) {
            continue;
        }
        if text(source, "S3InputMode") == "Pipe" {
            return Err(validation(format!("S3InputMode Pipe of input {name} is not available here: use File.")));
        }
        inputs.push(Input {
            uri: s3_uri(text(source, "S3Uri"), "S3Uri")?,
            manifest: text(source, "S3DataType") == "ManifestFile",
            sharded: text(source, "S3DataDistributionType") == "ShardedByS3Key",
            gzip: text(source, "S3CompressionType") == "Gzip",
            optional: false,
            dir: local_path(text(source, "LocalPath"), &format!("input {name}"))?,
        });
    }
    Ok(inputs)
}

fn outputs(request: &Value) -> Result<Vec<Output>> {
    let given = request["ProcessingOutputConfig"]["Outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    plan::unique(given.iter().map(|output| text(output, "OutputName")), "Output names")?;
    let mut outputs = Vec::new();
    for output in given {
        let name = text(output, "OutputName");
        let target = &output["S3Output"];
        refuse(output, "FeatureStoreOutput", "there is no feature store")?;
        if target.is_null() {
            return Err(validation(format!("Output {name} must have an S3Output.")));
        }
        let uri = s3_uri(text(target, "S3Uri"), "S3Uri")?;
        if output["AppManaged"] == json!(true) {
            continue;
        }
        outputs.push(Output {
            dir: local_path(text(target, "LocalPath"), &format!("output {name}"))?,
            uri,
            continuous: text(target, "S3UploadMode") == "Continuous",
        });
    }
    Ok(outputs)
}

/// The name that Describe and Stop take.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Named {
    processing_job_name: String,
}

async fn on_job(cx: &Cx, action: &'static str, input: &Named) -> Result<Checks> {
    Ok(Check::on(action, Of::Processing.arn(&cx.scope(), &input.processing_job_name)).into())
}

fn missing(name: &str) -> AwsError {
    validation(format!("Could not find requested job with name: {name}"))
}

operation!(DescribeProcessingJob, TYPES, Named, on_job, describe);

async fn describe(cx: &Cx, permit: Permit<DescribeProcessingJob>, input: Named) -> Result<Reply> {
    let name = input.processing_job_name;
    let (row, record) = verbs::get(cx, permit.scope(), Of::Processing, &name, missing(&name)).await?;
    Ok(Reply::new(document(&row, &record)))
}

/// What DescribeProcessingJob shows.
pub(crate) fn document(row: &Row, record: &Record) -> Value {
    let mut out = record.described(row);
    let state = &record.state;
    out.insert("ProcessingJobArn".to_owned(), json!(Of::Processing.arn(&row.scope, &row.id)));
    out.insert("ProcessingJobStatus".to_owned(), json!(state.status()));
    out.entry("StoppingCondition").or_insert(json!({"MaxRuntimeInSeconds": DEFAULT_RUNTIME}));
    let times = [("ProcessingStartTime", state.started), ("ProcessingEndTime", state.ended)];
    out.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?)))));
    if let Some(message) = &state.exit_message {
        out.insert("ExitMessage".to_owned(), json!(message));
    }
    Value::Object(out)
}

operation!(StopProcessingJob, TYPES, Named, on_job, stop);

async fn stop(cx: &Cx, permit: Permit<StopProcessingJob>, input: Named) -> Result<Reply> {
    let name = input.processing_job_name;
    verbs::stop(cx, permit.scope(), Of::Processing, &name, missing(&name)).await
}

operation!(ListProcessingJobs, ["*"], Filter, all_jobs, list);

async fn all_jobs(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListProcessingJobs>, filter: Filter) -> Result<Reply> {
    let page = listing::page(cx, permit.scope(), Shape::of(Of::Processing.kind()), &filter, |_| true).await?;
    let mut summaries = Vec::new();
    for row in &page.rows {
        let state = Record::of(row)?.state;
        let mut summary = json!({
            "ProcessingJobName": row.id,
            "ProcessingJobArn": Of::Processing.arn(&row.scope, &row.id),
            "CreationTime": row.created,
            "LastModifiedTime": row.updated,
            "ProcessingJobStatus": row.status,
        });
        if let Some(ended) = state.ended {
            summary["ProcessingEndTime"] = json!(ended);
        }
        if let Some(reason) = state.failure() {
            summary["FailureReason"] = json!(reason);
        }
        if let Some(message) = &state.exit_message {
            summary["ExitMessage"] = json!(message);
        }
        summaries.push(summary);
    }
    let mut output = json!({"ProcessingJobSummaries": summaries});
    if let Some(token) = page.next_token {
        output["NextToken"] = json!(token);
    }
    Ok(Reply::new(output))
}
