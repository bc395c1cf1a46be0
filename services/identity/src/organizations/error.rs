//! Organizations' errors. All are answered with status 400 (JSON protocol).

use tenantry_core::AwsError;

fn error(code: &'static str, message: &str) -> AwsError {
    AwsError::new(400, code, message)
}

/// The caller is neither the management account nor, where that is enough, a delegated administrator.
pub(crate) fn access_denied() -> AwsError {
    error("AccessDeniedException", "You don't have permissions to access this resource.")
}
pub(crate) fn not_in_use() -> AwsError {
    error("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
}
pub(crate) fn already_in_organization() -> AwsError {
    error("AlreadyInOrganizationException", "The provided account is already a member of an organization.")
}
pub(crate) fn concurrent() -> AwsError {
    error(
        "ConcurrentModificationException",
        "AWS Organizations can't complete your request because it conflicts with another attempt to modify the same entity. Try again later.",
    )
}
pub(crate) fn account_not_found() -> AwsError {
    error("AccountNotFoundException", "You specified an account that doesn't exist.")
}
pub(crate) fn unit_not_found() -> AwsError {
    error("OrganizationalUnitNotFoundException", "You specified an organizational unit that doesn't exist.")
}
pub(crate) fn parent_not_found() -> AwsError {
    error("ParentNotFoundException", "You specified parent that doesn't exist.")
}
pub(crate) fn child_not_found() -> AwsError {
    error("ChildNotFoundException", "You specified a child that doesn't exist.")
}
pub(crate) fn root_not_found() -> AwsError {
    error("RootNotFoundException", "You specified a root that doesn't exist.")
}
pub(crate) fn target_not_found() -> AwsError {
    error("TargetNotFoundException", "You specified a target that doesn't exist.")
}
pub(crate) fn policy_not_found() -> AwsError {
    error("PolicyNotFoundException", "You specified a policy that doesn't exist.")
}
pub(crate) fn named(code: &'static str, message: &str) -> AwsError {
    error(code, message)
}
/// With AWS's reason code.
pub(crate) fn invalid(reason: &'static str, message: &str) -> AwsError {
    error("InvalidInputException", message).with("Reason", reason)
}
/// With AWS's reason code.
pub(crate) fn constraint(reason: &'static str, message: &str) -> AwsError {
    error("ConstraintViolationException", message).with("Reason", reason)
}
pub(crate) fn bad_token() -> AwsError {
    invalid(
        "INVALID_NEXT_TOKEN",
        "You specified an invalid value for nextToken. You must get the value from the response to a previous call to the API.",
    )
}
