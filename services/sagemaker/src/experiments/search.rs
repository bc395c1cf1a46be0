//! Search: records of one resource type, filtered and sorted.
//!
//! Training jobs, models and endpoints are those that the caller may describe: they are read by Describe as
//! the caller. Visibility conditions are filters that policies can demand
//! (`sagemaker:SearchVisibilityCondition/…`).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Kind, List, Row};

use super::{
    filter::{EXACTLY, Expression, Filter, order},
    record::{Entity, Noun, OF_COMPONENT, OF_TRIAL, associations},
    suggest::members_of,
};
use crate::{error::validation, names, operation::operation, pipelines, pipelines::members, registry};

/// Results of a page where the request does not say.
const PAGE: usize = 10;
/// Rows that one search looks at, newest first.
const MOST: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SearchInput {
    resource: String,
    #[serde(default)]
    search_expression: Expression,
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
    cross_account_filter_option: Option<String>,
    #[serde(default)]
    visibility_conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    key: Option<String>,
    value: Option<String>,
}

operation!(Search, ["*"] + ["sagemaker:SearchVisibilityCondition/${FilterKey}"], SearchInput, resolve, search);

async fn resolve(_: &Cx, action: &'static str, input: &SearchInput) -> Result<Checks> {
    let conditions = input.visibility_conditions.iter();
    let check = conditions.fold(Check::any(action), |check, condition| {
        let key = condition.key.as_deref().unwrap_or_default();
        check.key(format!("sagemaker:SearchVisibilityCondition/{key}"), condition.value.as_deref().unwrap_or_default())
    });
    Ok(check.into())
}

async fn search(cx: &Cx, permit: Permit<Search>, input: SearchInput) -> Result<Reply> {
    let from = match &input.next_token {
        Some(token) => token.strip_prefix("s-").and_then(|n| n.parse().ok()).ok_or_else(|| validation("The NextToken is not valid."))?,
        None => 0_usize,
    };
    let mut all = documents(cx, permit.scope(), &input).await?;
    let visible = visibility(&input.visibility_conditions);
    all.retain(|(_, document)| input.search_expression.holds(document) && visible.holds(document));
    let by = input.sort_by.as_deref().unwrap_or("LastModifiedTime");
    // Rows come oldest first and the sort is stable: of equals the newest is first when descending.
    all.sort_by(|(_, a), (_, b)| order(a, b, by));
    if input.sort_order.as_deref() != Some("Ascending") {
        all.reverse();
    }
    let total = all.len();
    let size = input.max_results.unwrap_or(PAGE);
    let page: Vec<Value> = all.into_iter().skip(from).take(size).map(|(member, document)| wrapped(member, document)).collect();
    let next = (from + size < total).then(|| format!("s-{}", from + size));
    Ok(Reply::new(
        members([
            ("Results", Some(page.into())),
            ("NextToken", next.map(Value::from)),
            ("TotalHits", Some(json!({"Value": total, "Relation": "EqualTo"}))),
        ])
        .into(),
    ))
}

fn wrapped(member: &str, document: Value) -> Value {
    let document = if member == "Model" { json!({"Model": document}) } else { document };
    json!({member: document})
}

fn visibility(conditions: &[Condition]) -> Expression {
    let filter = |condition: &Condition| Filter {
        name: condition.key.clone().unwrap_or_default(),
        operator: Some(EXACTLY.to_owned()),
        value: condition.value.clone(),
    };
    Expression::all(conditions.iter().map(filter).collect())
}

/// All records of a resource type, each under its member of `SearchRecord`.
async fn documents(cx: &Cx, scope: &Scope, input: &SearchInput) -> Result<Vec<(&'static str, Value)>> {
    if input.cross_account_filter_option.as_deref() == Some("CrossAccount") {
        return Ok(Vec::new());
    }
    let (member, kind) = match input.resource.as_str() {
        "Experiment" => ("Experiment", Noun::Experiment.kind()),
        "ExperimentTrial" => ("Trial", Noun::Trial.kind()),
        "ExperimentTrialComponent" => ("TrialComponent", Noun::Component.kind()),
        "Pipeline" => ("Pipeline", names::PIPELINE),
        "PipelineExecution" => ("PipelineExecution", names::EXECUTION),
        "ModelPackage" => ("ModelPackage", names::PACKAGE),
        "ModelPackageGroup" => ("ModelPackageGroup", names::PACKAGE_GROUP),
        "TrainingJob" => ("TrainingJob", names::TRAINING_JOB),
        "Endpoint" => ("Endpoint", names::ENDPOINT),
        "Model" => ("Model", names::MODEL),
        other => return Err(validation(format!("Search does not support the resource {other} here."))),
    };
    let mut rows = cx.kernel.store().list(&List::of(kind, scope)).await?;
    rows.sort_by_key(|row| row.updated);
    let old = rows.len().saturating_sub(MOST);
    let mut all = Vec::with_capacity(rows.len() - old);
    for row in &rows[old..] {
        if let Some(mut document) = document(cx, scope, kind, row).await? {
            let arn = document.iter().find(|(name, _)| **name == format!("{member}Arn")).and_then(|(_, arn)| arn.as_str());
            if let Some(arn) = arn {
                let tags = cx.kernel.store().tags(arn).await?;
                document.insert("Tags".to_owned(), json!(tags));
            }
            let known = members_of(member);
            document.retain(|name, _| known.contains(&name.as_str()));
            all.push((member, Value::from(document)));
        }
    }
    Ok(all)
}

async fn document(cx: &Cx, scope: &Scope, kind: Kind, row: &Row) -> Result<Option<Map<String, Value>>> {
    let described = |of: &'static str, action: &'static str, member: &str| {
        let request = json!({member: row.id});
        let check = Check::on(action, names::arn(scope, of, &row.id));
        let operation = action.trim_start_matches("sagemaker:");
        async move {
            // What the caller may not see is not found, and no denial: a search would record thousands.
            if !cx.allows(&check).await? {
                return Ok(None);
            }
            // Nor is what is being deleted.
            let reply = cx.kernel.call(&cx.caller, &cx.region, "sagemaker", operation, request).await;
            Ok::<_, AwsError>(reply.ok().and_then(|reply| reply.output.as_object().cloned()))
        }
    };
    Ok(match kind {
        names::PIPELINE => {
            let last_run = pipelines::last_run(&cx.kernel, scope, &row.id).await?;
            Some(pipelines::pipeline_document(row, &row.body::<pipelines::PipelineRecord>()?, last_run))
        }
        names::EXECUTION => Some(pipelines::execution_document(row, &row.body::<pipelines::ExecutionRecord>()?)),
        names::PACKAGE => Some(registry::package_document(row, &row.body::<registry::PackageRecord>()?)),
        names::PACKAGE_GROUP => Some(registry::group_document(row, &row.body::<registry::GroupRecord>()?)),
        names::TRAINING_JOB => described("training-job", "sagemaker:DescribeTrainingJob", "TrainingJobName").await?,
        names::ENDPOINT => described("endpoint", "sagemaker:DescribeEndpoint", "EndpointName").await?,
        names::MODEL => described("model", "sagemaker:DescribeModel", "ModelName").await?,
        _ => Some(entity(cx, scope, row).await?),
    })
}

async fn entity(cx: &Cx, scope: &Scope, row: &Row) -> Result<Map<String, Value>> {
    let noun = [Noun::Experiment, Noun::Trial].into_iter().find(|noun| noun.kind() == row.kind).unwrap_or(Noun::Component);
    let mut document = row.body::<Entity>()?.document(noun, row);
    match noun {
        Noun::Experiment => {}
        Noun::Trial => {
            let mut summaries = Vec::new();
            for one in associations(&cx.kernel, scope, OF_TRIAL, &row.id).await? {
                let Some(component) = Noun::Component.find(&cx.kernel, scope, &one.component).await? else { continue };
                let mut summary = component.body::<Entity>()?.summary(Noun::Component, &component);
                summary.retain(|name, _| members_of("TrialComponentSimpleSummary").contains(&name.as_str()));
                summaries.push(Value::from(summary));
            }
            document.insert("TrialComponentSummaries".to_owned(), summaries.into());
        }
        Noun::Component => {
            let parents = associations(&cx.kernel, scope, OF_COMPONENT, &row.id).await?;
            let parents: Vec<Value> = parents.iter().map(|one| json!({"TrialName": one.trial, "ExperimentName": one.experiment})).collect();
            document.insert("Parents".to_owned(), parents.into());
        }
    }
    Ok(document)
}
