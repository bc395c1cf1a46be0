//! The rules, case by case, in tables that read like the documentation.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod conditions;
mod documents;
mod layers;
mod matching;
mod messages;
mod principals;

use std::sync::Arc;

use tenantry_policy::{Attached, Context, Decision, Layers, Policy, PolicyKind, Principal, Request, evaluate};

pub(crate) const A: &str = "111111111111";
pub(crate) const B: &str = "222222222222";
pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/team/R";
pub(crate) const USER: &str = "arn:aws:iam::111111111111:user/eng/alice";
pub(crate) const OBJECT: &str = "arn:aws:s3:::b/k";

/// A document of version 2012-10-17 with these statements (JSON, separated by commas).
pub(crate) fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

pub(crate) fn policy(kind: PolicyKind, statements: &str) -> Attached {
    named("p", kind, statements)
}

pub(crate) fn named(name: &str, kind: PolicyKind, statements: &str) -> Attached {
    let text = document(statements);
    Attached::inline(name, Arc::new(Policy::parse(&text, kind).unwrap_or_else(|fault| panic!("{fault}: {text}"))))
}

/// `{"Effect":…,"Action":…,"Resource":…}`; each element as JSON or as a bare word.
pub(crate) fn statement(effect: &str, action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Action":{},"Resource":{}}}"#, json(action), json(resource))
}

pub(crate) fn json(text: &str) -> String {
    if text.starts_with(['"', '[', '{']) { text.to_owned() } else { format!("\"{text}\"") }
}

pub(crate) fn session() -> Principal {
    Principal::session(A, ROLE, "AROAR000000000001", "S")
}

pub(crate) fn alice() -> Principal {
    Principal::user(A, USER, "AIDAALICE00000001")
}

/// Asks for one action on one resource of the caller's own account.
pub(crate) fn ask(who: &Principal, action: &str, resource: &str, context: &Context, layers: &Layers) -> Decision {
    evaluate(&Request { action, resource, resource_account: Some(A), principal: who, context }, layers)
}

/// `key=value; list=[a,b]; empty=[]; blank=`
pub(crate) fn context(text: &str) -> Context {
    let mut context = Context::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').expect("key=value");
        match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            Some(list) => context.set_list(key, list.split(',').filter(|item| !item.is_empty())),
            None => context.set(key, value),
        };
    }
    context
}
