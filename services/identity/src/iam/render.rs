//! Documents of the directory as members of IAM's answers.

use serde_json::{Value, json};
use tenantry_core::{Result, Scope, Tag};
use tenantry_kernel::{
    Cx,
    directory::{Group, ManagedPolicy, PolicyVersion, Role, User},
};

use super::{document::encoded, last_used, profiles::Profile, trust};

/// How much of a user or role is shown: lists leave out boundary, tags and last use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Listed,
    Full,
}

fn boundary(value: &mut Value, boundary: Option<&String>) {
    if let Some(arn) = boundary {
        value["PermissionsBoundary"] = json!({ "PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn });
    }
}

fn tags(value: &mut Value, tags: &[Tag]) {
    if !tags.is_empty() {
        value["Tags"] = json!(tags);
    }
}

pub(crate) fn user(user: &User, detail: Detail) -> Value {
    let mut value = json!({
        "Path": user.path, "UserName": user.name, "UserId": user.id, "Arn": user.arn, "CreateDate": user.created,
    });
    if detail == Detail::Full {
        boundary(&mut value, user.boundary.as_ref());
        tags(&mut value, &user.tags);
    }
    value
}

pub(crate) fn group(group: &Group) -> Value {
    json!({ "Path": group.path, "GroupName": group.name, "GroupId": group.id, "Arn": group.arn, "CreateDate": group.created })
}

/// The trust policy shows the unique ids of principals that are gone, so it has to be looked up.
pub(crate) async fn role(cx: &Cx, role: &Role, detail: Detail) -> Result<Value> {
    let mut value = json!({
        "Path": role.path, "RoleName": role.name, "RoleId": role.id, "Arn": role.arn, "CreateDate": role.created,
        "AssumeRolePolicyDocument": encoded(&trust::shown(cx, role).await?),
        "MaxSessionDuration": role.max_session,
    });
    if !role.description.is_empty() {
        value["Description"] = json!(role.description);
    }
    if detail == Detail::Full {
        boundary(&mut value, role.boundary.as_ref());
        tags(&mut value, &role.tags);
        value["RoleLastUsed"] = last_used::role(cx, &Scope::global(role.arn.account()), &role.id).await?;
    }
    Ok(value)
}

pub(crate) async fn profile(cx: &Cx, profile: &Profile, of: Option<&Role>) -> Result<Value> {
    let roles = match of {
        Some(it) => vec![role(cx, it, Detail::Listed).await?],
        None => Vec::new(),
    };
    let mut value = json!({
        "Path": profile.path, "InstanceProfileName": profile.name, "InstanceProfileId": profile.id, "Arn": profile.arn,
        "CreateDate": profile.created, "Roles": roles,
    });
    tags(&mut value, &profile.tags);
    Ok(value)
}

/// `attached`, `boundaries`: how many identities use the policy.
pub(crate) fn policy(policy: &ManagedPolicy, attached: u32, boundaries: u32, detail: Detail) -> Value {
    let default = policy.versions.iter().find(|v| v.default).map_or("", |v| v.id.as_str());
    let mut value = json!({
        "PolicyName": policy.name, "PolicyId": policy.id, "Arn": policy.arn, "Path": policy.path,
        "DefaultVersionId": default, "AttachmentCount": attached, "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": true, "CreateDate": policy.created, "UpdateDate": policy.updated,
    });
    if detail == Detail::Full {
        if !policy.description.is_empty() {
            value["Description"] = json!(policy.description);
        }
        tags(&mut value, &policy.tags);
    }
    value
}

pub(crate) fn version(version: &PolicyVersion, with_document: bool) -> Value {
    let mut value = json!({ "VersionId": version.id, "IsDefaultVersion": version.default, "CreateDate": version.created });
    if with_document {
        value["Document"] = json!(encoded(&version.document));
    }
    value
}
