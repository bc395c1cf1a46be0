//! Instance profiles: Create, Get, Delete, List, and the one role that each may hold.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::{Arn, Result, Scope, Tag, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Role, kind},
};
use tenantry_store::{Batch, Expect, List};

use super::{
    entity::{self, EntityInput, ListInput, arn_of, row_id},
    error, render, tags,
};
use tenantry_kernel::operation;

/// An instance profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// `AIPA…`.
    pub id: String,
    pub name: String,
    pub path: String,
    pub arn: Arn,
    pub created: Timestamp,
    /// The row id of its role.
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    instance_profile_name: String,
    path: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<Profile>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.instance_profile_name);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagInstanceProfile", arn.clone()).request_tags(&input.tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateInstanceProfile>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let path = input.path.unwrap_or_else(|| "/".to_owned());
    let profile = Profile {
        id: Ids::unique("AIPA"),
        arn: arn_of::<Profile>(permit.account(), &path, &input.instance_profile_name),
        name: input.instance_profile_name,
        path,
        created: cx.now(),
        role: None,
        tags: input.tags,
    };
    let profile = entity::create(cx, &permit.global(), profile, Batch::new()).await?;
    Ok(json!({ "InstanceProfile": render::profile(cx, &profile, None).await? }).into())
}

/// A profile as it is shown, with its role.
pub(crate) async fn shown(cx: &Cx, scope: &Scope, profile: &Profile) -> Result<serde_json::Value> {
    let role: Option<Role> = match &profile.role {
        Some(name) => Some(entity::get(cx, scope, name).await?),
        None => None,
    };
    render::profile(cx, profile, role.as_ref()).await
}

async fn get(cx: &Cx, permit: Permit<GetInstanceProfile>, input: EntityInput) -> Result<Reply> {
    let profile: Profile = entity::get(cx, &permit.global(), &input.entity).await?;
    Ok(json!({ "InstanceProfile": shown(cx, &permit.global(), &profile).await? }).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteInstanceProfile>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    let found = entity::find::<Profile>(cx, &scope, &input.entity).await?;
    let (row, profile) = found.ok_or_else(|| <Profile as entity::Entity>::missing(&input.entity))?;
    if profile.role.is_some() {
        return Err(error::delete_conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    let mut batch = Batch::new();
    batch.delete(kind::PROFILE, &scope, row.id, Expect::Version(row.version));
    batch.set_tags(profile.arn.as_str(), Vec::new());
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, permit: Permit<ListInstanceProfiles>, input: ListInput) -> Result<Reply> {
    let (scope, prefix) = (permit.global(), input.path_prefix.as_deref().unwrap_or("/"));
    let mut items = Vec::new();
    for profile in entity::all::<Profile>(cx, &scope).await?.iter().filter(|profile| profile.path.starts_with(prefix)) {
        items.push((row_id(&profile.name), shown(cx, &scope, profile).await?));
    }
    entity::answer("InstanceProfiles", items, input.marker.as_deref(), input.max_items)
}

/// The profiles that hold a role.
pub(crate) async fn of_role(cx: &Cx, scope: &Scope, role: &Role) -> Result<Vec<Profile>> {
    let id = row_id(&role.name);
    let rows = cx.kernel.store().list(&List::of(kind::PROFILE, scope).parent(&id)).await?;
    rows.iter().map(|row| Ok(row.body()?)).collect()
}

async fn list_for_role(cx: &Cx, permit: Permit<ListInstanceProfilesForRole>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    let role: Role = entity::get(cx, &scope, &input.entity).await?;
    let mut items = Vec::new();
    for profile in of_role(cx, &scope, &role).await? {
        items.push((row_id(&profile.name), render::profile(cx, &profile, Some(&role)).await?));
    }
    entity::answer("InstanceProfiles", items, input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleInput {
    instance_profile_name: String,
    role_name: String,
}

async fn resolve_role(cx: &Cx, action: &'static str, input: &RoleInput) -> Result<Checks> {
    Ok(entity::on::<Profile>(cx, action, &input.instance_profile_name).await?.into())
}

/// The profile hands the role to EC2, so the caller must be allowed to pass it.
async fn resolve_add(cx: &Cx, action: &'static str, input: &RoleInput) -> Result<Checks> {
    let role = entity::on::<Role>(cx, "iam:PassRole", &input.role_name).await?.key("iam:PassedToService", "ec2.amazonaws.com");
    Ok(resolve_role(cx, action, input).await?.and(role))
}

async fn add_role(cx: &Cx, permit: Permit<AddRoleToInstanceProfile>, input: RoleInput) -> Result<Reply> {
    let scope = permit.global();
    let role: Role = entity::get(cx, &scope, &input.role_name).await?;
    entity::Entity::modifiable(&role)?;
    entity::change::<Profile, _>(cx, &scope, &input.instance_profile_name, |profile, batch| {
        if profile.role.is_some() {
            return Err(error::quota("RolesPerInstanceProfile", 1));
        }
        profile.role = Some(row_id(&role.name));
        batch.require(kind::ROLE, &scope, row_id(&role.name), Expect::Present);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

async fn remove_role(cx: &Cx, permit: Permit<RemoveRoleFromInstanceProfile>, input: RoleInput) -> Result<Reply> {
    let scope = permit.global();
    entity::change::<Profile, _>(cx, &scope, &input.instance_profile_name, |profile, _| {
        if profile.role.as_deref() != Some(row_id(&input.role_name).as_str()) {
            return Err(error::not_found("role", &input.role_name));
        }
        profile.role = None;
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

operation!("iam", CreateInstanceProfile, ["instance-profile"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagInstanceProfile"], CreateInput, resolve_create, create);
operation!("iam", GetInstanceProfile, ["instance-profile"], EntityInput, entity::resolve::<Profile>, get);
operation!("iam", DeleteInstanceProfile, ["instance-profile"], EntityInput, entity::resolve::<Profile>, delete);
operation!("iam", ListInstanceProfiles, ["*"], ListInput, entity::resolve_list::<Profile>, list);
operation!("iam", ListInstanceProfilesForRole, ["role"], EntityInput, entity::resolve::<Role>, list_for_role);
operation!("iam", AddRoleToInstanceProfile, ["instance-profile"] + [] and ["iam:PassRole"], RoleInput, resolve_add, add_role);
operation!("iam", RemoveRoleFromInstanceProfile, ["instance-profile"], RoleInput, resolve_role, remove_role);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateInstanceProfile>(),
    OperationRow::of::<GetInstanceProfile>(),
    OperationRow::of::<DeleteInstanceProfile>(),
    OperationRow::of::<ListInstanceProfiles>(),
    OperationRow::of::<ListInstanceProfilesForRole>(),
    OperationRow::of::<AddRoleToInstanceProfile>(),
    OperationRow::of::<RemoveRoleFromInstanceProfile>(),
];
