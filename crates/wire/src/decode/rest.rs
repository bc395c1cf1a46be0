//! REST requests: members in path, query and headers, and a JSON or XML body.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tenantry_core::{AwsError, Result};

use super::{RequestParts, json, xml};
use crate::{
    model::{Kind, Location, Member, Metadata, Operation, Protocol, Shape},
    scalar,
};

pub(super) fn document(operation: &Operation, shape: &Shape, parts: &RequestParts<'_>) -> Result<Value> {
    let service = operation.service;
    let Some(structure) = shape.structure() else { return Ok(Value::Object(Map::new())) };
    let mut out = Map::new();
    for member in &structure.members {
        if let Some(value) = bound(service, member, &structure.members, parts)? {
            out.insert(member.name.clone(), value);
        }
    }
    match structure.payload() {
        Some(_) if operation.streaming_input() => {}
        Some(member) => {
            if let Some(value) = payload(service, member, parts.body)? {
                out.insert(member.name.clone(), value);
            }
        }
        None if parts.body.trim_ascii().is_empty() || structure.by_wire.is_empty() => {}
        None => {
            if let Value::Object(body) = self::body(service, shape, None, parts.body)? {
                out.extend(body);
            }
        }
    }
    Ok(Value::Object(out))
}

/// The member that is the body. An empty body is no member.
fn payload(service: &Metadata, member: &Member, body: &[u8]) -> Result<Option<Value>> {
    let shape = service.shape(member.shape);
    if body.is_empty() {
        return Ok(None);
    }
    match shape.kind {
        Kind::String => match std::str::from_utf8(body) {
            Ok(text) => Ok(Some(Value::String(text.to_owned()))),
            Err(_) => Err(refuse(service, member, "a body that is not UTF-8")),
        },
        Kind::Blob => Ok(Some(Value::String(STANDARD.encode(body)))),
        _ if body.trim_ascii().is_empty() => Ok(None),
        _ => self::body(service, shape, member.named.then_some(member.wire.as_str()), body).map(Some),
    }
}

fn body(service: &Metadata, shape: &Shape, root: Option<&str>, body: &[u8]) -> Result<Value> {
    match service.protocol {
        Protocol::RestXml => xml::document(service, shape, root, body),
        _ => json::document(service, shape, body),
    }
}

/// A member's value from label, query or headers, if it is there.
fn bound(service: &Metadata, member: &Member, all: &[Member], parts: &RequestParts<'_>) -> Result<Option<Value>> {
    let shape = service.shape(member.shape);
    let scalar = |text: &str| self::scalar(service, member, shape, text);
    match member.location {
        Location::Uri => {
            let label = parts.labels.iter().find(|(name, _)| *name == member.wire);
            label.map(|(_, text)| scalar(text)).transpose()
        }
        Location::Header => match (parts.header(&member.wire), &shape.kind) {
            (None, _) => Ok(None),
            (Some(text), Kind::List(element)) => {
                let element_shape = service.shape(element.shape);
                let items = text.split(',').map(|item| item.trim_ascii().trim_matches('"')).filter(|item| !item.is_empty());
                items.map(|item| self::scalar(service, member, element_shape, item)).collect::<Result<Vec<_>>>().map(|v| Some(v.into()))
            }
            (Some(text), _) => scalar(text).map(Some),
        },
        Location::Headers => {
            let mut out = Map::new();
            for (name, value) in parts.headers {
                let name = name.to_ascii_lowercase();
                if let Some(rest) = name.strip_prefix(&member.wire) {
                    out.insert(rest.to_owned(), Value::String(value.clone()));
                }
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
        Location::QueryString => query(service, member, shape, all, parts),
        Location::Body | Location::StatusCode => Ok(None),
    }
}

fn query(service: &Metadata, member: &Member, shape: &Shape, all: &[Member], parts: &RequestParts<'_>) -> Result<Option<Value>> {
    let mut given = parts.query.iter().filter(|(name, _)| *name == member.wire).map(|(_, value)| value);
    match &shape.kind {
        Kind::List(element) => {
            let element = service.shape(element.shape);
            let items = given.map(|text| scalar(service, member, element, text)).collect::<Result<Vec<_>>>()?;
            Ok((!items.is_empty()).then_some(Value::Array(items)))
        }
        Kind::Map(_, element) => {
            let many = matches!(service.shape(element.shape).kind, Kind::List(_));
            let taken = |name: &str| all.iter().any(|m| m.location == Location::QueryString && m.wire == name && m.name != member.name);
            let mut out = Map::new();
            for (name, value) in parts.query.iter().filter(|(name, _)| !taken(name)) {
                let value = Value::String(value.clone());
                match (many, out.get_mut(name)) {
                    (true, Some(Value::Array(values))) => values.push(value),
                    (true, _) => drop(out.insert(name.clone(), Value::Array(vec![value]))),
                    (false, _) => drop(out.insert(name.clone(), value)),
                }
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
        _ => given.next().map(|text| scalar(service, member, shape, text)).transpose(),
    }
}

fn scalar(service: &Metadata, member: &Member, shape: &Shape, text: &str) -> Result<Value> {
    if member.json_value {
        let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded.map(Value::String).ok_or_else(|| refuse(service, member, text));
    }
    scalar::parse(&shape.kind, text).ok_or_else(|| refuse(service, member, text))
}

fn refuse(service: &Metadata, member: &Member, text: &str) -> AwsError {
    let shown: String = text.chars().take(128).collect();
    if service.is_s3() {
        let message = match service.shape(member.shape).kind {
            Kind::Integer | Kind::Long => format!("Provided {} not an integer or within integer range", member.wire),
            _ => format!("Invalid value for {}", member.wire),
        };
        return AwsError::new(400, "InvalidArgument", message).with("ArgumentName", member.wire.clone()).with("ArgumentValue", shown);
    }
    let message = format!("The value '{shown}' of '{}' is not valid", member.wire);
    AwsError::new(400, if service.protocol == Protocol::RestJson { "SerializationException" } else { "InvalidInput" }, message)
}

#[cfg(test)]
mod tests {
    use crate::{RequestParts, decode, match_rest, match_s3, parse_query, service};
    use serde_json::{Value, json};

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn s3(method: &str, key: Option<&str>, query: &str, headers: &[(&str, &str)], body: &str) -> (String, Result<Value, String>) {
        let (query, headers) = (parse_query(query).unwrap(), owned(headers));
        let (operation, labels) = match_s3(service("s3").unwrap(), method, Some("b"), key, &query, &headers).unwrap();
        let parts = RequestParts { method, labels: &labels, query: &query, headers: &headers, body: body.as_bytes() };
        (operation.name.clone(), decode(operation, &parts).map_err(|error| format!("{}: {}", error.code, error.message)))
    }

    #[test]
    fn put_object_leaves_the_body() {
        let headers =
            [("x-amz-meta-Owner", "me"), ("X-Amz-Tagging", "a=b"), ("Content-Length", "5"), ("Expires", "Sun, 22 Nov 2026 14:06:17 GMT")];
        let (name, value) = s3("PUT", Some("k/ é"), "x-id=PutObject", &headers, "<not xml");
        assert_eq!(name, "PutObject");
        let value = value.unwrap();
        assert_eq!((&value["Key"], &value["Metadata"], &value["Tagging"]), (&json!("k/ é"), &json!({"owner": "me"}), &json!("a=b")));
        assert_eq!(value["ContentLength"], 5);
        assert!(value.get("Body").is_none());
    }

    #[test]
    fn xml_payload() {
        let body = "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <TagSet>\n  <Tag><Key>a</Key><Value> </Value></Tag>\n  <Tag><Key>c</Key><Value/></Tag>\n </TagSet>\n</Tagging>";
        let (name, value) = s3("PUT", Some("k"), "tagging", &[], body);
        assert_eq!(name, "PutObjectTagging");
        let tags = json!({"TagSet": [{"Key": "a", "Value": " "}, {"Key": "c", "Value": ""}]});
        assert_eq!(value.unwrap(), json!({"Bucket": "b", "Key": "k", "Tagging": tags}));
        let acl = "<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>x</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>";
        let (_, value) = s3("PUT", None, "acl", &[], acl);
        assert_eq!(
            value.unwrap()["AccessControlPolicy"],
            json!({"Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "x"}, "Permission": "READ"}]})
        );
        let delete =
            "<Delete><Object><Key>a</Key></Object><Quiet>true</Quiet><Object><Key>b</Key><VersionId>v</VersionId></Object></Delete>";
        let (_, value) = s3("POST", None, "delete", &[], delete);
        assert_eq!(value.unwrap()["Delete"], json!({"Quiet": true, "Objects": [{"Key": "a"}, {"Key": "b", "VersionId": "v"}]}));
    }

    #[test]
    fn text_payload_and_bad_input() {
        let (name, value) = s3("PUT", None, "policy", &[], "{\"Version\":\"2012-10-17\"}");
        assert_eq!((name.as_str(), &value.unwrap()["Policy"]), ("PutBucketPolicy", &json!("{\"Version\":\"2012-10-17\"}")));
        let (_, value) = s3("GET", None, "list-type=2&max-keys=x", &[], "");
        assert_eq!(value.unwrap_err(), "InvalidArgument: Provided max-keys not an integer or within integer range");
        for body in ["<Tagging>", "<Other/>", "<Tagging><Tag/></Tagging>", "{}", "<Tagging><TagSet>text</TagSet></Tagging>"] {
            let (_, value) = s3("PUT", None, "tagging", &[], body);
            assert!(value.unwrap_err().starts_with("MalformedXML"), "{body}");
        }
        let (_, value) = s3("PUT", None, "versioning", &[], "");
        assert_eq!(value.unwrap(), json!({"Bucket": "b"}));
        let (_, value) = s3("GET", Some("k"), "attributes", &[("x-amz-object-attributes", "ETag, ObjectSize")], "");
        assert_eq!(value.unwrap()["ObjectAttributes"], json!(["ETag", "ObjectSize"]));
    }

    #[test]
    fn rest_json() {
        let runtime = service("runtime.sagemaker").unwrap();
        let (operation, labels) = match_rest(runtime, "POST", "/endpoints/a%2Db/invocations", &[]).unwrap();
        let headers = owned(&[("content-type", "text/csv"), ("X-Amzn-SageMaker-Target-Model", "m.tar.gz")]);
        let parts = RequestParts { method: "POST", labels: &labels, headers: &headers, body: b"\xff", ..RequestParts::default() };
        assert_eq!(
            decode(operation, &parts).unwrap(),
            json!({"EndpointName": "a-b", "ContentType": "text/csv", "TargetModel": "m.tar.gz"})
        );
        assert!(operation.streaming_input() && operation.streaming_output() && !operation.event_stream_output());
    }
}
