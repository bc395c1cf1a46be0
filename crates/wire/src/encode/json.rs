//! JSON bodies.

use serde_json::{Map, Value};

use super::Encoded;
use crate::{
    MAX_DEPTH,
    model::{Kind, Location, Member, Metadata, Operation, Shape, TimestampFormat},
    scalar,
};

pub(super) fn document(operation: &Operation, members: &Map<String, Value>) -> Encoded {
    let body = match operation.output() {
        Some(shape) => body(operation.service, shape, members),
        // AWS answers nothing at all where the model has no output.
        None => Vec::new(),
    };
    let mut out = Encoded { status: operation.status, body, ..Encoded::default() };
    out.header("content-type", format!("application/x-amz-json-{}", operation.service.json_version));
    out
}

/// The members that travel in the body.
pub(crate) fn body(service: &Metadata, shape: &Shape, members: &Map<String, Value>) -> Vec<u8> {
    object(service, shape, members, 0).to_string().into_bytes()
}

fn object(service: &Metadata, shape: &Shape, members: &Map<String, Value>, depth: usize) -> Value {
    let Some(structure) = shape.structure() else { return Value::Object(Map::new()) };
    let mut out = Map::new();
    for (name, value) in members {
        if let Some(member) = structure.member(name).filter(|member| member.location == Location::Body)
            && !value.is_null()
        {
            out.insert(member.wire.clone(), self::value(service, member, value, depth + 1));
        }
    }
    Value::Object(out)
}

fn value(service: &Metadata, member: &Member, value: &Value, depth: usize) -> Value {
    let shape = service.shape(member.shape);
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match (&shape.kind, value) {
        (Kind::Structure(_), Value::Object(members)) => object(service, shape, members, depth),
        (Kind::List(element), Value::Array(items)) => items.iter().map(|item| self::value(service, element, item, depth + 1)).collect(),
        (Kind::Map(_, element), Value::Object(entries)) => {
            Value::Object(entries.iter().map(|(name, item)| (name.clone(), self::value(service, element, item, depth + 1))).collect())
        }
        (Kind::Timestamp, value) => match member.timestamp {
            Some(format @ (TimestampFormat::Iso8601 | TimestampFormat::Http)) => scalar::text(value, &shape.kind, format, false).into(),
            Some(TimestampFormat::Unix) | None => value.clone(),
        },
        (_, value) => value.clone(),
    }
}
