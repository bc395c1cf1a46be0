//! From an input to an HTTP request, as a client of the service's protocol makes it. Written apart from
//! the server's codec, so that the two check each other.

use serde_json::{Map, Value, json};
use tenantry_wire::{Kind, Location, Member, Metadata, Operation, Protocol, Shape};

use crate::send::Plain;

/// A request to the service's own endpoint in us-east-1.
pub fn encode(operation: &Operation, input: &Value) -> Plain {
    let service = operation.service;
    let mut plain = Plain {
        service: tenantry_wire::service(&service.name).map(|s| s.metadata().name.as_str()).unwrap(),
        signing_name: service.signing_name.as_str(),
        method: operation.method.clone(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![("host".to_owned(), host(service, "us-east-1"))],
        body: Vec::new(),
    };
    match service.protocol {
        Protocol::AwsJson => {
            let target = format!("{}.{}", service.target_prefix.as_deref().unwrap(), operation.name);
            plain.headers.push(("content-type".to_owned(), format!("application/x-amz-json-{}", service.json_version)));
            plain.headers.push(("x-amz-target".to_owned(), target));
            plain.body = wire_json(service, operation.input(), input).to_string().into_bytes();
        }
        Protocol::AwsQuery | Protocol::Ec2Query => {
            let mut pairs = vec![("Action".to_owned(), operation.name.clone()), ("Version".to_owned(), service.api_version.clone())];
            if let Some(shape) = operation.input() {
                form(service, shape, "", input, &mut pairs);
            }
            plain.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()));
            plain.body = joined(&pairs).into_bytes();
        }
        Protocol::RestJson | Protocol::RestXml => rest(operation, input, &mut plain),
    }
    plain
}

/// The endpoint's name in a region.
pub fn host(service: &Metadata, region: &str) -> String {
    match &service.global_endpoint {
        Some(global) if region == "us-east-1" => global.trim_start_matches("https://").to_owned(),
        _ => format!("{}.{region}.amazonaws.com", service.endpoint_prefix),
    }
}

/// By wire names.
fn wire_json(service: &Metadata, shape: Option<&Shape>, value: &Value) -> Value {
    match (shape.map(|shape| &shape.kind), value) {
        (Some(Kind::Structure(structure)), Value::Object(given)) => {
            let named = given.iter().map(|(name, value)| {
                let member = structure.member(name).unwrap();
                (member.wire.clone(), wire_json(service, Some(service.shape(member.shape)), value))
            });
            Value::Object(named.collect::<Map<_, _>>())
        }
        (Some(Kind::List(element)), Value::Array(items)) => {
            items.iter().map(|item| wire_json(service, Some(service.shape(element.shape)), item)).collect()
        }
        (None, _) => json!({}),
        _ => value.clone(),
    }
}

fn form(service: &Metadata, shape: &Shape, at: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (&shape.kind, value) {
        (Kind::Structure(structure), Value::Object(given)) => {
            for (name, value) in given {
                let member = structure.member(name).unwrap();
                form(service, service.shape(member.shape), &inner(&member.wire), value, out);
            }
        }
        (Kind::List(element), Value::Array(items)) => {
            for (number, item) in items.iter().enumerate() {
                form(service, service.shape(element.shape), &inner(&format!("{}.{}", element.wire, number + 1)), item, out);
            }
        }
        (_, value) => out.push((at.to_owned(), scalar(value))),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str, keep: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.as_bytes().contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name, ""), escaped(value, ""))).collect();
    pairs.join("&")
}

fn rest(operation: &Operation, input: &Value, plain: &mut Plain) {
    let (path, fixed) = operation.uri.split_once('?').unwrap_or((&operation.uri, ""));
    let mut path = path.to_owned();
    let mut query: Vec<String> = fixed
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    let (empty, mut document) = (Map::new(), Map::new());
    let structure = operation.input().and_then(Shape::structure);
    for (name, value) in input.as_object().unwrap_or(&empty) {
        let member: &Member = structure.unwrap().member(name).unwrap();
        match member.location {
            Location::Uri => {
                path = path.replace(&format!("{{{}}}", member.wire), &escaped(&scalar(value), ""));
                path = path.replace(&format!("{{{}+}}", member.wire), &escaped(&scalar(value), "/"));
            }
            Location::QueryString => query.push(format!("{}={}", escaped(&member.wire, ""), escaped(&scalar(value), ""))),
            Location::Header => {
                let items = value.as_array().map(|items| items.iter().map(scalar).collect::<Vec<_>>().join(","));
                plain.headers.push((member.wire.clone(), items.unwrap_or_else(|| scalar(value))));
            }
            Location::Body if structure.and_then(|s| s.payload()).is_some_and(|payload| payload.name == *name) => {
                plain.body = match operation.service.shape(member.shape).kind {
                    Kind::String => scalar(value).into_bytes(),
                    _ => xml(&operation.name)
                        .unwrap_or_else(|| panic!("{}: no example of the document {name}", operation.name))
                        .as_bytes()
                        .to_vec(),
                };
            }
            Location::Body if operation.service.protocol == Protocol::RestJson => {
                document.insert(member.wire.clone(), wire_json(operation.service, Some(operation.service.shape(member.shape)), value));
            }
            other => panic!("{}: {name} is in {other:?}, which the examples do not use", operation.name),
        }
    }
    if !document.is_empty() {
        plain.body = Value::Object(document).to_string().into_bytes();
    }
    if operation.streaming_input() {
        plain.body = b"a,b\n1,2\n".to_vec();
    } else if plain.body.is_empty()
        && let Some(text) = xml(&operation.name)
    {
        plain.body = text.as_bytes().to_vec();
    }
    plain.path = path;
    plain.query = query.join("&");
}

/// S3's documents, as AWS's pages of the operations show them.
fn xml(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "DeleteObjects" => "<Delete><Object><Key>key</Key></Object></Delete>",
        "CompleteMultipartUpload" => {
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e\"</ETag></Part></CompleteMultipartUpload>"
        }
        "PutBucketTagging" | "PutObjectTagging" => {
            "<Tagging><TagSet><Tag><Key>TenantID</Key><Value>tenant-a</Value></Tag></TagSet></Tagging>"
        }
        "PutBucketVersioning" => "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        "PutPublicAccessBlock" => {
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>"
        }
        "PutBucketEncryption" => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        }
        "PutBucketOwnershipControls" => {
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
        }
        "PutBucketCors" => {
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
        }
        "PutBucketLifecycleConfiguration" => {
            "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
        }
        "PutBucketLogging" => "<BucketLoggingStatus/>",
        "PutBucketNotificationConfiguration" => "<NotificationConfiguration/>",
        _ => return None,
    })
}
