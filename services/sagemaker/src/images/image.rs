//! CreateImage, DescribeImage, UpdateImage, DeleteImage.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Tag};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use super::{IMAGE, ImageRecord, VERSION, arn_of, find};
use crate::{
    error::{in_use, validation},
    names,
    operation::operation,
    tagging,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    image_name: String,
    display_name: Option<String>,
    description: Option<String>,
    role_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn pass(cx: &Cx, role: &str, image: &Arn) -> Result<Check> {
    let arn = Arn::parse(role).map_err(|_| validation(format!("Invalid role ARN: {role}")))?;
    if arn.account() != cx.caller.account.as_str() {
        return Err(validation("Cross-account pass role is not allowed."));
    }
    Ok(Check::pass_role_for(arn, names::PRINCIPAL, image))
}

operation!(CreateImage, ["image"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:PassRole", "sagemaker:AddTags"], CreateInput, resolve_create, create);

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of(cx, &input.image_name);
    let tag = tagging::on_create(&arn, &input.tags, "CreateImage");
    let role = pass(cx, &input.role_arn, &arn)?;
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and(role).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateImage>, input: CreateInput) -> Result<Reply> {
    tagging::checked(&input.tags)?;
    let scope = permit.scope();
    let arn = names::arn(scope, "image", &input.image_name);
    let record = ImageRecord {
        arn: arn.to_string(),
        name: input.image_name.clone(),
        display_name: input.display_name,
        description: input.description,
        role: input.role_arn,
        next_version: 1,
    };
    let mut batch = Batch::new();
    let row = Row::new(IMAGE, scope, input.image_name.to_lowercase(), cx.now()).name(input.image_name).status("CREATED");
    batch.put(row.with(&record)?, Expect::Absent);
    batch.set_tags(arn.as_str(), input.tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(in_use(format!("Image {arn} already exists."))),
        done => done.map(|()| Reply::new(json!({"ImageArn": arn}))).map_err(Into::into),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ImageInput {
    image_name: String,
    display_name: Option<String>,
    description: Option<String>,
    role_arn: Option<String>,
    #[serde(default)]
    delete_properties: Vec<String>,
}

operation!(DescribeImage, ["image"], ImageInput, resolve, describe);
operation!(UpdateImage, ["image"] + [] and ["iam:PassRole"], ImageInput, resolve_update, update);
operation!(DeleteImage, ["image"], ImageInput, resolve, delete);

async fn resolve(cx: &Cx, action: &'static str, input: &ImageInput) -> Result<Checks> {
    Ok(Check::on(action, arn_of(cx, &input.image_name)).into())
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &ImageInput) -> Result<Checks> {
    let arn = arn_of(cx, &input.image_name);
    let role = input.role_arn.as_deref().map(|role| pass(cx, role, &arn)).transpose()?;
    Ok(Checks::from(Check::on(action, arn)).and_if(role))
}

async fn describe(cx: &Cx, permit: Permit<DescribeImage>, input: ImageInput) -> Result<Reply> {
    let row = find(cx, permit.scope(), &input.image_name).await?;
    let record: ImageRecord = row.body()?;
    let mut document = record.document(&row);
    document.insert("RoleArn".to_owned(), json!(record.role));
    Ok(Reply::new(document.into()))
}

async fn update(cx: &Cx, permit: Permit<UpdateImage>, input: ImageInput) -> Result<Reply> {
    let row = find(cx, permit.scope(), &input.image_name).await?;
    let mut record: ImageRecord = row.body()?;
    for property in &input.delete_properties {
        match property.as_str() {
            "DisplayName" => record.display_name = None,
            _ => record.description = None,
        }
    }
    record.display_name = input.display_name.or(record.display_name);
    record.description = input.description.or(record.description);
    record.role = input.role_arn.unwrap_or(record.role);
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()).with(&record)?);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(in_use(format!("Image {} is being changed. Try again.", record.arn))),
        done => done.map(|()| Reply::new(json!({"ImageArn": record.arn}))).map_err(Into::into),
    }
}

async fn delete(cx: &Cx, permit: Permit<DeleteImage>, input: ImageInput) -> Result<Reply> {
    let scope = permit.scope();
    let row = find(cx, scope, &input.image_name).await?;
    let record: ImageRecord = row.body()?;
    let mut batch = Batch::new();
    for version in cx.kernel.store().list(&List::of(VERSION, scope).parent(&row.id)).await? {
        batch.delete(VERSION, scope, version.id, Expect::Any);
    }
    // A version made in between has changed the image's row.
    batch.delete(IMAGE, scope, &*row.id, Expect::Version(row.version));
    batch.set_tags(&*record.arn, Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(in_use(format!("Image {} is being changed. Try again.", record.arn))),
        done => done.map(|()| Reply::empty()).map_err(Into::into),
    }
}
