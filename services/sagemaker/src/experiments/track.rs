//! The trial component that a job leaves behind.

use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result, Scope, Timestamp};
use tenantry_kernel::Kernel;
use tenantry_store::{Batch, Expect};

use super::record::{Association, Entity, Noun};
use crate::error::validation;

/// A job as its trial component shows it: at its start, and again whenever something changed.
#[derive(Debug, Clone)]
pub struct JobRun<'a> {
    /// The job's ARN.
    pub arn: &'a Arn,
    /// The job's name.
    pub name: &'a str,
    /// `SageMakerTrainingJob`, `SageMakerProcessingJob`, `SageMakerTransformJob`.
    pub source_type: &'a str,
    /// `ExperimentConfig` of the job's request; without one the component belongs to no trial.
    pub config: Option<&'a Value>,
    /// `InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`, and a message.
    pub status: (&'a str, Option<&'a str>),
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// `TrialComponentParameterValue`s by name: hyperparameters, `SageMaker.InstanceType`, …
    pub parameters: Map<String, Value>,
    /// `TrialComponentArtifact`s by name.
    pub inputs: Map<String, Value>,
    /// `TrialComponentArtifact`s by name.
    pub outputs: Map<String, Value>,
    /// `TrialComponentMetricSummary`s.
    pub metrics: Vec<Value>,
    /// `CreatedBy` of the job.
    pub by: &'a Value,
}

fn member<'a>(config: Option<&'a Value>, name: &str) -> Option<&'a str> {
    config?.get(name)?.as_str()
}

/// Whether an `ExperimentConfig` names an experiment and a trial that are there: for the operations that create jobs.
///
/// # Errors
/// `ValidationException` where they are not.
pub async fn check_config(kernel: &Kernel, scope: &Scope, config: &Value) -> Result<()> {
    for (noun, name) in [(Noun::Experiment, member(Some(config), "ExperimentName")), (Noun::Trial, member(Some(config), "TrialName"))] {
        let Some(name) = name else { continue };
        if noun.find(kernel, scope, name).await?.is_none() {
            return Err(validation(noun.missing(&noun.arn(scope, name)).message));
        }
    }
    Ok(())
}

/// The writes that make or bring up to date the trial component of a job, and put it into its trial. Doing it
/// again with the same values changes nothing but the time of change.
///
/// An experiment without trial gets a trial of the job's name; an experiment or trial that is gone by now
/// leaves the component without.
///
/// # Errors
/// When the store cannot be read.
pub async fn record_job(kernel: &Kernel, scope: &Scope, run: &JobRun<'_>) -> Result<Batch> {
    let now = kernel.now();
    let suffix = match run.source_type {
        "SageMakerTrainingJob" => "aws-training-job",
        "SageMakerTransformJob" => "aws-transform-job",
        _ => "aws-processing-job",
    };
    // A component that the client made for this run (`RunName`) is filled, not made anew.
    let name = member(run.config, "RunName").map_or_else(|| format!("{}-{suffix}", run.name), str::to_owned);
    let known = Noun::Component.find(kernel, scope, &name).await?;
    let mut entity = match &known {
        Some(row) => row.body()?,
        None => Entity::new(Noun::Component, scope, &name, run.by),
    };
    if let Some(display) = member(run.config, "TrialComponentDisplayName") {
        display.clone_into(&mut entity.display_name);
    }
    entity.source = Some(json!({"SourceArn": run.arn, "SourceType": run.source_type}));
    entity.metrics.clone_from(&run.metrics);
    fill(&mut entity.document, run);
    let mut batch = Batch::new();
    match known {
        Some(row) => batch.put(row.at(now).with(&entity)?, Expect::Any),
        None => batch.put(entity.row(Noun::Component, scope, now)?, Expect::Any),
    };
    if let Some((trial, experiment)) = trial(kernel, scope, run, &mut batch).await? {
        Association { component: name, trial, experiment }.put(&mut batch, scope, now)?;
    }
    Ok(batch)
}

fn fill(document: &mut Map<String, Value>, run: &JobRun<'_>) {
    let (status, message) = run.status;
    let mut shown = json!({"PrimaryStatus": status});
    if let Some(message) = message {
        shown["Message"] = json!(message.chars().take(1024).collect::<String>());
    }
    document.insert("Status".to_owned(), shown);
    for (member, time) in [("StartTime", run.start), ("EndTime", run.end)] {
        if let Some(time) = time {
            document.insert(member.to_owned(), json!(time));
        }
    }
    for (member, entries) in [("Parameters", &run.parameters), ("InputArtifacts", &run.inputs), ("OutputArtifacts", &run.outputs)] {
        let all = document.entry(member).or_insert_with(|| json!({}));
        if let Some(all) = all.as_object_mut() {
            all.extend(entries.clone());
        }
    }
}

/// The trial that a job belongs to, and its experiment.
async fn trial(kernel: &Kernel, scope: &Scope, run: &JobRun<'_>, batch: &mut Batch) -> Result<Option<(String, String)>> {
    if let Some(name) = member(run.config, "TrialName") {
        let Some(row) = Noun::Trial.find(kernel, scope, name).await? else { return Ok(None) };
        let trial: Entity = row.body()?;
        return Ok(Some((trial.name, trial.experiment.unwrap_or_default())));
    }
    let Some(name) = member(run.config, "ExperimentName") else { return Ok(None) };
    let Some(experiment) = Noun::Experiment.find(kernel, scope, name).await? else { return Ok(None) };
    let name = format!("{}-aws-trial", run.name);
    if Noun::Trial.find(kernel, scope, &name).await?.is_none() {
        let mut trial = Entity::new(Noun::Trial, scope, &name, run.by);
        trial.experiment = Some(experiment.name.clone());
        batch.put(trial.row(Noun::Trial, scope, kernel.now())?, Expect::Any);
    }
    Ok(Some((name, experiment.name)))
}
