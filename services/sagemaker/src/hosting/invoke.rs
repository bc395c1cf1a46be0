//! InvokeEndpoint: a request to a model, through to its container and back. Follows InvokeEndpoint in the SageMaker
//! Runtime API Reference.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, Permit, Reply, collect, full};
use tokio::time::Instant;

use super::{
    capture::{Said, Side},
    connection::{Answer, Unanswered},
    multi, record,
    route::{self, Route, invalid},
    serving,
};

/// Bytes that a request and its answer may have ("Amazon SageMaker AI endpoints and quotas", AWS General Reference).
pub(crate) const MAX_PAYLOAD: usize = 25 << 20;
/// How long a container may take to answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// What of a container's error is passed on.
const MAX_ERROR: usize = 2048;
/// A request that reached no container is tried again so often: the instance had just ended.
const TRIES: usize = 3;

/// InvokeEndpoint's input, and that of its kin.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Invocation {
    pub endpoint_name: String,
    pub content_type: Option<String>,
    pub accept: Option<String>,
    pub custom_attributes: Option<String>,
    pub target_model: Option<String>,
    pub target_variant: Option<String>,
    pub inference_id: Option<String>,
    pub target_container_hostname: Option<String>,
    enable_explanations: Option<String>,
    inference_component_name: Option<String>,
    session_id: Option<String>,
    prefix_aware_id: Option<String>,
}

impl Invocation {
    /// Refuses headers that would change what is answered and are not supported.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn check(&self) -> Result<()> {
        let refused = [
            ("EnableExplanations", &self.enable_explanations),
            ("InferenceComponentName", &self.inference_component_name),
            ("SessionId", &self.session_id),
            ("PrefixAwareId", &self.prefix_aware_id),
        ];
        match refused.iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(invalid(format!("{name} is not supported by this instance: leave it out."))),
            None => Ok(()),
        }
    }

    /// The request to one container. `kind` is what its body is; the client's `Accept` is for the last container's answer.
    fn request(&self, path: &str, body: Bytes, kind: Option<&String>, last: bool) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::post(path).header("host", "container");
        let headers = [
            ("content-type", kind),
            ("accept", self.accept.as_ref().filter(|_| last)),
            ("x-amzn-sagemaker-custom-attributes", self.custom_attributes.as_ref()),
            ("x-amzn-sagemaker-target-model", self.target_model.as_ref()),
            ("x-amzn-sagemaker-target-variant", self.target_variant.as_ref()),
            ("x-amzn-sagemaker-inference-id", self.inference_id.as_ref()),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body(Full::new(body)).map_err(|error| invalid(format!("a header of the request cannot be passed on: {error}")))
    }
}

/// The body of an invocation.
///
/// # Errors
/// 413 when it is longer than [`MAX_PAYLOAD`].
pub(crate) async fn payload(cx: &Cx) -> Result<Bytes> {
    let Some(body) = cx.take_body() else { return Ok(Bytes::new()) };
    let read = collect(body, MAX_PAYLOAD).await.map_err(|error| invalid(format!("the request body ended early: {error}")))?;
    read.ok_or_else(|| {
        AwsError::new(413, "RequestEntityTooLargeException", format!("The request body is longer than {MAX_PAYLOAD} bytes."))
    })
}

/// Sends an invocation to an instance of its endpoint and waits for the head of the answer.
///
/// # Errors
/// What [`route::find`] and [`multi::load`] say; `ModelError` for what the container answers but 2xx.
pub(crate) async fn send(
    cx: &tenantry_kernel::Kernel,
    scope: &Scope,
    invocation: &Invocation,
    id: &str,
    body: &Bytes,
    timeout: Duration,
) -> Result<(Route, Answer)> {
    let patience = Instant::now() + route::PATIENCE;
    let mut tries = 0;
    loop {
        let route = route::find(cx, scope, &invocation.endpoint_name, invocation.target_variant.as_deref(), patience).await?;
        let name = &route.endpoint;
        let loaded = match (&route.instance.models, &invocation.target_model) {
            (None, None) => None,
            (Some(_), Some(target)) => Some(multi::load(&route.instance, name, target).await?),
            (Some(_), None) => return Err(invalid(format!("Request {id} is missing a target model header for a multi-model endpoint."))),
            (None, Some(_)) => {
                return Err(invalid(format!("Endpoint {name} is not a multi-model endpoint and does not support target model header.")));
            }
        };
        let path = loaded.as_ref().map_or_else(|| "/invocations".to_owned(), |model| format!("/models/{}/invoke", model.name()));
        let deadline = Instant::now() + timeout;
        tries += 1;
        match pass(&route, invocation, &path, body, deadline).await? {
            Passed::Answered(answer) => return Ok((route, answer)),
            Passed::Refused(from, answer) => return Err(refused(scope, name, &from, answer).await),
            // It did not reach the container: another instance, or the same started anew, may take it.
            Passed::Stopped(0, Unanswered::Unreachable(_)) if tries < TRIES => tokio::time::sleep(Duration::from_millis(200)).await,
            Passed::Stopped(_, error) => {
                if matches!(error, Unanswered::Broken(_)) {
                    route.instance.look().await;
                }
                return Err(unanswered(scope, name, &error));
            }
        }
    }
}

/// How a request came through the containers of an instance.
enum Passed {
    /// The last one's answer.
    Answered(Answer),
    /// A container's answer that is no success, and which container it was.
    Refused(String, Answer),
    /// At which container no answer came.
    Stopped(usize, Unanswered),
}

/// Sends a request to the container that it names, or through all of them: each takes the answer of the one before.
async fn pass(route: &Route, invocation: &Invocation, path: &str, body: &Bytes, deadline: Instant) -> Result<Passed> {
    let instance = &route.instance;
    let several = instance.containers().nth(1).is_some();
    let containers: Vec<&std::sync::Arc<super::instance::Instance>> = match (&invocation.target_container_hostname, instance.direct()) {
        (Some(target), true) => {
            let found = instance.containers().find(|one| one.plan.container.hostname.as_ref() == Some(target));
            vec![found.ok_or_else(|| invalid(format!("Endpoint {} has no container with hostname {target}.", route.endpoint)))?]
        }
        (None, true) => {
            return Err(invalid(format!("Endpoint {} invokes containers directly: TargetContainerHostname is required.", route.endpoint)));
        }
        (Some(_), false) => {
            return Err(invalid(format!(
                "Endpoint {} does not invoke containers directly: leave TargetContainerHostname out.",
                route.endpoint
            )));
        }
        (None, false) => instance.containers().collect(),
    };
    let (mut body, mut kind) = (body.clone(), invocation.content_type.clone());
    let last = containers.len() - 1;
    for (at, container) in containers.iter().enumerate() {
        let request = invocation.request(path, body.clone(), kind.as_ref(), at == last)?;
        let answer = match container.connections.send(&container.workload(), request, deadline).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Passed::Stopped(at, error)),
        };
        if !(200..300).contains(&answer.status) {
            let name = container.plan.container.hostname.clone().filter(|_| several);
            let name = name.unwrap_or_else(|| if several { format!("container-{}", at + 1) } else { "primary".to_owned() });
            return Ok(Passed::Refused(name, answer));
        }
        if at == last {
            return Ok(Passed::Answered(answer));
        }
        kind = answer.header("content-type");
        body = match answer.read(MAX_PAYLOAD).await {
            Ok(body) => body,
            Err(error) => return Ok(Passed::Stopped(at, error)),
        };
    }
    Err(AwsError::internal("an instance without containers"))
}

/// `ModelError` for a container's answer that is no success.
pub(crate) async fn model_error(scope: &Scope, endpoint: &str, answer: Answer) -> AwsError {
    refused(scope, endpoint, "primary", answer).await
}

async fn refused(scope: &Scope, endpoint: &str, from: &str, answer: Answer) -> AwsError {
    let status = answer.status;
    let message = String::from_utf8_lossy(&answer.beginning(MAX_ERROR).await).into_owned();
    failed(scope, endpoint, from, status, &message)
}

/// `ModelError` for a container that gave no answer.
pub(crate) fn unanswered(scope: &Scope, endpoint: &str, error: &Unanswered) -> AwsError {
    failed(scope, endpoint, "primary", 0, &error.to_string())
}

fn failed(scope: &Scope, endpoint: &str, from: &str, status: u16, message: &str) -> AwsError {
    let kind = if (400..500).contains(&status) { "client" } else { "server" };
    let (region, account, group) = (&scope.region, &scope.account, serving::log_group(endpoint));
    let text = format!(
        "Received {kind} error ({status}) from {from} with message \"{message}\". See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} in account {account} for more information."
    );
    AwsError::new(424, "ModelError", text)
        .with("OriginalStatusCode", status.to_string())
        .with("OriginalMessage", message)
        .with("LogStreamArn", format!("arn:aws:logs:{region}:{account}:log-group:{group}"))
}

/// The members of an answer that are headers.
pub(crate) fn heads(route: &Route, answer: &Answer) -> Value {
    let mut output = json!({"InvokedProductionVariant": route.variant});
    if let Some(kind) = answer.header("content-type") {
        output["ContentType"] = json!(kind);
    }
    if let Some(attributes) = answer.header("x-amzn-sagemaker-custom-attributes") {
        output["CustomAttributes"] = json!(attributes);
    }
    output
}

/// InvokeEndpoint (SageMaker Runtime API Reference).
pub(super) struct InvokeEndpoint;

impl Operation for InvokeEndpoint {
    const SERVICE: &'static str = "sagemaker-runtime";
    const NAME: &'static str = "InvokeEndpoint";
    const ACCESS: Access = Access::check_with("sagemaker:InvokeEndpoint", &["endpoint"], &["sagemaker:TargetModel"]);
    type Input = Invocation;

    async fn resolve(cx: &Cx, input: &Invocation) -> Result<Checks> {
        let check = Check::on("sagemaker:InvokeEndpoint", record::arn(&cx.scope(), &input.endpoint_name));
        Ok(check.key_if("sagemaker:TargetModel", input.target_model.as_deref()).into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: Invocation) -> Result<Reply> {
        input.check()?;
        let scope = permit.scope();
        let (_, fleet) = route::serving_fleet(&cx.kernel, scope, &input.endpoint_name).await?;
        if fleet.asynchronous.is_some() {
            return Err(invalid(format!("Endpoint {} is asynchronous: use InvokeEndpointAsync.", input.endpoint_name)));
        }
        let body = payload(cx).await?;
        let (route, answer) = send(&cx.kernel, scope, &input, &cx.request.id, &body, TIMEOUT).await?;
        let output = heads(&route, &answer);
        let broken = |error: Unanswered| unanswered(scope, &route.endpoint, &error);
        let captured = route.fleet.capture.as_ref().filter(|capture| capture.takes(route::chance()));
        let Some(capture) = captured else {
            let Route { guard, .. } = route;
            let body = answer.stream(MAX_PAYLOAD, guard).await.map_err(|error| unanswered(scope, &route.endpoint, &error))?;
            return Ok(Reply::streaming(output, body));
        };
        let answered = answer.read(MAX_PAYLOAD).await.map_err(broken)?;
        let side = |kind: Option<&str>, data: &Bytes| Side {
            content_type: kind.unwrap_or("application/octet-stream").to_owned(),
            data: data.clone(),
        };
        let (asked, told) = (side(input.content_type.as_deref(), &body), side(output["ContentType"].as_str(), &answered));
        let said = Said { inference_id: input.inference_id.as_deref(), custom_attributes: input.custom_attributes.as_deref() };
        capture.write(&route.instance, (&route.endpoint, &route.variant), asked, told, said).await?;
        Ok(Reply::streaming(output, full(answered)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_errors_have_aws_words() {
        let scope = Scope::new("123456789012", "us-east-1");
        let error = failed(&scope, "e", "primary", 400, "bad row");
        assert_eq!((error.status, &*error.code), (424, "ModelError"));
        assert_eq!(
            error.message,
            "Received client error (400) from primary with message \"bad row\". See https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 123456789012 for more information."
        );
        assert!(failed(&scope, "e", "primary", 500, "").message.starts_with("Received server error (500) from primary"));
        assert!(unanswered(&scope, "e", &Unanswered::Late).message.contains("(0) from primary with message \"Your invocation timed out"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let read = |value: Value| serde_json::from_value::<Invocation>(value).unwrap();
        assert!(read(json!({"EndpointName": "e", "TargetModel": "m", "CustomAttributes": ""})).check().is_ok());
        for name in ["EnableExplanations", "InferenceComponentName", "SessionId"] {
            assert_eq!(read(json!({"EndpointName": "e", name: "x"})).check().unwrap_err().code, "ValidationError", "{name}");
        }
        assert!(read(json!({"CustomAttributes": "a\nb"})).request("/invocations", Bytes::new(), None, true).is_err());
    }
}
