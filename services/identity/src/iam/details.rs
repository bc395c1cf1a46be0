//! GetAccountAuthorizationDetails: who and what there is in an account, with all documents.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{
    Check, Checks, Cx, OperationRow, Permit, Reply,
    directory::{Group, ManagedPolicy, Policies, Role, User},
};

use super::{
    attached,
    document::encoded,
    entity, error,
    policies::{self, Usage},
    profiles, quota,
    render::{self, Detail},
};
use crate::managed;
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(default)]
    filter: Vec<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input {
    fn wants(&self, kind: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|wanted| wanted == kind)
    }
}

async fn resolve(_: &Cx, action: &'static str, _: &Input) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// Inline policies under `member`, and the attached ones.
fn with_policies(mut value: Value, member: &str, policies: &Policies) -> Value {
    let inline: Vec<Value> =
        policies.inline.iter().map(|(name, text)| json!({ "PolicyName": name, "PolicyDocument": encoded(text) })).collect();
    value[member] = json!(inline);
    value["AttachedManagedPolicies"] = policies.attached.iter().map(|arn| attached::shown(arn)).collect();
    value
}

async fn user(cx: &Cx, scope: &Scope, user: &User) -> Result<Value> {
    let mut groups = Vec::with_capacity(user.groups.len());
    for name in &user.groups {
        groups.push(entity::get::<Group>(cx, scope, name).await?.name);
    }
    let mut value = with_policies(render::user(user, Detail::Full), "UserPolicyList", &user.policies);
    value["GroupList"] = json!(groups);
    Ok(value)
}

async fn role(cx: &Cx, scope: &Scope, role: &Role) -> Result<Value> {
    let mut profiles = Vec::new();
    for profile in profiles::of_role(cx, scope, role).await? {
        profiles.push(render::profile(cx, &profile, Some(role)).await?);
    }
    let mut value = with_policies(render::role(cx, role, Detail::Full).await?, "RolePolicyList", &role.policies);
    if let Some(members) = value.as_object_mut() {
        // RoleDetail has neither.
        members.remove("Description");
        members.remove("MaxSessionDuration");
    }
    value["InstanceProfileList"] = json!(profiles);
    Ok(value)
}

fn policy(policy: &ManagedPolicy, usage: &Usage) -> Value {
    let (attached, boundaries) = usage.counts(policy.arn.as_str());
    let mut value = render::policy(policy, attached, boundaries, Detail::Full);
    if let Some(members) = value.as_object_mut() {
        members.remove("Tags");
    }
    value["PolicyVersionList"] = policy.versions.iter().map(|version| render::version(version, true)).collect();
    value
}

async fn details(cx: &Cx, permit: Permit<GetAccountAuthorizationDetails>, input: Input) -> Result<Reply> {
    let scope = permit.global();
    let mut found: Vec<(String, (&str, Value))> = Vec::new();
    if input.wants("User") {
        for it in entity::all::<User>(cx, &scope).await? {
            found.push((format!("1{}", it.name), ("UserDetailList", user(cx, &scope, &it).await?)));
        }
    }
    if input.wants("Group") {
        for it in entity::all::<Group>(cx, &scope).await? {
            found.push((format!("2{}", it.name), ("GroupDetailList", with_policies(render::group(&it), "GroupPolicyList", &it.policies))));
        }
    }
    if input.wants("Role") {
        for it in entity::all::<Role>(cx, &scope).await? {
            found.push((format!("3{}", it.name), ("RoleDetailList", role(cx, &scope, &it).await?)));
        }
    }
    let usage = Usage::of(cx, &scope).await?;
    if input.wants("LocalManagedPolicy") {
        for it in entity::all::<ManagedPolicy>(cx, &scope).await? {
            found.push((format!("4{}", it.name), ("Policies", policy(&it, &usage))));
        }
    }
    if input.wants("AWSManagedPolicy") {
        // Of AWS's policies only those that are in use.
        for it in policies::used(&usage).into_iter().filter_map(managed::find) {
            found.push((format!("5{}", attached::key(it.arn.as_str())), ("Policies", policy(&it.as_stored(), &usage))));
        }
    }
    let page =
        crate::page::page(found, input.marker.as_deref(), input.max_items.unwrap_or(quota::PAGE)).map_err(|_| error::bad_marker())?;
    let mut output =
        json!({ "UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": [], "IsTruncated": page.next.is_some() });
    for (member, value) in page.items {
        if let Some(list) = output[member].as_array_mut() {
            list.push(value);
        }
    }
    if let Some(next) = page.next {
        output["Marker"] = next.into();
    }
    Ok(output.into())
}

operation!("iam", GetAccountAuthorizationDetails, ["*"], Input, resolve, details);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<GetAccountAuthorizationDetails>()];
