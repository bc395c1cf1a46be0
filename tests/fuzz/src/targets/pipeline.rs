//! Pipeline definitions, and the executions of those that are accepted.
//!
//! Held: an execution ends whatever its world answers, a step starts once an attempt, its state reads back as it was written
//! (each turn goes through JSON, as after a crash), and what a definition makes is bounded by its length.

use std::collections::HashSet;

use serde_json::{Value, json};
use tenantry_core::Timestamp;
use tenantry_flow::pipeline::{
    Definition, Effect, Execution, ExecutionInfo, FailureKind, FileOutcome, Observation, bind, cache, reference,
};

use super::{MEMORY, seeds};
use crate::{
    engine::Target,
    mutate::{Form, Grammar, split_line},
};

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "pipeline",
        what: "pipeline definitions: parsed, bound, executed to the end in a world that answers anything",
        grammar: Grammar { head: true, form: Form::Json, tokens: TOKENS, longest: 32 << 10 },
        memory: MEMORY,
        renew: 0,
        make: || Box::new(pipeline),
        seeds: || seeds(SEEDS),
    }]
}

const TOKENS: &[&str] = &[
    "2020-12-01",
    "Training",
    "Processing",
    "Transform",
    "Model",
    "RegisterModel",
    "Condition",
    "Fail",
    "Tuning",
    "Callback",
    "Lambda",
    "EMR",
    "QualityCheck",
    "Get",
    "Std:Join",
    "Std:JsonGet",
    "PropertyFile",
    "Path",
    "On",
    "Values",
    "Parameters.P",
    "Parameters.Q",
    "Steps.a.ModelArtifacts.S3ModelArtifacts",
    "Steps.b.PropertyFiles.R",
    "Steps.a",
    "Steps.c.Outcome",
    "Execution.PipelineExecutionId",
    "Execution.StartDateTime",
    "Equals",
    "GreaterThan",
    "LessThanOrEqualTo",
    "In",
    "Or",
    "Not",
    "LeftValue",
    "RightValue",
    "QueryValue",
    "Conditions",
    "IfSteps",
    "ElseSteps",
    "DependsOn",
    "CacheConfig",
    "ExpireAfter",
    "P30D",
    "PT1H",
    "T",
    "P1Y2M3DT4H5M6S",
    "RetryPolicies",
    "ExceptionType",
    "Step.SERVICE_FAULT",
    "SageMaker.JOB_INTERNAL_ERROR",
    "IntervalSeconds",
    "BackoffRate",
    "MaxAttempts",
    "ExpireAfterMin",
    "ErrorMessage",
    "PropertyFiles",
    "OutputName",
    "FilePath",
    "Arguments",
    "Parameters",
    "Steps",
    "Type",
    "Name",
    "a",
    "b",
    "c",
    "metrics[0].value",
    "a.b['c']",
    "PipelineExperimentConfig",
    "ParallelismConfiguration",
    "MaxParallelExecutionSteps",
    "DefaultValue",
    "EnumValues",
    "MinValue",
    "Boolean",
    "Integer",
    "Float",
];

const SEEDS: &[&str] = &[
    r#"P=3 24681357
{"Version":"2020-12-01","Metadata":{},"Parameters":[{"Name":"P","Type":"Integer","DefaultValue":1,"MinValue":0},{"Name":"Q","Type":"String","DefaultValue":"x","EnumValues":["x","y"]}],"PipelineExperimentConfig":{"ExperimentName":{"Get":"Execution.PipelineName"},"TrialName":{"Get":"Execution.PipelineExecutionId"}},"Steps":[{"Name":"a","Type":"Training","Arguments":{"AlgorithmSpecification":{"TrainingImage":"i"},"HyperParameters":{"p":{"Get":"Parameters.P"}}},"CacheConfig":{"Enabled":true,"ExpireAfter":"P30D"},"RetryPolicies":[{"ExceptionType":["Step.SERVICE_FAULT","Step.THROTTLING"],"IntervalSeconds":1,"BackoffRate":2.0,"MaxAttempts":3}]},{"Name":"b","Type":"Processing","DependsOn":["a"],"Arguments":{"Uri":{"Std:Join":{"On":"/","Values":["s3:/",{"Get":"Parameters.Q"},{"Get":"Steps.a.ModelArtifacts.S3ModelArtifacts"}]}},"ProcessingOutputConfig":{"Outputs":[{"OutputName":"o"}]}},"PropertyFiles":[{"PropertyFileName":"R","OutputName":"o","FilePath":"r.json"}]},{"Name":"c","Type":"Condition","Arguments":{"Conditions":[{"Type":"GreaterThan","LeftValue":{"Std:JsonGet":{"PropertyFile":{"Get":"Steps.b.PropertyFiles.R"},"Path":"m[0].v"}},"RightValue":0.5},{"Type":"Or","Conditions":[{"Type":"In","QueryValue":{"Get":"Parameters.Q"},"Values":["x"]}]}],"IfSteps":[{"Name":"d","Type":"RegisterModel","Arguments":{}}],"ElseSteps":[{"Name":"e","Type":"Fail","Arguments":{"ErrorMessage":{"Get":"Steps.a.TrainingJobName"}}}]}}]}"#,
    r#"x
{"Version":"2020-12-01","Steps":[{"Name":"a","Type":"Model","Arguments":{}},{"Name":"t","Type":"Transform","Arguments":{"ModelName":{"Get":"Steps.a.ModelName"}}}]}"#,
];

/// The first line gives parameters and the digits by which the world answers.
fn pipeline(input: &[u8]) {
    let (head, body) = split_line(input);
    let (Ok(head), Ok(text)) = (std::str::from_utf8(head), std::str::from_utf8(body)) else { return };
    for word in head.split_whitespace() {
        drop(reference::get(word));
        drop(reference::parse_path(word));
        let _seconds = cache::duration(word);
    }
    let definition = match Definition::parse(text) {
        Ok(definition) => definition,
        Err(error) => {
            assert!(!error.problems().is_empty() && error.to_string().len() < 1 << 20, "{} bytes of problems", error.to_string().len());
            return;
        }
    };
    let _roles = definition.required_roles();
    let given: Vec<(String, String)> =
        head.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let digits: Vec<u8> = head.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let bound = match bind(&definition, &given).or_else(|_| bind(&definition, &[])) {
        Ok(bound) => bound,
        Err(why) => return assert!(!why.is_empty()),
    };
    let info = ExecutionInfo {
        pipeline_name: "p".to_owned(),
        pipeline_arn: "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p".to_owned(),
        execution_id: "abcdefghijkl".to_owned(),
        execution_arn: "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abcdefghijkl".to_owned(),
        start: Timestamp::from_secs(0),
        max_parallel_steps: digits.first().map(|digit| u32::from(*digit)).filter(|digit| *digit > 0),
    };
    drive(&definition, Execution::new(bound, info), &digits, text.len());
}

fn drive(definition: &Definition, mut execution: Execution, digits: &[u8], length: usize) {
    let (mut pending, mut started, mut now, mut turn) = (Vec::<Observation>::new(), HashSet::new(), 0, 0_usize);
    let digit = |turn: usize| if digits.is_empty() { 9 } else { digits[turn % digits.len()] };
    while !execution.status().is_final() {
        turn += 1;
        assert!(turn < 100 * (length + 10), "does not end");
        now += 1;
        let mut told = Vec::new();
        if !pending.is_empty() {
            told.push(pending.remove(usize::from(digit(turn)) % pending.len()));
        } else if let Some(wake) = execution.next_wake() {
            now = now.max(wake.secs().saturating_add(1));
        }
        let state = serde_json::to_string(&execution).expect("a state is written");
        assert!(state.len() < 64 * (length + 4096), "a state of {} bytes", state.len());
        let read: Execution = serde_json::from_str(&state).expect("a state is read");
        assert_eq!(read, execution, "a state reads back otherwise");
        execution = read;
        let _again = execution.outstanding(definition);
        for effect in execution.advance(definition, &told, Timestamp::from_secs(now)) {
            if let Effect::StartStep { step, attempt, request, .. } = &effect {
                assert!(started.insert((step.clone(), *attempt)), "{step} starts twice in attempt {attempt}");
                assert!(request.is_object(), "{step} asks for {request}");
            }
            pending.extend(answers(effect, digit(turn + started.len())));
        }
        let waits = !pending.is_empty() || execution.next_wake().is_some() || execution.status().is_final();
        assert!(waits, "stuck: nothing is awaited and nothing is over");
        if digit(turn) == 8 && turn.is_multiple_of(5) {
            pending.push(Observation::StopRequested);
        }
    }
    let _experiment = execution.experiment(definition);
}

fn answers(effect: Effect, digit: u8) -> Vec<Observation> {
    match effect {
        Effect::StartStep { step, attempt, .. } => {
            let failed = |kind| Observation::StepFailed { step: step.clone(), attempt, reason: "broke".to_owned(), kind };
            let end = match digit {
                0 => failed(None),
                1 => failed(Some(FailureKind::Throttling)),
                2 => failed(Some(FailureKind::ServiceFault)),
                3 => Observation::StepStopped { step: step.clone(), attempt },
                _ => Observation::StepSucceeded { step: step.clone(), attempt, outputs: outputs(digit) },
            };
            vec![Observation::StepStarted { arn: format!("arn:aws:sagemaker:us-east-1:123456789012:x/{step}"), step, attempt }, end]
        }
        Effect::StopStep { step, attempt, .. } => vec![Observation::StepStopped { step, attempt }],
        Effect::ReadPropertyFile { step, file, .. } => {
            let outcome = match digit {
                0 => FileOutcome::Error("gone".to_owned()),
                1 => FileOutcome::Content("no json".to_owned()),
                2 => FileOutcome::Content("[".repeat(10_000)),
                _ => FileOutcome::Content(r#"{"m":[{"v":0.75}],"v":1}"#.to_owned()),
            };
            vec![Observation::PropertyFileRead { step, file, outcome }]
        }
        Effect::LookupCache { step, attempt, .. } => vec![match digit {
            0 => Observation::CacheHit { step, attempt, outputs: outputs(5), source_execution_arn: "arn:old".to_owned() },
            _ => Observation::CacheMiss { step, attempt },
        }],
        Effect::Finished { .. } => Vec::new(),
    }
}

fn outputs(digit: u8) -> Value {
    match digit {
        4 => Value::Null,
        _ => {
            json!({"ModelArtifacts": {"S3ModelArtifacts": "s3://b/k"}, "TrainingJobName": "j", "ModelName": "m", "ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "S3Output": {"S3Uri": "s3://b/o"}}]}})
        }
    }
}
