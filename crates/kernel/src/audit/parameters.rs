//! The `requestParameters` and `responseElements` of an event: names as CloudTrail writes them, secrets hidden,
//! size bounded.
//!
//! Hidden is what the model calls sensitive, what is known to be a secret by its name, and the values of
//! environments of containers. Bytes are left out. Whatever is too much is cut, and says so.

use serde_json::{Map, Value};
use tenantry_core::Timestamp;
use tenantry_store::write_canonical_json;
use tenantry_wire::{Kind, Metadata, Operation, Shape};

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// The longest text that is kept whole: longer than a managed policy's document may be, with its white space.
const LONGEST_TEXT: usize = 12 * 1024;
/// Elements of a list or entries of a map that are kept.
const MOST_ELEMENTS: usize = 100;
/// About so many bytes are kept of all together.
const BUDGET: usize = 32 * 1024;
/// Documents nest at most so deep.
const DEEPEST: usize = 16;

/// Members whose values are secrets, whatever the model says; compared without case.
const SECRETS: [&str; 21] = [
    "password",
    "newpassword",
    "oldpassword",
    "secretaccesskey",
    "sessiontoken",
    "samlassertion",
    "webidentitytoken",
    "accesstoken",
    "idtoken",
    "tokencode",
    "authenticationcode1",
    "authenticationcode2",
    "base32stringseed",
    "qrcodepng",
    "privatekey",
    "secretstring",
    "secretbinary",
    "authorizedurl",
    "clientsecret",
    "packedpolicysecret",
    "plaintext",
];

/// Members that are data, not parameters, of the operations that carry data.
const DATA: [&str; 2] = ["logevents", "body"];

struct Copy {
    service: &'static Metadata,
    left: usize,
}

/// A call's input, as canonical JSON.
pub(super) fn of_input(operation: &'static Operation, input: &Value) -> String {
    canonical(&of(operation.service, operation.input(), input))
}

/// A call's output, as canonical JSON.
pub(super) fn of_output(operation: &'static Operation, output: &Value) -> String {
    canonical(&of(operation.service, operation.output(), output))
}

fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical_json(value, &mut text);
    text
}

fn of(service: &'static Metadata, shape: Option<&'static Shape>, value: &Value) -> Value {
    let Some(shape) = shape else { return Value::Null };
    match (Copy { service, left: BUDGET }).shaped(shape, value, 0) {
        Value::Object(members) if members.is_empty() => Value::Null,
        copied => copied,
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

impl Copy {
    /// Whether there is room for so much more.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left;
        self.left = self.left.saturating_sub(bytes);
        fits
    }

    fn shaped(&mut self, shape: &'static Shape, value: &Value, depth: usize) -> Value {
        if shape.sensitive {
            return Value::from(HIDDEN);
        }
        if depth > DEEPEST {
            return Value::Null;
        }
        let service = self.service;
        match (&shape.kind, value) {
            (Kind::Structure(structure), Value::Object(given)) => {
                let mut out = Map::new();
                for (name, value) in given {
                    let Some(member) = structure.member(name) else { continue };
                    if value.is_null() || DATA.iter().any(|data| name.eq_ignore_ascii_case(data)) {
                        continue;
                    }
                    let of = service.shape(member.shape);
                    if matches!(of.kind, Kind::Blob) && !of.sensitive && !is_secret(name) {
                        continue;
                    }
                    if !self.take(name.len() + 4) {
                        out.insert("truncated".to_owned(), Value::from(true));
                        break;
                    }
                    let copied = if is_secret(name) {
                        Value::from(HIDDEN)
                    } else if name == "Environment" {
                        hide_values(value)
                    } else {
                        self.shaped(of, value, depth + 1)
                    };
                    out.insert(lower(name), copied);
                }
                Value::Object(out)
            }
            (Kind::List(element), Value::Array(items)) => {
                items.iter().take(MOST_ELEMENTS).map(|item| self.shaped(service.shape(element.shape), item, depth + 1)).collect()
            }
            (Kind::Map(_, element), Value::Object(entries)) => {
                let mut out = Map::new();
                for (name, item) in entries.iter().take(MOST_ELEMENTS) {
                    if !self.take(name.len() + 4) {
                        break;
                    }
                    let copied =
                        if is_secret(name) { Value::from(HIDDEN) } else { self.shaped(service.shape(element.shape), item, depth + 1) };
                    out.insert(name.clone(), copied);
                }
                Value::Object(out)
            }
            (Kind::Timestamp, Value::Number(seconds)) => {
                let millis = seconds.as_f64().unwrap_or_default() * 1000.0;
                Value::from(Timestamp::from_millis(millis as i64).iso8601(false))
            }
            (_, Value::String(text)) => self.text(text),
            (_, Value::Object(_) | Value::Array(_)) => self.text(&value.to_string()),
            (_, scalar) => scalar.clone(),
        }
    }

    fn text(&mut self, text: &str) -> Value {
        let room = LONGEST_TEXT.min(self.left);
        if text.len() <= room {
            self.take(text.len());
            return Value::from(text);
        }
        self.take(room);
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        Value::from(format!("{}... ({} bytes)", &text[..end], text.len()))
    }
}

/// The names of an environment's variables, not what they hold.
fn hide_values(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            Value::Object(entries.iter().take(MOST_ELEMENTS).map(|(name, _)| (name.clone(), Value::from(HIDDEN))).collect())
        }
        _ => Value::from(HIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenantry_wire::service;

    use super::*;

    fn of_input(operation: &'static Operation, input: &Value) -> Value {
        serde_json::from_str(&super::of_input(operation, input)).unwrap()
    }
    fn of_output(operation: &'static Operation, output: &Value) -> Value {
        serde_json::from_str(&super::of_output(operation, output)).unwrap()
    }
    fn operation(name: &str, operation: &str) -> &'static Operation {
        service(name).unwrap().operation(operation).unwrap()
    }

    #[test]
    fn names_are_cloudtrails_and_secrets_are_hidden() {
        let input = json!({"RoleName": "R", "AssumeRolePolicyDocument": "{}", "Tags": [{"Key": "Team", "Value": "a"}], "Unknown": "x"});
        assert_eq!(
            of_input(operation("iam", "CreateRole"), &input),
            json!({"roleName": "R", "assumeRolePolicyDocument": "{}", "tags": [{"key": "Team", "value": "a"}]})
        );
        let output =
            json!({"AccessKey": {"AccessKeyId": "AKIA1", "SecretAccessKey": "very secret", "CreateDate": 1_795_348_800, "UserName": "u"}});
        assert_eq!(
            of_output(operation("iam", "CreateAccessKey"), &output),
            json!({"accessKey": {"accessKeyId": "AKIA1", "secretAccessKey": HIDDEN, "createDate": "2026-11-22T12:00:00Z", "userName": "u"}})
        );
        let output = json!({"Credentials": {"AccessKeyId": "ASIA1", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 0}});
        let kept = of_output(operation("sts", "AssumeRole"), &output);
        assert_eq!(kept["credentials"]["sessionToken"], HIDDEN);
        assert_eq!(kept["credentials"]["secretAccessKey"], HIDDEN);
        assert_eq!(of_output(operation("iam", "DeleteRole"), &json!({})), Value::Null);
    }

    #[test]
    fn environments_keep_names_only() {
        let container = json!({"Image": "i", "Environment": {"TOKEN": "secret"}});
        let kept = of_input(operation("sagemaker", "CreateModel"), &json!({"ModelName": "m", "PrimaryContainer": container}));
        assert_eq!(kept["primaryContainer"], json!({"image": "i", "environment": {"TOKEN": HIDDEN}}));
    }

    #[test]
    fn sizes_are_bounded() {
        let long = "é".repeat(LONGEST_TEXT);
        let kept = of_input(operation("iam", "CreateRole"), &json!({"RoleName": "R", "Description": long}));
        let text = kept["description"].as_str().unwrap();
        assert!(text.len() < LONGEST_TEXT + 32 && text.ends_with(&format!("({} bytes)", long.len())));
        let whole = "a".repeat(LONGEST_TEXT);
        let kept = of_input(operation("iam", "CreateRole"), &json!({"Description": whole}));
        assert_eq!(kept["description"], json!(whole), "at the limit nothing is cut");
        let tags: Vec<Value> = (0..5000).map(|n| json!({"Key": n.to_string(), "Value": "v".repeat(1000)})).collect();
        let kept = of_input(operation("iam", "CreateRole"), &json!({"Tags": tags}));
        assert_eq!(kept["tags"].as_array().unwrap().len(), MOST_ELEMENTS);
        assert!(kept.to_string().len() < BUDGET + 8 * 1024, "{}", kept.to_string().len());
    }
}
