//! What is kept of a judged check: who asked for what, every layer's answer, and what would have allowed it.
//!
//! Made when the request is denied, from the policies as they were then. The schema is in
//! docs/how-to/find-out-why-a-request-was-denied.md.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_core::Tag;
use tenantry_policy::{Cause, ChangeKind, Remedy};

use super::{apply, words};
use crate::{
    access::{Check, ResourcePolicy},
    authorize::Judged,
    cx::Caller,
};

/// Remedies that are kept.
const REMEDIES: usize = 4;
/// Bytes of remedies that are kept beside the smallest.
const BYTES: usize = 32 * 1024;

/// A judged check as JSON.
pub(crate) fn explained(caller: &Caller, check: &Check, judged: &Judged) -> Value {
    let (request, layers) = (judged.request(caller, check), judged.layers());
    let explanation = tenantry_policy::explain(&request, &layers);
    let remedies = tenantry_policy::remedies(&request, &layers, REMEDIES);
    let mut told: Vec<Value> =
        remedies.iter().filter(|remedy| possible(remedy, check)).map(|remedy| told(remedy, caller, check, judged)).collect();
    let smallest = if told.is_empty() { Value::Null } else { told.remove(0) };
    let mut room = BYTES;
    told.retain(|remedy| {
        let size = remedy.to_string().len();
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    });
    let mut record = json!({
        "action": check.action,
        "resource": request.resource,
        "allowed": judged.decision.allowed(),
        "principal": caller.arn,
        "principalTags": tags(&caller.tags),
        "resourceTags": tags(&judged.resource_tags),
        "resourceAccount": judged.resource_account,
        "explanation": explanation,
        "change": smallest,
        "alternatives": told,
    });
    record["lines"] = json!(words::lines(&record, false));
    record
}

fn tags(tags: &[Tag]) -> BTreeMap<&str, &str> {
    tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect()
}

/// A resource whose service knows no policies of resources cannot be given one.
fn possible(remedy: &Remedy, check: &Check) -> bool {
    let takes_none = matches!(check.policy, ResourcePolicy::None);
    !remedy.changes.iter().any(|change| takes_none && change.kind == ChangeKind::AddPolicy && change.layer == Some(Cause::Resource))
}

fn told(remedy: &Remedy, caller: &Caller, check: &Check, judged: &Judged) -> Value {
    let changes: Vec<Value> = remedy
        .changes
        .iter()
        .map(|change| {
            let calls = apply::calls(change, caller, check, judged);
            let mut told = json!(change);
            if let Some(members) = told.as_object_mut() {
                if !calls.is_empty() {
                    // The calls hold it.
                    members.remove("document");
                }
                members.insert("calls".to_owned(), json!(calls));
            }
            told
        })
        .collect();
    json!({ "cost": remedy.cost, "changes": changes })
}
