//! AddTags, ListTags, DeleteTags: on any SageMaker resource, by its ARN.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, AwsError, Result, Scope, Tag};
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Expect, Kind};

use crate::{
    error::{not_found, validation},
    names,
    registry::{self, CURRENT},
    studio,
};

/// Tags that a resource may have.
pub const MAX_TAGS: usize = 50;

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<AddTags>(), OperationRow::of::<ListTags>(), OperationRow::of::<DeleteTags>()]
}

const TYPES: &[&str] = &[
    "action",
    "app",
    "domain",
    "experiment",
    "experiment-trial",
    "experiment-trial-component",
    "endpoint",
    "endpoint-config",
    "hyper-parameter-tuning-job",
    "image",
    "model",
    "model-package",
    "model-package-group",
    "pipeline",
    "processing-job",
    "space",
    "studio-lifecycle-config",
    "training-job",
    "transform-job",
    "user-profile",
];

/// `sagemaker:AddTags` on a resource that a call makes with tags; `None` without tags.
#[must_use]
pub fn on_create(resource: &Arn, tags: &[Tag], creating: &'static str) -> Option<Check> {
    (!tags.is_empty()).then(|| Check::on("sagemaker:AddTags", resource.clone()).request_tags(tags).key("sagemaker:TaggingAction", creating))
}

/// Tags of a create request, checked.
///
/// # Errors
/// `ValidationException` for doubled keys (condition keys know no case), `aws:` keys and more than 50.
pub fn checked(tags: &[Tag]) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(validation(format!("The number of tags exceeds the limit of {MAX_TAGS}.")));
    }
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(validation("aws: prefixed tag key names are not allowed for external use."));
        }
        if tags[..index].iter().any(|other| same(&other.key, &tag.key)) {
            return Err(doubled(&tag.key));
        }
    }
    Ok(())
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn doubled(key: &str) -> AwsError {
    validation(format!("Duplicate tag keys found. Please note that Tag keys are case insensitive: {key}."))
}

/// The ARN of a resource here, as its tags are kept under it and policies are asked about it.
fn parse(cx: &Cx, text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).map_err(|_| validation(format!("Invalid ARN: {text}")))?;
    if arn.partition() != "aws" || arn.service() != "sagemaker" || arn.region() != cx.region.as_str() {
        return Err(validation(format!("Invalid ARN: {text} is not of SageMaker in {}.", cx.region)));
    }
    let (of, name) = arn.resource_type_and_id();
    let scope = Scope::new(arn.account(), arn.region());
    Ok(if of == "app" { studio::app_arn(&scope, name) } else { names::arn(&scope, of, name) })
}

/// A check on a resource, with what its type has condition keys of.
async fn on(cx: &Cx, action: &'static str, text: &str) -> Result<Check> {
    let arn = parse(cx, text)?;
    let check = Check::on(action, arn.clone());
    if arn.resource_type_and_id().0 == "model-package" { registry::current(cx, check, &arn).await } else { Ok(check) }
}

/// The row behind an ARN: kind and id.
fn row_of(arn: &Arn) -> Option<(Kind, String)> {
    let (of, name) = arn.resource_type_and_id();
    let kind = match of {
        "pipeline" => match name.split_once("/execution/") {
            Some((pipeline, execution)) => return Some((names::EXECUTION, format!("{pipeline}/{execution}"))),
            None => names::PIPELINE,
        },
        "training-job" => names::TRAINING_JOB,
        "processing-job" => names::PROCESSING_JOB,
        "hyper-parameter-tuning-job" => names::TUNING_JOB,
        "transform-job" => names::TRANSFORM_JOB,
        "model" => names::MODEL,
        "endpoint-config" => names::ENDPOINT_CONFIG,
        "endpoint" => names::ENDPOINT,
        "model-package-group" => names::PACKAGE_GROUP,
        "model-package" => names::PACKAGE,
        "experiment" => Kind::new("sagemaker.experiment"),
        "experiment-trial" => Kind::new("sagemaker.trial"),
        "experiment-trial-component" => Kind::new("sagemaker.trial-component"),
        "image" => Kind::new("sagemaker.image"),
        "domain" => studio::DOMAIN,
        "user-profile" => studio::PROFILE,
        "space" => studio::SPACE,
        "app" => studio::APP,
        "studio-lifecycle-config" => studio::LIFECYCLE,
        _ => return None,
    };
    Some((kind, name.to_owned()))
}

/// Rows whose ids keep the case that the ARN lost are found by their name in lower case.
async fn require(cx: &Cx, arn: &Arn) -> Result<(Kind, Scope, String)> {
    let missing = || not_found(format!("Resource {arn} does not exist."));
    let scope = Scope::new(arn.account(), arn.region());
    let (kind, id) = row_of(arn).ok_or_else(missing)?;
    if cx.kernel.store().get(kind, &scope, &id).await?.is_some() {
        return Ok((kind, scope, id));
    }
    let rows = cx.kernel.store().list(&tenantry_store::List::of(kind, &scope)).await?;
    let row = rows.into_iter().find(|row| row.id.to_lowercase() == id || row.name.to_lowercase() == id).ok_or_else(missing)?;
    Ok((kind, scope, row.id))
}

/// AddTags (SageMaker API Reference).
pub struct AddTags;

/// AddTags' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddTagsInput {
    resource_arn: String,
    tags: Vec<Tag>,
}

impl Operation for AddTags {
    const SERVICE: &'static str = "sagemaker";
    const NAME: &'static str = "AddTags";
    const ACCESS: Access = Access::check_with(
        "sagemaker:AddTags",
        TYPES,
        &[
            "aws:RequestTag/${TagKey}",
            "aws:TagKeys",
            "sagemaker:TaggingAction",
            "sagemaker:CurrentCustomerMetadataProperties/${MetadataKey}",
            "sagemaker:CurrentModelLifeCycleStage",
            "sagemaker:CurrentModelLifeCycleStageStatus",
        ],
    );
    type Input = AddTagsInput;

    async fn resolve(cx: &Cx, input: &AddTagsInput) -> Result<Checks> {
        Ok(on(cx, "sagemaker:AddTags", &input.resource_arn).await?.request_tags(&input.tags).into())
    }

    async fn handle(cx: &Cx, _: Permit<Self>, input: AddTagsInput) -> Result<Reply> {
        checked(&input.tags)?;
        let arn = parse(cx, &input.resource_arn)?;
        let (kind, scope, id) = require(cx, &arn).await?;
        let mut all = cx.kernel.store().tags(arn.as_str()).await?;
        for tag in &input.tags {
            if all.iter().any(|had| had.key != tag.key && same(&had.key, &tag.key)) {
                return Err(doubled(&tag.key));
            }
            all.retain(|had| had.key != tag.key);
            all.push(tag.clone());
        }
        if all.len() > MAX_TAGS {
            return Err(validation(format!("The number of tags exceeds the limit of {MAX_TAGS}.")));
        }
        let mut batch = Batch::new();
        batch.require(kind, &scope, id, Expect::Present);
        batch.merge_tags(arn.as_str(), input.tags);
        cx.commit(batch).await?;
        Ok(Reply::new(json!({"Tags": all})))
    }
}

/// ListTags (SageMaker API Reference).
pub struct ListTags;

/// ListTags' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsInput {
    resource_arn: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Operation for ListTags {
    const SERVICE: &'static str = "sagemaker";
    const NAME: &'static str = "ListTags";
    const ACCESS: Access = Access::check_with("sagemaker:ListTags", TYPES, &CURRENT);
    type Input = ListTagsInput;

    async fn resolve(cx: &Cx, input: &ListTagsInput) -> Result<Checks> {
        Ok(on(cx, "sagemaker:ListTags", &input.resource_arn).await?.into())
    }

    async fn handle(cx: &Cx, _: Permit<Self>, input: ListTagsInput) -> Result<Reply> {
        let arn = parse(cx, &input.resource_arn)?;
        require(cx, &arn).await?;
        let mut tags = cx.kernel.store().tags(arn.as_str()).await?;
        if let Some(token) = &input.next_token {
            let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|b| String::from_utf8(b).ok());
            let after = after.ok_or_else(|| validation("The NextToken is not valid."))?;
            tags.retain(|tag| tag.key > after);
        }
        let size = input.max_results.unwrap_or(MAX_TAGS);
        let next = (tags.len() > size).then(|| URL_SAFE_NO_PAD.encode(&tags[size - 1].key));
        tags.truncate(size);
        let mut output = json!({"Tags": tags});
        if let Some(next) = next {
            output["NextToken"] = json!(next);
        }
        Ok(Reply::new(output))
    }
}

/// DeleteTags (SageMaker API Reference).
pub struct DeleteTags;

/// DeleteTags' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteTagsInput {
    resource_arn: String,
    tag_keys: Vec<String>,
}

impl Operation for DeleteTags {
    const SERVICE: &'static str = "sagemaker";
    const NAME: &'static str = "DeleteTags";
    const ACCESS: Access = Access::check_with(
        "sagemaker:DeleteTags",
        TYPES,
        &[
            "aws:TagKeys",
            "sagemaker:CurrentCustomerMetadataProperties/${MetadataKey}",
            "sagemaker:CurrentModelLifeCycleStage",
            "sagemaker:CurrentModelLifeCycleStageStatus",
        ],
    );
    type Input = DeleteTagsInput;

    async fn resolve(cx: &Cx, input: &DeleteTagsInput) -> Result<Checks> {
        Ok(on(cx, "sagemaker:DeleteTags", &input.resource_arn).await?.tag_keys(&input.tag_keys).into())
    }

    async fn handle(cx: &Cx, _: Permit<Self>, input: DeleteTagsInput) -> Result<Reply> {
        let arn = parse(cx, &input.resource_arn)?;
        require(cx, &arn).await?;
        let mut batch = Batch::new();
        batch.remove_tags(arn.as_str(), input.tag_keys);
        cx.commit(batch).await?;
        Ok(Reply::empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::world::{ALL, World};

    const GROUP: &str = "arn:aws:sagemaker:us-east-1:111122223333:model-package-group/g";

    fn tags(pairs: &[(&str, &str)]) -> Value {
        pairs.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
    }

    /// Condition keys know no case: a second spelling could stand in for the first.
    #[tokio::test]
    async fn a_key_has_one_spelling() {
        let world = World::new();
        let admin = world.role("admin", ALL, &[]).await;
        let create = |tags: Value| json!({"ModelPackageGroupName": "g", "Tags": tags});
        let error = world.refused(&admin, "CreateModelPackageGroup", create(tags(&[("tenant", "t2"), ("Tenant", "t1")]))).await;
        assert_eq!(error.message, "Duplicate tag keys found. Please note that Tag keys are case insensitive: Tenant.");
        world.ok(&admin, "CreateModelPackageGroup", create(tags(&[("Tenant", "t2")]))).await;
        let error = world.refused(&admin, "AddTags", json!({"ResourceArn": GROUP, "Tags": tags(&[("tenant", "t1")])})).await;
        assert_eq!(error.code, "ValidationException");
        world.ok(&admin, "AddTags", json!({"ResourceArn": GROUP, "Tags": tags(&[("Tenant", "t3")])})).await;
        assert_eq!(world.ok(&admin, "ListTags", json!({"ResourceArn": GROUP})).await["Tags"], tags(&[("Tenant", "t3")]));
    }

    #[tokio::test]
    async fn a_resource_has_one_arn() {
        let world = World::new();
        let admin = world.role("admin", ALL, &[]).await;
        world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "g"})).await;
        for other in [GROUP.replace("us-east-1", "eu-west-1"), GROUP.replace("aws:", "aws-cn:")] {
            for (operation, rest) in
                [("AddTags", json!({"Tags": tags(&[("k", "v")])})), ("ListTags", json!({})), ("DeleteTags", json!({"TagKeys": ["k"]}))]
            {
                let mut request = rest;
                request["ResourceArn"] = json!(other);
                assert_eq!(world.refused(&admin, operation, request).await.code, "ValidationException", "{operation} {other}");
            }
        }
        world.ok(&admin, "AddTags", json!({"ResourceArn": GROUP.replace("/g", "/G"), "Tags": tags(&[("k", "v")])})).await;
        assert_eq!(world.ok(&admin, "ListTags", json!({"ResourceArn": GROUP})).await["Tags"], tags(&[("k", "v")]));
    }
}
