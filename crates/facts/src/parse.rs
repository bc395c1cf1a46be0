//! Reading the facts file. A line that is not understood is left out; a test sees to it that all are.

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::DeflateDecoder;

use crate::{Action, Key, KeyType, Level, Resource, Row, Service};

static DEFLATED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/facts.deflate"));

/// The whole file, inflated once.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = String::new();
        DeflateDecoder::new(DEFLATED).read_to_string(&mut text).expect("the build has deflated it");
        text
    })
}

/// Prefix and lines of each service.
pub(crate) fn sections(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let text = text.strip_prefix("service\t").unwrap_or(text);
    text.split("\nservice\t").filter_map(|section| section.split_once('\n'))
}

/// One service's lines.
pub(crate) fn service(prefix: &'static str, lines: &'static str) -> Service {
    let mut service = Service { prefix, ..Service::default() };
    for line in lines.lines() {
        let fields: Vec<&'static str> = line.split('\t').collect();
        match fields.as_slice() {
            ["key", name, kind] => service.keys.extend(key(name, kind)),
            ["resource", name, arn, keys] => service.resources.push(Resource { name, arn, keys: words(keys, ' ') }),
            ["action", name, level, rows, dependents] => {
                let rows = words(rows, ';').into_iter().map(row).collect();
                service.actions.extend(access(level).map(|level| Action { name, level, rows, dependents: words(dependents, ' ') }));
            }
            _ => {}
        }
    }
    service
}

fn words(text: &'static str, separator: char) -> Vec<&'static str> {
    text.split(separator).filter(|word| !word.is_empty()).collect()
}

fn row(text: &'static str) -> Row {
    let (name, keys) = text.split_once('=').unwrap_or((text, ""));
    let resource = name.strip_suffix('*');
    Row { resource: resource.unwrap_or(name), required: resource.is_some(), keys: words(keys, ',') }
}

fn key(name: &'static str, kind: &str) -> Option<Key> {
    let (list, kind) = kind.strip_prefix("ArrayOf").map_or((false, kind), |kind| (true, kind));
    let kind = match kind {
        "String" => KeyType::String,
        "ARN" => KeyType::Arn,
        "Bool" => KeyType::Bool,
        "Date" => KeyType::Date,
        "Numeric" => KeyType::Numeric,
        "IPAddress" => KeyType::Ip,
        _ => return None,
    };
    Some(Key { name, kind, list })
}

fn access(level: &str) -> Option<Level> {
    Some(match level {
        "List" => Level::List,
        "Read" => Level::Read,
        "Write" => Level::Write,
        "Tagging" => Level::Tagging,
        "Permissions management" => Level::PermissionsManagement,
        _ => return None,
    })
}
