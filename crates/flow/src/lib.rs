//! State machines of long-running work, as pure functions: what was observed goes in, what is to be
//! done next comes out.
//!
//! No I/O, no clock, no randomness: the time and every identifier are inputs, so that a machine that
//! was interrupted anywhere continues from its stored state as if nothing had happened, and so that
//! every interleaving can be tested.
//!
//! [`pipeline`] parses SageMaker pipeline definitions and drives their executions. It does not call
//! services, read objects or decide who may do what: its caller does, with the pipeline's role.

pub mod pipeline;
