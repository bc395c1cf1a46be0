//! Every constraint of the model, on every member, told in AWS's words and all at once.
//!
//! S3 answers bad values with codes of its own, which only its handlers know; of an S3 request only the
//! presence of required members is checked here.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tenantry_core::{AwsError, Result};

use crate::{
    MAX_DEPTH,
    model::{Constraints, Kind, Location, Metadata, Operation, Protocol, Shape, Structure},
};

/// Faults whose text is shown; the count in front is of all.
const MAX_FAULTS: usize = 50;
/// Characters of a value that a fault repeats.
const MAX_SHOWN: usize = 1024;

/// Checks a decoded input against the model.
///
/// # Errors
/// Status 400 with all faults in one message. The code is `ValidationException` for JSON services,
/// `ValidationError` for query services and where the model has it, `InvalidParameterException` for logs;
/// for S3 `MalformedXML`, `MissingRequestBodyError` or `InvalidRequest`.
pub fn validate(operation: &Operation, input: &Value) -> Result<()> {
    let Some(shape) = operation.input() else { return Ok(()) };
    if operation.service.is_s3() {
        return s3(operation, shape, input);
    }
    let mut faults = Faults::default();
    let service = operation.service;
    let streamed = operation.streaming_input().then(|| shape.structure().and_then(Structure::payload)).flatten();
    let walk = Walk { service, streamed: streamed.map(|member| member.name.as_str()) };
    walk.value(shape, input, "", 0, &mut faults);
    if faults.count == 0 {
        return Ok(());
    }
    let noun = if faults.count == 1 { "error" } else { "errors" };
    Err(AwsError::new(400, code(service), format!("{} validation {noun} detected: {}", faults.count, faults.shown.join("; "))))
}

fn code(service: &Metadata) -> &'static str {
    match service.protocol {
        Protocol::AwsQuery => "ValidationError",
        Protocol::Ec2Query => "InvalidParameterValue",
        Protocol::RestXml => "InvalidInput",
        Protocol::AwsJson if service.name == "logs" => "InvalidParameterException",
        Protocol::RestJson if service.has_error("ValidationError") && !service.has_error("ValidationException") => "ValidationError",
        Protocol::AwsJson | Protocol::RestJson => "ValidationException",
    }
}

#[derive(Default)]
struct Faults {
    count: usize,
    shown: Vec<String>,
}

impl Faults {
    /// `at` is the member's path, `rule` what AWS says it must do.
    fn add(&mut self, shape: Option<(&Metadata, &Shape)>, value: &Value, at: &str, rule: &str) {
        self.count += 1;
        if self.shown.len() == MAX_FAULTS {
            return;
        }
        let mut text = "Value ".to_owned();
        match shape {
            _ if value.is_null() => text.push_str("null "),
            Some((_, shape)) if shape.sensitive => {}
            Some((service, shape)) => {
                let mut shown = String::new();
                show(service, shape, value, &mut shown);
                // Writing to a string cannot fail.
                let _ = write!(text, "'{}' ", shown.chars().take(MAX_SHOWN).collect::<String>());
            }
            None => {}
        }
        let _ = write!(text, "at '{at}' failed to satisfy constraint: {rule}");
        self.shown.push(text);
    }
}

/// As Java prints it: `[a, b]`, `{k=v}`, `Tag(key=a, value=b)`.
fn show(service: &Metadata, shape: &Shape, value: &Value, out: &mut String) {
    if out.len() > MAX_SHOWN * 4 {
        return;
    }
    if shape.sensitive {
        out.push_str("***Sensitive Data Redacted***");
        return;
    }
    match (&shape.kind, value) {
        (Kind::List(element), Value::Array(items)) => {
            out.push('[');
            separated(items, out, |item, out| show(service, service.shape(element.shape), item, out));
            out.push(']');
        }
        (Kind::Map(_, element), Value::Object(entries)) => {
            out.push('{');
            separated(entries, out, |(key, item), out| {
                let _ = write!(out, "{key}=");
                show(service, service.shape(element.shape), item, out);
            });
            out.push('}');
        }
        (Kind::Structure(structure), Value::Object(given)) => {
            let _ = write!(out, "{}(", shape.name);
            separated(&structure.members, out, |member, out| {
                let _ = write!(out, "{}=", lower_first(&member.name));
                show(service, service.shape(member.shape), given.get(&member.name).unwrap_or(&Value::Null), out);
            });
            out.push(')');
        }
        (_, Value::String(text)) => out.push_str(text),
        (_, other) => {
            let _ = write!(out, "{other}");
        }
    }
}

fn separated<T>(items: impl IntoIterator<Item = T>, out: &mut String, mut each: impl FnMut(T, &mut String)) {
    for (at, item) in items.into_iter().enumerate() {
        if out.len() > MAX_SHOWN * 4 {
            return;
        }
        if at > 0 {
            out.push_str(", ");
        }
        each(item, out);
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

struct Walk<'m> {
    service: &'m Metadata,
    /// The top-level member that travels beside the value.
    streamed: Option<&'m str>,
}

impl Walk<'_> {
    fn value(&self, shape: &Shape, value: &Value, at: &str, depth: usize, faults: &mut Faults) {
        if depth > MAX_DEPTH {
            return faults.add(None, &Value::Bool(true), at, &format!("Member must not be nested deeper than {MAX_DEPTH} levels"));
        }
        for rule in broken(shape, value) {
            faults.add(Some((self.service, shape)), value, at, &rule);
        }
        match (&shape.kind, value) {
            (Kind::Structure(structure), Value::Object(given)) => self.members(structure, given, at, depth, faults),
            (Kind::List(element), Value::Array(items)) => {
                let inner = self.service.shape(element.shape);
                if is_scalar(inner) {
                    return self.scalars(shape, value, inner, items.iter(), at, "Member", faults);
                }
                for (index, item) in items.iter().enumerate() {
                    let at = format!("{at}.{}.member", index + 1);
                    self.item(inner, item, &at, depth, faults);
                }
            }
            (Kind::Map(key, element), Value::Object(entries)) => {
                self.entries(shape, value, (key.shape, element.shape), entries, at, depth, faults)
            }
            _ => {}
        }
    }

    fn item(&self, shape: &Shape, item: &Value, at: &str, depth: usize, faults: &mut Faults) {
        if item.is_null() {
            return faults.add(None, item, at, "Member must not be null");
        }
        self.value(shape, item, at, depth + 1, faults);
    }

    fn members(&self, structure: &Structure, given: &Map<String, Value>, at: &str, depth: usize, faults: &mut Faults) {
        for (index, member) in structure.members.iter().enumerate() {
            if depth == 0 && self.streamed == Some(member.name.as_str()) {
                continue;
            }
            let path = || {
                let name = lower_first(&member.name);
                if at.is_empty() { name } else { format!("{at}.{name}") }
            };
            match given.get(&member.name) {
                None | Some(Value::Null) if structure.required.contains(&index) => {
                    faults.add(None, &Value::Null, &path(), "Member must not be null");
                }
                None | Some(Value::Null) => {}
                Some(value) => self.value(self.service.shape(member.shape), value, &path(), depth + 1, faults),
            }
        }
    }

    /// AWS tells a fault of any scalar element at the list, with all the element's rules.
    #[expect(clippy::too_many_arguments, reason = "one call each for elements, keys and values")]
    fn scalars<'v>(
        &self,
        outer: &Shape,
        whole: &Value,
        shape: &Shape,
        mut items: impl Iterator<Item = &'v Value>,
        at: &str,
        what: &str,
        faults: &mut Faults,
    ) {
        if shape.constraints.is_empty() {
            if items.any(Value::is_null) {
                faults.add(Some((self.service, outer)), whole, at, &format!("{what} must satisfy constraint: [Member must not be null]"));
            }
        } else if items.any(|item| item.is_null() || !broken(shape, item).is_empty()) {
            let rules = rules(shape).join(", ");
            faults.add(Some((self.service, outer)), whole, at, &format!("{what} must satisfy constraint: [{rules}]"));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the map, its two inner shapes and the walk's state")]
    fn entries(
        &self,
        shape: &Shape,
        whole: &Value,
        (key, element): (usize, usize),
        entries: &Map<String, Value>,
        at: &str,
        depth: usize,
        faults: &mut Faults,
    ) {
        let (key, element) = (self.service.shape(key), self.service.shape(element));
        let keys: Vec<Value> =
            if key.constraints.is_empty() { Vec::new() } else { entries.keys().map(|k| Value::from(k.as_str())).collect() };
        self.scalars(shape, whole, key, keys.iter(), at, "Map keys", faults);
        if is_scalar(element) {
            return self.scalars(shape, whole, element, entries.values(), at, "Map value", faults);
        }
        for (name, item) in entries {
            let shown: String = name.chars().take(128).collect();
            self.item(element, item, &format!("{at}.{shown}.member"), depth, faults);
        }
    }
}

fn is_scalar(shape: &Shape) -> bool {
    !matches!(shape.kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(..))
}

/// The texts of the rules that `value` breaks, empty for most.
fn broken(shape: &Shape, value: &Value) -> Vec<String> {
    let rules = &shape.constraints;
    let mut out = Vec::new();
    if let Some(size) = size(shape, value) {
        if rules.max.is_some_and(|max| size > max) {
            out.push(bound(&shape.kind, rules, true));
        }
        if rules.min.is_some_and(|min| size < min) {
            out.push(bound(&shape.kind, rules, false));
        }
    }
    if let Value::String(text) = value {
        if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            out.push(format!("Member must satisfy regular expression pattern: {}", pattern.as_str()));
        }
        if !rules.one_of.is_empty() && !rules.one_of.iter().any(|one| one == text) {
            out.push(enumeration(rules));
        }
    }
    out
}

/// The texts of all of a shape's rules.
fn rules(shape: &Shape) -> Vec<String> {
    let rules = &shape.constraints;
    let mut out = Vec::new();
    if rules.max.is_some() {
        out.push(bound(&shape.kind, rules, true));
    }
    if rules.min.is_some() {
        out.push(bound(&shape.kind, rules, false));
    }
    if let Some(pattern) = &rules.pattern {
        out.push(format!("Member must satisfy regular expression pattern: {}", pattern.as_str()));
    }
    if !rules.one_of.is_empty() {
        out.push(enumeration(rules));
    }
    out.push("Member must not be null".to_owned());
    out
}

fn enumeration(rules: &Constraints) -> String {
    format!("Member must satisfy enum value set: [{}]", rules.one_of.join(", "))
}

fn bound(kind: &Kind, rules: &Constraints, upper: bool) -> String {
    let what = match kind {
        Kind::Integer | Kind::Long | Kind::Float | Kind::Double => "value",
        _ => "length",
    };
    let (side, limit) = if upper { ("less", rules.max) } else { ("greater", rules.min) };
    format!("Member must have {what} {side} than or equal to {}", limit.unwrap_or_default())
}

/// What `min` and `max` bound: characters, bytes, elements, or the number itself.
fn size(shape: &Shape, value: &Value) -> Option<f64> {
    let rules = &shape.constraints;
    if rules.min.is_none() && rules.max.is_none() {
        return None;
    }
    match (&shape.kind, value) {
        (Kind::Blob, Value::String(text)) => Some(STANDARD.decode(text).map_or(0, |bytes| bytes.len()) as f64),
        (_, Value::String(text)) => Some(text.chars().count() as f64),
        (_, Value::Array(items)) => Some(items.len() as f64),
        (_, Value::Object(entries)) => Some(entries.len() as f64),
        (_, Value::Number(number)) => number.as_f64(),
        _ => None,
    }
}

fn s3(operation: &Operation, shape: &Shape, input: &Value) -> Result<()> {
    let (Some(structure), Value::Object(given)) = (shape.structure(), input) else { return Ok(()) };
    let streamed = operation.streaming_input();
    for (index, member) in structure.members.iter().enumerate() {
        let is_payload = structure.payload().is_some_and(|payload| payload.name == member.name);
        match given.get(&member.name) {
            Some(value) if is_payload => complete(operation.service, operation.service.shape(member.shape), value)?,
            Some(_) => {}
            None if is_payload && !streamed && structure.required.contains(&index) => {
                return Err(AwsError::new(400, "MissingRequestBodyError", "Request Body is empty"));
            }
            None if is_payload || !structure.required.contains(&index) => {}
            None => {
                let place = match member.location {
                    Location::Header => "header",
                    Location::QueryString => "query parameter",
                    _ => "parameter",
                };
                let message = format!("Missing required {place} for this request: {}", member.wire);
                return Err(AwsError::new(400, "InvalidRequest", message));
            }
        }
    }
    Ok(())
}

/// Whether a document has everything that its schema requires, at every level.
fn complete(service: &Metadata, shape: &Shape, value: &Value) -> Result<()> {
    match (&shape.kind, value) {
        (Kind::Structure(structure), Value::Object(given)) => {
            if structure.required.iter().any(|&index| !given.contains_key(&structure.members[index].name)) {
                return Err(crate::xml::malformed());
            }
            let known = given.iter().filter_map(|(name, value)| Some((structure.member(name)?, value)));
            known.into_iter().try_for_each(|(member, value)| complete(service, service.shape(member.shape), value))
        }
        (Kind::List(element), Value::Array(items)) => {
            items.iter().try_for_each(|item| complete(service, service.shape(element.shape), item))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service;
    use serde_json::json;

    fn fault(name: &str, operation: &str, input: &Value) -> String {
        let operation = service(name).unwrap().operation(operation).unwrap();
        validate(operation, input).map_or_else(|error| format!("{} {}: {}", error.status, error.code, error.message), |()| String::new())
    }

    #[test]
    fn one_fault() {
        assert_eq!(
            fault("sagemaker", "DescribeModel", &json!({"ModelName": "a_b"})),
            "400 ValidationException: 1 validation error detected: Value 'a_b' at 'modelName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?"
        );
        assert_eq!(
            fault("sagemaker", "DescribeTrainingJob", &json!({})),
            "400 ValidationException: 1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!(
            fault("sts", "AssumeRole", &json!({"RoleArn": "x", "RoleSessionName": "ab"})),
            "400 ValidationError: 1 validation error detected: Value 'x' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"
        );
        assert_eq!(
            fault("sts", "AssumeRole", &json!({"RoleArn": "x".repeat(20), "RoleSessionName": "ab", "DurationSeconds": 1})),
            "400 ValidationError: 1 validation error detected: Value '1' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"
        );
        assert_eq!(
            fault("logs", "CreateLogGroup", &json!({"logGroupName": "a b"})),
            "400 InvalidParameterException: 1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        );
        assert_eq!(
            fault("sagemaker", "ListModels", &json!({"SortOrder": "Up"})),
            "400 ValidationException: 1 validation error detected: Value 'Up' at 'sortOrder' failed to satisfy constraint: Member must satisfy enum value set: [Ascending, Descending]"
        );
    }

    #[test]
    fn lengths_at_and_past_the_limit() {
        let name = |n: usize| fault("sagemaker", "DescribeModel", &json!({"ModelName": "a".repeat(n)}));
        assert_eq!(name(63), "");
        assert!(name(64).ends_with("at 'modelName' failed to satisfy constraint: Member must have length less than or equal to 63"));
        // Characters, not bytes.
        let value = |n: usize| {
            fault(
                "sagemaker",
                "AddTags",
                &json!({"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m", "Tags": [{"Key": "k", "Value": "é".repeat(n)}]}),
            )
        };
        assert_eq!(value(256), "");
        assert!(value(257).contains("at 'tags.1.member.value' failed"));
    }

    #[test]
    fn all_faults_with_paths() {
        let input = json!({"ModelName": "", "Containers": [{}, null], "Tags": [{"Key": "k"}],
            "VpcConfig": {"SecurityGroupIds": ["sg-1", "!"], "Subnets": []}, "PrimaryContainer": {"Environment": {"1": "x"}}});
        let text = fault("sagemaker", "CreateModel", &input);
        for part in [
            "Value null at 'containers.2.member' failed to satisfy constraint: Member must not be null",
            "Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null",
            "Value '[sg-1, !]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: \
             [Member must have length less than or equal to 32, ",
            "Value '[]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must have length greater than or equal to 1",
            "Value '{1=x}' at 'primaryContainer.environment' failed to satisfy constraint: Map keys must satisfy constraint: [",
        ] {
            assert!(text.contains(part), "{part}\n in {text}");
        }
        let count = text.matches("failed to satisfy").count();
        assert!(text.starts_with(&format!("400 ValidationException: {count} validation errors detected: ")), "{text}");
    }

    #[test]
    fn bounded_and_redacted() {
        let tags: Vec<Value> = (0..10_000).map(|_| json!({"Key": "é".repeat(200)})).collect();
        let text = fault("sagemaker", "AddTags", &json!({"ResourceArn": "a", "Tags": tags}));
        assert!(text.starts_with("400 ValidationException: "), "{text}");
        assert!(text.len() < MAX_FAULTS * (MAX_SHOWN * 4 + 500));
        let text = fault("organizations", "CreateAccount", &json!({"AccountName": "n", "Email": "no mail"}));
        assert!(text.contains("Value at 'email' failed") && !text.contains("no mail"), "{text}");
    }

    #[test]
    fn s3_presence_only() {
        assert_eq!(fault("s3", "PutBucketTagging", &json!({"Bucket": "b"})), "400 MissingRequestBodyError: Request Body is empty");
        let text = fault("s3", "PutBucketTagging", &json!({"Bucket": "b", "Tagging": {"TagSet": [{"Key": "k"}]}}));
        assert!(text.starts_with("400 MalformedXML"), "{text}");
        assert_eq!(fault("s3", "PutBucketTagging", &json!({"Bucket": "b", "Tagging": {"TagSet": [{"Key": "k", "Value": ""}]}})), "");
        assert_eq!(
            fault("s3", "GetObjectAttributes", &json!({"Bucket": "b", "Key": "k"})),
            "400 InvalidRequest: Missing required header for this request: x-amz-object-attributes"
        );
        assert_eq!(fault("s3", "PutObject", &json!({"Bucket": "b", "Key": "k"})), "");
        assert_eq!(fault("sagemaker-runtime", "InvokeEndpoint", &json!({"EndpointName": "e"})), "");
        assert!(fault("sagemaker-runtime", "InvokeEndpoint", &json!({"EndpointName": "e_"})).starts_with("400 ValidationError: "));
    }
}
