//! UpdateTrainingJob and DeleteTrainingJob.
//!
//! What can be changed of a job that runs is how it is profiled; the profiler's settings are kept and described, as those
//! of CreateTrainingJob are. Remote debugging and warm pools are not there and are refused by name.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, reconcile::key_of};
use tenantry_store::{Batch, CommitError, Expect};

use super::{
    plan::refuse,
    record::{Of, Phase},
    training::{Named, missing, on_job},
    verbs,
};
use crate::{
    error::{in_use, not_found, validation},
    operation::operation,
};

/// The operations of this module.
pub(crate) fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<UpdateTrainingJob>(), OperationRow::of::<DeleteTrainingJob>()]
}

/// A job's row changes a few times in its whole life.
const CONFLICTS: usize = 20;

/// The input of UpdateTrainingJob.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Update {
    training_job_name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(
    UpdateTrainingJob,
    ["training-job"] + ["sagemaker:EnableRemoteDebug", "sagemaker:InstanceTypes", "sagemaker:KeepAlivePeriod"],
    Update,
    update_checks,
    update
);

async fn update_checks(cx: &Cx, action: &'static str, input: &Update) -> Result<Checks> {
    let request = Value::Object(input.rest.clone());
    let check = Check::on(action, Of::Training.arn(&cx.scope(), &input.training_job_name));
    let check = verbs::key(check, "sagemaker:KeepAlivePeriod", &request["ResourceConfig"]["KeepAlivePeriodInSeconds"]);
    let debug = request["RemoteDebugConfig"]["EnableRemoteDebug"].as_bool().map(|on| on.to_string());
    Ok(check.key_if("sagemaker:EnableRemoteDebug", debug).into())
}

async fn update(cx: &Cx, permit: Permit<UpdateTrainingJob>, input: Update) -> Result<Reply> {
    let scope = permit.scope();
    let request = Value::Object(input.rest);
    refuse(&request["RemoteDebugConfig"], "EnableRemoteDebug", "there is no remote shell into jobs")?;
    refuse(&request, "ResourceConfig", "there are no warm pools, so there is nothing to keep alive longer or to let go")?;
    for _ in 0..CONFLICTS {
        let (row, mut record) =
            verbs::get(cx, scope, Of::Training, &input.training_job_name, not_found("Requested resource not found.")).await?;
        if record.state.phase == Phase::Over {
            let status = record.state.status();
            return Err(validation(format!("The request was rejected because the training job is in status {status}.")));
        }
        if let Some(changed) = request["ProfilerConfig"].as_object() {
            let profiler = record.request.entry("ProfilerConfig").or_insert_with(|| json!({}));
            if let Some(profiler) = profiler.as_object_mut() {
                profiler.extend(changed.clone());
            }
        }
        if let Some(rules) = request["ProfilerRuleConfigurations"].as_array() {
            record.request.insert("ProfilerRuleConfigurations".to_owned(), json!(rules));
        }
        let arn = Of::Training.arn(scope, &row.id);
        let mut batch = Batch::new();
        batch.update(record.into_row(row, cx.now())?);
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::new(json!({"TrainingJobArn": arn}))),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AwsError::internal(format!("the training job changed {CONFLICTS} times while it was to be updated")))
}

operation!(DeleteTrainingJob, ["training-job"], Named, on_job, delete);

/// What it left in S3 and its log stay. The name is free again.
async fn delete(cx: &Cx, permit: Permit<DeleteTrainingJob>, input: Named) -> Result<Reply> {
    let scope = permit.scope();
    let missing = not_found(missing().message);
    let (row, record) = verbs::get(cx, scope, Of::Training, &input.training_job_name, missing).await?;
    if record.state.phase != Phase::Over {
        let status = record.state.status();
        return Err(in_use(format!("The training job is in status {status}: stop it, and wait until it has stopped.")));
    }
    let mut batch = Batch::new();
    batch.set_tags(Of::Training.arn(scope, &row.id).as_str(), Vec::new());
    batch.delete(Of::Training.name_kind(), scope, row.id.to_lowercase(), Expect::Any);
    batch.delete(Of::Training.kind(), scope, &*row.id, Expect::Version(row.version));
    // One more step removes what a last one may have left.
    batch.enqueue(Of::Training.kind().as_str(), key_of(scope, &row.id), cx.now());
    cx.commit(batch).await?;
    Ok(Reply::empty())
}
