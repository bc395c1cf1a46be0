//! DescribePipeline, DescribePipelineExecution, DescribePipelineDefinitionForExecution.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::{
    record::{self, ExecutionRecord, PipelineRecord, execution_document, members, pipeline_document},
    versions::{self, Wanted},
};
use crate::{names, operation::operation};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PipelineInput {
    pipeline_name: String,
    #[serde(flatten)]
    version: Wanted,
}

operation!(DescribePipeline, ["pipeline"] + ["sagemaker:PipelineVersionId"], PipelineInput, resolve_pipeline, pipeline);

async fn resolve_pipeline(cx: &Cx, action: &'static str, input: &PipelineInput) -> Result<Checks> {
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let version = input.version.key(cx, &arn).await?;
    Ok(Check::on(action, arn).key_if("sagemaker:PipelineVersionId", version).into())
}

async fn pipeline(cx: &Cx, permit: Permit<DescribePipeline>, input: PipelineInput) -> Result<Reply> {
    let scope = permit.scope();
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let row = record::pipeline(cx, scope, &arn).await?;
    let pipeline: PipelineRecord = row.body()?;
    let last_run = record::last_run(&cx.kernel, scope, &row.id).await?;
    let mut document = pipeline_document(&row, &pipeline, last_run);
    let number = input.version.number(&arn, &pipeline)?.unwrap_or(pipeline.version);
    let (_, version) = versions::get(&cx.kernel, scope, &arn, &row, number).await?;
    document.insert("PipelineDefinition".to_owned(), json!(version.text));
    document.extend(members([
        ("PipelineVersionDisplayName", version.display_name.map(Value::from)),
        ("PipelineVersionDescription", version.description.map(Value::from)),
        ("PipelineVersionAliases", versions::aliases(&pipeline, number)),
    ]));
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
    if let Some(version) = execution.version {
        document.insert("PipelineVersionId".to_owned(), json!(version));
        let pipeline = cx.kernel.store().get(names::PIPELINE, permit.scope(), &row.parent).await?;
        let named =
            pipeline.map(|row| row.body::<PipelineRecord>()).transpose()?.and_then(|pipeline| versions::aliases(&pipeline, version));
        document.extend(members([("PipelineVersionAliases", named)]));
    }
    Ok(Reply::new(document.into()))
}

async fn definition(cx: &Cx, permit: Permit<DescribePipelineDefinitionForExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    let row = record::execution(cx, permit.scope(), &arn).await?;
    let text = record::definition_text(&cx.kernel, permit.scope(), &row.id).await?;
    Ok(Reply::new(json!({"PipelineDefinition": text, "CreationTime": row.created})))
}
