//! A slow evaluator, written from the rules and sharing no code with the crate: it walks the JSON
//! of the documents, expands patterns to symbols and compares with recursion.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tenantry_policy::{Principal, PrincipalKind, Value};

pub(crate) type Keys = BTreeMap<String, Value>;

/// Documents by place; the same shape as the crate's layers.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) identity: Vec<Json>,
    pub(crate) boundary: Option<Json>,
    pub(crate) session: Option<Vec<Json>>,
    pub(crate) scp: Vec<Vec<Json>>,
    pub(crate) rcp: Vec<Vec<Json>>,
    pub(crate) resource: Option<Json>,
    pub(crate) must_allow: bool,
    pub(crate) endpoint: Option<Json>,
}

pub(crate) struct Asked<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) who: &'a Principal,
    pub(crate) keys: &'a Keys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Allow,
    Implicit,
    Explicit,
}

pub(crate) fn decide(asked: &Asked, world: &World) -> Answer {
    let who = asked.who;
    let linked = who.role_arn.as_deref().is_some_and(|arn| arn.contains("/aws-service-role/"));
    let resident = !who.account.is_empty();
    let has_identity = resident && who.kind != PrincipalKind::Root;
    let rcp: &[Vec<Json>] = if linked { &[] } else { &world.rcp };
    let scp: &[Vec<Json>] = if linked || !resident { &[] } else { &world.scp };
    let boundary = world.boundary.as_ref().filter(|_| has_identity && !linked);
    let identity: &[Json] = if has_identity { &world.identity } else { &[] };
    let session = world.session.as_ref().filter(|_| has_identity);
    let bounded = world.boundary.is_some() && resident;

    // 1: a deny anywhere.
    let unnamed: Vec<&Json> = scp.iter().flatten().chain(identity).chain(boundary).chain(session.into_iter().flatten()).collect();
    let named: Vec<&Json> = rcp.iter().flatten().chain(&world.resource).chain(&world.endpoint).collect();
    let denied = unnamed.iter().any(|policy| has(policy, "Deny", asked, |_| true))
        || named.iter().any(|policy| has(policy, "Deny", asked, |statement| hit_by_deny(statement, who, bounded)));
    if denied {
        return Answer::Explicit;
    }
    // 2 to 4: gates.
    let allows = |policies: &[Json]| policies.iter().any(|policy| has(policy, "Allow", asked, |_| true));
    let allows_named = |policies: &[Json]| policies.iter().any(|policy| has(policy, "Allow", asked, |s| !ways(s, who).is_empty()));
    if !rcp.iter().all(|level| allows_named(level)) || !scp.iter().all(|level| allows(level)) {
        return Answer::Implicit;
    }
    if world.endpoint.as_ref().is_some_and(|policy| !allows_named(std::slice::from_ref(policy))) {
        return Answer::Implicit;
    }
    // 5: grants.
    let yes = |granted: bool| if granted { Answer::Allow } else { Answer::Implicit };
    let mut how: Vec<Way> = Vec::new();
    for statement in world.resource.iter().flat_map(statements) {
        if statement["Effect"] == "Allow" && covers(world.resource.as_ref().unwrap(), statement, asked) {
            how.extend(ways(statement, who));
        }
    }
    if !resident {
        return yes(!how.is_empty());
    }
    let i = who.kind == PrincipalKind::Root || allows(identity);
    let b = boundary.is_none_or(|policy| allows(std::slice::from_ref(policy)));
    let s = match session {
        None => who.kind != PrincipalKind::FederatedUser,
        Some(policies) => allows(policies),
    };
    if asked.owner != who.account {
        return yes(i && b && s && !how.is_empty());
    }
    if world.must_allow && how.is_empty() {
        return Answer::Implicit;
    }
    let through = how.iter().any(|way| match way {
        Way::Everyone | Way::ExactSession => true,
        Way::ExactUser => s,
        Way::BehindSession => b && s,
        Way::AccountOnly => i && b && s,
    });
    yes(through || (i && b && s && !(world.must_allow && how.is_empty())))
}

fn statements(policy: &Json) -> Vec<&Json> {
    match &policy["Statement"] {
        Json::Array(list) => list.iter().collect(),
        single => vec![single],
    }
}

fn has(policy: &Json, effect: &str, asked: &Asked, named: impl Fn(&Json) -> bool) -> bool {
    statements(policy).iter().any(|statement| statement["Effect"] == effect && covers(policy, statement, asked) && named(statement))
}

fn list(json: &Json) -> Vec<String> {
    match json {
        Json::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        Json::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn covers(policy: &Json, statement: &Json, asked: &Asked) -> bool {
    let current = policy["Version"] == "2012-10-17";
    let action_in = |element: &Json| {
        list(element).iter().any(|pattern| {
            let plain = symbols(&pattern.to_lowercase(), true, false, asked.keys).unwrap();
            like(&plain, &asked.action.to_lowercase().chars().collect::<Vec<_>>())
        })
    };
    let action = if statement.get("Action").is_some() { action_in(&statement["Action"]) } else { !action_in(&statement["NotAction"]) };
    let resource = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(element), _) => list(element).iter().any(|pattern| arn_like(pattern, asked.resource, current, asked.keys) == Some(true)),
        (_, Some(element)) => list(element).iter().all(|pattern| arn_like(pattern, asked.resource, current, asked.keys) == Some(false)),
        _ => true,
    };
    action && resource && conditions(statement, current, asked.keys)
}

/// `None`: a variable has no value.
fn arn_like(pattern: &str, resource: &str, current: bool, keys: &Keys) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let sixth = symbols(parts[5], true, current, keys)?;
    let own: Vec<&str> = resource.splitn(6, ':').collect();
    if own.len() < 6 {
        return Some(false);
    }
    let head = (0..5).all(|at| like(&symbols(parts[at], true, false, keys).unwrap(), &own[at].chars().collect::<Vec<_>>()));
    Some(head && like(&sixth, &own[5].chars().collect::<Vec<_>>()))
}

#[derive(Debug, Clone, PartialEq)]
enum Symbol {
    Run,
    One,
    Is(char),
}

fn symbols(pattern: &str, wild: bool, variables: bool, keys: &Keys) -> Option<Vec<Symbol>> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if variables && chars[at] == '$' && chars.get(at + 1) == Some(&'{') {
            let end = at + chars[at..].iter().position(|c| *c == '}').unwrap();
            let inside: String = chars[at + 2..end].iter().collect();
            at = end + 1;
            if ["*", "?", "$"].contains(&inside.as_str()) {
                out.push(Symbol::Is(inside.chars().next().unwrap()));
                continue;
            }
            let (key, default) = match inside.split_once(", '") {
                Some((key, default)) => (key, Some(default.trim_end_matches('\'').to_owned())),
                None => (inside.as_str(), None),
            };
            let value = match keys.get(&key.to_lowercase()) {
                Some(Value::One(value)) => value.clone(),
                Some(Value::Many(_)) => return None,
                None => default?,
            };
            out.extend(value.chars().map(Symbol::Is));
            continue;
        }
        out.push(match chars[at] {
            '*' if wild => Symbol::Run,
            '?' if wild => Symbol::One,
            c => Symbol::Is(c),
        });
        at += 1;
    }
    Some(out)
}

fn like(pattern: &[Symbol], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(Symbol::Run), _) => like(&pattern[1..], text) || (!text.is_empty() && like(pattern, &text[1..])),
        (Some(_), None) => false,
        (Some(Symbol::One), Some(_)) => like(&pattern[1..], &text[1..]),
        (Some(Symbol::Is(want)), Some(c)) => want == c && like(&pattern[1..], &text[1..]),
    }
}

fn conditions(statement: &Json, current: bool, keys: &Keys) -> bool {
    let Some(block) = statement.get("Condition") else { return true };
    let deny = statement["Effect"] == "Deny";
    block.as_object().unwrap().iter().all(|(operator, tests)| {
        tests.as_object().unwrap().iter().all(|(key, values)| condition(operator, key, &list(values), current, keys, deny))
    })
}

fn condition(operator: &str, key: &str, wants: &[String], current: bool, keys: &Keys, deny: bool) -> bool {
    let value = keys.get(&key.to_lowercase());
    if operator == "Null" {
        return wants.iter().any(|want| (want == "true") == value.is_none());
    }
    let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
    let lenient = rest.ends_with("IfExists");
    let base = rest.trim_end_matches("IfExists");
    let negated = base.contains("Not");
    let positive = base.replace("Not", "");
    let inside = |have: &str| wants.iter().any(|want| equal(&positive, have, want, current, keys));
    let fits = |have: &String| if negated { !inside(have) } else { inside(have) };
    match (set, value) {
        ("", None) => lenient || negated,
        ("", Some(Value::One(have))) => fits(have),
        ("", Some(Value::Many(_))) => deny,
        ("ForAllValues", None) => true,
        ("ForAllValues", Some(Value::One(have))) if have.is_empty() => true,
        ("ForAllValues", Some(Value::One(have))) => fits(have),
        ("ForAllValues", Some(Value::Many(haves))) => !haves.iter().any(|have| !fits(have)),
        ("ForAnyValue", None) => lenient,
        ("ForAnyValue", Some(Value::One(have))) => fits(have),
        ("ForAnyValue", Some(Value::Many(haves))) => haves.iter().any(fits),
        _ => panic!("{operator}"),
    }
}

fn equal(positive: &str, have: &str, want: &str, current: bool, keys: &Keys) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    let expand = |wild: bool| symbols(want, wild, current, keys);
    match positive {
        "StringEquals" => expand(false).is_some_and(|pattern| like(&pattern, &chars(have))),
        "StringEqualsIgnoreCase" => symbols(want, false, current, keys).is_some_and(|pattern| {
            let text: String = pattern.iter().map(|symbol| if let Symbol::Is(c) = symbol { *c } else { '\0' }).collect();
            text.to_lowercase() == have.to_lowercase()
        }),
        "StringLike" => expand(true).is_some_and(|pattern| like(&pattern, &chars(have))),
        "Bool" => match expand(false) {
            Some(pattern) => {
                let text: String = pattern.iter().map(|symbol| if let Symbol::Is(c) = symbol { *c } else { '\0' }).collect();
                ["true", "false"].contains(&have.to_lowercase().as_str()) && text.to_lowercase() == have.to_lowercase()
            }
            None => false,
        },
        "ArnEquals" | "ArnLike" => {
            let (wants, haves): (Vec<&str>, Vec<&str>) = (want.splitn(6, ':').collect(), have.splitn(6, ':').collect());
            wants.len() == 6
                && haves.len() == 6
                && haves[0] == "arn"
                && (0..6).all(|at| symbols(wants[at], true, current, keys).is_some_and(|pattern| like(&pattern, &chars(haves[at]))))
        }
        "IpAddress" => ip(have, want),
        numeric if numeric.starts_with("Numeric") => match (have.parse::<f64>(), want.parse::<f64>()) {
            (Ok(have), Ok(want)) => ordered(numeric.trim_start_matches("Numeric"), have, want),
            _ => false,
        },
        date if date.starts_with("Date") => match (instant(have), instant(want)) {
            (Some(have), Some(want)) => ordered(date.trim_start_matches("Date"), have, want),
            _ => false,
        },
        other => panic!("{other}"),
    }
}

fn ordered(relation: &str, have: f64, want: f64) -> bool {
    match relation {
        "Equals" => have == want,
        "LessThan" => have < want,
        "LessThanEquals" => have <= want,
        "GreaterThan" => have > want,
        "GreaterThanEquals" => have >= want,
        other => panic!("{other}"),
    }
}

/// The few dates that the generator writes.
fn instant(text: &str) -> Option<f64> {
    match text {
        "2024-01-01T00:00:00Z" | "1704067200" | "2024-01-01" | "2024-01-01T01:00:00+01:00" => Some(1_704_067_200.0),
        "2024-06-01T12:00:00Z" => Some(1_717_243_200.0),
        _ => None,
    }
}

fn ip(have: &str, want: &str) -> bool {
    let bits = |text: &str| -> Option<u32> {
        let parts: Vec<u32> = text.split('.').map(|part| part.parse::<u8>().ok().map(u32::from)).collect::<Option<_>>()?;
        (parts.len() == 4).then(|| parts.iter().fold(0, |sum, part| sum * 256 + part))
    };
    let (base, len) = want.split_once('/').unwrap_or((want, "32"));
    match (bits(have), bits(base), len.parse::<u32>()) {
        (Some(have), Some(base), Ok(len)) => (0..len).all(|at| (have >> (31 - at)) & 1 == (base >> (31 - at)) & 1),
        _ => false,
    }
}

/// In which way an Allow names the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Everyone,
    ExactSession,
    ExactUser,
    /// The role behind the session, or the user behind the federated session.
    BehindSession,
    AccountOnly,
}

fn names(element: &Json) -> Vec<(String, String)> {
    match element {
        Json::String(text) => vec![("AWS".to_owned(), text.clone())],
        Json::Object(kinds) => {
            kinds.iter().flat_map(|(kind, values)| list(values).into_iter().map(move |value| (kind.clone(), value))).collect()
        }
        _ => vec![],
    }
}

fn way(kind: &str, name: &str, who: &Principal) -> Option<Way> {
    if kind == "Service" {
        return who.service_names.contains(&name.to_owned()).then_some(Way::Everyone);
    }
    if name == "*" {
        return Some(Way::Everyone);
    }
    if !who.account.is_empty() && (name == who.account || name == format!("arn:aws:iam::{}:root", who.account)) {
        return Some(Way::AccountOnly);
    }
    if name.contains(":assumed-role/") || name.contains(":federated-user/") {
        return (name == who.arn).then_some(Way::ExactSession);
    }
    if name.contains(":role/") {
        return (who.role_arn.as_deref() == Some(name)).then_some(Way::BehindSession);
    }
    if name.contains(":user/") && who.user_arn.as_deref() == Some(name) {
        return Some(if who.kind == PrincipalKind::User { Way::ExactUser } else { Way::BehindSession });
    }
    None
}

fn ways(statement: &Json, who: &Principal) -> Vec<Way> {
    if let Some(element) = statement.get("Principal") {
        return names(element).iter().filter_map(|(kind, name)| way(kind, name, who)).collect();
    }
    match statement.get("NotPrincipal") {
        Some(element) if names(element).iter().all(|(kind, name)| way(kind, name, who).is_none()) => vec![Way::Everyone],
        _ => vec![],
    }
}

fn hit_by_deny(statement: &Json, who: &Principal, bounded: bool) -> bool {
    if statement.get("Principal").is_some() {
        return !ways(statement, who).is_empty();
    }
    let Some(element) = statement.get("NotPrincipal") else { return false };
    if bounded {
        return true;
    }
    let listed: Vec<Way> = names(element).iter().filter_map(|(kind, name)| way(kind, name, who)).collect();
    if names(element).iter().any(|(kind, name)| kind == "AWS" && name == "*") {
        return false;
    }
    let account = listed.contains(&Way::AccountOnly);
    let itself = listed.iter().any(|way| *way != Way::AccountOnly);
    match who.kind {
        PrincipalKind::Root => !account,
        PrincipalKind::User | PrincipalKind::AssumedRole | PrincipalKind::FederatedUser => !(account && itself),
        _ => !itself,
    }
}
