//! ListModelPackages.

use serde::Deserialize;
use serde_json::Value;
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::{
    package::{check, versions_of},
    record::{self, PackageRecord, package_document},
};
use crate::{
    error::validation,
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    pipelines::members,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    model_approval_status: Option<String>,
    model_package_group_name: Option<String>,
    model_package_type: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListModelPackages, ["model-package"], ListInput, resolve, list);

async fn resolve(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    Ok(match &input.model_package_group_name {
        Some(group) => check(action, versions_of(&record::group_arn(cx, group)?)?, None, None, None).into(),
        None => Check::any(action).into(),
    })
}

async fn list(cx: &Cx, permit: Permit<ListModelPackages>, input: ListInput) -> Result<Reply> {
    let of = input.model_package_type.as_deref();
    if input.model_package_group_name.is_some() && of == Some("Unversioned") {
        return Err(validation("ModelPackageGroupName cannot be specified when ModelPackageType is Unversioned."));
    }
    let group = match &input.model_package_group_name {
        Some(group) => {
            let arn = record::group_arn(cx, group)?;
            Some(record::group(cx, permit.scope(), &arn).await?.id)
        }
        None => None,
    };
    let mut shape = Shape::of(names::PACKAGE);
    shape.parent = group.as_deref();
    let kept = |row: &tenantry_store::Row| {
        let versioned = !row.parent.is_empty();
        // AWS lists unversioned packages unless told otherwise.
        let of_type = match of {
            Some("Both") => true,
            Some("Versioned") => versioned,
            _ => versioned == group.is_some(),
        };
        of_type && input.model_approval_status.as_deref().is_none_or(|wanted| approval(row).as_deref() == Some(wanted))
    };
    let page = listing::page(cx, permit.scope(), shape, &input.filter, kept).await?;
    let mut summaries = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let mut summary = package_document(row, &row.body()?);
        let versioned = summary.contains_key("ModelPackageVersion");
        summary.retain(|member, _| SHOWN.contains(&member.as_str()) && !(versioned && member == "ModelPackageName"));
        summaries.push(Value::from(summary));
    }
    let list = ("ModelPackageSummaryList", Some(summaries.into()));
    Ok(Reply::new(members([list, ("NextToken", page.next_token.map(Value::from))]).into()))
}

/// The members of `ModelPackageSummary`.
const SHOWN: [&str; 10] = [
    "ModelPackageName",
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
];

fn approval(row: &tenantry_store::Row) -> Option<String> {
    let record: PackageRecord = row.body().ok()?;
    record.document.get("ModelApprovalStatus").and_then(Value::as_str).map(str::to_owned)
}
