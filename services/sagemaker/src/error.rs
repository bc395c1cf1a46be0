//! SageMaker's errors. Which code a missing thing has differs by thing, and clients depend on it.

use tenantry_core::AwsError;

/// `ValidationException`: bad input, and what some operations answer for missing things.
pub fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationException", message)
}

/// `ResourceNotFound`: pipelines, executions, experiments, trials, images, apps, domains.
pub fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ResourceNotFound", message)
}

/// `ResourceInUse`: the name is taken, or the resource is used by another.
pub fn in_use(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ResourceInUse", message)
}

/// `ConflictException`: changed by another request at the same time.
pub fn conflict(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ConflictException", message)
}

/// `ResourceLimitExceeded`: a quota.
pub fn limit(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ResourceLimitExceeded", message)
}

/// `ThrottlingException`: too many at the same time; clients try again by themselves.
pub fn throttled() -> AwsError {
    AwsError::new(400, "ThrottlingException", "Rate exceeded")
}
