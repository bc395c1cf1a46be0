//! Asynchronous endpoints: a request waits in S3 and its answer goes there. Follows "Asynchronous inference" in the
//! SageMaker developer guide.
//!
//! An accepted invocation is a row with work; the model's role reads the input and writes the answer. The row is
//! removed after that, so after a crash a request is answered again rather than never.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{
    Access, Check, Checks, Cx, Ids, Kernel, Next, Operation, Permit, Reconciler, Reply, StepFuture, collect, full,
    reconcile::{key_of, parse_key},
};
use tenantry_store::{Batch, ByScope, Expect, Kind, Row};

use super::{
    container::{Container, refuse},
    invoke::{self, Invocation},
    model::text,
    record::{self, Endpoint},
    route::{self, invalid},
};
use crate::{
    error::validation,
    jobs::{container::assume, data::Mover, uri::S3Uri},
};

/// An invocation that waits; id: `<endpoint>/<inference id>`, parent: the endpoint's id.
const PENDING: Kind = Kind::new("sagemaker.async-invocation");
/// Invocations of one endpoint that may wait.
const MAX_PENDING: u64 = 1000;
/// Bytes of an input object. AWS takes 1 GiB, this holds it in memory.
const MAX_INPUT: usize = invoke::MAX_PAYLOAD;
/// Bytes of an input that comes with the request.
const MAX_BODY: usize = 128_000;
/// Seconds a container may take where the request does not say.
const TIMEOUT_SECS: u64 = 900;
/// Seconds a request may wait where it does not say.
const TTL_SECS: i64 = 21_600;
/// Invocations at a time where the configuration does not say.
const AT_A_TIME: u64 = 4;
/// Between looks at an invocation that runs or has no place yet.
const AGAIN: Duration = Duration::from_secs(1);

/// `AsyncInferenceConfig`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// As asked for.
    pub document: Value,
}

impl Config {
    /// Reads it; `None` where the endpoint is not asynchronous.
    ///
    /// # Errors
    /// `ValidationException`.
    pub fn read(document: &Value) -> Result<Option<Self>> {
        if !document.is_object() {
            return Ok(None);
        }
        let output = &document["OutputConfig"];
        refuse(output, &["KmsKeyId"])?;
        refuse(&output["NotificationConfig"], &["SuccessTopic", "ErrorTopic", "IncludeInferenceResponseIn"])?;
        for member in ["S3OutputPath", "S3FailurePath"] {
            match output[member].as_str() {
                Some(uri) if S3Uri::parse(uri).is_some() => {}
                Some(uri) => return Err(validation(format!("{member} {uri} is not an S3 URI: expected s3://bucket/prefix."))),
                None if member == "S3FailurePath" => {}
                None => return Err(validation("S3OutputPath is required in OutputConfig.")),
            }
        }
        Ok(Some(Self { document: document.clone() }))
    }

    fn place(&self, member: &str, name: &str) -> Option<S3Uri> {
        S3Uri::parse(self.document["OutputConfig"][member].as_str()?).map(|base| base.below(name))
    }

    fn at_a_time(&self) -> u64 {
        self.document["ClientConfig"]["MaxConcurrentInvocationsPerInstance"].as_u64().unwrap_or(AT_A_TIME)
    }
}

/// What a waiting invocation's row holds.
#[derive(Serialize, Deserialize)]
struct Pending {
    headers: Value,
    input: Option<String>,
    /// The body where it came with the request, in base64.
    body: Option<String>,
    output: String,
    failure: Option<String>,
    timeout_secs: u64,
    expires: Timestamp,
}

/// InvokeEndpointAsync (SageMaker Runtime API Reference).
pub(super) struct InvokeEndpointAsync;

impl Operation for InvokeEndpointAsync {
    const SERVICE: &'static str = "sagemaker-runtime";
    const NAME: &'static str = "InvokeEndpointAsync";
    const ACCESS: Access = Access::check("sagemaker:InvokeEndpointAsync", &["endpoint"]);
    type Input = Value;

    async fn resolve(cx: &Cx, input: &Value) -> Result<Checks> {
        Ok(Check::on("sagemaker:InvokeEndpointAsync", record::arn(&cx.scope(), text(input, "EndpointName"))).into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: Value) -> Result<Reply> {
        let (scope, name) = (permit.scope(), text(&input, "EndpointName"));
        let (endpoint, fleet) = route::serving_fleet(&cx.kernel, scope, name).await?;
        let Some(config) = fleet.asynchronous else {
            return Err(invalid(format!("Endpoint {name} is not asynchronous: use InvokeEndpoint.")));
        };
        let body = match cx.take_body() {
            Some(body) => collect(body, MAX_BODY)
                .await
                .map_err(AwsError::internal)?
                .ok_or_else(|| invalid(format!("The body is longer than {MAX_BODY} bytes: use InputLocation.")))?,
            None => Bytes::new(),
        };
        let location = input["InputLocation"].as_str();
        match location {
            Some(_) if !body.is_empty() => return Err(invalid("InputLocation and Body cannot be given together.")),
            Some(uri) if S3Uri::parse(uri).is_none() => return Err(invalid(format!("InputLocation {uri} is not an S3 URI."))),
            None if body.is_empty() => return Err(invalid("InputLocation is required.")),
            _ => {}
        }
        let id = record::id(&endpoint.name);
        if cx.kernel.store().count(PENDING, ByScope::Exact(scope), Some(&id)).await? >= MAX_PENDING {
            return Err(AwsError::new(
                503,
                "ServiceUnavailable",
                format!("{MAX_PENDING} invocations of this endpoint wait already. Please try again."),
            ));
        }
        let inference = input["InferenceId"].as_str().map_or_else(Ids::uuid, str::to_owned);
        let unique = Ids::uuid();
        let named = input["Filename"].as_str().map_or_else(|| format!("{unique}.out"), |name| format!("{unique}-{name}"));
        let named = input["S3OutputPathExtension"].as_str().map_or(named.clone(), |path| format!("{}/{named}", path.trim_matches('/')));
        let output = config.place("S3OutputPath", &named).ok_or_else(|| AwsError::internal("the endpoint has no output path"))?.to_string();
        let failure = config.place("S3FailurePath", &format!("{unique}-error.out")).map(|uri| uri.to_string());
        let headers: Value =
            ["EndpointName", "ContentType", "Accept", "CustomAttributes"].iter().map(|member| (*member, input[*member].clone())).collect();
        let pending = Pending {
            headers,
            input: location.map(str::to_owned),
            body: (!body.is_empty()).then(|| encode(&body)),
            output: output.clone(),
            failure: failure.clone(),
            timeout_secs: input["InvocationTimeoutSeconds"].as_u64().unwrap_or(TIMEOUT_SECS),
            expires: cx.now().plus_secs(input["RequestTTLSeconds"].as_i64().unwrap_or(TTL_SECS)),
        };
        let row = Row::new(PENDING, scope, format!("{id}/{unique}"), cx.now()).parent(&id).with(&pending)?;
        let mut batch = Batch::new();
        batch.enqueue(PENDING.as_str(), key_of(scope, &row.id), cx.now());
        batch.put(row, Expect::Absent);
        cx.commit(batch).await?;
        let mut answer = json!({"InferenceId": inference, "OutputLocation": output});
        if let Some(failure) = failure {
            answer["FailureLocation"] = json!(failure);
        }
        Ok(Reply::new(answer))
    }
}

fn encode(body: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(body)
}

fn decode(text: &str) -> Result<Bytes> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map(Bytes::from).map_err(AwsError::internal)
}

/// The reconciler of waiting invocations. A container may take longer than a step, so each runs in a task.
#[derive(Default)]
pub(super) struct Invocations(Arc<Mutex<HashSet<String>>>);

impl Reconciler for Invocations {
    fn queue(&self) -> &'static str {
        PENDING.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, id)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(PENDING, &scope, id).await? else { return Ok(Next::Done) };
            let at_a_time = match route::serving_fleet(kernel, &scope, &row.parent).await {
                Ok((_, fleet)) => fleet.asynchronous.as_ref().map_or(1, |config| config.at_a_time() * fleet.instances()),
                // The endpoint is gone, or failed.
                Err(error) if error.code == "ValidationError" => {
                    remove(kernel, &row).await?;
                    return Ok(Next::Done);
                }
                Err(error) => return Err(error),
            };
            if self.begin(key, &key_of(&scope, &format!("{}/", row.parent)), at_a_time) {
                let (kernel, running, key) = (kernel.clone(), Arc::clone(&self.0), key.to_owned());
                tokio::spawn(async move {
                    if let Err(error) = run(&kernel, &row).await {
                        tracing::warn!(%error, "an asynchronous invocation is tried again");
                    }
                    running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                });
            }
            Ok(Next::After(AGAIN))
        })
    }
}

impl Invocations {
    /// Whether the invocation may run now and is not running.
    fn begin(&self, key: &str, endpoint: &str, at_a_time: u64) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = running.iter().filter(|other| other.starts_with(endpoint)).count() as u64;
        others < at_a_time && running.insert(key.to_owned())
    }
}

async fn remove(kernel: &Kernel, row: &Row) -> Result<()> {
    let mut batch = Batch::new();
    batch.delete(PENDING, &row.scope, &row.id, Expect::Any);
    Ok(kernel.store().commit(batch).await?)
}

async fn run(kernel: &Kernel, row: &Row) -> Result<()> {
    let pending: Pending = row.body()?;
    let (endpoint, fleet) = route::serving_fleet(kernel, &row.scope, &row.parent).await?;
    let Some(container) = fleet.variants.first().map(|variant| &variant.container) else { return remove(kernel, row).await };
    let mover = mover(kernel, &row.scope, &endpoint, container).await?;
    let (place, bytes) = match answer(kernel, &row.scope, &pending, &mover).await {
        Ok(bytes) => (Some(&pending.output), bytes),
        Err(error) => (pending.failure.as_ref(), Bytes::from(error.message)),
    };
    if let Some(at) = place.and_then(|uri| S3Uri::parse(uri)) {
        let input = json!({"Bucket": at.bucket, "Key": at.key, "ContentLength": bytes.len()});
        let caller = caller(kernel, &row.scope, &endpoint, container).await?;
        let put = kernel.call_with(&caller, &row.scope.region, "s3", "PutObject", input, Some(full(bytes))).await;
        if let Err(error) = put {
            // The role may not write there: nobody can be told but the server's log.
            tracing::warn!(%error, %at, "an asynchronous answer cannot be written");
        }
    }
    remove(kernel, row).await
}

async fn caller(kernel: &Kernel, scope: &Scope, endpoint: &Endpoint, container: &Container) -> Result<tenantry_kernel::Caller> {
    assume(kernel, &container.role, &endpoint.arn, endpoint.source_identity.as_deref(), &scope.region).await
}

async fn mover(kernel: &Kernel, scope: &Scope, endpoint: &Endpoint, container: &Container) -> Result<Mover> {
    Ok(Mover::new(kernel.clone(), caller(kernel, scope, endpoint, container).await?, scope.region.clone()))
}

async fn answer(kernel: &Kernel, scope: &Scope, pending: &Pending, mover: &Mover) -> Result<Bytes> {
    if kernel.now() > pending.expires {
        return Err(invalid("The request waited longer than its RequestTTLSeconds."));
    }
    let body = match (&pending.body, pending.input.as_deref().and_then(S3Uri::parse)) {
        (Some(body), _) => decode(body)?,
        (None, Some(uri)) => {
            mover.read(&uri, MAX_INPUT).await.map_err(|error| invalid(format!("Failed to download the input {uri}: {error}")))?
        }
        (None, None) => Bytes::new(),
    };
    let invocation: Invocation = serde_json::from_value(pending.headers.clone()).map_err(AwsError::internal)?;
    let timeout = Duration::from_secs(pending.timeout_secs);
    let (route, answer) = invoke::send(kernel, scope, &invocation, "-", &body, timeout).await?;
    answer.read(MAX_INPUT).await.map_err(|error| invoke::unanswered(scope, &route.endpoint, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        assert!(Config::read(&Value::Null).unwrap().is_none());
        let of = |output: Value| Config::read(&json!({"OutputConfig": output}));
        let config = of(json!({"S3OutputPath": "s3://bucket/out/", "S3FailurePath": "s3://bucket/failed"})).unwrap().unwrap();
        assert_eq!(config.place("S3OutputPath", "x").unwrap().to_string(), "s3://bucket/out/x");
        assert_eq!(config.place("S3FailurePath", "x").unwrap().to_string(), "s3://bucket/failed/x");
        for wrong in [
            json!({}),
            json!({"S3OutputPath": "https://bucket/out"}),
            json!({"S3OutputPath": "s3://bucket/o", "KmsKeyId": "k"}),
            json!({"S3OutputPath": "s3://bucket/o", "NotificationConfig": {"ErrorTopic": "arn:aws:sns:r:1:t"}}),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_counted_by_endpoint() {
        let invocations = Invocations::default();
        assert!(invocations.begin("a/r/e/1", "a/r/e/", 2));
        assert!(!invocations.begin("a/r/e/1", "a/r/e/", 2), "it runs");
        assert!(invocations.begin("a/r/e/2", "a/r/e/", 2));
        assert!(!invocations.begin("a/r/e/3", "a/r/e/", 2), "all places are taken");
        assert!(invocations.begin("a/r/f/1", "a/r/f/", 2));
    }
}
