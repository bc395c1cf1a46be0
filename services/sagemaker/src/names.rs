//! Kinds of rows and the ARNs of SageMaker's resources. Resource names in ARNs are lower case.

use tenantry_core::{Arn, Scope};
use tenantry_store::Kind;

/// `arn:aws:sagemaker:R:A:<of>/<name in lower case>`.
#[must_use]
pub fn arn(scope: &Scope, of: &str, name: &str) -> Arn {
    Arn::new("sagemaker", scope.region.as_str(), scope.account.as_str(), format_args!("{of}/{}", name.to_lowercase()))
}

/// The service principal that SageMaker's roles must trust.
pub const PRINCIPAL: &str = "sagemaker.amazonaws.com";
/// The session name of every role session that SageMaker makes.
pub const SESSION: &str = "SageMaker";

/// A pipeline; id: name in lower case.
pub const PIPELINE: Kind = Kind::new("sagemaker.pipeline");
/// An execution; id: `<pipeline>/<execution id>`, parent: the pipeline's id.
pub const EXECUTION: Kind = Kind::new("sagemaker.execution");
/// A training job; id: name.
pub const TRAINING_JOB: Kind = Kind::new("sagemaker.training-job");
/// A hyperparameter tuning job; id: name in lower case.
pub const TUNING_JOB: Kind = Kind::new("sagemaker.tuning-job");
/// A processing job; id: name.
pub const PROCESSING_JOB: Kind = Kind::new("sagemaker.processing-job");
/// A transform job; id: name in lower case.
pub const TRANSFORM_JOB: Kind = Kind::new("sagemaker.transform-job");
/// A model; id: name in lower case.
pub const MODEL: Kind = Kind::new("sagemaker.model");
/// An endpoint configuration; id: name in lower case.
pub const ENDPOINT_CONFIG: Kind = Kind::new("sagemaker.endpoint-config");
/// An endpoint; id: name in lower case.
pub const ENDPOINT: Kind = Kind::new("sagemaker.endpoint");
/// A model package group; id: name.
pub const PACKAGE_GROUP: Kind = Kind::new("sagemaker.model-package-group");
/// A model package; id: `<group>/<version, ten digits>` or the unversioned name, parent: the group.
pub const PACKAGE: Kind = Kind::new("sagemaker.model-package");
