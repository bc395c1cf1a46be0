//! GetTrail, DescribeTrails, ListTrails, GetTrailStatus.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{ByScope, List, Row};

use crate::{
    operation::operation,
    trail::{self, DELIVERY, NameInput, Progress, TRAIL, Trail, described, find, named, trail_arn},
};

operation!(GetTrail, ["trail"] + [] and [], NameInput, trail::resolve, get);
operation!(GetTrailStatus, ["trail"] + [] and [], NameInput, trail::resolve, status);
operation!(DescribeTrails, ["*"] + [] and [], DescribeInput, resolve_any, describe);
operation!(ListTrails, ["*"] + [] and [], Value, resolve_any, list);

async fn resolve_any<I>(_: &Cx, action: &'static str, _: &I) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn get(cx: &Cx, permit: Permit<GetTrail>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find(cx, permit.account(), &input.name).await?;
    Ok(json!({ "Trail": described(&scope, &row.id, &row.body::<Trail>()?) }).into())
}

/// The account's trails that can be seen in a region: its own, and those of all regions.
async fn visible(cx: &Cx, scope: &Scope) -> Result<Vec<Row>> {
    let account = ByScope::Account(&scope.account);
    let mut rows = cx.kernel.store().list(&List::by(TRAIL, account)).await?;
    let mut kept = Vec::new();
    for row in rows.drain(..) {
        if row.scope.region == scope.region || row.body::<Trail>()?.multi_region {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// DescribeTrails' input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeInput {
    #[serde(default)]
    trail_name_list: Vec<String>,
    include_shadow_trails: Option<bool>,
}

async fn describe(cx: &Cx, permit: Permit<DescribeTrails>, input: DescribeInput) -> Result<Reply> {
    let scope = permit.scope();
    let shadows = input.include_shadow_trails.unwrap_or(true);
    // A trail that is asked for and not there is left out, as on AWS.
    let wanted: Vec<(Scope, String)> = input.trail_name_list.iter().map(|name| named(cx, name)).collect::<Result<_>>()?;
    let mut out = Vec::new();
    for row in visible(cx, scope).await? {
        let asked = wanted.is_empty()
            || wanted
                .iter()
                .zip(&input.trail_name_list)
                .any(|((of, name), given)| row.id == *name && (row.scope == *of || !given.starts_with("arn:")));
        if asked && (shadows || row.scope.region == scope.region) {
            out.push(described(&row.scope, &row.id, &row.body::<Trail>()?));
        }
    }
    Ok(json!({ "trailList": out }).into())
}

async fn list(cx: &Cx, permit: Permit<ListTrails>, _: Value) -> Result<Reply> {
    // An account has few trails: one page holds them.
    let account = ByScope::Account(permit.account());
    let rows = cx.kernel.store().list(&List::by(TRAIL, account)).await?;
    let told = |row: &Row| json!({ "TrailARN": trail_arn(&row.scope, &row.id), "Name": row.id, "HomeRegion": row.scope.region });
    Ok(json!({ "Trails": rows.iter().map(told).collect::<Vec<_>>() }).into())
}

async fn status(cx: &Cx, permit: Permit<GetTrailStatus>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find(cx, permit.account(), &input.name).await?;
    let trail: Trail = row.body()?;
    let progress: Progress = match cx.kernel.store().get(DELIVERY, &scope, &row.id).await? {
        Some(row) => row.body()?,
        None => Progress::default(),
    };
    let mut out = json!({ "IsLogging": trail.logging });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out[name] = value;
        }
    };
    set("StartLoggingTime", trail.started.map(|at| json!(at)));
    set("StopLoggingTime", trail.stopped.map(|at| json!(at)));
    set("TimeLoggingStarted", trail.started.map(|at| json!(at.iso8601(false))));
    set("TimeLoggingStopped", trail.stopped.map(|at| json!(at.iso8601(false))));
    set("LatestDeliveryTime", progress.delivered.map(|at| json!(at)));
    set("LatestDeliveryAttemptTime", progress.attempted.map(|at| json!(at.iso8601(false))));
    set("LatestDeliveryAttemptSucceeded", progress.delivered.map(|at| json!(at.iso8601(false))));
    set("LatestDeliveryError", progress.error.map(|code| json!(code)));
    Ok(out.into())
}
