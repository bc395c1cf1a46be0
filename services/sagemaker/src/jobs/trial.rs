//! Training jobs that a tuning job makes, as the tuning job sees them.
//!
//! They are jobs like any other, but nobody calls CreateTrainingJob: whoever may create the tuning job and pass its
//! roles has decided, and the service makes them ("Operations performed by automatic model tuning", Amazon SageMaker AI
//! Developer Guide). So making one is a part of the commit that stores how far the search is: no lost commit and no
//! restart can make one twice. The event of each says that the service made it.

use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result, Scope, Tag, Timestamp};
use tenantry_kernel::{
    Check, Ids, Kernel,
    audit::{Attribute, lookup_key},
};
use tenantry_store::{Batch, List, Row, canonical_json};

pub(crate) use super::record::Tuning;
use super::{
    container, plan,
    record::{Of, Outcome, Phase, Record, State},
    training, verbs,
};
use crate::{Machinery, names};

/// The name and the source of events of the jobs that are made.
const EVENT: &str = "CreateTrainingJob";
const SOURCE: &str = "sagemaker.amazonaws.com";
const TYPE: &str = "AWS::SageMaker::TrainingJob";

/// A training job of a tuning job.
pub(crate) struct Trial {
    row: Row,
    record: Record,
    tuning: Tuning,
}

/// How a training job of a tuning job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Waits, runs or is stopping.
    Running,
    /// Completed.
    Completed,
    /// Stopped, or out of time.
    Stopped,
    /// Failed, and might not have.
    Unlucky,
    /// Failed.
    Failed,
}

/// The condition keys of a definition of training jobs.
pub(crate) fn keys(check: Check, definition: &Value) -> Check {
    training::keys(check, definition)
}

/// Whether training jobs of this request can run here: the request with what Describe adds.
///
/// # Errors
/// Those of CreateTrainingJob.
pub(crate) fn checked(machinery: &Machinery, scope: &Scope, request: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut record = Record { request, state: State::new(Timestamp::default(), None), tuning: None };
    verbs::checked(machinery, scope, Of::Training, &mut record, training::complete)?;
    Ok(record.request)
}

/// Whether SageMaker may act as the role of a definition for a tuning job.
///
/// # Errors
/// `ValidationException` when it may not.
pub(crate) async fn assumable(kernel: &Kernel, scope: &Scope, role: &str, source: &Arn, identity: Option<&str>) -> Result<()> {
    container::assume(kernel, &plan::role(scope, role)?, source, identity, &scope.region).await.map(|_| ())
}

/// The role of a definition.
///
/// # Errors
/// `ValidationException` for what is none of this account.
pub(crate) fn role(scope: &Scope, definition: &Value) -> Result<Arn> {
    plan::role(scope, plan::text(definition, "RoleArn"))
}

/// What all training jobs of a search have in common.
pub(crate) struct Search<'a> {
    /// Whose they are.
    pub scope: &'a Scope,
    /// Tells them from those of another tuning job of the same name.
    pub id: &'a str,
    /// Of whoever made the tuning job.
    pub identity: Option<&'a str>,
    /// Those of the tuning job.
    pub tags: &'a [Tag],
}

/// Adds a new training job to a batch: `request` as [`checked`] answered it, with its name.
///
/// # Errors
/// Internal only.
pub(crate) fn put(batch: &mut Batch, search: &Search<'_>, request: Map<String, Value>, tuning: Tuning, now: Timestamp) -> Result<()> {
    let name = request.get("TrainingJobName").and_then(Value::as_str).unwrap_or_default().to_owned();
    event(batch, search.scope, &name, &request, &tuning, now);
    let record = Record { request, state: State::new(now, search.identity.map(str::to_owned)), tuning: Some(tuning) };
    let row = Row::new(Of::Training.kind(), search.scope, &*name, now).name(&*name).parent(search.id);
    verbs::put(batch, Of::Training, record.into_row(row, now)?, search.tags.to_vec());
    Ok(())
}

/// Whether a job of this name is there, in whichever case.
///
/// # Errors
/// The store's.
pub(crate) async fn taken(kernel: &Kernel, scope: &Scope, name: &str) -> Result<bool> {
    Ok(kernel.store().get(Of::Training.name_kind(), scope, &name.to_lowercase()).await?.is_some())
}

/// All training jobs of a search, in the order they were made.
///
/// # Errors
/// The store's.
pub(crate) async fn all(kernel: &Kernel, scope: &Scope, search: &str) -> Result<Vec<Trial>> {
    let mut query = List::of(Of::Training.kind(), scope);
    query.parent = Some(search);
    let rows = kernel.store().list(&query).await?;
    let mut trials = rows.into_iter().filter_map(|row| Trial::of(row).transpose()).collect::<Result<Vec<_>>>()?;
    trials.sort_by_key(Trial::number);
    Ok(trials)
}

impl Trial {
    /// The training job of a row; `None` where it is of no tuning job.
    ///
    /// # Errors
    /// When what is stored is no job.
    pub fn of(row: Row) -> Result<Option<Self>> {
        let record = Record::of(&row)?;
        Ok(record.tuning.clone().map(|tuning| Self { row, record, tuning }))
    }

    /// The training job's name.
    pub fn job(&self) -> &str {
        &self.row.id
    }

    /// Counts from 0.
    pub fn number(&self) -> usize {
        self.tuning.number
    }

    /// Which of the definitions, from 0.
    pub fn definition(&self) -> usize {
        self.tuning.definition
    }

    /// The hyperparameters that were searched for.
    pub fn values(&self) -> &Map<String, Value> {
        &self.tuning.values
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match (self.record.state.phase, &self.record.state.outcome) {
            (Phase::Over, Some(Outcome::Completed)) => Standing::Completed,
            (Phase::Over, Some(Outcome::Failed(reason))) if reason.starts_with("InternalServerError") => Standing::Unlucky,
            (Phase::Over, Some(Outcome::Failed(_))) => Standing::Failed,
            (Phase::Over, _) => Standing::Stopped,
            _ => Standing::Running,
        }
    }

    /// The last value of a metric; of a job that failed there is none.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let usable = matches!(self.standing(), Standing::Completed | Standing::Stopped);
        let found = self.record.state.metrics.iter().filter(|_| usable).find(|metric| metric["MetricName"] == name)?;
        found["Value"].as_f64()
    }

    /// The values of the objective so far.
    pub fn progress(&self) -> &[f64] {
        &self.record.state.progress
    }

    /// When it ended.
    pub fn ended(&self) -> Option<Timestamp> {
        self.record.state.ended
    }

    /// Adds to a batch that it is to stop, unless it is over or stops already.
    ///
    /// # Errors
    /// Internal only.
    pub fn stop(&self, batch: &mut Batch, now: Timestamp) -> Result<()> {
        if self.standing() == Standing::Running && self.record.state.stop_asked.is_none() {
            verbs::ask_to_stop(batch, Of::Training, self.row.clone(), self.record.clone(), now)?;
        }
        Ok(())
    }

    /// The members of `HyperParameterTrainingJobSummary` that are the job's own.
    pub fn summary(&self) -> Map<String, Value> {
        let state = &self.record.state;
        let mut out = Map::new();
        let mut put = |member: &str, value: Value| _ = out.insert(member.to_owned(), value);
        put("TrainingJobName", json!(self.row.id));
        put("TrainingJobArn", json!(Of::Training.arn(&self.row.scope, &self.row.id)));
        put("CreationTime", json!(self.row.created));
        put("TrainingJobStatus", json!(state.status()));
        put("TunedHyperParameters", json!(self.tuning.values));
        for (member, time) in [("TrainingStartTime", state.started), ("TrainingEndTime", state.ended)] {
            if let Some(time) = time {
                put(member, json!(time));
            }
        }
        if let Some(reason) = state.failure() {
            put("FailureReason", json!(reason));
        }
        out
    }
}

/// Ends a training job as if it had run: for tests of searches.
#[cfg(test)]
pub(crate) async fn end(kernel: &Kernel, scope: &Scope, name: &str, with: std::result::Result<Value, &str>) -> Result<()> {
    let now = kernel.now();
    let changed = super::record::change(kernel, Of::Training, scope, name, |record| {
        if record.state.phase == Phase::Over {
            return false;
        }
        let stopped = record.state.stop_asked.is_some();
        match &with {
            Ok(metrics) => {
                record.state.metrics = metrics.as_array().cloned().unwrap_or_default();
                record.state.finish(if stopped { Outcome::Stopped } else { Outcome::Completed }, now);
            }
            Err(reason) => record.state.finish(Outcome::Failed((*reason).to_owned()), now),
        }
        true
    });
    changed.await.map(|_| ())
}

/// That the service made a job ("AWS service events", AWS CloudTrail User Guide).
fn event(batch: &mut Batch, scope: &Scope, name: &str, request: &Map<String, Value>, tuning: &Tuning, now: Timestamp) {
    let (account, region) = (scope.account.as_str(), scope.region.as_str());
    let arn = names::arn(scope, "training-job", name);
    let event = json!({
        "eventVersion": "1.11",
        "userIdentity": {"accountId": account, "invokedBy": SOURCE},
        "eventTime": now.iso8601(false),
        "eventSource": SOURCE,
        "eventName": EVENT,
        "awsRegion": region,
        "sourceIPAddress": SOURCE,
        "userAgent": SOURCE,
        "requestParameters": null,
        "responseElements": null,
        "serviceEventDetails": {
            "trainingJobName": name, "trainingJobArn": arn, "hyperParameterTuningJobArn": tuning.arn,
            "roleArn": request.get("RoleArn"),
        },
        "eventID": Ids::uuid(),
        "readOnly": false,
        "eventType": "AwsServiceEvent",
        "managementEvent": true,
        "eventCategory": "Management",
        "resources": [
            {"ARN": arn, "accountId": account, "type": TYPE},
            {"ARN": tuning.arn, "accountId": account, "type": "AWS::SageMaker::HyperParameterTuningJob"},
        ],
        "recipientAccountId": account,
    });
    let keys = [
        (Attribute::All, ""),
        (Attribute::Changes, ""),
        (Attribute::EventName, EVENT),
        (Attribute::EventSource, SOURCE),
        (Attribute::ResourceName, arn.as_str()),
        (Attribute::ResourceType, TYPE),
    ];
    let keys = keys.into_iter().map(|(attribute, value)| lookup_key(account, region, attribute, value)).collect();
    batch.event_under(now, canonical_json(&event), keys);
}
