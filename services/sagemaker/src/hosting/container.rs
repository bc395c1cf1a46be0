//! What a model's container is: image, model data, variables, and the role as which its data is read.
//!
//! `CreateModel` resolves it once (the image must be known here, a model package is looked up as the
//! caller); endpoints and transform jobs keep a copy, so that what runs does not change under them. What
//! would change the security of a container and is not supported is refused, never ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_compute::Image;
use tenantry_core::{Arn, AwsError, Result};
use tenantry_kernel::{Caller, Cx, Kernel};

use crate::{
    Machinery,
    error::validation,
    jobs::{data::TransferError, uri::S3Uri},
};

/// Members of a container definition that nothing here honours.
const REFUSED: [&str; 3] = ["AdditionalModelDataSources", "InferenceSpecificationName", "ContainerMetricsConfig"];

/// Containers of one model ("Inference pipelines" and "Multi-container endpoints" in the SageMaker developer guide).
const MAX_CONTAINERS: usize = 15;

/// A container that can be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Container {
    /// The model's name.
    pub model: String,
    /// Its image's URI.
    pub image: String,
    /// Where its data comes from.
    pub source: Source,
    /// The user's variables.
    pub env: BTreeMap<String, String>,
    /// Reads the data; its credentials are what the container finds.
    pub role: Arn,
    /// Whether it reaches nothing.
    pub isolated: bool,
    /// Whether it reaches nothing but the instance.
    #[serde(default)]
    pub vpc: bool,
    /// `ContainerHostname`.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The containers beside it, in order: those that its answers pass through, or that are asked by their hostnames.
    #[serde(default)]
    pub after: Vec<Container>,
    /// Whether each is asked by its hostname (`InferenceExecutionConfig` `Direct`) and not one after the other.
    #[serde(default)]
    pub direct: bool,
}

/// Where the data of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The image brings its own.
    None,
    /// A `.tar.gz`, unpacked into /opt/ml/model.
    Archive(String),
    /// One object, as it is.
    Object(String),
    /// All objects under a prefix, as they are.
    Prefix(String),
    /// A prefix of archives, of which each is a model: a multi-model endpoint.
    Many(String),
}

impl Source {
    /// The URI; empty where there is none.
    pub fn uri(&self) -> &str {
        match self {
            Self::None => "",
            Self::Archive(uri) | Self::Object(uri) | Self::Prefix(uri) | Self::Many(uri) => uri,
        }
    }
}

impl Container {
    /// Whether it hosts several models.
    pub fn multi_model(&self) -> bool {
        matches!(self.source, Source::Many(_))
    }

    /// It and those beside it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.after)
    }

    /// Checks that the images of all can serve here.
    ///
    /// # Errors
    /// As [`serving_image`].
    pub fn check_images(&self, machinery: &Machinery) -> Result<()> {
        self.all().try_for_each(|one| serving_image(machinery, &one.image, one.multi_model()).map(drop))
    }
}

/// Refuses members that are given and not supported here.
///
/// # Errors
/// `ValidationException` naming the member.
pub(crate) fn refuse(document: &Value, members: &[&str]) -> Result<()> {
    match members.iter().find(|member| given(document, member)) {
        Some(member) => Err(validation(format!("{member} is not supported by this instance: leave it out."))),
        None => Ok(()),
    }
}

/// Whether a member says something: an empty text, list or document and `false` do not.
pub(crate) fn given(document: &Value, member: &str) -> bool {
    match &document[member] {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

/// The engine and its images, which every instance that serves has.
///
/// # Errors
/// Internal when this kernel was put together without.
pub(crate) fn machinery(kernel: &Kernel) -> Result<std::sync::Arc<Machinery>> {
    kernel.provided::<Machinery>().ok_or_else(|| AwsError::internal("this kernel has no engine"))
}

/// The image of a container, if it can serve here.
///
/// # Errors
/// `ValidationException` naming the image.
pub(crate) fn serving_image(machinery: &Machinery, uri: &str, multi_model: bool) -> Result<Image> {
    let image = machinery.images.resolve(uri).map_err(|unknown| validation(unknown.to_string()))?;
    if image.entry.serve.is_empty() {
        return Err(validation(format!("image `{uri}` has no inference server here: it cannot be used for a model")));
    }
    if multi_model && !image.entry.multi_model {
        return Err(validation(format!(
            "Your Ecr Image {uri} does not contain required com.amazonaws.sagemaker.capabilities.multi-models=true Docker label(s)."
        )));
    }
    Ok(image)
}

/// Reads a `CreateModel` request: its container, with those after it.
///
/// # Errors
/// `ValidationException` for what is missing, contradictory or unsupported; what `DescribeModelPackage` says to the caller.
pub(super) async fn resolve(cx: &Cx, request: &Value, model: &str) -> Result<Container> {
    let several = request["Containers"].as_array().map_or(&[][..], Vec::as_slice);
    let definitions = match (&request["PrimaryContainer"], several) {
        (Value::Null, []) => return Err(validation("A model needs a PrimaryContainer or Containers.")),
        (primary, []) => std::slice::from_ref(primary),
        (Value::Null, several) => several,
        _ => return Err(validation("PrimaryContainer and Containers cannot be given together.")),
    };
    let mut containers = Vec::new();
    for definition in definitions {
        containers.extend(definition_of(cx, request, definition, model).await?);
    }
    check_several(&containers, &request["InferenceExecutionConfig"]["Mode"])?;
    let mut containers = containers.into_iter();
    let mut first = containers.next().ok_or_else(|| validation("A model needs a container."))?;
    first.after = containers.collect();
    first.direct = request["InferenceExecutionConfig"]["Mode"] == json!("Direct");
    Ok(first)
}

/// What several containers of a model must keep to.
fn check_several(containers: &[Container], mode: &Value) -> Result<()> {
    if containers.len() > MAX_CONTAINERS {
        return Err(validation(format!("A model has at most {MAX_CONTAINERS} containers, not {}.", containers.len())));
    }
    let names: Vec<&str> = containers.iter().filter_map(|container| container.hostname.as_deref()).collect();
    if (1..names.len()).any(|at| names[..at].contains(&names[at])) {
        return Err(validation("ContainerHostname must be unique among the containers of a model."));
    }
    match mode.as_str() {
        Some("Direct") if containers.len() < 2 => Err(validation("InferenceExecutionConfig Direct needs at least two containers.")),
        Some("Direct") if names.len() < containers.len() => {
            Err(validation("InferenceExecutionConfig Direct needs a ContainerHostname for each container."))
        }
        _ if containers.len() > 1 && containers.iter().any(Container::multi_model) => {
            Err(validation("Containers of Mode MultiModel among several are not supported by this instance: use SingleModel."))
        }
        _ => Ok(()),
    }
}

/// The containers that one definition means: those of its model package, else one.
async fn definition_of(cx: &Cx, request: &Value, definition: &Value, model: &str) -> Result<Vec<Container>> {
    let role = request["ExecutionRoleArn"].as_str().ok_or_else(|| validation("ExecutionRoleArn is required."))?;
    let role = Arn::parse(role).map_err(|_| validation(format!("Invalid role ARN: {role}")))?;
    refuse(definition, &REFUSED)?;
    if definition["ImageConfig"]["RepositoryAccessMode"] == json!("Vpc") {
        return Err(validation(
            "Images in a private registry of a VPC are not supported by this instance: use RepositoryAccessMode Platform.",
        ));
    }
    if definition["MultiModelConfig"]["ModelCacheSetting"] == json!("Disabled") {
        return Err(validation("ModelCacheSetting Disabled is not supported by this instance: leave it out."));
    }
    let described = match definition["ModelPackageName"].as_str() {
        Some(_) if given(definition, "Image") || given(definition, "ModelDataUrl") => {
            return Err(validation("ModelPackageName cannot be given together with Image or ModelDataUrl."));
        }
        Some(name) => package_containers(cx, name).await?,
        None => vec![definition.clone()],
    };
    let many = definition["Mode"] == json!("MultiModel");
    let machinery = machinery(&cx.kernel)?;
    let vpc = crate::vpc::asked(&request["VpcConfig"])?;
    let mut containers = Vec::new();
    for described in &described {
        let image =
            described["Image"].as_str().ok_or_else(|| validation("Either Image or ModelPackageName is required in a container."))?;
        serving_image(&machinery, image, many)?;
        let mut env = variables(&described["Environment"]);
        env.extend(variables(&definition["Environment"]));
        let hostname = described["ContainerHostname"].as_str().or(definition["ContainerHostname"].as_str());
        containers.push(Container {
            model: model.to_owned(),
            image: image.to_owned(),
            source: source(described, many)?,
            env,
            role: role.clone(),
            isolated: request["EnableNetworkIsolation"] == json!(true),
            vpc,
            hostname: hostname.map(str::to_owned),
            after: Vec::new(),
            direct: false,
        });
    }
    Ok(containers)
}

fn variables(document: &Value) -> BTreeMap<String, String> {
    let pairs = document.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The containers of a model package, as the caller may see it.
async fn package_containers(cx: &Cx, name: &str) -> Result<Vec<Value>> {
    let asked = json!({"ModelPackageName": name});
    let caller = cx.caller.forwarded(crate::names::PRINCIPAL);
    let package = cx.kernel.call(&caller, &cx.region, "sagemaker", "DescribeModelPackage", asked).await?.output;
    match package["InferenceSpecification"]["Containers"].as_array() {
        Some(containers) if !containers.is_empty() => Ok(containers.clone()),
        _ => Err(validation(format!("Model package {name} has no InferenceSpecification to make a model of."))),
    }
}

fn source(described: &Value, many: bool) -> Result<Source> {
    let url = described["ModelDataUrl"].as_str().filter(|url| !url.is_empty());
    let detailed = &described["ModelDataSource"]["S3DataSource"];
    let found = match (url, detailed) {
        (Some(_), Value::Object(_)) => return Err(validation("ModelDataUrl and ModelDataSource cannot be given together.")),
        (Some(url), _) if many => Source::Many(url.to_owned()),
        (Some(url), _) => Source::Archive(url.to_owned()),
        (None, Value::Object(_)) => {
            refuse(detailed, &["HubAccessConfig", "ManifestS3Uri", "ManifestEtag"])?;
            let uri = detailed["S3Uri"].as_str().unwrap_or_default().to_owned();
            match (detailed["S3DataType"].as_str(), detailed["CompressionType"].as_str()) {
                (Some("S3Prefix"), Some("None")) if many => Source::Many(uri),
                _ if many => {
                    return Err(validation(
                        "A multi-model container takes a ModelDataUrl, or a ModelDataSource of type S3Prefix without compression.",
                    ));
                }
                (Some("S3Prefix"), Some("None")) if uri.ends_with('/') => Source::Prefix(uri),
                (Some("S3Prefix"), Some("None")) => return Err(validation(format!("S3Uri {uri} of type S3Prefix must end with a slash."))),
                (Some("S3Object"), Some("None")) => Source::Object(uri),
                (Some("S3Object"), _) => Source::Archive(uri),
                _ => return Err(validation("CompressionType Gzip needs S3DataType S3Object.")),
            }
        }
        _ if many => return Err(validation("A multi-model container needs a ModelDataUrl.")),
        _ => Source::None,
    };
    if found != Source::None && S3Uri::parse(found.uri()).is_none() {
        return Err(validation(format!("{} is not the S3 URI of model data: expected s3://bucket/key.", found.uri())));
    }
    Ok(found)
}

/// Whether the role can be assumed and may read the model's data, as AWS looks when a model is made.
///
/// # Errors
/// `ValidationException` in AWS's words.
pub(super) async fn check_access(cx: &Cx, container: &Container, arn: &Arn) -> Result<()> {
    let region = &cx.region;
    let no_access = || {
        validation(format!(
            "Could not access model data at {}. Please ensure that the role \"{}\" exists and that its trust relationship policy allows the action \"sts:AssumeRole\" for the service principal \"sagemaker.amazonaws.com\". Also ensure that the role has \"s3:GetObject\" permissions and that the object is located in {region}.",
            container.source.uri(),
            container.role,
        ))
    };
    let source_identity = crate::author::source_identity(&cx.caller);
    let assumed = crate::jobs::container::assume(&cx.kernel, &container.role, arn, source_identity.as_deref(), region).await;
    let Some(uri) = S3Uri::parse(container.source.uri()) else { return assumed.map(drop) };
    let caller: Caller = assumed.map_err(|_| no_access())?;
    if !matches!(container.source, Source::Archive(_) | Source::Object(_)) {
        return Ok(());
    }
    let asked = json!({"Bucket": uri.bucket, "Key": uri.key});
    match cx.kernel.call(&caller, region, "s3", "HeadObject", asked).await {
        Ok(_) => Ok(()),
        Err(error) if error.status == 404 => Err(validation(format!("Could not find model data at {uri}."))),
        Err(error) if error.status < 500 => Err(no_access()),
        Err(error) => Err(error),
    }
}

/// Why a container has no data, in the words that endpoints and jobs give as their `FailureReason`.
pub(crate) fn download_failure(container: &Container, error: &TransferError) -> String {
    let uri = container.source.uri();
    match error {
        TransferError::Refused { error, .. } if error.status < 500 => format!(
            "Failed to download model data for container \"container_1\" from URL: \"{uri}\". Please ensure that there is an object located at the URL and that the role passed to CreateModel has permissions to download the object."
        ),
        TransferError::Nothing(_) => format!(
            "Failed to download model data for container \"container_1\" from URL: \"{uri}\". Please ensure that there is an object located at the URL and that the role passed to CreateModel has permissions to download the object."
        ),
        other => format!(
            "Failed to extract model data archive from URL \"{uri}\": {other}. Please ensure that the object located at the URL is a valid tar.gz archive."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let of = |document: Value, many| source(&document, many);
        let data = |kind: &str, compression: &str, uri: &str| json!({"ModelDataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}});
        assert_eq!(of(json!({}), false).unwrap(), Source::None);
        assert_eq!(of(json!({"ModelDataUrl": "s3://bucket/a.tar.gz"}), false).unwrap(), Source::Archive("s3://bucket/a.tar.gz".into()));
        assert_eq!(of(json!({"ModelDataUrl": "s3://bucket/a/"}), true).unwrap(), Source::Many("s3://bucket/a/".into()));
        assert_eq!(of(data("S3Prefix", "None", "s3://bucket/a/"), false).unwrap(), Source::Prefix("s3://bucket/a/".into()));
        assert_eq!(of(data("S3Object", "Gzip", "s3://bucket/a"), false).unwrap(), Source::Archive("s3://bucket/a".into()));
        assert_eq!(of(data("S3Object", "None", "s3://bucket/a"), false).unwrap(), Source::Object("s3://bucket/a".into()));
        for (wrong, many) in [
            (json!({}), true),
            (json!({"ModelDataUrl": "https://bucket/a"}), false),
            (data("S3Prefix", "None", "s3://bucket/a"), false),
            (data("S3Prefix", "Gzip", "s3://bucket/a/"), false),
            (data("S3Object", "Gzip", "s3://bucket/a"), true),
        ] {
            assert_eq!(of(wrong.clone(), many).unwrap_err().code, "ValidationException", "{wrong}");
        }
    }

    fn container(hostname: Option<&str>) -> Container {
        Container {
            model: "m".into(),
            image: "i".into(),
            source: Source::None,
            env: BTreeMap::new(),
            role: Arn::parse("arn:aws:iam::123456789012:role/r").unwrap(),
            isolated: false,
            vpc: false,
            hostname: hostname.map(str::to_owned),
            after: Vec::new(),
            direct: false,
        }
    }

    #[test]
    fn several_containers_are_bounded_and_told_apart() {
        let several = |names: &[Option<&str>], mode: Value| {
            let containers: Vec<Container> = names.iter().map(|name| container(*name)).collect();
            check_several(&containers, &mode).map_err(|error| error.message)
        };
        assert!(several(&[None; MAX_CONTAINERS], Value::Null).is_ok());
        assert!(several(&[Some("a"), Some("b")], json!("Direct")).is_ok());
        for (names, mode, why) in [
            (vec![None; MAX_CONTAINERS + 1], Value::Null, "at most 15"),
            (vec![Some("a"), Some("a")], json!("Serial"), "unique"),
            (vec![Some("a")], json!("Direct"), "at least two"),
            (vec![Some("a"), None], json!("Direct"), "for each container"),
        ] {
            let error = several(&names, mode).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let pooled = Container { source: Source::Many("s3://bucket/a/".into()), ..container(None) };
        assert!(check_several(&[pooled, container(None)], &Value::Null).unwrap_err().message.contains("MultiModel"));
    }

    #[test]
    fn refusals_name_the_member() {
        let document = json!({"A": "", "B": false, "C": [], "D": {}, "E": {"x": 1}});
        assert!(refuse(&document, &["A", "B", "C", "D", "F"]).is_ok());
        assert!(refuse(&document, &["A", "E"]).unwrap_err().message.starts_with("E is not supported"));
    }
}
