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
    let mut out = Vec::with_capacity(512);
    object(service, shape, members, 0, &mut out);
    out
}

/// Appends a scalar, or whatever the model says nothing of.
fn plain(value: &Value, out: &mut Vec<u8>) {
    // A vector takes all that is written to it, and a value's keys are texts.
    serde_json::to_writer(out, value).expect("a value is written to memory");
}

fn text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text is written to memory");
}

/// Separates what follows from what stands before it in an object or a list.
fn next(begun: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(begun, true) {
        out.push(b',');
    }
}

fn object(service: &Metadata, shape: &Shape, members: &Map<String, Value>, depth: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(structure) = shape.structure() {
        let mut begun = false;
        for (name, value) in members {
            if let Some(member) = structure.member(name).filter(|member| member.location == Location::Body)
                && !value.is_null()
            {
                next(&mut begun, out);
                text(&member.wire, out);
                out.push(b':');
                self::value(service, member, value, depth + 1, out);
            }
        }
    }
    out.push(b'}');
}

fn value(service: &Metadata, member: &Member, value: &Value, depth: usize, out: &mut Vec<u8>) {
    let shape = service.shape(member.shape);
    if depth > MAX_DEPTH {
        return out.extend_from_slice(b"null");
    }
    match (&shape.kind, value) {
        (Kind::Structure(_), Value::Object(members)) => object(service, shape, members, depth, out),
        (Kind::List(element), Value::Array(items)) => {
            out.push(b'[');
            let mut begun = false;
            for item in items {
                next(&mut begun, out);
                self::value(service, element, item, depth + 1, out);
            }
            out.push(b']');
        }
        (Kind::Map(_, element), Value::Object(entries)) => {
            out.push(b'{');
            let mut begun = false;
            for (name, item) in entries {
                next(&mut begun, out);
                text(name, out);
                out.push(b':');
                self::value(service, element, item, depth + 1, out);
            }
            out.push(b'}');
        }
        (Kind::Timestamp, value) => match member.timestamp {
            Some(format @ (TimestampFormat::Iso8601 | TimestampFormat::Http)) => {
                text(&scalar::text(value, &shape.kind, format, false), out);
            }
            Some(TimestampFormat::Unix) | None => plain(value, out),
        },
        (_, Value::String(string)) => text(string, out),
        (_, value) => plain(value, out),
    }
}
