//! CreateModelPackage, DescribeModelPackage, DeleteModelPackage.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result, Scope, Tag};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::record::{self, GroupRecord, PackageRecord, package_document};
use crate::{
    author,
    error::{conflict, validation},
    names,
    operation::operation,
    tagging,
};

/// A lost race for a version number is run again so often.
const RACES: usize = 20;
/// Which package a client token has made: `account/region/token` to the package's ARN.
const TOKENS: &str = "sagemaker.model-package-token";
/// Members of CreateModelPackage that would change who may see what, and are not served.
const REFUSED: [&str; 2] = ["SecurityConfig", "ManagedStorageType"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    model_package_name: Option<String>,
    model_package_group_name: Option<String>,
    model_approval_status: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl CreateInput {
    /// What policies are asked about. A version's number is not known before, so all versions of the group stand for it.
    fn arn(&self, cx: &Cx) -> Result<Arn> {
        match (&self.model_package_name, &self.model_package_group_name) {
            (Some(name), None) => Ok(names::arn(&cx.scope(), "model-package", name)),
            (None, Some(group)) => versions_of(&record::group_arn(cx, group)?),
            _ => Err(validation("Exactly one of ModelPackageName and ModelPackageGroupName must be specified.")),
        }
    }
}

/// `model-package/<group>/*`: the resource of a check on all versions of a group.
pub(super) fn versions_of(group: &Arn) -> Result<Arn> {
    let scope = Scope::new(group.account(), group.region());
    Ok(names::arn(&scope, "model-package", &format!("{}/*", group.resource_type_and_id().1)))
}

/// A check on a package, under its group's policy and with the condition keys of the approval, metadata and life cycle
/// that a request has.
pub(super) fn check(action: &'static str, arn: Arn, approval: Option<&str>, metadata: Option<&Value>, cycle: Option<&Value>) -> Check {
    let mut check = Check::on(action, arn.clone()).key_if("sagemaker:ModelApprovalStatus", approval);
    for (key, value) in metadata.and_then(Value::as_object).into_iter().flatten() {
        check = check.key(format!("sagemaker:CustomerMetadataProperties/{key}"), value.as_str().unwrap_or_default());
    }
    let of_cycle = |member: &str| cycle.and_then(|cycle| cycle[member].as_str());
    check = check
        .key_if("sagemaker:ModelLifeCycle:Stage", of_cycle("Stage"))
        .key_if("sagemaker:ModelLifeCycle:StageStatus", of_cycle("StageStatus"));
    match record::group_of(&arn) {
        Some(group) => check.policy_of(group),
        None => check,
    }
}

/// Condition keys of what a package has already.
pub(crate) const CURRENT: [&str; 3] = [
    "sagemaker:CurrentCustomerMetadataProperties/${MetadataKey}",
    "sagemaker:CurrentModelLifeCycleStage",
    "sagemaker:CurrentModelLifeCycleStageStatus",
];

/// A check with the keys of [`CURRENT`]: none where the package is not there, which is told later.
pub(crate) async fn current(cx: &Cx, check: Check, package: &Arn) -> Result<Check> {
    let scope = Scope::new(package.account(), package.region());
    let Some(row) = cx.kernel.store().get(names::PACKAGE, &scope, &record::package_id(package)).await? else { return Ok(check) };
    let document = row.body::<PackageRecord>()?.document;
    let mut check = check;
    for (key, value) in document.get("CustomerMetadataProperties").and_then(Value::as_object).into_iter().flatten() {
        check = check.key(format!("sagemaker:CurrentCustomerMetadataProperties/{key}"), value.as_str().unwrap_or_default());
    }
    let of_cycle = |member: &str| document.get("ModelLifeCycle").and_then(|cycle| cycle[member].as_str());
    Ok(check
        .key_if("sagemaker:CurrentModelLifeCycleStage", of_cycle("Stage"))
        .key_if("sagemaker:CurrentModelLifeCycleStageStatus", of_cycle("StageStatus")))
}

operation!(
    CreateModelPackage,
    ["model-package"]
        + [
            "aws:RequestTag/${TagKey}", "aws:TagKeys",
            "sagemaker:ModelApprovalStatus",
            "sagemaker:CustomerMetadataProperties/${MetadataKey}",
            "sagemaker:ModelLifeCycle:Stage",
            "sagemaker:ModelLifeCycle:StageStatus"
        ]
        and ["sagemaker:AddTags"],
    CreateInput,
    resolve_create,
    create
);

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = input.arn(cx)?;
    let tag = tagging::on_create(&arn, &input.tags, "CreateModelPackage");
    let metadata = input.rest.get("CustomerMetadataProperties");
    let check = check(action, arn, input.model_approval_status.as_deref(), metadata, input.rest.get("ModelLifeCycle"));
    Ok(Checks::from(check.request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateModelPackage>, mut input: CreateInput) -> Result<Reply> {
    tagging::checked(&input.tags)?;
    if let Some(member) = REFUSED.iter().find(|member| input.rest.contains_key(**member)) {
        return Err(validation(format!("{member} is not supported: register the model without it.")));
    }
    if input.model_package_group_name.is_some() && !input.tags.is_empty() {
        return Err(validation("Tags are not supported on versioned model packages. Tag the model package group instead."));
    }
    let scope = permit.scope();
    let token = input.client_token.take().map(|token| format!("{}/{}/{token}", scope.account, scope.region));
    for _ in 0..RACES {
        if let Some(token) = &token
            && let Some(arn) = cx.kernel.store().unique(TOKENS, token).await?
        {
            return Ok(Reply::new(json!({"ModelPackageArn": arn})));
        }
        let (mut batch, record) = match &input.model_package_group_name {
            Some(group) => version(cx, scope, group, &input).await?,
            None => (Batch::new(), unversioned(cx, scope, &input)),
        };
        let arn = Arn::parse(record.arn.clone()).map_err(tenantry_core::AwsError::internal)?;
        let id = record::package_id(&arn);
        let parent = id.split_once('/').map_or("", |(group, _)| group).to_owned();
        let row = Row::new(names::PACKAGE, scope, id, cx.now()).parent(parent).name(arn.resource_type_and_id().1).status("Completed");
        batch.put(row.with(&record)?, Expect::Absent);
        batch.set_tags(arn.as_str(), input.tags.clone());
        if let Some(token) = &token {
            batch.claim_unique(TOKENS, token, arn.as_str());
        }
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) if input.model_package_name.is_some() => {
                return Err(validation(format!("Model Package already exists: {arn}")));
            }
            // Another version was registered, or this one by the same request.
            Err(CommitError::Conflict { .. } | CommitError::UniqueTaken { .. }) => {}
            done => return done.map(|()| Reply::new(json!({"ModelPackageArn": arn}))).map_err(Into::into),
        }
    }
    Err(conflict("The model package group is being changed. Try again."))
}

/// The next version of a group, and the group's new count.
async fn version(cx: &Cx, scope: &Scope, group: &str, input: &CreateInput) -> Result<(Batch, PackageRecord)> {
    let arn = record::group_arn(cx, group)?;
    let row = record::group(cx, scope, &arn).await?;
    let mut group: GroupRecord = row.body()?;
    let version = group.next_version;
    group.next_version += 1;
    let record = PackageRecord {
        arn: names::arn(scope, "model-package", &format!("{}/{version}", row.id)).to_string(),
        name: None,
        group: Some(group.name.clone()),
        version: Some(version),
        document: document(input, Some("PendingManualApproval")),
        created_by: author::of(&cx.caller),
        modified_by: None,
    };
    let mut batch = Batch::new();
    batch.update(row.with(&group)?);
    Ok((batch, record))
}

fn unversioned(cx: &Cx, scope: &Scope, input: &CreateInput) -> PackageRecord {
    let name = input.model_package_name.clone().unwrap_or_default();
    PackageRecord {
        arn: names::arn(scope, "model-package", &name).to_string(),
        name: Some(name),
        group: None,
        version: None,
        document: document(input, None),
        created_by: author::of(&cx.caller),
        modified_by: None,
    }
}

fn document(input: &CreateInput, approval: Option<&str>) -> Map<String, Value> {
    let mut document = input.rest.clone();
    document.retain(|_, value| !value.is_null());
    if let Some(approval) = input.model_approval_status.as_deref().or(approval) {
        document.insert("ModelApprovalStatus".to_owned(), json!(approval));
    }
    document
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PackageInput {
    model_package_name: String,
}

operation!(DescribeModelPackage, ["model-package"] + CURRENT, PackageInput, resolve, describe);
operation!(DeleteModelPackage, ["model-package"] + CURRENT, PackageInput, resolve, delete);

async fn resolve(cx: &Cx, action: &'static str, input: &PackageInput) -> Result<Checks> {
    let arn = record::package_arn(cx, &input.model_package_name)?;
    Ok(current(cx, check(action, arn.clone(), None, None, None), &arn).await?.into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeModelPackage>, input: PackageInput) -> Result<Reply> {
    let arn = record::package_arn(cx, &input.model_package_name)?;
    let row = record::package(cx, permit.scope(), &arn).await?;
    Ok(Reply::new(package_document(&row, &row.body()?).into()))
}

async fn delete(cx: &Cx, permit: Permit<DeleteModelPackage>, input: PackageInput) -> Result<Reply> {
    let arn = record::package_arn(cx, &input.model_package_name)?;
    let row = record::package(cx, permit.scope(), &arn).await?;
    let mut batch = Batch::new();
    batch.delete(names::PACKAGE, permit.scope(), &*row.id, Expect::Version(row.version));
    batch.set_tags(arn.as_str(), Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(conflict("The model package was changed by another request at the same time. Try again.")),
        done => done.map(|()| Reply::empty()).map_err(Into::into),
    }
}
