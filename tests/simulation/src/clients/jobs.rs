//! Training and processing jobs: a name is one job, which ends, says how, and has left what it says.

use serde_json::{Value, json};

use super::{Client, Doing, Who};
use crate::{
    ledger::{Halt, Ledger, Turn, broken},
    world::{Place, role_arn},
};

const PYTHON: &str = "x/sagemaker-base-python:1.0";
/// An image that trains, and has no metrics of its own: their expressions would take most of a seed's time.
const SKLEARN: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
/// An image that serves.
pub(super) const XGBOOST: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";

pub(super) struct Jobs {
    who: Who,
    /// A thing is whether it is a training job.
    ledger: Ledger<bool>,
    stopped: Vec<String>,
    bucket: String,
    ready: bool,
}

/// The request of a processing job without its name.
pub(super) fn processing(account: usize, bucket: &str, name: &str, chance: u64) -> Value {
    let mut request = json!({
        "RoleArn": role_arn(account),
        "AppSpecification": {"ImageUri": PYTHON, "ContainerEntrypoint": ["sh", "-c", "true"]},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": {
            "S3Uri": format!("s3://{bucket}/{name}"), "LocalPath": "/opt/ml/processing/out",
            "S3UploadMode": if chance.is_multiple_of(4) { "Continuous" } else { "EndOfJob" }}}]},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    });
    if chance.is_multiple_of(2) {
        request["ProcessingInputs"] = json!([{"InputName": "in", "S3Input": {
            "S3Uri": format!("s3://{bucket}/input/"), "LocalPath": "/opt/ml/processing/in", "S3DataType": "S3Prefix", "S3InputMode": "File"}}]);
    }
    request
}

/// The request of a training job without its name.
pub(super) fn training(account: usize, bucket: &str, chance: u64) -> Value {
    let mut request = json!({
        "RoleArn": role_arn(account),
        "AlgorithmSpecification": {"TrainingImage": SKLEARN, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": format!("s3://{bucket}/models/")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1 + chance % 2, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    });
    if chance.is_multiple_of(2) {
        request["InputDataConfig"] = json!([{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": format!("s3://{bucket}/input/"), "S3DataDistributionType": "FullyReplicated"}}}]);
    }
    request
}

/// A bucket with one object below `input/`.
pub(super) async fn data(at: &Place, account: usize, bucket: &str) -> Turn {
    at.bucket(account, bucket).await?;
    let input = json!({"Bucket": bucket, "Key": "input/data", "ContentLength": 4});
    let put = at.send(account, "s3", "PutObject", input, Some(b"1,2\n".to_vec())).await;
    put.map(drop).map_err(|error| Halt::of("PutObject", error))
}

fn words(trains: bool) -> (&'static str, &'static str, &'static str) {
    if trains {
        ("TrainingJob", "TrainingJobName", "TrainingJobStatus")
    } else {
        ("ProcessingJob", "ProcessingJobName", "ProcessingJobStatus")
    }
}

impl Jobs {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        let bucket = format!("{}-jobs", who.prefix);
        Box::new(Self { who, ledger: Ledger::default(), stopped: Vec::new(), bucket, ready: false })
    }

    async fn see(&self, at: &Place, name: &str, trains: bool) -> Turn<Option<Value>> {
        let (noun, member, _) = words(trains);
        at.look(self.who.account, "sagemaker", if trains { "DescribeTrainingJob" } else { "DescribeProcessingJob" }, json!({member: name}))
            .await
            .map_err(|halt| match halt {
                Halt::Broken(why) => Halt::Broken(format!("{noun} {name}: {why}")),
                other => other,
            })
    }

    /// Which kind a name is of: it is in it.
    fn trains(name: &str) -> bool {
        name.ends_with('t')
    }

    async fn settle(&mut self, at: &Place) -> Turn {
        for name in self.ledger.doubts() {
            let trains = Self::trains(&name);
            let have = self.see(at, &name, trains).await?.map(|_| trains);
            self.ledger.hold(&name, have)?;
        }
        Ok(())
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        let account = self.who.account;
        if !self.ready {
            data(at, account, &self.bucket).await?;
            self.ready = true;
        }
        self.settle(at).await?;
        let names = self.ledger.names();
        if !names.is_empty() && self.who.chance.one_in(5) {
            let name = self.who.chance.pick(&names).clone();
            let (_, member, _) = words(Self::trains(&name));
            let operation = if Self::trains(&name) { "StopTrainingJob" } else { "StopProcessingJob" };
            self.stopped.push(name.clone());
            return match at.ask(account, "sagemaker", operation, json!({member: name})).await {
                Err(error) if error.status >= 500 => Err(Halt::Unavailable),
                Err(error) if !error.message.contains("is in status") => Err(Halt::of(operation, error)),
                _ => Ok(()),
            };
        }
        let trains = self.who.chance.one_in(2);
        let name = format!("{}{}", self.who.fresh(), if trains { 't' } else { 'p' });
        let (_, member, _) = words(trains);
        let drawn = self.who.chance.next();
        let mut request = if trains { training(account, &self.bucket, drawn) } else { processing(account, &self.bucket, &name, drawn) };
        request[member] = json!(name);
        self.ledger.ask(&name, Some(trains));
        let done = at.call(account, "sagemaker", if trains { "CreateTrainingJob" } else { "CreateProcessingJob" }, request).await;
        self.ledger.answered(&name, done).map(drop)
    }

    async fn judge(&self, at: &Place, name: &str, calm: bool) -> Turn {
        let trains = Self::trains(name);
        let Some(job) = self.see(at, name, trains).await? else { return broken(format!("{name} is gone")) };
        let key = if trains { format!("models/{name}/output/model.tar.gz") } else { format!("{name}/done") };
        match job[words(trains).2].as_str() {
            Some("Completed") => {
                let input = json!({"Bucket": self.bucket, "Key": key});
                match at.send(self.who.account, "s3", "GetObject", input, None).await {
                    Ok((_, bytes)) if !bytes.is_empty() => Ok(()),
                    Err(error) if error.status >= 500 => Err(Halt::Unavailable),
                    other => broken(format!("{name} is Completed and {key} is {:?}", other.map_err(|error| error.code))),
                }
            }
            Some("Failed") if job["FailureReason"].as_str().is_none_or(str::is_empty) => broken(format!("{name} failed without a reason")),
            Some("Failed") if calm => broken(format!("{name} failed though nothing was made to: {}", job["FailureReason"])),
            Some("Failed") => Ok(()),
            // Its time was over, or somebody stopped it.
            Some("Stopped") if self.stopped.iter().any(|stopped| stopped == name) || job["SecondaryStatus"] == "MaxRuntimeExceeded" => {
                Ok(())
            }
            Some("Stopped") if job["ExitMessage"].as_str().is_some_and(|text| text.contains("MaxRuntimeInSeconds")) => Ok(()),
            other => broken(format!("{name} is {other:?}, and nobody stopped it")),
        }
    }
}

impl Client for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool> {
        Box::pin(async move {
            self.settle(at).await?;
            for name in self.ledger.names() {
                let trains = Self::trains(&name);
                let job = self.see(at, &name, trains).await?.unwrap_or_default();
                if !matches!(job[words(trains).2].as_str(), Some("Completed" | "Failed" | "Stopped")) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
    fn check<'a>(&'a mut self, at: &'a Place, calm: bool) -> Doing<'a> {
        Box::pin(async move {
            for name in self.ledger.names() {
                self.judge(at, &name, calm).await?;
            }
            Ok(())
        })
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.ledger.acknowledged, self.ledger.doubted.0, self.ledger.doubted.1)
    }
}
