//! Form parameters: `Tags.member.1.Key=a`, and EC2's `TagSpecification.1.Tag.1.Key=a`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tenantry_core::{AwsError, Result};

use super::RequestParts;
use crate::{
    MAX_DEPTH,
    model::{Kind, Member, Metadata, Shape},
    percent::parse_query,
    scalar,
};

/// Parts of all names together. Each takes some hundred bytes, so their number is bounded on its own.
const MAX_NODES: usize = 20_000;

/// The two kinds of query services differ in names only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Aws,
    Ec2,
}

/// Parameters by the parts of their dotted names.
#[derive(Default)]
struct Node<'p> {
    value: Option<&'p str>,
    children: BTreeMap<&'p str, Node<'p>>,
}

fn refuse(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "MalformedInput", message)
}

/// Members from the body's and the path's pairs; the body's count where both name one.
pub(super) fn document(service: &Metadata, shape: &Shape, parts: &RequestParts<'_>, dialect: Dialect) -> Result<Value> {
    let text = std::str::from_utf8(parts.body).map_err(|_| refuse("The request body is not valid UTF-8"))?;
    let body = parse_query(text.trim_ascii())?;
    let mut root = Node::default();
    let mut nodes = 0;
    for (name, value) in parts.query.iter().chain(&body) {
        let mut node = &mut root;
        for (depth, part) in name.split('.').enumerate() {
            nodes += 1;
            if depth == MAX_DEPTH || nodes > MAX_NODES {
                return Err(refuse("The request has too many parameters, or one with too many parts"));
            }
            node = node.children.entry(part).or_default();
        }
        node.value = Some(value);
    }
    Reader { service, dialect }.value(shape, false, &root, "")
}

struct Reader<'m> {
    service: &'m Metadata,
    dialect: Dialect,
}

impl Reader<'_> {
    /// Recursion ends with the parameters: every level consumes a part of their names.
    fn value(&self, shape: &Shape, flattened: bool, node: &Node<'_>, path: &str) -> Result<Value> {
        match &shape.kind {
            Kind::Structure(structure) => {
                if node.value.is_some_and(|value| !value.is_empty()) {
                    return Err(refuse(format!("Unexpected value for the structure {path}")));
                }
                let mut out = Map::new();
                for member in &structure.members {
                    let name = self.name(member);
                    if let Some(child) = node.children.get(name.as_str()) {
                        let value = self.value(self.service.shape(member.shape), member.flattened, child, &name)?;
                        out.insert(member.name.clone(), value);
                    }
                }
                Ok(Value::Object(out))
            }
            Kind::List(element) => {
                let items = if flattened || self.dialect == Dialect::Ec2 { Some(node) } else { node.children.get(element.wire.as_str()) };
                let shape = self.service.shape(element.shape);
                let mut out = Vec::new();
                for (_, item) in numbered(items, path)? {
                    out.push(self.value(shape, false, item, path)?);
                }
                Ok(Value::Array(out))
            }
            Kind::Map(key, element) => {
                let entries = if flattened { Some(node) } else { node.children.get("entry") };
                let shape = self.service.shape(element.shape);
                let mut out = Map::new();
                for (_, entry) in numbered(entries, path)? {
                    let name = entry.children.get(key.wire.as_str()).and_then(|key| key.value);
                    let name = name.ok_or_else(|| refuse(format!("A map entry of {path} has no key")))?;
                    let empty = Node::default();
                    let value = self.value(shape, false, entry.children.get(element.wire.as_str()).unwrap_or(&empty), path)?;
                    out.insert(name.to_owned(), value);
                }
                Ok(Value::Object(out))
            }
            kind => {
                let text = node.value.unwrap_or_default();
                scalar::parse(kind, text).ok_or_else(|| {
                    let shown: String = text.chars().take(128).collect();
                    refuse(format!("Invalid value '{shown}' for the parameter {path}"))
                })
            }
        }
    }

    fn name(&self, member: &Member) -> String {
        if self.dialect == Dialect::Aws {
            return member.wire.clone();
        }
        member.query_name.clone().unwrap_or_else(|| {
            let mut letters = member.wire.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
        })
    }
}

/// Children in the order of their numbers, which may have gaps.
fn numbered<'n, 'p>(node: Option<&'n Node<'p>>, path: &str) -> Result<Vec<(u32, &'n Node<'p>)>> {
    let mut out = Vec::new();
    for (name, child) in node.into_iter().flat_map(|node| &node.children) {
        let number: Option<u32> = name.parse().ok();
        let number = number.ok_or_else(|| {
            let shown: String = name.chars().take(128).collect();
            refuse(format!("Unexpected list element '{shown}' in {path}"))
        })?;
        out.push((number, child));
    }
    out.sort_by_key(|(number, _)| *number);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::{RequestParts, decode, load, service};
    use serde_json::{Value, json};

    fn iam(operation: &str, body: &str) -> Result<Value, tenantry_core::AwsError> {
        let operation = service("iam").unwrap().operation(operation).unwrap();
        decode(operation, &RequestParts { method: "POST", body: body.as_bytes(), ..RequestParts::default() })
    }

    #[test]
    fn lists_and_scalars() {
        let body = "Action=CreateRole&Version=2010-05-08&RoleName=a+b&MaxSessionDuration=3600\
            &Tags.member.10.Key=z&Tags.member.2.Key=k%2E&Tags.member.2.Value=&X-Amz-Date=1";
        assert_eq!(
            iam("CreateRole", body).unwrap(),
            json!({"RoleName": "a b", "MaxSessionDuration": 3600, "Tags": [{"Key": "k.", "Value": ""}, {"Key": "z"}]})
        );
        assert_eq!(iam("CreateRole", "Tags=").unwrap(), json!({"Tags": []}));
    }

    #[test]
    fn path_pairs_count_too() {
        let operation = service("sts").unwrap().operation("AssumeRole").unwrap();
        let query = [("RoleArn".to_owned(), "q".to_owned()), ("ExternalId".to_owned(), "e".to_owned())];
        let parts = RequestParts { method: "GET", query: &query, body: b"RoleArn=b", ..RequestParts::default() };
        assert_eq!(decode(operation, &parts).unwrap(), json!({"RoleArn": "b", "ExternalId": "e"}));
    }

    #[test]
    fn refused() {
        for (body, code) in [
            ("MaxSessionDuration=x", "MalformedInput"),
            ("MaxSessionDuration=", "MalformedInput"),
            ("Tags.member.x.Key=1", "MalformedInput"),
            ("Tags.member.4294967296.Key=1", "MalformedInput"),
            ("Tags.member.1=1", "MalformedInput"),
            ("RoleName=%", "MalformedQueryString"),
        ] {
            let error = iam("CreateRole", body).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, code), "{body}");
        }
        let deep = format!("{}=1", vec!["a"; crate::MAX_DEPTH + 1].join("."));
        assert_eq!(iam("CreateRole", &deep).unwrap_err().code, "MalformedInput");
        assert!(iam("CreateRole", &deep[2..]).is_ok());
        let wide = vec!["a"; 40].join(".") + "=1&";
        assert!(iam("CreateRole", &wide.repeat(super::MAX_NODES / 40)).is_ok());
        assert_eq!(iam("CreateRole", &wide.repeat(super::MAX_NODES / 40 + 1)).unwrap_err().code, "MalformedInput");
    }

    #[test]
    fn maps_flattened_lists_and_ec2_names() {
        let model = |protocol: &str| {
            load::load(&format!(
                r#"{{"service":"t","metadata":{{"protocol":"{protocol}","endpointPrefix":"t"}},
                "operations":{{"Op":{{"method":"POST","uri":"/","input":"In"}}}},
                "shapes":{{"In":{{"type":"structure","members":{{
                    "Attributes":"Pairs","Flat":{{"shape":"Pairs","flattened":true,"locationName":"attr"}},
                    "Names":{{"shape":"Names","locationName":"nameSet","queryName":"Name"}},
                    "Items":"Items","Filters":{{"shape":"Names","locationName":"filter"}}}}}},
                "Pairs":{{"type":"map","key":{{"shape":"S","locationName":"Name"}},"value":{{"shape":"S","locationName":"Value"}}}},
                "Names":{{"type":"list","member":{{"shape":"S","locationName":"item"}}}},
                "Items":{{"type":"list","flattened":true,"member":{{"shape":"S","locationName":"Item"}}}},
                "S":{{"type":"string"}}}}}}"#
            ))
        };
        let run = |protocol: &str, body: &str| {
            let service = model(protocol);
            let parts = RequestParts { method: "POST", body: body.as_bytes(), ..RequestParts::default() };
            decode(service.operation("Op").unwrap(), &parts)
        };
        let body = "Attributes.entry.1.Name=a&Attributes.entry.1.Value=b&attr.1.Name=c&attr.1.Value=d\
            &nameSet.item.1=n&Item.1=x&Item.2=y";
        assert_eq!(run("query", body).unwrap(), json!({"Attributes": {"a": "b"}, "Flat": {"c": "d"}, "Names": ["n"], "Items": ["x", "y"]}));
        assert!(run("query", "Attributes.entry.1.Value=b").is_err());
        assert_eq!(run("ec2", "Name.1=a&Name.2=b&Filter.1=c").unwrap(), json!({"Names": ["a", "b"], "Filters": ["c"]}));
    }
}
