//! Fuzzing on stable Rust: every decoder of the platform is given what nobody would send it.
//!
//! An own engine of a few hundred lines, because those that are published need a nightly compiler or a patched toolchain:
//! [`counters`] (which edges an input passed), [`mutate`] (new inputs from old), [`trial`] (one run and what is a finding),
//! [`engine`] (the loop), [`targets`] (what is fuzzed, and what must hold). `cargo xtask fuzz` builds everything with
//! counters and runs it for a minute a target; `cargo test` replays the corpora and goes a short way from them.
//!
//! Promise: no input makes the platform panic, take a second, or hold tens of megabytes for kilobytes.

pub mod corpus;
pub mod counters;
pub mod engine;
pub mod mutate;
pub mod rng;
pub mod targets;
pub mod trial;
