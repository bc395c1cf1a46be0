//! The API calls that steps become, and the names of what they create.

use super::definition::{Step, StepKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Longest name of a job or model.
const MAX_NAME: usize = 63;
/// Longest name of a tuning job.
const MAX_TUNING_NAME: usize = 32;
/// How much of a step's name goes into a job's.
const MAX_STEP_PART: usize = 20;
/// Characters of a token.
const TOKEN_LENGTH: usize = 10;

/// A name for what a step creates: `pipelines-<execution id>-<step>-<token>`, at most 63 characters of
/// `[a-zA-Z0-9-]` with an alphanumeric end. Characters that names cannot have become hyphens.
#[must_use]
pub fn job_name(execution_id: &str, step_name: &str, token: &str) -> String {
    name(MAX_NAME, &["pipelines", execution_id, &clean(step_name, MAX_STEP_PART), token])
}

/// Ten letters and digits, the same for the same attempt of the same step of the same execution and
/// different for any other: the client token of the step's call and the end of its job's name.
#[must_use]
pub fn token(execution_arn: &str, step: &str, attempt: u32) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // The parts cannot run together: neither ARNs nor step names have line ends.
    let digest = Sha256::digest(format!("{execution_arn}\n{step}\n{attempt}").as_bytes());
    digest.iter().take(TOKEN_LENGTH).map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

fn clean(text: &str, max: usize) -> String {
    let text: String = text.chars().take(max).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    text.trim_matches('-').to_owned()
}

/// The non-empty parts joined by hyphens, at most `max` characters; the last always survives whole.
fn name(max: usize, parts: &[&str]) -> String {
    let (last, first) = parts.split_last().map_or(("", parts), |(last, first)| (*last, first));
    let first: Vec<&str> = first.iter().copied().filter(|part| !part.is_empty()).collect();
    let head = clean(&first.join("-"), max.saturating_sub(last.len() + 1));
    format!("{head}-{last}")
}

/// The name for what `step` creates. A name in the step's own arguments is a prefix, as with the SDK's
/// `PipelineDefinitionConfig(use_custom_job_prefix=True)`. Names of tuning jobs are short: theirs has no `pipelines-`.
#[must_use]
pub fn step_job_name(execution_id: &str, step: &Step, token: &str) -> String {
    let prefix = step.kind.name_member().and_then(|member| step.arguments.get(member)).and_then(Value::as_str);
    let max = if step.kind == StepKind::Tuning { MAX_TUNING_NAME } else { MAX_NAME };
    let room = max.saturating_sub(1 + execution_id.len() + 1 + token.len());
    match prefix.filter(|prefix| !clean(prefix, room).is_empty()) {
        Some(prefix) => name(max, &[&clean(prefix, room), execution_id, token]),
        None if step.kind == StepKind::Tuning => name(max, &[execution_id, &clean(&step.name, room), token]),
        None => job_name(execution_id, &step.name, token),
    }
}

/// The operation that `step` becomes and its request: the resolved arguments with the name or the client
/// token, and for jobs the pipeline's experiment unless the step brings its own. `None` for Condition and
/// Fail steps.
#[must_use]
pub fn step_request(
    step: &Step,
    resolved: &Value,
    job_name: &str,
    token: &str,
    experiment: Option<(&str, &str)>,
) -> Option<(&'static str, Value)> {
    let operation = step.kind.operation()?;
    let mut request = resolved.as_object().cloned().unwrap_or_else(Map::new);
    if let Some(member) = step.kind.name_member() {
        request.insert(member.to_owned(), Value::from(job_name));
    }
    if step.kind == StepKind::RegisterModel {
        request.insert("ClientToken".into(), Value::from(token));
    }
    let job = matches!(step.kind, StepKind::Training | StepKind::Processing | StepKind::Transform);
    if let (true, Some((experiment, trial))) = (job, experiment) {
        let config = request.entry("ExperimentConfig").or_insert_with(|| json!({}));
        if let Some(config) = config.as_object_mut() {
            for (key, value) in [("ExperimentName", experiment), ("TrialName", trial)] {
                config.entry(key).or_insert_with(|| Value::from(value));
            }
        }
    }
    Some((operation, Value::Object(request)))
}

#[cfg(test)]
mod tests {
    use super::super::Definition;
    use super::*;

    fn valid(name: &str) -> bool {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        name.len() <= MAX_NAME
            && ends(name.chars().next())
            && ends(name.chars().last())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    }

    #[test]
    fn names_are_valid_and_end_with_the_token() {
        assert_eq!(job_name("abcdefghijkl", "TrainAbaloneModel", "Xy12ab34Cd"), "pipelines-abcdefghijkl-TrainAbaloneModel-Xy12ab34Cd");
        for step in ["a_b-c", "--", "_", "0123456789012345678-x", &"s".repeat(64)] {
            let name = job_name("abcdefghijkl", step, "Xy12ab34Cd");
            assert!(valid(&name) && name.ends_with("-Xy12ab34Cd"), "{name}");
            let text = json!({"Version": "2020-12-01", "Steps": [{"Name": step, "Type": "Tuning", "Arguments": {}}]}).to_string();
            if let Ok(definition) = Definition::parse(&text) {
                let name = step_job_name("abcdefghijkl", &definition.steps()[0], "Xy12ab34Cd");
                assert!(valid(&name) && name.len() <= MAX_TUNING_NAME && name.ends_with("-Xy12ab34Cd"), "{name}");
            }
        }
    }

    #[test]
    fn tokens_differ_by_attempt() {
        let token = |attempt| super::token("arn:x", "step", attempt);
        assert_eq!(token(1), token(1));
        assert_ne!(token(1), token(2));
        assert!(token(1).len() == TOKEN_LENGTH && token(1).chars().all(|c| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn requests() {
        let step = |name: &str, kind: &str, arguments: Value| json!({"Name": name, "Type": kind, "Arguments": arguments});
        let text = json!({"Version": "2020-12-01", "Steps": [
            step("t", "Training", json!({"TrainingJobName": "my_prefix", "RoleArn": "r"})),
            step("p", "Processing", json!({"ExperimentConfig": {"TrialName": "mine"}})),
            step("h", "Tuning", json!({})), step("k", "Tuning", json!({"HyperParameterTuningJobName": "a-long-prefix"})),
            step("m", "CreateModel", json!({})), step("r", "RegisterModel", json!({"ModelPackageGroupName": "g"})), step("f", "Fail", json!({"ErrorMessage": "x"})),
        ]});
        let definition = Definition::parse(&text.to_string()).unwrap();
        let request = |name: &str| {
            let step = definition.step(name).unwrap();
            step_request(step, &step.arguments, &step_job_name("abcdefghijkl", step, "tok"), "tok", Some(("e", "t")))
        };
        let experiment = |trial: &str| json!({"ExperimentName": "e", "TrialName": trial});
        assert_eq!(
            request("t"),
            Some((
                "CreateTrainingJob",
                json!({"TrainingJobName": "my-prefix-abcdefghijkl-tok", "RoleArn": "r", "ExperimentConfig": experiment("t")})
            ))
        );
        assert_eq!(
            request("p"),
            Some((
                "CreateProcessingJob",
                json!({"ExperimentConfig": experiment("mine"), "ProcessingJobName": "pipelines-abcdefghijkl-p-tok"})
            ))
        );
        let named = |name: &str| request(name).unwrap().1["HyperParameterTuningJobName"].clone();
        assert_eq!((named("h"), named("k")), (json!("abcdefghijkl-h-tok"), json!("a-long-prefix-abcdefghijkl-tok")));
        assert_eq!(request("m"), Some(("CreateModel", json!({"ModelName": "pipelines-abcdefghijkl-m-tok"}))));
        assert_eq!(request("r"), Some(("CreateModelPackage", json!({"ModelPackageGroupName": "g", "ClientToken": "tok"}))));
        assert_eq!(request("f"), None);
    }
}
