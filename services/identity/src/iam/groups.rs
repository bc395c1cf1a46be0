//! Groups of users: Create, Get, Update, Delete, List, and who is in them.
//!
//! A user's document names its groups. Whoever adds a member also rewrites the group's row, so that a
//! DeleteGroup at the same time notices.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Group, Policies, User, kind},
};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    entity::{self, Entity, EntityInput, ListInput, arn_of, row_id},
    error, quota,
    render::{self, Detail},
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    path: Option<String>,
    group_name: String,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    Ok(Check::on(action, arn_of::<Group>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.group_name)).into())
}

async fn create(cx: &Cx, permit: Permit<CreateGroup>, input: CreateInput) -> Result<Reply> {
    let path = input.path.unwrap_or_else(|| "/".to_owned());
    let group = Group {
        id: Ids::unique("AGPA"),
        arn: arn_of::<Group>(permit.account(), &path, &input.group_name),
        name: input.group_name,
        path,
        created: cx.now(),
        policies: Policies::default(),
    };
    let group = entity::create(cx, &permit.global(), group, Batch::new()).await?;
    Ok(json!({ "Group": render::group(&group) }).into())
}

/// The rows and documents of a group's members.
async fn members(cx: &Cx, scope: &Scope, group: &str) -> Result<Vec<(Row, User)>> {
    let mut found = Vec::new();
    for row in cx.kernel.store().list(&tenantry_store::List::of(kind::USER, scope)).await? {
        let user: User = row.body()?;
        if user.groups.iter().any(|name| name == group) {
            found.push((row, user));
        }
    }
    Ok(found)
}

async fn get(cx: &Cx, permit: Permit<GetGroup>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    let group: Group = entity::get(cx, &scope, &input.entity).await?;
    let members = members(cx, &scope, &row_id(&group.name)).await?;
    let items = members.iter().map(|(row, user)| (row.id.clone(), render::user(user, Detail::Listed))).collect();
    let mut reply = entity::answer("Users", items, input.marker.as_deref(), input.max_items)?;
    reply.output["Group"] = render::group(&group);
    Ok(reply)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    group_name: String,
    new_path: Option<String>,
    new_group_name: Option<String>,
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    let check = entity::on::<Group>(cx, action, &input.group_name).await?;
    let found = entity::find::<Group>(cx, &cx.global(), &input.group_name).await?;
    let path = input.new_path.clone().or(found.map(|(_, group)| group.path)).unwrap_or_else(|| "/".to_owned());
    let target = arn_of::<Group>(&cx.caller.account, &path, input.new_group_name.as_ref().unwrap_or(&input.group_name));
    Ok(Checks::from(check).and(Check::on(action, target)))
}

async fn update(cx: &Cx, permit: Permit<UpdateGroup>, input: UpdateInput) -> Result<Reply> {
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let found = entity::find::<Group>(cx, &scope, &input.group_name).await?;
        let (row, mut group) = found.ok_or_else(|| Group::missing(&input.group_name))?;
        group.path = input.new_path.clone().unwrap_or(group.path);
        group.name = input.new_group_name.clone().unwrap_or(group.name);
        group.arn = arn_of::<Group>(permit.account(), &group.path, &group.name);
        let mut batch = Batch::new();
        let mut new = entity::row_of(&scope, &group, cx.now())?;
        new.created = row.created;
        if new.id == row.id {
            batch.put(new, Expect::Version(row.version));
        } else {
            if entity::find::<Group>(cx, &scope, &group.name).await?.is_some() {
                return Err(Group::taken(&group.name));
            }
            for (mut member, mut user) in members(cx, &scope, &row.id).await? {
                user.groups.iter_mut().filter(|name| **name == row.id).for_each(|name| new.id.clone_into(name));
                member.set_body(&user)?;
                batch.update(member);
            }
            batch.delete(kind::GROUP, &scope, row.id, Expect::Version(row.version));
            batch.put(new, Expect::Absent);
        }
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

async fn delete(cx: &Cx, permit: Permit<DeleteGroup>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let (row, group) = entity::find::<Group>(cx, &scope, &input.entity).await?.ok_or_else(|| Group::missing(&input.entity))?;
        if !members(cx, &scope, &row.id).await?.is_empty() {
            return Err(error::delete_conflict("Cannot delete entity, must remove users from group first."));
        }
        if !group.policies.attached.is_empty() {
            return Err(error::delete_conflict("Cannot delete entity, must detach all policies first."));
        }
        if !group.policies.inline.is_empty() {
            return Err(error::delete_conflict("Cannot delete entity, must delete policies first."));
        }
        let mut batch = Batch::new();
        batch.delete(kind::GROUP, &scope, row.id, Expect::Version(row.version));
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

async fn list(cx: &Cx, permit: Permit<ListGroups>, input: ListInput) -> Result<Reply> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let groups = entity::all::<Group>(cx, &permit.global()).await?;
    let items = groups.iter().filter(|group| group.path.starts_with(prefix)).map(|group| (row_id(&group.name), render::group(group)));
    entity::answer("Groups", items.collect(), input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MemberInput {
    group_name: String,
    user_name: String,
}

async fn resolve_member(cx: &Cx, action: &'static str, input: &MemberInput) -> Result<Checks> {
    Ok(entity::on::<Group>(cx, action, &input.group_name).await?.into())
}

async fn add_user(cx: &Cx, permit: Permit<AddUserToGroup>, input: MemberInput) -> Result<Reply> {
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let (row, _) = entity::find::<Group>(cx, &scope, &input.group_name).await?.ok_or_else(|| Group::missing(&input.group_name))?;
        let added = entity::change::<User, _>(cx, &scope, &input.user_name, |user, batch| {
            if user.groups.contains(&row.id) {
                return Ok(());
            }
            if user.groups.len() >= quota::GROUPS_PER_USER {
                return Err(error::quota("GroupsPerUser", quota::GROUPS_PER_USER));
            }
            user.groups.push(row.id.clone());
            batch.update(row.clone());
            Ok(())
        });
        match added.await {
            Err(error) if error == error::concurrent() => {}
            other => return other.map(|()| Reply::empty()),
        }
    }
    Err(error::concurrent())
}

async fn remove_user(cx: &Cx, permit: Permit<RemoveUserFromGroup>, input: MemberInput) -> Result<Reply> {
    let scope = permit.global();
    let group: Group = entity::get(cx, &scope, &input.group_name).await?;
    entity::change::<User, _>(cx, &scope, &input.user_name, |user, _| {
        let before = user.groups.len();
        user.groups.retain(|name| *name != row_id(&group.name));
        if user.groups.len() < before {
            return Ok(());
        }
        Err(error::no_such_entity(format!("The user with name {} is not in group {}.", user.name, group.name)))
    })
    .await?;
    Ok(Reply::empty())
}

async fn groups_for_user(cx: &Cx, permit: Permit<ListGroupsForUser>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    let user: User = entity::get(cx, &scope, &input.entity).await?;
    let mut items = Vec::new();
    for name in &user.groups {
        items.push((name.clone(), render::group(&entity::get(cx, &scope, name).await?)));
    }
    entity::answer("Groups", items, input.marker.as_deref(), input.max_items)
}

operation!("iam", CreateGroup, ["group"], CreateInput, resolve_create, create);
operation!("iam", GetGroup, ["group"], EntityInput, entity::resolve::<Group>, get);
operation!("iam", UpdateGroup, ["group"], UpdateInput, resolve_update, update);
operation!("iam", DeleteGroup, ["group"], EntityInput, entity::resolve::<Group>, delete);
operation!("iam", ListGroups, ["*"], ListInput, entity::resolve_list::<Group>, list);
operation!("iam", AddUserToGroup, ["group"], MemberInput, resolve_member, add_user);
operation!("iam", RemoveUserFromGroup, ["group"], MemberInput, resolve_member, remove_user);
operation!("iam", ListGroupsForUser, ["user"], EntityInput, entity::resolve::<User>, groups_for_user);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateGroup>(),
    OperationRow::of::<GetGroup>(),
    OperationRow::of::<UpdateGroup>(),
    OperationRow::of::<DeleteGroup>(),
    OperationRow::of::<ListGroups>(),
    OperationRow::of::<AddUserToGroup>(),
    OperationRow::of::<RemoveUserFromGroup>(),
    OperationRow::of::<ListGroupsForUser>(),
];
