//! CreateStudioLifecycleConfig, DescribeStudioLifecycleConfig, DeleteStudioLifecycleConfig, ListStudioLifecycleConfigs:
//! scripts that run when an app starts. They are kept as they are given; no app starts here that would run one.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use super::{
    DOMAIN, LIFECYCLE, PROFILE, SPACE,
    record::{self, Record, text},
};
use crate::{
    error::{in_use, validation},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    pipelines::members,
    tagging,
};

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateStudioLifecycleConfig>(),
        OperationRow::of::<DescribeStudioLifecycleConfig>(),
        OperationRow::of::<DeleteStudioLifecycleConfig>(),
        OperationRow::of::<ListStudioLifecycleConfigs>(),
    ]
}

operation!(
    CreateStudioLifecycleConfig,
    ["studio-lifecycle-config"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeStudioLifecycleConfig, ["studio-lifecycle-config"], Value, resolve, describe);
operation!(DeleteStudioLifecycleConfig, ["studio-lifecycle-config"], Value, resolve, delete);
operation!(ListStudioLifecycleConfigs, ["*"], ListInput, resolve_list, list);

fn named(cx: &Cx, input: &Value) -> Arn {
    names::arn(&cx.scope(), "studio-lifecycle-config", text(input, "StudioLifecycleConfigName"))
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let (arn, tags) = (named(cx, input), tags_of(input, "Tags"));
    let tag = tagging::on_create(&arn, &tags, "CreateStudioLifecycleConfig");
    Ok(Checks::from(Check::on(action, arn).request_tags(&tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateStudioLifecycleConfig>, input: Value) -> Result<Reply> {
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    if STANDARD.decode(text(&input, "StudioLifecycleConfigContent")).is_err() {
        return Err(validation("StudioLifecycleConfigContent must be base64 encoded."));
    }
    let (scope, arn) = (permit.scope(), named(cx, &input));
    let record = Record::new(&arn, input.as_object().cloned().unwrap_or_default());
    let row = Row::new(LIFECYCLE, scope, arn.resource_type_and_id().1, cx.now()).name(text(&input, "StudioLifecycleConfigName"));
    let mut batch = Batch::new();
    batch.put(row.with(&record)?, Expect::Absent);
    batch.set_tags(arn.as_str(), tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(record::taken(LIFECYCLE, &arn)),
        done => done.map(|()| Reply::new(json!({"StudioLifecycleConfigArn": arn}))).map_err(Into::into),
    }
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, named(cx, input)).into())
}

fn summary(row: &Row) -> Result<Value> {
    let record: Record = row.body()?;
    Ok(json!({
        "StudioLifecycleConfigArn": record.arn, "StudioLifecycleConfigName": row.name, "CreationTime": row.created,
        "LastModifiedTime": row.updated, "StudioLifecycleConfigAppType": record.text("StudioLifecycleConfigAppType"),
    }))
}

async fn describe(cx: &Cx, permit: Permit<DescribeStudioLifecycleConfig>, input: Value) -> Result<Reply> {
    let (row, record) = record::find(&cx.kernel, LIFECYCLE, permit.scope(), &named(cx, &input)).await?;
    let mut document = summary(&row)?;
    document["StudioLifecycleConfigContent"] = json!(record.text("StudioLifecycleConfigContent"));
    Ok(Reply::new(document))
}

/// One that a domain, a profile or a space names stays.
async fn delete(cx: &Cx, permit: Permit<DeleteStudioLifecycleConfig>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let (row, record) = record::find(&cx.kernel, LIFECYCLE, scope, &named(cx, &input)).await?;
    let quoted = format!("\"{}\"", record.arn);
    for kind in [DOMAIN, PROFILE, SPACE] {
        if cx.kernel.store().list(&List::of(kind, scope)).await?.iter().any(|user| user.body_text().contains(&quoted)) {
            return Err(in_use(record::held(LIFECYCLE, &record.arn, &format!("{}(s)", record::noun(kind)))));
        }
    }
    let mut batch = Batch::new();
    batch.delete(LIFECYCLE, scope, &*row.id, Expect::Present);
    batch.set_tags(&*record.arn, Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::NotFound { .. }) => Err(record::missing(LIFECYCLE, &named(cx, &input))),
        done => done.map(|()| Reply::empty()).map_err(Into::into),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    app_type_equals: Option<String>,
    modified_time_before: Option<tenantry_core::Timestamp>,
    modified_time_after: Option<tenantry_core::Timestamp>,
    #[serde(flatten)]
    filter: Filter,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListStudioLifecycleConfigs>, input: ListInput) -> Result<Reply> {
    let filter = Filter {
        last_modified_time_before: input.modified_time_before,
        last_modified_time_after: input.modified_time_after,
        ..input.filter
    };
    let kept = |row: &Row| {
        let of = |record: Record| record.text("StudioLifecycleConfigAppType").to_owned();
        input.app_type_equals.as_ref().is_none_or(|wanted| row.body().map(of).is_ok_and(|of| of == *wanted))
    };
    let page = listing::page(cx, permit.scope(), Shape::of(LIFECYCLE), &filter, kept).await?;
    let all = page.rows.iter().map(summary).collect::<Result<Value>>()?;
    Ok(Reply::new(members([("StudioLifecycleConfigs", Some(all)), ("NextToken", page.next_token.map(Value::from))]).into()))
}
