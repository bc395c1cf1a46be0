//! Who did what: events of the store's hash chain.
//!
//! A change's event commits with the change. A denial changes nothing, so it is recorded behind the
//! answer, together with the explanation that `tenantry explain <request id>` reads. Reads that were
//! allowed are not recorded.

use std::sync::Arc;

use serde_json::{Value, json};
use tenantry_core::Scope;
use tenantry_store::{Batch, Expect, Kind, Row, Store};
use tokio::sync::mpsc;

use crate::cx::Cx;

/// Explanations of denials; id: the request's id, scope: global of the caller's account.
pub const DENIAL: Kind = Kind::new("audit.denial");

/// Denials wait in line; past this many a denied caller waits too.
const WAITING: usize = 1024;
/// Denials that are stored in one commit.
const TOGETHER: usize = 64;

/// The event of a change.
pub(crate) fn change(cx: &Cx) -> Value {
    event(cx, "allowed", None)
}

fn event(cx: &Cx, outcome: &str, error: Option<&str>) -> Value {
    let mut event = json!({
        "time": cx.request.time,
        "requestId": cx.request.id,
        "service": cx.operation.0,
        "operation": cx.operation.1,
        "region": cx.region,
        "account": cx.caller.account,
        "principal": cx.caller.arn,
        "accessKeyId": cx.caller.access_key,
        "sourceIp": cx.request.source_ip,
        "userAgent": cx.request.user_agent,
        "outcome": outcome,
    });
    if let Some(session) = &cx.caller.session
        && let Some(identity) = &session.source_identity
    {
        event["sourceIdentity"] = json!(identity);
    }
    if !cx.caller.via.is_empty() {
        event["via"] = json!(cx.caller.via);
    }
    if let Some(error) = error {
        event["error"] = json!(error);
    }
    event
}

struct Denial {
    event: Value,
    row: Row,
}

/// Stores denials behind the answer.
pub(crate) struct Recorder(mpsc::Sender<Denial>);

impl Recorder {
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Denial>(WAITING);
        tokio::spawn(async move {
            let mut denials = Vec::with_capacity(TOGETHER);
            while receiver.recv_many(&mut denials, TOGETHER).await > 0 {
                let mut batch = Batch::new();
                for denial in denials.drain(..) {
                    batch.event(denial.row.created, &denial.event);
                    batch.put(denial.row, Expect::Any);
                }
                if let Err(error) = store.commit(batch).await {
                    tracing::error!(%error, "denials cannot be recorded");
                }
            }
        });
        Self(sender)
    }

    /// Records that `cx` was denied, and why.
    pub(crate) async fn denied(&self, cx: &Cx, message: &str, explanation: Value) {
        let scope = Scope::global(cx.caller.account.clone());
        let event = event(cx, "denied", Some(message));
        let mut body = event.clone();
        body["message"] = json!(message);
        body["explanation"] = explanation;
        let row = Row::new(DENIAL, &scope, cx.request.id.clone(), cx.request.time).with(&body);
        if let Ok(row) = row {
            let _closed = self.0.send(Denial { event, row }).await;
        }
    }
}
