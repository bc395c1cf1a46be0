//! An event in CloudTrail's shape ("CloudTrail record contents", AWS CloudTrail User Guide), written straight into its
//! canonical text: the members stand in the order of their names.

use std::borrow::Cow;

use tenantry_core::Result;
use tenantry_store::EventKey;

use super::{Notes, identity, members::Members, names, parameters, read};
use crate::{
    cx::{Caller, Cx, SignedAs},
    operation::Reply,
};

/// The version of the shape.
const VERSION: &str = "1.11";
/// Longer user agents and error texts are cut.
const LONGEST: usize = 1024;

fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The event of a call and what it is found by. Without `outcome` the call has not ended.
pub(super) fn of(cx: &Cx, notes: &Notes, outcome: Option<&Result<Reply>>) -> (String, Vec<EventKey>) {
    let (service, operation) = cx.operation;
    let about = tenantry_wire::service(service);
    let caller = notes.speaker.as_ref().unwrap_or(&cx.caller);
    let for_whom = cx.trail.internal.then(|| identity::acting_service(caller)).flatten();
    let management = names::is_management(service, operation);
    let read_only = names::is_read_only(service, operation);
    let (region, name) = (names::region(about, &cx.region), names::event_name(service, operation));
    let source = names::source(about, service);
    let recipient = recipient(caller, notes);
    let mut text = String::with_capacity(1536);
    Members::write(&mut text, |event| {
        additional(event, cx, notes);
        event.text("awsRegion", region);
        let answer = outcome.map(|outcome| self::outcome(event, cx, outcome));
        event.text("eventCategory", if management { "Management" } else { "Data" }).text("eventID", &cx.trail.id);
        event.text("eventName", name).text("eventSource", &source).text("eventTime", &cx.request.time.iso8601(false));
        event.text("eventType", "AwsApiCall").text("eventVersion", VERSION).flag("managementEvent", management);
        event.flag("readOnly", read_only).text("recipientAccountId", recipient).text("requestID", &cx.request.id);
        event.raw("requestParameters", cx.trail.parameters.get().map_or("null", String::as_str));
        if !notes.resources.is_empty() {
            event.list("resources", &notes.resources, |(arn, account), out| resource(arn, account, out));
        }
        if let Some(answer) = answer {
            event.raw("responseElements", &answer);
        }
        if notes.resources.iter().any(|(_, account)| account != recipient && !account.is_empty()) {
            event.text("sharedEventID", &cx.trail.id);
        }
        event.text("sourceIPAddress", &source_address(cx, for_whom));
        if cx.request.secure && !cx.trail.internal {
            let host = cx.request.headers.get("host").map_or("", String::as_str);
            event.object("tlsDetails", |tls| _ = tls.text("clientProvidedHostHeader", cut(host)));
        }
        event.text("userAgent", cut(for_whom.unwrap_or(&cx.request.user_agent)));
        event.object("userIdentity", |who| identity::write(who, caller, for_whom));
        event.text_if("vpcEndpointId", cx.request.network.as_ref().and_then(|network| network.vpc_endpoint.as_deref()));
    });
    if !management {
        return (text, Vec::new());
    }
    let keys = read::keys(&read::About {
        region,
        name,
        source: &source,
        user: identity::user_name(caller, for_whom),
        access_key: identity::access_key(caller).unwrap_or_default(),
        read_only,
        refused: matches!(outcome, Some(Err(_))),
        recipient,
        resources: &notes.resources,
    });
    (text, keys)
}

/// The addendum of an event that was stored before its call had ended: what it answered.
pub(super) fn addendum(cx: &Cx, outcome: &Result<Reply>) -> String {
    let mut text = String::with_capacity(512);
    Members::write(&mut text, |all| {
        all.object("addendum", |addendum| {
            let (code, message) = error_of(outcome);
            addendum.text_if("errorCode", code).text_if("errorMessage", message).text("eventID", &cx.trail.id);
            addendum.raw("responseElements", &answer(cx, outcome));
        });
    });
    text
}

fn resource(arn: &str, account: &str, out: &mut String) {
    Members::write(out, |one| {
        one.text("ARN", arn).text_if("accountId", Some(account).filter(|account| !account.is_empty()));
        one.text_if("type", names::resource_type(arn).as_deref());
    });
}

/// The account whose event it is: the caller's, or for those who have none the owner's of what they ask for.
fn recipient<'a>(caller: &'a Caller, notes: &'a Notes) -> &'a str {
    if caller.principal.has_account() || !caller.account.as_str().is_empty() {
        return caller.account.as_str();
    }
    notes.resources.first().map_or("", |(_, account)| account.as_str())
}

fn source_address<'a>(cx: &Cx, for_whom: Option<&'a str>) -> Cow<'a, str> {
    if let Some(service) = for_whom {
        return service.into();
    }
    let inside = cx.request.network.as_ref().and_then(|network| network.vpc_source_ip);
    cx.request.source_ip.or(inside).map_or("AWS Internal".into(), |ip| ip.to_string().into())
}

/// How S3 requests were signed, and where refusals are explained.
fn additional(event: &mut Members<'_>, cx: &Cx, notes: &Notes) {
    let signed = cx.operation.0 == "s3" && !cx.trail.internal && !cx.caller.access_key.is_empty();
    if !signed && notes.denials.is_empty() {
        return;
    }
    event.object("additionalEventData", |more| {
        if signed {
            let (version, how) = match cx.request.signed {
                SignedAs::Header => ("SigV4", "AuthHeader"),
                SignedAs::Query => ("SigV4", "QueryString"),
                SignedAs::QueryV2 => ("SigV2", "QueryString"),
                SignedAs::Form(_) => ("SigV4", "HtmlForm"),
                SignedAs::FormV2 => ("SigV2", "HtmlForm"),
            };
            more.text("AuthenticationMethod", how).text("SignatureVersion", version);
        }
        if !notes.denials.is_empty() {
            more.list("explanations", &notes.denials, |row, out| tenantry_store::write_json_text(&row.id, out));
        }
    });
}

/// The code and text of the error that a call ended with.
fn error_of(outcome: &Result<Reply>) -> (Option<&str>, Option<&str>) {
    let Err(error) = outcome else { return (None, None) };
    // Behind the code of AWS's JSON protocols the trail has the short one.
    let code = if error.code == "AccessDeniedException" { "AccessDenied" } else { error.code.as_ref() };
    (Some(code), Some(cut(&error.message)))
}

/// Writes the error that a call ended with; what it answered stands further behind.
fn outcome(event: &mut Members<'_>, cx: &Cx, outcome: &Result<Reply>) -> Cow<'static, str> {
    let (code, message) = error_of(outcome);
    event.text_if("errorCode", code).text_if("errorMessage", message);
    answer(cx, outcome)
}

/// The `responseElements`.
fn answer(cx: &Cx, outcome: &Result<Reply>) -> Cow<'static, str> {
    let (service, operation) = cx.operation;
    match outcome {
        Ok(reply) if names::answers_are_kept(service, operation) => {
            let shape = tenantry_wire::service(service).and_then(|s| s.operation(operation));
            shape.map_or("null".into(), |shape| parameters::of_output(shape, &reply.output).into())
        }
        _ => "null".into(),
    }
}
