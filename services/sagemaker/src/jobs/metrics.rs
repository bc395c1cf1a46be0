//! Metrics that a training job prints: regular expressions over its log, the last value of each counts.
//!
//! The built-in XGBoost images have definitions of their own, as on AWS, where the request has none.

use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};
use tenantry_core::{Result, Timestamp};

use crate::error::validation;

/// A compiled expression takes no more memory than this; there are at most 40 of them per job.
const MAX_COMPILED: usize = 1 << 20;
/// Values of a metric that are remembered besides the last: those of so many epochs.
const MAX_HISTORY: usize = 500;
/// What of a line is searched.
const MAX_LINE: usize = 4096;
/// What the built-in algorithm can be asked to print.
const XGBOOST: [&str; 18] = [
    "accuracy",
    "auc",
    "aucpr",
    "cox-nloglik",
    "error",
    "f1",
    "gamma-deviance",
    "logloss",
    "mae",
    "map",
    "merror",
    "mlogloss",
    "mse",
    "ndcg",
    "poisson-nloglik",
    "rmse",
    "rmsle",
    "tweedie-nloglik",
];

/// What to look for, and what was seen last.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Metric>>>);

#[derive(Debug)]
struct Metric {
    name: String,
    regex: Regex,
    last: Option<(f64, Timestamp)>,
    history: Vec<f64>,
}

/// The definitions of a built-in image; an empty list for others.
pub(crate) fn built_in(repository: &str) -> Vec<Value> {
    if !matches!(repository, "sagemaker-xgboost" | "xgboost") {
        return Vec::new();
    }
    let definition = |set: &str, metric: &str| json!({"Name": format!("{set}:{metric}"), "Regex": format!(r".*\[[0-9]+\].*#011{set}-{metric}:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*")});
    // AWS allows 40 definitions: these are 36.
    ["train", "validation"].iter().flat_map(|set| XGBOOST.iter().map(|metric| definition(set, metric))).collect()
}

impl Metrics {
    /// Reads `MetricDefinitions`.
    ///
    /// # Errors
    /// `ValidationException` for an expression that cannot be read, has no group, or is too large.
    pub fn read(definitions: &Value) -> Result<Self> {
        let mut metrics = Vec::new();
        for definition in definitions.as_array().into_iter().flatten() {
            let text = |member: &str| definition[member].as_str().unwrap_or_default();
            let (name, pattern) = (text("Name"), text("Regex"));
            let bad = |why: &str| validation(format!("Invalid regex `{pattern}` of metric `{name}`: {why}."));
            let regex = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build().map_err(|error| {
                let first = error.to_string();
                bad(first.lines().last().unwrap_or("it cannot be read").trim_end_matches('.'))
            })?;
            if regex.captures_len() < 2 {
                return Err(bad("it has no capturing group for the value"));
            }
            metrics.push(Metric { name: name.to_owned(), regex, last: None, history: Vec::new() });
        }
        Ok(Self(Arc::new(Mutex::new(metrics))))
    }

    /// Looks at a line.
    pub fn see(&self, line: &str, time: Timestamp) {
        let mut end = line.len().min(MAX_LINE);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        for metric in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let found = metric.regex.captures(&line[..end]).and_then(|groups| groups.get(1)?.as_str().trim().parse().ok());
            if let Some(value) = found.filter(|value: &f64| value.is_finite()) {
                metric.last = Some((value, time));
                if metric.history.len() < MAX_HISTORY {
                    metric.history.push(value);
                }
            }
        }
    }

    /// The values of a metric in the order they were seen, the first of them.
    pub fn history(&self, name: &str) -> Vec<f64> {
        let metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.iter().find(|metric| metric.name == name).map(|metric| metric.history.clone()).unwrap_or_default()
    }

    /// `FinalMetricDataList`.
    pub fn last(&self) -> Vec<Value> {
        let metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = metrics.iter().filter_map(|metric| Some((&metric.name, metric.last?)));
        seen.map(|(name, (value, time))| json!({"MetricName": name, "Value": value, "Timestamp": time})).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_values() {
        let metrics = Metrics::read(&json!([{"Name": "loss", "Regex": "loss=([0-9.]+);"}, {"Name": "never", "Regex": "x(y)z"}])).unwrap();
        for line in ["loss=0.5; ", "nothing", "loss=0.25;", "loss=....;", &format!("{}é loss=9;", "x".repeat(MAX_LINE - 1))] {
            metrics.see(line, Timestamp::from_secs(7));
        }
        assert_eq!(metrics.last(), [json!({"MetricName": "loss", "Value": 0.25, "Timestamp": 7})]);
        assert_eq!((metrics.history("loss"), metrics.history("never")), (vec![0.5, 0.25], vec![]));
        (0..MAX_HISTORY).for_each(|_| metrics.see("loss=1;", Timestamp::default()));
        assert_eq!(metrics.history("loss").len(), MAX_HISTORY);
    }

    #[test]
    fn xgboost_lines() {
        let metrics = Metrics::read(&Value::Array(built_in("sagemaker-xgboost"))).unwrap();
        metrics.see("[3]#011train-rmse:0.12345#011validation-rmse:1.5e-3", Timestamp::default());
        let last = metrics.last();
        let of = |name: &str| last.iter().find(|metric| metric["MetricName"] == name).map(|metric| metric["Value"].as_f64().unwrap());
        assert_eq!((of("train:rmse"), of("validation:rmse"), of("train:mse")), (Some(0.12345), Some(0.0015), None));
        assert!(built_in("pytorch-training").is_empty() && built_in("sagemaker-xgboost").len() <= 40);
    }

    #[test]
    fn bad_expressions() {
        for regex in ["(", "no group", "(?=ahead)x(y)", "(a{1000}){1000}{1000}"] {
            let error = Metrics::read(&json!([{"Name": "m", "Regex": regex}])).unwrap_err();
            assert_eq!(error.code, "ValidationException", "{regex}");
        }
    }
}
