//! XML bodies. Unlike JSON services, S3 holds a document to its schema: an unknown element or root is refused,
//! so a misspelt member of a policy-like configuration cannot be dropped in silence.

use serde_json::{Map, Value};
use tenantry_core::Result;

use crate::{
    model::{Kind, Location, Metadata, Shape, Structure},
    scalar,
    xml::{Element, malformed, parse},
};

/// A whole body; `root` is the name that the root element must have, where the model tells it.
pub(super) fn document(service: &Metadata, shape: &Shape, root: Option<&str>, body: &[u8]) -> Result<Value> {
    let element = parse(body)?;
    if root.is_some_and(|root| root != element.name) {
        return Err(malformed());
    }
    value(service, shape, &element)
}

/// Recursion is bounded by the depth of the tree.
fn value(service: &Metadata, shape: &Shape, element: &Element) -> Result<Value> {
    match &shape.kind {
        Kind::Structure(structure) => members(service, structure, element),
        Kind::List(item) => {
            if !element.is_blank() || element.children.iter().any(|child| child.name != item.wire) {
                return Err(malformed());
            }
            let shape = service.shape(item.shape);
            element.children.iter().map(|child| value(service, shape, child)).collect::<Result<Vec<_>>>().map(Value::Array)
        }
        Kind::Map(..) => {
            let mut out = Map::new();
            for entry in &element.children {
                self::entry(service, shape, entry, &mut out)?;
            }
            Ok(Value::Object(out))
        }
        _ if !element.children.is_empty() => Err(malformed()),
        kind => scalar::parse(kind, &element.text).ok_or_else(malformed),
    }
}

fn members(service: &Metadata, structure: &Structure, element: &Element) -> Result<Value> {
    if !element.is_blank() {
        return Err(malformed());
    }
    let mut out = Map::new();
    for member in structure.members.iter().filter(|member| member.attribute) {
        if let Some((_, text)) = element.attributes.iter().find(|(name, _)| *name == member.wire) {
            let shape = service.shape(member.shape);
            out.insert(member.name.clone(), scalar::parse(&shape.kind, text).ok_or_else(malformed)?);
        }
    }
    for child in &element.children {
        let member = structure.by_wire(&child.name).filter(|member| member.location == Location::Body && !member.attribute);
        let member = member.ok_or_else(malformed)?;
        let shape = service.shape(member.shape);
        match &shape.kind {
            Kind::List(item) if member.flattened => {
                let item = value(service, service.shape(item.shape), child)?;
                match out.entry(member.name.clone()).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(items) => items.push(item),
                    _ => return Err(malformed()),
                }
            }
            Kind::Map(..) if member.flattened => match out.entry(member.name.clone()).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(entries) => entry(service, shape, child, entries)?,
                _ => return Err(malformed()),
            },
            // The schema allows each plain member once.
            _ if out.contains_key(&member.name) => return Err(malformed()),
            _ => drop(out.insert(member.name.clone(), value(service, shape, child)?)),
        }
    }
    Ok(Value::Object(out))
}

fn entry(service: &Metadata, shape: &Shape, element: &Element, out: &mut Map<String, Value>) -> Result<()> {
    let Kind::Map(key, item) = &shape.kind else { return Err(malformed()) };
    let find = |name: &str| element.children.iter().find(|child| child.name == name).ok_or_else(malformed);
    let name = find(&key.wire)?.text.clone();
    out.insert(name, value(service, service.shape(item.shape), find(&item.wire)?)?);
    Ok(())
}
