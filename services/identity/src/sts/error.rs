//! STS's errors, in AWS's words.

use tenantry_core::AwsError;

/// 400: input that the model allows and STS does not.
pub(crate) fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationError", message)
}

/// 403: refused by rule, not by a policy.
pub(crate) fn access_denied(message: impl Into<String>) -> AwsError {
    AwsError::new(403, "AccessDenied", message)
}

/// 400: a session policy that cannot be read.
pub(crate) fn malformed(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "MalformedPolicyDocument", message)
}

/// 400: session policies and tags together are too long.
pub(crate) fn too_large(percent: usize) -> AwsError {
    AwsError::new(400, "PackedPolicyTooLarge", format!("Packed policy consumes {percent}% of allotted space, please use smaller policy."))
}

/// 400: not an encoded message of this instance.
pub(crate) fn bad_message() -> AwsError {
    AwsError::new(400, "InvalidAuthorizationMessageException", "The encoded authorization message is invalid.")
}
