//! What the policy of a browser's form demands (AWS page "Creating a POST policy"): an expiry, and conditions that must
//! hold and that together name every field of the form.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tenantry_core::{AwsError, Result, Timestamp};

/// Fields that need no condition: the proof itself.
const EXEMPT: [&str; 5] = ["awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"];

fn refused(why: impl std::fmt::Display) -> AwsError {
    AwsError::new(403, "AccessDenied", format!("Invalid according to Policy: {why}"))
}

fn invalid(why: &str) -> AwsError {
    AwsError::new(400, "InvalidPolicyDocument", format!("Invalid Policy: {why}"))
}

/// Judges a policy, whose signature is verified, against the form's fields (lower-cased names). Answers the sizes that the
/// file may have.
pub(crate) fn judge(policy: &str, fields: &BTreeMap<String, String>, bucket: &str, now: Timestamp) -> Result<(u64, u64)> {
    let text = STANDARD.decode(policy).map_err(|_| invalid("Invalid base64."))?;
    let policy: Value = serde_json::from_slice(&text).map_err(|_| invalid("Invalid JSON."))?;
    let expiration = policy["expiration"].as_str().and_then(Timestamp::parse).ok_or_else(|| invalid("Invalid 'expiration' value."))?;
    if now > expiration {
        return Err(refused("Policy expired."));
    }
    let conditions = policy["conditions"].as_array().ok_or_else(|| invalid("Invalid 'conditions' value: must be a List."))?;
    let (mut named, mut sizes) = (BTreeSet::new(), (0, u64::MAX));
    let value = |name: &str| if name == "bucket" { bucket } else { fields.get(name).map_or("", String::as_str) };
    for condition in conditions {
        match condition {
            Value::Object(members) => {
                for (name, wanted) in members {
                    let wanted = wanted.as_str().ok_or_else(|| invalid("Invalid Simple-Condition: value must be a string."))?;
                    let lower = name.to_ascii_lowercase();
                    if value(&lower) != wanted {
                        return Err(refused(format!("Policy Condition failed: {}", serde_json::json!(["eq", format!("${name}"), wanted]))));
                    }
                    named.insert(lower);
                }
            }
            Value::Array(parts) => {
                let [kind, first, second] = parts.as_slice() else { return Err(invalid("Invalid Condition: must have three parts.")) };
                let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
                if kind == "content-length-range" {
                    let (least, most) = size(first).zip(size(second)).ok_or_else(|| invalid("Invalid content-length-range."))?;
                    sizes = (least.max(sizes.0), most.min(sizes.1));
                    continue;
                }
                let name = first.as_str().and_then(|name| name.strip_prefix('$')).ok_or_else(|| invalid("Invalid Condition: no field."))?;
                let wanted = second.as_str().ok_or_else(|| invalid("Invalid Condition: value must be a string."))?;
                let lower = name.to_ascii_lowercase();
                let holds = match kind.as_str() {
                    "eq" => value(&lower) == wanted,
                    "starts-with" => value(&lower).starts_with(wanted),
                    _ => return Err(invalid("Invalid Condition: unknown operator.")),
                };
                if !holds {
                    return Err(refused(format!("Policy Condition failed: {condition}")));
                }
                named.insert(lower);
            }
            _ => return Err(invalid("Invalid Condition: must be a List or an Object.")),
        }
    }
    let extra = fields
        .keys()
        .map(String::as_str)
        .chain(["bucket"])
        .find(|name| !named.contains(*name) && !EXEMPT.contains(name) && !name.starts_with("x-ignore-"));
    match extra {
        Some(name) => {
            Err(refused(format!("Extra input fields: {}", name.chars().filter(|c| !c.is_control()).take(128).collect::<String>())))
        }
        None => Ok(sizes),
    }
}

fn size(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A file that is shorter or longer than the policy has it.
pub(crate) fn wrong_size(size: u64, least: u64, most: u64) -> AwsError {
    let proposed = size.to_string();
    if size > most {
        AwsError::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
            .with("ProposedSize", proposed)
            .with("MaxSizeAllowed", most.to_string())
    } else {
        AwsError::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
            .with("ProposedSize", proposed)
            .with("MinSizeAllowed", least.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(conditions: Value, fields: &[(&str, &str)]) -> Result<(u64, u64)> {
        let policy = STANDARD.encode(json!({"expiration": "2026-01-02T00:00:00Z", "conditions": conditions}).to_string());
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        judge(&policy, &fields, "b", Timestamp::parse("2026-01-01T00:00:00Z").unwrap())
    }

    #[test]
    fn conditions() {
        let fields = [("key", "in/x"), ("policy", "…"), ("x-amz-signature", "…"), ("x-ignore-a", "1")];
        let good = json!([{"bucket": "b"}, ["starts-with", "$key", "in/"], ["content-length-range", 1, "10"]]);
        assert_eq!(asked(good.clone(), &fields).unwrap(), (1, 10));
        for (conditions, code) in [
            (json!([{"bucket": "c"}, ["starts-with", "$key", "in/"]]), "AccessDenied"),
            (json!([{"bucket": "b"}, ["starts-with", "$key", "out/"]]), "AccessDenied"),
            (json!([{"bucket": "b"}, ["eq", "$key", "in/"]]), "AccessDenied"),
            (json!([{"bucket": "b"}]), "AccessDenied"),
            (json!([["starts-with", "$key", ""]]), "AccessDenied"),
            (json!([{"bucket": 1}]), "InvalidPolicyDocument"),
            (json!([["like", "$key", ""]]), "InvalidPolicyDocument"),
            (json!([["content-length-range", -1, 2]]), "InvalidPolicyDocument"),
            (json!(["x"]), "InvalidPolicyDocument"),
            (json!({}), "InvalidPolicyDocument"),
        ] {
            assert_eq!(asked(conditions.clone(), &fields).unwrap_err().code, code, "{conditions}");
        }
        let more = [("key", "in/x"), ("acl", "public-read")];
        assert_eq!(asked(good, &more).unwrap_err().message, "Invalid according to Policy: Extra input fields: acl");
        let late = STANDARD.encode(json!({"expiration": "2025-12-31T23:59:59Z", "conditions": []}).to_string());
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(judge(&late, &BTreeMap::new(), "b", now).unwrap_err().message, "Invalid according to Policy: Policy expired.");
        assert_eq!(judge("!", &BTreeMap::new(), "b", now).unwrap_err().code, "InvalidPolicyDocument");
    }
}
