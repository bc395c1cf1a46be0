//! What is known about a service: operations, shapes, and how each member travels.
//!
//! Loaded once per service and never freed, so that everything can be `&'static`. Shapes refer to each
//! other by index because they may be recursive.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
};

use crate::{pattern::Pattern, route::Route};

/// How a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// JSON bodies, operation named by the `X-Amz-Target` header. Both versions; see [`Metadata::json_version`].
    AwsJson,
    /// Form parameters in, XML out, operation named by `Action`.
    AwsQuery,
    /// EC2's dialect of the query protocol.
    Ec2Query,
    /// Paths and JSON bodies.
    RestJson,
    /// Paths and XML bodies.
    RestXml,
}

/// A service's facts without its operations.
#[derive(Debug)]
pub struct Metadata {
    /// The model's name: `sagemaker-runtime`, `s3`, …
    pub name: String,
    /// How it speaks.
    pub protocol: Protocol,
    /// `1.0` or `1.1` for JSON services, else empty.
    pub json_version: String,
    /// `2011-06-15`, …; the `Version` parameter of query services.
    pub api_version: String,
    /// The host name's first part: `api.sagemaker`, `iam`, …
    pub endpoint_prefix: String,
    /// The service in a credential scope. Two services may share one.
    pub signing_name: String,
    /// What stands before the dot of `X-Amz-Target`.
    pub target_prefix: Option<String>,
    /// The namespace of XML answers.
    pub xml_namespace: Option<String>,
    /// Set for services with one endpoint for all regions, such as `iam.amazonaws.com`.
    pub global_endpoint: Option<String>,
    /// Query names by which a REST service selects operations, served or not.
    pub(crate) discriminators: Vec<String>,
    pub(crate) shapes: Vec<Shape>,
    /// Error shapes by the code that travels.
    pub(crate) errors: HashMap<String, usize>,
}

impl Metadata {
    /// A shape by its index.
    #[must_use]
    pub fn shape(&self, index: usize) -> &Shape {
        &self.shapes[index]
    }
    /// All shapes that the served operations use.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }
    /// Whether it is S3, which differs from other REST services in routing and errors.
    #[must_use]
    pub fn is_s3(&self) -> bool {
        self.name == "s3"
    }
    /// The status AWS gives a modelled error code, where the model tells.
    #[must_use]
    pub fn error_status(&self, code: &str) -> Option<u16> {
        self.errors.get(code).and_then(|&index| self.shapes[index].error_status)
    }
    /// Whether the served operations' models know this error code.
    #[must_use]
    pub fn has_error(&self, code: &str) -> bool {
        self.errors.contains_key(code)
    }
}

/// A service and its served operations. Dereferences to its [`Metadata`].
#[derive(Debug)]
pub struct Service {
    pub(crate) about: &'static Metadata,
    pub(crate) operations: BTreeMap<String, Operation>,
    /// REST operations, most specific first.
    pub(crate) routes: Vec<(Route, String)>,
}

impl Deref for Service {
    type Target = Metadata;
    fn deref(&self) -> &Metadata {
        self.about
    }
}

impl Service {
    /// An operation by its exact name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }
    /// Every modelled operation, by name.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }
    /// The facts, living as long as the program.
    #[must_use]
    pub fn metadata(&self) -> &'static Metadata {
        self.about
    }
    /// The operation that an `X-Amz-Target` header names: `SageMaker.CreateModel`.
    #[must_use]
    pub fn from_target(target: &str) -> Option<(&'static Service, &'static Operation)> {
        let (prefix, name) = target.rsplit_once('.')?;
        let service = crate::catalog::by_target_prefix(prefix)?;
        Some((service, service.operation(name)?))
    }
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// As AWS names it.
    pub name: String,
    /// The service's facts.
    pub service: &'static Metadata,
    /// The request method.
    pub method: String,
    /// The request path with labels, and the query names that select it.
    pub uri: String,
    /// The status of a good answer.
    pub status: u16,
    /// What the host name gains in front, where it does.
    pub host_prefix: Option<String>,
    pub(crate) input: Option<usize>,
    pub(crate) output: Option<usize>,
    pub(crate) result_wrapper: Option<String>,
    pub(crate) errors: Vec<usize>,
}

impl Operation {
    /// The input shape, absent where the operation takes nothing.
    #[must_use]
    pub fn input(&self) -> Option<&'static Shape> {
        self.input.map(|index| self.service.shape(index))
    }
    /// The output shape, absent where the operation answers nothing.
    #[must_use]
    pub fn output(&self) -> Option<&'static Shape> {
        self.output.map(|index| self.service.shape(index))
    }
    /// The error shapes that AWS lists for this operation.
    pub fn errors(&self) -> impl Iterator<Item = &'static Shape> + '_ {
        self.errors.iter().map(|&index| self.service.shape(index))
    }
    /// Whether the request body is bytes for the handler and not a document. True for every blob payload,
    /// also for those that AWS does not call streaming (`InvokeEndpoint`).
    #[must_use]
    pub fn streaming_input(&self) -> bool {
        self.raw_payload(self.input())
    }
    /// Whether the response body is bytes, or event frames, from the handler and not a document.
    #[must_use]
    pub fn streaming_output(&self) -> bool {
        self.raw_payload(self.output())
    }
    /// Whether the response body is a sequence of [`crate::event_frame`]s.
    #[must_use]
    pub fn event_stream_output(&self) -> bool {
        self.payload(self.output()).is_some_and(|member| self.service.shape(member.shape).event_stream)
    }

    fn payload(&self, shape: Option<&'static Shape>) -> Option<&'static Member> {
        shape?.structure()?.payload()
    }
    fn raw_payload(&self, shape: Option<&'static Shape>) -> bool {
        self.payload(shape).is_some_and(|member| {
            let shape = self.service.shape(member.shape);
            matches!(shape.kind, Kind::Blob) || shape.event_stream || member.streaming
        })
    }
}

/// A named type.
#[derive(Debug)]
pub struct Shape {
    /// As AWS names it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What its values must satisfy.
    pub constraints: Constraints,
    /// Never to be logged or echoed.
    pub sensitive: bool,
    /// Of error shapes: the code that travels.
    pub error_code: Option<String>,
    /// Of error shapes: the status, where the model tells.
    pub error_status: Option<u16>,
    pub(crate) event_stream: bool,
}

impl Shape {
    /// The structure, when it is one.
    #[must_use]
    pub fn structure(&self) -> Option<&Structure> {
        match &self.kind {
            Kind::Structure(structure) => Some(structure),
            _ => None,
        }
    }
}

/// Length in characters, elements or bytes, or a number's range; pattern; enumeration.
#[derive(Debug, Default)]
pub struct Constraints {
    /// Inclusive.
    pub min: Option<f64>,
    /// Inclusive.
    pub max: Option<f64>,
    /// Must match as a whole.
    pub pattern: Option<Pattern>,
    /// The allowed values; empty means any.
    pub one_of: Vec<String>,
}

impl Constraints {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.pattern.is_none() && self.one_of.is_empty()
    }
}

/// What a shape is.
#[derive(Debug)]
pub enum Kind {
    /// Named members.
    Structure(Structure),
    /// Elements of one shape.
    List(Member),
    /// Text keys to values of one shape.
    Map(Member, Member),
    /// Text.
    String,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Seconds in values; its form on the wire depends on protocol, place and [`Member::timestamp`].
    Timestamp,
    /// Base64 in values.
    Blob,
    /// Any JSON.
    Document,
}

/// Members of a structure.
#[derive(Debug, Default)]
pub struct Structure {
    /// In the model's order.
    pub members: Vec<Member>,
    /// Indexes of the members that must be present.
    pub required: Vec<usize>,
    pub(crate) by_name: HashMap<String, usize>,
    /// By the name that the protocol's body uses.
    pub(crate) by_wire: HashMap<String, usize>,
    pub(crate) payload: Option<usize>,
    /// Exactly one member is set; clients refuse an answer where it is otherwise.
    pub union: bool,
}

impl Structure {
    /// A member by its model name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).map(|&index| &self.members[index])
    }
    /// The member that is the whole body.
    #[must_use]
    pub fn payload(&self) -> Option<&Member> {
        self.payload.map(|index| &self.members[index])
    }
    pub(crate) fn by_wire(&self, name: &str) -> Option<&Member> {
        self.by_wire.get(name).map(|&index| &self.members[index])
    }
}

/// Where a member travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the document.
    Body,
    /// In one header.
    Header,
    /// In all headers with a prefix.
    Headers,
    /// In the path.
    Uri,
    /// In the query; a map takes all names that are not bound otherwise.
    QueryString,
    /// It is the response's status.
    StatusCode,
}

/// A reference to a shape: a structure's member, a list's element, a map's key or value.
#[derive(Debug)]
pub struct Member {
    /// The model's name; empty for elements, keys and values.
    pub name: String,
    /// Index into the service's shapes.
    pub shape: usize,
    /// Where it travels.
    pub location: Location,
    /// The name the wire uses in that place. For bodies it depends on the protocol and is resolved on loading.
    pub wire: String,
    /// Whether the model names it for the wire, or `wire` is a default.
    pub(crate) named: bool,
    /// EC2's own name.
    pub(crate) query_name: Option<String>,
    pub(crate) flattened: bool,
    pub(crate) attribute: bool,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) streaming: bool,
    pub(crate) timestamp: Option<TimestampFormat>,
    pub(crate) json_value: bool,
    /// Clients fill it in when the caller does not.
    pub idempotency_token: bool,
}

/// An `xmlns` declaration.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    pub(crate) prefix: Option<String>,
    pub(crate) uri: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimestampFormat {
    Iso8601,
    Unix,
    Http,
}
