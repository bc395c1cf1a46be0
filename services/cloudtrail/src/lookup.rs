//! LookupEvents: management events of the caller's account and region, newest first
//! ("LookupEvents", AWS CloudTrail API Reference).
//!
//! Every attribute has an index, but for two: an event's id says when it was, and what is read-only is
//! nearly everything. A page looks at a bounded number of events; one that is cut short has a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Permit, Reply,
    audit::{Attribute, complete, lookup_key, seen_by, short_name, user_name},
};
use tenantry_store::{Event, EventsBy};

use crate::{error, operation::operation};

operation!(LookupEvents, ["*"] + [] and [], Input, resolve, handle);

/// Events of a page, and what is asked for where nothing is said.
const PAGE: usize = 50;
/// Events that a page looks at.
const LOOKED_AT: usize = 2000;
/// Events that are read at once.
const AT_ONCE: usize = 200;

/// The input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(default)]
    lookup_attributes: Vec<Lookup>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    event_category: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lookup {
    attribute_key: String,
    attribute_value: String,
}

async fn resolve(_: &Cx, action: &'static str, _: &Input) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// What is looked for: the index, the instants, and what must be true of what is found.
struct Question {
    attribute: Attribute,
    /// The value of the index.
    indexed: String,
    key: String,
    value: String,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Question {
    fn of(input: &Input) -> Result<Self> {
        let instant = |seconds: f64| Timestamp::from_millis((seconds * 1000.0) as i64);
        let (from, until) = (input.start_time.map(instant), input.end_time.map(|at| instant(at).plus_millis(999)));
        if let (Some(from), Some(until)) = (from, until)
            && from > until
        {
            return Err(error::bad_range());
        }
        let (key, value) = match &input.lookup_attributes[..] {
            [] => (String::new(), String::new()),
            [one] => (one.attribute_key.clone(), one.attribute_value.clone()),
            _ => return Err(error::bad_attribute("You can only specify one attribute in a single LookupEvents call.")),
        };
        let attribute = match key.as_str() {
            "EventName" => Attribute::EventName,
            "EventSource" => Attribute::EventSource,
            "Username" => Attribute::Username,
            "AccessKeyId" => Attribute::AccessKeyId,
            "ResourceType" => Attribute::ResourceType,
            "ResourceName" => Attribute::ResourceName,
            "ReadOnly" if value == "false" => Attribute::Changes,
            "ReadOnly" if value != "true" => return Err(error::bad_attribute("ReadOnly is true or false.")),
            _ => Attribute::All,
        };
        let plain = matches!(attribute, Attribute::All | Attribute::Changes);
        let indexed = if plain { String::new() } else { value.clone() };
        let mut this = Self { attribute, indexed, key, value, from, until };
        if this.key == "EventId" {
            this.at_its_instant();
        }
        Ok(this)
    }

    /// The first 48 bits of an event's id are its instant.
    fn at_its_instant(&mut self) {
        let digits: String = self.value.chars().filter(|c| *c != '-').take(12).collect();
        let at = Timestamp::from_millis(i64::from_str_radix(&digits, 16).unwrap_or(0));
        self.from = Some(self.from.map_or(at, |from| from.max(at)));
        self.until = Some(self.until.map_or(at, |until| until.min(at)));
    }

    /// Whether what an index found is what is looked for.
    fn is_answered_by(&self, event: &Value) -> bool {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let resources = || event["resources"].as_array().into_iter().flatten();
        match self.key.as_str() {
            "EventId" => text("eventID") == self.value,
            "EventName" => text("eventName") == self.value,
            "EventSource" => text("eventSource") == self.value,
            "ReadOnly" => event["readOnly"].as_bool().map(|read| if read { "true" } else { "false" }) == Some(&self.value),
            "Username" => user_name(event) == self.value,
            "AccessKeyId" => event["userIdentity"]["accessKeyId"] == self.value.as_str(),
            "ResourceType" => resources().any(|resource| resource["type"] == self.value.as_str()),
            "ResourceName" => {
                resources().filter_map(|resource| resource["ARN"].as_str()).any(|arn| arn == self.value || short_name(arn) == self.value)
            }
            _ => true,
        }
    }

    /// What a token must have been made for.
    fn fingerprint(&self, scope: &Scope) -> String {
        use sha2::Digest;
        let text = format!("{}/{}/{}={}/{:?}-{:?}", scope.account, scope.region, self.key, self.value, self.from, self.until);
        let digest = sha2::Sha256::digest(text.as_bytes());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn write_token(event: &Event, fingerprint: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}.{fingerprint}", event.time.millis(), event.seq))
}

fn read_token(token: &str, fingerprint: &str) -> Option<(Timestamp, u64)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let mut parts = text.splitn(3, '.');
    let (time, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next()? == fingerprint).then_some((Timestamp::from_millis(time), seq))
}

async fn handle(cx: &Cx, permit: Permit<LookupEvents>, input: Input) -> Result<Reply> {
    if input.event_category.is_some() {
        return Err(error::bad_category());
    }
    let most = match input.max_results {
        None => PAGE,
        Some(most) => usize::try_from(most).ok().filter(|most| (1..=PAGE).contains(most)).ok_or_else(error::bad_count)?,
    };
    let (scope, question) = (permit.scope(), Question::of(&input)?);
    let fingerprint = question.fingerprint(scope);
    let before = match &input.next_token {
        Some(token) => Some(read_token(token, &fingerprint).ok_or_else(error::bad_token)?),
        None => None,
    };
    let key = lookup_key(scope.account.as_str(), scope.region.as_str(), question.attribute, &question.indexed);
    let mut query = EventsBy { key, from: question.from, until: question.until, before, limit: AT_ONCE };
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let store = cx.kernel.store();
    let next = 'pages: loop {
        let events = store.events_by(&query).await?;
        for event in &events {
            looked_at += 1;
            if let Some((whole, _)) = complete(store, event).await?
                && question.is_answered_by(&whole)
            {
                found.push(told(seen_by(whole, scope.account.as_str())));
            }
            if found.len() == most || looked_at == LOOKED_AT {
                break 'pages Some(write_token(event, &fingerprint));
            }
        }
        match events.last() {
            Some(last) if events.len() == AT_ONCE => query.before = Some((last.time, last.seq)),
            _ => break None,
        }
    };
    let mut out = json!({ "Events": found });
    if let Some(token) = next {
        out["NextToken"] = json!(token);
    }
    Ok(out.into())
}

/// An event as the answer has it.
fn told(event: Value) -> Value {
    let resources: Vec<Value> = event["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|resource| {
            let mut one = json!({ "ResourceName": short_name(resource["ARN"].as_str().unwrap_or_default()) });
            if let Some(of_type) = resource["type"].as_str() {
                one["ResourceType"] = json!(of_type);
            }
            one
        })
        .collect();
    let time = event["eventTime"].as_str().and_then(Timestamp::parse);
    let mut out = json!({
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": event["readOnly"].to_string(),
        "EventTime": time,
        "EventSource": event["eventSource"],
        "Resources": resources,
        "CloudTrailEvent": event.to_string(),
    });
    let user = user_name(&event);
    if !user.is_empty() {
        out["Username"] = json!(user);
    }
    if let Some(key) = event["userIdentity"]["accessKeyId"].as_str() {
        out["AccessKeyId"] = json!(key);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_their_question() {
        let event = Event { seq: 7, time: Timestamp::from_millis(1234), text: String::new(), hash: [0; 32] };
        let token = write_token(&event, "abc");
        assert_eq!(read_token(&token, "abc"), Some((Timestamp::from_millis(1234), 7)));
        for (token, fingerprint) in [(token.as_str(), "abd"), ("", "abc"), ("%%", "abc"), ("MQ", "abc")] {
            assert_eq!(read_token(token, fingerprint), None);
        }
    }

    #[test]
    fn questions() {
        let ask = |input: Value| Question::of(&serde_json::from_value(input).unwrap());
        let lookup = |key: &str, value: &str| json!({"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}]});
        assert_eq!(ask(lookup("ReadOnly", "false")).unwrap().attribute, Attribute::Changes);
        assert_eq!(ask(lookup("ReadOnly", "true")).unwrap().attribute, Attribute::All);
        assert!(ask(lookup("ReadOnly", "perhaps")).is_err());
        let by_id = ask(lookup("EventId", "0000019a-0001-7abc-8000-000000000000")).unwrap();
        assert_eq!((by_id.from, by_id.until), (Some(Timestamp::from_millis(0x019a_0001)), Some(Timestamp::from_millis(0x019a_0001))));
        assert_eq!(ask(json!({"StartTime": 2, "EndTime": 1})).err().unwrap().code, "InvalidTimeRangeException");
        let two = json!({"AttributeKey": "EventName", "AttributeValue": "x"});
        assert_eq!(ask(json!({"LookupAttributes": [two, two]})).err().unwrap().code, "InvalidLookupAttributesException");
    }
}
