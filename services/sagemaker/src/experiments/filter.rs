//! Search expressions, judged on documents. Pure.
//!
//! A property's name is a path with dots. Names of parameters and metrics have dots too, so that a path may
//! be read in several ways: whatever it reaches in one of them counts. A list is looked through; a list of
//! tags or metrics by its keys. Source: "SearchExpression", "Filter", SageMaker API Reference.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::Value;
use tenantry_core::Timestamp;

/// An operator that no request has: the same text. `Equals` takes `01` and `1` for equal, and tenants may be so named.
pub(super) const EXACTLY: &str = "Exactly";

/// `SearchExpression`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Expression {
    filters: Vec<Filter>,
    nested_filters: Vec<Nested>,
    sub_expressions: Vec<Expression>,
    operator: Option<String>,
}

/// `Filter`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub name: String,
    pub operator: Option<String>,
    pub value: Option<String>,
}

/// `NestedFilters`: one element of a list must pass all of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Nested {
    nested_property_name: String,
    filters: Vec<Filter>,
}

impl Expression {
    /// All of these filters.
    pub(super) fn all(filters: Vec<Filter>) -> Self {
        Self { filters, ..Self::default() }
    }
    /// Whether a document is meant. An empty expression means all.
    pub(super) fn holds(&self, document: &Value) -> bool {
        let parts = self.filters.len() + self.nested_filters.len() + self.sub_expressions.len();
        if parts == 0 {
            return true;
        }
        let mut all = (self.filters.iter().map(|filter| filter.holds(document)))
            .chain(self.nested_filters.iter().map(|nested| nested.holds(document)))
            .chain(self.sub_expressions.iter().map(|expression| expression.holds(document)));
        if self.operator.as_deref() == Some("Or") { all.any(|held| held) } else { all.all(|held| held) }
    }
}

impl Nested {
    fn holds(&self, document: &Value) -> bool {
        let mut lists = Vec::new();
        reach(document, &self.nested_property_name, &mut lists, true);
        // The filters may name the list again or only what is within an element.
        let prefix = format!("{}.", self.nested_property_name);
        let within =
            |filter: &Filter| Filter { name: filter.name.strip_prefix(&prefix).unwrap_or(&filter.name).to_owned(), ..filter.clone() };
        let filters: Vec<Filter> = self.filters.iter().map(within).collect();
        let elements = lists.into_iter().flat_map(|list| list.as_array().map_or_else(|| vec![list], |list| list.iter().collect()));
        elements.into_iter().any(|element| filters.iter().all(|filter| filter.holds(element)))
    }
}

impl Filter {
    fn holds(&self, document: &Value) -> bool {
        let mut found = Vec::new();
        reach(document, &self.name, &mut found, false);
        let wanted = self.value.as_deref().unwrap_or_default();
        let compares = |test: &dyn Fn(Ordering) -> bool| found.iter().any(|value| compare(value, wanted).is_some_and(test));
        match self.operator.as_deref().unwrap_or("Equals") {
            EXACTLY => found.iter().any(|value| value.as_str() == Some(wanted)),
            "Exists" => !found.is_empty(),
            "NotExists" => found.is_empty(),
            "NotEquals" => !compares(&Ordering::is_eq),
            "GreaterThan" => compares(&Ordering::is_gt),
            "GreaterThanOrEqualTo" => compares(&Ordering::is_ge),
            "LessThan" => compares(&Ordering::is_lt),
            "LessThanOrEqualTo" => compares(&Ordering::is_le),
            "Contains" => found.iter().any(|value| value.as_str().is_some_and(|text| text.contains(wanted))),
            "In" => wanted.split(',').any(|one| found.iter().any(|value| compare(value, one.trim()).is_some_and(Ordering::is_eq))),
            _ => compares(&Ordering::is_eq),
        }
    }
}

/// Everything that `path` reaches in `value`; lists as a whole with `whole`, else their elements.
pub(super) fn reach<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>, whole: bool) {
    if path.is_empty() {
        match value {
            Value::Null => {}
            Value::Array(list) if !whole => list.iter().for_each(|element| reach(element, "", found, whole)),
            // The value of a trial component's parameter.
            Value::Object(members)
                if members.len() == 1 && (members.contains_key("NumberValue") || members.contains_key("StringValue")) =>
            {
                found.extend(members.values());
            }
            value => found.push(value),
        }
        return;
    }
    match value {
        Value::Object(members) => {
            for (at, _) in path.match_indices('.').chain([(path.len(), "")]) {
                if let Some(member) = members.get(&path[..at]) {
                    reach(member, path.get(at + 1..).unwrap_or_default(), found, whole);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|element| reach_element(element, path, found, whole)),
        _ => {}
    }
}

/// An element of a list: by the key that it has as a tag or metric, or as any object.
fn reach_element<'a>(element: &'a Value, path: &str, found: &mut Vec<&'a Value>, whole: bool) {
    let text = |member: &str| element.get(member).and_then(Value::as_str);
    if let Some(key) = text("Key")
        && path == key
    {
        found.extend(element.get("Value"));
        return;
    }
    if let Some(rest) = text("MetricName").and_then(|name| path.strip_prefix(name)) {
        match rest.strip_prefix('.') {
            Some(rest) => reach(element, rest, found, whole),
            None if rest.is_empty() => found.extend(element.get("Value").or_else(|| element.get("Last"))),
            None => {}
        }
        return;
    }
    reach(element, path, found, whole);
}

/// A value against a filter's text: as numbers, as instants, else as text.
fn compare(value: &Value, wanted: &str) -> Option<Ordering> {
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let wanted = wanted.parse::<f64>().ok().or_else(|| instant(wanted))?;
            number.partial_cmp(&wanted)
        }
        Value::Bool(flag) => Some(flag.to_string().as_str().cmp(&wanted.to_lowercase())),
        Value::String(text) => match (text.parse::<f64>(), wanted.parse::<f64>()) {
            (Ok(number), Ok(wanted)) => number.partial_cmp(&wanted),
            _ => Some(text.as_str().cmp(wanted)),
        },
        _ => None,
    }
}

/// Seconds of an instant; an offset may be missing.
fn instant(text: &str) -> Option<f64> {
    let time = Timestamp::parse(text)
        .or_else(|| Timestamp::parse(&format!("{text}Z")))
        .or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")))?;
    Some(time.millis() as f64 / 1000.0)
}

/// The order of two documents by a property: numbers before text, what has none first.
pub(super) fn order(a: &Value, b: &Value, by: &str) -> Ordering {
    let first = |document| {
        let mut found = Vec::new();
        reach(document, by, &mut found, false);
        found.into_iter().next()
    };
    match (first(a), first(b)) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (None, Some(_)) | (Some(Value::Number(_)), Some(_)) => Ordering::Less,
        (Some(_), None | Some(Value::Number(_))) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(expression: Value, document: &Value) -> bool {
        serde_json::from_value::<Expression>(expression).unwrap().holds(document)
    }

    #[test]
    fn operators() {
        let document = json!({
            "DisplayName": "train-1", "CreationTime": 1_600_000_000, "Tags": [{"Key": "TenantID", "Value": "tenant1"}],
            "Parents": [{"ExperimentName": "churn", "TrialName": "t1"}, {"ExperimentName": "other", "TrialName": "t2"}],
            "Parameters": {"SageMaker.InstanceType": {"StringValue": "ml.m5.large"}, "eta": {"NumberValue": 0.2}, "depth": {"StringValue": "10"}},
            "Metrics": [{"MetricName": "train:rmse", "Last": 3.5, "Max": 9.0}],
        });
        for (name, operator, value, wanted) in [
            ("DisplayName", "Equals", "train-1", true),
            ("DisplayName", "Equals", "train-2", false),
            ("DisplayName", "NotEquals", "train-2", true),
            ("DisplayName", "Contains", "rain", true),
            ("DisplayName", "In", "a, train-1", true),
            ("Missing", "NotExists", "x", true),
            ("Missing", "Exists", "x", false),
            ("Missing", "NotEquals", "x", true),
            ("Missing", "LessThan", "1", false),
            ("Parents.ExperimentName", "Equals", "churn", true),
            ("Parents.ExperimentName", "Equals", "t1", false),
            ("Tags.TenantID", "Equals", "tenant1", true),
            ("Tags.TenantID", "Equals", "tenant2", false),
            ("Tags.AppID", "Exists", "x", false),
            ("Parameters.SageMaker.InstanceType", "Equals", "ml.m5.large", true),
            ("Parameters.eta", "LessThan", "0.3", true),
            ("Parameters.depth", "GreaterThan", "9", true),
            ("Metrics.train:rmse.Last", "LessThanOrEqualTo", "3.5", true),
            ("Metrics.train:rmse.Max", "GreaterThanOrEqualTo", "9.1", false),
            ("CreationTime", "GreaterThan", "2020-09-01T00:00:00", true),
            ("CreationTime", "LessThan", "2020-09-01", false),
        ] {
            let expression = json!({"Filters": [{"Name": name, "Operator": operator, "Value": value}]});
            assert_eq!(holds(expression, &document), wanted, "{name} {operator} {value}");
        }
    }

    #[test]
    fn expressions() {
        let document = json!({"A": "1", "List": [{"X": "1", "Y": "2"}, {"X": "3", "Y": "4"}]});
        let a = |value| json!({"Name": "A", "Value": value});
        assert!(holds(json!({}), &document));
        assert!(!holds(json!({"Filters": [a("1"), a("2")]}), &document));
        assert!(holds(json!({"Filters": [a("1"), a("2")], "Operator": "Or"}), &document));
        assert!(!holds(json!({"Filters": [a("1")], "SubExpressions": [{"Filters": [a("2")]}]}), &document));
        let nested = |y| json!({"NestedFilters": [{"NestedPropertyName": "List", "Filters": [{"Name": "List.X", "Value": "1"}, {"Name": "List.Y", "Value": y}]}]});
        assert!(holds(nested("2"), &document));
        assert!(!holds(nested("4"), &document), "one element must pass all");
    }
}
