//! CreateModelPackageGroup, DescribeModelPackageGroup, ListModelPackageGroups, DeleteModelPackageGroup.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Tag};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply, directory::kind::RESOURCE_POLICY};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::record::{self, GroupRecord, group_document};
use crate::{
    author,
    error::{conflict, validation},
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    pipelines::members,
    tagging,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    model_package_group_name: String,
    model_package_group_description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    managed_configuration: Option<Value>,
}

operation!(CreateModelPackageGroup, ["model-package-group"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], CreateInput, resolve_create, create);

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = names::arn(&cx.scope(), "model-package-group", &input.model_package_group_name);
    let tag = tagging::on_create(&arn, &input.tags, "CreateModelPackageGroup");
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateModelPackageGroup>, input: CreateInput) -> Result<Reply> {
    if input.managed_configuration.is_some() {
        return Err(validation("ManagedConfiguration is not supported: create the group without it."));
    }
    tagging::checked(&input.tags)?;
    let (scope, name) = (permit.scope(), input.model_package_group_name);
    let arn = names::arn(scope, "model-package-group", &name);
    let record = GroupRecord {
        arn: arn.to_string(),
        name: name.clone(),
        description: input.model_package_group_description,
        created_by: author::of(&cx.caller),
        next_version: 1,
    };
    let row = Row::new(names::PACKAGE_GROUP, scope, arn.resource_type_and_id().1, cx.now()).name(name).status("Completed").with(&record)?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.set_tags(arn.as_str(), input.tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(validation(format!("Model Package Group already exists: {arn}"))),
        done => done.map(|()| Reply::new(json!({"ModelPackageGroupArn": arn}))).map_err(Into::into),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GroupInput {
    model_package_group_name: String,
}

operation!(DescribeModelPackageGroup, ["model-package-group"], GroupInput, resolve_group, describe);
operation!(DeleteModelPackageGroup, ["model-package-group"], GroupInput, resolve_group, delete);

async fn resolve_group(cx: &Cx, action: &'static str, input: &GroupInput) -> Result<Checks> {
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    Ok(Check::on(action, arn.clone()).policy_of(arn).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeModelPackageGroup>, input: GroupInput) -> Result<Reply> {
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    let row = record::group(cx, permit.scope(), &arn).await?;
    Ok(Reply::new(group_document(&row, &row.body()?).into()))
}

async fn delete(cx: &Cx, permit: Permit<DeleteModelPackageGroup>, input: GroupInput) -> Result<Reply> {
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    let row = record::group(cx, permit.scope(), &arn).await?;
    let mut batch = Batch::new();
    batch.require_none(names::PACKAGE, permit.scope(), &*row.id);
    batch.delete(names::PACKAGE_GROUP, permit.scope(), &*row.id, Expect::Version(row.version));
    batch.delete(RESOURCE_POLICY, permit.scope(), arn.as_str(), Expect::Any);
    batch.set_tags(arn.as_str(), Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::NotEmpty { .. }) => Err(conflict("Model Package Group contains Model Packages and cannot be deleted.")),
        Err(CommitError::Conflict { .. }) => {
            Err(conflict("Model Package Group was changed by another request at the same time. Try again."))
        }
        done => done.map(|()| Reply::empty()).map_err(Into::into),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    cross_account_filter_option: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListModelPackageGroups, ["*"], ListInput, resolve_list, list);

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListModelPackageGroups>, input: ListInput) -> Result<Reply> {
    // Groups of other accounts are shared by Resource Access Manager, and none are.
    let own = input.cross_account_filter_option.as_deref() != Some("CrossAccount");
    let page = listing::page(cx, permit.scope(), Shape::of(names::PACKAGE_GROUP), &input.filter, |_| own).await?;
    let mut groups = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let mut summary = group_document(row, &row.body()?);
        summary.shift_remove("CreatedBy");
        groups.push(Value::from(summary));
    }
    let list = ("ModelPackageGroupSummaryList", Some(groups.into()));
    Ok(Reply::new(members([list, ("NextToken", page.next_token.map(Value::from))]).into()))
}
