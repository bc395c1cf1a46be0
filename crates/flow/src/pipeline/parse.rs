//! Reading a definition's text into a [`Definition`].
//!
//! Every problem is collected, each naming the step or parameter it concerns, because authors mend
//! definitions in rounds of upsert. What the schema does not know is refused rather than ignored. How
//! steps relate to each other is [`super::check`]'s.

use super::{
    cache::{CacheConfig, key_arguments},
    check,
    condition::Condition,
    definition::{Definition, DefinitionError, MAX_DEFINITION_BYTES, MAX_PARAMETERS, MAX_STEPS, PropertyFile, Step, StepKind},
    parameters::{Parameter, ParameterType},
    reference::{shorten, walk},
    retry::RetryPolicy,
};
use serde_json::{Map, Value};

/// The schema version that is understood.
const VERSION: &str = "2020-12-01";
/// Problems listed before reading gives up.
const MAX_PROBLEMS: usize = 50;

impl Definition {
    /// Reads and checks the text of `PipelineDefinition` ("SageMaker Pipeline Definition JSON Schema").
    /// Nesting deeper than 128 levels is refused.
    ///
    /// # Errors
    /// Every problem found; its text is that of a ValidationException.
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        let fail = |problem: String| Err(DefinitionError(vec![problem]));
        if text.len() > MAX_DEFINITION_BYTES {
            return fail(format!("it is longer than {MAX_DEFINITION_BYTES} bytes"));
        }
        let root: Value = match serde_json::from_str(text) {
            Ok(root) => root,
            Err(error) => return fail(format!("it is not valid JSON: {error}")),
        };
        let Some(root) = root.as_object() else { return fail("it must be a JSON object".into()) };
        let mut reader = Reader::default();
        let parsed = reader.definition(root);
        if reader.problems.is_empty() {
            let (definition, problems) = check::link(parsed);
            return if problems.is_empty() { Ok(definition) } else { Err(DefinitionError(problems)) };
        }
        Err(DefinitionError(reader.problems))
    }
}

#[derive(Default)]
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    fn problem(&mut self, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem.into());
        }
    }

    fn only(&mut self, object: &Map<String, Value>, known: &[&str], place: &str) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(format!("{place}: extraneous key [{}] is not permitted", shorten(key)));
        }
    }

    fn definition(&mut self, root: &Map<String, Value>) -> Definition {
        self.only(root, &["Version", "Metadata", "Parameters", "PipelineExperimentConfig", "Steps"], "definition");
        match root.get("Version").map(Value::as_str) {
            Some(Some(VERSION)) => {}
            Some(_) => self.problem(format!("[Version] must be {VERSION}")),
            None => self.problem("required key [Version] not found"),
        }
        if root.get("Metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
            self.problem("[Metadata] must be an object");
        }
        let parameters =
            self.list(root.get("Parameters"), "[Parameters]").iter().filter_map(|value| self.parameter(value)).collect::<Vec<_>>();
        if parameters.len() > MAX_PARAMETERS {
            self.problem(format!("it has {} parameters, the limit is {MAX_PARAMETERS}", parameters.len()));
        }
        for (index, parameter) in parameters.iter().enumerate() {
            if parameters[..index].iter().any(|other| other.name == parameter.name) {
                self.problem(format!("parameter names must be unique: [{}] appears more than once", parameter.name));
            }
        }
        let experiment = self.experiment(root.get("PipelineExperimentConfig"));
        let mut steps = Vec::new();
        if root.contains_key("Steps") {
            self.steps(self.list_ref(root.get("Steps")), &[], &mut steps);
            if !root["Steps"].is_array() {
                self.problem("[Steps] must be a list");
            } else if steps.is_empty() && self.problems.is_empty() {
                self.problem("[Steps] must have at least one step");
            }
        } else {
            self.problem("required key [Steps] not found");
        }
        if steps.len() > MAX_STEPS {
            self.problem(format!("it has more than {MAX_STEPS} steps, the limit of a pipeline"));
        }
        Definition { parameters, experiment, steps }
    }

    fn list_ref<'a>(&self, value: Option<&'a Value>) -> &'a [Value] {
        value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The elements of an optional list.
    fn list<'a>(&mut self, value: Option<&'a Value>, place: &str) -> &'a [Value] {
        if value.is_some_and(|value| !value.is_array() && !value.is_null()) {
            self.problem(format!("{place} must be a list"));
        }
        self.list_ref(value)
    }

    /// A name of the schema's pattern, or a problem.
    fn name(&mut self, value: Option<&Value>, what: &str) -> Option<String> {
        let Some(name) = value.and_then(Value::as_str) else {
            self.problem(format!("{what}: required key [Name] not found"));
            return None;
        };
        let valid = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !valid {
            self.problem(format!("{what} name [{}] does not match pattern ^[A-Za-z0-9\\-_]{{1,64}}$", shorten(name)));
            return None;
        }
        Some(name.to_owned())
    }

    fn parameter(&mut self, value: &Value) -> Option<Parameter> {
        let Some(object) = value.as_object() else {
            self.problem("every element of [Parameters] must be an object");
            return None;
        };
        let name = self.name(object.get("Name"), "parameter")?;
        let place = format!("parameter [{name}]");
        self.only(object, &["Name", "Type", "Description", "DefaultValue", "EnumValues", "MinValue", "MaxValue"], &place);
        let kind = match object.get("Type") {
            None => ParameterType::String,
            Some(text) => {
                let Some(kind) = text.as_str().and_then(ParameterType::from_type) else {
                    self.problem(format!("{place}: type [{}] is not one of [String, Integer, Float, Boolean]", shorten(&text.to_string())));
                    return None;
                };
                kind
            }
        };
        let default = object.get("DefaultValue").filter(|value| !value.is_null()).cloned();
        let allowed = self.list(object.get("EnumValues"), &format!("{place}: [EnumValues]")).to_vec();
        if default.iter().chain(&allowed).any(|value| !kind.accepts(value)) {
            self.problem(format!("{place}: every value must be of type {}", kind.name()));
        }
        if default.iter().chain(&allowed).any(|value| value.as_str().is_some_and(|text| text.len() > 4096)) {
            self.problem(format!("{place}: a value is longer than 4096 bytes"));
        }
        let parameter = Parameter {
            name,
            kind,
            default,
            allowed,
            min: object.get("MinValue").and_then(Value::as_f64),
            max: object.get("MaxValue").and_then(Value::as_f64),
        };
        if let Some(problem) = parameter.default.as_ref().and_then(|default| parameter.refuses(default)) {
            self.problem(format!("{place}: [DefaultValue]: {problem}"));
        }
        Some(parameter)
    }

    fn experiment(&mut self, value: Option<&Value>) -> Option<(Value, Value)> {
        let value = value.filter(|value| !value.is_null())?;
        let Some(object) = value.as_object() else {
            self.problem("[PipelineExperimentConfig] must be an object");
            return None;
        };
        self.only(object, &["ExperimentName", "TrialName"], "PipelineExperimentConfig");
        let (experiment, trial) = (object.get("ExperimentName"), object.get("TrialName"));
        if experiment.is_none() || trial.is_none() {
            self.problem("[PipelineExperimentConfig] needs [ExperimentName] and [TrialName]");
        }
        Some((experiment?.clone(), trial?.clone()))
    }

    /// Appends `list` and the steps of its branches; each Condition step comes before its branches.
    fn steps(&mut self, list: &[Value], scope: &[(usize, bool)], steps: &mut Vec<Step>) {
        for value in list {
            // Counted by the caller; here only so that nothing is read in vain.
            if steps.len() > MAX_STEPS {
                return;
            }
            let Some(step) = self.step(value, scope) else { continue };
            let (index, condition) = (steps.len(), step.kind == StepKind::Condition);
            let name = step.name.clone();
            steps.push(step);
            if condition {
                for (branch, key) in [(true, "IfSteps"), (false, "ElseSteps")] {
                    let list = value.get("Arguments").and_then(|arguments| arguments.get(key));
                    let list = self.list(list, &format!("step [{name}]: [{key}]"));
                    let scope: Vec<_> = scope.iter().copied().chain([(index, branch)]).collect();
                    self.steps(list, &scope, steps);
                }
            }
        }
    }

    fn step(&mut self, value: &Value, scope: &[(usize, bool)]) -> Option<Step> {
        let Some(object) = value.as_object() else {
            self.problem("every element of [Steps] must be an object");
            return None;
        };
        let name = self.name(object.get("Name"), "step")?;
        let place = format!("step [{name}]");
        let Some(kind) = object.get("Type").and_then(Value::as_str) else {
            self.problem(format!("{place}: required key [Type] not found"));
            return None;
        };
        let Some(kind) = StepKind::from_type(kind) else {
            self.problem(format!(
                "{place}: type [{}] is not supported, use one of Training, Processing, Transform, Tuning, Model, RegisterModel, Condition, Fail",
                shorten(kind)
            ));
            return None;
        };
        let known =
            ["Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description", "PropertyFiles", "CacheConfig", "RetryPolicies"];
        self.only(object, &known, &place);
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut step = Step {
            name,
            kind,
            display_name: text("DisplayName"),
            description: text("Description"),
            arguments: Value::Null,
            property_files: Vec::new(),
            conditions: Vec::new(),
            depends_on: Vec::new(),
            references: Vec::new(),
            dependencies: Vec::new(),
            scope: scope.to_vec(),
            cache: None,
            retry: Vec::new(),
        };
        self.arguments(object.get("Arguments"), &mut step, &place);
        self.options(object, &mut step, &place);
        Some(step)
    }

    fn arguments(&mut self, arguments: Option<&Value>, step: &mut Step, place: &str) {
        let Some(arguments @ Value::Object(object)) = arguments else {
            self.problem(format!("{place}: required key [Arguments] not found"));
            return;
        };
        let (mut references, mut wrong) = (Vec::new(), Vec::new());
        if step.kind == StepKind::Condition {
            self.only(object, &["Conditions", "IfSteps", "ElseSteps"], place);
            for condition in self.list(object.get("Conditions"), &format!("{place}: [Conditions]")) {
                match Condition::parse(condition) {
                    Ok(condition) => {
                        condition.walk(&mut |reference| references.push(reference), &mut |problem| wrong.push(problem));
                        step.conditions.push(condition);
                    }
                    Err(problem) => self.problem(format!("{place}: {problem}")),
                }
            }
            if object.get("Conditions").is_none_or(|conditions| conditions.as_array().is_some_and(Vec::is_empty)) {
                self.problem(format!("{place}: [Conditions] must have at least one condition"));
            }
        } else {
            walk(arguments, &mut |reference| references.push(reference), &mut |problem| wrong.push(problem));
            step.arguments = arguments.clone();
        }
        if step.kind == StepKind::Fail && !object.contains_key("ErrorMessage") {
            self.problem(format!("{place}: [Arguments] needs [ErrorMessage]"));
        }
        for problem in wrong {
            self.problem(format!("{place}: {problem}"));
        }
        step.references = references;
    }

    /// The members beside name, type and arguments.
    fn options(&mut self, object: &Map<String, Value>, step: &mut Step, place: &str) {
        for value in self.list(object.get("DependsOn"), &format!("{place}: [DependsOn]")) {
            match value.as_str() {
                Some(name) => step.depends_on.push(name.to_owned()),
                None => self.problem(format!("{place}: [DependsOn] must be a list of step names")),
            }
        }
        for value in self.list(object.get("PropertyFiles"), &format!("{place}: [PropertyFiles]")) {
            let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
            match (text("PropertyFileName"), text("OutputName"), text("FilePath")) {
                (Some(name), Some(output), Some(path)) => step.property_files.push(PropertyFile { name, output, path }),
                _ => self.problem(format!("{place}: a property file needs [PropertyFileName], [OutputName] and [FilePath]")),
            }
        }
        if !step.property_files.is_empty() && step.kind != StepKind::Processing {
            self.problem(format!("{place}: only Processing steps have [PropertyFiles]"));
        }
        if let Some(cache) = object.get("CacheConfig").filter(|value| !value.is_null()) {
            match CacheConfig::parse(cache) {
                Ok(_) if key_arguments(step.kind).is_none() => {
                    self.problem(format!("{place}: steps of type {:?} cannot be cached", step.kind))
                }
                Ok(cache) => step.cache = Some(cache),
                Err(problem) => self.problem(format!("{place}: {problem}")),
            }
        }
        for policy in self.list(object.get("RetryPolicies"), &format!("{place}: [RetryPolicies]")) {
            match RetryPolicy::parse(policy) {
                Ok(policy) => step.retry.push(policy),
                Err(problem) => self.problem(format!("{place}: {problem}")),
            }
        }
        if !step.retry.is_empty() && step.kind.operation().is_none() {
            self.problem(format!("{place}: steps of type {:?} cannot have [RetryPolicies]", step.kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fail() -> Value {
        json!({"Name": "f", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}})
    }

    fn parse(definition: &Value) -> Result<Definition, String> {
        Definition::parse(&definition.to_string()).map_err(|error| error.to_string())
    }

    fn with_step(step: Value) -> Value {
        json!({"Version": "2020-12-01", "Steps": [step]})
    }

    fn with_parameter(parameter: Value) -> Value {
        json!({"Version": "2020-12-01", "Parameters": [parameter], "Steps": [fail()]})
    }

    #[test]
    fn a_definition_reads() {
        let definition = parse(&json!({
            "Version": "2020-12-01", "Metadata": {}, "Parameters": [{"Name": "Count", "Type": "Integer", "DefaultValue": 0}],
            "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": {"Get": "Execution.PipelineExecutionId"}},
            "Steps": [
                {"Name": "Train-1_a", "Type": "Training", "DisplayName": "Train", "Description": "d", "Arguments": {"RoleArn": "arn:role/b"},
                    "CacheConfig": {"Enabled": true, "ExpireAfter": "30d"}, "RetryPolicies": [{"ExceptionType": ["Step.THROTTLING"]}]},
                {"Name": "m", "Type": "Model", "Arguments": {"ExecutionRoleArn": "arn:role/a"}},
                {"Name": "n", "Type": "CreateModel", "Arguments": {"ExecutionRoleArn": {"Get": "Parameters.Count"}}},
                fail(),
            ],
        }))
        .unwrap();
        assert_eq!(definition.required_roles(), ["arn:role/a", "arn:role/b"]);
        assert_eq!(definition.parameters()[0].default, Some(json!(0)));
        let train = definition.step("Train-1_a").unwrap();
        assert_eq!((train.display_name.as_deref(), train.description.as_deref()), (Some("Train"), Some("d")));
        assert_eq!(train.cache, Some(CacheConfig { enabled: true, expire_after_secs: Some(2_592_000) }));
        assert_eq!(definition.step("n").unwrap().kind, StepKind::Model);
        assert!(
            parse(&json!({"Version": "2020-12-01", "PipelineExperimentConfig": null, "Steps": [fail()]})).unwrap().experiment.is_none()
        );
    }

    #[test]
    fn unsupported_step_types_are_named_with_their_step() {
        for kind in ["Lambda", "Callback", "EMR", "QualityCheck", "ClarifyCheck", "AutoML", "NotebookJob", "training"] {
            let error = parse(&with_step(json!({"Name": "s", "Type": kind, "Arguments": {}}))).unwrap_err();
            assert!(error.contains(&format!("step [s]: type [{kind}] is not supported")), "{error}");
        }
    }

    #[test]
    fn what_the_schema_does_not_know_is_refused() {
        for (definition, wanted) in [
            (json!([]), "must be a JSON object"),
            (json!({"Steps": [fail()]}), "[Version] not found"),
            (json!({"Version": "2020-12-02", "Steps": [fail()]}), "[Version] must be 2020-12-01"),
            (json!({"Version": "2020-12-01"}), "[Steps] not found"),
            (json!({"Version": "2020-12-01", "Steps": []}), "at least one step"),
            (json!({"Version": "2020-12-01", "Steps": {}}), "[Steps] must be a list"),
            (json!({"Version": "2020-12-01", "Steps": [1]}), "must be an object"),
            (json!({"Version": "2020-12-01", "Steps": [fail()], "Step": []}), "extraneous key [Step]"),
            (
                json!({"Version": "2020-12-01", "Steps": [fail()], "PipelineExperimentConfig": {"ExperimentName": "e"}}),
                "needs [ExperimentName] and [TrialName]",
            ),
            (
                json!({"Version": "2020-12-01", "Steps": [fail()], "PipelineExperimentConfig": {"ExperimentName": "e", "TrialName": {"Get": "Steps.f.X"}}}),
                "cannot refer to step [f]",
            ),
            (with_step(json!({"Type": "Fail", "Arguments": {"ErrorMessage": "x"}})), "[Name] not found"),
            (with_step(json!({"Name": "", "Type": "Fail"})), "does not match pattern"),
            (with_step(json!({"Name": "a b", "Type": "Fail"})), "step name [a b] does not match pattern"),
            (with_step(json!({"Name": "x".repeat(65), "Type": "Fail"})), "does not match pattern"),
            (with_step(json!({"Name": "s", "Arguments": {}})), "step [s]: required key [Type]"),
            (with_step(json!({"Name": "s", "Type": "Training"})), "step [s]: required key [Arguments]"),
            (with_step(json!({"Name": "s", "Type": "Training", "Arguments": {}, "Extra": 1})), "step [s]: extraneous key [Extra]"),
            (
                with_step(json!({"Name": "s", "Type": "Training", "Arguments": {"A": {"Get": "Nope"}}})),
                "step [s]: [Nope] is not a valid reference",
            ),
            (with_step(json!({"Name": "s", "Type": "Training", "Arguments": {}, "DependsOn": [1]})), "list of step names"),
            (
                with_step(
                    json!({"Name": "s", "Type": "Training", "Arguments": {}, "PropertyFiles": [{"PropertyFileName": "p", "OutputName": "o", "FilePath": "f"}]}),
                ),
                "only Processing steps",
            ),
            (
                with_step(json!({"Name": "s", "Type": "Processing", "Arguments": {}, "PropertyFiles": [{"PropertyFileName": "p"}]})),
                "needs [PropertyFileName], [OutputName] and [FilePath]",
            ),
            (
                with_step(
                    json!({"Name": "s", "Type": "Training", "Arguments": {}, "CacheConfig": {"Enabled": true, "ExpireAfter": "soon"}}),
                ),
                "ISO 8601",
            ),
            (with_step(json!({"Name": "s", "Type": "Model", "Arguments": {}, "CacheConfig": {"Enabled": true}})), "cannot be cached"),
            (
                with_step(
                    json!({"Name": "s", "Type": "Fail", "Arguments": {"ErrorMessage": ""}, "RetryPolicies": [{"ExceptionType": ["Step.THROTTLING"]}]}),
                ),
                "cannot have [RetryPolicies]",
            ),
            (with_step(json!({"Name": "s", "Type": "Fail", "Arguments": {}})), "needs [ErrorMessage]"),
            (with_step(json!({"Name": "s", "Type": "Condition", "Arguments": {"Conditions": []}})), "at least one condition"),
            (
                with_step(json!({"Name": "s", "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Like"}]}})),
                "step [s]: condition type [Like]",
            ),
            (with_parameter(json!({"Type": "String"})), "parameter: required key [Name]"),
            (with_parameter(json!({"Name": "p", "Type": "Date"})), "parameter [p]: type"),
            (with_parameter(json!({"Name": "p", "Type": "Integer", "DefaultValue": "1"})), "must be of type Integer"),
            (with_parameter(json!({"Name": "p", "DefaultValue": "c", "EnumValues": ["a", "b"]})), "not one of [a, b]"),
            (with_parameter(json!({"Name": "p", "DefaultValue": "c".repeat(4097)})), "longer than 4096"),
            (
                json!({"Version": "2020-12-01", "Parameters": [{"Name": "p"}, {"Name": "p"}], "Steps": [fail()]}),
                "parameter names must be unique: [p]",
            ),
        ] {
            let error = parse(&definition).unwrap_err();
            assert!(error.starts_with("Invalid pipeline definition: ") && error.contains(wanted), "{definition}: {error}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let steps = |count: usize| {
            (0..count).map(|index| json!({"Name": format!("s{index}"), "Type": "Training", "Arguments": {}})).collect::<Vec<_>>()
        };
        assert!(parse(&json!({"Version": "2020-12-01", "Steps": steps(MAX_STEPS)})).is_ok());
        assert!(parse(&json!({"Version": "2020-12-01", "Steps": steps(MAX_STEPS + 1)})).unwrap_err().contains("more than 50 steps"));
        let parameters: Vec<Value> = (0..=MAX_PARAMETERS).map(|index| json!({"Name": format!("p{index}")})).collect();
        assert!(
            parse(&json!({"Version": "2020-12-01", "Parameters": parameters, "Steps": [fail()]})).unwrap_err().contains("the limit is 200")
        );
        for text in [" ".repeat(MAX_DEFINITION_BYTES + 1), "[".repeat(MAX_DEFINITION_BYTES), "{\"a\":".repeat(1000), "nope".into()] {
            assert!(Definition::parse(&text).is_err());
        }
        // Branches within branches count too.
        let mut nested = fail();
        for depth in 0..45 {
            nested = json!({"Name": format!("c{depth}"), "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], "IfSteps": [nested], "ElseSteps": []}});
        }
        assert!(parse(&with_step(nested)).is_err(), "deeper than a JSON document may be");
    }

    #[test]
    fn many_problems_are_shortened() {
        let steps: Vec<Value> = (0..200).map(|_| json!({"Name": "bad name"})).collect();
        let error = Definition::parse(&json!({"Version": "2020-12-01", "Steps": steps}).to_string()).unwrap_err();
        assert_eq!(error.problems().len(), MAX_PROBLEMS);
        assert!(error.to_string().ends_with("; and 45 more"), "{error}");
    }
}
