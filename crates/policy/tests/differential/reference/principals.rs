//! Whom a statement names.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tenantry_policy::{Principal, PrincipalKind};

use super::list;

type Ids = BTreeMap<String, String>;

/// In which way an Allow names the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
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
        other => panic!("{other}"),
    }
}

fn way(kind: &str, name: &str, who: &Principal, ids: &Ids) -> Option<Way> {
    let resident = !who.account.is_empty();
    if kind == "Service" {
        let service = who.kind == PrincipalKind::Service;
        return (service && (name == "*" || who.service_names.iter().any(|own| own == name))).then_some(Way::Everyone);
    }
    if kind == "Federated" {
        return (who.provider.as_deref() == Some(name)).then_some(Way::Everyone);
    }
    if name == "*" {
        return Some(Way::Everyone);
    }
    if resident && (name == who.account || name == format!("arn:aws:iam::{}:root", who.account)) {
        return Some(Way::AccountOnly);
    }
    let behind = if who.kind == PrincipalKind::User { Way::ExactUser } else { Way::BehindSession };
    if name.starts_with("AROA") || name.starts_with("AIDA") {
        return (resident && who.unique_id.as_deref() == Some(name)).then_some(behind);
    }
    if name.contains(":assumed-role/") || name.contains(":federated-user/") {
        let same_role = ids.get(name).is_none_or(|id| who.unique_id.as_ref() == Some(id));
        return (name == who.arn && same_role).then_some(Way::ExactSession);
    }
    // A name that was bound to an id when it was saved means whoever has that id.
    let is = |own: &Option<String>| match ids.get(name) {
        Some(id) => who.unique_id.as_ref() == Some(id),
        None => own.as_deref() == Some(name),
    };
    if name.contains(":role/") {
        return (who.kind == PrincipalKind::AssumedRole && is(&who.role_arn)).then_some(Way::BehindSession);
    }
    if name.contains(":user/") {
        let of_user = matches!(who.kind, PrincipalKind::User | PrincipalKind::FederatedUser);
        return (of_user && is(&who.user_arn)).then_some(behind);
    }
    None
}

pub(super) fn ways(statement: &Json, who: &Principal, ids: &Ids) -> Vec<Way> {
    if let Some(element) = statement.get("Principal") {
        return names(element).iter().filter_map(|(kind, name)| way(kind, name, who, ids)).collect();
    }
    match statement.get("NotPrincipal") {
        Some(element) if names(element).iter().all(|(kind, name)| way(kind, name, who, ids).is_none()) => vec![Way::Everyone],
        _ => vec![],
    }
}

pub(super) fn hit_by_deny(statement: &Json, who: &Principal, bounded: bool, ids: &Ids) -> bool {
    if statement.get("Principal").is_some() {
        return !ways(statement, who, ids).is_empty();
    }
    let Some(element) = statement.get("NotPrincipal") else { return false };
    if bounded {
        return true;
    }
    let listed: Vec<Way> = names(element).iter().filter_map(|(kind, name)| way(kind, name, who, ids)).collect();
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
