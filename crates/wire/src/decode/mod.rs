//! From a request to a [`Value`] object with the model's member names.
//!
//! This checks form only: well-formedness and types. What AWS calls constraints is [`crate::validate`].

mod json;
mod query;
mod rest;
mod xml;

use serde_json::{Map, Value};
use tenantry_core::Result;

use crate::model::{Operation, Protocol};

/// The parts of a request that can carry members. Borrowed, decoded where it says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestParts<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Labels of the path, decoded, as [`crate::match_rest`] or [`crate::match_s3`] gave them.
    pub labels: &'a [(String, String)],
    /// The query's pairs, decoded; see [`crate::parse_query`].
    pub query: &'a [(String, String)],
    /// Names are compared without case.
    pub headers: &'a [(String, String)],
    /// The whole body; ignored where [`Operation::streaming_input`].
    pub body: &'a [u8],
}

impl<'a> RequestParts<'a> {
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Decodes a request's input. The value is always an object, empty for an operation without input.
///
/// # Errors
/// `SerializationException` (JSON), `MalformedInput` or `MalformedQueryString` (query), `MalformedXML` (XML),
/// `InvalidArgument` (S3 headers and query), all with status 400.
pub fn decode(operation: &Operation, parts: &RequestParts<'_>) -> Result<Value> {
    let Some(shape) = operation.input() else { return Ok(Value::Object(Map::new())) };
    match operation.service.protocol {
        Protocol::AwsJson => json::document(operation.service, shape, parts.body),
        Protocol::AwsQuery => query::document(operation.service, shape, parts, query::Dialect::Aws),
        Protocol::Ec2Query => query::document(operation.service, shape, parts, query::Dialect::Ec2),
        Protocol::RestJson | Protocol::RestXml => rest::document(operation, shape, parts),
    }
}
