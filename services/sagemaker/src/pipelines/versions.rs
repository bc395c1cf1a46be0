//! Versions of pipelines: UpdatePipelineVersion, ListPipelineVersions, and which version a request means.
//!
//! A pipeline begins with version 1; an update that brings another definition makes the next. A version keeps its
//! definition, so that executions can be started by its number or by an alias. Aliases stand in the pipeline's row, where no
//! two versions can take the same one. Of many versions the oldest without alias are dropped.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, Kernel, Permit, Reply};
use tenantry_store::{Batch, Expect, Kind, Row};

use super::{
    change::changed,
    record::{self, PipelineRecord, members},
};
use crate::{
    error::{conflict, not_found, validation},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
};

/// A version; id: `<pipeline>/<number, ten digits>`, parent: the pipeline.
pub(super) const VERSION: Kind = Kind::new("sagemaker.pipeline-version");
/// The last execution of a version; id and parent: the version's. A row of its own, so that starts do not contend.
pub(super) const VERSION_RUN: Kind = Kind::new("sagemaker.pipeline-version-run");
/// Versions that a pipeline keeps; older ones stay only under an alias.
pub(super) const KEPT: u64 = 1000;
/// Aliases of one version.
const MAX_ALIASES: usize = 10;

/// What a version's row holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub number: u64,
    pub text: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
}

/// Which version a request names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Wanted {
    pub pipeline_version_id: Option<u64>,
    pub pipeline_version_alias: Option<String>,
}

impl Wanted {
    /// The number that it comes to; none where nothing is named.
    ///
    /// # Errors
    /// `ValidationException` where both are given, `ResourceNotFound` for an alias that no version has.
    pub fn number(&self, arn: &Arn, pipeline: &PipelineRecord) -> Result<Option<u64>> {
        match (self.pipeline_version_id, &self.pipeline_version_alias) {
            (Some(_), Some(_)) => Err(validation("PipelineVersionId and PipelineVersionAlias cannot be specified together.")),
            (Some(number), None) => Ok(Some(number)),
            (None, None) => Ok(None),
            (None, Some(alias)) => match pipeline.aliases.get(alias) {
                Some(number) => Ok(Some(*number)),
                None => Err(not_found(format!("Pipeline '{arn}' has no version with alias '{alias}'."))),
            },
        }
    }

    /// `sagemaker:PipelineVersionId` of a request, an alias looked up.
    pub async fn key(&self, cx: &Cx, arn: &Arn) -> Result<Option<String>> {
        if self.pipeline_version_alias.is_none() {
            return Ok(self.pipeline_version_id.map(|number| number.to_string()));
        }
        let scope = Scope::new(arn.account(), arn.region());
        let Some(row) = cx.kernel.store().get(names::PIPELINE, &scope, record::pipeline_id(arn)).await? else { return Ok(None) };
        // Why there is none is told to those who may know.
        Ok(self.number(arn, &row.body()?).ok().flatten().map(|number| number.to_string()))
    }
}

/// The id of a version's row.
pub(super) fn id(pipeline: &str, number: u64) -> String {
    format!("{pipeline}/{number:010}")
}

fn missing(arn: &Arn, number: u64) -> AwsError {
    not_found(format!("Version '{number}' of pipeline '{arn}' does not exist."))
}

/// Adds the next version to a batch, and drops the one that is too old.
pub(super) fn add(batch: &mut Batch, scope: &Scope, pipeline: &str, record: &PipelineRecord, text: &str, now: Timestamp) -> Result<()> {
    let number = record.version;
    let version = Version { number, text: text.to_owned(), display_name: None, description: None };
    batch.put(Row::new(VERSION, scope, id(pipeline, number), now).parent(pipeline).with(&version)?, Expect::Any);
    if let Some(old) = number.checked_sub(KEPT).filter(|old| *old > 0 && !record.aliases.values().any(|kept| kept == old)) {
        batch.delete(VERSION, scope, id(pipeline, old), Expect::Any);
        batch.delete(VERSION_RUN, scope, id(pipeline, old), Expect::Any);
    }
    Ok(())
}

/// A version. The latest of a pipeline that was made before there were versions has no row of its own yet.
///
/// # Errors
/// `ResourceNotFound` where there is none.
pub(super) async fn get(kernel: &Kernel, scope: &Scope, arn: &Arn, pipeline: &Row, number: u64) -> Result<(Row, Version)> {
    let id = id(&pipeline.id, number);
    if let Some(row) = kernel.store().get(VERSION, scope, &id).await? {
        let version = row.body()?;
        return Ok((row, version));
    }
    let record: PipelineRecord = pipeline.body()?;
    if number != record.version {
        return Err(missing(arn, number));
    }
    let text = record::definition_text(kernel, scope, &pipeline.id).await?;
    let version = Version { number, text, display_name: None, description: None };
    Ok((Row::new(VERSION, scope, id, pipeline.created).parent(&*pipeline.id).with(&version)?, version))
}

/// The aliases of a version; absent where it has none.
pub(super) fn aliases(record: &PipelineRecord, number: u64) -> Option<Value> {
    let found: Vec<&String> = record.aliases.iter().filter(|(_, of)| **of == number).map(|(alias, _)| alias).collect();
    (!found.is_empty()).then(|| json!(found))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    pipeline_arn: String,
    pipeline_version_id: u64,
    pipeline_version_display_name: Option<String>,
    pipeline_version_description: Option<String>,
    #[serde(default)]
    pipeline_version_alias_operations: Operations,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Operations {
    add: Vec<String>,
    remove: Vec<String>,
}

operation!(UpdatePipelineVersion, ["pipeline"] + ["sagemaker:PipelineVersionId"], UpdateInput, resolve_update, update);

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    let check = Check::on(action, record::pipeline_arn(cx, &input.pipeline_arn)?);
    Ok(check.key("sagemaker:PipelineVersionId", input.pipeline_version_id.to_string()).into())
}

async fn update(cx: &Cx, permit: Permit<UpdatePipelineVersion>, input: UpdateInput) -> Result<Reply> {
    let (scope, number) = (permit.scope(), input.pipeline_version_id);
    let arn = record::pipeline_arn(cx, &input.pipeline_arn)?;
    let row = record::pipeline(cx, scope, &arn).await?;
    let mut pipeline: PipelineRecord = row.body()?;
    let (version_row, mut version) = get(&cx.kernel, scope, &arn, &row, number).await?;
    change_aliases(&mut pipeline, number, &input.pipeline_version_alias_operations)?;
    version.display_name = input.pipeline_version_display_name.or(version.display_name);
    version.description = input.pipeline_version_description.or(version.description);
    let mut batch = Batch::new();
    batch.update(row.with(&pipeline)?);
    batch.put(version_row.with(&version)?, Expect::Any);
    cx.commit(batch).await.map_err(changed)?;
    Ok(Reply::new(json!({"PipelineArn": arn, "PipelineVersionId": number})))
}

fn change_aliases(pipeline: &mut PipelineRecord, number: u64, operations: &Operations) -> Result<()> {
    if let Some(both) = operations.add.iter().find(|alias| operations.remove.contains(alias)) {
        return Err(validation(format!("Alias '{both}' cannot be added and removed at once.")));
    }
    for alias in &operations.remove {
        if pipeline.aliases.get(alias) != Some(&number) {
            return Err(not_found(format!("Version '{number}' has no alias '{alias}'.")));
        }
        pipeline.aliases.remove(alias);
    }
    for alias in &operations.add {
        match pipeline.aliases.get(alias) {
            Some(other) if *other != number => {
                return Err(conflict(format!("Alias '{alias}' is assigned to version '{other}'. Remove it from that version first.")));
            }
            _ => drop(pipeline.aliases.insert(alias.clone(), number)),
        }
    }
    if pipeline.aliases.values().filter(|of| **of == number).count() > MAX_ALIASES {
        return Err(validation(format!("A pipeline version can have up to {MAX_ALIASES} aliases.")));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    pipeline_name: String,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListPipelineVersions, ["pipeline"], ListInput, resolve_list, list);

async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    Ok(Check::on(action, record::pipeline_arn(cx, &input.pipeline_name)?).into())
}

async fn list(cx: &Cx, permit: Permit<ListPipelineVersions>, input: ListInput) -> Result<Reply> {
    let scope = permit.scope();
    let arn = record::pipeline_arn(cx, &input.pipeline_name)?;
    let row = record::pipeline(cx, scope, &arn).await?;
    let pipeline: PipelineRecord = row.body()?;
    let mut page = listing::page(cx, scope, Shape::of(VERSION).parent(&row.id), &input.filter, |_| true).await?;
    if page.rows.is_empty() && input.filter.next_token.is_none() && pipeline.version == 1 {
        let (only, _) = get(&cx.kernel, scope, &arn, &row, 1).await?;
        let made = only.created;
        let after = input.filter.creation_time_after.is_none_or(|after| made > after);
        if after && input.filter.creation_time_before.is_none_or(|before| made < before) {
            page.rows.push(only);
        }
    }
    let mut summaries = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let version: Version = row.body()?;
        let last = cx.kernel.store().get(VERSION_RUN, scope, &row.id).await?.map(|row| row.body::<Value>()).transpose()?;
        summaries.push(Value::from(members([
            ("PipelineArn", Some(json!(arn))),
            ("PipelineVersionId", Some(json!(version.number))),
            ("CreationTime", Some(json!(row.created))),
            ("PipelineVersionDescription", version.description.map(Value::from)),
            ("PipelineVersionDisplayName", version.display_name.map(Value::from)),
            ("LastExecutionPipelineExecutionArn", last),
            ("PipelineVersionAliases", aliases(&pipeline, version.number)),
        ])));
    }
    let output = members([("PipelineVersionSummaries", Some(summaries.into())), ("NextToken", page.next_token.map(Value::from))]);
    Ok(Reply::new(output.into()))
}
