//! REST answers: members in headers and status, a JSON or XML document, text, or nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{Encoded, json, xml};
use crate::{
    model::{Kind, Location, Member, Metadata, Operation, Protocol, Shape, Structure, TimestampFormat},
    scalar,
    xml::Writer,
};

/// Root elements of S3's answers where the name is not the output shape's. Clients of some languages look at them.
const S3_ROOTS: [(&str, &str); 27] = [
    ("CompleteMultipartUpload", "CompleteMultipartUploadResult"),
    ("CreateMultipartUpload", "InitiateMultipartUploadResult"),
    ("DeleteObjects", "DeleteResult"),
    ("GetBucketAccelerateConfiguration", "AccelerateConfiguration"),
    ("GetBucketAcl", "AccessControlPolicy"),
    ("GetBucketCors", "CORSConfiguration"),
    ("GetBucketEncryption", "ServerSideEncryptionConfiguration"),
    ("GetBucketLifecycleConfiguration", "LifecycleConfiguration"),
    ("GetBucketLogging", "BucketLoggingStatus"),
    ("GetBucketNotificationConfiguration", "NotificationConfiguration"),
    ("GetBucketOwnershipControls", "OwnershipControls"),
    ("GetBucketReplication", "ReplicationConfiguration"),
    ("GetBucketRequestPayment", "RequestPaymentConfiguration"),
    ("GetBucketTagging", "Tagging"),
    ("GetBucketVersioning", "VersioningConfiguration"),
    ("GetBucketWebsite", "WebsiteConfiguration"),
    ("GetObjectAcl", "AccessControlPolicy"),
    ("GetObjectAttributes", "GetObjectAttributesResponse"),
    ("GetObjectLockConfiguration", "ObjectLockConfiguration"),
    ("GetObjectTagging", "Tagging"),
    ("GetPublicAccessBlock", "PublicAccessBlockConfiguration"),
    ("ListBuckets", "ListAllMyBucketsResult"),
    ("ListMultipartUploads", "ListMultipartUploadsResult"),
    ("ListObjectVersions", "ListVersionsResult"),
    ("ListObjects", "ListBucketResult"),
    ("ListObjectsV2", "ListBucketResult"),
    ("ListParts", "ListPartsResult"),
];

const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

pub(super) fn document(operation: &Operation, members: &Map<String, Value>) -> Encoded {
    let service = operation.service;
    let Some(structure) = operation.output().and_then(Shape::structure) else {
        return Encoded { status: operation.status, ..Encoded::default() };
    };
    let mut out = match structure.payload() {
        _ if operation.streaming_output() => Encoded::default(),
        Some(member) => payload(operation, member, members),
        None if structure.by_wire.is_empty() => Encoded::default(),
        None => whole(operation, structure, members),
    };
    out.status = operation.status;
    for member in &structure.members {
        if let Some(value) = members.get(&member.name).filter(|value| !value.is_null()) {
            bind(service, member, value, &mut out);
        }
    }
    out
}

fn whole(operation: &Operation, structure: &Structure, members: &Map<String, Value>) -> Encoded {
    let service = operation.service;
    if service.protocol == Protocol::RestJson {
        let body = operation.output().map(|shape| json::body(service, shape, members)).unwrap_or_default();
        return document_of("application/json", body);
    }
    let mut writer = Writer::document();
    let root = root(operation);
    xml::open_root(&mut writer, root, namespace(service));
    if operation.name == "GetBucketLocation" && service.is_s3() {
        // The one answer whose only member is the root itself.
        writer.text(members.get("LocationConstraint").and_then(Value::as_str).unwrap_or_default());
    } else {
        xml::contents(service, structure, members, &mut writer, 0);
    }
    writer.close(root);
    document_of("application/xml", writer.finish())
}

fn root(operation: &Operation) -> &str {
    if operation.service.is_s3() {
        if operation.name == "GetBucketLocation" {
            return "LocationConstraint";
        }
        if let Some((_, root)) = S3_ROOTS.iter().find(|(name, _)| *name == operation.name) {
            return root;
        }
    }
    operation.output().map_or("Response", |shape| shape.name.as_str())
}

fn namespace(service: &Metadata) -> Option<&str> {
    if service.is_s3() { Some(S3_NAMESPACE) } else { service.xml_namespace.as_deref() }
}

fn payload(operation: &Operation, member: &Member, members: &Map<String, Value>) -> Encoded {
    let service = operation.service;
    let shape = service.shape(member.shape);
    match (&shape.kind, members.get(&member.name)) {
        (_, None | Some(Value::Null)) => Encoded::default(),
        (Kind::Blob, Some(Value::String(text))) => Encoded { body: STANDARD.decode(text).unwrap_or_default(), ..Encoded::default() },
        (Kind::Structure(_), Some(Value::Object(value))) if service.protocol == Protocol::RestJson => {
            document_of("application/json", json::body(service, shape, value))
        }
        (Kind::Structure(structure), Some(Value::Object(value))) => {
            let mut writer = Writer::document();
            let root = match (member.named, S3_ROOTS.iter().find(|(name, _)| service.is_s3() && *name == operation.name)) {
                (_, Some((_, root))) => root,
                (true, None) => member.wire.as_str(),
                (false, None) => shape.name.as_str(),
            };
            xml::open_root(&mut writer, root, namespace(service));
            xml::contents(service, structure, value, &mut writer, 0);
            writer.close(root);
            document_of("application/xml", writer.finish())
        }
        (_, Some(Value::String(text))) => {
            // A bucket policy is the only served text.
            document_of("application/json", text.clone().into_bytes())
        }
        (_, Some(other)) => document_of("application/json", other.to_string().into_bytes()),
    }
}

fn document_of(content_type: &str, body: Vec<u8>) -> Encoded {
    let mut out = Encoded { body, ..Encoded::default() };
    out.header("content-type", content_type);
    out
}

/// A member that is a header, headers or the status.
fn bind(service: &Metadata, member: &Member, value: &Value, out: &mut Encoded) {
    let shape = service.shape(member.shape);
    let format = member.timestamp.unwrap_or(TimestampFormat::Http);
    let text = |shape: &Shape, value: &Value| scalar::text(value, &shape.kind, format, false);
    match (member.location, &shape.kind, value) {
        (Location::StatusCode, _, Value::Number(number)) => {
            let status = number.as_u64().and_then(|status| u16::try_from(status).ok()).filter(|status| (100..600).contains(status));
            out.status = status.unwrap_or(out.status);
        }
        (Location::Headers, _, Value::Object(entries)) => {
            for (name, value) in entries {
                // A name that no header can have would break the whole answer.
                if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
                    out.header(&format!("{}{}", member.wire, name.to_ascii_lowercase()), text(shape, value));
                }
            }
        }
        (Location::Header, Kind::List(element), Value::Array(items)) => {
            let element = service.shape(element.shape);
            let items: Vec<String> = items.iter().map(|item| text(element, item)).collect();
            out.header(&member.wire, items.join(","));
        }
        (Location::Header, _, value) => {
            let text = text(shape, value);
            let text = if member.json_value { STANDARD.encode(text) } else { text };
            // The handler knows better than the default what its document is.
            out.headers.retain(|(name, _)| *name != member.wire);
            out.header(&member.wire, text);
        }
        _ => {}
    }
}
