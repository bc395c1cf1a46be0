//! Pipeline parameters: their declaration and the values an execution gives them.
//!
//! StartPipelineExecution carries every value as text, whatever its type; binding makes it a JSON value of
//! the declared type, once, so that a number given as `"2"` arrives at CreateTrainingJob as 2.

use super::reference::shorten;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A parameter of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Unique in the pipeline.
    pub name: String,
    /// What its values are.
    pub kind: ParameterType,
    /// `DefaultValue`, of the parameter's type.
    pub default: Option<Value>,
    /// `EnumValues`: empty if any value will do.
    pub allowed: Vec<Value>,
    /// `MinValue` of a number.
    pub min: Option<f64>,
    /// `MaxValue` of a number.
    pub max: Option<f64>,
}

/// The types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
}

impl ParameterType {
    /// From a parameter's `Type`.
    #[must_use]
    pub fn from_type(text: &str) -> Option<Self> {
        Some(match text {
            "String" => Self::String,
            "Integer" => Self::Integer,
            "Float" => Self::Float,
            "Boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// As it is written in a definition.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Integer => "Integer",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
        }
    }

    /// Whether `value` is of this type.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64(),
            Self::Float => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }

    fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::String => Some(Value::from(text)),
            Self::Integer => text.trim().parse::<i64>().ok().map(Value::from),
            Self::Float => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            Self::Boolean if text.trim().eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
            Self::Boolean if text.trim().eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
            Self::Boolean => None,
        }
    }
}

impl Parameter {
    /// What is wrong with `value`, which is of the right type, if anything.
    pub(super) fn refuses(&self, value: &Value) -> Option<String> {
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let allowed: Vec<String> = self.allowed.iter().take(20).map(text).collect();
            return Some(format!("value [{}] of parameter [{}] is not one of [{}]", shorten(&text(value)), self.name, allowed.join(", ")));
        }
        let number = value.as_f64()?;
        if self.min.is_some_and(|min| number < min) || self.max.is_some_and(|max| number > max) {
            let bound = |bound: Option<f64>| bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string());
            return Some(format!(
                "value [{}] of parameter [{}] is not between [{}] and [{}]",
                text(value),
                self.name,
                bound(self.min),
                bound(self.max)
            ));
        }
        None
    }
}

/// A scalar as text: strings bare, all else as JSON.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The value of every parameter of an execution, each of its declared type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bound(BTreeMap<String, Value>);

impl Bound {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Names and values as text, sorted by name: what ListPipelineParametersForExecution answers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), text(value)))
    }
}

/// Gives the parameters of `definition` the values of StartPipelineExecution, or their defaults.
///
/// # Errors
/// The text of a ValidationException: an unknown name, a name given twice, a parameter with neither
/// value nor default, a value that is not of the declared type or not allowed.
pub fn bind(definition: &super::Definition, given: &[(String, String)]) -> Result<Bound, String> {
    let mut values = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, value) in given {
        let Some(parameter) = definition.parameters.iter().find(|parameter| parameter.name == *name) else {
            unknown.push(shorten(name));
            continue;
        };
        let value = read(parameter, value)?;
        if values.insert(name.clone(), value).is_some() {
            return Err(format!("Pipeline parameter [{name}] is given more than once"));
        }
    }
    if !unknown.is_empty() {
        return Err(format!("Pipeline parameter(s) [{}] are not defined in the pipeline", unknown.join(", ")));
    }
    let mut missing = Vec::new();
    for parameter in &definition.parameters {
        match (&parameter.default, values.contains_key(&parameter.name)) {
            (_, true) => {}
            (Some(default), false) => {
                values.insert(parameter.name.clone(), default.clone());
            }
            (None, false) => missing.push(parameter.name.as_str()),
        }
    }
    if missing.is_empty() {
        Ok(Bound(values))
    } else {
        Err(format!("Pipeline parameter(s) [{}] are missing value and no default is specified", missing.join(", ")))
    }
}

fn read(parameter: &Parameter, given: &str) -> Result<Value, String> {
    if given.is_empty() {
        return Err(format!(
            "Invalid value for pipeline parameter [{}]: string \"\" is too short (length: 0, required minimum: 1)",
            parameter.name
        ));
    }
    let value = parameter.kind.read(given).ok_or_else(|| {
        format!("Value [{}] of pipeline parameter [{}] is not of type {}", shorten(given), parameter.name, parameter.kind.name())
    })?;
    match parameter.refuses(&value) {
        Some(problem) => Err(format!("Invalid pipeline parameter: {problem}")),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Definition;
    use super::*;
    use serde_json::json;

    fn definition() -> Definition {
        let text = json!({"Version": "2020-12-01", "Parameters": [
            {"Name": "Path", "Type": "String"},
            {"Name": "Count", "Type": "Integer", "DefaultValue": 1, "MinValue": 1, "MaxValue": 4},
            {"Name": "Rate", "Type": "Float", "DefaultValue": 0.5},
            {"Name": "Fast", "Type": "Boolean", "DefaultValue": false},
            {"Name": "Tier", "DefaultValue": "Bronze", "EnumValues": ["Bronze", "Gold"]},
        ], "Steps": [{"Name": "f", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]})
        .to_string();
        Definition::parse(&text).unwrap()
    }

    fn bound(given: &[(&str, &str)]) -> Result<Bound, String> {
        bind(&definition(), &given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn text_becomes_the_declared_type() {
        let bound = bound(&[("Path", "1"), ("Count", "2"), ("Rate", "3"), ("Fast", "True"), ("Tier", "Gold")]).unwrap();
        for (name, value) in
            [("Path", json!("1")), ("Count", json!(2)), ("Rate", json!(3.0)), ("Fast", json!(true)), ("Tier", json!("Gold"))]
        {
            assert_eq!(bound.get(name), Some(&value), "{name}");
        }
        assert_eq!(bound.iter().next(), Some(("Count", "2".to_owned())));
    }

    #[test]
    fn defaults_fill_in() {
        let bound = bound(&[("Path", "p")]).unwrap();
        for (name, value) in [("Count", json!(1)), ("Rate", json!(0.5)), ("Fast", json!(false)), ("Tier", json!("Bronze"))] {
            assert_eq!(bound.get(name), Some(&value), "{name}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        for (given, wanted) in [
            (&[][..], "[Path] are missing value"),
            (&[("Path", "p"), ("Nope", "1")], "[Nope] are not defined"),
            (&[("Path", "p"), ("Path", "q")], "[Path] is given more than once"),
            (&[("Path", "")], "too short"),
            (&[("Path", "p"), ("Count", "two")], "[two] of pipeline parameter [Count] is not of type Integer"),
            (&[("Path", "p"), ("Count", "1.5")], "Integer"),
            (&[("Path", "p"), ("Count", "99999999999999999999")], "Integer"),
            (&[("Path", "p"), ("Count", "5")], "not between [1] and [4]"),
            (&[("Path", "p"), ("Rate", "NaN")], "Float"),
            (&[("Path", "p"), ("Fast", "yes")], "Boolean"),
            (&[("Path", "p"), ("Tier", "Lead")], "[Lead] of parameter [Tier] is not one of [Bronze, Gold]"),
        ] {
            let error = bound(given).unwrap_err();
            assert!(error.contains(wanted), "{given:?}: {error}");
        }
    }
}
