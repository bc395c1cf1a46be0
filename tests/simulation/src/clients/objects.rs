//! Objects that are written, overwritten and deleted, in a bucket with versions or without. A thing is its versions'
//! texts, the newest last; without versions, at most one.

use serde_json::json;

use super::{Client, Doing, Who};
use crate::{
    ledger::{Halt, Ledger, Turn},
    world::Place,
};

pub(super) struct Objects {
    who: Who,
    ledger: Ledger<Vec<String>>,
    bucket: String,
    versions: bool,
    ready: bool,
}

impl Objects {
    pub fn boxed(mut who: Who) -> Box<dyn Client> {
        let versions = who.chance.one_in(2);
        let bucket = format!("{}-objects", who.prefix);
        Box::new(Self { who, ledger: Ledger::default(), bucket, versions, ready: false })
    }

    async fn prepare(&mut self, at: &Place) -> Turn {
        if !self.ready {
            at.bucket(self.who.account, &self.bucket).await?;
            if self.versions {
                let input = json!({"Bucket": self.bucket, "VersioningConfiguration": {"Status": "Enabled"}});
                at.call(self.who.account, "s3", "PutBucketVersioning", input).await?;
            }
            self.ready = true;
        }
        Ok(())
    }

    async fn see(&self, at: &Place, name: &str) -> Turn<Option<Vec<String>>> {
        let read = async |version: Option<&str>| {
            let mut input = json!({"Bucket": self.bucket, "Key": name});
            if let Some(version) = version {
                input["VersionId"] = json!(version);
            }
            match at.send(self.who.account, "s3", "GetObject", input, None).await {
                Ok((_, bytes)) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.code == "NoSuchKey" => Ok(None),
                Err(error) => Err(Halt::of("GetObject", error)),
            }
        };
        if !self.versions {
            return Ok(read(None).await?.map(|text| vec![text]));
        }
        let listed = at.call(self.who.account, "s3", "ListObjectVersions", json!({"Bucket": self.bucket, "Prefix": name})).await?;
        let mut texts = Vec::new();
        for version in listed["Versions"].as_array().into_iter().flatten().rev().filter(|version| version["Key"] == name) {
            texts.extend(read(version["VersionId"].as_str()).await?);
        }
        Ok((!texts.is_empty()).then_some(texts))
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        self.prepare(at).await?;
        let name = self.who.among(3);
        let have = self.see(at, &name).await?;
        self.ledger.hold(&name, have)?;
        let had = self.ledger.get(&name).cloned();
        if !self.versions && had.is_some() && self.who.chance.one_in(3) {
            self.ledger.ask(&name, None);
            let done = at.call(self.who.account, "s3", "DeleteObject", json!({"Bucket": self.bucket, "Key": name})).await;
            return self.ledger.answered(&name, done).map(drop);
        }
        let text = self.who.fresh();
        let mut after = if self.versions { had.unwrap_or_default() } else { Vec::new() };
        after.push(text.clone());
        self.ledger.ask(&name, Some(after));
        let input = json!({"Bucket": self.bucket, "Key": name, "ContentLength": text.len()});
        let done = at.send(self.who.account, "s3", "PutObject", input, Some(text.into_bytes())).await;
        self.ledger.answered(&name, done.map(drop).map_err(|error| Halt::of("PutObject", error)))
    }
}

impl Client for Objects {
    fn name(&self) -> &'static str {
        "objects"
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
