//! DescribeHyperParameterTuningJob, ListHyperParameterTuningJobs, ListTrainingJobsForHyperParameterTuningJob.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::Row;

use super::{
    record::{Ending, Record, arn},
    request::{Definition, Wishes},
};
use crate::{
    error::not_found,
    jobs::trial::{self, Standing, Trial},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
};

pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<DescribeHyperParameterTuningJob>(),
        OperationRow::of::<ListHyperParameterTuningJobs>(),
        OperationRow::of::<ListTrainingJobsForHyperParameterTuningJob>(),
    ]
}

const TYPES: [&str; 1] = ["hyper-parameter-tuning-job"];

/// The name that operations on one tuning job take.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Named {
    /// In any case.
    pub hyper_parameter_tuning_job_name: String,
}

/// The check of operations on one tuning job.
pub(super) async fn on_job(cx: &Cx, action: &'static str, input: &Named) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), &input.hyper_parameter_tuning_job_name)).into())
}

/// A tuning job by its name.
///
/// # Errors
/// `ResourceNotFound`.
pub(super) async fn get(cx: &Cx, scope: &Scope, name: &str) -> Result<(Row, Record)> {
    let row = cx.kernel.store().get(names::TUNING_JOB, scope, &name.to_lowercase()).await?;
    let row = row.ok_or_else(|| missing(scope, name))?;
    let record = Record::of(&row)?;
    Ok((row, record))
}

fn missing(scope: &Scope, name: &str) -> AwsError {
    not_found(format!("Amazon SageMaker can't find a tuning job with name {name} in region {}.", scope.region))
}

operation!(DescribeHyperParameterTuningJob, TYPES, Named, on_job, describe);

async fn describe(cx: &Cx, permit: Permit<DescribeHyperParameterTuningJob>, input: Named) -> Result<Reply> {
    let scope = permit.scope();
    let (row, record) = get(cx, scope, &input.hyper_parameter_tuning_job_name).await?;
    let mut out = record.request.clone();
    for member in ["Tags", "Autotune", "WarmStartConfig"] {
        out.remove(member);
    }
    shared(&row, &record, &mut out);
    out.insert("HyperParameterTuningJobName".to_owned(), json!(row.name));
    let state = &record.state;
    if let Some(best) = best(cx, &row, &record).await? {
        out.insert("BestTrainingJob".to_owned(), best);
    }
    if let (Some(Ending::Failed(reason)), Some(_)) = (&state.ending, state.ended) {
        out.insert("FailureReason".to_owned(), json!(reason.chars().take(1024).collect::<String>()));
    }
    out.insert("TuningJobCompletionDetails".to_owned(), json!({"NumberOfTrainingJobsObjectiveNotImproving": state.not_improving}));
    let until = state.ended.unwrap_or_else(|| cx.now());
    out.insert("ConsumedResources".to_owned(), json!({"RuntimeInSeconds": (until.millis() - row.created.millis()).max(0) / 1000}));
    Ok(Reply::new(Value::Object(out)))
}

/// What Describe and List both show.
fn shared(row: &Row, record: &Record, out: &mut Map<String, Value>) {
    let state = &record.state;
    out.insert("HyperParameterTuningJobArn".to_owned(), json!(arn(&row.scope, &row.name)));
    out.insert("HyperParameterTuningJobStatus".to_owned(), json!(state.status()));
    out.insert("CreationTime".to_owned(), json!(row.created));
    out.insert("LastModifiedTime".to_owned(), json!(row.updated));
    if let Some(ended) = state.ended {
        out.insert("HyperParameterTuningEndTime".to_owned(), json!(ended));
    }
    state.counters.show(out);
}

async fn best(cx: &Cx, row: &Row, record: &Record) -> Result<Option<Value>> {
    let Some(name) = &record.state.best else { return Ok(None) };
    let stored = cx.kernel.store().get(names::TRAINING_JOB, &row.scope, name).await?;
    let Some(trial) = stored.map(Trial::of).transpose()?.flatten() else { return Ok(None) };
    let wishes = Wishes::read(&record.view())?;
    Ok(wishes.definitions.get(trial.definition()).map(|definition| summary(&trial, definition)))
}

/// `HyperParameterTrainingJobSummary`.
fn summary(trial: &Trial, definition: &Definition) -> Value {
    let mut out = trial.summary();
    let objective = &definition.objective;
    let value = trial.metric(&objective.metric);
    if let Some(value) = value {
        let metric = json!({"Type": objective.kind(), "MetricName": objective.metric, "Value": value});
        out.insert("FinalHyperParameterTuningJobObjectiveMetric".to_owned(), metric);
    }
    if let Some(name) = &definition.name {
        out.insert("TrainingJobDefinitionName".to_owned(), json!(name));
    }
    let status = match (trial.standing(), value) {
        (Standing::Running, _) => "Pending",
        (_, Some(_)) => "Succeeded",
        (_, None) => "Failed",
    };
    out.insert("ObjectiveStatus".to_owned(), json!(status));
    Value::Object(out)
}

operation!(ListHyperParameterTuningJobs, ["*"], Filter, all_jobs, list);

async fn all_jobs(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListHyperParameterTuningJobs>, mut filter: Filter) -> Result<Reply> {
    filter.sort_by.get_or_insert_with(|| "Name".to_owned());
    let shape = Shape { descending: false, ..Shape::of(names::TUNING_JOB) };
    let page = listing::page(cx, permit.scope(), shape, &filter, |_| true).await?;
    let mut summaries = Vec::new();
    for row in &page.rows {
        let record = Record::of(row)?;
        let config = &record.request["HyperParameterTuningJobConfig"];
        let mut out = Map::new();
        shared(row, &record, &mut out);
        out.insert("HyperParameterTuningJobName".to_owned(), json!(row.name));
        out.insert("Strategy".to_owned(), config["Strategy"].clone());
        out.insert("ResourceLimits".to_owned(), config["ResourceLimits"].clone());
        summaries.push(Value::Object(out));
    }
    let mut output = json!({"HyperParameterTuningJobSummaries": summaries});
    if let Some(token) = page.next_token {
        output["NextToken"] = json!(token);
    }
    Ok(Reply::new(output))
}

/// The input of ListTrainingJobsForHyperParameterTuningJob.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfJob {
    hyper_parameter_tuning_job_name: String,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListTrainingJobsForHyperParameterTuningJob, TYPES, OfJob, of_job, list_trials);

async fn of_job(cx: &Cx, action: &'static str, input: &OfJob) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), &input.hyper_parameter_tuning_job_name)).into())
}

async fn list_trials(cx: &Cx, permit: Permit<ListTrainingJobsForHyperParameterTuningJob>, input: OfJob) -> Result<Reply> {
    let scope = permit.scope();
    let (_, record) = get(cx, scope, &input.hyper_parameter_tuning_job_name).await?;
    let wishes = Wishes::read(&record.view())?;
    let mut filter = input.filter;
    if filter.sort_by.as_deref() == Some("FinalObjectiveMetricValue") {
        return by_objective(cx, scope, &record, &wishes, &filter).await;
    }
    filter.sort_by.get_or_insert_with(|| "Name".to_owned());
    let shape = Shape { descending: false, ..Shape::of(names::TRAINING_JOB).parent(&record.state.search) };
    let page = listing::page(cx, scope, shape, &filter, |_| true).await?;
    let mut summaries = Vec::new();
    for row in page.rows {
        let Some(trial) = Trial::of(row)? else { continue };
        summaries.extend(wishes.definitions.get(trial.definition()).map(|definition| summary(&trial, definition)));
    }
    let mut output = json!({"TrainingJobSummaries": summaries});
    if let Some(token) = page.next_token {
        output["NextToken"] = json!(token);
    }
    Ok(Reply::new(output))
}

/// By the final objective: training jobs without one are not listed. A page's token is how many came before.
async fn by_objective(cx: &Cx, scope: &Scope, record: &Record, wishes: &Wishes, filter: &Filter) -> Result<Reply> {
    let trials = trial::all(&cx.kernel, scope, &record.state.search).await?;
    let mut scored: Vec<(f64, Value)> = Vec::new();
    for trial in &trials {
        let Some(definition) = wishes.definitions.get(trial.definition()) else { continue };
        let (Some(value), shown) = (trial.metric(&definition.objective.metric), summary(trial, definition)) else { continue };
        if filter.status_equals.as_ref().is_none_or(|status| shown["TrainingJobStatus"] == json!(status)) {
            scored.push((value, shown));
        }
    }
    scored.sort_by(|one, other| one.0.total_cmp(&other.0));
    if filter.sort_order.as_deref() == Some("Descending") {
        scored.reverse();
    }
    let bad = || crate::error::validation("The NextToken is not valid.");
    let from = filter.next_token.as_ref().map_or(Ok(0), |token| token.parse::<usize>().map_err(|_| bad()))?;
    let size = filter.max_results.unwrap_or(10).clamp(1, 100);
    let more = scored.len() > from.saturating_add(size);
    let page: Vec<Value> = scored.into_iter().skip(from).take(size).map(|(_, shown)| shown).collect();
    let mut output = json!({"TrainingJobSummaries": page});
    if more {
        output["NextToken"] = json!((from + size).to_string());
    }
    Ok(Reply::new(output))
}
