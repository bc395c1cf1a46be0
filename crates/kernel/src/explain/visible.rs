//! What of an explanation an account may see.
//!
//! What another account has said about its resource stays there. Of a call across accounts the caller's own
//! account is told what its own policies and its organization decided.

use serde_json::{Value, json};

use super::words;

/// Layers that belong to the resource's account.
const OF_RESOURCE: [&str; 3] = ["resource", "trust", "resource-control"];

/// Whether a layer of an explanation is the resource's account's to tell.
#[must_use]
pub fn of_resource(layer: &Value) -> bool {
    layer.as_str().is_some_and(|layer| OF_RESOURCE.contains(&layer))
}

/// Whether a condition key, in lower case, tells about the resource.
#[must_use]
pub fn about_resource(key: &str) -> bool {
    let name = key.split_once(':').map_or(key, |(_, name)| name);
    name.starts_with("resource") || name.starts_with("existingobjecttag/")
}

/// The record of a check as `account` may see it.
#[must_use]
pub fn seen_by(check: &Value, account: &str) -> Value {
    let mut seen = check.clone();
    let foreign = check["resourceAccount"].as_str().is_some_and(|owner| !owner.is_empty() && owner != account);
    if foreign {
        strip(&mut seen);
    }
    let mut remedies: Vec<Value> = std::iter::once(seen["change"].take()).filter(|change| !change.is_null()).collect();
    remedies.extend(seen["alternatives"].as_array().into_iter().flatten().cloned());
    if foreign {
        // A proposal that follows from what the resource has, such as a tag, would tell it.
        remedies.retain(|remedy| remedy["changes"].as_array().into_iter().flatten().all(tells_nothing));
    }
    remedies.iter_mut().for_each(|remedy| own_calls(remedy, account, foreign));
    seen["change"] = if remedies.is_empty() { Value::Null } else { remedies.remove(0) };
    seen["alternatives"] = json!(remedies);
    seen["lines"] = json!(words::lines(&seen, false));
    seen
}

fn strip(seen: &mut Value) {
    seen["resourceTags"] = json!({});
    seen["resourceAccount"] = Value::Null;
    let explanation = &mut seen["explanation"];
    if let Some(layers) = explanation["layers"].as_array_mut() {
        layers.retain(|layer| !of_resource(&layer["layer"]));
        // A condition of one's own policy is one's own; what it was compared with is not, where that is the resource's.
        for told in layers.iter_mut() {
            hide(told);
        }
    }
    if let Some(context) = explanation["context"].as_object_mut() {
        context.retain(|key, _| !about_resource(key));
    }
    if of_resource(&explanation["decision"]["cause"]) {
        explanation["decision"] = json!({ "outcome": "implicit-deny", "cause": null, "statement": null });
    }
}

/// What is replaced, and what names the action and the resource only.
fn tells_nothing(change: &Value) -> bool {
    of_resource(&change["layer"]) || matches!(change["kind"].as_str(), Some("tag-resource" | "add-statement" | "add-policy"))
}

/// Takes away what conditions were compared with, where it is the resource's.
fn hide(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(hide),
        Value::Object(members) => {
            if members.get("key").and_then(Value::as_str).is_some_and(|key| about_resource(&key.to_ascii_lowercase())) {
                members.insert("actual".to_owned(), Value::Null);
            }
            let asks = members.get("expected").map(|texts| texts.to_string().to_ascii_lowercase()).unwrap_or_default();
            if ["${aws:resource", ":resourcetag/", ":existingobjecttag/"].iter().any(|variable| asks.contains(variable)) {
                members.remove("resolved");
            }
            members.values_mut().for_each(hide);
        }
        _ => {}
    }
}

/// Calls that other accounts would have to make are theirs, with the documents in them.
fn own_calls(remedy: &mut Value, account: &str, foreign: bool) {
    for change in remedy["changes"].as_array_mut().into_iter().flatten() {
        let owners = foreign && (of_resource(&change["layer"]) || change["kind"] == "tag-resource");
        let others = change["calls"].as_array().into_iter().flatten().any(|call| call["account"] != account);
        if owners {
            *change = json!({ "kind": "other-account", "text": "the owner of the resource has to allow it", "calls": [] });
        } else if others && let Some(members) = change.as_object_mut() {
            members.insert("calls".to_owned(), json!([]));
            members.remove("patch");
            members.remove("document");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_see_what_is_theirs() {
        let layer = |layer: &str, whose: &str| {
            json!({ "layer": layer, "verdict": "explicit-deny", "sid": whose, "statement": { "Sid": whose },
            "misses": [{ "expected": ["${aws:ResourceTag/y}"], "resolved": [if layer == "identity" { "Theirs" } else { whose }] }, { "key": "aws:ResourceTag/x", "actual": [if layer == "identity" { "Theirs" } else { whose }] }] })
        };
        let record = json!({
            "resourceAccount": "222222222222",
            "resourceTags": { "secret": "Theirs" },
            "explanation": {
                "decision": { "outcome": "explicit-deny", "cause": "resource", "statement": { "policy": "Theirs" } },
                "layers": [layer("resource-control", "Theirs"), layer("resource", "Theirs"), layer("trust", "Theirs"), layer("identity", "Ours")],
                "context": { "aws:resourcetag/secret": "Theirs", "s3:existingobjecttag/x": "Theirs", "aws:userid": "Ours" },
            },
            "change": { "changes": [
                { "kind": "change-statement", "layer": "resource", "text": "Theirs", "patch": ["Theirs"], "calls": [{ "account": "222222222222" }] },
                { "kind": "add-statement", "layer": "identity", "text": "Ours", "calls": [{ "account": "111111111111", "input": "Ours" }] },
            ] },
            "alternatives": [{ "changes": [{ "kind": "session", "text": "Theirs", "calls": [] }] }, { "changes": [{ "kind": "tag-resource", "text": "Theirs", "calls": [] },
                { "kind": "add-policy", "layer": "service-control", "text": "Ours", "patch": ["Organization"], "calls": [{ "account": "999999999999" }] }] }],
        });
        let told = seen_by(&record, "111111111111").to_string();
        assert!(told.contains("Ours") && !told.contains("Theirs") && !told.contains("222222222222"), "{told}");
        assert!(!told.contains("Organization"), "what the management account has to call is not told: {told}");
        let owner = seen_by(&record, "222222222222").to_string();
        assert!(owner.contains("Theirs"));
    }
}
