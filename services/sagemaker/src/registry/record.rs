//! The rows of the registry, and what the names in requests mean.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::Cx;
use tenantry_store::Row;

use crate::{error::validation, names, pipelines::members};

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    pub arn: String,
    pub name: String,
    pub description: Option<String>,
    pub created_by: Value,
    /// The number that the next version gets.
    pub next_version: u32,
}

/// A model package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PackageRecord {
    pub arn: String,
    /// Of an unversioned package.
    pub name: Option<String>,
    /// Of a version: its group's name and its number.
    pub group: Option<String>,
    pub version: Option<u32>,
    /// The members of CreateModelPackage that Describe echoes.
    pub document: Map<String, Value>,
    pub created_by: Value,
    pub modified_by: Option<Value>,
}

/// The ARN that a name or ARN of a group means.
pub(super) fn group_arn(cx: &Cx, name: &str) -> Result<Arn> {
    named(cx, "model-package-group", name)
}

/// The ARN that a name, `group/version` or ARN of a package means.
pub(crate) fn package_arn(cx: &Cx, name: &str) -> Result<Arn> {
    let arn = named(cx, "model-package", name)?;
    // One version has one ARN: a policy about `group/1` would not be asked about `group/01`.
    let version = arn.resource_type_and_id().1.split_once('/').map(|(_, version)| version);
    if version.is_some_and(|version| version.starts_with('0') || !version.bytes().all(|b| b.is_ascii_digit())) {
        return Err(validation(format!("ModelPackage {arn} does not exist.")));
    }
    Ok(arn)
}

fn named(cx: &Cx, of: &str, name: &str) -> Result<Arn> {
    if !name.starts_with("arn:") {
        return Ok(names::arn(&cx.scope(), of, name));
    }
    let invalid = || validation(format!("Invalid {of} ARN: {name}"));
    let arn = Arn::parse(name).map_err(|_| invalid())?;
    let (kind, rest) = arn.resource_type_and_id();
    if arn.service() != "sagemaker" || kind != of || arn.region() != cx.region.as_str() {
        return Err(invalid());
    }
    Ok(names::arn(&Scope::new(arn.account(), arn.region()), of, rest))
}

/// The group that a package's ARN belongs to: it has the policy.
pub(crate) fn group_of(package: &Arn) -> Option<Arn> {
    let (group, _) = package.resource_type_and_id().1.split_once('/')?;
    Some(names::arn(&Scope::new(package.account(), package.region()), "model-package-group", group))
}

/// The id of the row behind a package's ARN: versions are padded, so that ids are ordered like versions.
pub(super) fn package_id(arn: &Arn) -> String {
    let name = arn.resource_type_and_id().1;
    match name.split_once('/') {
        Some((group, version)) => format!("{group}/{version:0>10}"),
        None => name.to_owned(),
    }
}

pub(super) fn no_group(arn: &Arn) -> AwsError {
    validation(format!("ModelPackageGroup {arn} does not exist."))
}

/// A group's row.
pub(super) async fn group(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<Row> {
    let row = cx.kernel.store().get(names::PACKAGE_GROUP, scope, arn.resource_type_and_id().1).await?;
    row.ok_or_else(|| no_group(arn))
}

/// A package's row.
pub(super) async fn package(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<Row> {
    let row = cx.kernel.store().get(names::PACKAGE, scope, &package_id(arn)).await?;
    row.ok_or_else(|| validation(format!("ModelPackage {arn} does not exist.")))
}

/// What DescribeModelPackageGroup and Search show.
pub(crate) fn group_document(row: &Row, record: &GroupRecord) -> Map<String, Value> {
    members([
        ("ModelPackageGroupName", Some(json!(record.name))),
        ("ModelPackageGroupArn", Some(json!(record.arn))),
        ("ModelPackageGroupDescription", record.description.as_ref().map(|text| json!(text))),
        ("CreationTime", Some(json!(row.created))),
        ("CreatedBy", Some(record.created_by.clone())),
        ("ModelPackageGroupStatus", Some(json!(row.status))),
    ])
}

/// What DescribeModelPackage and Search show.
pub(crate) fn package_document(row: &Row, record: &PackageRecord) -> Map<String, Value> {
    let changed = record.modified_by.as_ref();
    let mut document = members([
        // The model requires a name; a version is known by its group's.
        ("ModelPackageName", Some(json!(record.name.as_ref().or(record.group.as_ref())))),
        ("ModelPackageGroupName", record.group.as_ref().map(|group| json!(group))),
        ("ModelPackageVersion", record.version.map(|version| json!(version))),
        ("ModelPackageArn", Some(json!(record.arn))),
        ("CreationTime", Some(json!(row.created))),
        ("ModelPackageStatus", Some(json!(row.status))),
        ("ModelPackageStatusDetails", Some(json!({"ValidationStatuses": [], "ImageScanStatuses": []}))),
        ("CreatedBy", Some(record.created_by.clone())),
        ("LastModifiedTime", changed.map(|_| json!(row.updated))),
        ("LastModifiedBy", changed.cloned()),
    ]);
    document.extend(record.document.clone());
    document
}
