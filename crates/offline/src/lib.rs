//! What can be said about policies without an instance: cases are evaluated ([`evaluate_line`]),
//! documents are checked ([`findings()`]).
//!
//! Both answer from the evaluator that serves requests and from the facts about AWS's services.
//! Pure: text in, answers out.

mod case;
mod findings;

pub use case::{Answer, Decisive, Verdict, evaluate_line};
pub use findings::{Finding, FindingType, MAX_DOCUMENT, Position, Span, Step, findings};
