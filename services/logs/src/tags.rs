//! Tags of log groups, by ARN and by the older operations by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, AwsError, Result, Scope, Tag};
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::Batch;

use crate::model::{group_arn, group_name, group_row, no_group};

/// The operations of this module.
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<TagResource>(),
        OperationRow::of::<UntagResource>(),
        OperationRow::of::<ListTagsForResource>(),
        OperationRow::of::<TagLogGroup>(),
        OperationRow::of::<UntagLogGroup>(),
        OperationRow::of::<ListTagsLogGroup>(),
    ]
}

/// Tags that a group may have.
const MAX_TAGS: usize = 50;

/// The members of all six inputs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    resource_arn: Option<String>,
    log_group_name: Option<String>,
    tags: Option<serde_json::Value>,
    tag_keys: Option<Vec<String>>,
}

impl Input {
    fn group(&self, cx: &Cx) -> Result<String> {
        group_name(cx, self.log_group_name.as_ref(), self.resource_arn.as_ref())
    }
    fn arn(&self, cx: &Cx) -> Result<Arn> {
        Ok(group_arn(&cx.scope(), &self.group(cx)?))
    }
    /// A map for tagging, a list of keys for UntagLogGroup.
    fn new_tags(&self) -> Vec<Tag> {
        let map: BTreeMap<String, String> = self.tags.clone().and_then(|tags| serde_json::from_value(tags).ok()).unwrap_or_default();
        map.into_iter().map(|(key, value)| Tag::new(key, value)).collect()
    }
    fn old_keys(&self) -> Vec<String> {
        let listed = self.tags.clone().and_then(|tags| serde_json::from_value(tags).ok()).unwrap_or_default();
        self.tag_keys.clone().unwrap_or(listed)
    }
}

async fn add(cx: &Cx, scope: &Scope, input: &Input) -> Result<Reply> {
    let group = input.group(cx)?;
    group_row(cx, scope, &group).await?;
    let arn = group_arn(scope, &group);
    let mut all = cx.kernel.store().tags(arn.as_str()).await?;
    let new = input.new_tags();
    all.retain(|tag| !new.iter().any(|n| n.key == tag.key));
    if all.len() + new.len() > MAX_TAGS {
        return Err(AwsError::new(400, "TooManyTagsException", format!("A log group has at most {MAX_TAGS} tags.")));
    }
    let mut batch = Batch::new();
    batch.merge_tags(arn.as_str(), new);
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

async fn remove(cx: &Cx, scope: &Scope, input: &Input) -> Result<Reply> {
    let group = input.group(cx)?;
    group_row(cx, scope, &group).await?;
    let mut batch = Batch::new();
    batch.remove_tags(group_arn(scope, &group).as_str(), input.old_keys());
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, scope: &Scope, input: &Input) -> Result<Reply> {
    let group = input.group(cx)?;
    if cx.kernel.store().get(crate::model::GROUP, scope, &group).await?.is_none() {
        return Err(no_group());
    }
    let tags = cx.kernel.store().tags(group_arn(scope, &group).as_str()).await?;
    let map: BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    Ok(Reply::new(json!({"tags": map})))
}

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident, $action:literal, $types:expr, $keys_of:expr, $does:ident, |$check:ident, $input:ident| $keys:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Operation for $name {
            const SERVICE: &'static str = "logs";
            const NAME: &'static str = stringify!($name);
            const ACCESS: Access = Access::check_with($action, $types, $keys_of);
            type Input = Input;

            async fn resolve(cx: &Cx, $input: &Input) -> Result<Checks> {
                let $check = Check::on($action, $input.arn(cx)?);
                Ok($keys.into())
            }

            async fn handle(cx: &Cx, permit: Permit<Self>, input: Input) -> Result<Reply> {
                $does(cx, permit.scope(), &input).await
            }
        }
    };
}

operation!(
    /// TagResource (CloudWatch Logs API Reference).
    TagResource, "logs:TagResource", &["log-group"], &["aws:RequestTag/${TagKey}", "aws:TagKeys"], add, |check, input| check.request_tags(&input.new_tags())
);
operation!(
    /// UntagResource (CloudWatch Logs API Reference).
    UntagResource, "logs:UntagResource", &["log-group"], &["aws:TagKeys"], remove, |check, input| check.tag_keys(&input.old_keys())
);
operation!(
    /// ListTagsForResource (CloudWatch Logs API Reference).
    ListTagsForResource, "logs:ListTagsForResource", &["log-group"], &[], list, |check, _input| check
);
operation!(
    /// TagLogGroup (CloudWatch Logs API Reference).
    TagLogGroup, "logs:TagLogGroup", &["log-group"], &["aws:RequestTag/${TagKey}", "aws:TagKeys"], add, |check, input| check.request_tags(&input.new_tags())
);
operation!(
    /// UntagLogGroup (CloudWatch Logs API Reference).
    UntagLogGroup, "logs:UntagLogGroup", &["log-group"], &["aws:TagKeys"], remove, |check, input| check.tag_keys(&input.old_keys())
);
operation!(
    /// ListTagsLogGroup (CloudWatch Logs API Reference).
    ListTagsLogGroup, "logs:ListTagsLogGroup", &["log-group"], &[], list, |check, _input| check
);
