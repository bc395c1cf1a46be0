//! The service's errors ("Common errors" and each action's page, AWS CloudTrail API Reference).

use tenantry_core::AwsError;

fn bad(code: &'static str, message: impl Into<String>) -> AwsError {
    AwsError::new(400, code, message)
}

pub(crate) fn no_trail(arn: &str, account: &str) -> AwsError {
    bad("TrailNotFoundException", format!("Unknown trail: {arn} for the user: {account}"))
}
pub(crate) fn trail_exists(name: &str, account: &str) -> AwsError {
    bad("TrailAlreadyExistsException", format!("Trail {name} already exists for customer: {account}"))
}
pub(crate) fn too_many_trails(account: &str, most: usize) -> AwsError {
    bad("MaximumNumberOfTrailsExceededException", format!("User: {account} already has {most} trails in the region."))
}
pub(crate) fn bad_trail_name(message: impl Into<String>) -> AwsError {
    bad("InvalidTrailNameException", message)
}
pub(crate) fn other_home(arn: &str) -> AwsError {
    bad("InvalidHomeRegionException", format!("The trail {arn} can be changed in its home region only."))
}
pub(crate) fn no_bucket(bucket: &str) -> AwsError {
    bad("S3BucketDoesNotExistException", format!("S3 bucket {bucket} does not exist!"))
}
pub(crate) fn bad_bucket_policy(bucket: &str) -> AwsError {
    bad("InsufficientS3BucketPolicyException", format!("Incorrect S3 bucket policy is detected for bucket: {bucket}"))
}
pub(crate) fn bad_prefix() -> AwsError {
    bad("InvalidS3PrefixException", "The S3 key prefix may have 200 characters at most and no control characters.")
}
pub(crate) fn unsupported(what: &str) -> AwsError {
    bad("UnsupportedOperationException", format!("{what} is not available on this instance."))
}
pub(crate) fn bad_combination(message: impl Into<String>) -> AwsError {
    bad("InvalidParameterCombinationException", message)
}
pub(crate) fn bad_selectors(message: impl Into<String>) -> AwsError {
    bad("InvalidEventSelectorsException", message)
}
pub(crate) fn bad_attribute(message: impl Into<String>) -> AwsError {
    bad("InvalidLookupAttributesException", message)
}
pub(crate) fn bad_range() -> AwsError {
    bad("InvalidTimeRangeException", "The start time must not be after the end time.")
}
pub(crate) fn bad_token() -> AwsError {
    bad("InvalidNextTokenException", "The next token is not one that was answered for these parameters.")
}
pub(crate) fn bad_count() -> AwsError {
    bad("InvalidMaxResultsException", "The number of results must be between 1 and 50.")
}
pub(crate) fn bad_category() -> AwsError {
    bad("InvalidEventCategoryException", "Insights events are not made on this instance.")
}
pub(crate) fn bad_arn(arn: &str) -> AwsError {
    bad("CloudTrailARNInvalidException", format!("{arn} is not the ARN of a trail."))
}
pub(crate) fn bad_tag(message: impl Into<String>) -> AwsError {
    bad("InvalidTagParameterException", message)
}
pub(crate) fn too_many_tags(most: usize) -> AwsError {
    bad("TagsLimitExceededException", format!("A trail has at most {most} tags."))
}
pub(crate) fn changed_meanwhile() -> AwsError {
    bad("ConflictException", "The trail was changed by another request: try again.")
}
