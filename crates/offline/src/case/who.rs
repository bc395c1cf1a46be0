//! Who asks: from a principal's name to the caller that policies see.
//!
//! A case knows less than an instance. A role as principal is some session of that role; a session
//! ARN has no path of the role, so a policy that names the role matches by the role's name; a
//! federated user is taken to belong to the user of the same name.

use tenantry_policy::{Policy, Principal, PrincipalKind};

use super::input::Asker;
use super::keys::Given;

/// The caller, and what binds the documents' principals to it.
#[derive(Debug)]
pub(super) struct Who {
    pub principal: Principal,
    /// Partition, account and name of the role behind a session.
    role: Option<(String, String, String)>,
}

impl Who {
    pub(super) fn new(asker: &Asker, action: &str, given: &Given) -> Result<Self, String> {
        let (kind, name) = match asker {
            Asker::Named(name) => (None, name.as_str()),
            Asker::Typed { kind, name } => (Some(kind.as_str()), name.as_deref().unwrap_or_default()),
        };
        match kind {
            None | Some("AWS") if name.starts_with("arn:") => arn(name, given),
            Some("Anonymous") => Ok(Self::plain(Principal::anonymous())),
            Some("Service") if is_host(name) => Ok(Self::plain(Principal::service(name))),
            Some("Federated") if !name.is_empty() => Ok(Self::plain(Principal::provider(name, name))),
            None if is_host(name) && action.eq_ignore_ascii_case("sts:AssumeRoleWithWebIdentity") => {
                Ok(Self::plain(Principal::provider(name, name)))
            }
            None if is_host(name) => Ok(Self::plain(Principal::service(name))),
            _ => Err(format!(
                "request.principal: `{}` is none of: the ARN of a user, role, role session, federated user, root user or \
                 identity provider, a service's name, {{\"type\": \"Anonymous\"}}",
                kind.map_or_else(|| name.to_owned(), |kind| format!("{kind} {name}"))
            )),
        }
    }

    fn plain(principal: Principal) -> Self {
        Self { principal, role: None }
    }

    /// Binds the role that a document names to this caller, whatever its path.
    pub(super) fn bind(&self, policy: &mut Policy) {
        let Some((partition, account, name)) = &self.role else { return };
        policy.resolve_principals(&|arn| {
            let [_, have_partition, "iam", "", have_account, resource] = six(arn)? else { return None };
            let named = resource.strip_prefix("role/")?.rsplit('/').next()?;
            let same = have_partition == partition && have_account == account && named.eq_ignore_ascii_case(name);
            if same { self.principal.unique_id.clone() } else { None }
        });
    }
}

fn is_host(name: &str) -> bool {
    name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// The six parts of an ARN.
pub(super) fn six(arn: &str) -> Option<[&str; 6]> {
    let mut parts = arn.splitn(6, ':');
    let out = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (out[0] == "arn").then_some(out)
}

fn arn(text: &str, given: &Given) -> Result<Who, String> {
    let refuse = |what: &str| Err(format!("request.principal: `{text}` {what}"));
    let Some([_, partition, service, "", account, resource]) = six(text) else { return refuse("is not a principal's ARN") };
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("has no account of twelve digits");
    }
    if text.contains(['*', '?']) {
        return refuse("names no single principal");
    }
    let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
    let name = rest.rsplit('/').next().unwrap_or_default();
    // `aws:userid` is `AIDA…` for a user, `AROA…:session` for a session.
    let id = given.text("aws:userid").and_then(|id| id.split(':').next().map(str::to_owned));
    let id = id.unwrap_or_else(|| format!("unknown id of {text}"));
    match (service, kind) {
        ("iam", "root") if rest.is_empty() => Ok(Who::plain(Principal { arn: text.to_owned(), ..Principal::root(account) })),
        ("iam", "user") if !name.is_empty() => Ok(Who::plain(Principal::user(account, text, &id))),
        ("iam", "role") if !name.is_empty() => {
            let session = Principal::session(account, text, &id, "");
            let principal = Principal { arn: text.to_owned(), session_name: None, ..session };
            Ok(Who { principal, role: Some((partition.into(), account.into(), name.into())) })
        }
        ("sts", "assumed-role") => {
            let Some((role, session)) = rest.split_once('/').filter(|(role, session)| !role.is_empty() && !session.is_empty()) else {
                return refuse("names no role session: it ends in assumed-role/ROLE/SESSION");
            };
            // The condition key has the role's path, which the session's ARN has lost.
            let known = given.text("aws:PrincipalArn").filter(|arn| arn.contains(":role/") && arn.ends_with(&format!("/{role}")));
            let role_arn = known.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{role}"));
            let principal = Principal { arn: text.to_owned(), ..Principal::session(account, &role_arn, &id, session) };
            Ok(Who { principal, role: Some((partition.into(), account.into(), role.into())) })
        }
        ("sts", "federated-user") if !rest.is_empty() => {
            let user = format!("arn:{partition}:iam::{account}:user/{rest}");
            Ok(Who::plain(Principal { arn: text.to_owned(), ..Principal::federated_user(account, &user, &id, rest) }))
        }
        ("iam", "saml-provider" | "oidc-provider") if !rest.is_empty() => Ok(Who::plain(Principal::provider(text, text))),
        _ => refuse("is not the ARN of a user, role, role session, federated user, root user or identity provider"),
    }
}

/// What `aws:PrincipalType` holds.
pub(super) fn type_name(kind: PrincipalKind) -> Option<&'static str> {
    match kind {
        PrincipalKind::Root => Some("Account"),
        PrincipalKind::User => Some("User"),
        PrincipalKind::AssumedRole => Some("AssumedRole"),
        PrincipalKind::FederatedUser => Some("FederatedUser"),
        PrincipalKind::Anonymous => Some("Anonymous"),
        PrincipalKind::Service | PrincipalKind::Provider => None,
    }
}
