//! SageMaker Pipelines: definitions of schema version 2020-12-01 and their executions.
//!
//! Read in this order: [`definition`] (what a pipeline is), [`parse`] and [`check`] (what is accepted),
//! [`parameters`] (binding the values of StartPipelineExecution), [`reference`] and [`resolve`] (what
//! `Get`, `Std:Join` and `Std:JsonGet` mean), [`condition`], [`cache`], [`retry`], [`request`] (the API
//! calls steps become), [`execution`] (the stored state), [`selective`], [`advance`] (the machine) and [`view`]
//! (ListPipelineExecutionSteps).
//!
//! It does not run anything: [`Execution::advance`] answers with [`Effect`]s, the caller carries them out
//! and comes back with [`Observation`]s.
//!
//! Promises, each held by a test: a step starts only after its dependencies succeeded and never twice in
//! the same attempt; a repeated or late observation changes nothing; an execution always ends.

pub mod advance;
pub mod cache;
pub mod check;
pub mod condition;
pub mod definition;
pub mod execution;
pub mod parameters;
pub mod parse;
pub mod reference;
pub mod request;
pub mod resolve;
pub mod retry;
pub mod selective;
pub mod view;

pub use definition::{Definition, DefinitionError, Step, StepKind};
pub use execution::{Effect, Execution, ExecutionInfo, ExecutionStatus, FileOutcome, Observation, StepRecord, StepStatus};
pub use parameters::{Bound, Parameter, ParameterType, bind};
pub use request::{job_name, step_request};
pub use retry::FailureKind;
