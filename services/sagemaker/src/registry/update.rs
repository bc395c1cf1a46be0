//! UpdateModelPackage: approval, metadata, and what else may change of a registered model.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError};

use super::{
    package::{check, current},
    record::{self, PackageRecord},
};
use crate::{
    author,
    error::{conflict, validation},
    operation::operation,
};

/// Customer metadata of a model package.
const MAX_METADATA: usize = 50;
/// A lost race is run again so often.
const RACES: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    model_package_arn: String,
    model_approval_status: Option<String>,
    customer_metadata_properties: Option<Value>,
    #[serde(default)]
    customer_metadata_properties_to_remove: Vec<String>,
    additional_inference_specifications_to_add: Option<Vec<Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(
    UpdateModelPackage,
    ["model-package"]
        + [
            "sagemaker:ModelApprovalStatus",
            "sagemaker:CustomerMetadataProperties/${MetadataKey}",
            "sagemaker:CustomerMetadataPropertiesToRemove",
            "sagemaker:CurrentCustomerMetadataProperties/${MetadataKey}",
            "sagemaker:CurrentModelLifeCycleStage",
            "sagemaker:CurrentModelLifeCycleStageStatus",
            "sagemaker:ModelLifeCycle:Stage",
            "sagemaker:ModelLifeCycle:StageStatus"
        ],
    UpdateInput,
    resolve,
    update
);

async fn resolve(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    let arn = record::package_arn(cx, &input.model_package_arn)?;
    let (approval, metadata) = (input.model_approval_status.as_deref(), input.customer_metadata_properties.as_ref());
    let mut check = current(cx, check(action, arn.clone(), approval, metadata, input.rest.get("ModelLifeCycle")), &arn).await?;
    if !input.customer_metadata_properties_to_remove.is_empty() {
        check = check.list("sagemaker:CustomerMetadataPropertiesToRemove", input.customer_metadata_properties_to_remove.clone());
    }
    Ok(check.into())
}

async fn update(cx: &Cx, permit: Permit<UpdateModelPackage>, input: UpdateInput) -> Result<Reply> {
    let arn = record::package_arn(cx, &input.model_package_arn)?;
    for _ in 0..RACES {
        let row = record::package(cx, permit.scope(), &arn).await?;
        let mut record: PackageRecord = row.body()?;
        if record.version.is_none() && input.model_approval_status.is_some() {
            return Err(validation("Approval status is only supported for versioned model packages."));
        }
        apply(&mut record.document, &input)?;
        record.modified_by = Some(author::of(&cx.caller));
        let mut batch = Batch::new();
        batch.update(row.at(cx.now()).with(&record)?);
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => return done.map(|()| Reply::new(json!({"ModelPackageArn": arn}))).map_err(Into::into),
        }
    }
    Err(conflict("The model package is being changed. Try again."))
}

fn apply(document: &mut Map<String, Value>, input: &UpdateInput) -> Result<()> {
    if let Some(status) = &input.model_approval_status {
        document.insert("ModelApprovalStatus".to_owned(), json!(status));
    }
    let replaced =
        ["ApprovalDescription", "InferenceSpecification", "SourceUri", "ModelCard", "ModelLifeCycle", "ModelPackageRegistrationType"];
    for member in replaced {
        if let Some(value) = input.rest.get(member).filter(|value| !value.is_null()) {
            document.insert(member.to_owned(), value.clone());
        }
    }
    if let Some(more) = &input.additional_inference_specifications_to_add {
        let list = document.entry("AdditionalInferenceSpecifications").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.extend(more.iter().cloned());
        }
    }
    metadata(document, input)
}

fn metadata(document: &mut Map<String, Value>, input: &UpdateInput) -> Result<()> {
    let mut all = document.get("CustomerMetadataProperties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in input.customer_metadata_properties.as_ref().and_then(Value::as_object).into_iter().flatten() {
        all.insert(key.clone(), value.clone());
    }
    for key in &input.customer_metadata_properties_to_remove {
        all.shift_remove(key);
    }
    if all.len() > MAX_METADATA {
        return Err(validation(format!("A model package has at most {MAX_METADATA} customer metadata properties.")));
    }
    if all.is_empty() {
        document.shift_remove("CustomerMetadataProperties");
    } else {
        document.insert("CustomerMetadataProperties".to_owned(), all.into());
    }
    Ok(())
}
