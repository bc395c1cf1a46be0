//! Identity and access management: documents in, decisions out.
//!
//! [`Policy::parse`] is a compile step: patterns become tokens before any variable is substituted,
//! condition operands become numbers, instants, networks; statements are filed by action and by the
//! beginning of their resources, and a [`PolicySet`] does so for many policies at once.
//! [`evaluate`] then judges one (principal, action, resource, context) against the statements that
//! could apply, allocating nothing on the way to "allowed"; [`explain`] does the same slowly and
//! says why each layer answered as it did.
//!
//! Pure: no I/O, no clock, no randomness. It does not know which policies apply to a request, nor
//! what a service's condition keys are; the caller gathers both. It does not authenticate.
//!
//! Follows the IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements" and
//! "Troubleshoot access denied error messages".

mod action;
mod caller;
mod change;
mod check;
mod condition;
mod context;
mod decide;
mod decision;
mod explain;
mod fold;
mod glob;
mod index;
mod json;
mod layers;
mod malformed;
mod named;
mod policy;
mod reach;
mod resource;
mod rewrite;
mod scalar;
mod set;
mod statement;

pub use caller::{Principal, PrincipalKind};
pub use change::{Change, ChangeKind, Patch, Remedy, remedies};
pub use context::{Context, Value};
pub use decide::evaluate;
pub use decision::{Cause, Decision, Outcome, StatementRef};
pub use explain::{Compared, Explanation, LayerOutcome, NearMiss, Position, Stage, Verdict, explain};
pub use layers::{Attached, Attachment, Layers, Request, ResourcePolicyMode};
pub use malformed::Malformed;
pub use named::PrincipalName;
pub use policy::{Policy, PolicyKind};
pub use reach::{Answer, Depends, Exception, Permission, Possible, Reducer, Unknown, permissions, possible};
pub use rewrite::rewrite_principals;
pub use set::PolicySet;
