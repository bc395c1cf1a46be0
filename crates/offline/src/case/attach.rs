//! Compiling a document in its place.
//!
//! What AWS would refuse to save is a fault of the case, with three allowances for documents that
//! are written for simulators: inline policies may have the version of 2008, `"Principal": "ARN"`
//! stands for `{"AWS": "ARN"}`, and an endpoint policy that names nobody means everybody.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use tenantry_policy::{Attached, Malformed, Policy, PolicyKind};

use super::input::document;
use super::who::Who;

/// Compiles a document as the first of `kinds` that takes it.
pub(super) fn attach(place: String, raw: &RawValue, kinds: &[PolicyKind], who: &Who) -> Result<Attached, String> {
    let fault = |error: &dyn std::fmt::Display| format!("policies.{place}: {error}");
    let text = document(raw).map_err(|error| fault(&error))?;
    let mut policy = match compile(&text, kinds) {
        Ok(policy) => policy,
        Err(error) if error.is_principal() => {
            let patched = patch(&text, &bare_principal).ok_or_else(|| fault(&error))?;
            compile(&patched, kinds).map_err(|_| fault(&error))?
        }
        Err(error) => return Err(fault(&error)),
    };
    if policy.kind() == PolicyKind::Endpoint && kinds == [PolicyKind::Endpoint] {
        let open = patch(&text, &everybody).ok_or_else(|| fault(&"not a policy"))?;
        policy = compile(&open, kinds).map_err(|error| fault(&error))?;
    }
    who.bind(&mut policy);
    Ok(Attached::inline(&place, Arc::new(policy)))
}

fn compile(text: &str, kinds: &[PolicyKind]) -> Result<Policy, Malformed> {
    let mut kinds = kinds.iter();
    let first = kinds.next().copied().unwrap_or(PolicyKind::Identity);
    Policy::parse(text, first).or_else(|error| kinds.find_map(|kind| Policy::parse(text, *kind).ok()).ok_or(error))
}

fn patch(text: &str, change: &dyn Fn(&mut serde_json::Map<String, Value>)) -> Option<String> {
    let mut root: Value = serde_json::from_str(text).ok()?;
    match root.get_mut("Statement")? {
        Value::Array(list) => list.iter_mut().filter_map(Value::as_object_mut).for_each(change),
        Value::Object(one) => change(one),
        _ => return None,
    }
    Some(root.to_string())
}

fn bare_principal(statement: &mut serde_json::Map<String, Value>) {
    for name in ["Principal", "NotPrincipal"] {
        if let Some(value) = statement.get_mut(name)
            && value.as_str().is_some_and(|text| text.starts_with("arn:"))
        {
            *value = json!({"AWS": value.take()});
        }
    }
}

fn everybody(statement: &mut serde_json::Map<String, Value>) {
    if !statement.contains_key("Principal") && !statement.contains_key("NotPrincipal") {
        statement.insert("Principal".to_owned(), json!("*"));
    }
}
