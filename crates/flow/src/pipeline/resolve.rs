//! Replaces `Get`, `Std:Join` and `Std:JsonGet` by their values.
//!
//! Values keep their type (an Integer parameter becomes a JSON number) except where the API wants text:
//! hyperparameters, environment variables, container arguments and the like become strings. What a
//! resolution may produce is bounded, because a definition can name one long value many times.

use super::{
    execution::ExecutionInfo,
    parameters::{Bound, text},
    reference::{Function, Reference, Variable, follow, function, shorten, show},
};
use serde_json::{Map, Value};
use std::cell::Cell;
use tenantry_core::Timestamp;

/// Most bytes that the arguments of one step may have once resolved.
pub const MAX_RESOLVED_BYTES: usize = 1_048_576;

/// Members whose scalars the API takes as text.
const TEXT_MEMBERS: [&str; 9] = [
    "HyperParameters",
    "StaticHyperParameters",
    "ParameterRanges",
    "HyperParameterRanges",
    "Environment",
    "ContainerArguments",
    "ContainerEntrypoint",
    "CustomerMetadataProperties",
    "Tags",
];

/// What references refer to.
pub(super) struct Context<'a> {
    pub parameters: &'a Bound,
    pub info: &'a ExecutionInfo,
    /// The output document of a step that succeeded.
    pub outputs: &'a dyn Fn(&str) -> Option<&'a Value>,
    /// The content of a property file of a step.
    pub file: &'a dyn Fn(&str, &str) -> Option<&'a str>,
    /// When the step that asks began.
    pub now: Timestamp,
    /// The name of the job of the step that asks.
    pub job_name: &'a str,
}

impl Context<'_> {
    /// `value` with every reference replaced.
    ///
    /// # Errors
    /// What fails the step: a reference without value, or too large a result.
    pub fn resolve(&self, value: &Value) -> Result<Value, String> {
        let budget = Cell::new(MAX_RESOLVED_BYTES);
        self.value(value, false, &budget)
    }

    /// `value` resolved, as text.
    ///
    /// # Errors
    /// As [`Context::resolve`], or a value that is not a scalar.
    pub fn resolve_text(&self, value: &Value) -> Result<String, String> {
        scalar(&self.resolve(value)?)
    }

    fn value(&self, value: &Value, as_text: bool, budget: &Cell<usize>) -> Result<Value, String> {
        if let Some(function) = function(value)? {
            let computed = self.compute(function, budget)?;
            return Ok(if as_text { textual(computed) } else { computed });
        }
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.value(item, as_text, budget)).collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Value::Object(members) => {
                let mut resolved = Map::with_capacity(members.len());
                for (key, member) in members {
                    spend(budget, key.len() + 4)?;
                    resolved.insert(key.clone(), self.value(member, as_text || TEXT_MEMBERS.contains(&key.as_str()), budget)?);
                }
                Ok(Value::Object(resolved))
            }
            literal => {
                spend(budget, size(literal))?;
                Ok(if as_text { textual(literal.clone()) } else { literal.clone() })
            }
        }
    }

    fn compute(&self, function: Function<'_>, budget: &Cell<usize>) -> Result<Value, String> {
        match function {
            Function::Get(reference) => {
                let value = self.reference(&reference)?;
                spend(budget, size(&value))?;
                Ok(value)
            }
            Function::Join { on, values } => {
                let mut joined = String::new();
                for (position, value) in values.iter().enumerate() {
                    if position > 0 {
                        spend(budget, on.len())?;
                        joined.push_str(on);
                    }
                    joined.push_str(&scalar(&self.value(value, false, budget)?)?);
                }
                Ok(Value::String(joined))
            }
            Function::JsonGet { step, file, path } => {
                let content =
                    (self.file)(&step, &file).ok_or_else(|| format!("Property file [{file}] of step [{step}] has not been read"))?;
                let document: Value = serde_json::from_str(content)
                    .map_err(|error| format!("Property file [{file}] of step [{step}] is not valid JSON: {error}"))?;
                let value = follow(&document, &path)
                    .ok_or_else(|| format!("Path [{}] not found in property file [{file}] of step [{step}]", show(&path)))?;
                spend(budget, size(value))?;
                Ok(value.clone())
            }
        }
    }

    fn reference(&self, reference: &Reference) -> Result<Value, String> {
        match reference {
            Reference::Parameter(name) => self.parameters.get(name).cloned().ok_or_else(|| format!("Parameter [{name}] has no value")),
            Reference::Execution(variable) => Ok(Value::from(self.variable(*variable))),
            Reference::Step { step, path } => {
                let outputs = (self.outputs)(step).ok_or_else(|| format!("Step [{step}] has no properties yet"))?;
                follow(outputs, path).cloned().ok_or_else(|| format!("Property [{}] of step [{step}] does not exist", show(path)))
            }
            Reference::PropertyFile { step, file } => {
                Err(format!("Property file [{file}] of step [{step}] can only be read by Std:JsonGet"))
            }
        }
    }

    fn variable(&self, variable: Variable) -> String {
        match variable {
            Variable::StartDateTime => self.info.start.iso8601(true),
            Variable::CurrentDateTime => self.now.iso8601(true),
            Variable::PipelineName => self.info.pipeline_name.clone(),
            Variable::PipelineArn => self.info.pipeline_arn.clone(),
            Variable::PipelineExecutionId => self.info.execution_id.clone(),
            Variable::PipelineExecutionArn => self.info.execution_arn.clone(),
            Variable::TrainingJobName | Variable::ProcessingJobName => self.job_name.to_owned(),
        }
    }
}

/// Numbers and booleans as text, within lists and objects too.
fn textual(value: Value) -> Value {
    match value {
        Value::Number(_) | Value::Bool(_) => Value::String(value.to_string()),
        Value::Array(items) => items.into_iter().map(textual).collect(),
        Value::Object(members) => members.into_iter().map(|(key, member)| (key, textual(member))).collect(),
        other => other,
    }
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(text(value)),
        other => Err(format!("Cannot use [{}] as text", shorten(&other.to_string()))),
    }
}

/// About how many bytes `value` takes as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(members) => members.iter().map(|(key, member)| key.len() + size(member) + 4).sum::<usize>() + 2,
        _ => 8,
    }
}

fn spend(budget: &Cell<usize>, bytes: usize) -> Result<(), String> {
    budget
        .set(budget.get().checked_sub(bytes).ok_or_else(|| format!("The resolved arguments are longer than {MAX_RESOLVED_BYTES} bytes"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, bind};
    use super::*;
    use serde_json::json;

    fn with_context<T>(test: impl FnOnce(&Context<'_>) -> T) -> T {
        let definition = json!({"Version": "2020-12-01", "Parameters": [
            {"Name": "n", "Type": "Integer", "DefaultValue": 2}, {"Name": "f", "Type": "Float", "DefaultValue": 1.0},
            {"Name": "b", "Type": "Boolean", "DefaultValue": true}, {"Name": "s", "DefaultValue": "x"}, {"Name": "long", "DefaultValue": "l".repeat(4096)},
        ], "Steps": [{"Name": "x", "Type": "Fail", "Arguments": {"ErrorMessage": "m"}}]});
        let definition = Definition::parse(&definition.to_string()).unwrap();
        let info = ExecutionInfo {
            pipeline_name: "P".into(),
            pipeline_arn: "arn:p".into(),
            execution_id: "abcdefghijkl".into(),
            execution_arn: "arn:p/execution/abcdefghijkl".into(),
            start: Timestamp::from_secs(0),
            max_parallel_steps: None,
        };
        let outputs = json!({"ModelArtifacts": {"S3ModelArtifacts": "s3://m"}, "List": [1, 2], "Outputs": [{"OutputName": "train", "S3Output": {"S3Uri": "s3://t"}}]});
        test(&Context {
            parameters: &bind(&definition, &[]).unwrap(),
            info: &info,
            outputs: &|step| (step == "done").then_some(&outputs),
            file: &|step, file| {
                (step == "done" && file == "r").then_some("{\"m\": {\"mse\": {\"value\": 4.5}}, \"l\": [{\"Name\": \"k\", \"v\": 1}]}")
            },
            now: Timestamp::from_secs(60),
            job_name: "pipelines-abcdefghijkl-x-1",
        })
    }

    #[test]
    fn values_resolve() {
        let get = |text: &str| json!({"Get": text});
        let file = |path: &str| json!({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.done.PropertyFiles.r"}, "Path": path}});
        let cases = [
            (json!({"InstanceCount": get("Parameters.n"), "Literal": 3}), json!({"InstanceCount": 2, "Literal": 3})),
            (
                json!({"HyperParameters": {"n": get("Parameters.n"), "f": get("Parameters.f"), "b": get("Parameters.b"), "k": 5}}),
                json!({"HyperParameters": {"n": "2", "f": "1.0", "b": "true", "k": "5"}}),
            ),
            (
                json!({"AppSpecification": {"ContainerArguments": ["--n", get("Parameters.n")], "ImageUri": "i"}}),
                json!({"AppSpecification": {"ContainerArguments": ["--n", "2"], "ImageUri": "i"}}),
            ),
            (
                json!({"PrimaryContainer": {"Environment": {"N": get("Parameters.n")}}}),
                json!({"PrimaryContainer": {"Environment": {"N": "2"}}}),
            ),
            (get("Steps.done.ModelArtifacts.S3ModelArtifacts"), json!("s3://m")),
            (get("Steps.done.Outputs['train'].S3Output.S3Uri"), json!("s3://t")),
            (get("Steps.done.List[1]"), json!(2)),
            (get("Execution.PipelineExecutionId"), json!("abcdefghijkl")),
            (get("Execution.StartDateTime"), json!("1970-01-01T00:00:00.000Z")),
            (get("Execution.CurrentDateTime"), json!("1970-01-01T00:01:00.000Z")),
            (get("Execution.TrainingJobName"), json!("pipelines-abcdefghijkl-x-1")),
            (
                json!({"Std:Join": {"On": "/", "Values": ["a", get("Parameters.n"), {"Std:Join": {"Values": [get("Parameters.s"), "y"]}}, get("Parameters.b")]}}),
                json!("a/2/xy/true"),
            ),
            (file("m.mse.value"), json!(4.5)),
            (file("$.m['mse']"), json!({"value": 4.5})),
            (file("l[0].v"), json!(1)),
        ];
        with_context(|context| {
            for (value, wanted) in cases {
                assert_eq!(context.resolve(&value), Ok(wanted), "{value}");
            }
        });
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        with_context(|context| {
            for (value, wanted) in [
                (json!({"Get": "Steps.other.A"}), "Step [other] has no properties"),
                (json!({"Get": "Steps.done.Nope.A"}), "Property [Nope.A] of step [done]"),
                (
                    json!({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.done.PropertyFiles.r"}, "Path": "m.nope"}}),
                    "Path [m.nope] not found",
                ),
                (json!({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.done.PropertyFiles.q"}, "Path": "m"}}), "has not been read"),
                (json!({"Std:Join": {"Values": [{"Get": "Steps.done.List"}]}}), "as text"),
            ] {
                let error = context.resolve(&value).unwrap_err();
                assert!(error.contains(wanted), "{value}: {error}");
            }
        });
    }

    #[test]
    fn results_are_bounded() {
        with_context(|context| {
            let many: Vec<Value> = (0..300).map(|_| json!({"Get": "Parameters.long"})).collect();
            for value in [json!({"Std:Join": {"Values": many}}), json!({"ContainerArguments": many})] {
                assert!(context.resolve(&value).unwrap_err().contains("longer than"));
            }
        });
    }
}
