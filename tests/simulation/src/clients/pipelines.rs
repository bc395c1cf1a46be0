//! Pipelines: a thing is the definition.

use serde_json::json;

use super::{Client, Doing, Who};
use crate::{
    ledger::{Ledger, Turn},
    world::{Place, role_arn},
};

pub(super) struct Pipelines {
    who: Who,
    ledger: Ledger<String>,
}

impl Pipelines {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        Box::new(Self { who, ledger: Ledger::default() })
    }

    async fn see(&self, at: &Place, name: &str) -> Turn<Option<String>> {
        let found = at.look(self.who.account, "sagemaker", "DescribePipeline", json!({"PipelineName": name})).await?;
        Ok(found.and_then(|found| found["PipelineDefinition"].as_str().map(str::to_owned)))
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        let name = self.who.among(2);
        let have = self.see(at, &name).await?;
        self.ledger.hold(&name, have)?;
        let fresh = self.who.fresh();
        let token = format!("{fresh:x<40}");
        if self.ledger.get(&name).is_some() && self.who.chance.one_in(3) {
            self.ledger.ask(&name, None);
            let input = json!({"PipelineName": name, "ClientRequestToken": token});
            let done = at.call(self.who.account, "sagemaker", "DeletePipeline", input).await;
            return self.ledger.answered(&name, done).map(drop);
        }
        let steps = json!([{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": fresh}}]);
        let definition = json!({"Version": "2020-12-01", "Steps": steps}).to_string();
        let mut input = json!({"PipelineName": name, "PipelineDefinition": definition, "RoleArn": role_arn(self.who.account)});
        let operation = if self.ledger.get(&name).is_some() {
            "UpdatePipeline"
        } else {
            input["ClientRequestToken"] = json!(token);
            "CreatePipeline"
        };
        self.ledger.ask(&name, Some(definition));
        let done = at.call(self.who.account, "sagemaker", operation, input).await;
        self.ledger.answered(&name, done).map(drop)
    }
}

impl Client for Pipelines {
    fn name(&self) -> &'static str {
        "pipelines"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, _: &'a Place) -> Doing<'a, bool> {
        Box::pin(async { Ok(true) })
    }
    fn check<'a>(&'a mut self, at: &'a Place, _: bool) -> Doing<'a> {
        Box::pin(async move {
            for name in self.ledger.names() {
                let have = self.see(at, &name).await?;
                self.ledger.hold(&name, have)?;
            }
            Ok(())
        })
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.ledger.acknowledged, self.ledger.doubted.0, self.ledger.doubted.1)
    }
}
