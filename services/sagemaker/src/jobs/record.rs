//! A job as it is stored: the request, and how far it has come.
//!
//! The request is kept whole and is what Describe echoes. The state says what the next step does; what is in
//! memory only (tasks, sockets, the engine's workloads) can be lost at any time, and the step then goes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_compute::quota::Use;
use tenantry_core::{Arn, Result, Scope, Timestamp};
use tenantry_kernel::{Kernel, reconcile::key_of};
use tenantry_store::{Batch, CommitError, Kind, Row};

use crate::{
    experiments, names,
    usage::{self, Uses},
};

/// The two kinds of jobs, which run alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Training jobs.
    Training,
    /// Processing jobs.
    Processing,
}

impl Of {
    /// Of the rows, and the name of the queue.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Training => names::TRAINING_JOB,
            Self::Processing => names::PROCESSING_JOB,
        }
    }
    /// Of the rows that hold names in lower case: ARNs have no case, so no two jobs may differ in it only.
    pub const fn name_kind(self) -> Kind {
        match self {
            Self::Training => Kind::new("sagemaker.training-job-name"),
            Self::Processing => Kind::new("sagemaker.processing-job-name"),
        }
    }
    /// The log group.
    pub const fn log_group(self) -> &'static str {
        match self {
            Self::Training => "/aws/sagemaker/TrainingJobs",
            Self::Processing => "/aws/sagemaker/ProcessingJobs",
        }
    }
    /// `arn:aws:sagemaker:R:A:training-job/name`.
    pub fn arn(self, scope: &Scope, name: &str) -> Arn {
        let resource = match self {
            Self::Training => "training-job",
            Self::Processing => "processing-job",
        };
        names::arn(scope, resource, name)
    }
}

/// What the next step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Waits until this host has room.
    Waiting,
    /// Downloads.
    Fetching,
    /// Runs, or is being started by the engine.
    Running,
    /// Uploads.
    Storing,
    /// Nothing more to do.
    Over,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Everything went well.
    Completed,
    /// With the FailureReason, at most 1,024 characters.
    Failed(String),
    /// Stop was called.
    Stopped,
    /// MaxRuntimeInSeconds is over.
    OutOfTime,
    /// MaxWaitTimeInSeconds or MaxPendingTimeInSeconds is over, and it has not begun.
    OutOfPatience,
}

/// An entry of `SecondaryStatusTransitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Transition {
    /// `Starting`, `Downloading`, …
    pub status: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When the next began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// AWS's sentence.
    pub status_message: String,
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What the next step does.
    pub phase: Phase,
    /// How often it was begun: more than once only after a restart of the server.
    pub attempt: u32,
    /// What was, and is.
    pub transitions: Vec<Transition>,
    /// When it left the queue.
    pub started: Option<Timestamp>,
    /// When everything was over.
    pub ended: Option<Timestamp>,
    /// When Stop was called.
    pub stop_asked: Option<Timestamp>,
    /// Known from the end of the user's code on.
    pub outcome: Option<Outcome>,
    /// Last values of the metrics: `FinalMetricDataList`.
    pub metrics: Vec<Value>,
    /// Of a tuning job's training job: the values of the objective so far, one for each time that it was printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<f64>,
    /// What a processing job left in /opt/ml/output/message.
    pub exit_message: Option<String>,
    /// Of whoever made the job.
    pub source_identity: Option<String>,
}

/// A stored job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The members of the Create call.
    pub request: Map<String, Value>,
    /// How far it has come.
    pub state: State,
    /// Of whose search it is a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
}

/// A training job's place in a tuning job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tuning {
    /// The tuning job's ARN.
    pub arn: Arn,
    /// The id of its row.
    pub id: String,
    /// Counts from 0.
    pub number: usize,
    /// Which of its definitions, from 0.
    pub definition: usize,
    /// The metric whose values are noted as they come, for early stopping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<String>,
    /// The hyperparameters that were searched for.
    pub values: Map<String, Value>,
}

impl State {
    /// Of a job that was just made.
    pub fn new(now: Timestamp, source_identity: Option<String>) -> Self {
        let first = Transition {
            status: "Starting".to_owned(),
            start_time: now,
            end_time: None,
            status_message: "Starting the training job".to_owned(),
        };
        Self {
            phase: Phase::Waiting,
            attempt: 0,
            transitions: vec![first],
            started: None,
            ended: None,
            stop_asked: None,
            outcome: None,
            metrics: Vec::new(),
            progress: Vec::new(),
            exit_message: None,
            source_identity,
        }
    }

    /// Enters a secondary status; where it is entered already only its sentence changes.
    pub fn enter(&mut self, status: &str, message: &str, now: Timestamp) {
        if let Some(last) = self.transitions.last_mut() {
            if last.status == status {
                message.clone_into(&mut last.status_message);
                return;
            }
            last.end_time = Some(now);
        }
        self.transitions.push(Transition {
            status: status.to_owned(),
            start_time: now,
            end_time: None,
            status_message: message.to_owned(),
        });
    }

    /// `SecondaryStatus`.
    pub fn secondary(&self) -> &str {
        self.transitions.last().map_or("Starting", |last| last.status.as_str())
    }

    /// `TrainingJobStatus`, `ProcessingJobStatus`.
    pub fn status(&self) -> &'static str {
        match (self.phase, &self.outcome, self.stop_asked) {
            (Phase::Over, Some(Outcome::Completed), _) => "Completed",
            (Phase::Over, Some(Outcome::Failed(_)), _) => "Failed",
            (Phase::Over, _, _) => "Stopped",
            (_, _, Some(_)) => "Stopping",
            _ => "InProgress",
        }
    }

    /// `FailureReason`.
    pub fn failure(&self) -> Option<&str> {
        match &self.outcome {
            Some(Outcome::Failed(reason)) if self.phase == Phase::Over => Some(reason),
            _ => None,
        }
    }

    /// Ends: nothing more will happen.
    pub fn finish(&mut self, outcome: Outcome, now: Timestamp) {
        let (status, message) = match &outcome {
            Outcome::Completed => ("Completed", "Training job completed"),
            Outcome::Failed(_) => ("Failed", "Training job failed"),
            Outcome::Stopped => ("Stopped", "Training job stopped"),
            Outcome::OutOfPatience => ("MaxWaitTimeExceeded", "Training job waited longer than allowed"),
            Outcome::OutOfTime => ("MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided"),
        };
        self.enter(status, message, now);
        if let Some(last) = self.transitions.last_mut() {
            last.end_time = Some(now);
        }
        self.outcome = Some(outcome);
        self.phase = Phase::Over;
        self.ended = Some(now);
    }

    /// Whole seconds between the start and the end: `BillableTimeInSeconds`.
    pub fn seconds(&self) -> Option<i64> {
        Some((self.ended?.millis() - self.started?.millis() + 999) / 1000)
    }
}

impl Record {
    /// The job of a row.
    ///
    /// # Errors
    /// When what is stored is no job.
    pub fn of(row: &Row) -> Result<Self> {
        Ok(row.body()?)
    }

    /// Writes it back into its row, with its status for listings.
    ///
    /// # Errors
    /// Internal only.
    pub fn into_row(self, mut row: Row, now: Timestamp) -> Result<Row> {
        row.status = self.state.status().to_owned();
        row.updated = now;
        row.set_body(&self)?;
        Ok(row)
    }

    /// A member of the request.
    pub fn member(&self, name: &str) -> &Value {
        self.request.get(name).unwrap_or(&Value::Null)
    }

    /// The objective, where a tuning job may stop the job early for it.
    pub fn watched(&self) -> Option<&str> {
        self.tuning.as_ref().and_then(|tuning| tuning.watched.as_deref())
    }

    /// The members of Describe that both kinds share: the request without its tags, and the times.
    pub fn described(&self, row: &Row) -> Map<String, Value> {
        let mut out = self.request.clone();
        out.remove("Tags");
        out.insert("CreationTime".to_owned(), json!(row.created));
        out.insert("LastModifiedTime".to_owned(), json!(row.updated));
        if let Some(reason) = self.state.failure() {
            out.insert("FailureReason".to_owned(), json!(reason));
        }
        out
    }
}

/// What a job's experiment is to show of it: its trial component, made with the job and completed at its end.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn tracked(kernel: &Kernel, of: Of, row: &Row, record: &Record, by: &Value) -> Result<Batch> {
    if !record.member("ExperimentConfig").is_object() {
        return Ok(Batch::new());
    }
    let document = match of {
        Of::Training => super::training::document(row, record)?,
        Of::Processing => super::processing::document(row, record),
    };
    experiments::record_described(kernel, &row.scope, &document, by).await
}

/// The instances that a job uses until it is over, waiting or not.
pub(crate) fn uses(of: Of, scope: &Scope, id: &str, request: &Map<String, Value>) -> Uses {
    let (cluster, of_type) = match of {
        Of::Training if request.get("EnableManagedSpotTraining") == Some(&json!(true)) => {
            (request.get("ResourceConfig"), Use::SpotTraining)
        }
        Of::Training => (request.get("ResourceConfig"), Use::Training),
        Of::Processing => (request.get("ProcessingResources").and_then(|resources| resources.get("ClusterConfig")), Use::Processing),
    };
    let mut uses = Uses::new();
    if let Some(cluster) = cluster {
        let count = cluster["InstanceCount"].as_u64().unwrap_or(0);
        usage::add(&mut uses, of_type, cluster["InstanceType"].as_str().unwrap_or_default(), of.arn(scope, id).as_str(), count);
    }
    uses
}

/// Reads a job, changes its state, writes it; again when somebody else was faster. `None`: there is no such job.
///
/// `change` answers `false` where nothing is to be written.
///
/// # Errors
/// The store's.
pub(crate) async fn change(
    kernel: &Kernel,
    of: Of,
    scope: &Scope,
    id: &str,
    mut change: impl FnMut(&mut Record) -> bool,
) -> Result<Option<Record>> {
    loop {
        let Some(row) = kernel.store().get(of.kind(), scope, id).await? else { return Ok(None) };
        let mut record = Record::of(&row)?;
        if !change(&mut record) {
            return Ok(Some(record));
        }
        let mut batch = Batch::new();
        let row = record.clone().into_row(row, kernel.now())?;
        if record.state.phase == Phase::Over {
            batch.append_batch(tracked(kernel, of, &row, &record, &Value::Null).await?);
            usage::change(&mut batch, scope, &uses(of, scope, id, &record.request), &Uses::new(), kernel.now());
            if let Some(tuning) = &record.tuning {
                batch.enqueue(names::TUNING_JOB.as_str(), key_of(scope, &tuning.id), kernel.now());
            }
        }
        batch.update(row);
        match kernel.store().commit(batch).await {
            Ok(()) => return Ok(Some(record)),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions() {
        let at = Timestamp::from_secs;
        let mut state = State::new(at(1), None);
        assert_eq!((state.secondary(), state.status()), ("Starting", "InProgress"));
        state.enter("Starting", "Preparing the instances for training", at(2));
        state.enter("Downloading", "Downloading input data", at(3));
        state.started = Some(at(3));
        assert_eq!(state.transitions.len(), 2);
        assert_eq!((state.transitions[0].end_time, state.transitions[0].start_time), (Some(at(3)), at(1)));
        state.stop_asked = Some(at(4));
        assert_eq!(state.status(), "Stopping");
        state.finish(Outcome::OutOfTime, Timestamp::from_millis(5500));
        assert_eq!((state.secondary(), state.status(), state.seconds()), ("MaxRuntimeExceeded", "Stopped", Some(3)));
        assert_eq!(state.failure(), None);
    }

    #[test]
    fn a_failure_shows_at_the_end_only() {
        let mut state = State::new(Timestamp::default(), None);
        state.outcome = Some(Outcome::Failed("x".into()));
        assert_eq!(state.failure(), None);
        state.finish(Outcome::Failed("x".into()), Timestamp::default());
        assert_eq!((state.failure(), state.status()), (Some("x"), "Failed"));
    }
}
