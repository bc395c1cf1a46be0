//! Whole servers in a simulated world: real operations, real reconcilers, an engine and a store that fail on order, and a
//! clock that moves when everything waits.
//!
//! A seed decides what clients do, what fails, where the server crashes and how often. After it, everything that was
//! acknowledged must be there, everything that was not must be whole or absent, everything must have ended, nothing may have
//! happened twice and nothing may be left over. `cargo xtask simulate --seeds N` runs many; `--first S --seeds 1` repeats
//! the seed S.
//!
//! What it does not show: SQLite (the crash harness does, with the real binary), the network, sandboxes. Random names and
//! the order of what happens in the same virtual millisecond are the process's: a seed is repeated as to what it decides,
//! and nearly always as to what follows from it.

pub mod chance;
pub mod clients;
pub mod compute;
pub mod ledger;
pub mod life;
mod truth;
pub mod world;

pub use life::{Report, run};
