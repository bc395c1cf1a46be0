//! The machine: observations in, effects out.
//!
//! Every call first takes in what was observed, then starts whatever may start, until nothing more can.
//! A step that fails for good starts no others: those that run end, those that wait do not begin, and the
//! execution fails. Starting, reading files, looking up and stopping are asked for once, here; what was
//! asked and not answered is given again by [`Execution::outstanding`].

use super::{
    cache::cache_key,
    definition::{Definition, Step, StepKind},
    execution::{Effect, Execution, ExecutionStatus, FileOutcome, FileRecord, Observation, Phase, StepRecord},
    reference::Reference,
    request::{step_job_name, step_request, token},
    resolve::Context,
    retry::{FailureKind, next_attempt},
    view::outcome_text,
};
use serde_json::{Value, json};
use tenantry_core::Timestamp;

/// Longest `FailureReason` of a step, in characters.
const MAX_REASON: usize = 1024;
/// Longest property file, in bytes.
pub const MAX_PROPERTY_FILE_BYTES: usize = 2 * 1024 * 1024;

impl Execution {
    /// Takes in `observations` and says what is to be done. `definition` must be the one that the
    /// execution was started with. After the execution has ended, nothing changes any more.
    pub fn advance(&mut self, definition: &Definition, observations: &[Observation], now: Timestamp) -> Vec<Effect> {
        if self.status.is_final() {
            return Vec::new();
        }
        let mut machine = Machine { execution: self, definition, now, effects: Vec::new() };
        for observation in observations {
            machine.observe(observation);
        }
        machine.progress();
        machine.effects
    }

    /// Every effect that was asked for and has not been answered, `Finished` included once the execution is
    /// over: what to do again after a crash.
    #[must_use]
    pub fn outstanding(&self, definition: &Definition) -> Vec<Effect> {
        if self.status.is_final() {
            return vec![Effect::Finished { status: self.status, failure_reason: self.failure_reason.clone() }];
        }
        let files = self.files.iter().filter(|file| file.outcome.is_none()).map(read_effect);
        let steps = self.steps.iter().filter_map(|record| {
            let step = definition.step(&record.name)?;
            match record.phase {
                Phase::LookingUp => lookup_effect(step, record),
                Phase::Starting => {
                    self.arguments(step, record).ok().and_then(|arguments| self.start_effect(definition, step, record, &arguments))
                }
                Phase::Stopping => Some(stop_effect(record)),
                _ => None,
            }
        });
        files.chain(steps).collect()
    }

    /// What references resolve against, for a step of which the present attempt began at `now`.
    pub(super) fn with_context<T>(&self, now: Timestamp, job_name: &str, then: impl FnOnce(&Context<'_>) -> T) -> T {
        let outputs =
            |step: &str| self.step(step).filter(|record| record.phase == Phase::Succeeded).and_then(|record| record.outputs.as_ref());
        let file = |step: &str, file: &str| match self.file(step, file).and_then(|file| file.outcome.as_ref()) {
            Some(FileOutcome::Content(content)) => Some(content.as_str()),
            _ => None,
        };
        then(&Context { parameters: &self.parameters, info: &self.info, outputs: &outputs, file: &file, now, job_name })
    }

    fn file(&self, step: &str, file: &str) -> Option<&FileRecord> {
        self.files.iter().find(|record| record.step == step && record.file == file)
    }

    fn token(&self, record: &StepRecord) -> String {
        // A registration that was not answered may have been made: a further attempt finds it by the same token. Jobs are found by
        // their names, and a further attempt needs a new one.
        let attempt = if record.kind == StepKind::RegisterModel { 0 } else { record.attempt };
        token(&self.info.execution_arn, &record.name, attempt)
    }

    /// The arguments of a step's present attempt, resolved.
    fn arguments(&self, step: &Step, record: &StepRecord) -> Result<Value, String> {
        let name = step_job_name(&self.info.execution_id, step, &self.token(record));
        self.with_context(record.attempt_start, &name, |context| context.resolve(&step.arguments))
    }

    fn start_effect(&self, definition: &Definition, step: &Step, record: &StepRecord, arguments: &Value) -> Option<Effect> {
        let client_token = self.token(record);
        let name = step_job_name(&self.info.execution_id, step, &client_token);
        let experiment = self.experiment(definition);
        let experiment = experiment.as_ref().map(|(experiment, trial)| (experiment.as_str(), trial.as_str()));
        let (_, request) = step_request(step, arguments, &name, &client_token, experiment)?;
        Some(Effect::StartStep { step: step.name.clone(), kind: step.kind, attempt: record.attempt, client_token, request })
    }
}

fn read_effect(file: &FileRecord) -> Effect {
    Effect::ReadPropertyFile { step: file.step.clone(), file: file.file.clone(), uri: file.uri.clone() }
}

fn stop_effect(record: &StepRecord) -> Effect {
    Effect::StopStep { step: record.name.clone(), kind: record.kind, attempt: record.attempt, arn: record.arn.clone() }
}

fn lookup_effect(step: &Step, record: &StepRecord) -> Option<Effect> {
    let expire_after_secs = step.cache?.expire_after_secs;
    Some(Effect::LookupCache { step: step.name.clone(), attempt: record.attempt, key: record.cache_key.clone()?, expire_after_secs })
}

struct Machine<'a> {
    execution: &'a mut Execution,
    definition: &'a Definition,
    now: Timestamp,
    effects: Vec<Effect>,
}

impl Machine<'_> {
    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::StopRequested => self.stop(),
            Observation::PropertyFileRead { step, file, outcome } => self.file_read(step, file, outcome),
            Observation::StepStarted { step, attempt, arn } => {
                let Some(record) = self.attempt(step, *attempt).filter(|record| record.phase.is_running()) else { return };
                record.arn.get_or_insert_with(|| arn.clone());
                if record.phase == Phase::Starting {
                    record.phase = Phase::Executing;
                }
            }
            Observation::StepSucceeded { step, attempt, outputs } => {
                if self.attempt(step, *attempt).is_some_and(|record| record.phase.is_running()) {
                    self.succeed(step, outputs.clone());
                }
            }
            Observation::StepFailed { step, attempt, reason, kind } => {
                if self.attempt(step, *attempt).is_some_and(|record| record.phase.is_running()) {
                    self.fail(step, reason, *kind);
                }
            }
            Observation::StepStopped { step, attempt } => {
                let now = self.now;
                if let Some(record) = self.attempt(step, *attempt).filter(|record| record.phase.is_running()) {
                    (record.phase, record.end) = (Phase::Stopped, Some(now));
                }
            }
            Observation::CacheHit { step, attempt, outputs, source_execution_arn } => {
                if let Some(record) = self.attempt(step, *attempt).filter(|record| record.phase == Phase::LookingUp) {
                    record.cache_source = Some(source_execution_arn.clone());
                    self.succeed(step, outputs.clone());
                }
            }
            Observation::CacheMiss { step, attempt } => {
                if self.attempt(step, *attempt).is_some_and(|record| record.phase == Phase::LookingUp) {
                    self.start(step);
                }
            }
        }
    }

    /// The record of a step, if `attempt` is its present one.
    fn attempt(&mut self, step: &str, attempt: u32) -> Option<&mut StepRecord> {
        self.record(step).filter(|record| record.attempt == attempt)
    }

    fn record(&mut self, step: &str) -> Option<&mut StepRecord> {
        self.execution.steps.iter_mut().find(|record| record.name == step)
    }

    fn file_read(&mut self, step: &str, file: &str, outcome: &FileOutcome) {
        let Some(record) =
            self.execution.files.iter_mut().find(|record| record.step == step && record.file == file && record.outcome.is_none())
        else {
            return;
        };
        record.outcome = Some(match outcome {
            FileOutcome::Content(content) if content.len() > MAX_PROPERTY_FILE_BYTES => {
                FileOutcome::Error(format!("it is longer than {MAX_PROPERTY_FILE_BYTES} bytes"))
            }
            outcome => outcome.clone(),
        });
    }

    fn stop(&mut self) {
        self.execution.status = ExecutionStatus::Stopping;
        for record in &mut self.execution.steps {
            if matches!(record.phase, Phase::Starting | Phase::Executing) {
                record.phase = Phase::Stopping;
                self.effects.push(stop_effect(record));
            }
        }
    }

    fn succeed(&mut self, step: &str, outputs: Value) {
        let now = self.now;
        let Some(record) = self.record(step) else { return };
        let arn = record.kind.arn_member().and_then(|member| outputs.get(member)).and_then(Value::as_str);
        if let (None, Some(arn)) = (&record.arn, arn) {
            record.arn = Some(arn.to_owned());
        }
        (record.phase, record.end, record.outputs, record.failure_reason) = (Phase::Succeeded, Some(now), Some(outputs), None);
    }

    fn fail(&mut self, step: &str, reason: &str, kind: Option<FailureKind>) {
        let now = self.now;
        let policies = self.definition.step(step).map_or(&[][..], |step| &step.retry);
        let Some(record) = self.record(step) else { return };
        record.failure_reason = Some(reason.chars().take(MAX_REASON).collect());
        let next = kind
            .filter(|_| record.phase != Phase::Stopping)
            .and_then(|kind| next_attempt(policies, &record.retries, kind, record.start, now));
        match next {
            Some((until, policy)) => {
                if record.retries.len() <= policy {
                    record.retries.resize(policy + 1, 0);
                }
                record.retries[policy] += 1;
                record.phase = Phase::Waiting { until };
            }
            None => (record.phase, record.end) = (Phase::Failed, Some(now)),
        }
    }

    /// Whether nothing new may start.
    fn halted(&self) -> bool {
        self.execution.status != ExecutionStatus::Executing
            || self.execution.steps.iter().any(|record| matches!(record.phase, Phase::Failed | Phase::Stopped))
    }

    fn progress(&mut self) {
        // Each round begins or ends at least one step, so there are at most a few per step.
        while !self.halted() && self.round() {}
        if self.halted() {
            self.drop_waiting();
        }
        if self.execution.steps.iter().all(|record| record.phase.is_final()) {
            self.finish();
        }
    }

    /// Moves whatever can move; whether anything did.
    fn round(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.execution.steps.len() {
            let record = &mut self.execution.steps[index];
            match record.phase {
                Phase::Waiting { until } if until <= self.now => {
                    record.attempt = record.attempt.saturating_add(1);
                    (record.attempt_start, record.arn) = (self.now, None);
                    let (name, attempt) = (record.name.clone(), record.attempt);
                    self.execution.attempts.insert(name.clone(), attempt);
                    self.start(&name);
                    moved = true;
                }
                Phase::Reading => {
                    let name = record.name.clone();
                    moved |= self.prepare(&name);
                }
                _ => {}
            }
            if self.halted() {
                return moved;
            }
        }
        for step in &self.definition.steps {
            if self.free_slot() && self.is_ready(step) {
                self.begin(step);
                moved = true;
            }
            if self.halted() {
                return moved;
            }
        }
        moved
    }

    fn free_slot(&self) -> bool {
        let active = self.execution.steps.iter().filter(|record| !record.phase.is_final()).count();
        self.execution.info.max_parallel_steps.is_none_or(|max| active < usize::try_from(max.max(1)).unwrap_or(usize::MAX))
    }

    /// Whether `step` has not begun and all it waits for is there.
    fn is_ready(&self, step: &Step) -> bool {
        let record = |index: usize| self.execution.step(&self.definition.steps[index].name);
        self.execution.step(&step.name).is_none()
            && self.execution.selected.as_ref().is_none_or(|selected| selected.contains(&step.name))
            && step.dependencies.iter().all(|&index| record(index).is_some_and(|record| record.phase == Phase::Succeeded))
            && step.scope.iter().all(|&(condition, branch)| record(condition).is_some_and(|record| record.outcome == Some(branch)))
    }

    fn begin(&mut self, step: &Step) {
        let attempt = self.execution.attempts.get(&step.name).map_or(1, |last| last.saturating_add(1));
        self.execution.attempts.insert(step.name.clone(), attempt);
        self.execution.steps.push(StepRecord {
            name: step.name.clone(),
            kind: step.kind,
            phase: Phase::Reading,
            attempt,
            start: self.now,
            attempt_start: self.now,
            end: None,
            arn: None,
            outputs: None,
            failure_reason: None,
            cache_key: None,
            cache_source: None,
            selective_source: None,
            outcome: None,
            retries: Vec::new(),
        });
        self.prepare(&step.name);
    }

    /// Takes a step that reads as far as it gets; whether it left that phase.
    fn prepare(&mut self, name: &str) -> bool {
        let Some(step) = self.definition.step(name) else { return false };
        match self.files(step) {
            Ok(false) => return false,
            Ok(true) => match step.kind {
                StepKind::Condition => self.decide(step),
                StepKind::Fail => self.fail_on_purpose(step),
                _ => self.look_up_or_start(step),
            },
            Err(reason) => self.fail(name, &reason, None),
        }
        true
    }

    /// Asks for the property files that `step` reads; whether all are there.
    fn files(&mut self, step: &Step) -> Result<bool, String> {
        let mut complete = true;
        for reference in &step.references {
            let Reference::PropertyFile { step: of, file } = reference else { continue };
            match self.execution.file(of, file).map(|record| record.outcome.as_ref()) {
                Some(Some(FileOutcome::Content(_))) => {}
                Some(Some(FileOutcome::Error(problem))) => {
                    return Err(format!("Property file [{file}] of step [{of}] could not be read: {problem}"));
                }
                Some(None) => complete = false,
                None => {
                    let record = FileRecord { step: of.clone(), file: file.clone(), uri: self.file_uri(of, file)?, outcome: None };
                    self.effects.push(read_effect(&record));
                    self.execution.files.push(record);
                    complete = false;
                }
            }
        }
        Ok(complete)
    }

    /// Where a property file is: below the output of the processing job that wrote it.
    fn file_uri(&self, step: &str, file: &str) -> Result<String, String> {
        let file = self
            .definition
            .step(step)
            .and_then(|step| step.property_files.iter().find(|known| known.name == file))
            .ok_or_else(|| format!("Step [{step}] has no property file [{file}]"))?;
        let outputs = self
            .execution
            .step(step)
            .and_then(|record| record.outputs.as_ref())
            .and_then(|outputs| outputs.pointer("/ProcessingOutputConfig/Outputs"));
        let output = outputs
            .and_then(Value::as_array)
            .and_then(|outputs| outputs.iter().find(|output| output.get("OutputName").and_then(Value::as_str) == Some(&file.output)));
        let uri = output
            .and_then(|output| output.pointer("/S3Output/S3Uri"))
            .and_then(Value::as_str)
            .ok_or_else(|| format!("Step [{step}] has no output [{}]", file.output))?;
        Ok(format!("{}/{}", uri.trim_end_matches('/'), file.path.trim_start_matches('/')))
    }

    fn decide(&mut self, step: &Step) {
        let start = self.execution.step(&step.name).map_or(self.now, |record| record.attempt_start);
        let outcome: Result<bool, String> = self.execution.with_context(start, "", |context| {
            for condition in &step.conditions {
                if !condition.holds(&|value| context.resolve(value))? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        match outcome {
            Ok(outcome) => {
                self.succeed(&step.name, json!({"Outcome": outcome_text(outcome)}));
                if let Some(record) = self.record(&step.name) {
                    record.outcome = Some(outcome);
                }
            }
            Err(reason) => self.fail(&step.name, &reason, None),
        }
    }

    fn fail_on_purpose(&mut self, step: &Step) {
        let start = self.execution.step(&step.name).map_or(self.now, |record| record.attempt_start);
        let message = self
            .execution
            .with_context(start, "", |context| context.resolve_text(step.arguments.get("ErrorMessage").unwrap_or(&Value::Null)));
        let message = message.unwrap_or_else(|problem| problem);
        self.fail(&step.name, &message, None);
    }

    fn look_up_or_start(&mut self, step: &Step) {
        let Some(record) = self.execution.step(&step.name) else { return };
        let arguments = match self.execution.arguments(step, record) {
            Ok(arguments) => arguments,
            Err(reason) => return self.fail(&step.name, &reason, None),
        };
        let key = cache_key(step, &arguments);
        let Some(record) = self.record(&step.name) else { return };
        record.cache_key = key;
        let lookup = if step.cache.is_some_and(|cache| cache.enabled) { lookup_effect(step, record) } else { None };
        match lookup {
            Some(effect) => {
                record.phase = Phase::LookingUp;
                self.effects.push(effect);
            }
            None => self.start(&step.name),
        }
    }

    /// Asks for the present attempt of a step to be started.
    fn start(&mut self, name: &str) {
        let (Some(step), Some(record)) = (self.definition.step(name), self.execution.step(name)) else { return };
        let arguments = match self.execution.arguments(step, record) {
            Ok(arguments) => arguments,
            Err(reason) => return self.fail(name, &reason, None),
        };
        let Some(effect) = self.execution.start_effect(self.definition, step, record, &arguments) else { return };
        self.effects.push(effect);
        if let Some(record) = self.record(name) {
            record.phase = Phase::Starting;
        }
    }

    /// Ends the steps for which nothing runs, once nothing new may start.
    fn drop_waiting(&mut self) {
        let now = self.now;
        for record in self.execution.steps.iter_mut().filter(|record| !record.phase.is_final() && !record.phase.is_running()) {
            // A step between two attempts has failed; one that was not started yet has not.
            record.phase = if matches!(record.phase, Phase::Waiting { .. }) { Phase::Failed } else { Phase::Stopped };
            record.end = Some(now);
        }
        // Nobody waits for these any more.
        self.execution.files.retain(|file| file.outcome.is_some());
    }

    fn finish(&mut self) {
        let execution = &mut *self.execution;
        let failed = execution.steps.iter().any(|record| record.phase != Phase::Succeeded);
        execution.status = match execution.status {
            ExecutionStatus::Stopping => ExecutionStatus::Stopped,
            _ if failed => ExecutionStatus::Failed,
            _ => ExecutionStatus::Succeeded,
        };
        if execution.status == ExecutionStatus::Failed {
            let on_purpose = execution.steps.iter().find(|record| record.kind == StepKind::Fail && record.phase == Phase::Failed);
            let message = on_purpose.and_then(|record| record.failure_reason.clone());
            execution.failure_reason = Some(message.unwrap_or_else(|| "Step failure: One or multiple steps failed.".into()));
        }
        execution.end = Some(self.now);
        self.effects.push(Effect::Finished { status: execution.status, failure_reason: execution.failure_reason.clone() });
    }
}
