//! The rows of pipelines and executions, and how they are found by name or ARN.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_flow::pipeline::{Definition, Execution};
use tenantry_kernel::{Cx, Kernel};
use tenantry_store::{Batch, Expect, Kind, Row};

use crate::{
    error::{not_found, validation},
    names,
};

/// Definition texts; id: as the pipeline's or the execution's row, parent: the pipeline.
pub(super) const DEFINITION: Kind = Kind::new("sagemaker.definition");
/// States of executions; id and parent: as the execution's row.
pub(super) const STATE: Kind = Kind::new("sagemaker.execution-state");
/// When a pipeline was started last: a row of its own, so that starts do not contend with changes.
pub(super) const LAST_RUN: Kind = Kind::new("sagemaker.pipeline-run");
/// A mark for each execution that is not over, with the pipeline as its parent: counted and asked for without its history.
pub(super) const RUNNING: Kind = Kind::new("sagemaker.running-execution");
/// The newest successful run of a step; id: `<pipeline>/<cache key>`, parent: the pipeline.
pub(super) const STEP_CACHE: Kind = Kind::new("sagemaker.step-cache");

/// A pipeline without its definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PipelineRecord {
    pub arn: String,
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub role: String,
    pub parallelism: Option<u32>,
    pub created_by: Value,
    pub modified_by: Value,
    /// CreatePipeline's client token.
    pub token: String,
    /// The latest version.
    #[serde(default = "first_version")]
    pub version: u64,
    /// Versions by their aliases.
    #[serde(default)]
    pub aliases: BTreeMap<String, u64>,
}

const fn first_version() -> u64 {
    1
}

/// An execution without its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecutionRecord {
    pub arn: String,
    pub pipeline_arn: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub role: String,
    pub parallelism: Option<u32>,
    /// Experiment and trial.
    pub experiment: Option<(String, String)>,
    /// Whether the role was not allowed to make them: the jobs are then recorded in none.
    #[serde(default)]
    pub no_experiment: bool,
    pub selective: Option<Value>,
    /// The version of the pipeline that it runs.
    #[serde(default)]
    pub version: Option<u64>,
    pub failure_reason: Option<String>,
    pub created_by: Value,
    pub modified_by: Value,
    pub source_identity: Option<String>,
}

/// The newest successful run of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CachedRun {
    pub execution: String,
    pub ended: Timestamp,
    pub outputs: Value,
}

/// A definition's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DefinitionRecord {
    pub text: String,
}

/// The ARN that a `PipelineName` means, which may be a name in any case or an ARN.
pub(super) fn pipeline_arn(cx: &Cx, name: &str) -> Result<Arn> {
    if !name.starts_with("arn:") {
        return Ok(names::arn(&cx.scope(), "pipeline", name));
    }
    let arn = here(cx, name)?;
    match arn.resource().strip_prefix("pipeline/") {
        Some(name) if !name.contains('/') => Ok(names::arn(&owner(&arn), "pipeline", name)),
        _ => Err(validation(format!("Invalid pipeline ARN: {name}"))),
    }
}

/// The ARN of an execution, its pipeline's name in lower case.
pub(super) fn execution_arn(cx: &Cx, text: &str) -> Result<Arn> {
    let arn = here(cx, text)?;
    match arn.resource().strip_prefix("pipeline/").and_then(|rest| rest.split_once("/execution/")) {
        Some((pipeline, execution)) if !pipeline.contains('/') && !execution.contains('/') => {
            Ok(names::arn(&owner(&arn), "pipeline", &format!("{pipeline}/execution/{execution}")))
        }
        _ => Err(validation(format!("Invalid pipeline execution ARN: {text}"))),
    }
}

fn here(cx: &Cx, text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).map_err(|_| validation(format!("Invalid ARN: {text}")))?;
    if arn.service() != "sagemaker" || arn.region() != cx.region.as_str() {
        return Err(validation(format!("Invalid ARN: {text} is not of SageMaker in {}", cx.region)));
    }
    Ok(arn)
}

fn owner(arn: &Arn) -> Scope {
    Scope::new(arn.account(), arn.region())
}

/// The id of the row behind a pipeline's ARN.
pub(super) fn pipeline_id(arn: &Arn) -> &str {
    arn.resource_type_and_id().1
}

/// The id of the row behind an execution's ARN, and its pipeline's.
pub(super) fn execution_id(arn: &Arn) -> (String, &str) {
    let (pipeline, execution) = arn.resource_type_and_id().1.split_once("/execution/").unwrap_or_default();
    (format!("{pipeline}/{execution}"), pipeline)
}

/// `ResourceNotFound` of a pipeline.
pub(super) fn no_pipeline(arn: &Arn) -> AwsError {
    not_found(format!("Pipeline '{arn}' does not exist."))
}

/// A pipeline's row.
pub(super) async fn pipeline(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<Row> {
    cx.kernel.store().get(names::PIPELINE, scope, pipeline_id(arn)).await?.ok_or_else(|| no_pipeline(arn))
}

/// An execution's row.
pub(super) async fn execution(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<Row> {
    let (id, _) = execution_id(arn);
    let row = cx.kernel.store().get(names::EXECUTION, scope, &id).await?;
    row.ok_or_else(|| not_found(format!("PipelineExecution '{arn}' does not exist.")))
}

/// When a pipeline was started last.
pub(crate) async fn last_run(kernel: &Kernel, scope: &Scope, id: &str) -> Result<Option<Timestamp>> {
    Ok(kernel.store().get(LAST_RUN, scope, id).await?.map(|row| row.updated))
}

/// The definition text of a pipeline or an execution.
pub(super) async fn definition_text(kernel: &Kernel, scope: &Scope, id: &str) -> Result<String> {
    let row = kernel.store().get(DEFINITION, scope, id).await?;
    let row = row.ok_or_else(|| AwsError::internal(format!("the definition of {id} is missing")))?;
    Ok(row.body::<DefinitionRecord>()?.text)
}

/// The row of a definition text.
pub(super) fn definition_row(scope: &Scope, id: &str, pipeline: &str, text: &str, now: Timestamp) -> Result<Row> {
    Ok(Row::new(DEFINITION, scope, id, now).parent(pipeline).with(&DefinitionRecord { text: text.to_owned() })?)
}

/// The mark of an execution that is not over.
pub(super) fn running(scope: &Scope, id: &str, pipeline: &str, now: Timestamp) -> Row {
    Row::new(RUNNING, scope, id, now).parent(pipeline)
}

/// An execution, all of it.
pub(super) struct Loaded {
    pub row: Row,
    pub state_row: Row,
    pub record: ExecutionRecord,
    pub state: Execution,
    pub definition: Definition,
}

/// Everything about an execution; `None` where there is none (any more).
pub(super) async fn load(kernel: &Kernel, scope: &Scope, id: &str) -> Result<Option<Loaded>> {
    let Some(row) = kernel.store().get(names::EXECUTION, scope, id).await? else { return Ok(None) };
    let Some(state_row) = kernel.store().get(STATE, scope, id).await? else { return Ok(None) };
    let text = definition_text(kernel, scope, id).await?;
    let definition = Definition::parse(&text).map_err(AwsError::internal)?;
    Ok(Some(Loaded { record: row.body()?, state: state_row.body()?, row, state_row, definition }))
}

impl Loaded {
    /// Adds both rows as they are now to a batch; another change since they were read makes it fail.
    pub(super) fn save(&self, batch: &mut Batch, now: Timestamp) -> Result<()> {
        if self.state.status().is_final() {
            batch.delete(RUNNING, &self.row.scope, &*self.row.id, Expect::Any);
        } else if !matches!(self.row.status.as_str(), "Executing" | "Stopping") {
            batch.put(running(&self.row.scope, &self.row.id, &self.row.parent, now), Expect::Any);
        }
        let record = ExecutionRecord { failure_reason: self.state.failure_reason().map(str::to_owned), ..self.record.clone() };
        let status = format!("{:?}", self.state.status());
        batch.update(self.row.clone().status(status).at(now).with(&record)?);
        batch.update(self.state_row.clone().at(now).with(&self.state)?);
        Ok(())
    }
}

/// What DescribePipeline and Search show of a pipeline; the definition is added by the former.
pub(crate) fn pipeline_document(row: &Row, record: &PipelineRecord, last_run: Option<Timestamp>) -> Map<String, Value> {
    members([
        ("PipelineArn", Some(json!(record.arn))),
        ("PipelineName", Some(json!(record.name))),
        ("PipelineDisplayName", Some(json!(record.display_name.as_ref().unwrap_or(&record.name)))),
        ("PipelineDescription", record.description.as_ref().map(|text| json!(text))),
        ("RoleArn", Some(json!(record.role))),
        ("PipelineStatus", Some(json!(row.status))),
        ("CreationTime", Some(json!(row.created))),
        ("LastModifiedTime", Some(json!(row.updated))),
        ("LastRunTime", last_run.map(|time| json!(time))),
        ("CreatedBy", Some(record.created_by.clone())),
        ("LastModifiedBy", Some(record.modified_by.clone())),
        ("ParallelismConfiguration", record.parallelism.map(parallelism_document)),
    ])
}

/// What DescribePipelineExecution and Search show of an execution.
pub(crate) fn execution_document(row: &Row, record: &ExecutionRecord) -> Map<String, Value> {
    let experiment = record.experiment.as_ref().map(|(experiment, trial)| json!({"ExperimentName": experiment, "TrialName": trial}));
    members([
        ("PipelineArn", Some(json!(record.pipeline_arn))),
        ("PipelineExecutionArn", Some(json!(record.arn))),
        ("PipelineExecutionDisplayName", record.display_name.as_ref().map(|text| json!(text))),
        ("PipelineExecutionStatus", Some(json!(row.status))),
        ("PipelineExecutionDescription", record.description.as_ref().map(|text| json!(text))),
        ("PipelineExperimentConfig", experiment),
        ("FailureReason", record.failure_reason.as_ref().map(|text| json!(text))),
        ("CreationTime", Some(json!(row.created))),
        ("LastModifiedTime", Some(json!(row.updated))),
        ("CreatedBy", Some(record.created_by.clone())),
        ("LastModifiedBy", Some(record.modified_by.clone())),
        ("ParallelismConfiguration", record.parallelism.map(parallelism_document)),
        ("SelectiveExecutionConfig", record.selective.clone()),
    ])
}

fn parallelism_document(max: u32) -> Value {
    json!({"MaxParallelExecutionSteps": max})
}

/// An object of those members that are there.
pub(crate) fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Map<String, Value> {
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// `ParallelismConfiguration`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Parallelism {
    pub max_parallel_execution_steps: u32,
}
