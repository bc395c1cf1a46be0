//! The state of an execution, what it is told and what it asks for.
//!
//! The state is one serialisable value: store it with the definition's text it was made from (a pipeline
//! may be updated while an execution runs) after every [`Execution::advance`], together with the effects.
//! After a crash between storing and acting, [`Execution::outstanding`] gives again every effect that has
//! not been answered; all of them may be carried out twice, `StartStep` because of its client token.

use super::{
    definition::{Definition, StepKind},
    parameters::Bound,
    retry::FailureKind,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_core::Timestamp;

/// What an execution knows of itself from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionInfo {
    /// As given at CreatePipeline.
    pub pipeline_name: String,
    /// The pipeline's ARN.
    pub pipeline_arn: String,
    /// The last part of the execution's ARN: twelve letters and digits.
    pub execution_id: String,
    /// The execution's ARN.
    pub execution_arn: String,
    /// When it was started.
    pub start: Timestamp,
    /// `ParallelismConfiguration` of the execution or else of the pipeline; `None` for no limit.
    pub max_parallel_steps: Option<u32>,
}

/// `PipelineExecutionStatus`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionStatus {
    /// Steps run or wait.
    Executing,
    /// Stopping was asked for; steps still end.
    Stopping,
    /// Stopped on request.
    Stopped,
    /// A step failed.
    Failed,
    /// Every step that was to run succeeded.
    Succeeded,
}

impl ExecutionStatus {
    /// Whether nothing will happen any more, unless the execution is retried.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Succeeded)
    }
}

/// `StepStatus`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepStatus {
    /// Being prepared, or waiting for its next attempt.
    Starting,
    /// Running.
    Executing,
    /// Told to stop.
    Stopping,
    /// Stopped.
    Stopped,
    /// Failed.
    Failed,
    /// Succeeded.
    Succeeded,
}

/// Where a step is. Each phase but the final ones waits for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// For property files.
    Reading,
    /// For the answer to a cache look-up.
    LookingUp,
    /// For the call that starts it.
    Starting,
    /// For its end.
    Executing,
    /// For the time of its next attempt.
    Waiting {
        until: Timestamp,
    },
    /// For its end, having been told to stop.
    Stopping,
    Stopped,
    Failed,
    Succeeded,
}

impl Phase {
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Succeeded)
    }
    /// Whether a call has been made, or is being made, on the step's behalf.
    pub(super) const fn is_running(self) -> bool {
        matches!(self, Self::Starting | Self::Executing | Self::Stopping)
    }
}

/// A step that has begun. Steps that have not, or whose branch was not chosen, have no record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name.
    pub name: String,
    /// The step's type.
    pub kind: StepKind,
    pub(super) phase: Phase,
    /// From 1, counted over retries of the execution too.
    pub attempt: u32,
    /// When the step began.
    pub start: Timestamp,
    /// When the present attempt began.
    pub attempt_start: Timestamp,
    /// When the step ended.
    pub end: Option<Timestamp>,
    /// What the step created.
    pub arn: Option<String>,
    /// What Describe answered when the step succeeded.
    pub outputs: Option<Value>,
    /// Why the present or last attempt failed.
    pub failure_reason: Option<String>,
    /// Under which the outputs of a succeeded step may be found again; see [`super::cache`].
    pub cache_key: Option<String>,
    /// The execution whose outputs were reused.
    pub cache_source: Option<String>,
    /// The execution whose run of the step was taken over by selective execution.
    pub selective_source: Option<String>,
    /// What a Condition step decided.
    pub outcome: Option<bool>,
    /// Retries granted so far by each retry policy.
    pub(super) retries: Vec<u32>,
}

impl StepRecord {
    /// `StepStatus`
    #[must_use]
    pub fn status(&self) -> StepStatus {
        match self.phase {
            // A Condition step has no call to start: while it reads, it is at work.
            Phase::Reading if self.kind == StepKind::Condition => StepStatus::Executing,
            Phase::Reading | Phase::LookingUp | Phase::Starting | Phase::Waiting { .. } => StepStatus::Starting,
            Phase::Executing => StepStatus::Executing,
            Phase::Stopping => StepStatus::Stopping,
            Phase::Stopped => StepStatus::Stopped,
            Phase::Failed => StepStatus::Failed,
            Phase::Succeeded => StepStatus::Succeeded,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub step: String,
    pub file: String,
    pub uri: String,
    /// `None` until it has been read.
    pub outcome: Option<FileOutcome>,
}

/// What reading a property file came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileOutcome {
    /// Its text.
    Content(String),
    /// Why it could not be read; fails the step that wants it.
    Error(String),
}

/// Something that happened. Observations about an attempt that is over, and repeated ones, change nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Observation {
    /// The call of `StartStep` succeeded.
    StepStarted {
        /// The step.
        step: String,
        /// As in `StartStep`.
        attempt: u32,
        /// What was created.
        arn: String,
    },
    /// The step's work is done. For Model and RegisterModel steps this may be the only observation.
    StepSucceeded {
        /// The step.
        step: String,
        /// As in `StartStep`.
        attempt: u32,
        /// What Describe answers for what the step created.
        outputs: Value,
    },
    /// The call or the work failed.
    StepFailed {
        /// The step.
        step: String,
        /// As in `StartStep`.
        attempt: u32,
        /// Shown as the step's `FailureReason`.
        reason: String,
        /// Whether a retry policy may apply.
        kind: Option<FailureKind>,
    },
    /// The step's work was stopped.
    StepStopped {
        /// The step.
        step: String,
        /// As in `StartStep`.
        attempt: u32,
    },
    /// A property file was read, or could not be.
    PropertyFileRead {
        /// The step whose file it is.
        step: String,
        /// The `PropertyFileName`.
        file: String,
        /// Its text or why not.
        outcome: FileOutcome,
    },
    /// An earlier run was found.
    CacheHit {
        /// The step.
        step: String,
        /// As in `LookupCache`.
        attempt: u32,
        /// The outputs of the earlier run.
        outputs: Value,
        /// The execution it was part of.
        source_execution_arn: String,
    },
    /// No earlier run was found.
    CacheMiss {
        /// The step.
        step: String,
        /// As in `LookupCache`.
        attempt: u32,
    },
    /// StopPipelineExecution was called.
    StopRequested,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Call the operation with the pipeline's role; answer `StepStarted` or `StepFailed`, later the end.
    StartStep {
        /// The step.
        step: String,
        /// Its type; [`StepKind::operation`] names the operation.
        kind: StepKind,
        /// To be given back in observations.
        attempt: u32,
        /// The same whenever this effect is repeated, different for every attempt.
        client_token: String,
        /// The operation's request, complete.
        request: Value,
    },
    /// Stop what the step created; answer with how it ended.
    StopStep {
        /// The step.
        step: String,
        /// Its type.
        kind: StepKind,
        /// To be given back in observations.
        attempt: u32,
        /// What to stop, if `StepStarted` has been observed.
        arn: Option<String>,
    },
    /// Read an object with the pipeline's role; answer `PropertyFileRead`.
    ReadPropertyFile {
        /// The step whose file it is.
        step: String,
        /// The `PropertyFileName`.
        file: String,
        /// `s3://bucket/key`
        uri: String,
    },
    /// Look for the newest run of this pipeline that succeeded with this key; answer `CacheHit` or `CacheMiss`.
    LookupCache {
        /// The step.
        step: String,
        /// To be given back in observations.
        attempt: u32,
        /// Compare with [`StepRecord::cache_key`].
        key: String,
        /// How old the run may be.
        expire_after_secs: Option<u64>,
    },
    /// The execution is over.
    Finished {
        /// A final status.
        status: ExecutionStatus,
        /// `FailureReason`
        failure_reason: Option<String>,
    },
}

/// An execution of a pipeline. Driven by [`Execution::advance`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub(super) info: ExecutionInfo,
    pub(super) parameters: Bound,
    pub(super) status: ExecutionStatus,
    pub(super) failure_reason: Option<String>,
    pub(super) end: Option<Timestamp>,
    /// In the order in which they began.
    pub(super) steps: Vec<StepRecord>,
    pub(super) files: Vec<FileRecord>,
    /// The last attempt of every step that ever began, so that retries never reuse one.
    pub(super) attempts: BTreeMap<String, u32>,
    /// `SelectiveExecutionConfig`: the only steps that may begin; `None` for all.
    pub(super) selected: Option<BTreeSet<String>>,
}

impl Execution {
    /// An execution that has done nothing yet: the first `advance` starts it.
    #[must_use]
    pub fn new(parameters: Bound, info: ExecutionInfo) -> Self {
        Self {
            info,
            parameters,
            status: ExecutionStatus::Executing,
            failure_reason: None,
            end: None,
            steps: Vec::new(),
            files: Vec::new(),
            attempts: BTreeMap::new(),
            selected: None,
        }
    }

    /// What the execution was started with.
    #[must_use]
    pub fn info(&self) -> &ExecutionInfo {
        &self.info
    }
    /// The values of the parameters.
    #[must_use]
    pub fn parameters(&self) -> &Bound {
        &self.parameters
    }
    /// `PipelineExecutionStatus`
    #[must_use]
    pub fn status(&self) -> ExecutionStatus {
        self.status
    }
    /// `FailureReason`, once failed.
    #[must_use]
    pub fn failure_reason(&self) -> Option<&str> {
        self.failure_reason.as_deref()
    }
    /// When the execution ended.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }
    /// The steps that have begun, in the order in which they did.
    #[must_use]
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }
    /// The record of a step that has begun.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.name == name)
    }
    /// UpdatePipelineExecution's or RetryPipelineExecution's `ParallelismConfiguration`, from the next
    /// `advance` on; steps that run go on.
    pub fn set_max_parallel_steps(&mut self, max: Option<u32>) {
        self.info.max_parallel_steps = max;
    }

    /// When `advance` is to be called even if nothing was observed: the next attempt of a step is due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.steps.iter().filter_map(|record| if let Phase::Waiting { until } = record.phase { Some(until) } else { None }).min()
    }

    /// RetryPipelineExecution: forgets the steps that failed or stopped, keeps those that succeeded, and
    /// executes again from the next `advance` on.
    ///
    /// # Errors
    /// The text of a ValidationException if the execution has neither failed nor stopped.
    pub fn retry(&mut self) -> Result<(), String> {
        if !matches!(self.status, ExecutionStatus::Failed | ExecutionStatus::Stopped) {
            return Err(format!(
                "Only a pipeline execution in status Failed or Stopped can be retried, this one is in status {:?}",
                self.status
            ));
        }
        self.steps.retain(|record| record.phase == Phase::Succeeded);
        self.files.retain(|file| matches!(file.outcome, Some(FileOutcome::Content(_))));
        (self.status, self.failure_reason, self.end) = (ExecutionStatus::Executing, None, None);
        Ok(())
    }

    /// The experiment and the trial that jobs are recorded in, if the pipeline has any: the caller makes
    /// them before it starts the first step, and DescribePipelineExecution shows them.
    #[must_use]
    pub fn experiment(&self, definition: &Definition) -> Option<(String, String)> {
        let (experiment, trial) = definition.experiment.as_ref()?;
        self.with_context(self.info.start, "", |context| Some((context.resolve_text(experiment).ok()?, context.resolve_text(trial).ok()?)))
    }
}
