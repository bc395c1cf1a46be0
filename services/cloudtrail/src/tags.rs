//! AddTags, RemoveTags, ListTags.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Tag};
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::Batch;

use crate::{
    error,
    operation::operation,
    trail::{check, find, trail_arn},
};

operation!(AddTags, ["trail"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and [], Input, resolve_add, add);
operation!(RemoveTags, ["trail"] + ["aws:TagKeys"] and [], Input, resolve_remove, remove);
operation!(ListTags, ["trail"] + [] and [], ListInput, resolve_list, list);

/// Tags that a trail may have.
const MOST_TAGS: usize = 50;

/// A tag on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ApiTag {
    key: String,
    #[serde(default)]
    value: String,
}

/// As the store has them.
pub(crate) fn plain(tags: &[ApiTag]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag::new(&tag.key, &tag.value)).collect()
}

/// `added` over `held`, if that may be.
///
/// # Errors
/// `InvalidTagParameterException`, `TagsLimitExceededException`.
pub(crate) fn checked(held: &[Tag], added: Vec<Tag>) -> Result<Vec<Tag>> {
    for (at, tag) in added.iter().enumerate() {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(error::bad_tag("Tag keys that begin with aws: are reserved."));
        }
        if added[..at].iter().any(|other| other.key == tag.key) {
            return Err(error::bad_tag(format!("The tag key {} is given twice.", tag.key)));
        }
    }
    let new = held.iter().filter(|tag| !added.iter().any(|a| a.key == tag.key)).count() + added.len();
    if new > MOST_TAGS {
        return Err(error::too_many_tags(MOST_TAGS));
    }
    Ok(added)
}

/// The input of AddTags and RemoveTags.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    resource_id: String,
    tags_list: Vec<ApiTag>,
}

/// The input of ListTags.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    resource_id_list: Vec<String>,
}

async fn resolve_add(cx: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    Ok(check(cx, action, &input.resource_id)?.request_tags(&plain(&input.tags_list)).into())
}

async fn resolve_remove(cx: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    let keys: Vec<String> = input.tags_list.iter().map(|tag| tag.key.clone()).collect();
    Ok(check(cx, action, &input.resource_id)?.tag_keys(&keys).into())
}

async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    input.resource_id_list.iter().map(|arn| check(cx, action, arn)).collect()
}

async fn add(cx: &Cx, permit: Permit<AddTags>, input: Input) -> Result<Reply> {
    let (scope, row) = find(cx, permit.account(), &input.resource_id).await?;
    let arn = trail_arn(&scope, &row.id);
    let tags = checked(&cx.kernel.store().tags(arn.as_str()).await?, plain(&input.tags_list))?;
    let mut batch = Batch::new();
    batch.merge_tags(arn.as_str(), tags);
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

async fn remove(cx: &Cx, permit: Permit<RemoveTags>, input: Input) -> Result<Reply> {
    let (scope, row) = find(cx, permit.account(), &input.resource_id).await?;
    let mut batch = Batch::new();
    batch.remove_tags(trail_arn(&scope, &row.id).as_str(), input.tags_list.into_iter().map(|tag| tag.key).collect());
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, permit: Permit<ListTags>, input: ListInput) -> Result<Reply> {
    let mut out = Vec::new();
    for resource in &input.resource_id_list {
        let (scope, row) = find(cx, permit.account(), resource).await?;
        let tags = cx.kernel.store().tags(trail_arn(&scope, &row.id).as_str()).await?;
        let tags: Vec<Value> = tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect();
        out.push(json!({ "ResourceId": resource, "TagsList": tags }));
    }
    Ok(json!({ "ResourceTagList": out }).into())
}
