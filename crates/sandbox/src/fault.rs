//! A step of the jailer that failed: what was tried, and why it failed.

use std::{fmt, io};

/// Travels to the server as `Report::Failed`.
#[derive(Debug)]
pub struct Fault {
    pub step: String,
    pub error: String,
}

impl Fault {
    pub fn new(step: impl Into<String>, error: impl fmt::Display) -> Self {
        Self { step: step.into(), error: error.to_string() }
    }
}

/// Names the step that a result belongs to.
pub trait Step<T> {
    fn step(self, step: &str) -> Result<T, Fault>;
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &str) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(step, error))
    }
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(step(), error))
    }
}
