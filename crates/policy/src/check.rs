//! What AWS refuses when a document is saved, statement by statement, and in which words.
//!
//! Only what AWS refuses: an action that does not exist, or an ARN that names nothing, is stored.

use crate::malformed::Malformed;
use crate::policy::PolicyKind;

pub(crate) const UNPREFACED: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
pub(crate) const LEGACY: &str = "The policy failed legacy parsing";
/// AWS Organizations' answer to whatever a control policy may not hold.
pub(crate) const CONTROL: &str = "The provided policy document does not meet the requirements of the specified policy type.";

const PARTITIONS: [&str; 8] = ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "*"];

const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// Resources of IAM beside those that the message lists.
const ALSO_IAM: [&str; 2] = ["*", "root"];

/// S3 buckets and objects have no region in their ARN; these do.
const REGIONAL_S3: [&str; 6] = ["accesspoint", "access-grants", "storage-lens", "job", "async-request", "*"];

/// An element of `Action` or `NotAction`.
pub(crate) fn action(text: &str) -> Result<(), Malformed> {
    if text == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = text.split_once(':') else { return Err(Malformed::new(UNPREFACED)) };
    if name.contains(':') {
        return Err(Malformed::new("Actions/Condition can contain only one colon."));
    }
    if text == "*:*" {
        return Ok(());
    }
    if vendor.contains(['*', '?']) {
        return Err(Malformed::new("Action vendors (e.g., aws, ec2, etc.) must not contain wildcards."));
    }
    if vendor.is_empty() || !vendor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        return Err(Malformed::new(format!("Vendor {vendor} is not valid")));
    }
    Ok(())
}

/// An element of a trust policy's `Action`.
pub(crate) fn trust_action(text: &str) -> Result<(), Malformed> {
    action(text)?;
    match text.split_once(':') {
        Some((vendor, _)) if vendor.eq_ignore_ascii_case("sts") => Ok(()),
        _ => Err(Malformed::new("AssumeRole policy may only specify STS AssumeRole actions.")),
    }
}

/// An element of `Resource` or `NotResource`. The services that keep resource policies judge their
/// own; here only what IAM and Organizations refuse.
pub(crate) fn resource(text: &str, kind: PolicyKind, variables: bool) -> Result<(), Malformed> {
    if text == "*" || matches!(kind, PolicyKind::Resource | PolicyKind::Endpoint | PolicyKind::Trust) {
        return Ok(());
    }
    let parts = crate::glob::split_arn(text, variables);
    let [first, rest @ ..] = parts.as_slice() else { return Ok(()) };
    if rest.is_empty() || (*first != "arn" && *first != "*") {
        return Err(Malformed::new(format!("Resource {text} must be in ARN format or \"*\".")));
    }
    if !PARTITIONS.contains(&rest[0]) {
        let part = |at: usize| rest.get(at).copied().filter(|part| !part.is_empty() || rest.len() > 2).unwrap_or("*");
        let (partition, a, b, c, d) = (rest[0], part(1), part(2), part(3), part(4));
        return Err(Malformed::new(format!("Partition \"{partition}\" is not valid for resource \"arn:{partition}:{a}:{b}:{c}:{d}\".")));
    }
    let vendor = rest.get(1).copied().unwrap_or("*");
    if vendor.contains(['*', '?']) {
        return Err(Malformed::new("Resource vendor must be fully qualified and cannot contain regexes."));
    }
    if vendor.is_empty() {
        return Err(Malformed::new(LEGACY));
    }
    if parts.len() < 6 {
        return short(text, kind);
    }
    // What AWS's own account publishes (role templates) has types of its own.
    if rest[3] == "aws" { Ok(()) } else { regional(text, vendor, rest[2], rest[4]) }
}

/// Fewer than six segments: identity policies pad, a service control policy wants a `*` at the end,
/// a resource control policy refuses.
fn short(text: &str, kind: PolicyKind) -> Result<(), Malformed> {
    match kind {
        PolicyKind::ResourceControl => Err(Malformed::new(CONTROL)),
        PolicyKind::ServiceControl if !text.ends_with('*') => Err(Malformed::new(CONTROL)),
        _ if text.contains("::") => Err(Malformed::new(LEGACY)),
        _ => Ok(()),
    }
}

/// IAM and S3 name no region; IAM knows its resource types, so a wildcard cannot stand for one.
fn regional(text: &str, vendor: &str, region: &str, resource: &str) -> Result<(), Malformed> {
    match vendor {
        "iam" if !region.is_empty() => Err(Malformed::new(format!("IAM resource {text} cannot contain region information."))),
        "s3" if !region.is_empty() && !REGIONAL_S3.iter().any(|kind| resource.starts_with(kind)) => {
            Err(Malformed::new(format!("Resource {text} can not contain region information.")))
        }
        "iam" if !ALSO_IAM.contains(&resource) && !IAM_PATHS.iter().any(|path| resource.starts_with(path)) => {
            Err(Malformed::new(format!("IAM resource path must either be \"*\" or start with {}.", IAM_PATHS.join(", "))))
        }
        _ => Ok(()),
    }
}
