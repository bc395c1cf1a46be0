//! What both kinds of jobs boil down to: what to fetch, what to run, what to store.
//!
//! A plan is made from the request alone, at Create (which so refuses what cannot run) and again by each
//! step. Members that matter to security and are not supported are refused, never ignored.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Map, Value};
use tenantry_core::{Arn, Result, Scope};

use super::{
    processing,
    record::{Of, Record},
    training,
    uri::{S3Uri, below_opt_ml},
};
use crate::error::validation;

/// How often a directory that is uploaded continuously is looked at.
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(10);

/// A job, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The image's URI.
    pub image: String,
    /// What it runs; `None`: what the image says.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of that.
    pub arguments: Vec<String>,
    /// Execution role.
    pub role: Arn,
    /// `ml.m5.xlarge`.
    pub instance_type: String,
    /// How many of them.
    pub hosts: usize,
    /// Volume of each.
    pub volume_gib: u64,
    /// How long the user's code may run.
    pub max_runtime: Duration,
    /// Variables over the platform's.
    pub env: BTreeMap<String, String>,
    /// No way out at all.
    pub isolated: bool,
    /// No way out but to the instance.
    pub vpc: bool,
    /// What is downloaded.
    pub inputs: Vec<Input>,
    /// Directories whose files become objects.
    pub outputs: Vec<Output>,
    /// Directories that become archives.
    pub archives: Vec<Archive>,
    /// Files below /opt/ml, per host.
    pub files: Vec<Vec<(PathBuf, Value)>>,
    /// Directories below /opt/ml that are there from the beginning.
    pub dirs: Vec<PathBuf>,
}

/// Objects that become files of a directory below /opt/ml.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// A prefix or a manifest.
    pub uri: S3Uri,
    /// Whether it is a manifest.
    pub manifest: bool,
    /// Whether each host gets a part.
    pub sharded: bool,
    /// Whether the objects are decompressed.
    pub gzip: bool,
    /// Whether it may be empty (checkpoints).
    pub optional: bool,
    /// Where.
    pub dir: PathBuf,
}

/// A directory below /opt/ml whose files become objects.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Where.
    pub dir: PathBuf,
    /// Under which prefix.
    pub uri: S3Uri,
    /// Whether it is uploaded while the job runs, and however it ends.
    pub continuous: bool,
}

/// A directory below /opt/ml that becomes a `.tar.gz`.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    /// Where.
    pub dir: PathBuf,
    /// The object.
    pub uri: S3Uri,
    /// Whether it is made even if it holds nothing.
    pub even_empty: bool,
}

/// The plan of a stored job.
///
/// # Errors
/// `ValidationException` for what cannot run here.
pub(crate) fn of(of: Of, scope: &Scope, record: &Record) -> Result<Plan> {
    match of {
        Of::Training => training::plan(scope, record),
        Of::Processing => processing::plan(scope, record),
    }
}

/// Text of a member; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// A list of texts.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// A map of texts.
pub(crate) fn pairs(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

/// A member that is an S3 URI.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn s3_uri(text: &str, what: &str) -> Result<S3Uri> {
    S3Uri::parse(text).ok_or_else(|| validation(format!("The {what} `{text}` is not a valid S3 URI: expected s3://bucket/prefix.")))
}

/// A member that is a directory of the job.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn local_path(text: &str, what: &str) -> Result<PathBuf> {
    below_opt_ml(text).ok_or_else(|| validation(format!("The LocalPath `{text}` of {what} must be a directory below /opt/ml.")))
}

/// An execution role's ARN.
///
/// # Errors
/// `ValidationException` for a role of another account: AWS does not take those.
pub(crate) fn role(scope: &Scope, text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).map_err(|_| validation(format!("Invalid role ARN: {text}")))?;
    if arn.account() != scope.account.as_str() {
        return Err(validation(format!("Cross-account pass role is not allowed: {text}")));
    }
    Ok(arn)
}

/// The first thing that is given twice.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn unique<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(validation(format!("{what} must be unique: `{name}` is given more than once.")));
        }
    }
    Ok(())
}

/// Refuses a member that is not supported; `why` says what it would have done.
///
/// # Errors
/// `ValidationException` when the member is there and neither null, false nor empty.
pub(crate) fn refuse(request: &Value, member: &str, why: &str) -> Result<()> {
    let given = match &request[member] {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    if given { Err(validation(format!("{member} is not available here: {why}."))) } else { Ok(()) }
}

/// Why members that a key service will bring are refused.
pub(crate) const NO_KEYS: &str = "this instance has no KMS yet, and data is not stored unencrypted where a key is asked for";

/// `resourceconfig.json` of a host.
pub(crate) fn resource_config(index: usize, hosts: usize, instance_type: &str) -> Value {
    let names: Vec<String> = (0..hosts).map(tenantry_compute::host_name).collect();
    serde_json::json!({
        "current_host": names.get(index),
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": names,
        "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": names}],
        // The hosts share one loopback.
        "network_interface_name": "lo",
    })
}

/// The request as a value, for looking into.
pub(crate) fn view(request: &Map<String, Value>) -> Value {
    Value::Object(request.clone())
}
