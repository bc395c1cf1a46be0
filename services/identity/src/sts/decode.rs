//! DecodeAuthorizationMessage: why a request was denied, for whoever may ask.
//!
//! Denials are stored under their request's id when they happen. An encoded message is that id, in
//! the caller's own account; it holds nothing that could be forged or read by itself.
//!
//! What another account has said about its resource stays there: of a call across accounts the message
//! tells what the caller's own account and organization decided.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, DENIAL, OperationRow, Permit, Reply, about_resource, of_resource};

use super::error;
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    encoded_message: String,
}

async fn resolve(_: &Cx, action: &'static str, _: &Input) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn handle(cx: &Cx, permit: Permit<DecodeAuthorizationMessage>, input: Input) -> Result<Reply> {
    let id = input.encoded_message.trim();
    if id.len() > 64 {
        return Err(error::bad_message());
    }
    let row = cx.kernel.store().get(DENIAL, &permit.global(), id).await?.ok_or_else(error::bad_message)?;
    let stored: Value = row.body()?;
    Ok(json!({ "DecodedMessage": decoded(&stored, permit.account().as_str()).to_string() }).into())
}

/// The stored explanation in the form of AWS's decoded message, as `account` may see it.
fn decoded(stored: &Value, account: &str) -> Value {
    // The check that failed is the one that was recorded.
    let explanation = &stored["explanation"]["checks"][0]["explanation"];
    let decision = &explanation["decision"];
    let layers = explanation["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let foreign = explanation["context"]["aws:resourceaccount"].as_str().is_some_and(|owner| owner != account);
    let told = |layer: &&Value| !foreign || !of_resource(&layer["layer"]);
    let denied = layers.iter().filter(told).any(|layer| layer["verdict"] == "explicit-deny");
    let statements: Vec<Value> = layers
        .iter()
        .filter(told)
        .filter(|layer| layer["verdict"] == "explicit-deny")
        .map(|layer| json!({ "statementId": layer["sid"].as_str().unwrap_or(""), "effect": "DENY", "statement": layer["statement"] }))
        .collect();
    let conditions: Vec<Value> = explanation["context"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !foreign || !about_resource(key))
        .map(|(key, value)| {
            let one = std::slice::from_ref(value);
            let values: Vec<Value> = value.as_array().map_or(one, Vec::as_slice).iter().map(|value| json!({ "value": value })).collect();
            json!({ "key": key, "values": { "items": values } })
        })
        .collect();
    json!({
        "allowed": false,
        "explicitDeny": decision["outcome"] == "explicit-deny" && (denied || !foreign),
        "matchedStatements": { "items": statements },
        "failures": { "items": [] },
        "context": {
            "principal": { "id": stored["userId"].as_str().unwrap_or(""), "arn": explanation["principal"] },
            "action": explanation["action"],
            "resource": explanation["resource"],
            "conditions": { "items": conditions },
        },
    })
}

operation!("sts", DecodeAuthorizationMessage, ["*"], Input, resolve, handle);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<DecodeAuthorizationMessage>()];

#[cfg(test)]
mod tests {
    use super::*;

    /// A denial by the bucket's policy and the caller's boundary.
    fn stored() -> Value {
        let layer = |layer: &str, sid: &str| json!({ "layer": layer, "verdict": "explicit-deny", "sid": sid, "statement": { "Sid": sid } });
        json!({ "explanation": { "checks": [{ "explanation": {
            "decision": { "outcome": "explicit-deny" },
            "layers": [layer("resource-control", "Theirs"), layer("resource", "Theirs"), layer("trust", "Theirs"), layer("boundary", "Ours")],
            "context": {
                "aws:resourceaccount": "222222222222", "aws:resourcetag/secret": "Theirs", "sagemaker:resourcetag/secret": "Theirs",
                "s3:existingobjecttag/secret": "Theirs", "s3:resourceaccount": "Theirs", "aws:userid": "Ours",
            },
        } }] } })
    }

    #[test]
    fn the_owner_sees_everything() {
        let told = decoded(&stored(), "222222222222");
        assert_eq!(told["matchedStatements"]["items"].as_array().unwrap().len(), 4);
        assert_eq!(told["context"]["conditions"]["items"].as_array().unwrap().len(), 6);
    }

    #[test]
    fn strangers_see_what_is_theirs() {
        let mut stored = stored();
        let told = decoded(&stored, "111111111111").to_string();
        assert!(told.contains("Ours") && !told.contains("Theirs") && !told.contains("222222222222"), "{told}");
        assert!(told.contains(r#""explicitDeny":true"#));
        stored["explanation"]["checks"][0]["explanation"]["layers"].as_array_mut().unwrap().pop();
        assert!(decoded(&stored, "111111111111").to_string().contains(r#""explicitDeny":false"#), "who denied is not told either");
    }
}
