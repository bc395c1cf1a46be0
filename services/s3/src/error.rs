//! S3's errors, by name ("Error responses", Amazon S3 API Reference). Texts are AWS's.

use tenantry_core::AwsError;

pub(crate) fn access_denied() -> AwsError {
    AwsError::new(403, "AccessDenied", "Access Denied")
}
pub(crate) fn no_such_bucket(name: &str) -> AwsError {
    AwsError::new(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", name)
}
pub(crate) fn no_such_key(key: &str) -> AwsError {
    AwsError::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", key)
}
pub(crate) fn no_such_version(key: &str, version: &str) -> AwsError {
    AwsError::new(404, "NoSuchVersion", "The specified version does not exist.").with("Key", key).with("VersionId", version)
}
pub(crate) fn no_such_upload(id: &str) -> AwsError {
    let text = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    AwsError::new(404, "NoSuchUpload", text).with("UploadId", id)
}
/// 400 `InvalidArgument` about one member of the request.
pub(crate) fn argument(message: &str, name: &'static str, value: &str) -> AwsError {
    AwsError::new(400, "InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", clip(value))
}
pub(crate) fn request(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequest", message)
}
pub(crate) fn malformed_xml() -> AwsError {
    AwsError::new(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}
pub(crate) fn precondition(condition: &str) -> AwsError {
    AwsError::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold").with("Condition", condition)
}
/// What AWS has and this instance does not: said, never ignored.
pub(crate) fn not_implemented(what: &str) -> AwsError {
    AwsError::new(501, "NotImplemented", format!("{what} is not available on this instance."))
}
/// Another writer of the same key or bucket went first, again and again.
pub(crate) fn conflict() -> AwsError {
    let text = "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    AwsError::new(409, "OperationAborted", text)
}
pub(crate) fn invalid_version() -> AwsError {
    AwsError::new(400, "InvalidArgument", "Invalid version id specified").with("ArgumentName", "versionId")
}
pub(crate) fn too_large(size: u64, most: u64) -> AwsError {
    AwsError::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .with("ProposedSize", size.to_string())
        .with("MaxSizeAllowed", most.to_string())
}
pub(crate) fn method_not_allowed(method: &str) -> AwsError {
    AwsError::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        .with("Method", method)
        .with("ResourceType", "DeleteMarker")
}
/// A client's text in an error: a line of it.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
