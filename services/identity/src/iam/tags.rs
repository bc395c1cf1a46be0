//! Tags of users, roles, managed policies and instance profiles: TagX, UntagX, ListXTags.
//!
//! Documents hold their tags (a principal's are read with it on every call) and the store's tag table
//! holds them under the ARN (authorization reads `aws:ResourceTag` there). Every change writes both.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Tag};
use tenantry_kernel::{
    Checks, Cx, Operation, OperationRow, Permit, Reply,
    directory::{ManagedPolicy, Role, User},
};

use super::{
    entity::{self, Entity, EntityInput},
    error, policies,
    profiles::Profile,
    quota,
};
use tenantry_kernel::operation;

/// Refuses reserved and repeated keys.
///
/// # Errors
/// `InvalidInput`, `LimitExceeded`.
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    let mut seen = HashSet::new();
    for tag in tags {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(error::invalid_input(format!(
                "The tag key {} is not allowed: keys that begin with aws: are reserved for system use.",
                tag.key
            )));
        }
        if !seen.insert(tag.key.to_lowercase()) {
            return Err(error::invalid_input("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
    }
    if tags.len() > quota::TAGS {
        return Err(error::limit_exceeded("The number of tags has reached the maximum limit."));
    }
    Ok(())
}

/// Adds `more` to `tags`: keys compare without case, the new spelling and value win.
///
/// # Errors
/// `LimitExceeded`.
pub(crate) fn merge(tags: &mut Vec<Tag>, more: &[Tag]) -> Result<()> {
    for tag in more {
        match tags.iter_mut().find(|t| t.key.to_lowercase() == tag.key.to_lowercase()) {
            Some(old) => *old = tag.clone(),
            None => tags.push(tag.clone()),
        }
    }
    check(tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagInput {
    #[serde(alias = "UserName", alias = "RoleName", alias = "PolicyArn", alias = "InstanceProfileName")]
    entity: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagInput {
    #[serde(alias = "UserName", alias = "RoleName", alias = "PolicyArn", alias = "InstanceProfileName")]
    entity: String,
    tag_keys: Vec<String>,
}

/// A policy is named by its ARN, the others by name.
fn name_of<E: Entity>(given: &str) -> &str {
    if E::KIND == <ManagedPolicy as Entity>::KIND { given.rsplit('/').next().unwrap_or(given) } else { given }
}

async fn resource<E: Entity>(cx: &Cx, action: &'static str, given: &str) -> Result<tenantry_kernel::Check> {
    if E::KIND == <ManagedPolicy as Entity>::KIND { policies::on_arn(cx, action, given) } else { entity::on::<E>(cx, action, given).await }
}

async fn resolve_tag<E: Entity>(cx: &Cx, action: &'static str, input: &TagInput) -> Result<Checks> {
    Ok(resource::<E>(cx, action, &input.entity).await?.request_tags(&input.tags).into())
}

async fn tag<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: TagInput) -> Result<Reply> {
    check(&input.tags)?;
    if E::KIND == <ManagedPolicy as Entity>::KIND {
        policies::must_be_ours(cx, &permit.global(), &input.entity).await?;
    }
    entity::change::<E, _>(cx, &permit.global(), name_of::<E>(&input.entity), |it, batch| {
        it.modifiable()?;
        let tags = it.tags_mut().ok_or_else(|| error::validation("This resource cannot be tagged."))?;
        merge(tags, &input.tags)?;
        let tags = tags.clone();
        batch.set_tags(it.arn().as_str(), tags);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

async fn resolve_untag<E: Entity>(cx: &Cx, action: &'static str, input: &UntagInput) -> Result<Checks> {
    Ok(resource::<E>(cx, action, &input.entity).await?.tag_keys(&input.tag_keys).into())
}

async fn untag<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: UntagInput) -> Result<Reply> {
    if E::KIND == <ManagedPolicy as Entity>::KIND {
        policies::must_be_ours(cx, &permit.global(), &input.entity).await?;
    }
    entity::change::<E, _>(cx, &permit.global(), name_of::<E>(&input.entity), |it, batch| {
        it.modifiable()?;
        let tags = it.tags_mut().ok_or_else(|| error::validation("This resource cannot be tagged."))?;
        tags.retain(|tag| !input.tag_keys.iter().any(|key| key.to_lowercase() == tag.key.to_lowercase()));
        let tags = tags.clone();
        batch.set_tags(it.arn().as_str(), tags);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyTagsInput {
    policy_arn: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn list<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: EntityInput) -> Result<Reply> {
    let mut entity: E = entity::get(cx, &permit.global(), &input.entity).await?;
    let tags = entity.tags_mut().map(std::mem::take).unwrap_or_default();
    entity::answer("Tags", in_order(&tags), input.marker.as_deref(), input.max_items)
}

/// Tags by their places: a key can be longer than a marker may be.
pub(crate) fn in_order(tags: &[Tag]) -> Vec<(String, serde_json::Value)> {
    tags.iter().enumerate().map(|(at, tag)| (format!("{at:02}"), json!(tag))).collect()
}

async fn resolve_policy_list(cx: &Cx, action: &'static str, input: &PolicyTagsInput) -> Result<Checks> {
    Ok(policies::on_arn(cx, action, &input.policy_arn)?.into())
}

async fn policy_list(cx: &Cx, permit: Permit<ListPolicyTags>, input: PolicyTagsInput) -> Result<Reply> {
    let policy = policies::find(cx, &permit.global(), &input.policy_arn).await?;
    entity::answer("Tags", in_order(&policy.tags), input.marker.as_deref(), input.max_items)
}

operation!("iam", TagUser, ["user"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"], TagInput, resolve_tag::<User>, tag::<User, _>);
operation!("iam", UntagUser, ["user"] + ["aws:TagKeys"], UntagInput, resolve_untag::<User>, untag::<User, _>);
operation!("iam", ListUserTags, ["user"], EntityInput, entity::resolve::<User>, list::<User, _>);
operation!("iam", TagRole, ["role"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"], TagInput, resolve_tag::<Role>, tag::<Role, _>);
operation!("iam", UntagRole, ["role"] + ["aws:TagKeys"], UntagInput, resolve_untag::<Role>, untag::<Role, _>);
operation!("iam", ListRoleTags, ["role"], EntityInput, entity::resolve::<Role>, list::<Role, _>);
operation!(
    "iam",
    TagPolicy,
    ["policy"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"],
    TagInput,
    resolve_tag::<ManagedPolicy>,
    tag::<ManagedPolicy, _>
);
operation!("iam", UntagPolicy, ["policy"] + ["aws:TagKeys"], UntagInput, resolve_untag::<ManagedPolicy>, untag::<ManagedPolicy, _>);
operation!("iam", ListPolicyTags, ["policy"], PolicyTagsInput, resolve_policy_list, policy_list);
operation!(
    "iam",
    TagInstanceProfile,
    ["instance-profile"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"],
    TagInput,
    resolve_tag::<Profile>,
    tag::<Profile, _>
);
operation!("iam", UntagInstanceProfile, ["instance-profile"] + ["aws:TagKeys"], UntagInput, resolve_untag::<Profile>, untag::<Profile, _>);
operation!("iam", ListInstanceProfileTags, ["instance-profile"], EntityInput, entity::resolve::<Profile>, list::<Profile, _>);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<TagUser>(),
    OperationRow::of::<UntagUser>(),
    OperationRow::of::<ListUserTags>(),
    OperationRow::of::<TagRole>(),
    OperationRow::of::<UntagRole>(),
    OperationRow::of::<ListRoleTags>(),
    OperationRow::of::<TagPolicy>(),
    OperationRow::of::<UntagPolicy>(),
    OperationRow::of::<ListPolicyTags>(),
    OperationRow::of::<TagInstanceProfile>(),
    OperationRow::of::<UntagInstanceProfile>(),
    OperationRow::of::<ListInstanceProfileTags>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_without_case() {
        let mut tags = vec![Tag::new("Team", "a")];
        merge(&mut tags, &[Tag::new("TEAM", "b"), Tag::new("x", "")]).unwrap();
        assert_eq!(tags, [Tag::new("TEAM", "b"), Tag::new("x", "")]);
        assert!(check(&[Tag::new("a", "1"), Tag::new("A", "2")]).is_err());
        assert!(check(&[Tag::new("AWS:x", "1")]).is_err());
    }

    #[test]
    fn fifty_tags_and_one_more() {
        let mut tags: Vec<Tag> = (0..50).map(|n| Tag::new(format!("k{n}"), "")).collect();
        check(&tags).unwrap();
        assert_eq!(merge(&mut tags, &[Tag::new("one-more", "")]).unwrap_err().code, "LimitExceeded");
    }
}
