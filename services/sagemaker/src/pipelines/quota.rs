//! Quotas of pipelines ("Amazon SageMaker endpoints and quotas").

/// Pipelines of an account in a region.
pub(super) const PIPELINES: u64 = 500;
/// Executions of a pipeline that run at a time.
pub(super) const RUNNING_EXECUTIONS: u64 = 200;
/// Bytes of a definition, wherever it comes from.
pub(super) const DEFINITION_BYTES: usize = tenantry_flow::pipeline::definition::MAX_DEFINITION_BYTES;
/// Bytes of a property file.
pub(super) const PROPERTY_FILE_BYTES: usize = tenantry_flow::pipeline::advance::MAX_PROPERTY_FILE_BYTES;
/// Bytes of all that an execution keeps; property files beyond are not read, so that it can always be stored.
pub(super) const STATE_BYTES: usize = 12 * 1024 * 1024;
