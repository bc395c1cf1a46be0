//! AWS's wire protocols, driven by data: what AWS publishes about each operation's shapes lies in
//! `models/<service>.json`, and this crate routes, decodes, validates, encodes and checks by it.
//!
//! Why data: a new operation is one row in `models/operations.toml` and no code here, and every
//! request is held to AWS's own constraints whether its handler thought of them or not.
//!
//! A request becomes a [`serde_json::Value`] object whose keys are the **model's** member names
//! (`TrainingJobName`, `Bucket`), whatever the wire calls them. In it a blob is base64 text, a timestamp a
//! number of seconds (see `tenantry_core::Timestamp`), everything else what it looks like. Output goes the
//! same way back. A raw body ([`Operation::streaming_input`], [`Operation::streaming_output`]) is never in a
//! value: the kernel hands it over beside it.
//!
//! Pure: no I/O, no clock. Every input is hostile: depth, counts and echoed text are bounded, nothing panics.
//! It does not know what an operation does, who may call it, or virtual-host addressing.

mod catalog;
mod check;
mod decode;
mod encode;
mod error;
mod eventstream;
mod load;
mod model;
mod pattern;
mod percent;
mod route;
mod scalar;
mod validate;
mod xml;

pub use catalog::{service, services};
pub use check::{check_output, redact};
pub use decode::{RequestParts, decode};
pub use encode::{Encoded, encode};
pub use error::encode_error;
pub use eventstream::event_frame;
pub use model::{Constraints, Kind, Location, Member, Metadata, Operation, Protocol, Service, Shape, Structure};
pub use percent::{parse_query, percent_decode};
pub use route::{match_rest, match_s3, operation_from_params};
pub use validate::validate;

/// Nesting of a document, in any protocol. AWS's deepest served shape has fewer than 20 levels.
pub const MAX_DEPTH: usize = 64;
