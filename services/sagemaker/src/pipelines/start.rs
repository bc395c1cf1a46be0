//! StartPipelineExecution.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tenantry_core::{Arn, Result, Scope};
use tenantry_flow::pipeline::{Bound, Definition, Execution, ExecutionInfo, bind};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply, reconcile};
use tenantry_store::{Batch, ByScope, CommitError, Expect, Row};

use super::{
    change::{changed, role_of},
    quota,
    record::{self, ExecutionRecord, LAST_RUN, Parallelism, PipelineRecord, RUNNING, STATE},
    versions::{self, Wanted},
};
use crate::{
    author,
    error::{limit, validation},
    names,
    operation::operation,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartInput {
    pipeline_name: String,
    pipeline_execution_display_name: Option<String>,
    #[serde(default)]
    pipeline_parameters: Vec<Parameter>,
    pipeline_execution_description: Option<String>,
    client_request_token: String,
    parallelism_configuration: Option<Parallelism>,
    selective_execution_config: Option<Value>,
    role_arn: Option<String>,
    #[serde(flatten)]
    version: Wanted,
    mlflow_experiment_name: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    value: String,
}

operation!(StartPipelineExecution, ["pipeline"] + ["sagemaker:PipelineVersionId"] and ["iam:PassRole"], StartInput, resolve, start);

async fn resolve(cx: &Cx, action: &'static str, input: &StartInput) -> Result<Checks> {
    let role = input.role_arn.as_deref().map(|role| role_of(cx, role)).transpose()?;
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let pass = role.map(|role| Check::pass_role_for(role, names::PRINCIPAL, &arn));
    let version = input.version.key(cx, &arn).await?;
    Ok(Checks::from(Check::on(action, arn).key_if("sagemaker:PipelineVersionId", version)).and_if(pass))
}

async fn start(cx: &Cx, permit: Permit<StartPipelineExecution>, input: StartInput) -> Result<Reply> {
    if input.mlflow_experiment_name.is_some() {
        return Err(validation("MLflow experiments are not supported: start the pipeline without MlflowExperimentName."));
    }
    let (scope, now) = (permit.scope(), cx.now());
    let pipeline_arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let row = record::pipeline(cx, scope, &pipeline_arn).await?;
    let pipeline: PipelineRecord = row.body()?;
    let (version, text) = match input.version.number(&pipeline_arn, &pipeline)? {
        Some(number) => (number, versions::get(&cx.kernel, scope, &pipeline_arn, &row, number).await?.1.text),
        None => (pipeline.version, record::definition_text(&cx.kernel, scope, &row.id).await?),
    };
    let definition = Definition::parse(&text).map_err(|error| validation(error.to_string()))?;
    let given: Vec<_> = input.pipeline_parameters.into_iter().map(|p| (p.name, p.value)).collect();
    let parameters = bind(&definition, &given).map_err(validation)?;

    // The same token is the same execution: its id follows from the token.
    let execution = execution_of(&pipeline_arn, row.created.millis(), &input.client_request_token);
    let arn = names::arn(scope, "pipeline", &format!("{}/execution/{execution}", row.id));
    let (id, _) = record::execution_id(&arn);
    if cx.kernel.store().get(names::EXECUTION, scope, &id).await?.is_some() {
        return Ok(Reply::new(json!({"PipelineExecutionArn": arn})));
    }
    room(cx, scope, &row.id).await?;

    let parallelism = input.parallelism_configuration.map(|p| p.max_parallel_execution_steps).or(pipeline.parallelism);
    let info = ExecutionInfo {
        pipeline_name: pipeline.name.clone(),
        pipeline_arn: pipeline_arn.to_string(),
        execution_id: execution,
        execution_arn: arn.to_string(),
        start: now,
        max_parallel_steps: parallelism,
    };
    let state = match &input.selective_execution_config {
        Some(config) => selecting(cx, scope, &row.id, &definition, parameters, info, config).await?,
        None => Execution::new(parameters, info),
    };
    let by = author::of(&cx.caller);
    let record = ExecutionRecord {
        arn: arn.to_string(),
        pipeline_arn: pipeline_arn.to_string(),
        display_name: input.pipeline_execution_display_name,
        description: input.pipeline_execution_description,
        role: input.role_arn.unwrap_or(pipeline.role),
        parallelism,
        experiment: state.experiment(&definition),
        no_experiment: false,
        selective: input.selective_execution_config,
        version: Some(version),
        failure_reason: None,
        created_by: by.clone(),
        modified_by: by,
        source_identity: author::source_identity(&cx.caller),
    };
    let mut batch = Batch::new();
    batch.require(names::PIPELINE, scope, &*row.id, Expect::Present);
    batch.put(Row::new(LAST_RUN, scope, &*row.id, now), Expect::Any);
    let of_version = Row::new(versions::VERSION_RUN, scope, versions::id(&row.id, version), now).parent(&*row.id);
    batch.put(of_version.with(&arn)?, Expect::Any);
    batch.put(record::running(scope, &id, &row.id, now), Expect::Any);
    batch.put(Row::new(names::EXECUTION, scope, &*id, now).parent(&*row.id).status("Executing").with(&record)?, Expect::Absent);
    batch.put(Row::new(STATE, scope, &*id, now).parent(&*row.id).with(&state)?, Expect::Absent);
    batch.put(record::definition_row(scope, &id, &row.id, &text, now)?, Expect::Any);
    batch.enqueue(names::EXECUTION.as_str(), reconcile::key_of(scope, &id), now);
    match cx.commit(batch).await {
        // The same request at the same time.
        Err(CommitError::Conflict { .. }) => {}
        Err(CommitError::NotFound { .. }) => return Err(record::no_pipeline(&pipeline_arn)),
        done => done.map_err(changed)?,
    }
    Ok(Reply::new(json!({"PipelineExecutionArn": arn})))
}

/// Twelve letters and digits that a client token stands for, in one life of one pipeline.
fn execution_of(pipeline: &Arn, created: i64, token: &str) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let digest = Sha256::digest(format!("{pipeline}\n{created}\n{token}"));
    digest.chunks(2).take(12).map(|pair| char::from(ALPHABET[(usize::from(pair[0]) * 256 + usize::from(pair[1])) % 36])).collect()
}

/// Refuses one execution too many.
async fn room(cx: &Cx, scope: &Scope, pipeline: &str) -> Result<()> {
    let running = cx.kernel.store().count(RUNNING, ByScope::Exact(scope), Some(pipeline)).await?;
    if running < quota::RUNNING_EXECUTIONS {
        return Ok(());
    }
    Err(limit(format!(
        "The service limit 'Maximum number of concurrent executions of a pipeline' is {} Executions, with current utilization of {running} Executions.",
        quota::RUNNING_EXECUTIONS
    )))
}

/// An execution of some steps, which takes the others from the earlier one that is named.
async fn selecting(
    cx: &Cx,
    scope: &Scope,
    pipeline: &str,
    definition: &Definition,
    parameters: Bound,
    info: ExecutionInfo,
    config: &Value,
) -> Result<Execution> {
    let steps = config.get("SelectedSteps").and_then(Value::as_array);
    let steps: Vec<String> = steps.into_iter().flatten().filter_map(|step| step.get("StepName")?.as_str().map(str::to_owned)).collect();
    let id = match config.get("SourcePipelineExecutionArn").and_then(Value::as_str) {
        Some(text) => {
            let arn = record::execution_arn(cx, text)?;
            let (id, of) = record::execution_id(&arn);
            if arn.account() != scope.account.as_str() || of != pipeline {
                return Err(validation(format!("Invalid SourcePipelineExecutionArn: {text} is not an execution of this pipeline")));
            }
            let status = record::execution(cx, scope, &arn).await?.status;
            if !matches!(status.as_str(), "Succeeded" | "Failed") {
                return Err(validation(format!(
                    "Invalid SourcePipelineExecutionArn: {text}. The source execution must be in status Succeeded or Failed, it is in status {status}"
                )));
            }
            Some(id)
        }
        // Clients that want the latest execution name it.
        None => None,
    };
    let source: Option<Execution> = match id {
        Some(id) => cx.kernel.store().get(STATE, scope, &id).await?.map(|row| row.body()).transpose()?,
        None => None,
    };
    Execution::selecting(definition, parameters, info, &steps, source.as_ref()).map_err(validation)
}
