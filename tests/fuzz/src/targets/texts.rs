//! What operators and users write for this platform alone: image descriptions, and regular expressions over logs.

use serde_json::{Value, json};
use tenantry_compute::Images;
use tenantry_core::Timestamp;
use tenantry_sagemaker::jobs::metrics::Metrics;

use super::{MEMORY, seeds};
use crate::{
    engine::Target,
    mutate::{Form, Grammar, split_line},
};

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "image",
            what: "descriptions of images, and URIs resolved by them",
            grammar: Grammar { head: true, form: Form::Lines, tokens: IMAGE, longest: 16 << 10 },
            memory: MEMORY,
            renew: 0,
            make: || Box::new(image),
            seeds: || {
                let mut all = seeds(&[
                    "registry.example.com/path/a:1.7-1@sha256:0\nrepository = [\"a\", \"b\"]\n[entry]\ntrain = [\"x\"]\nmulti_model = true\n[environment]\nA = \"1\"\n[[version]]\ntags = [\"1.*-?\", \"latest\"]\npython = \"3.11\"\npackages = [\"p==1\"]\nenvironment = { B = \"2\" }\n",
                ]);
                for text in
                    [include_str!("../../../../images/sagemaker-xgboost.toml"), include_str!("../../../../images/pytorch-training.toml")]
                {
                    all.push(format!("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1\n{text}").into_bytes());
                }
                all
            },
        },
        Target {
            name: "metric",
            what: "MetricDefinitions and the lines they look at",
            grammar: Grammar { head: false, form: Form::Json, tokens: METRIC, longest: 32 << 10 },
            // Forty expressions of one megabyte, compiled, and what they remember of lines.
            memory: 192 << 20,
            renew: 0,
            make: || Box::new(metric),
            seeds: || {
                seeds(&[
                    r#"{"d":[{"Name":"loss","Regex":"loss=([0-9.]+);"},{"Name":"acc","Regex":".*\\[([0-9]+)\\].*acc:([-+]?[0-9]*\\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"}],"l":["loss=0.5; [3] acc:1e-3","é loss=....;"]}"#,
                    r#"{"d":[{"Name":"w","Regex":"(?i)(\\w{1,30}\\s?){1,20}x(\\p{L}+)$"}],"l":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}"#,
                ])
            },
        },
    ]
}

const IMAGE: &[&str] = &[
    "repository = [\"a\"]",
    "[entry]",
    "[[version]]",
    "[environment]",
    "tags = [\"*\"]",
    "python = \"3.11\"",
    "packages = []",
    "serve = [\"x\"]",
    "multi_model = true",
    "\"\"\"",
    "'''",
    "\\u0000",
    "****",
    "?",
    "@sha256:",
    ":",
    "/",
    "[[",
    "]]",
    "{",
    "}",
    "a.b.c = 1",
    "1979-05-27T07:32:00Z",
    "inf",
    "0x",
];
const METRIC: &[&str] = &[
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?s)",
    "[^",
    "]",
    "*",
    "+",
    "?",
    "{1,1000}",
    "{1000}",
    "{0}",
    "|",
    "^",
    "$",
    "\\b",
    "\\d",
    "\\p{L}",
    "\\p{Greek}",
    "\\w",
    ".",
    "(a*)*",
    "(a|aa)+",
    "\\u{10ffff}",
    "(?<n>",
    "Name",
    "Regex",
    "d",
    "l",
    "1e999",
    "NaN",
    "inf",
    "-0",
    "loss=",
    "x{100}{100}",
];

fn image(input: &[u8]) {
    let (uri, text) = split_line(input);
    let (Ok(uri), Ok(text)) = (std::str::from_utf8(uri), std::str::from_utf8(text)) else { return };
    let mut images = Images::builtin().expect("the built-in descriptions are read");
    if let Err(error) = images.add("input", text) {
        assert!(error.to_string().contains("input"));
    }
    match images.resolve(uri.trim_end()) {
        Ok(image) => assert!(!image.python.is_empty() && uri.contains(&image.repository)),
        Err(unknown) => assert!(!unknown.known.is_empty()),
    }
}

fn metric(input: &[u8]) {
    let Ok(given) = serde_json::from_slice::<Value>(input) else { return };
    // As the model has it: at most 40, names of 255 and expressions of 500 characters.
    let text = |value: &Value, longest: usize| value.as_str().unwrap_or_default().chars().take(longest).collect::<String>();
    let definitions: Vec<Value> = given["d"]
        .as_array()
        .into_iter()
        .flatten()
        .take(40)
        .map(|one| json!({"Name": text(&one["Name"], 255), "Regex": text(&one["Regex"], 500)}))
        .collect();
    let count = definitions.len();
    match Metrics::read(&Value::Array(definitions)) {
        Err(error) => assert!(error.status == 400 && error.message.len() < 64 << 10),
        Ok(metrics) => {
            for line in given["l"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                metrics.see(line, Timestamp::from_secs(1));
            }
            let last = metrics.last();
            assert!(last.len() <= count && last.iter().all(|metric| metric["Value"].is_number()));
        }
    }
}
