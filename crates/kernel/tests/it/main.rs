//! The kernel from outside, over the store in memory and a clock that moves when told.
#![allow(clippy::unwrap_used, reason = "what the tests share may panic as they do")]

mod audit;
mod body;
mod cache;
mod compile;
mod credential;
mod explain;
mod organization;
mod place;
mod reconcile;
mod scale;
mod sessions;
mod tags;
