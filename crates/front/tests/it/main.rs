//! The front over real sockets: what comes in by each way, what goes out, and what does not.
#![allow(clippy::unwrap_used, reason = "what the tests share may panic as they do")]

mod broker;
mod hostile;
mod house;
mod listener;
mod proxy;
