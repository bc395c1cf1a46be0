//! From the JSON of `models/` to [`Service`].
//!
//! A malformed model is a defect of the build, not of a request, so this panics with the place; a test loads
//! every embedded model.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::{
    model::{Constraints, Kind, Location, Member, Metadata, Namespace, Operation, Protocol, Service, Shape, Structure, TimestampFormat},
    pattern::Pattern,
    route::Route,
};

#[derive(Deserialize)]
struct RawModel {
    service: String,
    metadata: RawMetadata,
    operations: BTreeMap<String, RawOperation>,
    shapes: BTreeMap<String, RawShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    protocol: String,
    #[serde(default)]
    json_version: String,
    #[serde(default)]
    api_version: String,
    endpoint_prefix: String,
    signing_name: Option<String>,
    target_prefix: Option<String>,
    xml_namespace: Option<String>,
    global_endpoint: Option<String>,
    #[serde(default)]
    discriminators: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawOperation {
    method: String,
    uri: String,
    status: Option<u16>,
    host_prefix: Option<String>,
    input: Option<String>,
    output: Option<String>,
    result_wrapper: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawShape {
    #[serde(rename = "type")]
    kind: String,
    required: Vec<String>,
    members: serde_json::Map<String, serde_json::Value>,
    member: Option<RawRef>,
    key: Option<RawRef>,
    value: Option<RawRef>,
    payload: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    #[serde(rename = "enum")]
    one_of: Vec<String>,
    sensitive: bool,
    eventstream: bool,
    union: bool,
    document: bool,
    exception: bool,
    error: Option<RawError>,
    #[serde(flatten)]
    traits: Traits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawError {
    code: Option<String>,
    http_status_code: Option<u16>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum RawRef {
    Plain(String),
    Full {
        shape: String,
        #[serde(flatten)]
        traits: Traits,
    },
}

/// What a reference may say and its shape may say for it.
#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Traits {
    location: Option<String>,
    location_name: Option<String>,
    query_name: Option<String>,
    flattened: Option<bool>,
    xml_attribute: Option<bool>,
    xml_namespace: Option<RawNamespace>,
    streaming: Option<bool>,
    timestamp_format: Option<String>,
    jsonvalue: Option<bool>,
    idempotency_token: Option<bool>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum RawNamespace {
    Uri(String),
    Full { uri: String, prefix: Option<String> },
}

struct Loader {
    protocol: Protocol,
    raw: BTreeMap<String, RawShape>,
    index: HashMap<String, usize>,
}

/// Parses one model file.
pub(crate) fn load(text: &str) -> Service {
    let raw: RawModel = serde_json::from_str(text).expect("embedded models are generated and tested");
    let protocol = match raw.metadata.protocol.as_str() {
        "json" => Protocol::AwsJson,
        "query" => Protocol::AwsQuery,
        "ec2" => Protocol::Ec2Query,
        "rest-json" => Protocol::RestJson,
        "rest-xml" => Protocol::RestXml,
        other => panic!("{}: unknown protocol `{other}`", raw.service),
    };
    let index: HashMap<String, usize> = raw.shapes.keys().cloned().enumerate().map(|(at, name)| (name, at)).collect();
    let loader = Loader { protocol, raw: raw.shapes, index };
    let shapes: Vec<Shape> = loader.raw.iter().map(|(name, shape)| loader.shape(name, shape)).collect();
    let errors = shapes.iter().enumerate().filter_map(|(at, shape)| Some((shape.error_code.clone()?, at))).collect();
    let meta = raw.metadata;
    let about: &'static Metadata = Box::leak(Box::new(Metadata {
        name: raw.service,
        protocol,
        json_version: meta.json_version,
        api_version: meta.api_version,
        signing_name: meta.signing_name.unwrap_or_else(|| meta.endpoint_prefix.clone()),
        endpoint_prefix: meta.endpoint_prefix,
        target_prefix: meta.target_prefix,
        xml_namespace: meta.xml_namespace,
        global_endpoint: meta.global_endpoint,
        discriminators: meta.discriminators,
        shapes,
        errors,
    }));
    let operations: BTreeMap<String, Operation> =
        raw.operations.into_iter().map(|(name, raw)| (name.clone(), loader.operation(name, raw, about))).collect();
    let mut routes: Vec<(Route, String)> = match protocol {
        Protocol::RestJson | Protocol::RestXml => operations.values().map(|op| (Route::new(op), op.name.clone())).collect(),
        _ => Vec::new(),
    };
    routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.specificity()));
    Service { about, operations, routes }
}

impl Loader {
    fn find(&self, name: &str) -> usize {
        *self.index.get(name).unwrap_or_else(|| panic!("the model refers to the missing shape `{name}`"))
    }

    fn operation(&self, name: String, raw: RawOperation, service: &'static Metadata) -> Operation {
        Operation {
            name,
            service,
            method: raw.method,
            uri: raw.uri,
            status: raw.status.unwrap_or(200),
            host_prefix: raw.host_prefix,
            input: raw.input.map(|shape| self.find(&shape)),
            output: raw.output.map(|shape| self.find(&shape)),
            result_wrapper: raw.result_wrapper,
            errors: raw.errors.iter().map(|shape| self.find(shape)).collect(),
        }
    }

    fn shape(&self, name: &str, raw: &RawShape) -> Shape {
        let reference = |part: &Option<RawRef>, default: &str| {
            let part = part.clone().unwrap_or_else(|| panic!("shape `{name}` lacks its `{default}`"));
            self.member(String::new(), part, default)
        };
        let kind = match raw.kind.as_str() {
            "structure" if raw.document => Kind::Document,
            "structure" => Kind::Structure(self.structure(raw)),
            "list" => Kind::List(reference(&raw.member, "member")),
            "map" => Kind::Map(reference(&raw.key, "key"), reference(&raw.value, "value")),
            "string" | "character" => Kind::String,
            "integer" => Kind::Integer,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "boolean" => Kind::Boolean,
            "timestamp" => Kind::Timestamp,
            "blob" => Kind::Blob,
            other => panic!("shape `{name}` has the unknown type `{other}`"),
        };
        let is_error = raw.exception || raw.error.is_some();
        let error = raw.error.as_ref();
        Shape {
            name: name.to_owned(),
            kind,
            constraints: Constraints {
                min: raw.min,
                max: raw.max,
                pattern: raw.pattern.as_deref().map(Pattern::new),
                one_of: raw.one_of.clone(),
            },
            sensitive: raw.sensitive,
            error_code: is_error.then(|| error.and_then(|e| e.code.clone()).unwrap_or_else(|| name.to_owned())),
            error_status: error.and_then(|e| e.http_status_code),
            event_stream: raw.eventstream,
        }
    }

    fn structure(&self, raw: &RawShape) -> Structure {
        let mut out = Structure { union: raw.union, ..Structure::default() };
        for (at, (name, value)) in raw.members.iter().enumerate() {
            let reference: RawRef = serde_json::from_value(value.clone()).expect("embedded models are generated and tested");
            let member = self.member(name.clone(), reference, name);
            out.by_name.insert(name.clone(), at);
            if member.location == Location::Body {
                out.by_wire.insert(member.wire.clone(), at);
            }
            out.members.push(member);
        }
        out.required = raw.required.iter().filter_map(|name| out.by_name.get(name).copied()).collect();
        out.payload = raw.payload.as_ref().and_then(|name| out.by_name.get(name).copied());
        out
    }

    /// The reference's traits, completed by its shape's; `default` is the wire name where neither gives one.
    fn member(&self, name: String, reference: RawRef, default: &str) -> Member {
        let (shape, traits) = match reference {
            RawRef::Plain(shape) => (shape, Traits::default()),
            RawRef::Full { shape, traits } => (shape, traits),
        };
        let target = &self.raw[&shape];
        let of_shape = &target.traits;
        let flattened = traits.flattened.or(of_shape.flattened).unwrap_or(false);
        let own_name = traits.location_name.or_else(|| of_shape.location_name.clone());
        let location = match traits.location.as_deref() {
            None => Location::Body,
            Some("header") => Location::Header,
            Some("headers") => Location::Headers,
            Some("uri") => Location::Uri,
            Some("querystring") => Location::QueryString,
            Some("statusCode") => Location::StatusCode,
            Some(other) => panic!("member `{name}` has the unknown location `{other}`"),
        };
        // A flattened list in XML and query bodies travels under its elements' name.
        let element_name = match (&target.member, flattened, self.protocol) {
            (Some(RawRef::Full { traits, .. }), true, Protocol::RestXml | Protocol::AwsQuery) => traits.location_name.clone(),
            _ => None,
        };
        let named = own_name.is_some() || element_name.is_some();
        let mut wire = element_name.or(own_name).unwrap_or_else(|| default.to_owned());
        if matches!(location, Location::Header | Location::Headers) {
            wire = wire.to_ascii_lowercase();
        }
        Member {
            name,
            shape: self.find(&shape),
            location,
            wire,
            named,
            query_name: traits.query_name.or_else(|| of_shape.query_name.clone()),
            flattened,
            attribute: traits.xml_attribute.unwrap_or(false),
            namespace: traits.xml_namespace.or_else(|| of_shape.xml_namespace.clone()).map(|raw| match raw {
                RawNamespace::Uri(uri) => Namespace { prefix: None, uri },
                RawNamespace::Full { uri, prefix } => Namespace { prefix, uri },
            }),
            streaming: traits.streaming.or(of_shape.streaming).unwrap_or(false),
            timestamp: traits.timestamp_format.or_else(|| of_shape.timestamp_format.clone()).map(|format| match format.as_str() {
                "iso8601" => TimestampFormat::Iso8601,
                "unixTimestamp" => TimestampFormat::Unix,
                "rfc822" => TimestampFormat::Http,
                other => panic!("unknown timestamp format `{other}`"),
            }),
            json_value: traits.jsonvalue.or(of_shape.jsonvalue).unwrap_or(false),
            idempotency_token: traits.idempotency_token.unwrap_or(false),
        }
    }
}
