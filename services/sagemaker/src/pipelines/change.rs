//! CreatePipeline, UpdatePipeline, DeletePipeline.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Scope, Tag};
use tenantry_flow::pipeline::Definition;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, ByScope, CommitError, Expect, List, Row};

use super::{
    quota,
    record::{self, LAST_RUN, Parallelism, PipelineRecord, RUNNING, STATE, STEP_CACHE},
    versions,
};
use crate::{
    author,
    error::{conflict, limit, validation},
    names,
    operation::operation,
    tagging,
};

/// Where a definition comes from: exactly one of these.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Source {
    pipeline_definition: Option<String>,
    pipeline_definition_s3_location: Option<S3Location>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Location {
    bucket: String,
    object_key: String,
    version_id: Option<String>,
}

impl Source {
    fn is_given(&self) -> bool {
        self.pipeline_definition.is_some() || self.pipeline_definition_s3_location.is_some()
    }

    /// The text, read as the caller and found to be a definition; `None` where none is given.
    async fn text(&self, cx: &Cx) -> Result<Option<String>> {
        let text = match (&self.pipeline_definition, &self.pipeline_definition_s3_location) {
            (Some(_), Some(_)) => {
                return Err(validation("Only one of PipelineDefinition or PipelineDefinitionS3Location can be specified."));
            }
            (Some(text), None) => text.clone(),
            (None, Some(location)) => fetch(cx, location).await?,
            (None, None) => return Ok(None),
        };
        Definition::parse(&text).map_err(|error| validation(error.to_string()))?;
        Ok(Some(text))
    }
}

async fn fetch(cx: &Cx, location: &S3Location) -> Result<String> {
    let at = format!("s3://{}/{}", location.bucket, location.object_key);
    let refused = |why: String| validation(format!("Unable to read the pipeline definition from {at}: {why}"));
    let mut request = json!({"Bucket": location.bucket, "Key": location.object_key});
    if let Some(version) = &location.version_id {
        request["VersionId"] = json!(version);
    }
    let caller = cx.caller.forwarded(names::PRINCIPAL);
    let reply = cx.kernel.call(&caller, &cx.region, "s3", "GetObject", request).await.map_err(|error| refused(error.message))?;
    let body = reply.body.unwrap_or_else(tenantry_kernel::empty);
    let bytes = tenantry_kernel::collect(body, quota::DEFINITION_BYTES).await.map_err(|error| refused(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| refused(format!("it is longer than {} bytes", quota::DEFINITION_BYTES)))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| refused("it is not UTF-8".to_owned()))
}

/// A pipeline's role must be of the pipeline's account.
pub(super) fn role_of(cx: &Cx, text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).map_err(|_| validation(format!("Invalid role ARN: {text}")))?;
    if arn.account() == cx.caller.account.as_str() { Ok(arn) } else { Err(validation("Cross-account pass role is not allowed.")) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    pipeline_name: String,
    pipeline_display_name: Option<String>,
    #[serde(flatten)]
    source: Source,
    pipeline_description: Option<String>,
    client_request_token: String,
    role_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    parallelism_configuration: Option<Parallelism>,
}

operation!(CreatePipeline, ["pipeline"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:PassRole", "sagemaker:AddTags"], CreateInput, resolve_create, create);

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = names::arn(&cx.scope(), "pipeline", &input.pipeline_name);
    let tag = tagging::on_create(&arn, &input.tags, "CreatePipeline");
    let pass = Check::pass_role_for(role_of(cx, &input.role_arn)?, names::PRINCIPAL, &arn);
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and(pass).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreatePipeline>, input: CreateInput) -> Result<Reply> {
    let (scope, now) = (permit.scope(), cx.now());
    let arn = names::arn(scope, "pipeline", &input.pipeline_name);
    let id = record::pipeline_id(&arn);
    tagging::checked(&input.tags)?;
    let text = input.source.text(cx).await?;
    let text = text.ok_or_else(|| validation("Either PipelineDefinition or PipelineDefinitionS3Location must be specified."))?;
    if let Some(row) = cx.kernel.store().get(names::PIPELINE, scope, id).await? {
        return repeated(cx, scope, &row, &input.client_request_token, &text).await;
    }
    if cx.kernel.store().count(names::PIPELINE, ByScope::Exact(scope), None).await? >= quota::PIPELINES {
        return Err(limit(format!(
            "The account-level service limit 'Number of pipelines' is {} Pipelines. Delete a pipeline first.",
            quota::PIPELINES
        )));
    }
    let by = author::of(&cx.caller);
    let record = PipelineRecord {
        arn: arn.to_string(),
        name: input.pipeline_name.clone(),
        display_name: input.pipeline_display_name,
        description: input.pipeline_description,
        role: input.role_arn,
        parallelism: input.parallelism_configuration.map(|p| p.max_parallel_execution_steps),
        created_by: by.clone(),
        modified_by: by,
        token: input.client_request_token.clone(),
        version: 1,
        aliases: BTreeMap::new(),
    };
    let mut batch = Batch::new();
    batch.put(Row::new(names::PIPELINE, scope, id, now).name(input.pipeline_name).status("Active").with(&record)?, Expect::Absent);
    batch.put(record::definition_row(scope, id, id, &text, now)?, Expect::Absent);
    versions::add(&mut batch, scope, id, &record, &text, now)?;
    batch.set_tags(arn.as_str(), input.tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => match cx.kernel.store().get(names::PIPELINE, scope, id).await? {
            Some(row) => repeated(cx, scope, &row, &input.client_request_token, &text).await,
            None => Err(conflict("The pipeline is being deleted. Try again.")),
        },
        done => done.map(|()| Reply::new(json!({"PipelineArn": arn}))).map_err(Into::into),
    }
}

/// The name is taken: by the same request made again, or by another.
async fn repeated(cx: &Cx, scope: &Scope, row: &Row, token: &str, text: &str) -> Result<Reply> {
    let record: PipelineRecord = row.body()?;
    if record.token == token && record::definition_text(&cx.kernel, scope, &row.id).await? == text {
        return Ok(Reply::new(json!({"PipelineArn": record.arn})));
    }
    Err(validation(format!(
        "Pipeline names must be unique within an AWS account and region. Pipeline with name ({}) already exists.",
        record.name
    )))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    pipeline_name: String,
    pipeline_display_name: Option<String>,
    #[serde(flatten)]
    source: Source,
    pipeline_description: Option<String>,
    role_arn: Option<String>,
    parallelism_configuration: Option<Parallelism>,
}

operation!(UpdatePipeline, ["pipeline"] + [] and ["iam:PassRole"], UpdateInput, resolve_update, update);

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    let arn = names::arn(&cx.scope(), "pipeline", &input.pipeline_name);
    let mut role = input.role_arn.as_deref().map(|role| role_of(cx, role)).transpose()?;
    if role.is_none() && input.source.is_given() {
        // What the stored role is to do is handed to it anew. A pipeline that is not there is told of later.
        let id = input.pipeline_name.to_lowercase();
        if let Some(row) = cx.kernel.store().get(names::PIPELINE, &cx.scope(), &id).await? {
            role = Some(role_of(cx, &row.body::<PipelineRecord>()?.role)?);
        }
    }
    let pass = role.map(|role| Check::pass_role_for(role, names::PRINCIPAL, &arn));
    Ok(Checks::from(Check::on(action, arn)).and_if(pass))
}

async fn update(cx: &Cx, permit: Permit<UpdatePipeline>, input: UpdateInput) -> Result<Reply> {
    let (scope, now) = (permit.scope(), cx.now());
    let arn = names::arn(scope, "pipeline", &input.pipeline_name);
    let row = record::pipeline(cx, scope, &arn).await?;
    let mut record: PipelineRecord = row.body()?;
    let mut batch = Batch::new();
    if let Some(text) = input.source.text(cx).await? {
        let before = record::definition_text(&cx.kernel, scope, &row.id).await?;
        if before != text {
            // Of a pipeline that was made before there were versions, the first is kept now.
            let (old, _) = versions::get(&cx.kernel, scope, &arn, &row, record.version).await?;
            batch.put(old, Expect::Any);
            record.version += 1;
            versions::add(&mut batch, scope, &row.id, &record, &text, now)?;
        }
        batch.put(record::definition_row(scope, &row.id, &row.id, &text, now)?, Expect::Present);
    }
    record.display_name = input.pipeline_display_name.or(record.display_name);
    record.description = input.pipeline_description.or(record.description);
    record.role = input.role_arn.unwrap_or(record.role);
    record.parallelism = input.parallelism_configuration.map(|p| p.max_parallel_execution_steps).or(record.parallelism);
    record.modified_by = author::of(&cx.caller);
    batch.update(row.at(now).with(&record)?);
    cx.commit(batch).await.map_err(changed)?;
    Ok(Reply::new(json!({"PipelineArn": arn, "PipelineVersionId": record.version})))
}

/// A lost race as SageMaker answers it.
pub(super) fn changed(error: CommitError) -> tenantry_core::AwsError {
    match error {
        CommitError::Store(error) => error.into(),
        _ => conflict("The pipeline was changed by another request at the same time. Try again."),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteInput {
    pipeline_name: String,
}

operation!(DeletePipeline, ["pipeline"], DeleteInput, resolve_delete, delete);

async fn resolve_delete(cx: &Cx, action: &'static str, input: &DeleteInput) -> Result<Checks> {
    Ok(Check::on(action, names::arn(&cx.scope(), "pipeline", &input.pipeline_name)).into())
}

async fn delete(cx: &Cx, permit: Permit<DeletePipeline>, input: DeleteInput) -> Result<Reply> {
    let scope = permit.scope();
    let arn = names::arn(scope, "pipeline", &input.pipeline_name);
    let store = cx.kernel.store();
    let row = record::pipeline(cx, scope, &arn).await?;
    // A start between here and the commit changes this row, and the commit fails.
    let last_run = store.get(LAST_RUN, scope, &row.id).await?;
    if store.count(RUNNING, ByScope::Exact(scope), Some(&row.id)).await? > 0 {
        return Err(conflict(format!("Pipeline {arn} has running executions. Stop them before the pipeline is deleted.")));
    }
    let executions = store.list(&List::of(names::EXECUTION, scope).parent(&row.id)).await?;
    let mut batch = Batch::new();
    // A retry between here and the commit.
    batch.require_none(RUNNING, scope, &*row.id);
    batch.delete(names::PIPELINE, scope, &*row.id, Expect::Version(row.version));
    batch.delete(record::DEFINITION, scope, &*row.id, Expect::Any);
    batch.delete(LAST_RUN, scope, &*row.id, last_run.map_or(Expect::Absent, |row| Expect::Version(row.version)));
    for execution in executions {
        for kind in [names::EXECUTION, record::DEFINITION] {
            batch.delete(kind, scope, &*execution.id, Expect::Any);
        }
        batch.delete(STATE, scope, &*execution.id, Expect::Any);
        batch.set_tags(execution.body::<record::ExecutionRecord>()?.arn, Vec::new());
    }
    for kind in [versions::VERSION, versions::VERSION_RUN] {
        for version in store.list(&List::of(kind, scope).parent(&row.id)).await? {
            batch.delete(kind, scope, version.id, Expect::Any);
        }
    }
    for cached in store.list(&List::of(STEP_CACHE, scope).parent(&row.id)).await? {
        batch.delete(STEP_CACHE, scope, cached.id, Expect::Any);
    }
    batch.set_tags(arn.as_str(), Vec::new());
    cx.commit(batch).await.map_err(changed)?;
    Ok(Reply::new(json!({"PipelineArn": arn})))
}
