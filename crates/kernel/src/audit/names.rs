//! What CloudTrail calls things: event sources and names, read-only and data events, types of resources.

use tenantry_core::Region;
use tenantry_wire::Service;

/// `iam.amazonaws.com`.
pub(super) fn source(about: Option<&Service>, service: &str) -> String {
    format!("{}.amazonaws.com", about.map_or(service, |about| about.signing_name.as_str()))
}

/// Events of services with one endpoint for the world are us-east-1's.
pub(super) fn region<'a>(about: Option<&Service>, asked: &'a Region) -> &'a str {
    if about.is_some_and(|about| about.global_endpoint.is_some() && matches!(about.name.as_str(), "iam" | "organizations")) {
        return "us-east-1";
    }
    asked.as_str()
}

/// The operation's name, but for a few of S3 ("Amazon S3 CloudTrail events", Amazon S3 User Guide).
pub(super) fn event_name<'a>(service: &str, operation: &'a str) -> &'a str {
    if service != "s3" {
        return operation;
    }
    match operation {
        "ListObjectsV2" => "ListObjects",
        "PutPublicAccessBlock" => "PutBucketPublicAccessBlock",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "DeletePublicAccessBlock" => "DeleteBucketPublicAccessBlock",
        "PutBucketLifecycleConfiguration" => "PutBucketLifecycle",
        "GetBucketLifecycleConfiguration" => "GetBucketLifecycle",
        other => other,
    }
}

/// Whether a call changes nothing. Giving out temporary credentials counts as reading, as on AWS.
pub(super) fn is_read_only(service: &str, operation: &str) -> bool {
    const READS: [&str; 15] = [
        "Get",
        "List",
        "Describe",
        "Head",
        "Search",
        "Lookup",
        "Simulate",
        "Query",
        "Filter",
        "Decode",
        "BatchGet",
        "BatchDescribe",
        "Validate",
        "Select",
        "InvokeEndpoint",
    ];
    READS.iter().any(|read| operation.starts_with(read)) || (service == "sts" && operation.starts_with("Assume"))
}

/// Whether an event keeps what the call answered: those of changes, and of credentials that were given out.
pub(super) fn answers_are_kept(service: &str, operation: &str) -> bool {
    let credentials = ["Assume", "GetFederationToken", "GetSessionToken"];
    !is_read_only(service, operation) || (service == "sts" && credentials.iter().any(|name| operation.starts_with(name)))
}

/// Whether an event is about the control plane. What is in objects, logs and requests to endpoints is data.
pub(super) fn is_management(service: &str, operation: &str) -> bool {
    match service {
        "s3" => {
            let of_objects = operation.contains("Object") || operation.contains("Upload") || operation.ends_with("Parts");
            operation.contains("ObjectLockConfiguration") || !(of_objects || operation == "HeadBucket")
        }
        "logs" => operation != "PutLogEvents",
        "sagemaker-runtime" => false,
        _ => true,
    }
}

/// `AWS::IAM::Role`, where an ARN tells.
#[must_use]
pub fn resource_type(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (service, resource) = (parts.nth(2)?, parts.nth(2)?);
    let noun = resource.split(['/', ':']).next().unwrap_or(resource);
    let known = match (service, noun) {
        ("s3", _) => return Some(if resource.contains('/') { "AWS::S3::Object" } else { "AWS::S3::Bucket" }.to_owned()),
        ("iam", "mfa") => "MfaDevice",
        ("iam", "oidc-provider") => "OIDCProvider",
        ("iam", "saml-provider") => "SAMLProvider",
        ("sts", "assumed-role") => "AssumedRole",
        _ => "",
    };
    let title = match service {
        "iam" => "IAM",
        "sts" => "STS",
        "sagemaker" => "SageMaker",
        "logs" => "Logs",
        "organizations" => "Organizations",
        "cloudtrail" => "CloudTrail",
        "kms" => "KMS",
        _ => return None,
    };
    let camel = || noun.split('-').map(capital).collect::<String>();
    let name = if known.is_empty() { camel() } else { known.to_owned() };
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| format!("AWS::{title}::{name}"))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only() {
        for (service, operation, expected) in [
            ("iam", "GetUser", true),
            ("iam", "CreateUser", false),
            ("sts", "AssumeRole", true),
            ("sts", "GetCallerIdentity", true),
            ("sagemaker", "Search", true),
            ("sagemaker", "CreatePresignedDomainUrl", false),
        ] {
            assert_eq!(is_read_only(service, operation), expected, "{operation}");
        }
        assert!(answers_are_kept("sts", "AssumeRole") && !answers_are_kept("sts", "GetCallerIdentity"));
    }

    #[test]
    fn what_is_data() {
        for (service, operation, management) in [
            ("s3", "GetObject", false),
            ("s3", "UploadPart", false),
            ("s3", "ListParts", false),
            ("s3", "CreateMultipartUpload", false),
            ("s3", "PutBucketPolicy", true),
            ("s3", "CreateBucket", true),
            ("s3", "PutObjectLockConfiguration", true),
            ("sagemaker-runtime", "InvokeEndpoint", false),
            ("sagemaker", "CreateEndpoint", true),
            ("logs", "PutLogEvents", false),
        ] {
            assert_eq!(is_management(service, operation), management, "{operation}");
        }
    }

    #[test]
    fn types_of_resources() {
        for (arn, expected) in [
            ("arn:aws:iam::1:role/path/R", Some("AWS::IAM::Role")),
            ("arn:aws:iam::1:oidc-provider/x", Some("AWS::IAM::OIDCProvider")),
            ("arn:aws:s3:::b", Some("AWS::S3::Bucket")),
            ("arn:aws:s3:::b/k", Some("AWS::S3::Object")),
            ("arn:aws:sagemaker:us-east-1:1:training-job/j", Some("AWS::SageMaker::TrainingJob")),
            ("arn:aws:logs:us-east-1:1:log-group:g", Some("AWS::Logs::LogGroup")),
            ("arn:aws:unheard:us-east-1:1:x/y", None),
            ("no arn", None),
        ] {
            assert_eq!(resource_type(arn).as_deref(), expected, "{arn}");
        }
    }
}
