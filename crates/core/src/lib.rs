//! The words every other crate speaks: names of resources, accounts, instants, tags, secrets, and
//! the one error a client may see.
//!
//! Pure: no I/O, no clock, no randomness. Nothing here knows a service.

mod arn;
mod error;
mod ids;
mod secret;
mod time;

pub use arn::{Arn, ArnError};
pub use error::{AwsError, Result};
pub use ids::{AccountId, Region, Scope, Tag};
pub use secret::Secret;
pub use time::Timestamp;
