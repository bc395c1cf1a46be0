//! Holding our own answers to the model, in tests; and hiding what must not be logged.

use serde_json::{Map, Value};

use crate::{
    MAX_DEPTH,
    model::{Kind, Metadata, Operation, Shape},
};

/// What is wrong with an output value, one line per fault with the member's path: a member that the model does
/// not know, a wrong type, a required member that is missing, a value outside its enumeration. For tests.
#[must_use]
pub fn check_output(operation: &Operation, output: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    match operation.output() {
        Some(shape) => {
            let streamed = operation.streaming_output().then(|| shape.structure()?.payload()).flatten();
            check(operation.service, shape, output, "", streamed.map(|member| member.name.as_str()), &mut faults);
        }
        None if output.is_null() || output.as_object().is_some_and(Map::is_empty) => {}
        None => faults.push(format!("{}: the model has no output", operation.name)),
    }
    faults
}

fn check(service: &Metadata, shape: &Shape, value: &Value, at: &str, streamed: Option<&str>, faults: &mut Vec<String>) {
    let join = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (&shape.kind, value) {
        (Kind::Structure(structure), Value::Object(given)) => {
            for (name, value) in given {
                match structure.member(name) {
                    Some(_) if value.is_null() => {}
                    Some(_) if streamed == Some(name) => faults.push(format!("{}: travels beside the value", join(name))),
                    Some(member) => check(service, service.shape(member.shape), value, &join(name), None, faults),
                    None => faults.push(format!("{}: not a member of {}", join(name), shape.name)),
                }
            }
            if structure.union && given.values().filter(|value| !value.is_null()).count() != 1 {
                faults.push(format!("{at}: {} must have exactly one member", shape.name));
            }
            for member in structure.required.iter().map(|&index| &structure.members[index]) {
                if streamed != Some(&member.name) && given.get(&member.name).is_none_or(Value::is_null) {
                    faults.push(format!("{}: missing, required in {}", join(&member.name), shape.name));
                }
            }
        }
        (Kind::List(element), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(service, service.shape(element.shape), item, &format!("{at}[{index}]"), None, faults);
            }
        }
        (Kind::Map(_, element), Value::Object(entries)) => {
            for (name, item) in entries {
                check(service, service.shape(element.shape), item, &join(name), None, faults);
            }
        }
        (Kind::String, Value::String(text)) => {
            let allowed = &shape.constraints.one_of;
            if !allowed.is_empty() && !allowed.contains(text) {
                faults.push(format!("{at}: `{text}` is not a value of {}", shape.name));
            }
        }
        (Kind::Document, _) | (Kind::Boolean, Value::Bool(_)) => {}
        (Kind::Blob, Value::String(text)) if base64(text) => {}
        (Kind::Integer, Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
        (Kind::Long, Value::Number(number)) if number.is_i64() => {}
        (Kind::Float | Kind::Double, Value::Number(_)) => {}
        (Kind::Timestamp, value) if crate::scalar::instant(value).is_some() => {}
        (_, other) => {
            let shown: String = other.to_string().chars().take(80).collect();
            faults.push(format!("{at}: `{shown}` is not a {}", shape.name));
        }
    }
}

fn base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

/// The input with every sensitive value replaced, for logs and the audit trail. Unknown members are left out.
#[must_use]
pub fn redact(operation: &Operation, input: &Value) -> Value {
    operation.input().map_or(Value::Null, |shape| hide(operation.service, shape, input, 0))
}

fn hide(service: &Metadata, shape: &Shape, value: &Value, depth: usize) -> Value {
    if shape.sensitive || depth > MAX_DEPTH {
        return Value::from("***");
    }
    let inner = |index: usize, value: &Value| hide(service, service.shape(index), value, depth + 1);
    match (&shape.kind, value) {
        (Kind::Structure(structure), Value::Object(given)) => {
            let known = given.iter().filter_map(|(name, value)| Some((name.clone(), inner(structure.member(name)?.shape, value))));
            Value::Object(known.collect())
        }
        (Kind::List(element), Value::Array(items)) => items.iter().map(|item| inner(element.shape, item)).collect(),
        (Kind::Map(_, element), Value::Object(entries)) => {
            Value::Object(entries.iter().map(|(name, item)| (name.clone(), inner(element.shape, item))).collect())
        }
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service;
    use serde_json::json;

    #[test]
    fn faults() {
        let operation = service("sagemaker").unwrap().operation("DescribePipeline").unwrap();
        assert!(check_output(operation, &json!({"PipelineName": "p", "CreationTime": 1.5, "Tags": null})).len() == 1);
        let output =
            json!({"PipelineName": 5, "CreationTime": "now", "PipelineStatus": "Busy", "CreatedBy": {"Who": "me"}, "PipelineArn": null});
        assert_eq!(
            check_output(operation, &output),
            [
                "PipelineName: `5` is not a PipelineName",
                "CreationTime: `\"now\"` is not a Timestamp",
                "PipelineStatus: `Busy` is not a value of PipelineStatus",
                "CreatedBy.Who: not a member of UserContext",
            ]
        );
        let create = service("sagemaker").unwrap().operation("CreateModel").unwrap();
        assert_eq!(check_output(create, &json!({})), ["ModelArn: missing, required in CreateModelOutput"]);
        let describe = service("sagemaker").unwrap().operation("DescribeProcessingJob").unwrap();
        let union = describe.service.shapes().iter().find(|shape| shape.structure().is_some_and(|s| s.union)).unwrap();
        let mut faults = Vec::new();
        check(describe.service, union, &json!({}), "at", None, &mut faults);
        assert_eq!(faults, [format!("at: {} must have exactly one member", union.name)]);
        let delete = service("sagemaker").unwrap().operation("DeleteModel").unwrap();
        assert_eq!(check_output(delete, &json!({})), [""; 0]);
        assert_eq!(check_output(delete, &json!({"A": 1})).len(), 1);
        let get = service("s3").unwrap().operation("GetObject").unwrap();
        assert_eq!(check_output(get, &json!({"Body": "", "ETag": "e"})), ["Body: travels beside the value"]);
    }

    #[test]
    fn redacted() {
        let operation = service("organizations").unwrap().operation("CreateAccount").unwrap();
        let input = json!({"Email": "a@b.c", "AccountName": "n", "RoleName": "r", "Unknown": 1});
        assert_eq!(redact(operation, &input), json!({"Email": "***", "AccountName": "***", "RoleName": "r"}));
    }
}
