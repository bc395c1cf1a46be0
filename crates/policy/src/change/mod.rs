//! What would have to be different for a refused request to be allowed.
//!
//! Nothing is proposed on trust: every proposal is made on a copy of the policies, and the copy is judged
//! by the evaluator that refused the request. A proposal names one action and one resource, never `*`.
//!
//! It is a proposal, not advice. That something can be allowed does not say that it should be.

mod condition;
mod deny;
mod edit;
mod grant;
pub(crate) mod scene;
mod search;

use serde::{Deserialize, Serialize};

use crate::decision::Cause;
use crate::layers::Attachment;

pub use search::{Remedy, remedies};

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The request carries a value that it lacked or had otherwise (`key`, `before`, `after`).
    Request,
    /// The request comes from elsewhere, at another time, otherwise secured: `key` is no part of its parameters.
    Circumstance,
    /// The session is made with another tag or source identity.
    Session,
    /// The user has another tag.
    TagPrincipal,
    /// The resource has another tag.
    TagResource,
    /// A statement is added to a policy that is there.
    AddStatement,
    /// A statement is changed in place.
    ChangeStatement,
    /// A statement is removed.
    RemoveStatement,
    /// A policy is added, or takes the place of a boundary that cannot be changed.
    AddPolicy,
    /// A policy is detached or deleted.
    RemovePolicy,
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// `add`, `replace` or `remove`.
    pub op: String,
    /// A JSON Pointer into the document.
    pub path: String,
    /// The value, but for `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
}

/// One edit, ready to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What is changed.
    pub kind: ChangeKind,
    /// In one sentence.
    pub text: String,
    /// For policies: the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Cause>,
    /// For control policies: the level, root first, from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<usize>,
    /// The policy that is changed; none where one is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How that policy is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// The statement that is changed, from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<usize>,
    /// The edit of the policy's document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patch: Vec<Patch>,
    /// The policy's text afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// For requests, sessions and tags: the condition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it holds; none where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<String>>,
    /// What it would have to hold; none where it would have to be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
}

impl Change {
    pub(crate) fn new(kind: ChangeKind, text: String) -> Self {
        Self {
            kind,
            text,
            layer: None,
            level: None,
            policy: None,
            attachment: None,
            statement: None,
            patch: Vec::new(),
            document: None,
            key: None,
            before: None,
            after: None,
        }
    }
}

#[cfg(test)]
mod tests;
