//! Step caching ("Caching pipeline steps"): when an earlier run of a step may stand for a new one.
//!
//! A step's key covers its type and the arguments that AWS lists in "Default cache key attributes by
//! pipeline step type"; names, tags, roles, instances, output locations and profiling do not count. Which
//! earlier runs are looked at (those of the same pipeline that succeeded, the newest first) is the caller's.

use super::definition::{Step, StepKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// `CacheConfig` of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Whether to look for an earlier run.
    pub enabled: bool,
    /// How old it may be, in seconds; `None` for any age.
    pub expire_after_secs: Option<u64>,
}

impl CacheConfig {
    /// Reads `CacheConfig`.
    ///
    /// # Errors
    /// A sentence without period.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("[CacheConfig] must be an object")?;
        if let Some(other) = object.keys().find(|key| !matches!(key.as_str(), "Enabled" | "ExpireAfter")) {
            return Err(format!("extraneous key [{other}] is not permitted in [CacheConfig]"));
        }
        let enabled = object.get("Enabled").and_then(Value::as_bool).ok_or("[CacheConfig] needs a boolean [Enabled]")?;
        let expire_after_secs = match object.get("ExpireAfter") {
            None | Some(Value::Null) => None,
            Some(text) => Some(
                text.as_str()
                    .and_then(duration)
                    .ok_or_else(|| format!("[ExpireAfter] must be an ISO 8601 duration such as 30d or PT1H, not [{text}]"))?,
            ),
        };
        Ok(Self { enabled, expire_after_secs })
    }
}

/// Seconds of a duration such as `30d`, `P30D`, `T16m`, `30dT5h`: ISO 8601 with a `P` that may be missing
/// and in any case, a month of 30 days and a year of 365.
#[must_use]
pub fn duration(text: &str) -> Option<u64> {
    const DAY: u64 = 86_400;
    let text = text.to_ascii_lowercase();
    let mut rest = text.strip_prefix('p').unwrap_or(&text);
    let (mut total, mut time, mut parts) = (0_u64, false, 0);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('t') {
            if time {
                return None;
            }
            (time, rest) = (true, after);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = match (rest.as_bytes()[end], time) {
            (b'y', false) => 365 * DAY,
            (b'm', false) => 30 * DAY,
            (b'w', false) => 7 * DAY,
            (b'd', false) => DAY,
            (b'h', true) => 3600,
            (b'm', true) => 60,
            (b's', true) => 1,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        parts += 1;
        rest = &rest[end + 1..];
    }
    (parts > 0).then_some(total)
}

/// The arguments that make the key of a step's type; `None` if runs of the type are never reused.
#[must_use]
pub const fn key_arguments(kind: StepKind) -> Option<&'static [&'static str]> {
    Some(match kind {
        StepKind::Processing => &["AppSpecification", "Environment", "ProcessingInputs"],
        StepKind::Training => &[
            "AlgorithmSpecification",
            "CheckpointConfig",
            "DebugHookConfig",
            "DebugRuleConfigurations",
            "Environment",
            "HyperParameters",
            "InputDataConfig",
        ],
        StepKind::Transform => {
            &["BatchStrategy", "DataProcessing", "Environment", "MaxPayloadInMB", "ModelClientConfig", "ModelName", "TransformInput"]
        }
        StepKind::Tuning => &["HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions", "WarmStartConfig"],
        StepKind::Model | StepKind::RegisterModel | StepKind::Condition | StepKind::Fail => return None,
    })
}

/// The key under which a run of `step` with `resolved` arguments is found again: 64 hex digits, equal for
/// equal key arguments whatever the order of their members. `None` if the type is never reused.
#[must_use]
pub fn cache_key(step: &Step, resolved: &Value) -> Option<String> {
    let mut text = format!("{:?}", step.kind);
    for argument in key_arguments(step.kind)? {
        text.push('\n');
        text.push_str(argument);
        if let Some(value) = resolved.get(argument) {
            text.push('=');
            canonical(value, &mut text);
        }
    }
    Some(hex(&Sha256::digest(text.as_bytes())))
}

/// JSON with sorted members.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (key, member) in members {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(member, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Definition;
    use super::*;
    use serde_json::json;

    #[test]
    fn durations() {
        for (text, wanted) in [
            ("30d", Some(30 * 86_400)),
            ("P30D", Some(30 * 86_400)),
            ("PT1H", Some(3600)),
            ("T16m", Some(960)),
            ("30dT5h", Some(30 * 86_400 + 5 * 3600)),
            ("5y", Some(5 * 365 * 86_400)),
            ("1m", Some(30 * 86_400)),
            ("2w", Some(14 * 86_400)),
            ("PT90S", Some(90)),
            ("", None),
            ("P", None),
            ("T", None),
            ("30", None),
            ("d", None),
            ("5h", None),
            ("1.5d", None),
            ("-1d", None),
            ("T1hT1m", None),
            ("99999999999999999999d", None),
            ("999999999999999999y", None),
            ("3ñ", None),
        ] {
            assert_eq!(duration(text), wanted, "{text}");
        }
    }

    #[test]
    fn keys_ignore_what_does_not_change_the_result() {
        let text = json!({"Version": "2020-12-01", "Steps": [{"Name": "t", "Type": "Training", "Arguments": {}}, {"Name": "m", "Type": "Model", "Arguments": {}}]}).to_string();
        let definition = Definition::parse(&text).unwrap();
        let step = definition.step("t").unwrap();
        let base = json!({"HyperParameters": {"a": "1", "b": "2"}, "RoleArn": "r", "OutputDataConfig": {"S3OutputPath": "s3://a"}});
        let same = json!({"OutputDataConfig": {"S3OutputPath": "s3://b"}, "HyperParameters": {"b": "2", "a": "1"}, "Tags": [], "ProfilerConfig": {}});
        let other = json!({"HyperParameters": {"a": "1", "b": "3"}});
        let key = cache_key(step, &base).unwrap();
        assert_eq!(key.len(), 64);
        assert_eq!(Some(&key), cache_key(step, &same).as_ref());
        assert_ne!(Some(&key), cache_key(step, &other).as_ref());
        assert_eq!(cache_key(definition.step("m").unwrap(), &base), None);
    }
}
