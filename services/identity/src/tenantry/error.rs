//! The errors of the service.

use tenantry_core::AwsError;

/// 400: no denial of this account has the id.
pub(crate) fn no_such_authorization(id: &str) -> AwsError {
    let text = format!("no denied request of this account has the id `{id}`: it is in the x-amzn-requestid header of the answer");
    AwsError::new(400, "NoSuchAuthorizationException", text)
}

/// 400: asked about somebody or something of another account.
pub(crate) fn another_account(what: &str) -> AwsError {
    AwsError::new(400, "ValidationException", format!("`{what}` is of another account: ask there"))
}

/// 400: what the model allows and the operation does not.
pub(crate) fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationException", message)
}
