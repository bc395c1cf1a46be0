//! The `Principal` and `NotPrincipal` elements: which callers a resource policy names, and how far
//! naming them reaches.
//!
//! There are no partial wildcards. A role or user can be bound to its unique id when the document
//! is saved ([`crate::Policy::resolve_principals`]); it then no longer matches a namesake that was
//! created later. Source: "AWS JSON policy elements: Principal", "…: NotPrincipal".

use crate::caller::{Principal, PrincipalKind};
use crate::json::Node;
use crate::malformed::Malformed;

/// A principal as a document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalName {
    /// `"*"` or `{"AWS": "*"}`.
    Everyone,
    /// Twelve digits, written so or as `arn:…:root`.
    Account(String),
    /// `arn:…:iam::…:user/…`
    User(String),
    /// `arn:…:iam::…:role/…`
    Role(String),
    /// `arn:…:sts::…:assumed-role/Role/session`
    Session(String),
    /// `arn:…:sts::…:federated-user/name`
    FederatedUser(String),
    /// `AIDA…` or `AROA…`: what a saved document holds.
    UniqueId(String),
    /// `{"Service": "…"}`; `"*"` is any service.
    Service(String),
    /// `{"Federated": "…"}`
    Provider(String),
}

impl PrincipalName {
    fn parse(kind: &str, text: &str) -> Result<Self, Malformed> {
        let refuse = || Malformed::principal(kind, text);
        let name = match kind {
            "AWS" => aws(text),
            "Service" => {
                let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                (text == "*" || (text.contains('.') && text.bytes().all(host))).then(|| Self::Service(text.to_owned()))
            }
            "Federated" => (!text.is_empty() && !text.contains(['*', '?'])).then(|| Self::Provider(text.to_owned())),
            _ => None,
        };
        name.ok_or_else(refuse)
    }
}

fn twelve(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn aws(text: &str) -> Option<PrincipalName> {
    use PrincipalName as Name;
    if text == "*" {
        return Some(Name::Everyone);
    }
    if twelve(text) {
        return Some(Name::Account(text.to_owned()));
    }
    if (text.starts_with("AIDA") || text.starts_with("AROA")) && text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Some(Name::UniqueId(text.to_owned()));
    }
    let [_, partition, service, "", account, resource] = crate::glob::six(text)? else { return None };
    if text.contains(['*', '?']) || partition.is_empty() || !twelve(account) {
        return None;
    }
    let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
    match (service, kind) {
        ("iam", "root") if resource == "root" => Some(Name::Account(account.to_owned())),
        ("iam", "user") if last_is_named(rest) => Some(Name::User(text.to_owned())),
        ("iam", "role") if last_is_named(rest) => Some(Name::Role(text.to_owned())),
        ("sts", "assumed-role") if rest.split('/').count() == 2 && rest.split('/').all(|part| !part.is_empty()) => {
            Some(Name::Session(text.to_owned()))
        }
        ("sts", "federated-user") if !rest.is_empty() => Some(Name::FederatedUser(text.to_owned())),
        _ => None,
    }
}

fn last_is_named(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| !name.is_empty())
}

/// How much of the caller's other policies an Allow that names it makes unnecessary in the same
/// account, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Names the account: delegates to its identity policies.
    Account,
    /// Names the role, or the user behind a federated session: no identity policy needed.
    Role,
    /// Names the user itself: no identity policy, and no boundary in the way.
    User,
    /// Names the session, everyone, the service: nothing else is asked.
    Direct,
}

/// One name and, once resolved, the id it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: PrincipalName,
    pub unique_id: Option<Box<str>>,
}

impl Entry {
    fn reach(&self, caller: &Principal) -> Option<Reach> {
        use PrincipalKind as Kind;
        let is = |own: &Option<String>, arn: &str| match &self.unique_id {
            Some(id) => caller.unique_id.as_deref() == Some(id),
            None => own.as_deref() == Some(arn),
        };
        let reach = |matched: bool, reach: Reach| matched.then_some(reach);
        let of_user = if caller.kind == Kind::User { Reach::User } else { Reach::Role };
        match &self.name {
            PrincipalName::Everyone => Some(Reach::Direct),
            PrincipalName::Account(id) => reach(caller.has_account() && caller.account == *id, Reach::Account),
            PrincipalName::User(arn) => {
                reach(matches!(caller.kind, Kind::User | Kind::FederatedUser) && is(&caller.user_arn, arn), of_user)
            }
            PrincipalName::Role(arn) => reach(caller.kind == Kind::AssumedRole && is(&caller.role_arn, arn), Reach::Role),
            PrincipalName::UniqueId(id) => reach(caller.has_account() && caller.unique_id.as_deref() == Some(id), of_user),
            PrincipalName::Session(arn) => {
                let same_role = self.unique_id.as_deref().is_none_or(|id| caller.unique_id.as_deref() == Some(id));
                reach(caller.kind == Kind::AssumedRole && caller.arn == *arn && same_role, Reach::Direct)
            }
            PrincipalName::FederatedUser(arn) => reach(caller.kind == Kind::FederatedUser && caller.arn == *arn, Reach::Direct),
            PrincipalName::Service(name) => {
                let named = name == "*" || caller.service_names.iter().any(|own| own == name);
                reach(caller.kind == Kind::Service && named, Reach::Direct)
            }
            PrincipalName::Provider(name) => {
                reach(caller.kind == Kind::Provider && caller.provider.as_deref() == Some(name), Reach::Direct)
            }
        }
    }
}

/// The element as a whole.
#[derive(Debug, Clone)]
pub(crate) enum PrincipalMatch {
    /// Identity and service control policies; elsewhere the statement never applies.
    Absent,
    /// With everyone among those named.
    Everyone(Box<[Entry]>),
    In(Box<[Entry]>),
    NotIn(Box<[Entry]>),
}

impl PrincipalMatch {
    pub(crate) fn compile(node: &Node, negated: bool) -> Result<Self, Malformed> {
        let mut entries = Vec::new();
        let mut add = |name: PrincipalName| entries.push(Entry { name, unique_id: None });
        match node {
            Node::Text(text) if text == "*" => add(PrincipalName::Everyone),
            Node::Text(text) => return Err(Malformed::principal("STAR", text)),
            Node::Map(kinds) => {
                for (kind, values) in kinds {
                    if !matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
                        return Err(Malformed::syntax());
                    }
                    for text in values.texts().ok_or_else(Malformed::syntax)? {
                        add(PrincipalName::parse(kind, text)?);
                    }
                }
            }
            _ => return Err(Malformed::syntax()),
        }
        if entries.is_empty() {
            return Err(Malformed::new("Missing required field Principal cannot be empty!"));
        }
        let everyone = entries.iter().any(|entry| entry.name == PrincipalName::Everyone);
        Ok(match (negated, everyone) {
            (true, _) => Self::NotIn(entries.into()),
            (false, true) => Self::Everyone(entries.into()),
            (false, false) => Self::In(entries.into()),
        })
    }

    /// How far an Allow reaches for `caller`.
    pub(crate) fn allow_reach(&self, caller: &Principal) -> Option<Reach> {
        match self {
            Self::Absent => None,
            Self::Everyone(_) => Some(Reach::Direct),
            Self::In(entries) => entries.iter().filter_map(|entry| entry.reach(caller)).max(),
            // Everyone else, the anonymous included.
            Self::NotIn(entries) => entries.iter().all(|entry| entry.reach(caller).is_none()).then_some(Reach::Direct),
        }
    }

    /// Whether a Deny hits `caller`.
    ///
    /// `NotPrincipal` spares a caller only when the list holds its whole chain: the account and the
    /// user, role or session in it. It never spares a principal with a permissions boundary.
    pub(crate) fn denies(&self, caller: &Principal, bounded: bool) -> bool {
        match self {
            Self::Absent => false,
            Self::Everyone(_) => true,
            Self::In(entries) => entries.iter().any(|entry| entry.reach(caller).is_some()),
            Self::NotIn(entries) => {
                let account = entries.iter().any(|entry| matches!(entry.reach(caller), Some(Reach::Account)));
                let itself = entries.iter().any(|entry| entry.reach(caller).is_some_and(|reach| reach > Reach::Account));
                let everyone = entries.iter().any(|entry| entry.name == PrincipalName::Everyone);
                let spared = match caller.kind {
                    PrincipalKind::Root => account,
                    _ if caller.has_account() => account && itself,
                    _ => itself,
                };
                !(everyone || spared) || (bounded && caller.has_account())
            }
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::Absent => &[],
            Self::Everyone(entries) | Self::In(entries) | Self::NotIn(entries) => entries,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::Absent => &mut [],
            Self::Everyone(entries) | Self::In(entries) | Self::NotIn(entries) => entries,
        }
    }
}
