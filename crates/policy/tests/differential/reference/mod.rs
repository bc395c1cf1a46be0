//! A slow evaluator, written from the rules and sharing no code with the crate: it walks the JSON
//! of the documents for every question, expands patterns to symbols and fills in tables.

mod conditions;
mod matching;
mod principals;
mod scalars;

use std::collections::{BTreeMap, BTreeSet};

use principals::{Way, hit_by_deny, ways};
use serde_json::Value as Json;
use tenantry_policy::{Principal, PrincipalKind, Value};

/// Condition keys by their names in lower case.
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
    /// The resource's policy is a role's trust policy.
    pub(crate) trust: bool,
    pub(crate) must_allow: bool,
    pub(crate) endpoint: Option<Json>,
    /// To which ids the names in the resource's policy were bound when it was saved.
    pub(crate) ids: BTreeMap<String, String>,
}

pub(crate) struct Asked<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) owner: Option<&'a str>,
    pub(crate) who: &'a Principal,
    pub(crate) keys: &'a Keys,
    /// Keys with several values of which only one can be meant.
    pub(crate) unclear: &'a BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Allow,
    Implicit,
    Explicit,
}

/// What depends on the kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Identity and session policies and boundaries: short ARNs are filled up.
    Own,
    /// All others: only with a `*` at the end.
    Other,
}

pub(crate) fn decide(asked: &Asked, world: &World) -> Answer {
    if asked.action.to_lowercase() == "sts:getcalleridentity" {
        return Answer::Allow;
    }
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
    let none = BTreeMap::new();

    // 1: a deny anywhere.
    let own: Vec<&Json> = identity.iter().chain(boundary).chain(session.into_iter().flatten()).collect();
    let named: Vec<&Json> = rcp.iter().flatten().chain(&world.endpoint).collect();
    let denied = own.iter().any(|policy| has(policy, "Deny", asked, Place::Own, |_| true))
        || scp.iter().flatten().any(|policy| has(policy, "Deny", asked, Place::Other, |_| true))
        || named.iter().any(|policy| has(policy, "Deny", asked, Place::Other, |s| hit_by_deny(s, who, bounded, &none)))
        || world.resource.iter().any(|policy| has(policy, "Deny", asked, Place::Other, |s| hit_by_deny(s, who, bounded, &world.ids)));
    if denied {
        return Answer::Explicit;
    }
    // 2 to 4: gates.
    let allows = |policies: &[Json], place| policies.iter().any(|policy| has(policy, "Allow", asked, place, |_| true));
    let allows_named =
        |policies: &[Json]| policies.iter().any(|policy| has(policy, "Allow", asked, Place::Other, |s| !ways(s, who, &none).is_empty()));
    if !rcp.iter().all(|level| allows_named(level)) || !scp.iter().all(|level| allows(level, Place::Other)) {
        return Answer::Implicit;
    }
    if world.endpoint.as_ref().is_some_and(|policy| !allows_named(std::slice::from_ref(policy))) {
        return Answer::Implicit;
    }
    // 5: grants.
    let yes = |granted: bool| if granted { Answer::Allow } else { Answer::Implicit };
    let mut how: Vec<Way> = Vec::new();
    for policy in world.resource.iter() {
        for statement in statements(policy) {
            if statement["Effect"] == "Allow" && covers(policy, statement, asked, Place::Other) {
                how.extend(ways(statement, who, &world.ids));
            }
        }
    }
    if !resident {
        return yes(!how.is_empty());
    }
    let i = who.kind == PrincipalKind::Root || allows(identity, Place::Own);
    let b = boundary.is_none_or(|policy| allows(std::slice::from_ref(policy), Place::Own));
    let s = match session {
        None => who.kind != PrincipalKind::FederatedUser,
        Some(policies) => allows(policies, Place::Own),
    };
    if asked.owner.is_some_and(|owner| owner != who.account) {
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
    yes(through || (i && b && s))
}

fn statements(policy: &Json) -> Vec<&Json> {
    match &policy["Statement"] {
        Json::Array(list) => list.iter().collect(),
        single => vec![single],
    }
}

fn has(policy: &Json, effect: &str, asked: &Asked, place: Place, named: impl Fn(&Json) -> bool) -> bool {
    statements(policy)
        .into_iter()
        .any(|statement| statement["Effect"] == effect && named(statement) && covers(policy, statement, asked, place))
}

/// One text or a list of texts; JSON's other scalars are texts too.
fn list(json: &Json) -> Vec<String> {
    match json {
        Json::Array(items) => items.iter().flat_map(list).collect(),
        Json::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn covers(policy: &Json, statement: &Json, asked: &Asked, place: Place) -> bool {
    let current = policy["Version"] == "2012-10-17";
    let action = match (statement.get("Action"), statement.get("NotAction")) {
        (Some(element), _) => list(element).iter().any(|pattern| matching::action(pattern, asked.action)),
        (_, Some(element)) => !list(element).iter().any(|pattern| matching::action(pattern, asked.action)),
        _ => panic!("{statement}"),
    };
    if !action {
        return false;
    }
    let arn = |pattern: &String| matching::arn(pattern, asked.resource, current, place == Place::Own, asked.keys);
    let resource = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(element), _) => list(element).iter().any(|pattern| arn(pattern) == Some(true)),
        (_, Some(element)) => list(element).iter().all(|pattern| arn(pattern) == Some(false)),
        _ => true,
    };
    resource && conditions::hold(statement, current, asked)
}
