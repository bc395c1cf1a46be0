//! Who did what: an event of every call, in the store's hash chain and in CloudTrail's shape.
//!
//! A change's event commits with the change; what the call answered follows behind the answer as an
//! addendum that names the event ([`complete`] puts both together). Reads and refusals change nothing,
//! so their event is recorded behind the answer, with the explanation that `tenantry explain <id>`
//! reads. A call that ends because its client went away has its event too. Whoever cannot prove who
//! they are has none, as on AWS: no caller is there to be named.
//!
//! What the recorder holds is bounded; past the bound callers wait. A crash loses at most the events
//! that wait there (some milliseconds' reads and refusals), never a change's.

mod event;
mod identity;
mod members;
mod names;
mod parameters;
mod read;
mod recorder;
mod retention;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_policy::PrincipalKind;
use tenantry_store::{Batch, CommitError, EventKey, Expect, Kind, Row, canonical_json};

pub use names::resource_type;
pub use read::{Attribute, complete, lookup_key, seen_by, short_name, user_name};
pub(crate) use recorder::Recorder;
pub use recorder::Waiting;
pub use retention::{KEPT_DAYS, MOST_EVENTS, Retention};

use crate::{
    access::Checks,
    cx::{Caller, Cx},
    operation::Reply,
};

/// Explanations of denials; id: the request's id, scope: global of the caller's account.
pub const DENIAL: Kind = Kind::new("audit.denial");

/// A call may touch thousands of objects; its event names so many.
const MOST_RESOURCES: usize = 20;

/// What is gathered of a call for its event.
pub(crate) struct Trail {
    id: String,
    /// Made by a service inside the instance, not by HTTP.
    pub(crate) internal: bool,
    /// Canonical JSON.
    parameters: OnceLock<String>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Commits of this call so far: the first one has its event.
    commits: u32,
    /// Explanations of what was refused.
    denials: Vec<Row>,
    /// ARN and account of what it is about.
    resources: Vec<(String, String)>,
    /// By whom an assertion or token of the input was found to be.
    speaker: Option<Caller>,
    closed: bool,
}

impl Trail {
    pub(crate) fn begin(request: &str, now: Timestamp, internal: bool) -> Self {
        Self { id: event_id(request, now), internal, parameters: OnceLock::new(), notes: Mutex::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the call asks for.
    pub(crate) fn asked(&self, shape: &'static tenantry_wire::Operation, input: &Value) {
        let _once = self.parameters.set(parameters::of_input(shape, input));
    }

    /// What the call is about.
    pub(crate) fn note(&self, caller: &Caller, checks: &Checks) {
        let mut notes = self.notes();
        for check in checks.iter().take(MOST_RESOURCES) {
            let Some(arn) = &check.resource else { continue };
            if notes.resources.iter().any(|(known, _)| known == arn.as_str()) {
                continue;
            }
            let owner = match (&check.account, arn.account()) {
                (Some(account), _) => account.to_string(),
                (None, "") => caller.account.to_string(),
                (None, account) => account.to_owned(),
            };
            notes.resources.push((arn.to_string(), owner));
        }
    }

    /// Who the caller turned out to be.
    pub(crate) fn speaks(&self, caller: &Caller) {
        self.notes().speaker = Some(caller.clone());
    }
}

/// A version 7 UUID: its first 48 bits are the event's time, so that an event is found by its id; the others are the
/// request's id, which is random.
fn event_id(request: &str, time: Timestamp) -> String {
    let millis = u64::try_from(time.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    let mut id = String::with_capacity(36);
    for at in (0..12).rev() {
        id.push(char::from_digit((millis >> (at * 4)) as u32 & 15, 16).unwrap_or('0'));
        if at == 4 {
            id.push('-');
        }
    }
    id.push_str("-7");
    id.push_str(request.get(15..).unwrap_or_default());
    id
}

/// Runs a call and records it, whatever becomes of it.
pub(crate) async fn recorded(cx: &Cx, call: impl Future<Output = Result<Reply>>) -> Result<Reply> {
    let unfinished = Unfinished(cx);
    let outcome = call.await;
    cx.trail.notes().closed = true;
    drop(unfinished);
    let entry = close(cx, &outcome);
    if let Some(entry) = entry {
        cx.kernel.inner().recorder.record(entry).await;
    }
    outcome
}

/// Records a call whose client went away before it was answered.
struct Unfinished<'a>(&'a Cx);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.0.trail.notes().closed {
            return;
        }
        let gone = AwsError::new(499, "RequestAbandoned", "The client closed the connection before the request was answered.");
        if let Some(entry) = close(self.0, &Err(gone)) {
            self.0.kernel.inner().recorder.record_at_once(entry);
        }
    }
}

/// What is left to record of a call that has ended, if it is anybody's.
fn close(cx: &Cx, outcome: &Result<Reply>) -> Option<recorder::Entry> {
    let mut notes = cx.trail.notes();
    let nobody = cx.caller.principal.kind == PrincipalKind::Anonymous && notes.speaker.is_none();
    if nobody && notes.resources.is_empty() && outcome.is_err() {
        // A stranger whose assertion or token proved nothing: no more than a signature that did not verify.
        return None;
    }
    let (text, keys) =
        if notes.commits > 0 { (event::addendum(cx, outcome), vec![read::addenda()]) } else { event::of(cx, &notes, Some(outcome)) };
    check(&text, &keys);
    Some(recorder::Entry { time: cx.request.time, text, keys, denials: std::mem::take(&mut notes.denials) })
}

/// In debug builds, and with them in every test: that what was written is canonical, and found by what it says.
fn check(text: &str, keys: &[EventKey]) {
    if cfg!(debug_assertions) {
        let event: Value = serde_json::from_str(text).expect("an event is JSON");
        assert_eq!(text, canonical_json(&event), "an event is canonical");
        if event.get("addendum").is_none() {
            assert_eq!(keys, read::keys_of(&event), "{text}");
        }
    }
}

impl Cx {
    /// Commits what an operation changes, together with its audit event: the call's, or, where the call has
    /// changed something before, a further one that names it.
    ///
    /// # Errors
    /// As [`tenantry_store::Store::commit`].
    pub async fn commit(&self, mut batch: Batch) -> std::result::Result<(), CommitError> {
        let first = {
            let mut notes = self.trail.notes();
            notes.commits += 1;
            if notes.commits == 1 {
                let (text, keys) = event::of(self, &notes, None);
                check(&text, &keys);
                batch.event_under(self.request.time, text, keys);
            } else {
                let addendum = json!({ "addendum": { "eventID": self.trail.id, "change": notes.commits } });
                batch.event_under(self.request.time, canonical_json(&addendum), Vec::new());
            }
            notes.commits == 1
        };
        let done = self.kernel.store().commit(batch).await;
        if done.is_err() && first {
            self.trail.notes().commits = 0;
        }
        done
    }
}

/// Keeps why `cx` was denied, for the end of the call.
pub(crate) fn denied(cx: &Cx, message: &str, explanation: Value) {
    let mut body = json!({
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
        "outcome": "denied",
        "error": message,
        "message": message,
        "explanation": explanation,
    });
    if let Some(identity) = cx.caller.session.as_ref().and_then(|session| session.source_identity.as_ref()) {
        body["sourceIdentity"] = json!(identity);
    }
    let scope = Scope::global(cx.caller.account.clone());
    match Row::new(DENIAL, &scope, cx.request.id.clone(), cx.request.time).with(&body) {
        Ok(row) => cx.trail.notes().denials.push(row),
        Err(error) => tracing::error!(request = %cx.request.id, %error, "a denial cannot be explained"),
    }
}

/// The write of a denial's explanation.
fn put_denial(batch: &mut Batch, row: Row) {
    batch.put(row, Expect::Any);
}
