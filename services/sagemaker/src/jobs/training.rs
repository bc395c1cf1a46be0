//! Training jobs: CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob.
//!
//! Debugger, profiler, TensorBoard and experiment settings are kept and described; only TensorBoard's directory is
//! acted on (it is uploaded). Rules of the profiler are not evaluated, those of the debugger are refused. Traffic between the hosts of
//! a job never leaves one machine's loopback, so it counts as encrypted. Spot training runs on what there is.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, reconcile::key_of};
use tenantry_store::Row;

use super::{
    admission::{self, Admission},
    metrics,
    plan::{self, Archive, Input, NO_KEYS, Output, Plan, local_path, pairs, refuse, s3_uri, text, texts},
    record::{Of, Phase, Record},
    uri::{S3Uri, relative},
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
        OperationRow::of::<CreateTrainingJob>(),
        OperationRow::of::<DescribeTrainingJob>(),
        OperationRow::of::<ListTrainingJobs>(),
        OperationRow::of::<StopTrainingJob>(),
    ]
}

const TYPES: [&str; 1] = ["training-job"];
/// Condition keys of CreateTrainingJob that are set here.
const KEYS: [&str; 16] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:EnableRemoteDebug",
    "sagemaker:FileSystemAccessMode",
    "sagemaker:FileSystemDirectoryPath",
    "sagemaker:FileSystemId",
    "sagemaker:FileSystemType",
    "sagemaker:InstanceTypes",
    "sagemaker:InterContainerTrafficEncryption",
    "sagemaker:KeepAlivePeriod",
    "sagemaker:MaxRuntimeInSeconds",
    "sagemaker:NetworkIsolation",
    "sagemaker:OutputKmsKey",
    "sagemaker:VolumeKmsKey",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:VpcSubnets",
];
/// Where no StoppingCondition is given.
const DEFAULT_RUNTIME: u64 = 86_400;
/// Where no VolumeSizeInGB is given.
const DEFAULT_VOLUME: u64 = 30;
/// What AWS allows per job.
const MAX_HOSTS: u64 = 100;
const MODEL: &str = "model";
const OUTPUT_DATA: &str = "output/data";
const CHECKPOINTS: &str = "/opt/ml/checkpoints";
const TENSORBOARD: &str = "/opt/ml/output/tensorboard";

/// The input of CreateTrainingJob.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    training_job_name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(CreateTrainingJob, TYPES + KEYS and ["iam:PassRole", "sagemaker:AddTags"], Create, create_checks, create);

async fn create_checks(cx: &Cx, action: &'static str, input: &Create) -> Result<Checks> {
    let request = plan::view(&input.rest);
    verbs::create_checks(cx, Of::Training, action, "CreateTrainingJob", &input.training_job_name, &input.rest, |check| {
        let check = verbs::key(check, "sagemaker:KeepAlivePeriod", &request["ResourceConfig"]["KeepAlivePeriodInSeconds"]);
        let debug = request["RemoteDebugConfig"]["EnableRemoteDebug"].as_bool().map(|on| on.to_string());
        keys(check.key_if("sagemaker:EnableRemoteDebug", debug), &request)
    })
}

/// The condition keys that CreateTrainingJob and CreateHyperParameterTuningJob share.
pub(super) fn keys(check: Check, request: &Value) -> Check {
    let resources = &request["ResourceConfig"];
    let check = verbs::network_keys(check, request);
    let check = verbs::key(check, "sagemaker:VolumeKmsKey", &resources["VolumeKmsKeyId"]);
    let check = verbs::key(check, "sagemaker:OutputKmsKey", &request["OutputDataConfig"]["KmsKeyId"]);
    let check = verbs::key(check, "sagemaker:MaxRuntimeInSeconds", &request["StoppingCondition"]["MaxRuntimeInSeconds"]);
    let check = file_system_keys(check, &request["InputDataConfig"]);
    let groups = resources["InstanceGroups"].as_array().into_iter().flatten().map(|group| text(group, "InstanceType"));
    let types: Vec<_> =
        std::iter::once(text(resources, "InstanceType")).chain(groups).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    if types.is_empty() { check } else { check.list("sagemaker:InstanceTypes", types) }
}

/// The file systems that channels come from.
fn file_system_keys(check: Check, channels: &Value) -> Check {
    let sources: Vec<&Value> = channels.as_array().into_iter().flatten().map(|c| &c["DataSource"]["FileSystemDataSource"]).collect();
    [
        ("FileSystemAccessMode", "sagemaker:FileSystemAccessMode"),
        ("DirectoryPath", "sagemaker:FileSystemDirectoryPath"),
        ("FileSystemId", "sagemaker:FileSystemId"),
        ("FileSystemType", "sagemaker:FileSystemType"),
    ]
    .iter()
    .fold(check, |check, (member, key)| check.key_of(*key, sources.iter().filter_map(|s| s[*member].as_str().map(str::to_owned))))
}

async fn create(cx: &Cx, permit: Permit<CreateTrainingJob>, input: Create) -> Result<Reply> {
    let name = input.training_job_name;
    let mut request = input.rest;
    request.insert("TrainingJobName".to_owned(), json!(name));
    verbs::create(cx, permit.scope(), Of::Training, &name, request, complete).await
}

/// Refuses images that cannot train; adds the metrics of built-in algorithms and what AWS describes as false.
pub(super) fn complete(request: &mut Map<String, Value>, machinery: &Machinery, plan: &Plan) -> Result<()> {
    let image = machinery.images.resolve(&plan.image).map_err(|error| validation(error.to_string()))?;
    if plan.entrypoint.is_none() && image.entry.train.is_empty() {
        return Err(validation(format!("Image {} has no training program: give AlgorithmSpecification.ContainerEntrypoint.", plan.image)));
    }
    let view = plan::view(request);
    let specification = &view["AlgorithmSpecification"];
    let script = text(&view["HyperParameters"], "sagemaker_program");
    if specification["MetricDefinitions"].is_null() && script.is_empty() {
        let definitions = metrics::built_in(&image.repository);
        if let Some(stored) = request.get_mut("AlgorithmSpecification").and_then(Value::as_object_mut).filter(|_| !definitions.is_empty()) {
            stored.insert("MetricDefinitions".to_owned(), Value::Array(definitions));
        }
    }
    for switch in ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"] {
        request.entry(switch).or_insert(json!(false));
    }
    Ok(())
}

/// What a training job runs.
///
/// # Errors
/// `ValidationException` for what cannot run here.
pub(crate) fn plan(scope: &Scope, record: &Record) -> Result<Plan> {
    let request = plan::view(&record.request);
    let (specification, resources, output) = (&request["AlgorithmSpecification"], &request["ResourceConfig"], &request["OutputDataConfig"]);
    refuse_unsupported(&request)?;
    let image = text(specification, "TrainingImage");
    if image.is_empty() {
        return Err(validation("AlgorithmSpecification.TrainingImage is required: algorithm resources are not available here."));
    }
    metrics::Metrics::read(&specification["MetricDefinitions"])?;
    let (instance_type, hosts) = (text(resources, "InstanceType"), resources["InstanceCount"].as_u64().unwrap_or(0));
    if instance_type.is_empty() || !(1..=MAX_HOSTS).contains(&hosts) {
        return Err(validation(format!("ResourceConfig must have an InstanceType and an InstanceCount from 1 to {MAX_HOSTS}.")));
    }
    let hosts = usize::try_from(hosts).unwrap_or(1);
    let spot = request["EnableManagedSpotTraining"] == json!(true);
    let stopping = &request["StoppingCondition"];
    let max_runtime = stopping["MaxRuntimeInSeconds"].as_u64().unwrap_or(DEFAULT_RUNTIME);
    if spot && stopping["MaxWaitTimeInSeconds"].as_u64().is_none_or(|wait| wait < max_runtime) {
        return Err(validation("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds."));
    }
    let job = text(&request, "TrainingJobName");
    let results = s3_uri(text(output, "S3OutputPath"), "S3OutputPath")?.below(&format!("{job}/output"));
    let mut plan = Plan {
        image: image.to_owned(),
        entrypoint: specification["ContainerEntrypoint"].is_array().then(|| texts(&specification["ContainerEntrypoint"])),
        arguments: texts(&specification["ContainerArguments"]),
        role: plan::role(scope, text(&request, "RoleArn"))?,
        instance_type: instance_type.to_owned(),
        hosts,
        volume_gib: resources["VolumeSizeInGB"].as_u64().unwrap_or(DEFAULT_VOLUME).max(1),
        max_runtime: Duration::from_secs(max_runtime),
        env: pairs(&request["Environment"]),
        isolated: request["EnableNetworkIsolation"] == json!(true),
        vpc: vpc::asked(&request["VpcConfig"])?,
        inputs: channels(&request)?,
        outputs: Vec::new(),
        archives: vec![Archive { dir: OUTPUT_DATA.into(), uri: results.below("output.tar.gz"), even_empty: false }],
        files: (0..hosts).map(|host| config_files(&request, host, hosts)).collect(),
        dirs: ["input/config", "input/data", "output", "code", "checkpoints"].map(PathBuf::from).to_vec(),
    };
    if text(output, "CompressionType") == "NONE" {
        plan.outputs.push(Output { dir: MODEL.into(), uri: results.below(MODEL), continuous: false });
    } else {
        plan.archives.insert(0, Archive { dir: MODEL.into(), uri: results.below("model.tar.gz"), even_empty: true });
    }
    extra_outputs(&request, job, &mut plan)?;
    plan.env.insert("TRAINING_JOB_NAME".to_owned(), job.to_owned());
    plan.env.insert("TRAINING_JOB_ARN".to_owned(), Of::Training.arn(scope, job).to_string());
    Ok(plan)
}

/// Whether a job that has not begun waits longer than its request allows: spot training for MaxWaitTimeInSeconds, any for
/// MaxPendingTimeInSeconds.
pub(super) fn out_of_patience(record: &Record, created: Timestamp, now: Timestamp) -> bool {
    let stopping = record.member("StoppingCondition");
    let spot = *record.member("EnableManagedSpotTraining") == json!(true);
    let wait = stopping["MaxWaitTimeInSeconds"].as_i64().filter(|_| spot);
    let most = [wait, stopping["MaxPendingTimeInSeconds"].as_i64()].into_iter().flatten().min();
    record.state.attempt == 0 && most.is_some_and(|most| now > created.plus_secs(most))
}

/// How often a job may begin: once, and as often again as its RetryStrategy says.
pub(super) fn attempts(record: &Record) -> Option<u32> {
    let retries = record.member("RetryStrategy")["MaximumRetryAttempts"].as_u64()?;
    Some(u32::try_from(retries).unwrap_or(u32::MAX).saturating_add(1))
}

fn refuse_unsupported(request: &Value) -> Result<()> {
    let (specification, resources) = (&request["AlgorithmSpecification"], &request["ResourceConfig"]);
    refuse(&request["OutputDataConfig"], "KmsKeyId", NO_KEYS)?;
    refuse(resources, "VolumeKmsKeyId", NO_KEYS)?;
    refuse(resources, "InstanceGroups", "clusters of several kinds of instances cannot be run")?;
    refuse(resources, "InstancePreferences", "there is one kind of capacity, give InstanceType")?;
    refuse(resources, "TrainingPlanArn", "there are no training plans")?;
    refuse(specification, "TrainingImageConfig", "images are not pulled from registries")?;
    refuse(&request["RemoteDebugConfig"], "EnableRemoteDebug", "there is no remote shell into jobs")?;
    refuse(&request["SessionChainingConfig"], "EnableSessionTagChaining", "session tags are not passed on to jobs")?;
    refuse(request, "ServerlessJobConfig", "there are no serverless jobs")?;
    refuse(request, "DebugRuleConfigurations", "rules are not evaluated")?;
    refuse(&resources["InstancePlacementConfig"], "PlacementSpecifications", "there is one machine")?;
    refuse(request, "MlflowConfig", "there is no MLflow server")?;
    refuse(request, "ModelPackageConfig", "training jobs register no model packages")?;
    if text(specification, "TrainingInputMode") == "Pipe" {
        return Err(validation("TrainingInputMode Pipe is not available here: use File or FastFile."));
    }
    Ok(())
}

fn channels(request: &Value) -> Result<Vec<Input>> {
    let channels = request["InputDataConfig"].as_array().map(Vec::as_slice).unwrap_or_default();
    plan::unique(channels.iter().map(|channel| text(channel, "ChannelName")), "Channel names")?;
    let mut inputs = Vec::new();
    for channel in channels {
        let name = text(channel, "ChannelName");
        let source = &channel["DataSource"]["S3DataSource"];
        let dir = relative(name).ok_or_else(|| validation(format!("Channel name `{name}` cannot be a directory.")))?;
        if source.is_null() {
            return Err(validation(format!("The data source of channel {name} is not available here: use S3DataSource.")));
        }
        if text(channel, "InputMode") == "Pipe" {
            return Err(validation(format!("InputMode Pipe of channel {name} is not available here: use File or FastFile.")));
        }
        let kind = text(source, "S3DataType");
        if !matches!(kind, "S3Prefix" | "ManifestFile") {
            return Err(validation(format!("S3DataType {kind} of channel {name} is not available here: use S3Prefix or ManifestFile.")));
        }
        refuse(source, "HubAccessConfig", "there is no model hub")?;
        inputs.push(Input {
            uri: s3_uri(text(source, "S3Uri"), "S3Uri")?,
            manifest: kind == "ManifestFile",
            sharded: text(source, "S3DataDistributionType") == "ShardedByS3Key",
            gzip: text(channel, "CompressionType") == "Gzip",
            optional: false,
            dir: PathBuf::from("input/data").join(dir),
        });
    }
    Ok(inputs)
}

/// Checkpoints and TensorBoard's directory.
fn extra_outputs(request: &Value, job: &str, plan: &mut Plan) -> Result<()> {
    let or = |given: &Value, default: &str| given.as_str().filter(|path| !path.is_empty()).unwrap_or(default).to_owned();
    let checkpoints = &request["CheckpointConfig"];
    if !checkpoints.is_null() {
        let uri = s3_uri(text(checkpoints, "S3Uri"), "CheckpointConfig.S3Uri")?;
        let dir = local_path(&or(&checkpoints["LocalPath"], CHECKPOINTS), "CheckpointConfig")?;
        // A prefix without a slash would also find `checkpoints-of-another-job`.
        let below =
            S3Uri { key: if uri.key.is_empty() { String::new() } else { format!("{}/", uri.key.trim_end_matches('/')) }, ..uri.clone() };
        plan.inputs.push(Input { uri: below, manifest: false, sharded: false, gzip: false, optional: true, dir: dir.clone() });
        plan.outputs.push(Output { dir, uri, continuous: true });
    }
    let board = &request["TensorBoardOutputConfig"];
    if !board.is_null() {
        let uri = s3_uri(text(board, "S3OutputPath"), "TensorBoardOutputConfig.S3OutputPath")?.below(&format!("{job}/tensorboard-output"));
        let dir = local_path(&or(&board["LocalPath"], TENSORBOARD), "TensorBoardOutputConfig")?;
        plan.outputs.push(Output { dir, uri, continuous: true });
    }
    Ok(())
}

/// The files of /opt/ml/input/config ("How Amazon SageMaker Provides Training Information").
fn config_files(request: &Value, host: usize, hosts: usize) -> Vec<(PathBuf, Value)> {
    let mode = text(&request["AlgorithmSpecification"], "TrainingInputMode");
    let mut data = Map::new();
    for channel in request["InputDataConfig"].as_array().into_iter().flatten() {
        let source = &channel["DataSource"]["S3DataSource"];
        let or = |given: &Value, default: &str| given.as_str().unwrap_or(default).to_owned();
        let mut entry = json!({
            "TrainingInputMode": or(&channel["InputMode"], mode),
            "S3DistributionType": or(&source["S3DataDistributionType"], "FullyReplicated"),
            "RecordWrapperType": or(&channel["RecordWrapperType"], "None"),
        });
        if let Some(kind) = channel["ContentType"].as_str() {
            entry["ContentType"] = json!(kind);
        }
        data.insert(text(channel, "ChannelName").to_owned(), entry);
    }
    let parameters = if request["HyperParameters"].is_null() { json!({}) } else { request["HyperParameters"].clone() };
    let mut files = vec![
        ("hyperparameters.json", parameters),
        ("inputdataconfig.json", Value::Object(data)),
        ("resourceconfig.json", plan::resource_config(host, hosts, text(&request["ResourceConfig"], "InstanceType"))),
    ];
    if !request["CheckpointConfig"].is_null() {
        let mut config = request["CheckpointConfig"].clone();
        if text(&config, "LocalPath").is_empty() {
            config["LocalPath"] = json!(CHECKPOINTS);
        }
        files.push(("checkpointconfig.json", config));
    }
    files.into_iter().map(|(name, content)| (PathBuf::from("input/config").join(name), content)).collect()
}

/// The name that Describe and Stop take.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Named {
    pub(super) training_job_name: String,
}

pub(super) async fn on_job(cx: &Cx, action: &'static str, input: &Named) -> Result<Checks> {
    Ok(Check::on(action, Of::Training.arn(&cx.scope(), &input.training_job_name)).into())
}

pub(super) fn missing() -> AwsError {
    validation("Requested resource not found.")
}

operation!(DescribeTrainingJob, TYPES, Named, on_job, describe);

async fn describe(cx: &Cx, permit: Permit<DescribeTrainingJob>, input: Named) -> Result<Reply> {
    let (row, record) = verbs::get(cx, permit.scope(), Of::Training, &input.training_job_name, missing()).await?;
    let mut output = document(&row, &record)?;
    // How many come before is known by who lets them in, and changes all the time: it is not stored.
    if let (Phase::Waiting, Some(machinery)) = (record.state.phase, cx.kernel.provided::<Machinery>())
        && let Some(said) = Admission::of(&machinery).said(&admission::key_in(Of::Training.kind().as_str(), &key_of(&row.scope, &row.id)))
        && let Some(last) = output["SecondaryStatusTransitions"].as_array_mut().and_then(|all| all.last_mut())
    {
        last["StatusMessage"] = json!(said);
    }
    Ok(Reply::new(output))
}

/// What DescribeTrainingJob shows.
///
/// # Errors
/// Internal only: what is stored was checked.
pub(crate) fn document(row: &Row, record: &Record) -> Result<Value> {
    let mut out = record.described(row);
    let arn: Arn = Of::Training.arn(&row.scope, &row.id);
    let state = &record.state;
    let job = row.id.as_str();
    let path = record.member("OutputDataConfig");
    let results = s3_uri(text(path, "S3OutputPath"), "S3OutputPath")?.below(&format!("{job}/output"));
    let model = if text(path, "CompressionType") == "NONE" { "model/" } else { "model.tar.gz" };
    out.insert("TrainingJobArn".to_owned(), json!(arn));
    out.insert("ModelArtifacts".to_owned(), json!({"S3ModelArtifacts": results.below(model).to_string()}));
    out.insert("TrainingJobStatus".to_owned(), json!(state.status()));
    out.insert("SecondaryStatus".to_owned(), json!(state.secondary()));
    out.insert("SecondaryStatusTransitions".to_owned(), json!(state.transitions));
    out.entry("StoppingCondition").or_insert(json!({"MaxRuntimeInSeconds": DEFAULT_RUNTIME}));
    let times = [("TrainingStartTime", state.started), ("TrainingEndTime", state.ended)];
    out.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?)))));
    if let Some(seconds) = state.seconds() {
        out.insert("TrainingTimeInSeconds".to_owned(), json!(seconds.max(1)));
        out.insert("BillableTimeInSeconds".to_owned(), json!(seconds.max(1)));
    }
    if !state.metrics.is_empty() {
        out.insert("FinalMetricDataList".to_owned(), json!(state.metrics));
    }
    // What AWS describes although it was not asked for. The SDK's `attach` reads the key.
    if let Some(config) = out.get_mut("OutputDataConfig").and_then(Value::as_object_mut) {
        config.entry("KmsKeyId").or_insert(json!(""));
    }
    for member in ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"] {
        out.entry(member).or_insert(json!(false));
    }
    if let Some(tuning) = &record.tuning {
        out.insert("TuningJobArn".to_owned(), json!(tuning.arn));
    }
    if record.member("ResourceConfig")["KeepAlivePeriodInSeconds"].as_u64().is_some_and(|seconds| seconds > 0) {
        // Nothing is kept warm after a job: the next begins as fast without.
        let status = if state.phase == Phase::Over { "Terminated" } else { "InUse" };
        out.insert("WarmPoolStatus".to_owned(), json!({"Status": status, "ResourceRetainedBillableTimeInSeconds": 0}));
    }
    // Members of the request that AWS does not describe.
    for member in ["SessionChainingConfig", "ServerlessJobConfig"] {
        out.remove(member);
    }
    Ok(Value::Object(out))
}

operation!(StopTrainingJob, TYPES, Named, on_job, stop);

async fn stop(cx: &Cx, permit: Permit<StopTrainingJob>, input: Named) -> Result<Reply> {
    verbs::stop(cx, permit.scope(), Of::Training, &input.training_job_name, missing()).await
}

operation!(ListTrainingJobs, ["*"], Filter, all_jobs, list);

async fn all_jobs(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListTrainingJobs>, filter: Filter) -> Result<Reply> {
    let page = listing::page(cx, permit.scope(), Shape::of(Of::Training.kind()), &filter, |_| true).await?;
    let mut summaries = Vec::new();
    for row in &page.rows {
        let state = Record::of(row)?.state;
        let mut summary = json!({
            "TrainingJobName": row.id,
            "TrainingJobArn": Of::Training.arn(&row.scope, &row.id),
            "CreationTime": row.created,
            "LastModifiedTime": row.updated,
            "TrainingJobStatus": row.status,
            "SecondaryStatus": state.secondary(),
        });
        if let Some(ended) = state.ended {
            summary["TrainingEndTime"] = json!(ended);
        }
        summaries.push(summary);
    }
    let mut output = json!({"TrainingJobSummaries": summaries});
    if let Some(token) = page.next_token {
        output["NextToken"] = json!(token);
    }
    Ok(Reply::new(output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::record::State;

    #[test]
    fn patience_ends_before_the_job_begins_only() {
        let at = Timestamp::from_secs;
        let record = |request: Value, attempt| {
            let mut state = State::new(at(0), None);
            state.attempt = attempt;
            Record { request: request.as_object().cloned().unwrap_or_default(), state, tuning: None }
        };
        let spot = json!({"EnableManagedSpotTraining": true, "StoppingCondition": {"MaxWaitTimeInSeconds": 100}});
        let pending = json!({"StoppingCondition": {"MaxPendingTimeInSeconds": 50, "MaxWaitTimeInSeconds": 10}});
        for (request, attempt, secs, wanted) in
            [(&spot, 0, 100, false), (&spot, 0, 101, true), (&spot, 1, 101, false), (&pending, 0, 50, false), (&pending, 0, 51, true)]
        {
            assert_eq!(out_of_patience(&record(request.clone(), attempt), at(0), at(secs)), wanted, "{request} {attempt} {secs}");
        }
        let mut over = record(spot, 0).state;
        over.finish(super::super::record::Outcome::OutOfPatience, at(101));
        assert_eq!((over.status(), over.secondary()), ("Stopped", "MaxWaitTimeExceeded"));
        assert_eq!(attempts(&record(json!({"RetryStrategy": {"MaximumRetryAttempts": 2}}), 0)), Some(3));
        assert_eq!(attempts(&record(json!({}), 0)), None);
    }
}
