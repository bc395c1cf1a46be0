//! DescribePipeline, DescribePipelineExecution, DescribePipelineDefinitionForExecution.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::record::{self, ExecutionRecord, PipelineRecord, execution_document, pipeline_document};
use crate::{error::validation, operation::operation};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PipelineInput {
    pipeline_name: String,
    pipeline_version_id: Option<Value>,
    pipeline_version_alias: Option<Value>,
}

operation!(DescribePipeline, ["pipeline"] + ["sagemaker:PipelineVersionId"], PipelineInput, resolve_pipeline, pipeline);

async fn resolve_pipeline(cx: &Cx, action: &'static str, input: &PipelineInput) -> Result<Checks> {
    let version = input.pipeline_version_id.as_ref().map(ToString::to_string);
    Ok(Check::on(action, record::pipeline_arn(cx, &input.pipeline_name)?).key_if("sagemaker:PipelineVersionId", version).into())
}

async fn pipeline(cx: &Cx, permit: Permit<DescribePipeline>, input: PipelineInput) -> Result<Reply> {
    if input.pipeline_version_id.is_some() || input.pipeline_version_alias.is_some() {
        return Err(validation("Pipeline versions are not supported: describe the pipeline without a version."));
    }
    let scope = permit.scope();
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let row = record::pipeline(cx, scope, &arn).await?;
    let pipeline: PipelineRecord = row.body()?;
    let last_run = record::last_run(&cx.kernel, scope, &row.id).await?;
    let mut document = pipeline_document(&row, &pipeline, last_run);
    document.insert("PipelineDefinition".to_owned(), json!(record::definition_text(&cx.kernel, scope, &row.id).await?));
    Ok(Reply::new(document.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExecutionInput {
    pipeline_execution_arn: String,
}

operation!(DescribePipelineExecution, ["pipeline-execution"], ExecutionInput, resolve_execution, execution);
operation!(DescribePipelineDefinitionForExecution, ["pipeline-execution"], ExecutionInput, resolve_execution, definition);

async fn resolve_execution(cx: &Cx, action: &'static str, input: &ExecutionInput) -> Result<Checks> {
    Ok(Check::on(action, record::execution_arn(cx, &input.pipeline_execution_arn)?).into())
}

async fn execution(cx: &Cx, permit: Permit<DescribePipelineExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    let row = record::execution(cx, permit.scope(), &arn).await?;
    let execution: ExecutionRecord = row.body()?;
    let mut document = execution_document(&row, &execution);
    document.insert("RoleArn".to_owned(), json!(execution.role));
    Ok(Reply::new(document.into()))
}

async fn definition(cx: &Cx, permit: Permit<DescribePipelineDefinitionForExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    let row = record::execution(cx, permit.scope(), &arn).await?;
    let text = record::definition_text(&cx.kernel, permit.scope(), &row.id).await?;
    Ok(Reply::new(json!({"PipelineDefinition": text, "CreationTime": row.created})))
}
