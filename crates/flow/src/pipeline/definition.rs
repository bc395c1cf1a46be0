//! What a pipeline is once it has been read: its parameters and its steps, flattened.
//!
//! Steps of the branches of a Condition step stand in the same list as all others, each with the chain
//! of branches that encloses it, because dependencies, uniqueness of names and the order of starting do
//! not care where a step is written.

use super::{cache::CacheConfig, condition::Condition, parameters::Parameter, reference::Reference, retry::RetryPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Longest definition text, in bytes (CreatePipeline, `PipelineDefinition`).
pub const MAX_DEFINITION_BYTES: usize = 1_048_576;
/// Most steps of a pipeline, branches included ("Amazon SageMaker endpoints and quotas").
pub const MAX_STEPS: usize = 50;
/// Most parameters of a pipeline (StartPipelineExecution, `PipelineParameters`).
pub const MAX_PARAMETERS: usize = 200;

/// A pipeline definition that passed every check. Made by [`Definition::parse`].
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub(super) parameters: Vec<Parameter>,
    /// `ExperimentName` and `TrialName`, unresolved.
    pub(super) experiment: Option<(Value, Value)>,
    pub(super) steps: Vec<Step>,
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in the pipeline.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
    /// What the console shows instead of the name.
    pub display_name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// `Arguments` as written, with its `Get`, `Std:Join` and `Std:JsonGet`. Null for a Condition step.
    pub arguments: Value,
    /// Files that a Processing step leaves behind for `Std:JsonGet`.
    pub property_files: Vec<PropertyFile>,
    pub(super) conditions: Vec<Condition>,
    pub(super) depends_on: Vec<String>,
    /// Every reference of the arguments or conditions.
    pub(super) references: Vec<Reference>,
    /// Indexes of the steps that must have succeeded, from `DependsOn` and from references.
    pub(super) dependencies: Vec<usize>,
    /// The branches around the step, outermost first: the index of the Condition step and which branch.
    pub(super) scope: Vec<(usize, bool)>,
    pub(super) cache: Option<CacheConfig>,
    pub(super) retry: Vec<RetryPolicy>,
}

/// A file in an output of a Processing step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyFile {
    /// `PropertyFileName`
    pub name: String,
    /// `OutputName`: which of the step's outputs holds it.
    pub output: String,
    /// `FilePath`: below the output's `S3Uri`.
    pub path: String,
}

/// The types of steps that can run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepKind {
    /// A training job.
    Training,
    /// A processing job.
    Processing,
    /// A batch transform job.
    Transform,
    /// A hyperparameter tuning job.
    Tuning,
    /// CreateModel.
    Model,
    /// CreateModelPackage.
    RegisterModel,
    /// Chooses a branch.
    Condition,
    /// Fails the execution.
    Fail,
}

impl StepKind {
    /// From a step's `Type`.
    #[must_use]
    pub fn from_type(text: &str) -> Option<Self> {
        Some(match text {
            "Training" => Self::Training,
            "Processing" => Self::Processing,
            "Transform" => Self::Transform,
            "Tuning" => Self::Tuning,
            "Model" | "CreateModel" => Self::Model,
            "RegisterModel" => Self::RegisterModel,
            "Condition" => Self::Condition,
            "Fail" => Self::Fail,
            _ => return None,
        })
    }

    /// The operation that the step becomes; none for Condition and Fail, which end inside the machine.
    #[must_use]
    pub const fn operation(self) -> Option<&'static str> {
        Some(match self {
            Self::Training => "CreateTrainingJob",
            Self::Processing => "CreateProcessingJob",
            Self::Transform => "CreateTransformJob",
            Self::Tuning => "CreateHyperParameterTuningJob",
            Self::Model => "CreateModel",
            Self::RegisterModel => "CreateModelPackage",
            Self::Condition | Self::Fail => return None,
        })
    }

    /// The member of the operation's request that names what is created.
    #[must_use]
    pub const fn name_member(self) -> Option<&'static str> {
        Some(match self {
            Self::Training => "TrainingJobName",
            Self::Processing => "ProcessingJobName",
            Self::Transform => "TransformJobName",
            Self::Tuning => "HyperParameterTuningJobName",
            Self::Model => "ModelName",
            Self::RegisterModel | Self::Condition | Self::Fail => return None,
        })
    }

    /// The member of the step's output document that holds the ARN of what was created.
    #[must_use]
    pub const fn arn_member(self) -> Option<&'static str> {
        Some(match self {
            Self::Training => "TrainingJobArn",
            Self::Processing => "ProcessingJobArn",
            Self::Transform => "TransformJobArn",
            Self::Tuning => "HyperParameterTuningJobArn",
            Self::Model => "ModelArn",
            Self::RegisterModel => "ModelPackageArn",
            Self::Condition | Self::Fail => return None,
        })
    }
}

impl Definition {
    /// The parameters, in the order of the definition.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Every step, branches included: a Condition step stands before the steps of its branches.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step of that name.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The role ARNs that step arguments name literally, sorted, once each: those that a caller must be
    /// able to pass. Roles that come from parameters are known only when an execution starts.
    #[must_use]
    pub fn required_roles(&self) -> Vec<&str> {
        fn named(at: &Value) -> impl Iterator<Item = &str> {
            ["RoleArn", "ExecutionRoleArn"].into_iter().filter_map(|key| at.get(key)?.as_str())
        }
        // A tuning job has a role in each definition of its training jobs.
        let mut roles: Vec<&str> = Vec::new();
        for step in &self.steps {
            roles.extend(named(&step.arguments));
            roles.extend(step.arguments.get("TrainingJobDefinition").into_iter().flat_map(named));
            if let Some(definitions) = step.arguments.get("TrainingJobDefinitions").and_then(Value::as_array) {
                roles.extend(definitions.iter().flat_map(named));
            }
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// Why a definition is refused: the text of a ValidationException of CreatePipeline or UpdatePipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError(pub(super) Vec<String>);

impl DefinitionError {
    /// One sentence per problem, in the order found.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        f.write_str("Invalid pipeline definition: ")?;
        f.write_str(&self.0[..self.0.len().min(SHOWN)].join("; "))?;
        if self.0.len() > SHOWN {
            write!(f, "; and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionError {}
