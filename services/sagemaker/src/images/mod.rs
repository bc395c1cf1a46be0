//! SageMaker images and their versions, as Studio chooses kernels from: names for container images.
//!
//! A version points at the image it was made from. No registry is asked, so that a tag is not resolved to a
//! digest: `ContainerImage` has one where `BaseImage` has.

mod image;
mod list;
#[cfg(test)]
mod tests;
mod version;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::{Cx, OperationRow};
use tenantry_store::{Kind, List, Row};

use crate::{error::not_found, names, pipelines::members};

/// An image; id: name in lower case.
const IMAGE: Kind = Kind::new("sagemaker.image");
/// A version; id: `<image>/<version, ten digits>`, parent: the image.
const VERSION: Kind = Kind::new("sagemaker.image-version");

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<image::CreateImage>(),
        OperationRow::of::<image::DescribeImage>(),
        OperationRow::of::<image::UpdateImage>(),
        OperationRow::of::<image::DeleteImage>(),
        OperationRow::of::<list::ListImages>(),
        OperationRow::of::<list::ListImageVersions>(),
        OperationRow::of::<version::CreateImageVersion>(),
        OperationRow::of::<version::DescribeImageVersion>(),
        OperationRow::of::<version::UpdateImageVersion>(),
        OperationRow::of::<version::DeleteImageVersion>(),
    ]
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ImageRecord {
    arn: String,
    name: String,
    display_name: Option<String>,
    description: Option<String>,
    role: String,
    /// The number that the next version gets.
    next_version: u32,
}

impl ImageRecord {
    fn document(&self, row: &Row) -> Map<String, Value> {
        members([
            ("ImageName", Some(json!(self.name))),
            ("ImageArn", Some(json!(self.arn))),
            ("DisplayName", self.display_name.as_ref().map(|text| json!(text))),
            ("Description", self.description.as_ref().map(|text| json!(text))),
            ("ImageStatus", Some(json!(row.status))),
            ("CreationTime", Some(json!(row.created))),
            ("LastModifiedTime", Some(json!(row.updated))),
        ])
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct VersionRecord {
    arn: String,
    image_arn: String,
    version: u32,
    base: String,
    token: String,
    aliases: Vec<String>,
    /// `JobType`, `MLFramework`, … as given.
    document: Map<String, Value>,
}

impl VersionRecord {
    fn summary(&self, row: &Row) -> Map<String, Value> {
        members([
            ("ImageArn", Some(json!(self.image_arn))),
            ("ImageVersionArn", Some(json!(self.arn))),
            ("ImageVersionStatus", Some(json!(row.status))),
            ("Version", Some(json!(self.version))),
            ("CreationTime", Some(json!(row.created))),
            ("LastModifiedTime", Some(json!(row.updated))),
        ])
    }
}

fn arn_of(cx: &Cx, name: &str) -> Arn {
    names::arn(&cx.scope(), "image", name)
}

fn missing(what: &str, arn: &str) -> AwsError {
    not_found(format!("{what} {arn} does not exist."))
}

async fn find(cx: &Cx, scope: &Scope, name: &str) -> Result<Row> {
    let row = cx.kernel.store().get(IMAGE, scope, &name.to_lowercase()).await?;
    row.ok_or_else(|| missing("Image", names::arn(scope, "image", name).as_str()))
}

/// A version by number or alias; without both the newest.
async fn find_version(cx: &Cx, scope: &Scope, name: &str, number: Option<u32>, alias: Option<&str>) -> Result<(Row, VersionRecord)> {
    let image = find(cx, scope, name).await?;
    for row in cx.kernel.store().list(&List::of(VERSION, scope).parent(&image.id).reverse(true)).await? {
        let record: VersionRecord = row.body()?;
        let named = alias.is_none_or(|alias| record.aliases.iter().any(|known| known == alias));
        if named && number.is_none_or(|number| record.version == number) {
            return Ok((row, record));
        }
    }
    let which = number.map(|number| number.to_string()).or_else(|| alias.map(str::to_owned)).unwrap_or_else(|| "latest".to_owned());
    Err(missing("ImageVersion", names::arn(scope, "image-version", &format!("{name}/{which}")).as_str()))
}
