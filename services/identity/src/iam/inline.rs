//! Inline policies of users, groups and roles: Put, Get, Delete, List.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::Result;
use tenantry_kernel::{
    Checks, Cx, Operation, OperationRow, Permit, Reply,
    directory::{Group, Role, User},
};

use super::{
    document,
    entity::{self, EntityInput, Holder},
    error,
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InlineInput {
    #[serde(alias = "UserName", alias = "GroupName", alias = "RoleName")]
    entity: String,
    policy_name: String,
    #[serde(default)]
    policy_document: String,
}

async fn resolve<E: Holder>(cx: &Cx, action: &'static str, input: &InlineInput) -> Result<Checks> {
    Ok(entity::on::<E>(cx, action, &input.entity).await?.into())
}

async fn resolve_change<E: Holder>(cx: &Cx, action: &'static str, input: &InlineInput) -> Result<Checks> {
    Ok(entity::on_holder::<E>(cx, action, &input.entity).await?.into())
}

async fn put<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: InlineInput) -> Result<Reply> {
    document::identity(&input.policy_document)?;
    entity::change::<E, _>(cx, &permit.global(), &input.entity, |it, _| {
        it.modifiable()?;
        let inline = &mut it.policies_mut().inline;
        inline.insert(input.policy_name.clone(), input.policy_document.clone());
        let size: usize = inline.values().map(|text| document::size(text)).sum();
        if size > E::INLINE {
            return Err(error::limit_exceeded(format!(
                "Maximum policy size of {} bytes exceeded for {} {}",
                E::INLINE,
                E::NOUN,
                it.name()
            )));
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

fn missing<E: Holder>(policy: &str) -> tenantry_core::AwsError {
    error::no_such_entity(format!("The {} policy with name {policy} cannot be found.", E::NOUN))
}

async fn get<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: InlineInput, member: &str) -> Result<Reply> {
    let entity: E = entity::get(cx, &permit.global(), &input.entity).await?;
    let text = entity.policies().inline.get(&input.policy_name).ok_or_else(|| missing::<E>(&input.policy_name))?;
    Ok(json!({ member: entity.name(), "PolicyName": input.policy_name, "PolicyDocument": document::encoded(text) }).into())
}

async fn delete<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: InlineInput) -> Result<Reply> {
    entity::change::<E, _>(cx, &permit.global(), &input.entity, |it, _| {
        it.modifiable()?;
        it.policies_mut().inline.remove(&input.policy_name).map(drop).ok_or_else(|| missing::<E>(&input.policy_name))
    })
    .await?;
    Ok(Reply::empty())
}

async fn list<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: EntityInput) -> Result<Reply> {
    let entity: E = entity::get(cx, &permit.global(), &input.entity).await?;
    let items = entity.policies().inline.keys().map(|name| (name.clone(), json!(name))).collect();
    entity::answer("PolicyNames", items, input.marker.as_deref(), input.max_items)
}

operation!("iam", PutUserPolicy, ["user"] + ["iam:PermissionsBoundary"], InlineInput, resolve_change::<User>, put::<User, _>);
operation!("iam", GetUserPolicy, ["user"], InlineInput, resolve::<User>, |cx, permit, input| get::<User, _>(cx, permit, input, "UserName"));
operation!("iam", DeleteUserPolicy, ["user"] + ["iam:PermissionsBoundary"], InlineInput, resolve_change::<User>, delete::<User, _>);
operation!("iam", ListUserPolicies, ["user"], EntityInput, entity::resolve::<User>, list::<User, _>);
operation!("iam", PutGroupPolicy, ["group"], InlineInput, resolve_change::<Group>, put::<Group, _>);
operation!("iam", GetGroupPolicy, ["group"], InlineInput, resolve::<Group>, |cx, permit, input| get::<Group, _>(
    cx,
    permit,
    input,
    "GroupName"
));
operation!("iam", DeleteGroupPolicy, ["group"], InlineInput, resolve_change::<Group>, delete::<Group, _>);
operation!("iam", ListGroupPolicies, ["group"], EntityInput, entity::resolve::<Group>, list::<Group, _>);
operation!("iam", PutRolePolicy, ["role"] + ["iam:PermissionsBoundary"], InlineInput, resolve_change::<Role>, put::<Role, _>);
operation!("iam", GetRolePolicy, ["role"], InlineInput, resolve::<Role>, |cx, permit, input| get::<Role, _>(cx, permit, input, "RoleName"));
operation!("iam", DeleteRolePolicy, ["role"] + ["iam:PermissionsBoundary"], InlineInput, resolve_change::<Role>, delete::<Role, _>);
operation!("iam", ListRolePolicies, ["role"], EntityInput, entity::resolve::<Role>, list::<Role, _>);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<PutUserPolicy>(),
    OperationRow::of::<GetUserPolicy>(),
    OperationRow::of::<DeleteUserPolicy>(),
    OperationRow::of::<ListUserPolicies>(),
    OperationRow::of::<PutGroupPolicy>(),
    OperationRow::of::<GetGroupPolicy>(),
    OperationRow::of::<DeleteGroupPolicy>(),
    OperationRow::of::<ListGroupPolicies>(),
    OperationRow::of::<PutRolePolicy>(),
    OperationRow::of::<GetRolePolicy>(),
    OperationRow::of::<DeleteRolePolicy>(),
    OperationRow::of::<ListRolePolicies>(),
];
