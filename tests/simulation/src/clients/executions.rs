//! Executions of pipelines: a token starts one, which ends, and each of its register steps made one model package.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Client, Doing, Who, jobs};
use crate::{
    ledger::{Halt, Turn, broken},
    world::{Place, role_arn},
};

pub(super) struct Executions {
    who: Who,
    pipeline: String,
    bucket: String,
    shape: u64,
    ready: bool,
    /// The execution of each token, where it is known.
    started: BTreeMap<String, Option<String>>,
    stopped: Vec<String>,
    acknowledged: u64,
    repeated: u64,
}

impl Executions {
    pub fn boxed(mut who: Who) -> Box<dyn Client> {
        let (pipeline, bucket) = (format!("{}-pipeline", who.prefix), format!("{}-executions", who.prefix));
        let shape = who.chance.below(4);
        Box::new(Self {
            who,
            pipeline,
            bucket,
            shape,
            ready: false,
            started: BTreeMap::new(),
            stopped: Vec::new(),
            acknowledged: 0,
            repeated: 0,
        })
    }

    fn definition(&self) -> Value {
        let account = self.who.account;
        let model = json!({"Image": jobs::XGBOOST});
        let register = |after: &[&str]| {
            json!({"Name": "Register", "Type": "RegisterModel", "DependsOn": after, "Arguments": {
                "ModelPackageGroupName": {"Get": "Parameters.Group"},
                "InferenceSpecification": {
                    "Containers": [model], "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}}})
        };
        let make =
            json!({"Name": "Make", "Type": "Model", "Arguments": {"ExecutionRoleArn": role_arn(account), "PrimaryContainer": model}});
        let work = |name: &str, drawn| json!({"Name": name, "Type": "Processing", "Arguments": jobs::processing(account, &self.bucket, name, drawn)});
        let train = json!({"Name": "Train", "Type": "Training", "Arguments": jobs::training(account, &self.bucket, 1),
            "RetryPolicies": [{"ExceptionType": ["Step.SERVICE_FAULT"], "MaxAttempts": 2, "IntervalSeconds": 2, "BackoffRate": 1.5}]});
        let steps = match self.shape {
            0 => vec![json!({"Name": "If", "Type": "Condition", "Arguments": {
                "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], "IfSteps": [register(&[])], "ElseSteps": []}})],
            1 => vec![work("Work", 1), register(&["Work"]), make],
            2 => vec![work("Work", 0), train, register(&["Train"])],
            _ => vec![register(&[]), make, work("One", 1), work("Two", 2), work("Three", 4)],
        };
        json!({"Version": "2020-12-01", "Parameters": [{"Name": "Group", "Type": "String"}], "Steps": steps})
    }

    fn token(name: &str) -> String {
        format!("{name:x<40}")
    }

    async fn start(&mut self, at: &Place, name: &str) -> Turn {
        let mut input = json!({
            "PipelineName": self.pipeline, "ClientRequestToken": Self::token(name), "PipelineExecutionDisplayName": name,
            "PipelineParameters": [{"Name": "Group", "Value": name}],
        });
        if self.shape == 3 {
            input["ParallelismConfiguration"] = json!({"MaxParallelExecutionSteps": 2});
        }
        let before = self.started.entry(name.to_owned()).or_default().clone();
        let answer = at.call(self.who.account, "sagemaker", "StartPipelineExecution", input).await?;
        let arn = answer["PipelineExecutionArn"].as_str().map(str::to_owned);
        if before.is_some() && before != arn {
            return broken(format!("the token of {name} started {before:?}, and when repeated {arn:?}"));
        }
        if before.is_none() {
            self.acknowledged += 1;
        } else {
            self.repeated += 1;
        }
        self.started.insert(name.to_owned(), arn);
        Ok(())
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        let account = self.who.account;
        if !self.ready {
            jobs::data(at, account, &self.bucket).await?;
            let input = json!({"PipelineName": self.pipeline, "PipelineDefinition": self.definition().to_string(), "RoleArn": role_arn(account),
                "ClientRequestToken": Self::token("pipeline")});
            at.make(account, "sagemaker", "CreatePipeline", input).await?;
            self.ready = true;
        }
        let unsure: Vec<String> = self.started.iter().filter(|(_, arn)| arn.is_none()).map(|(name, _)| name.clone()).collect();
        for name in unsure {
            self.start(at, &name).await?;
        }
        let names: Vec<String> = self.started.keys().cloned().collect();
        let drawn = self.who.chance.below(6);
        if names.is_empty() || drawn > 2 {
            let name = self.who.fresh();
            return self.start(at, &name).await;
        }
        let name = self.who.chance.pick(&names).clone();
        let Some(arn) = self.started[&name].clone() else { return Ok(()) };
        match drawn {
            0 => self.start(at, &name).await,
            1 => {
                self.stopped.push(name.clone());
                let input = json!({"PipelineExecutionArn": arn, "ClientRequestToken": Self::token(&format!("stop-{name}"))});
                self.may_refuse(at, "StopPipelineExecution", input).await
            }
            _ => {
                let token = Self::token(&format!("retry-{name}-{}", self.who.made));
                self.may_refuse(at, "RetryPipelineExecution", json!({"PipelineExecutionArn": arn, "ClientRequestToken": token})).await
            }
        }
    }

    /// Calls what an execution may be past.
    async fn may_refuse(&self, at: &Place, operation: &'static str, input: Value) -> Turn {
        match at.ask(self.who.account, "sagemaker", operation, input).await {
            Err(error) if error.status >= 500 => Err(Halt::Unavailable),
            Err(error) if error.code != "ValidationException" => Err(Halt::of(operation, error)),
            _ => Ok(()),
        }
    }

    async fn status(&self, at: &Place, arn: &str) -> Turn<(String, Value)> {
        let found = at.call(self.who.account, "sagemaker", "DescribePipelineExecution", json!({"PipelineExecutionArn": arn})).await?;
        Ok((found["PipelineExecutionStatus"].as_str().unwrap_or_default().to_owned(), found))
    }

    async fn judge(&self, at: &Place, name: &str, arn: &str, calm: bool) -> Turn {
        let account = self.who.account;
        let (status, found) = self.status(at, arn).await?;
        let steps = at.call(account, "sagemaker", "ListPipelineExecutionSteps", json!({"PipelineExecutionArn": arn})).await?;
        let steps = steps["PipelineExecutionSteps"].as_array().cloned().unwrap_or_default();
        let group = json!({"ModelPackageGroupName": name});
        let listed = at.look(account, "sagemaker", "ListModelPackages", group).await?.unwrap_or_default();
        let packages = listed["ModelPackageSummaryList"].as_array().map_or(0, Vec::len);
        let registered = steps.iter().any(|step| step["StepName"] == "Register" && step["StepStatus"] == "Succeeded");
        if packages > 1 || (registered && packages != 1) {
            return broken(format!("{name} ({status}) registered {packages} model packages; the step succeeded: {registered}"));
        }
        for step in &steps {
            if matches!(step["StepStatus"].as_str(), Some("Executing" | "Starting" | "Stopping")) {
                return broken(format!("{name} is {status}, and its step {} is {}", step["StepName"], step["StepStatus"]));
            }
        }
        match status.as_str() {
            "Succeeded" if registered => Ok(()),
            "Succeeded" => broken(format!("{name} succeeded without having registered: {steps:?}")),
            "Stopped" if self.stopped.iter().any(|stopped| stopped == name) => Ok(()),
            "Failed" if found["FailureReason"].as_str().is_none_or(str::is_empty) => broken(format!("{name} failed without a reason")),
            "Failed" if calm => broken(format!("{name} failed though nothing was made to: {} {steps:?}", found["FailureReason"])),
            "Failed" => Ok(()),
            other => broken(format!("{name} is {other}")),
        }
    }

    async fn check_all(&self, at: &Place, calm: bool) -> Turn {
        if !self.ready {
            return Ok(());
        }
        let input = json!({"PipelineName": self.pipeline, "MaxResults": 100});
        let listed = at.call(self.who.account, "sagemaker", "ListPipelineExecutions", input).await?;
        let listed = listed["PipelineExecutionSummaries"].as_array().map_or(0, Vec::len);
        if listed != self.started.len() {
            return broken(format!("{listed} executions for {} tokens", self.started.len()));
        }
        for (name, arn) in &self.started {
            self.judge(at, name, arn.as_deref().unwrap_or_default(), calm).await?;
        }
        Ok(())
    }
}

impl Client for Executions {
    fn name(&self) -> &'static str {
        "executions"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool> {
        Box::pin(async move {
            let names: Vec<String> = self.started.keys().cloned().collect();
            for name in names {
                // Repeating the request finds the execution that there is, or starts the one that there is not.
                if self.started[&name].is_none() {
                    self.start(at, &name).await?;
                }
                let arn = self.started[&name].clone().unwrap_or_default();
                if matches!(self.status(at, &arn).await?.0.as_str(), "Executing" | "Stopping") {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
    fn check<'a>(&'a mut self, at: &'a Place, calm: bool) -> Doing<'a> {
        Box::pin(self.check_all(at, calm))
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.acknowledged, self.repeated, self.repeated)
    }
}
