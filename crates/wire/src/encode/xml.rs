//! XML answers of the query protocols, and XML documents of REST services.

use serde_json::{Map, Value};

use super::Encoded;
use crate::{
    MAX_DEPTH,
    model::{Kind, Location, Member, Metadata, Operation, Shape, Structure, TimestampFormat},
    scalar,
    xml::Writer,
};

/// `<OpResponse><OpResult>…</OpResult><ResponseMetadata>…`.
pub(super) fn query(operation: &Operation, members: &Map<String, Value>, request_id: &str) -> Encoded {
    let root = format!("{}Response", operation.name);
    let mut writer = Writer::default();
    open_root(&mut writer, &root, operation.service.xml_namespace.as_deref());
    if let Some(structure) = operation.output().and_then(Shape::structure) {
        let wrapper = operation.result_wrapper.as_deref();
        wrapper.inspect(|name| writer.open(name, &[]));
        contents(operation.service, structure, members, &mut writer, 0);
        wrapper.inspect(|name| writer.close(name));
    }
    writer.open("ResponseMetadata", &[]);
    writer.leaf("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&root);
    finish(operation.status, "text/xml", writer)
}

/// `<OpResponse><requestId>…</requestId>…`.
pub(super) fn ec2(operation: &Operation, members: &Map<String, Value>, request_id: &str) -> Encoded {
    let root = format!("{}Response", operation.name);
    let mut writer = Writer::document();
    let namespace = format!("http://ec2.amazonaws.com/doc/{}/", operation.service.api_version);
    open_root(&mut writer, &root, Some(operation.service.xml_namespace.as_deref().unwrap_or(&namespace)));
    writer.leaf("requestId", request_id);
    match operation.output().and_then(Shape::structure) {
        Some(structure) => contents(operation.service, structure, members, &mut writer, 0),
        None => writer.leaf("return", "true"),
    }
    writer.close(&root);
    finish(operation.status, "text/xml;charset=UTF-8", writer)
}

pub(super) fn finish(status: u16, content_type: &str, writer: Writer) -> Encoded {
    let mut out = Encoded { status, body: writer.finish(), ..Encoded::default() };
    out.header("content-type", content_type);
    out
}

pub(super) fn open_root(writer: &mut Writer, name: &str, namespace: Option<&str>) {
    match namespace {
        Some(uri) => writer.open(name, &[("xmlns", uri)]),
        None => writer.open(name, &[]),
    }
}

/// The members of a structure that travel as elements, in the model's order.
pub(super) fn contents(service: &Metadata, structure: &Structure, members: &Map<String, Value>, writer: &mut Writer, depth: usize) {
    let elements = structure.members.iter().filter(|member| member.location == Location::Body && !member.attribute);
    for member in elements {
        match members.get(&member.name) {
            None | Some(Value::Null) => {}
            Some(value) => field(service, member, value, writer, depth),
        }
    }
}

fn field(service: &Metadata, member: &Member, value: &Value, writer: &mut Writer, depth: usize) {
    let shape = service.shape(member.shape);
    match (&shape.kind, value) {
        (Kind::List(element), Value::Array(items)) if member.flattened => {
            for item in items {
                self::element(service, element, &member.wire, item, writer, depth);
            }
        }
        (Kind::Map(key, element), Value::Object(entries)) if member.flattened => {
            for (name, item) in entries {
                entry(service, (key, element), &member.wire, name, item, writer, depth);
            }
        }
        _ => element(service, member, &member.wire, value, writer, depth),
    }
}

fn entry(service: &Metadata, (key, value): (&Member, &Member), tag: &str, name: &str, item: &Value, writer: &mut Writer, depth: usize) {
    writer.open(tag, &[]);
    writer.leaf(&key.wire, name);
    element(service, value, &value.wire, item, writer, depth + 1);
    writer.close(tag);
}

/// One element named `tag`. `member` tells its shape and traits.
pub(super) fn element(service: &Metadata, member: &Member, tag: &str, value: &Value, writer: &mut Writer, depth: usize) {
    let shape = service.shape(member.shape);
    if depth > MAX_DEPTH {
        return;
    }
    match (&shape.kind, value) {
        (Kind::Structure(structure), Value::Object(members)) => {
            open(service, member, structure, members, tag, writer);
            contents(service, structure, members, writer, depth + 1);
        }
        (Kind::List(item), Value::Array(items)) => {
            writer.open(tag, &[]);
            for value in items {
                element(service, item, &item.wire, value, writer, depth + 1);
            }
        }
        (Kind::Map(key, item), Value::Object(entries)) => {
            writer.open(tag, &[]);
            for (name, value) in entries {
                entry(service, (key, item), "entry", name, value, writer, depth + 1);
            }
        }
        (kind, value) => {
            writer.open(tag, &[]);
            let format = member.timestamp.unwrap_or(TimestampFormat::Iso8601);
            writer.text(&scalar::text(value, kind, format, service.is_s3()));
        }
    }
    writer.close(tag);
}

/// The opening tag with a namespace declaration and the members that are attributes (`xsi:type`).
fn open(service: &Metadata, member: &Member, structure: &Structure, members: &Map<String, Value>, tag: &str, writer: &mut Writer) {
    let mut attributes = Vec::new();
    // Only prefixed namespaces are declared inside; the plain one stands at the root.
    if let Some(namespace) = &member.namespace
        && let Some(prefix) = &namespace.prefix
    {
        attributes.push((format!("xmlns:{prefix}"), namespace.uri.clone()));
    }
    for member in structure.members.iter().filter(|member| member.attribute) {
        if let Some(value) = members.get(&member.name) {
            let kind = &service.shape(member.shape).kind;
            attributes.push((member.wire.clone(), scalar::text(value, kind, TimestampFormat::Iso8601, false)));
        }
    }
    let borrowed: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    writer.open(tag, &borrowed);
}
