//! IAM's errors, in AWS's words. Query protocol: the codes have no `Exception` at the end.

use tenantry_core::AwsError;
use tenantry_policy::Malformed;
use tenantry_store::CommitError;

/// 404: there is no such thing.
pub(crate) fn no_such_entity(message: impl Into<String>) -> AwsError {
    AwsError::new(404, "NoSuchEntity", message)
}

/// 404 for users, groups and roles; `noun` begins with a small letter.
pub(crate) fn not_found(noun: &str, name: &str) -> AwsError {
    no_such_entity(format!("The {noun} with name {name} cannot be found."))
}

/// 404 of GetPolicy and its kin.
pub(crate) fn policy_not_found(arn: &str) -> AwsError {
    no_such_entity(format!("Policy {arn} was not found."))
}

/// 404 where a policy is to be attached or read by version.
pub(crate) fn policy_not_attachable(arn: &str) -> AwsError {
    no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
}

/// 404 of a version.
pub(crate) fn version_not_found(arn: &str, version: &str) -> AwsError {
    no_such_entity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// 409: the name is taken.
pub(crate) fn already_exists(message: impl Into<String>) -> AwsError {
    AwsError::new(409, "EntityAlreadyExists", message)
}

/// 409: something still hangs on it.
pub(crate) fn delete_conflict(message: impl Into<String>) -> AwsError {
    AwsError::new(409, "DeleteConflict", message)
}

/// 409: a quota.
pub(crate) fn limit_exceeded(message: impl Into<String>) -> AwsError {
    AwsError::new(409, "LimitExceeded", message)
}

/// 409 in AWS's usual form: `Cannot exceed quota for PoliciesPerRole: 10`.
pub(crate) fn quota(name: &str, most: usize) -> AwsError {
    limit_exceeded(format!("Cannot exceed quota for {name}: {most}"))
}

/// 400: input that the model allows and IAM does not.
pub(crate) fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationError", message)
}

/// 400: the same, for lists of tags.
pub(crate) fn invalid_input(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidInput", message)
}

/// 400: a policy that cannot be stored.
pub(crate) fn malformed(fault: &Malformed) -> AwsError {
    malformed_text(&fault.message)
}

/// 400: a policy that cannot be stored, in our words.
pub(crate) fn malformed_text(message: &str) -> AwsError {
    AwsError::new(400, "MalformedPolicyDocument", message)
}

/// 400: a role that belongs to a service.
pub(crate) fn unmodifiable(role: &str) -> AwsError {
    AwsError::new(
        400,
        "UnmodifiableEntity",
        format!("Cannot perform the operation on the protected role '{role}' - this role is only modifiable by AWS"),
    )
}

/// 409: others were faster, again and again.
pub(crate) fn concurrent() -> AwsError {
    AwsError::new(
        409,
        "ConcurrentModification",
        "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.",
    )
}

/// Of a commit that is not tried again: 409 where another was faster, internal where the store failed.
pub(crate) fn lost(error: CommitError) -> AwsError {
    match error {
        CommitError::Store(fault) => fault.into(),
        _ => concurrent(),
    }
}

/// 400: not a page token of ours.
pub(crate) fn bad_marker() -> AwsError {
    validation("Invalid Marker.")
}
