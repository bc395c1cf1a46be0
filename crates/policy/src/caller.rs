//! Who makes the request.

use serde::{Deserialize, Serialize};

use crate::glob::six;

/// The kinds of caller that policies tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// The root user of an account.
    Root,
    /// An IAM user with long-term or session-token credentials.
    User,
    /// A session of a role.
    AssumedRole,
    /// A session of `GetFederationToken`.
    FederatedUser,
    /// An AWS service acting for itself.
    Service,
    /// Somebody whom a SAML or OpenID Connect provider vouches for, before the role is assumed.
    Provider,
    /// No credentials at all.
    Anonymous,
}

/// The caller, by every name a policy may use for it.
///
/// Build it with the constructors: a field that its kind needs and that is missing only ever makes
/// fewer principals match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// What it is.
    pub kind: PrincipalKind,
    /// Twelve digits; empty for services, providers and the anonymous.
    pub account: String,
    /// As in `GetCallerIdentity` and in denial messages: for sessions the session ARN.
    pub arn: String,
    /// The role behind a session, with its path.
    pub role_arn: Option<String>,
    /// The user behind a federated session, or the user itself, with its path.
    pub user_arn: Option<String>,
    /// `AIDA…` of the user or `AROA…` of the role behind the session.
    pub unique_id: Option<String>,
    /// The last part of the session ARN.
    pub session_name: Option<String>,
    /// `logs.amazonaws.com`, and the regional names the service answers to.
    pub service_names: Vec<String>,
    /// The provider's ARN (SAML, OpenID Connect) or host name.
    pub provider: Option<String>,
}

impl Principal {
    fn bare(kind: PrincipalKind, account: &str, arn: String) -> Self {
        Self {
            kind,
            account: account.to_owned(),
            arn,
            role_arn: None,
            user_arn: None,
            unique_id: None,
            session_name: None,
            service_names: Vec::new(),
            provider: None,
        }
    }

    /// The root user of `account`.
    #[must_use]
    pub fn root(account: &str) -> Self {
        Self::bare(PrincipalKind::Root, account, format!("arn:aws:iam::{account}:root"))
    }

    /// The IAM user `arn` (with its path), `id` is its `AIDA…`.
    #[must_use]
    pub fn user(account: &str, arn: &str, id: &str) -> Self {
        let bare = Self::bare(PrincipalKind::User, account, arn.to_owned());
        Self { user_arn: Some(arn.to_owned()), unique_id: Some(id.to_owned()), ..bare }
    }

    /// The session `name` of the role `role_arn` (with its path), `id` is the role's `AROA…`.
    /// The session ARN has the role's name without its path.
    #[must_use]
    pub fn session(account: &str, role_arn: &str, id: &str, name: &str) -> Self {
        let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
        let bare = Self::bare(PrincipalKind::AssumedRole, account, format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"));
        Self { role_arn: Some(role_arn.to_owned()), unique_id: Some(id.to_owned()), session_name: Some(name.to_owned()), ..bare }
    }

    /// The federated session `name` of the user `user_arn`, `id` is the user's `AIDA…`.
    #[must_use]
    pub fn federated_user(account: &str, user_arn: &str, id: &str, name: &str) -> Self {
        let bare = Self::bare(PrincipalKind::FederatedUser, account, format!("arn:aws:sts::{account}:federated-user/{name}"));
        Self { user_arn: Some(user_arn.to_owned()), unique_id: Some(id.to_owned()), session_name: Some(name.to_owned()), ..bare }
    }

    /// The service principal `name` (`sagemaker.amazonaws.com`).
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self { service_names: vec![name.to_owned()], ..Self::bare(PrincipalKind::Service, "", name.to_owned()) }
    }

    /// Somebody vouched for by `provider` (its ARN), shown as `arn` in messages.
    #[must_use]
    pub fn provider(provider: &str, arn: &str) -> Self {
        Self { provider: Some(provider.to_owned()), ..Self::bare(PrincipalKind::Provider, "", arn.to_owned()) }
    }

    /// A request without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::bare(PrincipalKind::Anonymous, "", "anonymous".to_owned())
    }

    /// True for principals that live in an account and so have identity policies and an
    /// organization above them.
    #[must_use]
    pub fn has_account(&self) -> bool {
        matches!(self.kind, PrincipalKind::Root | PrincipalKind::User | PrincipalKind::AssumedRole | PrincipalKind::FederatedUser)
    }

    /// True for sessions of a service-linked role: control policies do not reach them.
    /// The path is reserved, so nobody else can name a role so ("Service-linked roles", IAM User Guide).
    #[must_use]
    pub fn is_service_linked(&self) -> bool {
        self.kind == PrincipalKind::AssumedRole
            && self.role_arn.as_deref().and_then(six).is_some_and(|[.., role]| role.starts_with("role/aws-service-role/"))
    }
}
