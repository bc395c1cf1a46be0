//! A row: the envelope that the store understands, and a body that only its service does.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use tenantry_core::{Scope, Timestamp};

use crate::StoreError;

/// What a row is: `service.thing`, all lower case (`iam.role`, `s3.object`). A constant of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(&'static str);

impl Kind {
    /// A kind.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self(text)
    }
    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A stored document. `(kind, scope, id)` names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub scope: Scope,
    /// Unique within kind and scope; any text, ordered by its bytes. At most [`crate::MAX_ID_BYTES`].
    pub id: String,
    /// The id of what it belongs to; empty where it belongs to nothing. Indexed.
    pub parent: String,
    /// A name for people; not indexed, not unique (see [`crate::Batch::claim_unique`]).
    pub name: String,
    /// AWS's status word, or empty.
    pub status: String,
    /// Counts writes from 1. Set by the store: what a `Row` that is put says here does not count.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed. Set by the writer, see [`Row::at`].
    pub updated: Timestamp,
    /// JSON text. Never holds a secret.
    pub(crate) body: String,
}

impl Row {
    /// A row made at `now` with an empty document (`{}`).
    pub fn new(kind: Kind, scope: &Scope, id: impl Into<String>, now: Timestamp) -> Self {
        Self {
            kind,
            scope: scope.clone(),
            id: id.into(),
            parent: String::new(),
            name: String::new(),
            status: String::new(),
            version: 0,
            created: now,
            updated: now,
            body: "{}".to_owned(),
        }
    }

    /// With a parent.
    #[must_use]
    pub fn parent(mut self, parent: impl Into<String>) -> Self {
        self.parent = parent.into();
        self
    }
    /// With a name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
    /// With a status.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = status.into();
        self
    }
    /// Changed at `now`.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.updated = now;
        self
    }
    /// With a document.
    ///
    /// # Errors
    /// When `body` is not JSON (a map whose keys are not text).
    pub fn with(mut self, body: &impl Serialize) -> Result<Self, StoreError> {
        self.set_body(body)?;
        Ok(self)
    }
    /// Replaces the document.
    ///
    /// # Errors
    /// When `body` is not JSON (a map whose keys are not text).
    pub fn set_body(&mut self, body: &impl Serialize) -> Result<(), StoreError> {
        self.body = serde_json::to_string(body)
            .map_err(|e| StoreError::Invalid(format!("the body of {} cannot be written as json: {e}", self.kind)))?;
        Ok(())
    }
    /// The document.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored is not a `T`: never a default instead.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.body)
            .map_err(|e| StoreError::Corrupt(format!("the body of {} `{}` does not have the expected form: {e}", self.kind, self.id)))
    }
    /// The document's JSON text as stored.
    #[must_use]
    pub fn body_text(&self) -> &str {
        &self.body
    }
}
