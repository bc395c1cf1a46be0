//! What is wrong with a policy document, and what is odd about it.
//!
//! Findings have the types and, where they exist, the issue codes of IAM Access Analyzer ("IAM
//! policy validation check reference", IAM User Guide). What AWS refuses to save is an error here;
//! so is an action, a key or an ARN that its service does not have. Texts are our own.
//!
//! It judges a document alone: not what it amounts to together with others, and not who exists.

mod action;
mod arn;
mod condition;
mod document;
mod overlap;
mod place;
mod principal;
mod reach;
mod security;
mod tree;
mod variable;

use serde::Serialize;
use tenantry_policy::{Policy, PolicyKind};

pub use place::{Position, Span, Step};

use place::Places;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingType {
    /// The document cannot be saved, or a part of it can never apply.
    Error,
    /// It allows more than is good.
    SecurityWarning,
    /// It probably does not do what was meant.
    Warning,
    /// It could be simpler or safer.
    Suggestion,
}

impl FindingType {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::SecurityWarning => "SECURITY_WARNING",
            Self::Warning => "WARNING",
            Self::Suggestion => "SUGGESTION",
        }
    }
}

/// A remark on one place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    #[serde(rename = "type")]
    pub kind: FindingType,
    /// AWS's issue code where there is one.
    pub code: &'static str,
    /// What is the matter, and what to do about it.
    pub text: String,
    /// The way to the place from the root of the document.
    pub path: Vec<Step>,
    /// The place itself.
    pub span: Span,
}

/// A document longer than this is not read; AWS's quotas end far below.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// No document has more findings than anybody reads.
const MAX_FINDINGS: usize = 1_000;

/// A document within AWS's quotas needs a few hundred.
const MAX_SEARCHES: usize = 5_000;
/// No name or ARN is longer ("IAM and AWS STS quotas").
const MAX_NAME: usize = 2_048;

/// Collects findings while the document is walked through.
struct Report<'a> {
    text: &'a str,
    kind: PolicyKind,
    /// The document's version has policy variables.
    variables: bool,
    places: Places<'a>,
    findings: Vec<Finding>,
    /// How many more searches through a service's facts are made.
    searches: usize,
}

impl Report<'_> {
    /// Adds a finding at `span`, which `path` leads to.
    fn add(&mut self, kind: FindingType, code: &'static str, path: &[Step], span: &std::ops::Range<usize>, text: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            let span = self.places.span(span);
            self.findings.push(Finding { kind, code, text: text.into(), path: path.to_vec(), span });
        }
    }

    /// One more search, while there are any left.
    fn search(&mut self) -> bool {
        let left = self.searches > 0 && self.findings.len() < MAX_FINDINGS;
        self.searches = self.searches.saturating_sub(1);
        left
    }

    fn error(&mut self, code: &'static str, path: &[Step], span: &std::ops::Range<usize>, text: impl Into<String>) {
        self.add(FindingType::Error, code, path, span, text);
    }
}

/// Findings on a document to be used as `kind`, in the order of their places.
#[must_use]
pub fn findings(text: &str, kind: PolicyKind) -> Vec<Finding> {
    let mut report = Report { text, kind, variables: false, places: Places::new(text), findings: Vec::new(), searches: MAX_SEARCHES };
    if text.len() > MAX_DOCUMENT {
        report.error("POLICY_SIZE_EXCEEDED", &[], &(0..0), format!("a policy document has at most {MAX_DOCUMENT} bytes"));
        return report.findings;
    }
    match tree::read(text) {
        Err(fault) => {
            report.error("JSON_SYNTAX_ERROR", &[], &(fault.at..fault.at), format!("not JSON: {} is wanted here", fault.wanted));
        }
        Ok(root) => {
            document::check(&mut report, &root);
            saved(&mut report, &root);
        }
    }
    let mut findings = report.findings;
    findings.sort_by_key(|finding| (finding.span.start.offset, finding.kind));
    findings
}

/// What AWS refuses to save is an error even where no rule of ours has said so.
fn saved(report: &mut Report<'_>, root: &tree::Node) {
    if let Err(refused) = Policy::parse(report.text, report.kind)
        && report.findings.iter().all(|finding| finding.kind != FindingType::Error)
    {
        report.error("MALFORMED_POLICY_DOCUMENT", &[], &root.span, refused.message);
    }
}

#[cfg(test)]
mod tests;
