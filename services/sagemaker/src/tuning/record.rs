//! A tuning job as it is stored: its request, and how far the search is.
//!
//! Its training jobs are rows of their own, under [`State::search`]; the counters here are what they came to when a step
//! last looked, so that a listing does not read them all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result, Scope, Timestamp};
use tenantry_store::Row;

use crate::{
    jobs::trial::{Standing, Trial},
    names,
};

/// How a tuning job ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Everything was tried, or nothing more is wanted.
    Completed,
    /// With the reason.
    Failed(String),
    /// Stop was called.
    Stopped,
}

/// `TrainingJobStatusCounters` and `ObjectiveStatusCounters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    completed: u32,
    running: u32,
    unlucky: u32,
    failed: u32,
    stopped: u32,
    /// With the objective.
    scored: u32,
    /// Over, without it.
    unscored: u32,
}

/// How far a search is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The parent of its training jobs' rows: the name alone may be another's once this one is deleted.
    pub search: String,
    /// Of all its draws.
    pub seed: u64,
    /// Training jobs made so far.
    pub made: usize,
    /// Set once nothing more is to be tried; it is over when nothing runs.
    pub ending: Option<Ending>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// What its training jobs came to.
    pub counters: Counters,
    /// The name of the best training job.
    pub best: Option<String>,
    /// Training jobs since the best.
    pub not_improving: usize,
    /// Of whoever made it.
    pub source_identity: Option<String>,
}

/// A stored tuning job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The members of the Create call.
    pub request: Map<String, Value>,
    /// How far it is.
    pub state: State,
}

/// `arn:aws:sagemaker:R:A:hyper-parameter-tuning-job/name`.
pub(crate) fn arn(scope: &Scope, name: &str) -> Arn {
    names::arn(scope, "hyper-parameter-tuning-job", name)
}

impl Counters {
    /// Of all training jobs, each with its objective.
    pub fn of<'a>(trials: impl Iterator<Item = (&'a Trial, Option<f64>)>) -> Self {
        let mut counters = Self::default();
        for (trial, objective) in trials {
            let standing = trial.standing();
            *match standing {
                Standing::Running => &mut counters.running,
                Standing::Completed => &mut counters.completed,
                Standing::Stopped => &mut counters.stopped,
                Standing::Unlucky => &mut counters.unlucky,
                Standing::Failed => &mut counters.failed,
            } += 1;
            match (standing, objective) {
                (Standing::Running, _) => {}
                (_, Some(_)) => counters.scored += 1,
                (_, None) => counters.unscored += 1,
            }
        }
        counters
    }

    /// So many more run.
    pub fn begun(&mut self, count: usize) {
        self.running += u32::try_from(count).unwrap_or(u32::MAX);
    }

    /// As Describe and List show them.
    pub fn show(&self, out: &mut Map<String, Value>) {
        out.insert(
            "TrainingJobStatusCounters".to_owned(),
            json!({
                "Completed": self.completed, "InProgress": self.running, "RetryableError": self.unlucky,
                "NonRetryableError": self.failed, "Stopped": self.stopped,
            }),
        );
        out.insert(
            "ObjectiveStatusCounters".to_owned(),
            json!({"Succeeded": self.scored, "Pending": self.running, "Failed": self.unscored}),
        );
    }
}

impl State {
    /// `HyperParameterTuningJobStatus`.
    pub fn status(&self) -> &'static str {
        match (&self.ending, self.ended) {
            (Some(Ending::Completed), Some(_)) => "Completed",
            (Some(Ending::Failed(_)), Some(_)) => "Failed",
            (Some(Ending::Stopped), Some(_)) => "Stopped",
            (Some(Ending::Stopped), None) => "Stopping",
            _ => "InProgress",
        }
    }
}

impl Record {
    /// The tuning job of a row.
    ///
    /// # Errors
    /// When what is stored is none.
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

    /// The request as a value, for looking into.
    pub fn view(&self) -> Value {
        Value::Object(self.request.clone())
    }
}
