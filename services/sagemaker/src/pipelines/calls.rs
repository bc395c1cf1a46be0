//! What an execution does to the world: calls of other operations as the pipeline's role.
//!
//! Everything here may be done twice. A job's name follows from execution, step and attempt, so a name
//! that is taken is our own job of before a crash; a model package has a client token.

use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Region, Result, Scope};
use tenantry_flow::pipeline::{FailureKind, FileOutcome, Observation, StepKind, request};
use tenantry_kernel::{Caller, Kernel, ServiceSession};

use super::{
    quota,
    record::{ExecutionRecord, Loaded},
};
use crate::names;

/// For so long, in seconds, an internal error of a call that starts a step is taken for a passing one.
const PATIENCE: i64 = 300;
/// Training jobs that a tuning step shows.
const SUMMARIES: usize = 50;

/// The pipeline's role, assumed for one step of the reconciler.
pub(super) struct Role<'a> {
    kernel: &'a Kernel,
    region: &'a Region,
    caller: Caller,
}

/// How a job of a kind is described and stopped: operations and the member that is its status.
struct Job {
    describe: &'static str,
    stop: &'static str,
    name: &'static str,
    status: &'static str,
}

fn job(kind: StepKind) -> Option<Job> {
    let of = |describe, stop, name, status| Some(Job { describe, stop, name, status });
    match kind {
        StepKind::Training => of("DescribeTrainingJob", "StopTrainingJob", "TrainingJobName", "TrainingJobStatus"),
        StepKind::Processing => of("DescribeProcessingJob", "StopProcessingJob", "ProcessingJobName", "ProcessingJobStatus"),
        StepKind::Transform => of("DescribeTransformJob", "StopTransformJob", "TransformJobName", "TransformJobStatus"),
        StepKind::Tuning => of(
            "DescribeHyperParameterTuningJob",
            "StopHyperParameterTuningJob",
            "HyperParameterTuningJobName",
            "HyperParameterTuningJobStatus",
        ),
        StepKind::Model | StepKind::RegisterModel | StepKind::Condition | StepKind::Fail => None,
    }
}

/// The name of what an attempt of a step creates.
fn name_of(run: &Loaded, step: &str, attempt: u32) -> String {
    let info = run.state.info();
    let token = request::token(&info.execution_arn, step, attempt);
    match run.definition.step(step) {
        Some(written) => request::step_job_name(&info.execution_id, written, &token),
        None => request::job_name(&info.execution_id, step, &token),
    }
}

/// A step's `FailureReason` for a call that was refused.
fn refused(operation: &str, error: &AwsError) -> String {
    format!("ClientError: Failed to invoke sagemaker:{operation}. Error Details: {}", error.message)
}

fn exists_already(error: &AwsError) -> bool {
    error.code == "ResourceInUse" || (error.status == 400 && error.message.contains("already exist"))
}

impl<'a> Role<'a> {
    /// Assumes the role of an execution.
    pub(super) async fn assume(kernel: &'a Kernel, scope: &'a Scope, record: &ExecutionRecord) -> Result<Self> {
        let arn = |text: &str| Arn::parse(text).map_err(AwsError::internal);
        let (role, pipeline) = (arn(&record.role)?, arn(&record.pipeline_arn)?);
        let wish = ServiceSession {
            role: &role,
            service: names::PRINCIPAL,
            session: names::SESSION,
            source: Some(&pipeline),
            source_identity: record.source_identity.as_deref(),
            region: &scope.region,
        };
        Ok(Self { kernel, region: &scope.region, caller: kernel.assume_for_service(&wish).await? })
    }

    async fn call(&self, operation: &str, request: Value) -> Result<Value> {
        Ok(self.kernel.call(&self.caller, self.region, "sagemaker", operation, request).await?.output)
    }

    /// Makes the experiment and the trial that jobs are to be recorded in, before the first job. An error where
    /// the role may not: the execution goes on without them.
    pub(super) async fn experiment(&self, run: &Loaded) -> Result<()> {
        let Some((experiment, trial)) = run.record.experiment.as_ref().filter(|_| !run.record.no_experiment) else { return Ok(()) };
        let first =
            run.state.steps().iter().all(|step| step.arn.is_none() || step.cache_source.is_some() || step.selective_source.is_some());
        if !first {
            return Ok(());
        }
        let made = |result: Result<Value>| match result {
            Err(error) if !exists_already(&error) => {
                tracing::info!(execution = %run.record.arn, %error, "the execution is not recorded in an experiment");
                Err(error)
            }
            _ => Ok(()),
        };
        made(self.call("CreateExperiment", json!({"ExperimentName": experiment})).await)?;
        made(self.call("CreateTrial", json!({"ExperimentName": experiment, "TrialName": trial})).await)
    }

    /// Starts a step, or finds it started; `None` where it is to be tried again.
    pub(super) async fn start(&self, run: &Loaded, step: String, kind: StepKind, attempt: u32, mut request: Value) -> Option<Observation> {
        let operation = kind.operation()?;
        if run.record.no_experiment {
            without_experiment(&mut request, run.record.experiment.as_ref());
        }
        let result = match kind {
            StepKind::RegisterModel => self.register(&mut request).await,
            _ => self.call(operation, request.clone()).await,
        };
        let created = match result {
            Ok(output) => Ok(output),
            Err(error) if exists_already(&error) => self.existing(kind, &name_of(run, &step, attempt)).await.map_err(|_| error),
            Err(error) => Err(error),
        };
        let began = run.state.step(&step).map_or(run.row.created, |record| record.attempt_start);
        Some(match created {
            // It is not known whether it was created: were the step to fail now, a job might run on that nobody stops.
            Err(error) if error.status >= 500 && self.kernel.now() < began.plus_secs(PATIENCE) => {
                tracing::warn!(step, %error, "a step could not be started");
                return None;
            }
            Err(error) => {
                let kind = FailureKind::of_call(&error.code, error.status);
                Observation::StepFailed { step, attempt, reason: refused(operation, &error), kind }
            }
            Ok(output) => self.started(step, kind, attempt, request, output).await,
        })
    }

    /// Registers a model, in a new group where it is not there yet. Tags are the group's: versions have none.
    async fn register(&self, request: &mut Value) -> Result<Value> {
        let group =
            request.get("ModelPackageGroupName").and_then(Value::as_str).filter(|name| !name.starts_with("arn:")).map(str::to_owned);
        let tags = group.as_ref().and_then(|_| request.as_object_mut()?.shift_remove("Tags"));
        let result = self.call("CreateModelPackage", request.clone()).await;
        let (Some(group), Err(error)) = (group, &result) else { return result };
        if error.code != "ValidationException" || !error.message.contains("does not exist") {
            return result;
        }
        let mut wanted = json!({"ModelPackageGroupName": group});
        if let Some(tags) = tags {
            wanted["Tags"] = tags;
        }
        match self.call("CreateModelPackageGroup", wanted).await {
            Err(error) if !exists_already(&error) => Err(error),
            _ => self.call("CreateModelPackage", request.clone()).await,
        }
    }

    /// What an earlier, unanswered call of ours has created.
    async fn existing(&self, kind: StepKind, name: &str) -> Result<Value> {
        match (job(kind), kind) {
            (Some(job), _) => self.call(job.describe, json!({job.name: name})).await,
            (None, StepKind::Model) => self.call("DescribeModel", json!({"ModelName": name})).await,
            _ => Err(AwsError::internal("nothing to look for")),
        }
    }

    /// Jobs have begun; models and model packages are done with their creation.
    async fn started(&self, step: String, kind: StepKind, attempt: u32, request: Value, output: Value) -> Observation {
        let arn = kind.arn_member().and_then(|member| output.get(member)).and_then(Value::as_str).unwrap_or_default().to_owned();
        if job(kind).is_some() {
            return Observation::StepStarted { step, attempt, arn };
        }
        let described = match kind {
            StepKind::Model => self.call("DescribeModel", json!({"ModelName": request.get("ModelName")})).await,
            _ => self.call("DescribeModelPackage", json!({"ModelPackageName": arn})).await,
        };
        // A role that may create but not describe has what it has asked for.
        let mut outputs = described.unwrap_or(request);
        if let (Some(outputs), Some(member)) = (outputs.as_object_mut(), kind.arn_member()) {
            outputs.insert(member.to_owned(), json!(arn));
        }
        Observation::StepSucceeded { step, attempt, outputs }
    }

    /// Looks whether a job has ended.
    pub(super) async fn poll(&self, run: &Loaded, step: &str, kind: StepKind, attempt: u32) -> Option<Observation> {
        let job = job(kind)?;
        let described = self.described(kind, &job, &name_of(run, step, attempt)).await;
        ended(&job, step, attempt, described)
    }

    /// A job's description. Of a tuning job that is completed also its training jobs, the best first: both are the step's
    /// properties ("Data Dependency - Property Reference").
    async fn described(&self, kind: StepKind, job: &Job, name: &str) -> Result<Value> {
        let mut described = self.call(job.describe, json!({job.name: name})).await?;
        if kind == StepKind::Tuning && described.get(job.status).and_then(Value::as_str) == Some("Completed") {
            let best = described.pointer("/BestTrainingJob/FinalHyperParameterTuningJobObjectiveMetric/Type").and_then(Value::as_str);
            let order = if best == Some("Maximize") { "Descending" } else { "Ascending" };
            let wanted = json!({job.name: name, "SortBy": "FinalObjectiveMetricValue", "SortOrder": order, "MaxResults": SUMMARIES});
            let mut listed = self.call("ListTrainingJobsForHyperParameterTuningJob", wanted).await?;
            described["TrainingJobSummaries"] = listed["TrainingJobSummaries"].take();
        }
        Ok(described)
    }

    /// Stops a job that still runs; answers how it ended.
    pub(super) async fn stop(&self, run: &Loaded, step: &str, kind: StepKind, attempt: u32, started: bool) -> Option<Observation> {
        let stopped = Observation::StepStopped { step: step.to_owned(), attempt };
        let Some(job) = job(kind) else { return Some(stopped) };
        let name = name_of(run, step, attempt);
        let described = self.described(kind, &job, &name).await;
        match &described {
            // The call that would have started it was never made.
            Err(error) if error.status == 400 && error.code != "AccessDeniedException" && !started => return Some(stopped),
            Ok(job_now) if job_now.get(job.status).and_then(Value::as_str) == Some("InProgress") => {
                return match self.call(job.stop, json!({job.name: name})).await {
                    Err(error) if error.code == "AccessDeniedException" => {
                        Some(Observation::StepFailed { step: step.to_owned(), attempt, reason: refused(job.stop, &error), kind: None })
                    }
                    Err(error) => {
                        tracing::warn!(step, %error, "a step's job could not be told to stop");
                        None
                    }
                    Ok(_) => None,
                };
            }
            _ => {}
        }
        ended(&job, step, attempt, described)
    }

    /// Reads a property file of at most `room` bytes.
    pub(super) async fn read(&self, uri: &str, room: usize) -> FileOutcome {
        let limit = quota::PROPERTY_FILE_BYTES.min(room);
        self.object(uri, limit).await.map_or_else(FileOutcome::Error, FileOutcome::Content)
    }

    async fn object(&self, uri: &str, limit: usize) -> std::result::Result<String, String> {
        let (bucket, key) =
            uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(|| format!("{uri} is not an S3 URI"))?;
        let request = json!({"Bucket": bucket, "Key": key});
        let reply = self.kernel.call(&self.caller, self.region, "s3", "GetObject", request).await;
        let reply = reply.map_err(|error| format!("{uri}: {}: {}", error.code, error.message))?;
        let body = reply.body.unwrap_or_else(tenantry_kernel::empty);
        let bytes = tenantry_kernel::collect(body, limit).await.map_err(|error| format!("{uri}: {error}"))?;
        let bytes = bytes.ok_or_else(|| format!("{uri} is longer than {limit} bytes"))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| format!("{uri} is not UTF-8"))
    }
}

/// What a job's description says about its end.
fn ended(job: &Job, step: &str, attempt: u32, described: Result<Value>) -> Option<Observation> {
    let step = step.to_owned();
    let outputs = match described {
        Ok(outputs) => outputs,
        Err(error) if error.status >= 500 => {
            tracing::warn!(step, %error, "a step's job could not be looked at");
            return None;
        }
        Err(error) => return Some(Observation::StepFailed { step, attempt, reason: refused(job.describe, &error), kind: None }),
    };
    match outputs.get(job.status).and_then(Value::as_str) {
        Some("Completed") => Some(Observation::StepSucceeded { step, attempt, outputs }),
        Some("Stopped") => Some(Observation::StepStopped { step, attempt }),
        Some("Failed") => {
            let why = ["FailureReason", "ExitMessage"].iter().find_map(|member| outputs.get(*member).and_then(Value::as_str));
            let why = why.unwrap_or("the job failed without a reason");
            Some(Observation::StepFailed { step, attempt, reason: format!("ClientError: {why}"), kind: FailureKind::of_job(why) })
        }
        _ => None,
    }
}

/// Takes the pipeline's own experiment out of a job's request; what a step brings itself stays.
fn without_experiment(request: &mut Value, ours: Option<&(String, String)>) {
    let Some(((experiment, trial), members)) = ours.zip(request.as_object_mut()) else { return };
    let is = |config: &Map<String, Value>, member: &str, wanted: &str| config.get(member).and_then(Value::as_str) == Some(wanted);
    let config = members.get("ExperimentConfig").and_then(Value::as_object);
    if config.is_some_and(|config| is(config, "ExperimentName", experiment) && is(config, "TrialName", trial)) {
        members.remove("ExperimentConfig");
    }
}
