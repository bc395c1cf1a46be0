//! Batch transforms of one object by a model that answers what it was asked: a name is one job, and what is Completed
//! has its output, whole.

use serde_json::{Value, json};

use super::{
    Client, Doing, Who,
    jobs::{XGBOOST, data},
};
use crate::{
    ledger::{Halt, Ledger, Turn, broken},
    world::{Place, role_arn},
};

pub(super) struct Transforms {
    who: Who,
    ledger: Ledger<()>,
    stopped: Vec<String>,
    bucket: String,
    model: String,
    ready: bool,
}

impl Transforms {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        let (bucket, model) = (format!("{}-transforms", who.prefix), format!("{}-model", who.prefix));
        Box::new(Self { who, ledger: Ledger::default(), stopped: Vec::new(), bucket, model, ready: false })
    }

    async fn see(&self, at: &Place, name: &str) -> Turn<Option<Value>> {
        at.look(self.who.account, "sagemaker", "DescribeTransformJob", json!({"TransformJobName": name})).await
    }

    async fn settle(&mut self, at: &Place) -> Turn {
        for name in self.ledger.doubts() {
            let have = self.see(at, &name).await?.map(drop);
            self.ledger.hold(&name, have)?;
        }
        Ok(())
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        let account = self.who.account;
        if !self.ready {
            data(at, account, &self.bucket).await?;
            let model = json!({"ModelName": self.model, "ExecutionRoleArn": role_arn(account), "PrimaryContainer": {"Image": XGBOOST}});
            at.make(account, "sagemaker", "CreateModel", model).await?;
            self.ready = true;
        }
        self.settle(at).await?;
        let names = self.ledger.names();
        if !names.is_empty() && self.who.chance.one_in(4) {
            let name = self.who.chance.pick(&names).clone();
            self.stopped.push(name.clone());
            return match at.ask(account, "sagemaker", "StopTransformJob", json!({"TransformJobName": name})).await {
                Err(error) if error.status >= 500 => Err(Halt::Unavailable),
                Err(error) if !error.message.contains("was rejected because") => Err(Halt::of("StopTransformJob", error)),
                _ => Ok(()),
            };
        }
        let name = self.who.fresh();
        let request = json!({
            "TransformJobName": name,
            "ModelName": self.model,
            "TransformInput": {"ContentType": "text/csv", "SplitType": "None", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": format!("s3://{}/input/", self.bucket)}}},
            "TransformOutput": {"S3OutputPath": format!("s3://{}/{name}", self.bucket)},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1 + self.who.chance.below(2)},
        });
        self.ledger.ask(&name, Some(()));
        let done = at.call(account, "sagemaker", "CreateTransformJob", request).await;
        self.ledger.answered(&name, done).map(drop)
    }

    async fn judge(&self, at: &Place, name: &str, calm: bool) -> Turn {
        let Some(job) = self.see(at, name).await? else { return broken(format!("{name} is gone")) };
        match job["TransformJobStatus"].as_str() {
            Some("Completed") => {
                let key = format!("{name}/data.out");
                match at.send(self.who.account, "s3", "GetObject", json!({"Bucket": self.bucket, "Key": key}), None).await {
                    Ok((_, bytes)) if bytes == b"1,2\n" => Ok(()),
                    Err(error) if error.status >= 500 => Err(Halt::Unavailable),
                    other => broken(format!("{name} is Completed and {key} is {other:?}")),
                }
            }
            Some("Failed") if job["FailureReason"].as_str().is_none_or(str::is_empty) => broken(format!("{name} failed without a reason")),
            Some("Failed") if calm => broken(format!("{name} failed though nothing was made to: {}", job["FailureReason"])),
            Some("Failed") => Ok(()),
            Some("Stopped") if self.stopped.iter().any(|stopped| stopped == name) => Ok(()),
            other => broken(format!("{name} is {other:?}, and nobody stopped it")),
        }
    }
}

impl Client for Transforms {
    fn name(&self) -> &'static str {
        "transforms"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool> {
        Box::pin(async move {
            self.settle(at).await?;
            for name in self.ledger.names() {
                let job = self.see(at, &name).await?.unwrap_or_default();
                if !matches!(job["TransformJobStatus"].as_str(), Some("Completed" | "Failed" | "Stopped")) {
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
