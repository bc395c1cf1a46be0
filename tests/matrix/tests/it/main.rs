//! The one door from outside: every operation of every service is asked for by everyone who must not
//! have it, and every answer is a refusal that left nothing behind.
//!
//! Nothing here names an operation by hand but where a value has a form that the model does not tell:
//! requests are made from the wire models, so a new operation is in the matrix by being served.
#![allow(clippy::unwrap_used, reason = "what the tests share may panic as they do")]

mod columns;
mod controls;
mod denials;
mod door;
mod encode;
mod example;
mod golden;
mod matrix;
mod send;
mod services;
mod teams;
mod witness;
mod world;
