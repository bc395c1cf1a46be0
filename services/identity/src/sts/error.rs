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

/// 400: an assertion or token that is not believed.
pub(crate) fn invalid_token(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidIdentityToken", message)
}

/// 400: an assertion or token that was good once.
pub(crate) fn expired_token(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ExpiredTokenException", message)
}

/// 400: the identity provider cannot be asked.
pub(crate) fn no_communication(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "IDPCommunicationError", message)
}
