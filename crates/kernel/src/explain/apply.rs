//! Which calls of the platform's own API make a change.
//!
//! Where a call needs what an earlier one answered, the input holds a reference in its place:
//! `{"$answer": [0, "/Policy/Arn"]}` is that JSON Pointer into the answer of the change's first call.

use serde::Serialize;
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn};
use tenantry_policy::{Attachment, Cause, Change, ChangeKind};

use crate::{access::Check, access::ResourcePolicy, authorize::Judged, cx::Caller};

/// A call.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    /// The account whose administrator makes it.
    account: AccountId,
    service: &'static str,
    operation: &'static str,
    input: Value,
}

/// The calls that make a change; none where it is not made by a call (another request), or where this instance has
/// no operation for it.
pub(super) fn calls(change: &Change, caller: &Caller, check: &Check, judged: &Judged) -> Vec<Call> {
    match change.kind {
        ChangeKind::Request | ChangeKind::Circumstance => Vec::new(),
        ChangeKind::Session => session(change, caller).into_iter().collect(),
        ChangeKind::TagPrincipal => tag_principal(change, caller).into_iter().collect(),
        ChangeKind::TagResource => tag_resource(change, check, judged).into_iter().collect(),
        _ => match change.layer {
            Some(Cause::Identity | Cause::Boundary) => identity(change, caller),
            Some(Cause::Session) => session(change, caller).into_iter().collect(),
            Some(Cause::ServiceControl | Cause::ResourceControl) => control(change, caller, judged),
            Some(Cause::Resource | Cause::Trust) => resource(change, check, judged).into_iter().collect(),
            _ => Vec::new(),
        },
    }
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The tag's key and value that a change sets.
fn tag(change: &Change) -> Option<(&str, &str)> {
    let (_, key) = change.key.as_deref()?.split_once('/')?;
    Some((key, change.after.as_ref()?.first()?))
}

/// The role of a session, or the user: what it is called in names of operations and members, and its name.
fn entity(caller: &Caller) -> Option<(&'static str, &str)> {
    let principal = &caller.principal;
    let role = principal.role_arn.as_deref().map(|arn| ("Role", last(arn)));
    role.or_else(|| principal.user_arn.as_deref().map(|arn| ("User", last(arn))))
}

fn session(change: &Change, caller: &Caller) -> Option<Call> {
    let principal = &caller.principal;
    let role = principal.role_arn.as_deref()?;
    let mut input = json!({ "RoleArn": role, "RoleSessionName": principal.session_name });
    match (&change.document, tag(change)) {
        (Some(document), _) => input["Policy"] = json!(document),
        (None, Some((key, value))) => input["Tags"] = json!([{ "Key": key, "Value": value }]),
        (None, None) => input["SourceIdentity"] = json!(change.after.as_ref()?.first()?),
    }
    Some(Call { account: caller.account.clone(), service: "sts", operation: "AssumeRole", input })
}

fn tag_principal(change: &Change, caller: &Caller) -> Option<Call> {
    let ((key, value), (_, name)) = (tag(change)?, entity(caller)?);
    let input = json!({ "UserName": name, "Tags": [{ "Key": key, "Value": value }] });
    Some(Call { account: caller.account.clone(), service: "iam", operation: "TagUser", input })
}

fn tag_resource(change: &Change, check: &Check, judged: &Judged) -> Option<Call> {
    let ((key, value), arn) = (tag(change)?, check.resource.as_ref()?);
    let pair = json!([{ "Key": key, "Value": value }]);
    let name = last(arn.resource());
    let (service, operation, input) = match (arn.service(), arn.resource_type_and_id().0) {
        ("sagemaker", _) => ("sagemaker", "AddTags", json!({ "ResourceArn": arn, "Tags": pair })),
        ("iam", "role") => ("iam", "TagRole", json!({ "RoleName": name, "Tags": pair })),
        ("iam", "user") => ("iam", "TagUser", json!({ "UserName": name, "Tags": pair })),
        ("iam", "policy") => ("iam", "TagPolicy", json!({ "PolicyArn": arn, "Tags": pair })),
        ("logs", _) => ("logs", "TagResource", json!({ "resourceArn": arn, "tags": { key: value } })),
        ("s3", _) => {
            let mut set: Vec<Value> = judged.resource_tags.iter().filter(|tag| tag.key != key).map(|tag| json!(tag)).collect();
            set.push(pair[0].clone());
            match arn.resource().split_once('/') {
                None => ("s3", "PutBucketTagging", json!({ "Bucket": arn.resource(), "Tagging": { "TagSet": set } })),
                Some((bucket, key)) => ("s3", "PutObjectTagging", json!({ "Bucket": bucket, "Key": key, "Tagging": { "TagSet": set } })),
            }
        }
        _ => return None,
    };
    Some(Call { account: judged.resource_account.clone(), service, operation, input })
}

/// `Allow` and the action's name: a policy's name.
fn new_name(action: &str) -> String {
    format!("Allow{}", action.split_once(':').map_or(action, |(_, name)| name))
}

fn identity(change: &Change, caller: &Caller) -> Vec<Call> {
    let Some((kind, name)) = entity(caller) else { return Vec::new() };
    let call = |operation: &'static str, input: Value| Call { account: caller.account.clone(), service: "iam", operation, input };
    let member = format!("{kind}Name");
    let role = kind == "Role";
    let boundary = change.layer == Some(Cause::Boundary);
    let Some(policy) = change.policy.as_deref() else {
        let Some(document) = &change.document else { return Vec::new() };
        if boundary {
            let made = call("CreatePolicy", json!({ "PolicyName": format!("{name}-boundary"), "PolicyDocument": document }));
            let put = if role { "PutRolePermissionsBoundary" } else { "PutUserPermissionsBoundary" };
            return vec![made, call(put, json!({ member: name, "PermissionsBoundary": { "$answer": [0, "/Policy/Arn"] } }))];
        }
        let put = if role { "PutRolePolicy" } else { "PutUserPolicy" };
        let named =
            change.text.split(" allows ").nth(1).and_then(|rest| rest.split(' ').next()).map_or_else(|| "Allow".to_owned(), new_name);
        return vec![call(put, json!({ member: name, "PolicyName": named, "PolicyDocument": document }))];
    };
    let group = change.attachment == Some(Attachment::Group);
    if policy.starts_with("arn:") {
        return match &change.document {
            Some(document) => {
                vec![call("CreatePolicyVersion", json!({ "PolicyArn": policy, "PolicyDocument": document, "SetAsDefault": true }))]
            }
            None if boundary => {
                let operation = if role { "DeleteRolePermissionsBoundary" } else { "DeleteUserPermissionsBoundary" };
                vec![call(operation, json!({ member: name }))]
            }
            None if group => Vec::new(),
            None => {
                let operation = if role { "DetachRolePolicy" } else { "DetachUserPolicy" };
                vec![call(operation, json!({ member: name, "PolicyArn": policy }))]
            }
        };
    }
    let Some((owner, inline)) = policy.split_once('/') else { return Vec::new() };
    let (put, delete, member) = match (group, role) {
        (true, _) => ("PutGroupPolicy", "DeleteGroupPolicy", "GroupName"),
        (false, true) => ("PutRolePolicy", "DeleteRolePolicy", "RoleName"),
        (false, false) => ("PutUserPolicy", "DeleteUserPolicy", "UserName"),
    };
    vec![match &change.document {
        Some(document) => call(put, json!({ member: owner, "PolicyName": inline, "PolicyDocument": document })),
        None => call(delete, json!({ member: owner, "PolicyName": inline })),
    }]
}

fn control(change: &Change, caller: &Caller, judged: &Judged) -> Vec<Call> {
    let of_service = change.layer == Some(Cause::ServiceControl);
    let (org, account) = if of_service { (&judged.caller_org, &caller.account) } else { (&judged.resource_org, &judged.resource_account) };
    let call = |operation: &'static str, input: Value| Call { account: org.management.clone(), service: "organizations", operation, input };
    // The path is the organization, the root, the units; the last level is the account's own.
    let level = change.level.unwrap_or_default();
    let target = org.path.trim_end_matches('/').split('/').nth(level + 1).unwrap_or(account.as_str());
    match (change.policy.as_deref(), &change.document) {
        (Some(id), Some(document)) => vec![call("UpdatePolicy", json!({ "PolicyId": id, "Content": document }))],
        (Some(id), None) => vec![call("DetachPolicy", json!({ "PolicyId": id, "TargetId": target }))],
        (None, Some(document)) => {
            let of_type = if of_service { "SERVICE_CONTROL_POLICY" } else { "RESOURCE_CONTROL_POLICY" };
            let name = format!("allow-{}-{target}", &crate::clock::Ids::uuid()[..8]);
            let made = json!({ "Name": name, "Description": change.text, "Type": of_type, "Content": document });
            let attach = json!({ "PolicyId": { "$answer": [0, "/Policy/PolicySummary/Id"] }, "TargetId": target });
            vec![call("CreatePolicy", made), call("AttachPolicy", attach)]
        }
        (None, None) => Vec::new(),
    }
}

fn resource(change: &Change, check: &Check, judged: &Judged) -> Option<Call> {
    let arn: &Arn = match &check.policy {
        ResourcePolicy::Stored(arn) => arn,
        _ => check.resource.as_ref()?,
    };
    let document = change.document.as_deref();
    let (service, operation, input) = match (arn.service(), arn.resource_type_and_id().0, document) {
        ("s3", _, Some(document)) => ("s3", "PutBucketPolicy", json!({ "Bucket": arn.resource(), "Policy": document })),
        ("s3", _, None) => ("s3", "DeleteBucketPolicy", json!({ "Bucket": arn.resource() })),
        ("iam", "role", Some(document)) => {
            ("iam", "UpdateAssumeRolePolicy", json!({ "RoleName": last(arn.resource()), "PolicyDocument": document }))
        }
        ("sagemaker", "model-package-group", Some(document)) => (
            "sagemaker",
            "PutModelPackageGroupPolicy",
            json!({ "ModelPackageGroupName": last(arn.resource()), "ResourcePolicy": document }),
        ),
        ("sagemaker", "model-package-group", None) => {
            ("sagemaker", "DeleteModelPackageGroupPolicy", json!({ "ModelPackageGroupName": last(arn.resource()) }))
        }
        _ => return None,
    };
    Some(Call { account: judged.resource_account.clone(), service, operation, input })
}
