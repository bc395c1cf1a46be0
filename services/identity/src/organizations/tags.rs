//! Tags of accounts, roots, OUs and policies.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Tag};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::Batch;

use super::{
    error,
    org::{Org, Standing, answer},
    policies,
};
use tenantry_kernel::operation;

/// Tags of a resource.
const TAGS: usize = 50;

/// Refuses reserved and repeated keys, and too many.
///
/// # Errors
/// `InvalidInputException`, `ConstraintViolationException`.
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    let mut seen = HashSet::new();
    for tag in tags {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(error::invalid(
                "INVALID_SYSTEM_TAGS_PARAMETER",
                "You specified a tag key that is a system tag. You can't add, edit, or delete system tag keys.",
            ));
        }
        if !seen.insert(tag.key.as_str()) {
            return Err(error::invalid("DUPLICATE_TAG_KEY", "Tag keys must be unique among the tags attached to the same entity."));
        }
    }
    if tags.len() > TAGS {
        return Err(error::constraint("MAX_TAG_LIMIT_EXCEEDED", "You have exceeded the number of tags allowed on this resource."));
    }
    Ok(())
}

/// Creating with tags needs `organizations:TagResource` too.
pub(crate) fn on_create(_: &Cx, tags: &[Tag]) -> Option<Check> {
    (!tags.is_empty()).then(|| Check::any("organizations:TagResource").request_tags(tags))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagInput {
    resource_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
    next_token: Option<String>,
}

async fn resolve(cx: &Cx, action: &'static str, input: &TagInput) -> Result<Checks> {
    let checks = policies::on(cx, action, &[&input.resource_id]).await?;
    Ok(checks.iter().cloned().map(|check| check.request_tags(&input.tags).tag_keys(&input.tag_keys)).collect())
}

/// The ARN of what is there under an id.
async fn find(org: &Org, cx: &Cx, id: &str) -> Result<Arn> {
    let there = if id.starts_with("p-") {
        let policy = org.policy(cx, id).await?.map(|(_, policy)| policy).filter(|policy| !policy.aws_managed);
        return policy.map(|policy| org.policy_arn(&policy)).ok_or_else(error::target_not_found);
    } else if id.starts_with("r-") || id.starts_with("ou-") {
        org.unit(cx, id).await?.is_some()
    } else {
        org.account(cx, id).await?.is_some()
    };
    if there { Ok(org.target_arn(id)) } else { Err(error::target_not_found()) }
}

async fn tag(cx: &Cx, _: Permit<TagResource>, input: TagInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let arn = find(&org, cx, &input.resource_id).await?;
    check(&input.tags)?;
    let mut all = cx.kernel.store().tags(arn.as_str()).await?;
    all.retain(|old| !input.tags.iter().any(|new| new.key == old.key));
    all.extend(input.tags);
    check(&all)?;
    let mut batch = Batch::new();
    batch.set_tags(arn.as_str(), all);
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

async fn untag(cx: &Cx, _: Permit<UntagResource>, input: TagInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let arn = find(&org, cx, &input.resource_id).await?;
    let mut batch = Batch::new();
    batch.remove_tags(arn.as_str(), input.tag_keys);
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, _: Permit<ListTagsForResource>, input: TagInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let arn = find(&org, cx, &input.resource_id).await?;
    let tags = cx.kernel.store().tags(arn.as_str()).await?;
    let items = tags.into_iter().map(|tag| (tag.key.clone(), json!(tag))).collect();
    answer("Tags", items, input.next_token.as_deref(), Some(TAGS))
}

operation!(
    "organizations",
    TagResource,
    ["account", "organizationalunit", "awspolicy", "policy", "root"]
        + ["organizations:PolicyType", "aws:RequestTag/${TagKey}", "aws:TagKeys"],
    TagInput,
    resolve,
    tag
);
operation!(
    "organizations",
    UntagResource,
    ["account", "organizationalunit", "awspolicy", "policy", "root"] + ["organizations:PolicyType", "aws:TagKeys"],
    TagInput,
    resolve,
    untag
);
operation!(
    "organizations",
    ListTagsForResource,
    ["account", "organizationalunit", "awspolicy", "policy", "root"] + ["organizations:PolicyType"],
    TagInput,
    resolve,
    list
);

pub(super) const TABLE: &[OperationRow] =
    &[OperationRow::of::<TagResource>(), OperationRow::of::<UntagResource>(), OperationRow::of::<ListTagsForResource>()];
