//! Data capture: requests and answers of an endpoint, recorded in S3. Follows "Capture data from real-time endpoint"
//! in the SageMaker developer guide.
//!
//! Each captured invocation is a `.jsonl` object of one line, written as the model's role after the client
//! has its answer. A record that cannot be written is told in the endpoint's log; the invocation stands.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_kernel::{Ids, full};
use tokio::sync::Semaphore;

use super::{
    container::refuse,
    instance::Instance,
    model::{text, texts},
};
use crate::{
    error::validation,
    jobs::{container::assume, logs, uri::S3Uri},
};

/// Records on their way to S3 at a time; more make invocations wait.
static WRITES: Semaphore = Semaphore::const_new(16);

/// What an endpoint captures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Capture {
    percentage: u64,
    destination: String,
    input: bool,
    output: bool,
    csv: Vec<String>,
    json: Vec<String>,
}

/// One side of an invocation.
pub(crate) struct Side {
    /// As sent.
    pub content_type: String,
    /// The body.
    pub data: Bytes,
}

/// What a client says of its request beside the body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    /// `InferenceId`.
    pub inference_id: Option<&'a str>,
    /// `CustomAttributes`.
    pub custom_attributes: Option<&'a str>,
}

impl Capture {
    /// Reads a `DataCaptureConfig`; `None` where nothing is to be captured.
    ///
    /// # Errors
    /// `ValidationException`.
    pub fn read(document: &Value) -> Result<Option<Self>> {
        // Absent means on: the member's documentation calls it the switch that turns capture off and on.
        if !document.is_object() || document["EnableCapture"] == json!(false) {
            return Ok(None);
        }
        refuse(document, &["KmsKeyId"])?;
        let destination = text(document, "DestinationS3Uri");
        if S3Uri::parse(destination).is_none() {
            return Err(validation(format!("DestinationS3Uri {destination} is not an S3 URI: expected s3://bucket/prefix.")));
        }
        let modes = document["CaptureOptions"].as_array().into_iter().flatten().filter_map(|option| option["CaptureMode"].as_str());
        let modes: Vec<&str> = modes.collect();
        let types = |member: &str, default: &str| {
            let given = texts(&document["CaptureContentTypeHeader"][member]);
            if given.is_empty() { vec![default.to_owned()] } else { given }
        };
        Ok(Some(Self {
            percentage: document["InitialSamplingPercentage"].as_u64().unwrap_or(100).min(100),
            destination: destination.to_owned(),
            input: modes.iter().any(|mode| *mode != "Output"),
            output: modes.iter().any(|mode| *mode != "Input"),
            csv: types("CsvContentTypes", "text/csv"),
            json: types("JsonContentTypes", "application/json"),
        }))
    }

    /// As `DescribeEndpoint` shows it.
    pub fn summary(&self, serving: bool) -> Value {
        json!({
            "EnableCapture": true,
            "CaptureStatus": if serving { "Started" } else { "Stopped" },
            "CurrentSamplingPercentage": self.percentage,
            "DestinationS3Uri": self.destination,
            "KmsKeyId": "",
        })
    }

    /// Whether this invocation is one of those to capture, of a number in 0..1.
    pub fn takes(&self, chance: f64) -> bool {
        chance * 100.0 < self.percentage as f64
    }

    fn side(&self, side: &Side, mode: &str) -> Value {
        let media = side.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let listed = |types: &[String]| types.iter().any(|known| known.eq_ignore_ascii_case(&media));
        let text = std::str::from_utf8(&side.data).ok();
        let (data, encoding) = match text {
            Some(text) if listed(&self.csv) => (text.to_owned(), "CSV"),
            Some(text) if listed(&self.json) => (text.to_owned(), "JSON"),
            _ => (STANDARD.encode(&side.data), "BASE64"),
        };
        json!({"observedContentType": side.content_type, "mode": mode, "data": data, "encoding": encoding})
    }

    /// The line of one invocation.
    fn record(&self, input: &Side, output: &Side, said: Said<'_>, id: &str, now: Timestamp) -> String {
        let mut data = json!({});
        if self.input {
            data["endpointInput"] = self.side(input, "INPUT");
        }
        if self.output {
            data["endpointOutput"] = self.side(output, "OUTPUT");
        }
        let mut event = json!({"eventId": id, "inferenceTime": now.iso8601(false)});
        if let Some(attributes) = said.custom_attributes {
            event["customAttributes"] = json!([attributes]);
        }
        if let Some(inference_id) = said.inference_id {
            event["inferenceId"] = json!(inference_id);
        }
        format!("{}\n", json!({"captureData": data, "eventMetadata": event, "eventVersion": "0"}))
    }

    /// Writes the record of an invocation, in a task of its own once there is a place for it.
    ///
    /// # Errors
    /// Never in practice: when the places are closed.
    pub async fn write(
        &self,
        instance: &std::sync::Arc<Instance>,
        names: (&str, &str),
        input: Side,
        output: Side,
        said: Said<'_>,
    ) -> Result<()> {
        let place = WRITES.acquire().await.map_err(AwsError::internal)?;
        let now = instance.kernel.now();
        let id = Ids::uuid();
        let line = self.record(&input, &output, said, &id, now);
        let (endpoint, variant) = names;
        let key = format!("{endpoint}/{variant}/{}-{id}.jsonl", now.format("%Y/%m/%d/%H/%M-%S-%3f"));
        let Some(at) = S3Uri::parse(&self.destination).map(|base| base.below(&key)) else { return Ok(()) };
        let instance = std::sync::Arc::clone(instance);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = put(&instance, &at, line).await {
                let text = format!("data capture: {at} cannot be written: {}: {}", error.code, error.message);
                logs::say(&instance.kernel, &instance.plan.log, text).await;
            }
        });
        Ok(())
    }
}

async fn put(instance: &Instance, at: &S3Uri, line: String) -> Result<()> {
    let plan = &instance.plan;
    let region = &plan.scope.region;
    let caller = assume(&instance.kernel, &plan.container.role, &plan.source, plan.source_identity.as_deref(), region).await?;
    let input = json!({"Bucket": at.bucket, "Key": at.key, "ContentLength": line.len()});
    instance.kernel.call_with(&caller, region, "s3", "PutObject", input, Some(full(line))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(with: Value) -> Value {
        let mut config = json!({
            "EnableCapture": true, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://bucket/p",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        });
        for (name, value) in with.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    }

    #[test]
    fn read() {
        assert!(Capture::read(&Value::Null).unwrap().is_none());
        assert!(Capture::read(&config(json!({"EnableCapture": false}))).unwrap().is_none());
        assert!(Capture::read(&config(json!({}))).unwrap().is_some_and(|capture| capture.input && capture.output));
        assert!(
            Capture::read(&config(json!({"CaptureOptions": [{"CaptureMode": "Input"}]}))).unwrap().is_some_and(|capture| !capture.output)
        );
        assert!(Capture::read(&config(json!({"KmsKeyId": "k"}))).is_err());
        assert!(Capture::read(&config(json!({"DestinationS3Uri": "https://x/y"}))).is_err());
    }

    #[test]
    fn records() {
        let capture = Capture::read(&config(json!({}))).unwrap().unwrap();
        let side = |content_type: &str, data: &'static [u8]| Side { content_type: content_type.to_owned(), data: Bytes::from_static(data) };
        let now = Timestamp::from_secs(1_700_000_000);
        let line = capture.record(
            &side("text/csv", b"1,2"),
            &side("application/json; charset=utf-8", b"{}"),
            Said { inference_id: Some("mine"), custom_attributes: Some("trace=1") },
            "id",
            now,
        );
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            record["captureData"]["endpointInput"],
            json!({"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"})
        );
        assert_eq!(record["captureData"]["endpointOutput"]["encoding"], "JSON");
        assert_eq!(
            record["eventMetadata"],
            json!({"eventId": "id", "inferenceTime": "2023-11-14T22:13:20Z", "customAttributes": ["trace=1"], "inferenceId": "mine"})
        );
        let binary = capture.record(&side("text/csv", b"\xff"), &side("x/y", b"z"), Said::default(), "id", now);
        assert_eq!(binary.matches("BASE64").count(), 2);
    }

    #[test]
    fn sampling() {
        let capture = Capture::read(&config(json!({"InitialSamplingPercentage": 30}))).unwrap().unwrap();
        assert!(capture.takes(0.299) && !capture.takes(0.3));
        assert!(!Capture::read(&config(json!({"InitialSamplingPercentage": 0}))).unwrap().unwrap().takes(0.0));
    }
}
