//! InvokeEndpointWithResponseStream: the answer as it comes, in event frames. Follows
//! InvokeEndpointWithResponseStream in the SageMaker Runtime API Reference.

use std::time::Duration;

use serde_json::json;
use tenantry_core::Result;
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, Permit, Reply};
use tenantry_wire::event_frame;

use super::{
    connection::Unanswered,
    invoke::{self, Invocation},
    record, route,
    route::invalid,
};

/// How long a container may take until the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(480);

/// InvokeEndpointWithResponseStream (SageMaker Runtime API Reference).
pub(super) struct InvokeEndpointWithResponseStream;

impl Operation for InvokeEndpointWithResponseStream {
    const SERVICE: &'static str = "sagemaker-runtime";
    const NAME: &'static str = "InvokeEndpointWithResponseStream";
    const ACCESS: Access = Access::check("sagemaker:InvokeEndpointWithResponseStream", &["endpoint"]);
    type Input = Invocation;

    async fn resolve(cx: &Cx, input: &Invocation) -> Result<Checks> {
        Ok(Check::on("sagemaker:InvokeEndpointWithResponseStream", record::arn(&cx.scope(), &input.endpoint_name)).into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: Invocation) -> Result<Reply> {
        input.check()?;
        let scope = permit.scope();
        let (_, fleet) = route::serving_fleet(&cx.kernel, scope, &input.endpoint_name).await?;
        if fleet.asynchronous.is_some() || fleet.capture.is_some() {
            return Err(invalid(
                "Endpoints that are asynchronous or capture data cannot stream their answers on this instance: use another invocation.",
            ));
        }
        let body = invoke::payload(cx).await?;
        let (route, answer) = invoke::send(&cx.kernel, scope, &input, &cx.request.id, &body, TIMEOUT).await?;
        let output = invoke::heads(&route, &answer);
        let part = |data: &[u8]| {
            event_frame(&[(":message-type", "event"), (":event-type", "PayloadPart"), (":content-type", "application/octet-stream")], data)
        };
        let mut reply = Reply::streaming(output, answer.parts(part, broken, route.guard));
        reply.headers.push(("content-type".to_owned(), "application/vnd.amazon.eventstream".to_owned()));
        Ok(reply)
    }
}

/// The frame that ends a stream which broke.
fn broken(error: &Unanswered) -> Vec<u8> {
    let code = if matches!(error, Unanswered::Late) { "ModelInvocationTimeExceeded" } else { "StreamBroken" };
    let payload = json!({"Message": error.to_string(), "ErrorCode": code}).to_string();
    let headers = [(":message-type", "exception"), (":exception-type", "ModelStreamError"), (":content-type", "application/json")];
    event_frame(&headers, payload.as_bytes())
}
