//! A policy made over: what hangs on something unknown is taken for the caller, or against.
//!
//! Done on the text, so that the evaluator needs to know nothing of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::change::scene::reworded;
use crate::explain::resolve::variables;
use crate::layers::Attached;
use crate::policy::{Policy, PolicyKind};

use super::{Depends, Unknown};

/// Policies made over, remembered: many principals share one.
#[derive(Default)]
pub struct Reducer {
    made: HashMap<(usize, Unknown, bool), Arc<Policy>>,
    /// What each statement of a policy that was made over hung on.
    hangs: HashMap<usize, Vec<Vec<Depends>>>,
    /// Holds on to the originals: their addresses are keys.
    kept: Vec<Arc<Policy>>,
}

impl Reducer {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn reduced(&mut self, attached: &Attached, unknown: Unknown, hopeful: bool) -> Attached {
        let text = attached.policy.text();
        if !text.contains("Condition") && !text.contains("${") {
            return attached.clone();
        }
        let key = (Arc::as_ptr(&attached.policy).addr(), unknown, hopeful);
        let policy = match self.made.get(&key) {
            Some(policy) => Arc::clone(policy),
            None => {
                let (policy, hangs) = make_over(attached, unknown, hopeful);
                self.kept.push(Arc::clone(&attached.policy));
                self.made.insert(key, Arc::clone(&policy));
                self.hangs.insert(Arc::as_ptr(&policy).addr(), hangs);
                policy
            }
        };
        Attached { policy, id: Arc::clone(&attached.id), what: attached.what }
    }

    /// What a statement of a policy that was made over hung on; `attached` names it.
    pub(super) fn depends(&self, attached: &Attached, index: usize) -> Vec<Depends> {
        let hangs = self.hangs.get(&Arc::as_ptr(&attached.policy).addr()).and_then(|hangs| hangs.get(index));
        let named = |on: &Depends| Depends { policy: attached.id.to_string(), ..on.clone() };
        hangs.map_or_else(Vec::new, |hangs| hangs.iter().map(named).collect())
    }
}

fn make_over(attached: &Attached, unknown: Unknown, hopeful: bool) -> (Arc<Policy>, Vec<Vec<Depends>>) {
    let nothing = || (Arc::new(reworded_or_same(attached, &never(attached.policy.kind()))), vec![Vec::new()]);
    let Ok(mut document) = serde_json::from_str::<Value>(attached.policy.text()) else { return nothing() };
    let current = document["Version"] == "2012-10-17";
    let statements = match document["Statement"].take() {
        Value::Array(list) => list,
        single => vec![single],
    };
    let mut kept = Vec::new();
    let mut hangs = Vec::new();
    for (index, mut statement) in statements.into_iter().enumerate() {
        let allow = statement["Effect"] == "Allow";
        let mut on = conditions(&mut statement, unknown, current);
        for element in ["Resource", "NotResource"] {
            on.extend(patterns(&mut statement, element, unknown, current));
        }
        if !on.is_empty() && allow != hopeful {
            continue;
        }
        let sid = statement["Sid"].as_str().map(str::to_owned);
        let effect = if allow { "allow-if" } else { "deny-if" };
        hangs.push(on.into_iter().map(|on| Depends { effect, sid: sid.clone(), index, ..on }).collect());
        kept.push(statement);
    }
    if kept.is_empty() {
        return nothing();
    }
    document["Statement"] = Value::Array(kept);
    (Arc::new(reworded_or_same(attached, &document.to_string())), hangs)
}

/// What is made over was valid and stays so; were it not, nothing is allowed by it.
fn reworded_or_same(attached: &Attached, text: &str) -> Policy {
    let made = reworded(attached, text).or_else(|| reworded(attached, &never(attached.policy.kind())));
    made.map_or_else(|| (*attached.policy).clone(), |made| (*made.policy).clone())
}

/// A document that says nothing.
fn never(kind: PolicyKind) -> String {
    let mut statement = json!({"Effect": "Deny", "Action": "sts:NoSuchAction"});
    if kind != PolicyKind::Trust {
        statement["Resource"] = json!("*");
    }
    if matches!(kind, PolicyKind::Trust | PolicyKind::Resource | PolicyKind::ResourceControl | PolicyKind::Endpoint) {
        statement["Principal"] = json!("*");
    }
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn texts(value: &Value) -> Vec<String> {
    let one = std::slice::from_ref(value);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().map_or(one, Vec::as_slice).iter().map(text).collect()
}

fn on(operator: &str, key: &str, values: Vec<String>) -> Depends {
    let (operator, key) = (operator.to_owned(), key.to_owned());
    Depends { effect: "allow-if", policy: String::new(), sid: None, index: 0, operator, key, values }
}

/// Takes the conditions out that hang on something unknown.
fn conditions(statement: &mut Value, unknown: Unknown, current: bool) -> Vec<Depends> {
    let mut found = Vec::new();
    let Some(operators) = statement.get_mut("Condition").and_then(Value::as_object_mut) else { return found };
    for (operator, keys) in operators.iter_mut() {
        let Some(keys) = keys.as_object_mut() else { continue };
        let hangs = |key: &str, values: &[String]| {
            unknown.holds(key) || (current && values.iter().any(|text| variables(text).any(|name| unknown.holds(name))))
        };
        let mut known = Map::new();
        for (key, operands) in std::mem::take(keys) {
            let values = texts(&operands);
            if hangs(&key, &values) {
                found.push(on(operator, &key, values));
            } else {
                known.insert(key, operands);
            }
        }
        *keys = known;
    }
    operators.retain(|_, keys| keys.as_object().is_none_or(|keys| !keys.is_empty()));
    if operators.is_empty()
        && let Some(members) = statement.as_object_mut()
    {
        members.shift_remove("Condition");
    }
    found
}

/// Makes patterns with unknown variables as wide as they could be.
fn patterns(statement: &mut Value, element: &str, unknown: Unknown, current: bool) -> Vec<Depends> {
    let mut found = Vec::new();
    if !current || statement.get(element).is_none() {
        return found;
    }
    let mut wide = Vec::new();
    for text in texts(&statement[element]) {
        let open: Vec<String> = variables(&text).filter(|name| unknown.holds(name)).map(str::to_owned).collect();
        if open.is_empty() {
            wide.push(text);
            continue;
        }
        found.extend(open.iter().map(|name| on(element, name, vec![text.clone()])));
        if element == "Resource" {
            wide.push(widest(&text, unknown));
        }
    }
    if found.is_empty() {
        return found;
    }
    if let Some(members) = statement.as_object_mut() {
        if wide.is_empty() {
            // An exception for nobody knows what excepts nothing.
            members.shift_remove(element);
            members.insert("Resource".to_owned(), json!("*"));
        } else {
            members.insert(element.to_owned(), json!(wide));
        }
    }
    found
}

/// `*` in the place of every unknown variable.
pub(super) fn widest(text: &str, unknown: Unknown) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let whole = &rest[start..=start + length];
        out.push_str(&rest[..start]);
        out.push_str(if variables(whole).any(|name| unknown.holds(name)) { "*" } else { whole });
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}
