//! Error documents of the five protocols.
//!
//! The kernel sends no body in answer to `HEAD`; nothing here knows the method. An error's `cause` is never written.

use serde_json::{Map, Value};
use tenantry_core::AwsError;

use crate::{
    encode::{Encoded, request_id_header},
    model::{Kind, Metadata, Protocol},
    xml::Writer,
};

/// Encodes an error for a service. `host_id` is S3's second id; other services have none.
#[must_use]
pub fn encode_error(service: &Metadata, error: &AwsError, request_id: &str, host_id: &str) -> Encoded {
    let mut out = Encoded { status: error.status, ..Encoded::default() };
    match service.protocol {
        Protocol::AwsJson => {
            out.header("content-type", format!("application/x-amz-json-{}", service.json_version));
            out.header("x-amzn-errortype", &*error.code);
            let mut members = Map::new();
            members.insert("__type".to_owned(), Value::from(&*error.code));
            out.body = json(service, error, members);
        }
        Protocol::RestJson => {
            out.header("content-type", "application/json");
            out.header("x-amzn-errortype", &*error.code);
            out.body = json(service, error, Map::new());
        }
        Protocol::AwsQuery => {
            out.header("content-type", "text/xml");
            out.body = wrapped(service, error, request_id);
        }
        Protocol::RestXml if !service.is_s3() => {
            out.header("content-type", "text/xml");
            out.body = wrapped(service, error, request_id);
        }
        Protocol::Ec2Query => {
            out.header("content-type", "text/xml;charset=UTF-8");
            out.body = ec2(error, request_id);
        }
        Protocol::RestXml => {
            out.header("content-type", "application/xml");
            out.body = s3(error, request_id, host_id);
        }
    }
    out.header(request_id_header(service.is_s3()), request_id);
    if service.is_s3() {
        out.header("x-amz-id-2", host_id);
    }
    out
}

/// Details are members of the error's shape; numbers there are numbers here.
fn json(service: &Metadata, error: &AwsError, mut members: Map<String, Value>) -> Vec<u8> {
    members.insert("message".to_owned(), Value::from(error.message.as_str()));
    let shape = service.errors.get(error.code.as_ref()).map(|&index| service.shape(index));
    for (name, text) in &error.details {
        let member = shape.and_then(|shape| shape.structure()?.member(name));
        let number = member
            .filter(|member| matches!(service.shape(member.shape).kind, Kind::Integer | Kind::Long))
            .and_then(|_| text.parse::<i64>().ok());
        let name = member.map_or(&**name, |member| &member.wire);
        members.insert(name.to_owned(), number.map_or_else(|| Value::from(text.as_str()), Value::from));
    }
    Value::Object(members).to_string().into_bytes()
}

fn wrapped(service: &Metadata, error: &AwsError, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    match &service.xml_namespace {
        Some(uri) => writer.open("ErrorResponse", &[("xmlns", uri)]),
        None => writer.open("ErrorResponse", &[]),
    }
    writer.open("Error", &[]);
    writer.leaf("Type", if error.status < 500 { "Sender" } else { "Receiver" });
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    details(&mut writer, error);
    writer.close("Error");
    writer.leaf("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish()
}

fn ec2(error: &AwsError, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::document();
    writer.open("Response", &[]);
    writer.open("Errors", &[]);
    writer.open("Error", &[]);
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    details(&mut writer, error);
    writer.close("Error");
    writer.close("Errors");
    writer.leaf("RequestID", request_id);
    writer.close("Response");
    writer.finish()
}

fn s3(error: &AwsError, request_id: &str, host_id: &str) -> Vec<u8> {
    let mut writer = Writer::document();
    writer.open("Error", &[]);
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    details(&mut writer, error);
    writer.leaf("RequestId", request_id);
    writer.leaf("HostId", host_id);
    writer.close("Error");
    writer.finish()
}

/// Names come from handlers; one that is no element name is left out rather than written as markup.
fn details(writer: &mut Writer, error: &AwsError) {
    for (name, value) in &error.details {
        let mut bytes = name.bytes();
        if bytes.next().is_some_and(|b| b.is_ascii_alphabetic()) && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            writer.leaf(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::load, service};

    fn text(encoded: &Encoded) -> &str {
        std::str::from_utf8(&encoded.body).unwrap()
    }

    #[test]
    fn json_errors() {
        let error = AwsError::validation("a \"b\"").with("Reason", "r");
        let out = encode_error(service("sagemaker").unwrap(), &error, "id-1", "");
        assert_eq!(text(&out), r#"{"__type":"ValidationException","message":"a \"b\"","Reason":"r"}"#);
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amzn-errortype", "ValidationException"), ("x-amzn-requestid", "id-1")];
        assert_eq!(out.headers, headers.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(out.status, 400);

        let error = AwsError::new(424, "ModelError", "m").with("OriginalStatusCode", "500").with("OriginalMessage", "boom");
        let out = encode_error(service("sagemaker-runtime").unwrap(), &error, "id", "");
        assert_eq!(text(&out), r#"{"message":"m","OriginalStatusCode":500,"OriginalMessage":"boom"}"#);
        assert_eq!(out.status, 424);
    }

    #[test]
    fn xml_errors() {
        let error = AwsError::new(409, "EntityAlreadyExists", "Role with name <a> already exists.");
        let out = encode_error(service("iam").unwrap(), &error, "id", "");
        assert_eq!(
            text(&out),
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>EntityAlreadyExists</Code>\
             <Message>Role with name &lt;a&gt; already exists.</Message></Error><RequestId>id</RequestId></ErrorResponse>"
        );
        let out = encode_error(service("iam").unwrap(), &AwsError::internal("secret"), "id", "");
        assert!(text(&out).contains("<Type>Receiver</Type>") && !text(&out).contains("secret"));

        let error = AwsError::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", "a&b").with("x><y", "z");
        let out = encode_error(service("s3").unwrap(), &error, "id", "host");
        assert_eq!(
            text(&out),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>\
             <Key>a&amp;b</Key><RequestId>id</RequestId><HostId>host</HostId></Error>"
        );
        assert!(out.headers.contains(&("x-amz-id-2".to_owned(), "host".to_owned())));

        let ec2 = load(r#"{"service":"ec2","metadata":{"protocol":"ec2","endpointPrefix":"ec2"},"operations":{},"shapes":{}}"#);
        let out = encode_error(&ec2, &AwsError::new(400, "InvalidVpcID.NotFound", "m"), "id", "");
        assert_eq!(
            text(&out),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>m</Message></Error></Errors>\
             <RequestID>id</RequestID></Response>"
        );
    }

    #[test]
    fn headers_cannot_be_split() {
        let error = AwsError::new(400, "A\r\nSet-Cookie: x", "m");
        let out = encode_error(service("sagemaker").unwrap(), &error, "i\nd", "");
        assert!(out.headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
    }
}
