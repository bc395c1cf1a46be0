//! JSON bodies. Unknown members are ignored, as AWS ignores them; the last of two equal keys counts.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tenantry_core::{AwsError, Result, Timestamp};

use crate::{
    MAX_DEPTH,
    model::{Kind, Location, Member, Metadata, Shape, Structure},
    scalar,
};

/// The text AWS answers with is the parser's; these are its usual ones.
fn refuse(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "SerializationException", message)
}

/// A whole body. An empty one is an empty object.
pub(super) fn document(service: &Metadata, shape: &Shape, body: &[u8]) -> Result<Value> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    // The parser itself stops at 128 levels, at numbers that are no `f64` and at text that is not UTF-8.
    let value: Value = serde_json::from_slice(body).map_err(|error| refuse(format!("The request body is not valid JSON: {error}")))?;
    self::value(service, shape, value, 0)
}

fn value(service: &Metadata, shape: &Shape, value: Value, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(refuse(format!("The request is nested deeper than {MAX_DEPTH} levels")));
    }
    let inner = |member: &Member, value| match value {
        // A null among elements is told by validation, at its place.
        Value::Null => Ok(Value::Null),
        value => self::value(service, service.shape(member.shape), value, depth + 1),
    };
    match (&shape.kind, value) {
        (Kind::Document, value) => Ok(value),
        (Kind::Structure(structure), Value::Object(given)) => members(structure, given, inner),
        (Kind::List(element), Value::Array(given)) => {
            given.into_iter().map(|value| inner(element, value)).collect::<Result<Vec<_>>>().map(Value::Array)
        }
        (Kind::Map(_, element), Value::Object(given)) => {
            let pairs = given.into_iter().map(|(key, value)| Ok((key, inner(element, value)?)));
            pairs.collect::<Result<Map<_, _>>>().map(Value::Object)
        }
        (_, Value::Object(_)) => Err(refuse("Start of structure or map found where not expected.")),
        (_, Value::Array(_)) => Err(refuse("Start of list found where not expected")),
        (kind, value) => scalar(kind, value),
    }
}

fn members(structure: &Structure, given: Map<String, Value>, decode: impl Fn(&Member, Value) -> Result<Value>) -> Result<Value> {
    let mut out = Map::new();
    for (key, value) in given {
        match structure.by_wire(&key) {
            Some(member) if member.location == Location::Body && !value.is_null() => {
                out.insert(member.name.clone(), decode(member, value)?);
            }
            _ => {}
        }
    }
    Ok(Value::Object(out))
}

fn scalar(kind: &Kind, value: Value) -> Result<Value> {
    let good = match (kind, &value) {
        (Kind::String, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => return Ok(value),
        (Kind::Integer, Value::Number(_)) => whole(&value).filter(|n| i32::try_from(*n).is_ok()).map(Value::from),
        (Kind::Long, Value::Number(_)) => whole(&value).map(Value::from),
        (Kind::Float | Kind::Double, Value::Number(_)) => return Ok(value),
        (Kind::Timestamp, Value::Number(_)) => scalar::instant(&value).map(scalar::seconds),
        (Kind::Timestamp, Value::String(text)) => Timestamp::parse(text).map(scalar::seconds),
        (Kind::Blob, Value::String(text)) => STANDARD.decode(text).ok().map(|bytes| Value::String(STANDARD.encode(bytes))),
        _ => None,
    };
    good.ok_or_else(|| refuse(mismatch(kind, &value)))
}

/// A whole number, also one written `5.0`.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64))
}

fn mismatch(kind: &Kind, value: &Value) -> String {
    let found = match value {
        Value::String(_) => "STRING_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Null => "NULL_VALUE",
        Value::Array(_) | Value::Object(_) => "COLLECTION_VALUE",
    };
    let wanted = match kind {
        Kind::Structure(_) | Kind::Map(..) => return "Expected map or null".to_owned(),
        Kind::List(_) => return "Expected list or null".to_owned(),
        Kind::Document => "a Document",
        Kind::String => "a String",
        Kind::Integer => "an Integer",
        Kind::Long => "a Long",
        Kind::Float => "a Float",
        Kind::Double => "a Double",
        Kind::Boolean => "a Boolean",
        Kind::Timestamp => "a Timestamp",
        Kind::Blob => "a Blob",
    };
    format!("{found} can not be converted to {wanted}")
}

#[cfg(test)]
mod tests {
    use crate::{RequestParts, decode, service};
    use serde_json::{Value, json};

    fn sagemaker(operation: &str, body: &str) -> Result<Value, tenantry_core::AwsError> {
        let operation = service("sagemaker").unwrap().operation(operation).unwrap();
        decode(operation, &RequestParts { method: "POST", body: body.as_bytes(), ..RequestParts::default() })
    }

    #[test]
    fn known_members_in_their_types() {
        let body = r#"{"ModelName":"m","Unknown":{"x":[1]},"VpcConfig":null,"EnableNetworkIsolation":true,
            "PrimaryContainer":{"Image":"i","Environment":{"A":"b"}},"Tags":[{"Key":"k","Value":"v"},null]}"#;
        assert_eq!(
            sagemaker("CreateModel", body).unwrap(),
            json!({"ModelName": "m", "EnableNetworkIsolation": true,
                "PrimaryContainer": {"Image": "i", "Environment": {"A": "b"}}, "Tags": [{"Key": "k", "Value": "v"}, null]})
        );
        assert_eq!(sagemaker("ListModels", "").unwrap(), json!({}));
        assert_eq!(sagemaker("ListModels", r#"{"MaxResults":5.0,"MaxResults":7}"#).unwrap(), json!({"MaxResults": 7}));
        let times = r#"{"CreationTimeAfter":1700000000.5,"CreationTimeBefore":"2026-11-22T14:06:17Z"}"#;
        assert_eq!(
            sagemaker("ListModels", times).unwrap(),
            json!({"CreationTimeAfter": 1_700_000_000.5, "CreationTimeBefore": 1_795_356_377})
        );
    }

    #[test]
    fn mismatches() {
        for (body, message) in [
            (r#"{"MaxResults":"5"}"#, "STRING_VALUE can not be converted to an Integer"),
            (r#"{"MaxResults":2147483648}"#, "NUMBER_VALUE can not be converted to an Integer"),
            (r#"{"MaxResults":1.5}"#, "NUMBER_VALUE can not be converted to an Integer"),
            (r#"{"NextToken":5}"#, "NUMBER_VALUE can not be converted to a String"),
            (r#"{"NextToken":true}"#, "TRUE_VALUE can not be converted to a String"),
            (r#"{"NextToken":{}}"#, "Start of structure or map found where not expected."),
            (r#"{"NextToken":[]}"#, "Start of list found where not expected"),
            (r#"{"CreationTimeAfter":1e300}"#, "NUMBER_VALUE can not be converted to a Timestamp"),
            ("[]", "Start of list found where not expected"),
            ("5", "Expected map or null"),
        ] {
            let error = sagemaker("ListModels", body).unwrap_err();
            assert_eq!((error.status, error.code.as_ref(), error.message.as_str()), (400, "SerializationException", message), "{body}");
        }
        for body in ["{", "{\"a\":1e999}", "\u{1}", &"[".repeat(100_000)] {
            assert_eq!(sagemaker("ListModels", body).unwrap_err().code, "SerializationException");
        }
        assert_eq!(sagemaker("CreateModel", r#"{"Tags":{}}"#).unwrap_err().message, "Start of structure or map found where not expected.");
        assert_eq!(sagemaker("CreateModel", r#"{"Tags":"x"}"#).unwrap_err().message, "Expected list or null");
    }

    #[test]
    fn depth_is_bounded() {
        let depth = crate::MAX_DEPTH;
        let nested = |n: usize| {
            format!(
                "{}{}{}",
                r#"{"SearchExpression":{"SubExpressions":["#.to_owned() + &r#"{"SubExpressions":["#.repeat(n),
                "",
                "]}".repeat(n + 1) + "}"
            )
        };
        assert!(sagemaker("Search", &nested(depth / 2 - 3)).is_ok());
        assert_eq!(sagemaker("Search", &nested(depth / 2 + 3)).unwrap_err().code, "SerializationException");
    }
}
