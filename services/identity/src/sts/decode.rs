//! DecodeAuthorizationMessage: why a request was denied, for whoever may ask.
//!
//! Denials are stored under their request's id when they happen. An encoded message is that id, in
//! the caller's own account; it holds nothing that could be forged or read by itself.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, DENIAL, OperationRow, Permit, Reply};

use super::error;
use crate::operation::operation;

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
    Ok(json!({ "DecodedMessage": decoded(&stored).to_string() }).into())
}

/// The stored explanation in the form of AWS's decoded message.
fn decoded(stored: &Value) -> Value {
    // The check that failed is the one that was recorded.
    let explanation = &stored["explanation"]["checks"][0]["explanation"];
    let decision = &explanation["decision"];
    let layers = explanation["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let statements: Vec<Value> = layers
        .iter()
        .filter(|layer| layer["verdict"] == "explicit-deny")
        .map(|layer| json!({ "statementId": layer["sid"].as_str().unwrap_or(""), "effect": "DENY", "statement": layer["statement"] }))
        .collect();
    let conditions: Vec<Value> = explanation["context"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let one = std::slice::from_ref(value);
            let values: Vec<Value> = value.as_array().map_or(one, Vec::as_slice).iter().map(|value| json!({ "value": value })).collect();
            json!({ "key": key, "values": { "items": values } })
        })
        .collect();
    json!({
        "allowed": false,
        "explicitDeny": decision["outcome"] == "explicit-deny",
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
