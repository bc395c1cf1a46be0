//! A policy document, compiled once and judged often.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::json::{self, Node};
use crate::malformed::Malformed;
use crate::named::PrincipalName;
use crate::statement::Statement;

/// Where a document is to be used: decides what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// Attached to a user, group or role, inline or managed.
    Identity,
    /// Attached to a resource: bucket, key, queue, model package group, …
    Resource,
    /// The trust policy of a role.
    Trust,
    /// Passed to `AssumeRole` or `GetFederationToken`.
    Session,
    /// A managed policy used as permissions boundary.
    Boundary,
    /// A service control policy of an organization.
    ServiceControl,
    /// A resource control policy of an organization.
    ResourceControl,
    /// The policy of a VPC endpoint.
    Endpoint,
}

/// No AWS document is longer; the longest AWS-managed policy has about 160,000 characters.
const MAX_BYTES: usize = 256 * 1024;

/// A compiled policy document.
#[derive(Debug, Clone)]
pub struct Policy {
    kind: PolicyKind,
    id: Option<String>,
    text: Box<str>,
    pub(crate) statements: Box<[Statement]>,
    pub(crate) index: Index,
}

impl Policy {
    /// Reads, checks and compiles a document.
    ///
    /// # Errors
    /// What AWS would refuse to save, with its text. Actions that do not exist and ARNs that name
    /// nothing are not refused.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, Malformed> {
        let root = if text.len() > MAX_BYTES || !allowed_characters(text, kind) { None } else { json::read(text) };
        let Some(Node::Map(members)) = root else { return Err(Malformed::syntax()) };
        let mut statements: &[Node] = &[];
        let (mut version, mut id) = (None, None);
        for (name, node) in &members {
            match (name.as_str(), node) {
                ("Version", Node::Text(text)) if matches!(text.as_str(), "2012-10-17" | "2008-10-17") => version = Some(text.as_str()),
                ("Id", Node::Text(text)) => id = Some(text.clone()),
                ("Statement", Node::List(list)) if !list.is_empty() => statements = list,
                ("Statement", Node::Map(_)) => statements = std::slice::from_ref(node),
                _ => return Err(Malformed::syntax()),
            }
        }
        if statements.is_empty() {
            return Err(Malformed::syntax());
        }
        let current = version == Some("2012-10-17");
        // IAM and Organizations insist on the version. Services that keep resource policies do not,
        // and a document without one is read by the rules of 2008.
        let lenient = matches!(kind, PolicyKind::Resource | PolicyKind::Trust | PolicyKind::Endpoint | PolicyKind::Session);
        let compiled: Result<Box<[Statement]>, Malformed> = statements.iter().map(|node| Statement::compile(node, kind, current)).collect();
        // AWS names a fault of syntax before the version, and the version before any other.
        if !current && !lenient && compiled.as_ref().err() != Some(&Malformed::syntax()) {
            return Err(Malformed::new("Policy document must be version 2012-10-17 or greater."));
        }
        let statements = compiled?;
        if kind != PolicyKind::Resource && kind != PolicyKind::Endpoint {
            unique_sids(&statements)?;
        }
        let index = Index::new([(0, &*statements)]);
        Ok(Self { kind, id, text: text.into(), statements, index })
    }

    /// What it was parsed as.
    #[must_use]
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The document as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The `Id` element.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How many statements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Never true: a document has at least one statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Characters without whitespace: what AWS's size quotas count.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.chars().filter(|c| !c.is_whitespace()).count()
    }

    /// Every principal that some statement names, repetitions included.
    pub fn principals(&self) -> impl Iterator<Item = &PrincipalName> {
        self.statements.iter().flat_map(|statement| statement.principal.entries()).map(|entry| &entry.name)
    }

    /// Every `Resource` and `NotResource` text.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| &statement.resources).map(|text| &**text)
    }

    /// True when every statement has a `Resource` or `NotResource`. Some services require it of
    /// their resource policies (S3: "Missing required field Resource"); elsewhere a statement
    /// without one means the resource it hangs on.
    #[must_use]
    pub fn names_resources(&self) -> bool {
        self.statements.iter().all(|statement| statement.has_resource)
    }

    /// Binds the users, roles and role sessions that the document names to the unique ids that
    /// `id_of` knows for their ARNs (a session's is its role's). A bound name matches that id only, never a namesake created later; one without
    /// an id goes on matching by ARN.
    pub fn resolve_principals(&mut self, id_of: &dyn Fn(&str) -> Option<String>) {
        for entry in self.statements.iter_mut().flat_map(|statement| statement.principal.entries_mut()) {
            if let PrincipalName::User(arn) | PrincipalName::Role(arn) | PrincipalName::Session(arn) = &entry.name {
                entry.unique_id = id_of(arn).map(Into::into);
            }
        }
    }

    /// One statement as JSON, for explanations.
    pub(crate) fn statement_json(&self, index: usize) -> Option<serde_json::Value> {
        let mut document: serde_json::Value = serde_json::from_str(&self.text).ok()?;
        match document.get_mut("Statement")?.take() {
            serde_json::Value::Array(mut list) if index < list.len() => Some(list.swap_remove(index)),
            single @ serde_json::Value::Object(_) => Some(single),
            _ => None,
        }
    }
}

/// IAM's documents are Latin-1 text with tab, line feed and carriage return.
fn allowed_characters(text: &str, kind: PolicyKind) -> bool {
    matches!(kind, PolicyKind::Resource | PolicyKind::Endpoint)
        || text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FF}'))
}

fn unique_sids(statements: &[Statement]) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    let mut sids = statements.iter().filter_map(|statement| statement.sid.as_deref()).filter(|sid| !sid.is_empty());
    if sids.all(|sid| seen.insert(sid)) {
        return Ok(());
    }
    Err(Malformed::new("Statement IDs (SID) in a single policy must be unique."))
}
