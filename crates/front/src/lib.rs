//! The front door's wood and hinges: sockets, TLS under the instance's own CA, and the HTTPS proxy
//! that brings hard-wired AWS host names home.
//!
//! Everything that arrives, by whatever way (the listener, TLS, `CONNECT`, a sandbox's broker
//! socket), ends in one call: [`tenantry_kernel::Kernel::serve`]. This crate decides only whether
//! bytes for other hosts pass ([`egress`]); it reads no state and authorizes nothing.

mod authority;
mod broker;
mod connection;
mod egress;
mod listener;
mod patience;
mod places;
mod steady;

pub use authority::{Authority, AuthorityError};
pub use broker::Broker;
pub use egress::{Egress, is_aws_host};
pub use listener::{Front, Listening};
