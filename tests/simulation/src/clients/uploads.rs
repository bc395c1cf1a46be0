//! Objects in parts: all of them or nothing, and an upload that was begun can be ended.

use serde_json::{Value, json};

use super::{Client, Doing, Who};
use crate::{
    ledger::{Halt, Ledger, Turn, broken},
    world::Place,
};

pub(super) struct Uploads {
    who: Who,
    ledger: Ledger<String>,
    bucket: String,
    ready: bool,
}

impl Uploads {
    pub fn boxed(who: Who) -> Box<dyn Client> {
        let bucket = format!("{}-uploads", who.prefix);
        Box::new(Self { who, ledger: Ledger::default(), bucket, ready: false })
    }

    async fn see(&self, at: &Place, name: &str) -> Turn<Option<String>> {
        match at.send(self.who.account, "s3", "GetObject", json!({"Bucket": self.bucket, "Key": name}), None).await {
            Ok((_, bytes)) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.code == "NoSuchKey" => Ok(None),
            Err(error) => Err(Halt::of("GetObject", error)),
        }
    }

    async fn turn(&mut self, at: &Place) -> Turn {
        let account = self.who.account;
        if !self.ready {
            at.bucket(account, &self.bucket).await?;
            self.ready = true;
        }
        let name = self.who.among(2);
        let have = self.see(at, &name).await?;
        self.ledger.hold(&name, have)?;
        let begun = at.call(account, "s3", "CreateMultipartUpload", json!({"Bucket": self.bucket, "Key": name})).await?;
        let upload = begun["UploadId"].clone();
        let input = |more: Value| {
            let mut input = json!({"Bucket": self.bucket, "Key": name, "UploadId": upload});
            if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
                input.extend(more.clone());
            }
            input
        };
        // Every part but the last has five MiB: two parts are dear, and rare.
        let first = self.who.chance.one_in(40).then(|| "x".repeat(5 << 20));
        let mut parts: Vec<String> = first.into_iter().collect();
        let last = self.who.fresh();
        let made = self.who.made;
        parts.push(last);
        let mut done = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let input = input(json!({"PartNumber": index + 1, "ContentLength": part.len()}));
            let answer = at.send(account, "s3", "UploadPart", input, Some(part.clone().into_bytes())).await;
            let (answer, _) = answer.map_err(|error| Halt::of("UploadPart", error))?;
            done.push(json!({"PartNumber": index + 1, "ETag": answer["ETag"]}));
        }
        if made % 5 == 4 {
            at.call(account, "s3", "AbortMultipartUpload", input(json!({}))).await?;
            return Ok(());
        }
        let complete = input(json!({"MultipartUpload": {"Parts": done}}));
        self.ledger.ask(&name, Some(parts.concat()));
        let answer = at.call(account, "s3", "CompleteMultipartUpload", complete.clone()).await;
        if matches!(answer, Err(Halt::Unavailable)) {
            // As clients do: the same again. It may say that there is no such upload any more, if it was done.
            return match at.ask(account, "s3", "CompleteMultipartUpload", complete).await {
                Ok(_) => self.ledger.answered(&name, Ok(())),
                Err(error) if error.code == "NoSuchUpload" || error.status >= 500 => Err(Halt::Unavailable),
                Err(error) => Err(Halt::of("CompleteMultipartUpload", error)),
            };
        }
        self.ledger.answered(&name, answer).map(drop)
    }

    async fn listed(&self, at: &Place) -> Turn<Vec<Value>> {
        let listed = at.call(self.who.account, "s3", "ListMultipartUploads", json!({"Bucket": self.bucket})).await?;
        Ok(listed["Uploads"].as_array().cloned().unwrap_or_default())
    }
}

impl Client for Uploads {
    fn name(&self) -> &'static str {
        "uploads"
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
            if !self.ready {
                return Ok(());
            }
            for upload in self.listed(at).await? {
                let input = json!({"Bucket": self.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]});
                at.call(self.who.account, "s3", "AbortMultipartUpload", input).await?;
            }
            if self.listed(at).await?.is_empty() { Ok(()) } else { broken("uploads that were aborted are still listed") }
        })
    }
    fn count(&self) -> (u64, u64, u64) {
        (self.ledger.acknowledged, self.ledger.doubted.0, self.ledger.doubted.1)
    }
}
