//! Batch transform: a model run over the objects of a prefix. Follows CreateTransformJob and its kin in the SageMaker API
//! Reference.
//!
//! `split` takes inputs apart, `path` and `joining` are the filters and joins of `DataProcessing`, `run` does a job. The
//! operations only write the row.

mod joining;
mod path;
mod run;
mod split;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_compute::quota::Use;
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, reconcile::key_of, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

pub(super) use self::run::Transforms;
use super::{
    container::{self, Container, refuse},
    model::{self, paged, text},
};
use crate::{
    error::{in_use, limit, throttled, validation},
    jobs::{container::instance_limits, uri::S3Uri},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    tagging, usage,
};

/// Instances of one job.
const MAX_INSTANCES: u64 = 4;
/// `MaxPayloadInMB`, and its product with `MaxConcurrentTransforms`.
const MAX_PAYLOAD_MB: u64 = 100;
/// `MaxPayloadInMB` where it is not given.
const PAYLOAD_MB: u64 = 6;

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateTransformJob>(),
        OperationRow::of::<DescribeTransformJob>(),
        OperationRow::of::<ListTransformJobs>(),
        OperationRow::of::<StopTransformJob>(),
    ]
}

/// What a job's row holds; its status is the row's.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    /// As asked for, without tags.
    request: Value,
    /// The model as it was.
    container: Container,
    source_identity: Option<String>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    failure: Option<String>,
}

impl Job {
    /// The instances that it uses until it is over.
    fn uses(&self, arn: &Arn) -> usage::Uses {
        let resources = &self.request["TransformResources"];
        let mut uses = usage::Uses::new();
        let count = resources["InstanceCount"].as_u64().unwrap_or(1);
        usage::add(&mut uses, Use::Transform, text(resources, "InstanceType"), arn.as_str(), count);
        uses
    }
    /// Bytes that a request may have.
    fn max_payload(&self) -> usize {
        let mb = self.request["MaxPayloadInMB"].as_u64().unwrap_or(PAYLOAD_MB);
        (if mb == 0 { MAX_PAYLOAD_MB } else { mb } as usize) << 20
    }
    /// Requests to one instance at a time.
    fn at_a_time(&self) -> usize {
        self.request["MaxConcurrentTransforms"].as_u64().filter(|count| *count > 0).map_or(1, |count| count as usize)
    }
}

fn arn(scope: &Scope, name: &str) -> Arn {
    names::arn(scope, "transform-job", name)
}

fn missing(name: &str) -> AwsError {
    validation(format!("Could not find requested job with name: {name}"))
}

const KEYS: [&str; 6] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:InstanceTypes",
    "sagemaker:ModelArn",
    "sagemaker:OutputKmsKey",
    "sagemaker:VolumeKmsKey",
];

operation!(CreateTransformJob, ["transform-job"] + KEYS and ["sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeTransformJob, ["transform-job"], Value, resolve_named, describe);
operation!(ListTransformJobs, ["*"], Filter, resolve_list, list);
operation!(StopTransformJob, ["transform-job"], Value, resolve_named, stop);

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let scope = cx.scope();
    let arn = arn(&scope, text(input, "TransformJobName"));
    let tags = tags_of(input, "Tags");
    let resources = &input["TransformResources"];
    let check = Check::on(action, arn.clone())
        .request_tags(&tags)
        .list("sagemaker:InstanceTypes", vec![text(resources, "InstanceType").to_owned()])
        .key("sagemaker:ModelArn", names::arn(&scope, "model", text(input, "ModelName")))
        .key_if("sagemaker:OutputKmsKey", input["TransformOutput"]["KmsKeyId"].as_str().filter(|key| !key.is_empty()))
        .key_if("sagemaker:VolumeKmsKey", resources["VolumeKmsKeyId"].as_str().filter(|key| !key.is_empty()));
    Ok(Checks::from(check).and_if(tagging::on_create(&arn, &tags, "CreateTransformJob")))
}

/// Refuses what a job could not do as asked.
fn check(input: &Value) -> Result<()> {
    refuse(input, &["DataCaptureConfig"])?;
    refuse(&input["TransformOutput"], &["KmsKeyId"])?;
    refuse(&input["TransformResources"], &["VolumeKmsKeyId", "TransformAmiVersion"])?;
    let source = &input["TransformInput"];
    let one_of = |what: &str, value: &Value, known: &[&str]| match value.as_str() {
        Some(given) if !known.contains(&given) => {
            Err(validation(format!("{what} {given} is not supported by this instance: use {}.", known.join(" or "))))
        }
        _ => Ok(()),
    };
    one_of("SplitType", &source["SplitType"], &["None", "Line"])?;
    one_of("CompressionType", &source["CompressionType"], &["None", "Gzip"])?;
    one_of("S3DataType", &source["DataSource"]["S3DataSource"]["S3DataType"], &["S3Prefix", "ManifestFile"])?;
    joining::Joining::read(input)?;
    for (what, uri) in
        [("S3Uri", &source["DataSource"]["S3DataSource"]["S3Uri"]), ("S3OutputPath", &input["TransformOutput"]["S3OutputPath"])]
    {
        let uri = uri.as_str().unwrap_or_default();
        if S3Uri::parse(uri).is_none() {
            return Err(validation(format!("{what} {uri} is not an S3 URI: expected s3://bucket/prefix.")));
        }
    }
    let number = |member: &str, default: i64| input[member].as_i64().unwrap_or(default);
    let (payload, at_a_time) = (number("MaxPayloadInMB", PAYLOAD_MB as i64), number("MaxConcurrentTransforms", 1));
    if payload < 0 || at_a_time < 0 || payload.max(1).saturating_mul(at_a_time.max(1)) > MAX_PAYLOAD_MB as i64 {
        return Err(validation(format!("MaxConcurrentTransforms * MaxPayloadInMB must not exceed {MAX_PAYLOAD_MB}.")));
    }
    let instances = input["TransformResources"]["InstanceCount"].as_u64().unwrap_or(1);
    if instances > MAX_INSTANCES {
        return Err(limit(format!(
            "The account-level service limit 'Instances for one transform job' is {MAX_INSTANCES} Instances, with a request delta of {instances} Instances."
        )));
    }
    Ok(())
}

async fn create(cx: &Cx, permit: Permit<CreateTransformJob>, mut input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    let name = text(&input, "TransformJobName").to_owned();
    let arn = arn(scope, &name);
    check(&input)?;
    let container = model::get(&cx.kernel, scope, text(&input, "ModelName")).await?.container;
    let machinery = container::machinery(&cx.kernel)?;
    if container.multi_model() {
        return Err(validation("A multi-model container cannot be used in a transform job."));
    }
    if container.direct {
        return Err(validation(
            "Containers that are invoked directly cannot be used in a transform job: use InferenceExecutionConfig Serial.",
        ));
    }
    container.check_images(&machinery)?;
    let instance_type = text(&input["TransformResources"], "InstanceType");
    if instance_limits(&machinery, instance_type).is_none() {
        return Err(validation(format!("InstanceType {instance_type} is not known by this instance.")));
    }
    if let Some(members) = input.as_object_mut() {
        members.remove("Tags");
    }
    let source_identity = crate::author::source_identity(&cx.caller);
    let job = Job { request: input, container, source_identity, started: None, ended: None, failure: None };
    let id = name.to_lowercase();
    let row = Row::new(names::TRANSFORM_JOB, scope, &id, cx.now()).name(&name).status("InProgress").with(&job)?;
    let (before, after) = (usage::Uses::new(), job.uses(&arn));
    let turn = usage::turn(scope, &before, &after).await;
    for _ in 0..usage::RACES {
        let mut batch = Batch::new();
        usage::admit(&cx.kernel, scope, &mut batch, &before, &after).await?;
        usage::change(&mut batch, scope, &before, &after, cx.now());
        batch.put(row.clone(), Expect::Absent);
        batch.set_tags(arn.as_str(), tags.clone());
        batch.enqueue(names::TRANSFORM_JOB.as_str(), key_of(scope, &id), cx.now());
        match cx.commit(batch).await {
            Err(error) if usage::raced(&error) => {}
            Err(CommitError::Conflict { .. }) => {
                return Err(in_use(format!(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
                )));
            }
            done => {
                done?;
                drop(turn);
                return Ok(Reply::new(json!({"TransformJobArn": arn})));
            }
        }
    }
    Err(throttled())
}

async fn resolve_named(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), text(input, "TransformJobName"))).into())
}

async fn row(cx: &Cx, scope: &Scope, name: &str) -> Result<Row> {
    cx.kernel.store().get(names::TRANSFORM_JOB, scope, &name.to_lowercase()).await?.ok_or_else(|| missing(name))
}

async fn describe(cx: &Cx, permit: Permit<DescribeTransformJob>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let row = row(cx, scope, text(&input, "TransformJobName")).await?;
    let job: Job = row.body()?;
    let mut output = job.request;
    output["TransformJobArn"] = json!(arn(scope, &row.name));
    output["TransformJobStatus"] = json!(row.status);
    output["CreationTime"] = json!(row.created);
    for (member, value) in [("TransformStartTime", job.started), ("TransformEndTime", job.ended)] {
        if let Some(time) = value {
            output[member] = json!(time);
        }
    }
    if let Some(reason) = job.failure {
        output["FailureReason"] = json!(reason);
    }
    Ok(Reply::new(output))
}

async fn resolve_list(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListTransformJobs>, filter: Filter) -> Result<Reply> {
    let scope = permit.scope();
    let page = listing::page(cx, scope, Shape::of(names::TRANSFORM_JOB), &filter, |_| true).await?;
    let mut items = Vec::new();
    for row in &page.rows {
        let job: Job = row.body()?;
        let mut item = json!({
            "TransformJobName": row.name,
            "TransformJobArn": arn(scope, &row.name),
            "CreationTime": row.created,
            "LastModifiedTime": row.updated,
            "TransformJobStatus": row.status,
        });
        if let Some(ended) = job.ended {
            item["TransformEndTime"] = json!(ended);
        }
        if let Some(reason) = job.failure {
            item["FailureReason"] = json!(reason);
        }
        items.push(item);
    }
    Ok(paged("TransformJobSummaries", items, page.next_token))
}

async fn stop(cx: &Cx, permit: Permit<StopTransformJob>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let mut row = row(cx, scope, text(&input, "TransformJobName")).await?;
    match row.status.as_str() {
        "InProgress" => {}
        "Stopping" => return Ok(Reply::empty()),
        over => return Err(validation(format!("The request was rejected because the transform job is in status {over}."))),
    }
    row.status = "Stopping".to_owned();
    let mut batch = Batch::new();
    batch.enqueue(names::TRANSFORM_JOB.as_str(), key_of(scope, &row.id), cx.now());
    batch.update(row.at(cx.now()));
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(validation("The request was rejected because the transform job has just ended.")),
        done => {
            done?;
            Ok(Reply::empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused() {
        let request = |path: &str, value: Value| {
            let mut request = json!({
                "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}, "SplitType": "Line"},
                "TransformOutput": {"S3OutputPath": "s3://bucket/out"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
            });
            if !path.is_empty() {
                *request.pointer_mut(path).unwrap_or(&mut Value::Null) = value.clone();
                if let Some(name) = path.strip_prefix('/').filter(|name| !name.contains('/')) {
                    request[name] = value;
                }
            }
            check(&request)
        };
        assert!(request("", Value::Null).is_ok());
        assert!(request("/MaxPayloadInMB", json!(MAX_PAYLOAD_MB)).is_ok());
        for (path, value) in [
            ("/MaxPayloadInMB", json!(MAX_PAYLOAD_MB + 1)),
            ("/MaxConcurrentTransforms", json!(17)),
            ("/DataCaptureConfig", json!({"DestinationS3Uri": "s3://bucket/c"})),
            ("/TransformInput/SplitType", json!("RecordIO")),
            ("/TransformInput/SplitType", json!("TFRecord")),
            ("/DataProcessing/JoinSource", json!("Input")),
            ("/DataProcessing/InputFilter", json!("$..a")),
            ("/TransformOutput/S3OutputPath", json!("https://bucket/out")),
            ("/TransformResources/InstanceCount", json!(MAX_INSTANCES + 1)),
        ] {
            assert!(request(path, value.clone()).is_err(), "{path} {value}");
        }
    }
}
