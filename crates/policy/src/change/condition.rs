//! Which other value of a condition key would make a condition hold, or stop holding.

use crate::condition::Clause;
use crate::context::{Context, Value};
use crate::explain::resolve::{Part, parts, resolved, value};
use crate::statement::Effect;

use super::{Change, ChangeKind};

/// A condition key set to a value, or taken away.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub key: String,
    pub value: Option<Value>,
}

/// Values tried for one condition.
const TRIALS: usize = 24;
/// Where a value that fills a variable may end.
const SEPARATORS: [char; 6] = ['/', ':', '-', '_', '.', '*'];

/// What would make a condition hold (`want`) or not, at most a few of each way: verified by the condition itself.
pub(super) fn settings(clause: &Clause, effect: Effect, want: bool, context: &Context, variables: bool) -> Vec<Setting> {
    let key = clause.key_text.to_string();
    let mut trials = vec![];
    let actual = clause.actual(context);
    let fill = |text: &str| resolved(text, variables, context).map(|text| example(&text));
    // `Null` asks for no value.
    let operands = if clause.operator_text.eq_ignore_ascii_case("null") { &[][..] } else { &clause.texts[..] };
    for text in operands.iter().take(TRIALS) {
        let Some(text) = fill(text) else { continue };
        for text in [text.clone(), step(&text, 1), step(&text, -1), step(&text, 86_400)] {
            trials.push(Setting { key: key.clone(), value: Some(Value::One(text.clone())) });
            let mut list = actual.as_ref().map_or_else(Vec::new, |actual| actual.as_slice().to_vec());
            if !list.contains(&text) {
                list.push(text);
            }
            trials.push(Setting { key: key.clone(), value: Some(Value::Many(list)) });
        }
    }
    if let Some(Value::Many(list)) = &actual {
        let alone = |text: &String| {
            let mut one = context.clone();
            one.set_list(&key, [text.as_str()]);
            clause.holds(&one, effect) == want
        };
        trials.push(Setting { key: key.clone(), value: Some(Value::Many(list.iter().filter(|text| alone(text)).cloned().collect())) });
    }
    let words: &[&str] = if operands.is_empty() { &[] } else { &["true", "false"] };
    for other in words {
        trials.push(Setting { key: key.clone(), value: Some(Value::One((*other).to_owned())) });
    }
    trials.push(Setting { key: key.clone(), value: None });
    trials.push(Setting { key: key.clone(), value: Some(Value::One("value".to_owned())) });
    if let (true, Some(Value::One(actual))) = (variables, &actual) {
        trials.extend(clause.texts.iter().take(TRIALS).flat_map(|text| fillings(text, actual, context)));
    }
    let list = multivalued(&key) || matches!(actual, Some(Value::Many(_)));
    let mut found: Vec<Setting> = Vec::new();
    for trial in trials {
        // A key holds one value or a list by its nature, whatever the condition asks of it.
        let fits = trial.key != key || trial.value.as_ref().is_none_or(|value| matches!(value, Value::Many(_)) == list);
        let changes = fits && trial.value != context.get(&trial.key) && !found.contains(&trial);
        if changes && clause.holds(&trial.applied(context), effect) == want {
            found.push(trial);
        }
    }
    found.truncate(4);
    found
}

/// Global keys that hold lists; a service's own is known by its value.
fn multivalued(key: &str) -> bool {
    matches!(key.to_ascii_lowercase().as_str(), "aws:tagkeys" | "aws:calledvia" | "sts:transitivetagkeys")
}

impl Setting {
    pub(super) fn applied(&self, context: &Context) -> Context {
        let mut context = context.clone();
        match &self.value {
            Some(Value::One(value)) => _ = context.set(&self.key, value.as_str()),
            Some(Value::Many(values)) => _ = context.set_list(&self.key, values.iter().map(String::as_str)),
            None => _ = context.remove(&self.key),
        }
        context
    }

    /// How much it takes and what kind of change it is; `None` where nobody can change it.
    pub(super) fn change(&self, context: &Context, principal: &crate::caller::Principal) -> Option<(u32, Change)> {
        let before = context.get(&self.key).map(|value| value.as_slice().to_vec());
        let after = self.value.as_ref().map(|value| value.as_slice().to_vec());
        let missing = before.is_none();
        let name = self.key.to_ascii_lowercase();
        let (prefix, rest) = name.split_once(':')?;
        let session = matches!(principal.kind, crate::caller::PrincipalKind::AssumedRole | crate::caller::PrincipalKind::FederatedUser);
        let (kind, cost) = match (prefix, rest) {
            ("aws", tag) if tag.starts_with("principaltag/") => {
                let kind = if session { ChangeKind::Session } else { ChangeKind::TagPrincipal };
                (kind, if missing { 2 } else { 3 })
            }
            (_, tag) if tag.starts_with("resourcetag/") || tag.starts_with("existingobjecttag/") => {
                (ChangeKind::TagResource, if missing { 2 } else { 5 })
            }
            ("aws", tag) if tag.starts_with("requesttag/") || tag == "tagkeys" => (ChangeKind::Request, if missing { 1 } else { 2 }),
            ("aws", "sourceidentity") if session => (ChangeKind::Session, 3),
            ("aws", name) if CIRCUMSTANCES.contains(&name) => (ChangeKind::Circumstance, 6),
            ("aws", _) => return None,
            // What the caller is, or what the resource is, follows from them.
            (_, name) if FACTS.contains(&name) => return None,
            _ => (ChangeKind::Request, if missing { 1 } else { 3 }),
        };
        let now = before.as_ref().map_or("absent".to_owned(), |list| list.join(", "));
        let then = after.as_ref().map_or("absent".to_owned(), |list| list.join(", "));
        let (key, tag) = (&self.key, self.key.split_once('/').map_or("", |(_, tag)| tag));
        let text = match kind {
            ChangeKind::Session if tag.is_empty() => format!("make the session with {key} {then} (it is {now})"),
            ChangeKind::Session => format!("make the session with the tag {tag}={then} (it is {now})"),
            ChangeKind::TagPrincipal => format!("tag {} with {tag}={then} (it is {now})", principal.arn),
            ChangeKind::TagResource => format!("tag the resource with {tag}={then} (it is {now})"),
            ChangeKind::Circumstance => format!("send the request with {key} {then} (it is {now})"),
            _ => format!("send the request with {key} {then} (it is {now})"),
        };
        let change = Change { key: Some(key.clone()), before, after, ..Change::new(kind, text) };
        Some((cost, change))
    }

    /// This setting and what follows from it: a tag is seen under several keys.
    pub(super) fn with_consequences(&self, action: &str, context: &Context) -> Context {
        let mut changed = self.applied(context);
        let name = self.key.to_ascii_lowercase();
        let prefix = action.split(':').next().unwrap_or_default();
        let own = |tag: &str| [format!("aws:ResourceTag/{tag}"), format!("{prefix}:ResourceTag/{tag}")];
        let set = |context: &mut Context, key: &str| match &self.value {
            Some(Value::One(value)) => _ = context.set(key, value.as_str()),
            _ => _ = context.remove(key),
        };
        if let Some(tag) = name.split_once(":resourcetag/").map(|(_, tag)| tag) {
            own(tag).iter().for_each(|key| set(&mut changed, key));
        }
        if let Some((_, tag)) = self.key.split_once('/').filter(|_| name.starts_with("aws:requesttag/")) {
            let mut keys = context.get("aws:TagKeys").map_or_else(Vec::new, |keys| keys.as_slice().to_vec());
            keys.retain(|key| !key.eq_ignore_ascii_case(tag));
            if self.value.is_some() {
                keys.push(tag.to_owned());
            }
            changed.set_list("aws:TagKeys", keys);
        }
        if let (true, Some(keys)) = (name == "aws:tagkeys", &self.value) {
            for tag in keys.as_slice() {
                let key = format!("aws:RequestTag/{tag}");
                if changed.get(&key).is_none() {
                    changed.set(&key, "value");
                }
            }
            let gone: Vec<String> = context
                .iter()
                .filter_map(|(key, _)| key.strip_prefix("aws:requesttag/"))
                .filter(|tag| !keys.as_slice().iter().any(|kept| kept.eq_ignore_ascii_case(tag)))
                .map(|tag| format!("aws:RequestTag/{tag}"))
                .collect();
            gone.iter().for_each(|key| _ = changed.remove(key));
        }
        changed
    }
}

/// Of the global keys those that are about where, when and how a request is sent, in lower case.
const CIRCUMSTANCES: [&str; 13] = [
    "sourceip",
    "vpcsourceip",
    "sourcevpc",
    "sourcevpce",
    "securetransport",
    "currenttime",
    "epochtime",
    "useragent",
    "referer",
    "requestedregion",
    "multifactorauthpresent",
    "multifactorauthage",
    "tokenissuetime",
];

/// Of the services' keys those that follow from who asks.
const FACTS: [&str; 3] = ["resourceaccount", "passedtoservice", "associatedresourcearn"];

/// A value that a pattern matches.
fn example(text: &str) -> String {
    match text.split_once('/') {
        // A network stands for its first address.
        Some((address, bits)) if address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok() => address.to_owned(),
        _ => text.replace(['*', '?'], "1"),
    }
}

/// A number or date that much further on.
fn step(text: &str, by: i64) -> String {
    if let Ok(number) = text.parse::<i64>() {
        return number.saturating_add(by).to_string();
    }
    let year = text.get(..4).and_then(|year| year.parse::<i64>().ok()).filter(|_| text.as_bytes().get(4) == Some(&b'-'));
    match year {
        Some(year) => format!("{:04}{}", year + by.signum(), &text[4..]),
        None => text.to_owned(),
    }
}

/// Values of a variable in `text` that would make it `actual`.
fn fillings(text: &str, actual: &str, context: &Context) -> Vec<Setting> {
    let parts = parts(text);
    let mut found = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let Part::Variable(key, _) = part else { continue };
        // What stands before it, if that is known.
        let before: Option<String> = parts[..at]
            .iter()
            .map(|part| match part {
                Part::Text(text) | Part::Literal(text) => Some(*text),
                Part::Variable(key, default) => value(key, *default, context),
            })
            .collect();
        let rest = match before.as_deref().map(|before| actual.strip_prefix(before)) {
            Some(Some(rest)) => rest,
            // A pattern with wildcards: the value may begin at any part of the text.
            _ => actual,
        };
        let starts = rest.match_indices(SEPARATORS).map(|(at, found)| at + found.len());
        for start in std::iter::once(0).chain(starts).take(TRIALS) {
            let tail = &rest[start..];
            let ends = tail.match_indices(SEPARATORS).map(|(at, _)| at);
            for end in ends.chain([tail.len()]).filter(|end| *end > 0).take(4) {
                found.push(Setting { key: (*key).to_owned(), value: Some(Value::One(tail[..end].to_owned())) });
            }
        }
    }
    found.truncate(TRIALS * 4);
    found
}

/// Values of variables in resource patterns that would make one of them match.
pub(super) fn resource_settings(patterns: &[Box<str>], resource: &str, context: &Context) -> Vec<Setting> {
    let with = patterns.iter().filter(|text| text.contains("${")).take(4);
    with.flat_map(|text| fillings(text, resource, context)).collect()
}
