//! CreateImageVersion, DescribeImageVersion, UpdateImageVersion, DeleteImageVersion.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use super::{IMAGE, ImageRecord, VERSION, VersionRecord, arn_of, find, find_version};
use crate::{
    error::{in_use, validation},
    names,
    operation::operation,
};

/// Members that Describe echoes.
const ECHOED: [&str; 7] = ["VendorGuidance", "JobType", "MLFramework", "ProgrammingLang", "Processor", "Horovod", "ReleaseNotes"];
/// A lost race for a number is run again so often.
const RACES: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    image_name: String,
    base_image: String,
    client_token: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(CreateImageVersion, ["image"], CreateInput, resolve_create, create);

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    Ok(Check::on(action, arn_of(cx, &input.image_name)).into())
}

fn echoed(rest: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> + '_ {
    rest.iter().filter(|(member, value)| ECHOED.contains(&member.as_str()) && !value.is_null()).map(|(k, v)| (k.clone(), v.clone()))
}

async fn versions(cx: &Cx, scope: &Scope, image: &str) -> Result<Vec<VersionRecord>> {
    let rows = cx.kernel.store().list(&List::of(VERSION, scope).parent(image)).await?;
    rows.iter().map(|row| Ok(row.body()?)).collect()
}

async fn create(cx: &Cx, permit: Permit<CreateImageVersion>, input: CreateInput) -> Result<Reply> {
    let scope = permit.scope();
    for _ in 0..RACES {
        let row = find(cx, scope, &input.image_name).await?;
        let mut image: ImageRecord = row.body()?;
        let others = versions(cx, scope, &row.id).await?;
        if let Some(same) = others.iter().find(|version| version.token == input.client_token) {
            return Ok(Reply::new(json!({"ImageVersionArn": same.arn})));
        }
        if let Some(alias) = input.aliases.iter().find(|alias| others.iter().any(|version| version.aliases.contains(alias))) {
            return Err(in_use(format!("Alias {alias} is already used by another version of image {}.", image.arn)));
        }
        let version = image.next_version;
        image.next_version += 1;
        let record = VersionRecord {
            arn: names::arn(scope, "image-version", &format!("{}/{version}", row.id)).to_string(),
            image_arn: image.arn.clone(),
            version,
            base: input.base_image.clone(),
            token: input.client_token.clone(),
            aliases: input.aliases.clone(),
            document: echoed(&input.rest).collect(),
        };
        let mut batch = Batch::new();
        let made = Row::new(VERSION, scope, format!("{}/{version:010}", row.id), cx.now()).parent(&*row.id).status("CREATED");
        batch.put(made.with(&record)?, Expect::Absent);
        batch.update(row.at(cx.now()).with(&image)?);
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => return done.map(|()| Reply::new(json!({"ImageVersionArn": record.arn}))).map_err(Into::into),
        }
    }
    Err(in_use("The image is being changed. Try again."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionInput {
    image_name: String,
    version: Option<u32>,
    alias: Option<String>,
    #[serde(default)]
    aliases_to_add: Vec<String>,
    #[serde(default)]
    aliases_to_delete: Vec<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(DescribeImageVersion, ["image-version"], VersionInput, resolve, describe);
operation!(UpdateImageVersion, ["image-version"], VersionInput, resolve, update);
operation!(DeleteImageVersion, ["image-version"], VersionInput, resolve, delete);

/// The version may be named by number, by alias or not at all; policies are asked about the number or all versions.
async fn resolve(cx: &Cx, action: &'static str, input: &VersionInput) -> Result<Checks> {
    let version = input.version.map_or_else(|| "*".to_owned(), |version| version.to_string());
    Ok(Check::on(action, names::arn(&cx.scope(), "image-version", &format!("{}/{version}", input.image_name))).into())
}

async fn named(cx: &Cx, scope: &Scope, input: &VersionInput) -> Result<(Row, VersionRecord)> {
    find_version(cx, scope, &input.image_name, input.version, input.alias.as_deref()).await
}

async fn describe(cx: &Cx, permit: Permit<DescribeImageVersion>, input: VersionInput) -> Result<Reply> {
    let (row, record) = named(cx, permit.scope(), &input).await?;
    let mut document = record.summary(&row);
    document.insert("BaseImage".to_owned(), json!(record.base));
    document.insert("ContainerImage".to_owned(), json!(record.base));
    document.extend(record.document);
    Ok(Reply::new(document.into()))
}

/// One version of several must be meant, to change or delete it.
fn exactly_one(input: &VersionInput) -> Result<()> {
    match (input.version, &input.alias) {
        (None, None) | (Some(_), Some(_)) => Err(validation("Exactly one of Version and Alias must be specified.")),
        _ => Ok(()),
    }
}

async fn update(cx: &Cx, permit: Permit<UpdateImageVersion>, input: VersionInput) -> Result<Reply> {
    exactly_one(&input)?;
    let scope = permit.scope();
    let (row, mut record) = named(cx, scope, &input).await?;
    let others = versions(cx, scope, &row.parent).await?;
    let taken = |alias: &String| others.iter().any(|other| other.version != record.version && other.aliases.contains(alias));
    if let Some(alias) = input.aliases_to_add.iter().find(|alias| taken(alias)) {
        return Err(in_use(format!("Alias {alias} is already used by another version of image {}.", record.image_arn)));
    }
    record.aliases.retain(|alias| !input.aliases_to_delete.contains(alias) && !input.aliases_to_add.contains(alias));
    record.aliases.extend(input.aliases_to_add.iter().cloned());
    record.document.extend(echoed(&input.rest));
    let mut batch = Batch::new();
    // Aliases are unique within the image, so that two changes of it do not pass each other.
    let image = find(cx, scope, &input.image_name).await?;
    batch.update(image);
    batch.update(row.at(cx.now()).with(&record)?);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(in_use(format!("Image {} is being changed. Try again.", record.image_arn))),
        done => done.map(|()| Reply::new(json!({"ImageVersionArn": record.arn}))).map_err(Into::into),
    }
}

async fn delete(cx: &Cx, permit: Permit<DeleteImageVersion>, input: VersionInput) -> Result<Reply> {
    exactly_one(&input)?;
    let (row, record) = named(cx, permit.scope(), &input).await?;
    let mut batch = Batch::new();
    batch.require(IMAGE, permit.scope(), &*row.parent, Expect::Present);
    batch.delete(VERSION, permit.scope(), &*row.id, Expect::Version(row.version));
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {
            Err(in_use(format!("{} is being changed. Try again.", record.arn)))
        }
        done => done.map(|()| Reply::empty()).map_err(Into::into),
    }
}
