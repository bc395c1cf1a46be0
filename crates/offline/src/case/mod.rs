//! One case: policies, a request, and what is decided.
//!
//! A case is a line of JSON; its answer is a line of JSON. [`input`] reads it, [`who`] turns the
//! principal into a caller, [`keys`] completes the condition keys, [`attach`] compiles the documents,
//! [`judge`] decides.

mod attach;
mod input;
mod judge;
mod keys;
mod who;

use serde::Serialize;
use serde_json::value::RawValue;

/// The outcome of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// A statement denies it.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
}

/// A statement that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decisive {
    /// Where the document stands in the case: `identity[0]`, `scp[1].policies[0]`, `resource`.
    pub policy: String,
    /// The statement's place in the document, from zero.
    pub index: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: &'static str,
}

/// What is answered to one line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The case was judged.
    Decided {
        /// The case's own name, as it was given.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<RawValue>>,
        /// The outcome.
        decision: Verdict,
        /// Why, in a sentence.
        reason: String,
        /// The statements that decided; none for an implicit refusal.
        statements: Vec<Decisive>,
    },
    /// The case cannot be judged.
    Failed {
        /// The case's own name, as far as it could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<RawValue>>,
        /// What is wrong with it, and where.
        error: String,
    },
}

/// Judges the case that stands in one line.
#[must_use]
pub fn evaluate_line(line: &str) -> Answer {
    match input::read(line) {
        Err((id, error)) => Answer::Failed { id, error },
        Ok(case) => match judge::judge(&case) {
            Ok((decision, reason, statements)) => Answer::Decided { id: case.id, decision, reason, statements },
            Err(error) => Answer::Failed { id: case.id, error },
        },
    }
}

#[cfg(test)]
mod tests;
