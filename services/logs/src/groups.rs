//! Log groups: create, delete, describe, retention.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AwsError, Result, Tag};
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use crate::model::{GROUP, Group, STREAM, group_arn, group_name, group_row, invalid, on_group, read_token, series, write_token};

/// The operations of this module.
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateLogGroup>(),
        OperationRow::of::<DeleteLogGroup>(),
        OperationRow::of::<DescribeLogGroups>(),
        OperationRow::of::<PutRetentionPolicy>(),
        OperationRow::of::<DeleteRetentionPolicy>(),
    ]
}

/// CreateLogGroup (CloudWatch Logs API Reference).
pub struct CreateLogGroup;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateInput {
    log_group_name: String,
    kms_key_id: Option<String>,
    log_group_class: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl CreateInput {
    fn tags(&self) -> Vec<Tag> {
        self.tags.iter().map(|(key, value)| Tag::new(key, value)).collect()
    }
}

impl Operation for CreateLogGroup {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "CreateLogGroup";
    const ACCESS: Access =
        Access::check_with("logs:CreateLogGroup", &["log-group"], &["aws:RequestTag/${TagKey}", "aws:TagKeys"]).and(&["logs:TagResource"]);
    type Input = CreateInput;

    async fn resolve(cx: &Cx, input: &CreateInput) -> Result<Checks> {
        let tags = input.tags();
        let tagging =
            (!tags.is_empty()).then(|| Check::on("logs:TagResource", group_arn(&cx.scope(), &input.log_group_name)).request_tags(&tags));
        let create = on_group(cx, "logs:CreateLogGroup", &input.log_group_name).await?.request_tags(&tags);
        Ok(Checks::from(create).and_if(tagging))
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: CreateInput) -> Result<Reply> {
        if input.kms_key_id.is_some() {
            return Err(invalid("KMS keys for log groups are not available on this instance: create the group without kmsKeyId."));
        }
        let scope = permit.scope();
        let tags = input.tags();
        let row = Row::new(GROUP, scope, input.log_group_name.clone(), cx.now())
            .with(&Group { retention: None, class: input.log_group_class })?;
        let mut batch = Batch::new();
        batch.put(row, Expect::Absent);
        batch.set_tags(group_arn(scope, &input.log_group_name).as_str(), tags);
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {
                Err(AwsError::new(400, "ResourceAlreadyExistsException", "The specified log group already exists"))
            }
            done => Ok(done.map(|()| Reply::empty())?),
        }
    }
}

/// An input that only names a group.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameInput {
    log_group_name: String,
}

/// DeleteLogGroup (CloudWatch Logs API Reference). Its streams and events go with it.
pub struct DeleteLogGroup;

impl Operation for DeleteLogGroup {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteLogGroup";
    const ACCESS: Access = Access::check("logs:DeleteLogGroup", &["log-group"]);
    type Input = NameInput;

    async fn resolve(cx: &Cx, input: &NameInput) -> Result<Checks> {
        Ok(on_group(cx, "logs:DeleteLogGroup", &input.log_group_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: NameInput) -> Result<Reply> {
        let (scope, name) = (permit.scope(), &input.log_group_name);
        group_row(cx, scope, name).await?;
        let mut batch = Batch::new();
        for stream in cx.kernel.store().list(&List::of(STREAM, scope).parent(name)).await? {
            batch.delete_series(series(scope, name, &stream.name));
            batch.delete(STREAM, scope, stream.id, Expect::Any);
        }
        batch.delete(GROUP, scope, name.clone(), Expect::Any);
        batch.set_tags(group_arn(scope, name).as_str(), Vec::new());
        cx.commit(batch).await?;
        Ok(Reply::empty())
    }
}

/// DescribeLogGroups (CloudWatch Logs API Reference).
pub struct DescribeLogGroups;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeInput {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    log_group_identifiers: Option<Vec<String>>,
}

impl Operation for DescribeLogGroups {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogGroups";
    const ACCESS: Access = Access::check("logs:DescribeLogGroups", &["log-group"]);
    type Input = DescribeInput;

    async fn resolve(cx: &Cx, _: &DescribeInput) -> Result<Checks> {
        Ok(Check::on("logs:DescribeLogGroups", cx.arn("logs", "log-group::log-stream:")).into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: DescribeInput) -> Result<Reply> {
        let scope = permit.scope();
        if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
            return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
        }
        let after = input.next_token.as_deref().map(read_token).transpose()?;
        let prefix = input.log_group_name_prefix.as_deref().unwrap_or_default();
        let mut rows = cx.kernel.store().list(&List::of(GROUP, scope).prefix(prefix).after(after.as_deref())).await?;
        if let Some(part) = &input.log_group_name_pattern {
            rows.retain(|row| row.id.to_lowercase().contains(&part.to_lowercase()));
        }
        if let Some(wanted) = &input.log_group_identifiers {
            let names: Vec<String> = wanted.iter().map(|one| group_name(cx, None, Some(one))).collect::<Result<_>>()?;
            rows.retain(|row| names.contains(&row.id));
        }
        let limit = input.limit.unwrap_or(50);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut groups = Vec::with_capacity(rows.len());
        for row in &rows {
            groups.push(described(cx, row).await?);
        }
        let mut output = json!({"logGroups": groups});
        if let (true, Some(last)) = (more, rows.last()) {
            output["nextToken"] = json!(write_token(&last.id));
        }
        Ok(Reply::new(output))
    }
}

async fn described(cx: &Cx, row: &Row) -> Result<serde_json::Value> {
    let group: Group = row.body()?;
    let arn = group_arn(&row.scope, &row.id);
    let mut stored = 0;
    for stream in cx.kernel.store().list(&List::of(STREAM, &row.scope).parent(&row.id)).await? {
        stored += cx.kernel.store().series_stats(&series(&row.scope, &row.id, &stream.name)).await?.map_or(0, |stats| stats.bytes);
    }
    let mut out = json!({
        "logGroupName": row.id,
        "creationTime": row.created.millis(),
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "storedBytes": stored,
        "logGroupClass": group.class.as_deref().unwrap_or("STANDARD"),
    });
    if let Some(days) = group.retention {
        out["retentionInDays"] = json!(days);
    }
    Ok(out)
}

/// Days that AWS takes for a retention policy.
const RETENTIONS: &[u32] = &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// PutRetentionPolicy (CloudWatch Logs API Reference). Older events are left out of every answer from then on.
pub struct PutRetentionPolicy;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionInput {
    log_group_name: String,
    retention_in_days: u32,
}

impl Operation for PutRetentionPolicy {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "PutRetentionPolicy";
    const ACCESS: Access = Access::check("logs:PutRetentionPolicy", &["log-group"]);
    type Input = RetentionInput;

    async fn resolve(cx: &Cx, input: &RetentionInput) -> Result<Checks> {
        Ok(on_group(cx, "logs:PutRetentionPolicy", &input.log_group_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: RetentionInput) -> Result<Reply> {
        if !RETENTIONS.contains(&input.retention_in_days) {
            return Err(invalid(format!("{} is not a number of days that a retention policy may have.", input.retention_in_days)));
        }
        retain(cx, permit.scope(), &input.log_group_name, Some(input.retention_in_days)).await
    }
}

async fn retain(cx: &Cx, scope: &tenantry_core::Scope, name: &str, days: Option<u32>) -> Result<Reply> {
    let mut row = group_row(cx, scope, name).await?;
    let group = Group { retention: days, ..row.body()? };
    row.set_body(&group)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

/// DeleteRetentionPolicy (CloudWatch Logs API Reference).
pub struct DeleteRetentionPolicy;

impl Operation for DeleteRetentionPolicy {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteRetentionPolicy";
    const ACCESS: Access = Access::check("logs:DeleteRetentionPolicy", &["log-group"]);
    type Input = NameInput;

    async fn resolve(cx: &Cx, input: &NameInput) -> Result<Checks> {
        Ok(on_group(cx, "logs:DeleteRetentionPolicy", &input.log_group_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: NameInput) -> Result<Reply> {
        retain(cx, permit.scope(), &input.log_group_name, None).await
    }
}
