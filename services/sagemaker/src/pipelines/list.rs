//! ListPipelines, ListPipelineExecutions, ListPipelineExecutionSteps, ListPipelineParametersForExecution.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_flow::pipeline::view;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::Row;

use super::{
    record::{self, ExecutionRecord, PipelineRecord, members},
    versions::{self, Wanted},
};
use crate::{
    error::{not_found, validation},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
};

/// Elements of a page where the request does not say.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PipelinesInput {
    pipeline_name_prefix: Option<String>,
    managed_by: Option<String>,
    created_after: Option<tenantry_core::Timestamp>,
    created_before: Option<tenantry_core::Timestamp>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

operation!(ListPipelines, ["*"], PipelinesInput, resolve_pipelines, pipelines);

async fn resolve_pipelines(_: &Cx, action: &'static str, _: &PipelinesInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn pipelines(cx: &Cx, permit: Permit<ListPipelines>, input: PipelinesInput) -> Result<Reply> {
    let filter = Filter {
        creation_time_after: input.created_after,
        creation_time_before: input.created_before,
        sort_by: input.sort_by,
        sort_order: input.sort_order,
        max_results: input.max_results,
        next_token: input.next_token,
        ..Filter::default()
    };
    let prefix = input.pipeline_name_prefix.unwrap_or_default().to_lowercase();
    let ours = input.managed_by.is_none_or(|by| by == "CUSTOMER");
    let page = listing::page(cx, permit.scope(), Shape::of(names::PIPELINE), &filter, |row| ours && row.id.starts_with(&prefix)).await?;
    let mut summaries = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let pipeline: PipelineRecord = row.body()?;
        let last_run = record::last_run(&cx.kernel, permit.scope(), &row.id).await?;
        summaries.push(Value::from(members([
            ("PipelineArn", Some(json!(pipeline.arn))),
            ("PipelineName", Some(json!(pipeline.name))),
            ("PipelineDisplayName", Some(json!(pipeline.display_name.as_ref().unwrap_or(&pipeline.name)))),
            ("PipelineDescription", pipeline.description.map(Value::from)),
            ("RoleArn", Some(json!(pipeline.role))),
            ("CreationTime", Some(json!(row.created))),
            ("LastModifiedTime", Some(json!(row.updated))),
            ("LastExecutionTime", last_run.map(|time| json!(time))),
        ])));
    }
    Ok(paged("PipelineSummaries", summaries, page.next_token))
}

fn paged(member: &str, list: Vec<Value>, next_token: Option<String>) -> Reply {
    Reply::new(members([(member, Some(list.into())), ("NextToken", next_token.map(Value::from))]).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExecutionsInput {
    pipeline_name: String,
    pipeline_version_alias: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListPipelineExecutions, ["pipeline"], ExecutionsInput, resolve_executions, executions);

async fn resolve_executions(cx: &Cx, action: &'static str, input: &ExecutionsInput) -> Result<Checks> {
    Ok(Check::on(action, record::pipeline_arn(cx, &input.pipeline_name)?).into())
}

async fn executions(cx: &Cx, permit: Permit<ListPipelineExecutions>, mut input: ExecutionsInput) -> Result<Reply> {
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let row = record::pipeline(cx, permit.scope(), &arn).await?;
    if input.filter.sort_by.as_deref() == Some("PipelineExecutionArn") {
        // Rows of executions have no name, so that their ids count, which are ordered like their ARNs.
        input.filter.sort_by = Some("Name".to_owned());
    }
    let pipeline: PipelineRecord = row.body()?;
    let wanted = Wanted { pipeline_version_id: None, pipeline_version_alias: input.pipeline_version_alias }.number(&arn, &pipeline)?;
    let of_version = |row: &Row| wanted.is_none() || row.body::<ExecutionRecord>().is_ok_and(|execution| execution.version == wanted);
    let page = listing::page(cx, permit.scope(), Shape::of(names::EXECUTION).parent(&row.id), &input.filter, of_version).await?;
    let mut summaries = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let execution: ExecutionRecord = row.body()?;
        summaries.push(Value::from(members([
            ("PipelineExecutionArn", Some(json!(execution.arn))),
            ("StartTime", Some(json!(row.created))),
            ("PipelineExecutionStatus", Some(json!(row.status))),
            ("PipelineExecutionDescription", execution.description.map(Value::from)),
            ("PipelineExecutionDisplayName", execution.display_name.map(Value::from)),
            ("PipelineExecutionFailureReason", execution.failure_reason.map(Value::from)),
            ("PipelineVersionAliases", execution.version.and_then(|version| versions::aliases(&pipeline, version))),
        ])));
    }
    Ok(paged("PipelineExecutionSummaries", summaries, page.next_token))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfExecutionInput {
    pipeline_execution_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
    sort_order: Option<String>,
}

operation!(ListPipelineExecutionSteps, ["pipeline-execution"], OfExecutionInput, resolve_of, steps);
operation!(ListPipelineParametersForExecution, ["pipeline-execution"], OfExecutionInput, resolve_of, parameters);

impl OfExecutionInput {
    fn arn(&self, cx: &Cx) -> Result<tenantry_core::Arn> {
        let text = self.pipeline_execution_arn.as_deref().ok_or_else(|| validation("PipelineExecutionArn must be specified."))?;
        record::execution_arn(cx, text)
    }

    async fn load(&self, cx: &Cx, scope: &tenantry_core::Scope) -> Result<record::Loaded> {
        let arn = self.arn(cx)?;
        let (id, _) = record::execution_id(&arn);
        let run = record::load(&cx.kernel, scope, &id).await?;
        run.ok_or_else(|| not_found(format!("PipelineExecution '{arn}' does not exist.")))
    }

    /// A page of `all`; the token is the number of elements before it, which rise only at the end that is read last.
    fn page(&self, member: &str, mut all: Vec<Value>) -> Result<Reply> {
        let from = match &self.next_token {
            Some(token) => {
                token.strip_prefix("p-").and_then(|n| n.parse().ok()).ok_or_else(|| validation("The NextToken is not valid."))?
            }
            None => 0_usize,
        };
        let mut page = all.split_off(from.min(all.len()));
        let size = self.max_results.unwrap_or(PAGE);
        let next = (page.len() > size).then(|| format!("p-{}", from + size));
        page.truncate(size);
        Ok(paged(member, page, next))
    }
}

async fn resolve_of(cx: &Cx, action: &'static str, input: &OfExecutionInput) -> Result<Checks> {
    Ok(Check::on(action, input.arn(cx)?).into())
}

async fn steps(cx: &Cx, permit: Permit<ListPipelineExecutionSteps>, input: OfExecutionInput) -> Result<Reply> {
    let run = input.load(cx, permit.scope()).await?;
    let mut steps = view::steps(&run.state, &run.definition);
    if input.sort_order.as_deref() != Some("Ascending") {
        steps.reverse();
    }
    input.page("PipelineExecutionSteps", steps)
}

async fn parameters(cx: &Cx, permit: Permit<ListPipelineParametersForExecution>, input: OfExecutionInput) -> Result<Reply> {
    let run = input.load(cx, permit.scope()).await?;
    let parameters = run.state.parameters().iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    input.page("PipelineParameters", parameters)
}
