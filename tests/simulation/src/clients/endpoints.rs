//! Endpoints that are made, changed, asked and deleted. Whether one is there is certain at once; what it serves follows.

use serde_json::{Value, json};

use super::{Client, Doing, Who, jobs::XGBOOST};
use crate::{
    ledger::{Halt, Ledger, Turn, broken},
    world::{Place, role_arn},
};

pub(super) struct Endpoints {
    who: Who,
    /// There, and not on its way out.
    ledger: Ledger<()>,
    ready: bool,
    /// Names that must be gone in the end.
    deleting: Vec<String>,
    /// Whether the end has come: all that is there was told to go.
    closing: bool,
}

impl Endpoints {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        Box::new(Self { who, ledger: Ledger::default(), ready: false, deleting: Vec::new(), closing: false })
    }

    fn config(&self, number: u64) -> String {
        format!("{}-config-{number}", self.who.prefix)
    }

    async fn prepare(&mut self, at: &Place) -> Turn {
        if self.ready {
            return Ok(());
        }
        let (account, model) = (self.who.account, format!("{}-model", self.who.prefix));
        let input = json!({"ModelName": model, "ExecutionRoleArn": role_arn(account), "PrimaryContainer": {"Image": XGBOOST}});
        at.make(account, "sagemaker", "CreateModel", input).await?;
        for number in 0..2 {
            let variant = json!({"VariantName": "All", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1 + number,
                "InitialVariantWeight": 1, "ContainerStartupHealthCheckTimeoutInSeconds": 60});
            let input = json!({"EndpointConfigName": self.config(number), "ProductionVariants": [variant]});
            at.make(account, "sagemaker", "CreateEndpointConfig", input).await?;
        }
        self.ready = true;
        Ok(())
    }

    async fn see(&self, at: &Place, name: &str) -> Turn<Option<Value>> {
        at.look(self.who.account, "sagemaker", "DescribeEndpoint", json!({"EndpointName": name})).await
    }

    /// What is there and not on its way out.
    async fn there(&self, at: &Place, name: &str) -> Turn<(Option<()>, Option<Value>)> {
        let found = self.see(at, name).await?;
        Ok((found.as_ref().filter(|found| found["EndpointStatus"] != "Deleting").map(|_| ()), found))
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        self.prepare(at).await?;
        let account = self.who.account;
        let name = self.who.among(2);
        let (there, found) = self.there(at, &name).await?;
        self.ledger.hold(&name, there)?;
        let drawn = self.who.chance.below(8);
        let config = self.config(drawn % 2);
        let Some(found) = found else {
            self.ledger.ask(&name, Some(()));
            let input = json!({"EndpointName": name, "EndpointConfigName": config});
            let done = at.call(account, "sagemaker", "CreateEndpoint", input).await;
            return self.ledger.answered(&name, done).map(drop);
        };
        if there.is_none() || !matches!(found["EndpointStatus"].as_str(), Some("InService" | "Failed")) {
            return Ok(());
        }
        if drawn < 2 || found["EndpointStatus"] == "Failed" {
            return self.delete(at, &name).await;
        }
        if found["EndpointStatus"] != "InService" {
            return Ok(());
        }
        let (operation, input) = match drawn {
            2..4 => ("UpdateEndpoint", json!({"EndpointName": name, "EndpointConfigName": config})),
            4 => {
                let wish = json!([{"VariantName": "All", "DesiredInstanceCount": 1 + self.who.chance.below(3), "DesiredWeight": 2}]);
                ("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": name, "DesiredWeightsAndCapacities": wish}))
            }
            _ => return self.invoke(at, &name).await,
        };
        match at.ask(account, "sagemaker", operation, input).await {
            Err(error) if error.status >= 500 => Err(Halt::Unavailable),
            // It failed in the meantime.
            Err(error) if error.message.contains("Cannot update in-progress endpoint") => Ok(()),
            Err(error) => Err(Halt::of(operation, error)),
            Ok(_) => Ok(()),
        }
    }

    /// An answer is the question's; that there is none (yet, or any more) is no wrong.
    async fn invoke(&mut self, at: &Place, name: &str) -> Turn {
        let text = self.who.fresh().into_bytes();
        let input = json!({"EndpointName": name, "Body": "", "ContentType": "text/csv"});
        let answer = at.send(self.who.account, "sagemaker-runtime", "InvokeEndpoint", input, Some(text.clone())).await;
        match answer {
            Ok((_, bytes)) if bytes != text => broken(format!("{name} answered another question")),
            _ => Ok(()),
        }
    }

    async fn delete(&mut self, at: &Place, name: &str) -> Turn {
        self.ledger.ask(name, None);
        let done = match at.ask(self.who.account, "sagemaker", "DeleteEndpoint", json!({"EndpointName": name})).await {
            Err(error) if error.message.contains("Cannot") => {
                self.ledger.refused(name);
                return Ok(());
            }
            other => other.map_err(|error| Halt::of("DeleteEndpoint", error)),
        };
        self.ledger.answered(name, done)?;
        self.deleting.push(name.to_owned());
        Ok(())
    }

    async fn close(&mut self, at: &Place) -> Turn<bool> {
        for name in self.ledger.names() {
            let (there, found) = self.there(at, &name).await?;
            self.ledger.hold(&name, there)?;
            let status = found.as_ref().and_then(|found| found["EndpointStatus"].as_str());
            if there.is_some() && !matches!(status, Some("InService" | "Failed")) {
                return Ok(false);
            }
            if status == Some("Failed") && found.as_ref().is_some_and(|found| found["FailureReason"].as_str().is_none_or(str::is_empty)) {
                return broken(format!("{name} failed without a reason"));
            }
        }
        self.closing = true;
        for name in self.ledger.names() {
            self.delete(at, &name).await?;
        }
        for number in 0..2 {
            if self.see(at, &format!("{}-{number}", self.who.prefix)).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Client for Endpoints {
    fn name(&self) -> &'static str {
        "endpoints"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool> {
        Box::pin(self.close(at))
    }
    fn check<'a>(&'a mut self, at: &'a Place, _: bool) -> Doing<'a> {
        Box::pin(async move {
            for number in 0..2 {
                let name = format!("{}-{number}", self.who.prefix);
                if self.see(at, &name).await?.is_some() {
                    return broken(format!("{name} was deleted and is there again"));
                }
            }
            Ok(())
        })
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.ledger.acknowledged, self.ledger.doubted.0, self.ledger.doubted.1)
    }
}
