//! An event in CloudTrail's shape ("CloudTrail record contents", AWS CloudTrail User Guide).

use serde_json::{Map, Value, json};
use tenantry_core::Result;

use super::{Notes, identity, names, parameters};
use crate::{
    cx::{Caller, Cx, SignedAs},
    operation::Reply,
};

/// The version of the shape.
const VERSION: &str = "1.11";
/// Longer user agents and error texts are cut.
const LONGEST: usize = 1024;

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The event of a call, but for what it answered.
pub(super) fn of(cx: &Cx, notes: &Notes) -> Value {
    let (service, operation) = cx.operation;
    let about = tenantry_wire::service(service);
    let caller = notes.speaker.as_ref().unwrap_or(&cx.caller);
    let management = names::is_management(service, operation);
    let for_whom = cx.trail.internal.then(|| identity::acting_service(caller)).flatten();
    let mut event = Map::with_capacity(28);
    let mut set = |name: &str, value: Value| _ = event.insert(name.to_owned(), value);
    set("eventVersion", json!(VERSION));
    set("userIdentity", identity::of(caller, for_whom));
    set("eventTime", json!(cx.request.time.iso8601(false)));
    set("eventSource", json!(names::source(about, service)));
    set("eventName", json!(names::event_name(service, operation)));
    set("awsRegion", json!(names::region(about, &cx.region)));
    set("sourceIPAddress", json!(source_address(cx, for_whom)));
    set("userAgent", json!(cut(for_whom.unwrap_or(&cx.request.user_agent))));
    set("requestParameters", cx.trail.parameters.get().cloned().unwrap_or(Value::Null));
    set("requestID", json!(cx.request.id));
    set("eventID", json!(cx.trail.id));
    set("readOnly", json!(names::is_read_only(service, operation)));
    set("eventType", json!("AwsApiCall"));
    set("managementEvent", json!(management));
    set("eventCategory", json!(if management { "Management" } else { "Data" }));
    let recipient = recipient(caller, notes);
    if !notes.resources.is_empty() {
        let resource = |(arn, account): &(String, String)| {
            let mut one = json!({ "ARN": arn });
            if !account.is_empty() {
                one["accountId"] = json!(account);
            }
            if let Some(of_type) = names::resource_type(arn) {
                one["type"] = json!(of_type);
            }
            one
        };
        set("resources", notes.resources.iter().map(resource).collect());
    }
    if notes.resources.iter().any(|(_, account)| *account != recipient && !account.is_empty()) {
        set("sharedEventID", json!(cx.trail.id));
    }
    set("recipientAccountId", json!(recipient));
    if let Some(endpoint) = cx.request.network.as_ref().and_then(|network| network.vpc_endpoint.as_ref()) {
        set("vpcEndpointId", json!(endpoint));
    }
    if cx.request.secure && !cx.trail.internal {
        let host = cx.request.headers.get("host").map_or("", String::as_str);
        set("tlsDetails", json!({ "clientProvidedHostHeader": cut(host) }));
    }
    if let Some(more) = additional(cx, notes) {
        set("additionalEventData", more);
    }
    Value::Object(event)
}

/// The account whose event it is: the caller's, or for those who have none the owner's of what they ask for.
fn recipient(caller: &Caller, notes: &Notes) -> String {
    if caller.principal.has_account() || !caller.account.as_str().is_empty() {
        return caller.account.to_string();
    }
    notes.resources.first().map(|(_, account)| account.clone()).unwrap_or_default()
}

fn source_address(cx: &Cx, for_whom: Option<&str>) -> String {
    if let Some(service) = for_whom {
        return service.to_owned();
    }
    let inside = cx.request.network.as_ref().and_then(|network| network.vpc_source_ip);
    cx.request.source_ip.or(inside).map_or_else(|| "AWS Internal".to_owned(), |ip| ip.to_string())
}

/// How S3 requests were signed, and where refusals are explained.
fn additional(cx: &Cx, notes: &Notes) -> Option<Value> {
    let mut more = Map::new();
    if cx.operation.0 == "s3" && !cx.trail.internal && !cx.caller.access_key.is_empty() {
        let (version, how) = match cx.request.signed {
            SignedAs::Header => ("SigV4", "AuthHeader"),
            SignedAs::Query => ("SigV4", "QueryString"),
            SignedAs::QueryV2 => ("SigV2", "QueryString"),
            SignedAs::Form(_) => ("SigV4", "HtmlForm"),
            SignedAs::FormV2 => ("SigV2", "HtmlForm"),
        };
        more.insert("SignatureVersion".to_owned(), json!(version));
        more.insert("AuthenticationMethod".to_owned(), json!(how));
    }
    let explained: Vec<&str> = notes.denials.iter().map(|row| row.id.as_str()).collect();
    if !explained.is_empty() {
        more.insert("explanations".to_owned(), json!(explained));
    }
    (!more.is_empty()).then_some(Value::Object(more))
}

/// Adds what a call answered, or the error that it ended with.
pub(super) fn add_outcome(event: &mut Value, cx: &Cx, outcome: &Result<Reply>) {
    let (service, operation) = cx.operation;
    match outcome {
        Ok(reply) => {
            let shape = tenantry_wire::service(service).and_then(|s| s.operation(operation));
            let answers = names::answers_are_kept(service, operation);
            event["responseElements"] = shape.filter(|_| answers).map_or(Value::Null, |shape| parameters::of_output(shape, &reply.output));
        }
        Err(error) => {
            event["responseElements"] = Value::Null;
            // Behind the code of AWS's JSON protocols the trail has the short one.
            let code = if error.code == "AccessDeniedException" { "AccessDenied" } else { error.code.as_ref() };
            event["errorCode"] = json!(code);
            event["errorMessage"] = json!(cut(&error.message));
        }
    }
}
