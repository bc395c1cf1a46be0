//! ListPipelineExecutionSteps' view of an execution.

use super::{
    definition::{Definition, StepKind},
    execution::{Execution, StepRecord, StepStatus},
};
use serde_json::{Map, Value, json};

/// The `PipelineExecutionStep`s of an execution, those that began first first. Instants are JSON numbers of
/// seconds. Steps whose branch was not chosen do not appear.
#[must_use]
pub fn steps(execution: &Execution, definition: &Definition) -> Vec<Value> {
    execution.steps().iter().map(|record| step(record, definition)).collect()
}

fn step(record: &StepRecord, definition: &Definition) -> Value {
    let mut view = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            view.insert(key.to_owned(), value);
        }
    };
    let written = definition.step(&record.name);
    put("StepName", Some(json!(record.name)));
    put("StepDisplayName", written.and_then(|step| step.display_name.clone()).map(Value::from));
    put("StepDescription", written.and_then(|step| step.description.clone()).map(Value::from));
    put("StartTime", Some(json!(record.start)));
    put("EndTime", record.end.map(|end| json!(end)));
    put("StepStatus", Some(json!(record.status())));
    put("CacheHitResult", record.cache_source.as_ref().map(|arn| json!({"SourcePipelineExecutionArn": arn})));
    put("SelectiveExecutionResult", record.selective_source.as_ref().map(|arn| json!({"SourcePipelineExecutionArn": arn})));
    put("AttemptCount", Some(json!(record.attempt)));
    put("FailureReason", record.failure_reason.as_ref().filter(|_| record.status() == StepStatus::Failed).map(|reason| json!(reason)));
    put("Metadata", metadata(record));
    Value::Object(view)
}

/// `PipelineExecutionStepMetadata`
fn metadata(record: &StepRecord) -> Option<Value> {
    let member = match record.kind {
        StepKind::Condition => return record.outcome.map(|outcome| json!({"Condition": {"Outcome": outcome_text(outcome)}})),
        StepKind::Fail => return record.failure_reason.as_ref().map(|message| json!({"Fail": {"ErrorMessage": message}})),
        StepKind::Training => "TrainingJob",
        StepKind::Processing => "ProcessingJob",
        StepKind::Transform => "TransformJob",
        StepKind::Tuning => "TuningJob",
        StepKind::Model => "Model",
        StepKind::RegisterModel => "RegisterModel",
    };
    record.arn.as_ref().map(|arn| json!({member: {"Arn": arn}}))
}

/// `ConditionOutcome`
pub(super) const fn outcome_text(outcome: bool) -> &'static str {
    if outcome { "True" } else { "False" }
}
