//! Roles: Create, Get, Update, Delete, List, and their trust policies.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Tag};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Policies, Role, kind},
};
use tenantry_store::{Batch, CommitError, Expect};

use super::{
    entity::{self, Entity, EntityInput, ListInput, arn_of, row_id},
    error, last_used, policies,
    render::{self, Detail},
    tags, trust,
};
use tenantry_kernel::operation;

/// Seconds of a session where MaxSessionDuration is not given.
pub(crate) const DEFAULT_SESSION: u32 = 3600;
/// Paths under which only services make roles.
pub(crate) const LINKED_PATH: &str = "/aws-service-role/";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    path: Option<String>,
    role_name: String,
    assume_role_policy_document: String,
    #[serde(default)]
    description: String,
    max_session_duration: Option<u32>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<Role>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.role_name);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagRole", arn.clone()).request_tags(&input.tags));
    let check = Check::on(action, arn).request_tags(&input.tags);
    Ok(Checks::from(check.key_if("iam:PermissionsBoundary", input.permissions_boundary.as_deref())).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateRole>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let scope = permit.global();
    let path = input.path.unwrap_or_else(|| "/".to_owned());
    if path.starts_with(LINKED_PATH) {
        return Err(error::validation("The path /aws-service-role/ is reserved: use CreateServiceLinkedRole."));
    }
    if entity::find::<Role>(cx, &scope, &input.role_name).await?.is_some() {
        return Err(Role::taken(&input.role_name));
    }
    let trusted_ids = trust::accept(cx, &scope, &input.assume_role_policy_document).await?;
    let mut batch = Batch::new();
    if let Some(boundary) = &input.permissions_boundary {
        policies::attachable(cx, &scope, boundary).await?.hold(&mut batch);
    }
    let role = Role {
        id: Ids::unique("AROA"),
        arn: arn_of::<Role>(permit.account(), &path, &input.role_name),
        name: input.role_name,
        path,
        created: cx.now(),
        description: input.description,
        trust: input.assume_role_policy_document,
        trusted_ids,
        max_session: input.max_session_duration.unwrap_or(DEFAULT_SESSION),
        policies: Policies::default(),
        boundary: input.permissions_boundary,
        tags: input.tags,
        last_used: None,
        linked_service: None,
    };
    let role = entity::create(cx, &scope, role, batch).await?;
    let mut shown = render::role(cx, &role, Detail::Full).await?;
    if let Some(members) = shown.as_object_mut() {
        // CreateRole does not answer these two ("CreateRole", IAM API Reference, example).
        members.remove("RoleLastUsed");
        if input.max_session_duration.is_none() {
            members.remove("MaxSessionDuration");
        }
    }
    Ok(json!({ "Role": shown }).into())
}

async fn get(cx: &Cx, permit: Permit<GetRole>, input: EntityInput) -> Result<Reply> {
    let role: Role = entity::get(cx, &permit.global(), &input.entity).await?;
    Ok(json!({ "Role": render::role(cx, &role, Detail::Full).await? }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    role_name: String,
    description: Option<String>,
    max_session_duration: Option<u32>,
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    Ok(entity::on_holder::<Role>(cx, action, &input.role_name).await?.into())
}

async fn change(cx: &Cx, scope: &tenantry_core::Scope, input: &UpdateInput) -> Result<Role> {
    entity::change::<Role, _>(cx, scope, &input.role_name, |role, _| {
        if role.linked_service.is_none() || input.max_session_duration.is_some() {
            role.modifiable()?;
        }
        if let Some(text) = &input.description {
            role.description.clone_from(text);
        }
        role.max_session = input.max_session_duration.unwrap_or(role.max_session);
        Ok(role.clone())
    })
    .await
}

async fn update(cx: &Cx, permit: Permit<UpdateRole>, input: UpdateInput) -> Result<Reply> {
    change(cx, &permit.global(), &input).await?;
    Ok(Reply::empty())
}

async fn update_description(cx: &Cx, permit: Permit<UpdateRoleDescription>, input: UpdateInput) -> Result<Reply> {
    let role = change(cx, &permit.global(), &input).await?;
    Ok(json!({ "Role": render::role(cx, &role, Detail::Listed).await? }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TrustInput {
    role_name: String,
    policy_document: String,
}

async fn resolve_trust(cx: &Cx, action: &'static str, input: &TrustInput) -> Result<Checks> {
    Ok(entity::on_holder::<Role>(cx, action, &input.role_name).await?.into())
}

async fn update_trust(cx: &Cx, permit: Permit<UpdateAssumeRolePolicy>, input: TrustInput) -> Result<Reply> {
    let scope = permit.global();
    entity::get::<Role>(cx, &scope, &input.role_name).await?;
    let ids = trust::accept(cx, &scope, &input.policy_document).await?;
    entity::change::<Role, _>(cx, &scope, &input.role_name, |role, _| {
        role.modifiable()?;
        role.trust.clone_from(&input.policy_document);
        role.trusted_ids.clone_from(&ids);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

/// Removes a role that nothing hangs on. `linked`: by the service's own way.
pub(crate) async fn remove(cx: &Cx, scope: &tenantry_core::Scope, name: &str, linked: bool) -> Result<()> {
    for _ in 0..entity::ATTEMPTS {
        let (row, role) = entity::find::<Role>(cx, scope, name).await?.ok_or_else(|| Role::missing(name))?;
        if !linked {
            role.modifiable()?;
            if !role.policies.attached.is_empty() {
                return Err(error::delete_conflict("Cannot delete entity, must detach all policies first."));
            }
            if !role.policies.inline.is_empty() {
                return Err(error::delete_conflict("Cannot delete entity, must delete policies first."));
            }
        }
        let mut batch = Batch::new();
        batch.delete(kind::ROLE, scope, row.id.clone(), Expect::Version(row.version));
        batch.require_none(kind::PROFILE, scope, row.id);
        batch.set_tags(role.arn.as_str(), Vec::new());
        last_used::forget_principal(cx, &mut batch, scope, &role.id).await?;
        match cx.commit(batch).await {
            Ok(()) => return Ok(()),
            Err(CommitError::NotEmpty { .. }) => {
                return Err(error::delete_conflict("Cannot delete entity, must remove roles from instance profile first."));
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

async fn delete(cx: &Cx, permit: Permit<DeleteRole>, input: EntityInput) -> Result<Reply> {
    remove(cx, &permit.global(), &input.entity, false).await?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, permit: Permit<ListRoles>, input: ListInput) -> Result<Reply> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let mut items = Vec::new();
    for role in entity::all::<Role>(cx, &permit.global()).await?.iter().filter(|role| role.path.starts_with(prefix)) {
        items.push((row_id(&role.name), render::role(cx, role, Detail::Listed).await?));
    }
    entity::answer("Roles", items, input.marker.as_deref(), input.max_items)
}

operation!("iam", CreateRole, ["role"] + ["iam:PermissionsBoundary", "aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagRole"], CreateInput, resolve_create, create);
operation!("iam", GetRole, ["role"] + ["iam:PermissionsBoundary"], EntityInput, entity::resolve_held::<Role>, get);
operation!("iam", UpdateRole, ["role"] + ["iam:PermissionsBoundary"], UpdateInput, resolve_update, update);
operation!("iam", UpdateRoleDescription, ["role"] + ["iam:PermissionsBoundary"], UpdateInput, resolve_update, update_description);
operation!("iam", UpdateAssumeRolePolicy, ["role"] + ["iam:PermissionsBoundary"], TrustInput, resolve_trust, update_trust);
operation!("iam", DeleteRole, ["role"] + ["iam:PermissionsBoundary"], EntityInput, entity::resolve_held::<Role>, delete);
operation!("iam", ListRoles, ["*"], ListInput, entity::resolve_list::<Role>, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateRole>(),
    OperationRow::of::<GetRole>(),
    OperationRow::of::<UpdateRole>(),
    OperationRow::of::<UpdateRoleDescription>(),
    OperationRow::of::<UpdateAssumeRolePolicy>(),
    OperationRow::of::<DeleteRole>(),
    OperationRow::of::<ListRoles>(),
];
