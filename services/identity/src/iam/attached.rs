//! Managed policies of users, groups and roles: Attach, Detach, List; and permissions boundaries.
//!
//! Attaching a customer's policy also rewrites the policy's row, unchanged: its version then tells a
//! DeletePolicy that runs at the same time that its search for attachments is out of date.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope};
use tenantry_kernel::{
    Checks, Cx, Operation, OperationRow, Permit, Reply,
    directory::{Group, Role, User},
};

use super::{
    entity::{self, Bounded, EntityInput, Holder},
    error, policies, quota,
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttachInput {
    #[serde(alias = "UserName", alias = "GroupName", alias = "RoleName")]
    entity: String,
    policy_arn: String,
}

async fn resolve<E: Holder>(cx: &Cx, action: &'static str, input: &AttachInput) -> Result<Checks> {
    Ok(entity::on_holder::<E>(cx, action, &input.entity).await?.key("iam:PolicyARN", input.policy_arn.as_str()).into())
}

/// Changes an entity so that it uses a policy, whose row is held meanwhile.
async fn using<E: Holder>(
    cx: &Cx,
    scope: &Scope,
    name: &str,
    policy: &str,
    act: impl Fn(&mut E) -> Result<()> + Send + Sync,
) -> Result<()> {
    for _ in 0..entity::ATTEMPTS {
        let held = policies::attachable(cx, scope, policy).await?;
        let changed = entity::change::<E, _>(cx, scope, name, |it, batch| {
            it.modifiable()?;
            held.hold(batch);
            act(it)
        });
        match changed.await {
            Err(error) if error == error::concurrent() => {}
            other => return other,
        }
    }
    Err(error::concurrent())
}

async fn attach<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: AttachInput) -> Result<Reply> {
    using::<E>(cx, &permit.global(), &input.entity, &input.policy_arn, |it| {
        let attached = &mut it.policies_mut().attached;
        if attached.contains(&input.policy_arn) {
            return Ok(());
        }
        if attached.len() >= quota::ATTACHED {
            return Err(error::quota(E::ATTACH_QUOTA, quota::ATTACHED));
        }
        attached.push(input.policy_arn.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

async fn detach<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: AttachInput) -> Result<Reply> {
    entity::change::<E, _>(cx, &permit.global(), &input.entity, |it, _| {
        it.modifiable()?;
        let attached = &mut it.policies_mut().attached;
        let before = attached.len();
        attached.retain(|arn| *arn != input.policy_arn);
        if attached.len() == before { Err(error::policy_not_found(&input.policy_arn)) } else { Ok(()) }
    })
    .await?;
    Ok(Reply::empty())
}

async fn list<E: Holder, O: Operation>(cx: &Cx, permit: Permit<O>, input: EntityInput) -> Result<Reply> {
    let entity: E = entity::get(cx, &permit.global(), &input.entity).await?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let of_path = |arn: &&String| arn.split_once(":policy").is_some_and(|(_, path)| path.starts_with(prefix));
    let attached = entity.policies().attached.iter().filter(of_path);
    let items = attached.map(|arn| (key(arn), shown(arn))).collect();
    entity::answer("AttachedPolicies", items, input.marker.as_deref(), input.max_items)
}

/// What lists of policies are ordered by: AWS's own first, then by name. A path can be longer than a
/// marker may be, and a name is unique without it.
pub(crate) fn key(arn: &str) -> String {
    format!("{}{}", u8::from(!arn.starts_with("arn:aws:iam::aws:")), arn.rsplit('/').next().unwrap_or(arn))
}

/// `AttachedPolicy` of an ARN.
pub(crate) fn shown(arn: &str) -> serde_json::Value {
    json!({ "PolicyName": arn.rsplit('/').next().unwrap_or(arn), "PolicyArn": arn })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BoundaryInput {
    #[serde(alias = "UserName", alias = "RoleName")]
    entity: String,
    permissions_boundary: String,
}

async fn resolve_boundary<E: Holder>(cx: &Cx, action: &'static str, input: &BoundaryInput) -> Result<Checks> {
    Ok(entity::on::<E>(cx, action, &input.entity).await?.key("iam:PermissionsBoundary", input.permissions_boundary.as_str()).into())
}

async fn put_boundary<E: Bounded, O: Operation>(cx: &Cx, permit: Permit<O>, input: BoundaryInput) -> Result<Reply> {
    using::<E>(cx, &permit.global(), &input.entity, &input.permissions_boundary, |it| {
        *it.boundary_mut() = Some(input.permissions_boundary.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

/// The boundary in force is a condition key here, so that a policy can forbid taking a certain one away.
async fn resolve_unbound<E: Bounded>(cx: &Cx, action: &'static str, input: &EntityInput) -> Result<Checks> {
    Ok(entity::on_holder::<E>(cx, action, &input.entity).await?.into())
}

async fn delete_boundary<E: Bounded, O: Operation>(cx: &Cx, permit: Permit<O>, input: EntityInput) -> Result<Reply> {
    entity::change::<E, _>(cx, &permit.global(), &input.entity, |it, _| {
        it.modifiable()?;
        it.boundary_mut()
            .take()
            .map(drop)
            .ok_or_else(|| error::no_such_entity(format!("The {} {} does not have a permissions boundary.", E::NOUN, it.name())))
    })
    .await?;
    Ok(Reply::empty())
}

operation!(
    "iam",
    AttachUserPolicy,
    ["user"] + ["iam:PolicyARN", "iam:PermissionsBoundary"],
    AttachInput,
    resolve::<User>,
    attach::<User, _>
);
operation!(
    "iam",
    DetachUserPolicy,
    ["user"] + ["iam:PolicyARN", "iam:PermissionsBoundary"],
    AttachInput,
    resolve::<User>,
    detach::<User, _>
);
operation!("iam", ListAttachedUserPolicies, ["user"], EntityInput, entity::resolve::<User>, list::<User, _>);
operation!("iam", AttachGroupPolicy, ["group"] + ["iam:PolicyARN"], AttachInput, resolve::<Group>, attach::<Group, _>);
operation!("iam", DetachGroupPolicy, ["group"] + ["iam:PolicyARN"], AttachInput, resolve::<Group>, detach::<Group, _>);
operation!("iam", ListAttachedGroupPolicies, ["group"], EntityInput, entity::resolve::<Group>, list::<Group, _>);
operation!(
    "iam",
    AttachRolePolicy,
    ["role"] + ["iam:PolicyARN", "iam:PermissionsBoundary"],
    AttachInput,
    resolve::<Role>,
    attach::<Role, _>
);
operation!(
    "iam",
    DetachRolePolicy,
    ["role"] + ["iam:PolicyARN", "iam:PermissionsBoundary"],
    AttachInput,
    resolve::<Role>,
    detach::<Role, _>
);
operation!("iam", ListAttachedRolePolicies, ["role"], EntityInput, entity::resolve::<Role>, list::<Role, _>);
operation!(
    "iam",
    PutUserPermissionsBoundary,
    ["user"] + ["iam:PermissionsBoundary"],
    BoundaryInput,
    resolve_boundary::<User>,
    put_boundary::<User, _>
);
operation!(
    "iam",
    DeleteUserPermissionsBoundary,
    ["user"] + ["iam:PermissionsBoundary"],
    EntityInput,
    resolve_unbound::<User>,
    delete_boundary::<User, _>
);
operation!(
    "iam",
    PutRolePermissionsBoundary,
    ["role"] + ["iam:PermissionsBoundary"],
    BoundaryInput,
    resolve_boundary::<Role>,
    put_boundary::<Role, _>
);
operation!(
    "iam",
    DeleteRolePermissionsBoundary,
    ["role"] + ["iam:PermissionsBoundary"],
    EntityInput,
    resolve_unbound::<Role>,
    delete_boundary::<Role, _>
);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<AttachUserPolicy>(),
    OperationRow::of::<DetachUserPolicy>(),
    OperationRow::of::<ListAttachedUserPolicies>(),
    OperationRow::of::<AttachGroupPolicy>(),
    OperationRow::of::<DetachGroupPolicy>(),
    OperationRow::of::<ListAttachedGroupPolicies>(),
    OperationRow::of::<AttachRolePolicy>(),
    OperationRow::of::<DetachRolePolicy>(),
    OperationRow::of::<ListAttachedRolePolicies>(),
    OperationRow::of::<PutUserPermissionsBoundary>(),
    OperationRow::of::<DeleteUserPermissionsBoundary>(),
    OperationRow::of::<PutRolePermissionsBoundary>(),
    OperationRow::of::<DeleteRolePermissionsBoundary>(),
];
