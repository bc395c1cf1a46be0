//! Model packages: a token registers one version, a status that was acknowledged stays.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Client, Doing, Who, jobs::XGBOOST};
use crate::{
    ledger::{Ledger, Turn, broken},
    world::Place,
};

pub(super) struct Packages {
    who: Who,
    group: String,
    /// The package of each token, where it is known.
    tokens: BTreeMap<String, Option<String>>,
    /// The status of each package.
    ledger: Ledger<String>,
    ready: bool,
}

impl Packages {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        let group = format!("{}-group", who.prefix);
        Box::new(Self { who, group, tokens: BTreeMap::new(), ledger: Ledger::default(), ready: false })
    }

    async fn register(&mut self, at: &Place, token: &str) -> Turn {
        let before = self.tokens.entry(token.to_owned()).or_default().clone();
        let input = json!({"ModelPackageGroupName": self.group, "ClientToken": token, "InferenceSpecification": {
            "Containers": [{"Image": XGBOOST}], "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}});
        let answer = at.call(self.who.account, "sagemaker", "CreateModelPackage", input).await?;
        let arn = answer["ModelPackageArn"].as_str().unwrap_or_default().to_owned();
        match before {
            Some(before) if before != arn => return broken(format!("token {token} registered {before}, and when repeated {arn}")),
            Some(_) => {}
            None => {
                self.ledger.ask(&arn, Some("PendingManualApproval".to_owned()));
                self.ledger.answered(&arn, Ok(()))?;
            }
        }
        self.tokens.insert(token.to_owned(), Some(arn));
        Ok(())
    }

    async fn see(&self, at: &Place, arn: &str) -> Turn<Option<String>> {
        let found = at.look(self.who.account, "sagemaker", "DescribeModelPackage", json!({"ModelPackageName": arn})).await?;
        Ok(found.and_then(|found| found["ModelApprovalStatus"].as_str().map(str::to_owned)))
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        if !self.ready {
            at.make(self.who.account, "sagemaker", "CreateModelPackageGroup", json!({"ModelPackageGroupName": self.group})).await?;
            self.ready = true;
        }
        let tokens: Vec<String> = self.tokens.keys().cloned().collect();
        let packages = self.ledger.names();
        match self.who.chance.below(4) {
            0 if !tokens.is_empty() => {
                let token = self.who.chance.pick(&tokens).clone();
                self.register(at, &token).await
            }
            1 if !packages.is_empty() => {
                let arn = self.who.chance.pick(&packages).clone();
                let have = self.see(at, &arn).await?;
                self.ledger.hold(&arn, have)?;
                let status = *self.who.chance.pick(&["Approved", "Rejected"]);
                self.ledger.ask(&arn, Some(status.to_owned()));
                let input = json!({"ModelPackageArn": arn, "ModelApprovalStatus": status});
                let done = at.call(self.who.account, "sagemaker", "UpdateModelPackage", input).await;
                self.ledger.answered(&arn, done).map(drop)
            }
            _ => {
                let token = self.who.fresh();
                self.register(at, &token).await
            }
        }
    }
}

impl Client for Packages {
    fn name(&self) -> &'static str {
        "packages"
    }
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a> {
        Box::pin(self.turn(at))
    }
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool> {
        Box::pin(async move {
            for (token, arn) in self.tokens.clone() {
                if arn.is_none() {
                    self.register(at, &token).await?;
                }
            }
            Ok(true)
        })
    }
    fn check<'a>(&'a mut self, at: &'a Place, _: bool) -> Doing<'a> {
        Box::pin(async move {
            for arn in self.ledger.names() {
                let have = self.see(at, &arn).await?;
                self.ledger.hold(&arn, have)?;
            }
            if !self.ready {
                return Ok(());
            }
            let input = json!({"ModelPackageGroupName": self.group, "MaxResults": 100});
            let listed = at.call(self.who.account, "sagemaker", "ListModelPackages", input).await?;
            let listed = listed["ModelPackageSummaryList"].as_array().map_or(0, Vec::len);
            if listed == self.tokens.len() { Ok(()) } else { broken(format!("{listed} versions for {} tokens", self.tokens.len())) }
        })
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.ledger.acknowledged, self.ledger.doubted.0, self.ledger.doubted.1)
    }
}
