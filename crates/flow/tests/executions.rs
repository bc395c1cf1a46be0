//! Executions of pipelines, told step by step.
#![allow(clippy::unwrap_used, reason = "the functions that tests share are tests too")]

use serde_json::{Value, json};
use tenantry_core::Timestamp;
use tenantry_flow::pipeline::{
    Definition, Effect, Execution, ExecutionInfo, ExecutionStatus, FailureKind, FileOutcome, Observation, StepStatus, bind, view,
};

const STEP_FAILURE: &str = "Step failure: One or multiple steps failed.";

struct Run {
    definition: Definition,
    execution: Execution,
    now: i64,
}

impl Run {
    fn new(definition: Value) -> Self {
        Self::limited(definition, &[], None)
    }

    fn limited(definition: Value, given: &[(&str, &str)], max_parallel_steps: Option<u32>) -> Self {
        let definition = Definition::parse(&definition.to_string()).unwrap();
        let given: Vec<(String, String)> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let parameters = bind(&definition, &given).unwrap();
        let info = ExecutionInfo {
            pipeline_name: "Iris".into(),
            pipeline_arn: "arn:aws:sagemaker:us-east-1:111122223333:pipeline/iris".into(),
            execution_id: "abcdefghijkl".into(),
            execution_arn: "arn:aws:sagemaker:us-east-1:111122223333:pipeline/iris/execution/abcdefghijkl".into(),
            start: Timestamp::from_secs(1000),
            max_parallel_steps,
        };
        Self { execution: Execution::new(parameters, info), definition, now: 1000 }
    }

    fn tell(&mut self, observations: &[Observation]) -> Vec<Effect> {
        self.now += 1;
        self.execution.advance(&self.definition, observations, Timestamp::from_secs(self.now))
    }

    fn status(&self, step: &str) -> Option<StepStatus> {
        self.execution.step(step).map(|record| record.status())
    }

    fn view(&self, step: &str) -> Value {
        view::steps(&self.execution, &self.definition).into_iter().find(|view| view["StepName"] == step).unwrap_or_default()
    }
}

fn arn(step: &str) -> String {
    format!("arn:aws:sagemaker:us-east-1:111122223333:job/{step}")
}
fn started(step: &str) -> Observation {
    Observation::StepStarted { step: step.into(), attempt: 1, arn: arn(step) }
}
fn succeeded(step: &str) -> Observation {
    succeeded_with(step, json!({"TrainingJobArn": arn(step), "ModelArtifacts": {"S3ModelArtifacts": format!("s3://b/{step}.tar.gz")}}))
}
fn succeeded_with(step: &str, outputs: Value) -> Observation {
    Observation::StepSucceeded { step: step.into(), attempt: 1, outputs }
}
fn failed(step: &str, attempt: u32, kind: Option<FailureKind>) -> Observation {
    Observation::StepFailed { step: step.into(), attempt, reason: format!("{step} broke"), kind }
}
fn stopped(step: &str) -> Observation {
    Observation::StepStopped { step: step.into(), attempt: 1 }
}

fn pipeline(steps: Value) -> Value {
    json!({"Version": "2020-12-01", "Steps": steps})
}
fn training(name: &str, after: &[&str]) -> Value {
    json!({"Name": name, "Type": "Training", "DependsOn": after, "Arguments": {"RoleArn": "arn:aws:iam::111122223333:role/r"}})
}

/// The steps that effects start, in order.
fn starts(effects: &[Effect]) -> Vec<&str> {
    effects.iter().filter_map(|effect| if let Effect::StartStep { step, .. } = effect { Some(step.as_str()) } else { None }).collect()
}
fn request<'a>(effects: &'a [Effect], wanted: &str) -> &'a Value {
    effects
        .iter()
        .find_map(|effect| if let Effect::StartStep { step, request, .. } = effect { (step == wanted).then_some(request) } else { None })
        .unwrap()
}
fn finished(status: ExecutionStatus, reason: Option<&str>) -> Effect {
    Effect::Finished { status, failure_reason: reason.map(str::to_owned) }
}

/// Train, evaluate, read the report, register if the error is small enough.
fn gated() -> Value {
    json!({
        "Version": "2020-12-01", "Metadata": {},
        "Parameters": [{"Name": "Count", "Type": "Integer"}, {"Name": "Group", "DefaultValue": "flowers"}, {"Name": "Limit", "Type": "Float", "DefaultValue": 6.0}],
        "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": {"Get": "Execution.PipelineExecutionId"}},
        "Steps": [
            {"Name": "Fit", "Type": "Training", "DisplayName": "fit the model", "Arguments": {"ResourceConfig": {"InstanceCount": {"Get": "Parameters.Count"}}, "HyperParameters": {"workers": {"Get": "Parameters.Count"}}}},
            {"Name": "Score", "Type": "Processing", "Arguments": {
                "ProcessingInputs": [{"InputName": "model", "S3Input": {"S3Uri": {"Get": "Steps.Fit.ModelArtifacts.S3ModelArtifacts"}}}],
                "ProcessingOutputConfig": {"Outputs": [{"OutputName": "scores", "S3Output": {"S3Uri": "s3://b/scores"}}]}},
                "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "scores", "FilePath": "report.json"}]},
            {"Name": "Gate", "Type": "Condition", "Arguments": {
                "Conditions": [{"Type": "LessThanOrEqualTo", "RightValue": {"Get": "Parameters.Limit"},
                    "LeftValue": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Score.PropertyFiles.Report"}, "Path": "metrics.mse.value"}}}],
                "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": {"Get": "Parameters.Group"}, "InferenceSpecification": {"Containers": [{"ModelDataUrl": {"Get": "Steps.Fit.ModelArtifacts.S3ModelArtifacts"}}]}}}],
                "ElseSteps": [{"Name": "Refuse", "Type": "Fail", "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["mse above", {"Get": "Parameters.Limit"}]}}}}]}},
        ],
    })
}

/// A gated run up to the reading of its report.
fn scored() -> Run {
    let mut run = Run::limited(gated(), &[("Count", "2")], None);
    let effects = run.tell(&[]);
    assert_eq!(starts(&effects), ["Fit"]);
    let fit = request(&effects, "Fit");
    assert_eq!((&fit["ResourceConfig"]["InstanceCount"], &fit["HyperParameters"]["workers"]), (&json!(2), &json!("2")));
    assert_eq!(fit["ExperimentConfig"], json!({"ExperimentName": "Iris", "TrialName": "abcdefghijkl"}));
    assert!(fit["TrainingJobName"].as_str().unwrap().starts_with("pipelines-abcdefghijkl-Fit-"));
    assert_eq!(run.tell(&[started("Fit")]), []);
    let effects = run.tell(&[succeeded("Fit")]);
    assert_eq!(starts(&effects), ["Score"]);
    assert_eq!(request(&effects, "Score")["ProcessingInputs"][0]["S3Input"]["S3Uri"], "s3://b/Fit.tar.gz");
    let outputs = json!({"ProcessingJobArn": arn("Score"), "ProcessingOutputConfig": {"Outputs": [{"OutputName": "scores", "S3Output": {"S3Uri": "s3://b/scores"}}]}});
    let effects = run.tell(&[started("Score"), succeeded_with("Score", outputs)]);
    assert_eq!(
        effects,
        [Effect::ReadPropertyFile { step: "Score".into(), file: "Report".into(), uri: "s3://b/scores/report.json".into() }]
    );
    assert_eq!(run.status("Gate"), Some(StepStatus::Executing));
    run
}

fn report(text: &str) -> Observation {
    Observation::PropertyFileRead { step: "Score".into(), file: "Report".into(), outcome: FileOutcome::Content(text.into()) }
}

#[test]
fn a_good_model_is_registered() {
    let mut run = scored();
    let effects = run.tell(&[report(r#"{"metrics": {"mse": {"value": 4.2}}}"#)]);
    assert_eq!(starts(&effects), ["Register"]);
    let register = request(&effects, "Register");
    assert_eq!(register["ModelPackageGroupName"], "flowers");
    assert_eq!(register["InferenceSpecification"]["Containers"][0]["ModelDataUrl"], "s3://b/Fit.tar.gz");
    let effects = run.tell(&[succeeded_with("Register", json!({"ModelPackageArn": "arn:package"}))]);
    assert_eq!(effects, [finished(ExecutionStatus::Succeeded, None)]);
    assert_eq!(run.view("Gate")["Metadata"], json!({"Condition": {"Outcome": "True"}}));
    assert_eq!(run.view("Register")["Metadata"], json!({"RegisterModel": {"Arn": "arn:package"}}));
    assert_eq!(
        run.view("Fit"),
        json!({"StepName": "Fit", "StepDisplayName": "fit the model", "StartTime": 1001, "EndTime": 1003, "StepStatus": "Succeeded", "AttemptCount": 1, "Metadata": {"TrainingJob": {"Arn": arn("Fit")}}})
    );
    let names: Vec<Value> = view::steps(&run.execution, &run.definition).iter().map(|view| view["StepName"].clone()).collect();
    assert_eq!(names, ["Fit", "Score", "Gate", "Register"], "the branch that was not chosen does not appear");
}

#[test]
fn a_bad_model_fails_the_execution_with_the_message() {
    let mut run = scored();
    let effects = run.tell(&[report(r#"{"metrics": {"mse": {"value": 6.5}}}"#)]);
    assert_eq!(effects, [finished(ExecutionStatus::Failed, Some("mse above 6.0"))]);
    assert_eq!(run.view("Refuse")["Metadata"], json!({"Fail": {"ErrorMessage": "mse above 6.0"}}));
    assert_eq!(run.view("Gate")["Metadata"], json!({"Condition": {"Outcome": "False"}}));
    assert_eq!(run.view("Register"), Value::Null);
}

#[test]
fn a_report_that_cannot_be_used_fails_the_gate() {
    let unreadable =
        Observation::PropertyFileRead { step: "Score".into(), file: "Report".into(), outcome: FileOutcome::Error("Access Denied".into()) };
    for (observation, wanted) in [
        (report("{}"), "Path [metrics.mse.value] not found"),
        (report("nope"), "not valid JSON"),
        (report(r#"{"metrics": {"mse": {"value": "4"}}}"#), "not of the same type"),
        (report(&" ".repeat(3 * 1024 * 1024)), "longer than"),
        (unreadable, "could not be read: Access Denied"),
    ] {
        let mut run = scored();
        assert_eq!(run.tell(&[observation]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
        let reason = run.view("Gate")["FailureReason"].as_str().unwrap().to_owned();
        assert!(reason.contains(wanted), "{reason}");
    }
}

#[test]
fn running_steps_end_and_no_others_begin_after_a_failure() {
    let mut run = Run::new(pipeline(json!([training("a", &[]), training("b", &[]), training("c", &["b"]), training("d", &["a"])])));
    assert_eq!(starts(&run.tell(&[])), ["a", "b"]);
    assert_eq!(run.tell(&[started("a"), started("b"), failed("a", 1, None)]), []);
    assert_eq!(run.execution.status(), ExecutionStatus::Executing);
    assert_eq!(run.tell(&[succeeded("b")]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
    assert_eq!((run.status("c"), run.status("d")), (None, None));
    assert_eq!(run.view("a")["FailureReason"], "a broke");
}

#[test]
fn stopping_stops_what_runs() {
    let mut run = Run::new(pipeline(json!([training("a", &[]), training("b", &[]), training("c", &["a"])])));
    run.tell(&[]);
    run.tell(&[started("a")]);
    let effects = run.tell(&[Observation::StopRequested]);
    let stops: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::StopStep { step, arn, .. } = effect { Some((step.as_str(), arn.is_some())) } else { None })
        .collect();
    assert_eq!(stops, [("a", true), ("b", false)]);
    assert_eq!((run.execution.status(), run.status("a")), (ExecutionStatus::Stopping, Some(StepStatus::Stopping)));
    assert_eq!(run.tell(&[Observation::StopRequested]), []);
    // What ends while it is being stopped ends as it does; nothing follows it.
    assert_eq!(run.tell(&[succeeded("a")]), []);
    assert_eq!(run.tell(&[stopped("b")]), [finished(ExecutionStatus::Stopped, None)]);
    assert_eq!((run.status("a"), run.status("b"), run.status("c")), (Some(StepStatus::Succeeded), Some(StepStatus::Stopped), None));
    assert_eq!(run.tell(&[started("b")]), []);
}

#[test]
fn stopping_before_the_start_ends_at_once() {
    let mut run = Run::new(pipeline(json!([training("a", &[])])));
    assert_eq!(run.tell(&[Observation::StopRequested]), [finished(ExecutionStatus::Stopped, None)]);
}

#[test]
fn a_job_stopped_from_outside_fails_the_execution() {
    let mut run = Run::new(pipeline(json!([training("a", &[]), training("b", &["a"])])));
    run.tell(&[]);
    assert_eq!(run.tell(&[stopped("a")]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
}

#[test]
fn parallel_steps_are_limited() {
    let mut run = Run::limited(pipeline(json!([training("a", &[]), training("b", &[]), training("c", &[])])), &[], Some(2));
    assert_eq!(starts(&run.tell(&[])), ["a", "b"]);
    assert_eq!(starts(&run.tell(&[started("a"), started("b")])), Vec::<&str>::new());
    assert_eq!(starts(&run.tell(&[succeeded("a")])), ["c"]);
}

#[test]
fn a_retry_policy_tries_again_when_due() {
    let mut step = training("a", &[]);
    step["RetryPolicies"] = json!([{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 60, "MaxAttempts": 1}]);
    let mut run = Run::new(pipeline(json!([step])));
    let first = request(&run.tell(&[]), "a")["TrainingJobName"].clone();
    assert_eq!(run.tell(&[started("a"), failed("a", 1, Some(FailureKind::JobInternalError))]), []);
    assert_eq!((run.status("a"), run.execution.next_wake()), (Some(StepStatus::Starting), Some(Timestamp::from_secs(run.now + 60))));
    assert_eq!(run.tell(&[failed("a", 1, None)]), [], "the first attempt is over");
    run.now += 60;
    let effects = run.tell(&[]);
    assert_eq!(starts(&effects), ["a"]);
    assert_ne!(request(&effects, "a")["TrainingJobName"], first);
    assert_eq!((run.execution.next_wake(), run.view("a")["AttemptCount"].clone()), (None, json!(2)));
    assert_eq!(run.tell(&[failed("a", 1, None)]), []);
    assert_eq!(run.view("a").get("Metadata"), None, "the second attempt has created nothing yet");
    assert_eq!(run.tell(&[failed("a", 2, Some(FailureKind::JobInternalError))]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
    run.execution.retry().unwrap();
    assert_eq!(starts(&run.tell(&[failed("a", 2, None)])), ["a"], "no attempt is used again");
    let done = Observation::StepSucceeded { step: "a".into(), attempt: 3, outputs: json!({}) };
    assert_eq!(run.tell(&[done]), [finished(ExecutionStatus::Succeeded, None)]);
}

/// The first attempt may have registered the package without our having heard of it.
#[test]
fn a_registration_tried_again_is_the_same_registration() {
    let step = json!({"Name": "r", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": "g"},
        "RetryPolicies": [{"ExceptionType": ["Step.SERVICE_FAULT"], "IntervalSeconds": 1, "MaxAttempts": 1}]});
    let mut run = Run::new(pipeline(json!([step])));
    let first = request(&run.tell(&[]), "r")["ClientToken"].clone();
    run.tell(&[failed("r", 1, Some(FailureKind::ServiceFault))]);
    run.now += 1;
    assert_eq!(request(&run.tell(&[]), "r")["ClientToken"], first);
    run.tell(&[failed("r", 2, None)]);
    run.execution.retry().unwrap();
    assert_eq!(request(&run.tell(&[]), "r")["ClientToken"], first);
}

#[test]
fn a_step_that_succeeded_at_last_has_no_failure() {
    let mut run = Run::new(pipeline(json!([training("a", &[])])));
    run.tell(&[]);
    run.tell(&[failed("a", 1, Some(FailureKind::Throttling))]);
    assert_eq!(starts(&run.tell(&[])), ["a"]);
    run.tell(&[Observation::StepSucceeded { step: "a".into(), attempt: 2, outputs: json!({}) }]);
    assert_eq!((run.execution.status(), run.execution.step("a").unwrap().failure_reason.as_ref()), (ExecutionStatus::Succeeded, None));
}

#[test]
fn a_step_that_waits_to_be_retried_ends_when_another_fails() {
    let mut run = Run::new(pipeline(json!([training("a", &[]), training("b", &[])])));
    run.tell(&[]);
    assert_eq!(run.tell(&[failed("a", 1, Some(FailureKind::Throttling))]), []);
    assert_eq!(run.tell(&[failed("b", 1, None)]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
    assert_eq!(run.view("a")["FailureReason"], "a broke");
}

#[test]
fn an_earlier_run_stands_for_a_step() {
    let mut step = training("a", &[]);
    step["CacheConfig"] = json!({"Enabled": true, "ExpireAfter": "PT1H"});
    let definition = pipeline(
        json!([step, {"Name": "m", "Type": "Model", "Arguments": {"PrimaryContainer": {"ModelDataUrl": {"Get": "Steps.a.ModelArtifacts.S3ModelArtifacts"}}}}]),
    );
    let mut run = Run::new(definition.clone());
    let effects = run.tell(&[]);
    let [Effect::LookupCache { key, expire_after_secs: Some(3600), attempt: 1, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(run.execution.step("a").unwrap().cache_key.as_ref(), Some(key));
    let outputs = json!({"TrainingJobArn": arn("old"), "ModelArtifacts": {"S3ModelArtifacts": "s3://b/old.tar.gz"}});
    let hit = Observation::CacheHit { step: "a".into(), attempt: 1, outputs, source_execution_arn: "arn:old".into() };
    let effects = run.tell(std::slice::from_ref(&hit));
    assert_eq!(request(&effects, "m")["PrimaryContainer"]["ModelDataUrl"], "s3://b/old.tar.gz");
    assert_eq!(run.view("a")["CacheHitResult"], json!({"SourcePipelineExecutionArn": "arn:old"}));
    assert_eq!(run.view("a")["Metadata"], json!({"TrainingJob": {"Arn": arn("old")}}));
    assert_eq!(run.tell(std::slice::from_ref(&hit)), []);

    let mut run = Run::new(definition);
    run.tell(&[]);
    let miss = Observation::CacheMiss { step: "a".into(), attempt: 1 };
    assert_eq!(starts(&run.tell(std::slice::from_ref(&miss))), ["a"]);
    assert_eq!(run.tell(&[miss, hit]), [], "the look-up has been answered");
    assert_eq!(run.view("a").get("CacheHitResult"), None);
}

#[test]
fn retrying_an_execution_keeps_what_succeeded() {
    let mut run = Run::new(pipeline(json!([training("a", &[]), training("b", &["a"])])));
    assert!(run.execution.retry().is_err());
    run.tell(&[]);
    run.tell(&[succeeded("a")]);
    assert_eq!(run.tell(&[failed("b", 1, None)]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
    run.execution.retry().unwrap();
    assert_eq!((run.execution.status(), run.execution.failure_reason()), (ExecutionStatus::Executing, None));
    assert_eq!(starts(&run.tell(&[failed("b", 1, None)])), ["b"], "what happened to the earlier attempt is forgotten");
    assert_eq!(run.tell(&[failed("b", 1, None)]), []);
    let done = Observation::StepSucceeded { step: "b".into(), attempt: 2, outputs: json!({}) };
    assert_eq!(run.tell(&[done]), [finished(ExecutionStatus::Succeeded, None)]);
    assert!(run.execution.retry().is_err());
}

#[test]
fn unanswered_effects_are_given_again() {
    let mut run = scored();
    assert_eq!(
        run.execution.outstanding(&run.definition),
        [Effect::ReadPropertyFile { step: "Score".into(), file: "Report".into(), uri: "s3://b/scores/report.json".into() }]
    );
    let effects = run.tell(&[report(r#"{"metrics": {"mse": {"value": 4.2}}}"#)]);
    run.now += 100;
    assert_eq!(run.execution.outstanding(&run.definition), effects, "the same request, name and token");
    let effects = run.tell(&[Observation::StopRequested]);
    assert_eq!(run.execution.outstanding(&run.definition), effects);
    let effects = run.tell(&[stopped("Register")]);
    assert_eq!(run.execution.outstanding(&run.definition), effects);
}

#[test]
fn a_reference_without_value_fails_the_step() {
    let mut run =
        Run::new(pipeline(json!([training("a", &[]), {"Name": "b", "Type": "Training", "Arguments": {"X": {"Get": "Steps.a.Nope"}}}])));
    run.tell(&[]);
    assert_eq!(run.tell(&[succeeded("a")]), [finished(ExecutionStatus::Failed, Some(STEP_FAILURE))]);
    assert_eq!(run.view("b")["FailureReason"], "Property [Nope] of step [a] does not exist");
}

#[test]
fn branches_within_branches() {
    let choice = |name: &str, left: i64, then: Value, otherwise: Value| json!({"Name": name, "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Equals", "LeftValue": left, "RightValue": 1}], "IfSteps": then, "ElseSteps": otherwise}});
    let inner = choice("inner", 0, json!([training("no", &[])]), json!([training("yes", &["outer"])]));
    let mut run = Run::new(pipeline(json!([choice("outer", 1, json!([inner]), json!([training("never", &[])]))])));
    assert_eq!(starts(&run.tell(&[])), ["yes"]);
    assert_eq!((run.status("no"), run.status("never")), (None, None));
    assert_eq!(run.tell(&[succeeded("yes")]), [finished(ExecutionStatus::Succeeded, None)]);
}

#[test]
fn selected_steps_run_on_what_an_earlier_execution_left() {
    let mut earlier = scored();
    earlier.tell(&[report(r#"{"metrics": {"mse": {"value": 4.2}}}"#)]);
    let (parameters, info) = (earlier.execution.parameters().clone(), earlier.execution.info().clone());
    let select = |steps: &[&str], source: Option<&Execution>| {
        let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
        let info = ExecutionInfo { execution_arn: "arn:new".into(), ..info.clone() };
        Execution::selecting(&earlier.definition, parameters.clone(), info, &steps, source)
    };
    assert!(select(&["Nope"], None).unwrap_err().contains("no step [Nope]"));
    assert_eq!(
        select(&["Score"], None).unwrap_err(),
        "Invalid SourcePipelineExecutionArn: null. The selected steps [Score] have dependencies on [Fit]"
    );
    let execution = select(&["Register"], Some(&earlier.execution)).unwrap();
    let mut run = Run { definition: earlier.definition.clone(), execution, now: 2000 };
    let effects = run.tell(&[]);
    assert_eq!(starts(&effects), ["Register"]);
    assert_eq!(request(&effects, "Register")["InferenceSpecification"]["Containers"][0]["ModelDataUrl"], "s3://b/Fit.tar.gz");
    assert_eq!(run.view("Fit")["SelectiveExecutionResult"]["SourcePipelineExecutionArn"], json!(earlier.execution.info().execution_arn));
    assert_eq!(run.tell(&[succeeded_with("Register", json!({}))]), [finished(ExecutionStatus::Succeeded, None)]);
}
