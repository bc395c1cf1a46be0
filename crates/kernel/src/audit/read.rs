//! Finding events again: the keys that they are stored under, and an event with what was added to it.

use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_store::{Event, EventKey, EventsBy, Store};

/// More addenda than a millisecond has.
const MOST_ADDENDA: usize = 10_000;

/// What management events can be looked up by ("LookupAttribute", AWS CloudTrail API Reference). An event's id
/// needs no key, and what is read-only only where it is not: nearly all events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// All of the account and region.
    All,
    /// `eventName`.
    EventName,
    /// `eventSource`.
    EventSource,
    /// The user's name, or the session's.
    Username,
    /// The key that signed.
    AccessKeyId,
    /// Of events that are not read-only; the value is empty.
    Changes,
    /// `AWS::S3::Bucket`.
    ResourceType,
    /// A resource's ARN, or what stands behind its last slash.
    ResourceName,
}

/// The key of management events of an account and region with this value.
#[must_use]
pub fn lookup_key(account: &str, region: &str, attribute: Attribute, value: &str) -> EventKey {
    let name = match attribute {
        Attribute::All => "all",
        Attribute::EventName => "name",
        Attribute::EventSource => "source",
        Attribute::Username => "user",
        Attribute::AccessKeyId => "key",
        Attribute::Changes => "changes",
        Attribute::ResourceType => "type",
        Attribute::ResourceName => "resource",
    };
    EventKey::of(&["event", account, region, name, value])
}

/// The key of addenda; their instants are their events'.
pub(super) fn addenda() -> EventKey {
    EventKey::of(&["addendum"])
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name that LookupEvents shows and finds a caller by.
#[must_use]
pub fn user_name(event: &Value) -> &str {
    let identity = &event["userIdentity"];
    match text(identity, "/type") {
        "Root" => "root",
        "AssumedRole" | "FederatedUser" => text(identity, "/arn").rsplit('/').next().unwrap_or_default(),
        "AWSService" => text(identity, "/invokedBy"),
        _ => text(identity, "/userName"),
    }
}

/// What the keys of a management event are made from.
pub(super) struct About<'a> {
    pub(super) region: &'a str,
    pub(super) name: &'a str,
    pub(super) source: &'a str,
    pub(super) user: &'a str,
    pub(super) access_key: &'a str,
    pub(super) read_only: bool,
    pub(super) refused: bool,
    pub(super) recipient: &'a str,
    /// ARNs and accounts.
    pub(super) resources: &'a [(String, String)],
}

/// The accounts that may see an event: its recipient, and the owners of what it is about.
fn accounts<'a>(about: &About<'a>) -> Vec<&'a str> {
    let mut all = vec![about.recipient];
    // Whoever is refused tells nobody but themselves: else anyone could write into another's history.
    if !about.refused {
        all.extend(about.resources.iter().map(|(_, account)| account.as_str()));
    }
    all.retain(|account| !account.is_empty());
    all.sort_unstable();
    all.dedup();
    all
}

/// The keys of a management event. Data events have none, as on AWS: trails deliver them.
pub(super) fn keys(about: &About<'_>) -> Vec<EventKey> {
    let mut keys = Vec::with_capacity(8);
    for account in accounts(about) {
        let mut add = |attribute, value: &str| keys.push(lookup_key(account, about.region, attribute, value));
        add(Attribute::All, "");
        add(Attribute::EventName, about.name);
        add(Attribute::EventSource, about.source);
        for (attribute, value) in [(Attribute::Username, about.user), (Attribute::AccessKeyId, about.access_key)] {
            if !value.is_empty() {
                add(attribute, value);
            }
        }
        if !about.read_only {
            add(Attribute::Changes, "");
        }
        for (arn, _) in about.resources {
            add(Attribute::ResourceName, arn);
            add(Attribute::ResourceName, short_name(arn));
            if let Some(of_type) = super::resource_type(arn) {
                add(Attribute::ResourceType, &of_type);
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The keys as an event itself tells them, to compare.
pub(super) fn keys_of(event: &Value) -> Vec<EventKey> {
    if event["managementEvent"] != Value::Bool(true) {
        return Vec::new();
    }
    let resources: Vec<(String, String)> = event["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|resource| (text(resource, "/ARN").to_owned(), text(resource, "/accountId").to_owned()))
        .collect();
    keys(&About {
        region: text(event, "/awsRegion"),
        name: text(event, "/eventName"),
        source: text(event, "/eventSource"),
        user: user_name(event),
        access_key: text(event, "/userIdentity/accessKeyId"),
        read_only: event["readOnly"] == Value::Bool(true),
        refused: event.get("errorCode").is_some(),
        recipient: text(event, "/recipientAccountId"),
        resources: &resources,
    })
}

/// A resource's name: what stands behind the last slash of its ARN, or behind its last colon. Of S3's and of log
/// groups it is all of it, as their names have slashes.
#[must_use]
pub fn short_name(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    if arn.starts_with("arn:aws:s3:") {
        return resource;
    }
    if let Some(group) = resource.strip_prefix("log-group:") {
        return group.split(':').next().unwrap_or(group);
    }
    resource.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or(resource)
}

/// An event as it is told: with what its call answered. `None` for what is no event of a call (addenda, checkpoints).
/// `complete` in the answer says whether the call has ended: one that changed something has its event before.
///
/// # Errors
/// When the store fails, or holds what is no event.
pub async fn complete(store: &dyn Store, event: &Event) -> Result<Option<(Value, bool)>> {
    let mut whole = event.json()?;
    let id = text(&whole, "/eventID").to_owned();
    if id.is_empty() {
        return Ok(None);
    }
    if whole.get("responseElements").is_some() {
        return Ok(Some((whole, true)));
    }
    let query = EventsBy { key: addenda(), from: Some(event.time), until: Some(event.time), before: None, limit: MOST_ADDENDA };
    for addendum in store.events_by(&query).await? {
        let addendum = addendum.json()?;
        if text(&addendum, "/addendum/eventID") == id {
            for name in ["responseElements", "errorCode", "errorMessage"] {
                if let Some(value) = addendum["addendum"].get(name) {
                    whole[name] = value.clone();
                }
            }
            return Ok(Some((whole, true)));
        }
    }
    whole["responseElements"] = Value::Null;
    Ok(Some((whole, false)))
}

/// The event as `account` may see it: the owner of what was asked for learns of a caller of another account
/// which account and principal it is, and not what the caller was answered.
#[must_use]
pub fn seen_by(mut event: Value, account: &str) -> Value {
    if text(&event, "/recipientAccountId") == account {
        return event;
    }
    let identity = &event["userIdentity"];
    if !text(identity, "/accountId").is_empty() && text(identity, "/type") != "AWSService" {
        event["userIdentity"] = json!({ "type": "AWSAccount", "principalId": identity["principalId"], "accountId": identity["accountId"] });
    }
    event["recipientAccountId"] = json!(account);
    event["responseElements"] = Value::Null;
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        for (arn, expected) in [
            ("arn:aws:iam::1:role/path/R", "R"),
            ("arn:aws:s3:::b/a/key", "b/a/key"),
            ("arn:aws:logs:us-east-1:1:log-group:/aws/sagemaker/TrainingJobs:log-stream:x/y", "/aws/sagemaker/TrainingJobs"),
            ("arn:aws:logs:us-east-1:1:log-group:g:log-stream:", "g"),
            ("arn:aws:sagemaker:us-east-1:1:pipeline/p", "p"),
            ("arn:aws:iam::1:root", "root"),
            ("no arn", "no arn"),
        ] {
            assert_eq!(short_name(arn), expected, "{arn}");
        }
    }
}
