//! What CreateHyperParameterTuningJob asks for, read and checked.
//!
//! Read from the stored request at Create (which so refuses what cannot be done) and again by each step. What AWS has and
//! this does not do is refused by name: Hyperband, Autotune and its AutoParameters, warm starts, convergence detection,
//! algorithm resources. Of a list of instance configurations the first is taken: capacity is the same for all.

use serde_json::{Map, Value, json};
use tenantry_core::Result;

use super::{
    search::Strategy,
    space::{MAX_DIMENSIONS, Space},
};
use crate::error::{limit, validation};

/// Training jobs of a tuning job, at most ("Resource Limits for Automatic Model Tuning").
pub(crate) const MAX_JOBS: usize = 750;
/// Of them at a time.
pub(crate) const MAX_PARALLEL: usize = 10;
/// How long a tuning job may run, in seconds: 30 days.
pub(crate) const MAX_RUNTIME: i64 = 30 * 86_400;
/// Names the objective among the hyperparameters of each training job, for built-in algorithms.
const OBJECTIVE: &str = "_tuning_objective_metric";

/// A tuning job's wishes.
#[derive(Debug)]
pub(crate) struct Wishes {
    /// How it searches.
    pub strategy: Strategy,
    /// What its training jobs are made of; at least one.
    pub definitions: Vec<Definition>,
    /// Training jobs in all.
    pub jobs: usize,
    /// Training jobs at a time.
    pub parallel: usize,
    /// Seconds from its creation.
    pub runtime: i64,
    /// It is over when the objective is this good.
    pub target: Option<f64>,
    /// It is over when so many training jobs in a row were no better.
    pub not_improving: Option<usize>,
    /// Whether training jobs that do worse than others did are stopped.
    pub early_stopping: bool,
    /// `RandomSeed`, if given.
    pub seed: Option<u64>,
}

/// A kind of training jobs.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `DefinitionName`.
    pub name: Option<String>,
    /// What is to be least or most.
    pub objective: Objective,
    /// What is searched.
    pub space: Space,
    request: Map<String, Value>,
}

/// `HyperParameterTuningJobObjective`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objective {
    /// Whether more is better.
    pub maximize: bool,
    /// The metric's name.
    pub metric: String,
}

impl Objective {
    fn read(value: &Value, what: &str) -> Result<Self> {
        let text = |member: &str| value[member].as_str().unwrap_or_default();
        if value.is_null() {
            return Err(validation(format!("{what} is required.")));
        }
        Ok(Self { maximize: text("Type") == "Maximize", metric: text("MetricName").to_owned() })
    }

    /// `Maximize` or `Minimize`.
    pub const fn kind(&self) -> &'static str {
        if self.maximize { "Maximize" } else { "Minimize" }
    }

    /// A value of which less is better.
    pub fn less(&self, value: f64) -> f64 {
        if self.maximize { -value } else { value }
    }
}

/// The definitions of a request, as they are written.
pub(crate) fn definitions(request: &Value) -> Vec<&Value> {
    match (&request["TrainingJobDefinition"], request["TrainingJobDefinitions"].as_array()) {
        (Value::Null, Some(several)) => several.iter().collect(),
        (one @ Value::Object(_), None) => vec![one],
        (one, several) => std::iter::once(one).filter(|one| one.is_object()).chain(several.into_iter().flatten()).collect(),
    }
}

/// A definition with its resources where a training job has them, for its condition keys.
pub(crate) fn with_resources(definition: &Value) -> Value {
    let mut whole = definition.clone();
    let flexible = &definition["HyperParameterTuningResourceConfig"];
    if flexible.is_object() {
        let mut resources = flexible.clone();
        if let Some(members) = resources.as_object_mut() {
            members.remove("AllocationStrategy");
            if let Some(configs) = members.remove("InstanceConfigs") {
                members.insert("InstanceGroups".to_owned(), configs);
            }
        }
        whole["ResourceConfig"] = resources;
    }
    whole
}

impl Wishes {
    /// Reads a request.
    ///
    /// # Errors
    /// `ValidationException` for what contradicts itself or cannot be done here, `ResourceLimitExceeded`.
    pub fn read(request: &Value) -> Result<Self> {
        let config = &request["HyperParameterTuningJobConfig"];
        refuse(request, "WarmStartConfig", "tuning jobs begin without knowledge of others")?;
        refuse(request, "Autotune", "ranges are not chosen for you")?;
        let strategy = match config["Strategy"].as_str().unwrap_or_default() {
            "Random" => Strategy::Random,
            "Grid" => Strategy::Grid,
            "Bayesian" => Strategy::Bayesian,
            other => return Err(validation(format!("Strategy {other} is not available here: use Bayesian, Random or Grid."))),
        };
        refuse(config, "StrategyConfig", "it configures Hyperband only")?;
        let criteria = &config["TuningJobCompletionCriteria"];
        if criteria["ConvergenceDetected"]["CompleteOnConvergence"] == json!("Enabled") {
            return Err(validation(
                "ConvergenceDetected is not available here: use BestObjectiveNotImproving or TargetObjectiveMetricValue.",
            ));
        }
        let definitions = read_definitions(request, config)?;
        let limits = &config["ResourceLimits"];
        let number = |at: &Value| at.as_u64().and_then(|number| usize::try_from(number).ok());
        let parallel = number(&limits["MaxParallelTrainingJobs"]).unwrap_or(1);
        if parallel > MAX_PARALLEL {
            return Err(limit(format!(
                "The account-level service limit 'Number of parallel training jobs per hyperparameter tuning job' is {MAX_PARALLEL}, the \
                 request has {parallel}."
            )));
        }
        let runtime = limits["MaxRuntimeInSeconds"].as_i64();
        if runtime.is_some_and(|seconds| seconds > MAX_RUNTIME) {
            return Err(validation(format!("MaxRuntimeInSeconds must be at most {MAX_RUNTIME}.")));
        }
        let target = criteria["TargetObjectiveMetricValue"].as_f64();
        let not_improving = number(&criteria["BestObjectiveNotImproving"]["MaxNumberOfTrainingJobsNotImproving"]);
        let ends = runtime.is_some() || target.is_some() || not_improving.is_some();
        let jobs = count(strategy, &definitions, number(&limits["MaxNumberOfTrainingJobs"]), ends)?;
        Ok(Self {
            strategy,
            definitions,
            jobs,
            parallel,
            runtime: runtime.unwrap_or(MAX_RUNTIME),
            target,
            not_improving,
            early_stopping: config["TrainingJobEarlyStoppingType"] == json!("Auto"),
            seed: config["RandomSeed"].as_u64(),
        })
    }
}

fn read_definitions(request: &Value, config: &Value) -> Result<Vec<Definition>> {
    let (one, several) = (&request["TrainingJobDefinition"], &request["TrainingJobDefinitions"]);
    if one.is_null() == several.is_null() {
        return Err(validation("Exactly one of TrainingJobDefinition and TrainingJobDefinitions must be given."));
    }
    if several.is_null() {
        if !one["TuningObjective"].is_null() || !one["HyperParameterRanges"].is_null() {
            return Err(validation(
                "TuningObjective and HyperParameterRanges belong to TrainingJobDefinitions: a single TrainingJobDefinition has its objective \
                 and ranges in HyperParameterTuningJobConfig.",
            ));
        }
        let objective = Objective::read(&config["HyperParameterTuningJobObjective"], "HyperParameterTuningJobObjective")?;
        return Ok(vec![Definition::read(one, objective, &config["ParameterRanges"])?]);
    }
    if !config["HyperParameterTuningJobObjective"].is_null() || !config["ParameterRanges"].is_null() {
        return Err(validation("With TrainingJobDefinitions, objective and ranges belong to each definition."));
    }
    let mut definitions: Vec<Definition> = Vec::new();
    for written in several.as_array().into_iter().flatten() {
        let objective = Objective::read(&written["TuningObjective"], "TuningObjective of each definition")?;
        let definition = Definition::read(written, objective, &written["HyperParameterRanges"])?;
        if definition.name.is_none() || definitions.iter().any(|other| other.name == definition.name) {
            return Err(validation("Each of TrainingJobDefinitions must have a DefinitionName of its own."));
        }
        if definitions.iter().any(|other| other.objective.maximize != definition.objective.maximize) {
            return Err(validation("The objectives of all definitions must have the same Type."));
        }
        definitions.push(definition);
    }
    let searched: usize = definitions.iter().map(|definition| definition.space.dimensions()).sum();
    if searched > MAX_DIMENSIONS {
        return Err(validation(format!("At most {MAX_DIMENSIONS} hyperparameters can be searched.")));
    }
    Ok(definitions)
}

/// How many training jobs there are to be.
fn count(strategy: Strategy, definitions: &[Definition], asked: Option<usize>, ends: bool) -> Result<usize> {
    let jobs = if strategy == Strategy::Grid {
        let mut all = 0_usize;
        for definition in definitions {
            let combinations = definition.space.combinations();
            all = all.saturating_add(combinations.ok_or_else(|| validation("Grid search takes categorical ranges only."))?);
        }
        if asked.is_some_and(|asked| asked != all) {
            return Err(validation(format!(
                "With Grid search MaxNumberOfTrainingJobs must be the number of combinations, {all}, or be left out."
            )));
        }
        all
    } else {
        match asked {
            Some(asked) => asked,
            None if ends => MAX_JOBS,
            None => {
                return Err(validation(
                    "MaxNumberOfTrainingJobs is required where neither MaxRuntimeInSeconds nor a completion criterion is given.",
                ));
            }
        }
    };
    if jobs > MAX_JOBS {
        return Err(limit(format!(
            "The account-level service limit 'Number of training jobs per hyperparameter tuning job' is {MAX_JOBS}, the request has {jobs}."
        )));
    }
    Ok(jobs)
}

impl Definition {
    fn read(written: &Value, objective: Objective, ranges: &Value) -> Result<Self> {
        refuse(ranges, "AutoParameters", "ranges are not chosen for you")?;
        refuse(&written["AlgorithmSpecification"], "AlgorithmName", "algorithm resources are not available, give TrainingImage")?;
        let space = Space::read(ranges)?;
        let fixed = &written["StaticHyperParameters"];
        if let Some(name) = space.names().find(|name| !fixed[*name].is_null()) {
            return Err(validation(format!("Hyperparameter `{name}` is both static and searched.")));
        }
        let mut request = with_resources(written).as_object().cloned().unwrap_or_default();
        for member in ["DefinitionName", "TuningObjective", "HyperParameterRanges", "HyperParameterTuningResourceConfig"] {
            request.remove(member);
        }
        first_instance(&mut request);
        let fixed = request.remove("StaticHyperParameters").unwrap_or_else(|| json!({}));
        request.insert("HyperParameters".to_owned(), fixed);
        request["HyperParameters"][OBJECTIVE] = json!(objective.metric);
        Ok(Self { name: written["DefinitionName"].as_str().map(str::to_owned), objective, space, request })
    }

    /// CreateTrainingJob's request for these values. Checkpoints of each training job have a prefix of their own: they are
    /// no one else's to go on from.
    pub fn training(&self, name: &str, values: &Map<String, Value>) -> Map<String, Value> {
        let mut request = self.request.clone();
        request.insert("TrainingJobName".to_owned(), json!(name));
        if let Some(parameters) = request.get_mut("HyperParameters").and_then(Value::as_object_mut) {
            parameters.extend(values.clone());
        }
        if let Some(uri) = request.get_mut("CheckpointConfig").and_then(|config| config.get_mut("S3Uri")) {
            *uri = json!(format!("{}/{name}", uri.as_str().unwrap_or_default().trim_end_matches('/')));
        }
        request
    }

    /// Whether the metric is among those that are looked for in the log.
    ///
    /// # Errors
    /// `ValidationException` when it is not. `request` is the one that was checked.
    pub fn objective_is_defined(&self, request: &Map<String, Value>) -> Result<()> {
        let definitions = request.get("AlgorithmSpecification").and_then(|specification| specification["MetricDefinitions"].as_array());
        let known = definitions.into_iter().flatten().any(|definition| definition["Name"] == json!(self.objective.metric));
        let metric = &self.objective.metric;
        if known { Ok(()) } else { Err(validation(format!("Objective metric `{metric}` is not among the metric definitions."))) }
    }
}

/// Takes the first of several instance configurations.
fn first_instance(request: &mut Map<String, Value>) {
    let Some(resources) = request.get_mut("ResourceConfig").and_then(Value::as_object_mut) else { return };
    let first = resources.get("InstanceGroups").and_then(|configs| configs.get(0)).filter(|first| first.get("InstanceGroupName").is_none());
    if let Some(first) = first.and_then(Value::as_object).cloned() {
        resources.remove("InstanceGroups");
        resources.extend(first);
    }
}

fn refuse(at: &Value, member: &str, why: &str) -> Result<()> {
    let given = !at[member].is_null() && at[member].as_array().is_none_or(|list| !list.is_empty());
    if given { Err(validation(format!("{member} is not available here: {why}."))) } else { Ok(()) }
}
