//! Trust policies: who is named must exist when the policy is saved, and is bound to its unique id,
//! so that a role or user deleted and made again under the same name is not trusted.
//!
//! Source: "AWS JSON policy elements: Principal", IAM User Guide.

use std::collections::BTreeMap;

use tenantry_core::{AccountId, Arn, Result, Scope};
use tenantry_kernel::{
    Cx,
    directory::{Role, User},
};
use tenantry_policy::{Policy, PolicyKind, PrincipalName, rewrite_principals};

use super::{document, entity, error, oidc_providers::OidcProvider, providers, quota, saml_providers::SamlProvider};
use crate::account;

fn invalid(kind: &str, name: &str) -> tenantry_core::AwsError {
    let shown: String = name.chars().take(256).collect();
    error::malformed_text(&format!("Invalid principal in policy: \"{kind}\":\"{shown}\""))
}

/// Checks a trust policy of a role in `scope` and answers the ids of the principals it names.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub(crate) async fn accept(cx: &Cx, scope: &Scope, text: &str) -> Result<BTreeMap<String, String>> {
    let policy = Policy::parse(text, PolicyKind::Trust).map_err(|fault| error::malformed(&fault))?;
    if document::size(text) > quota::TRUST_POLICY {
        return Err(error::quota("ACLSizePerRole", quota::TRUST_POLICY));
    }
    let mut ids = BTreeMap::new();
    for name in policy.principals() {
        if let Some((arn, id)) = bound(cx, scope, name).await? {
            ids.insert(arn, id);
        }
    }
    Ok(ids)
}

/// Refuses a principal that does not exist; for users and roles, what binds them.
async fn bound(cx: &Cx, scope: &Scope, name: &PrincipalName) -> Result<Option<(String, String)>> {
    match name {
        PrincipalName::Everyone => {}
        PrincipalName::Account(id) => {
            if account::get(cx.kernel.store(), &AccountId::from(id.as_str())).await?.is_none() {
                return Err(invalid("AWS", &format!("arn:aws:iam::{id}:root")));
            }
        }
        PrincipalName::User(arn) => {
            let id = current_id::<User>(cx, arn).await?;
            return id.map(|id| Some((arn.clone(), id))).ok_or_else(|| invalid("AWS", arn));
        }
        PrincipalName::Role(arn) => {
            let id = current_id::<Role>(cx, arn).await?;
            return id.map(|id| Some((arn.clone(), id))).ok_or_else(|| invalid("AWS", arn));
        }
        PrincipalName::Session(arn) => {
            // The session need not exist; its role must. A session's ARN has no path.
            let role = Arn::parse(arn.as_str())
                .ok()
                .map(|arn| (arn.account().to_owned(), arn.resource().split('/').nth(1).unwrap_or("").to_owned()));
            let (account, role) = role.ok_or_else(|| invalid("AWS", arn))?;
            let found = entity::find::<Role>(cx, &Scope::global(account), &role).await?.filter(|(_, found)| found.name == role);
            return found.map(|(_, role)| Some((arn.clone(), role.id))).ok_or_else(|| invalid("AWS", arn));
        }
        PrincipalName::FederatedUser(arn) => {
            let owner = Arn::parse(arn.as_str()).map(|arn| AccountId::from(arn.account())).unwrap_or_default();
            if account::get(cx.kernel.store(), &owner).await?.is_none() {
                return Err(invalid("AWS", arn));
            }
        }
        PrincipalName::UniqueId(id) => {
            let users = entity::all::<User>(cx, scope).await?;
            let known = users.iter().any(|user| user.id == *id) || entity::all::<Role>(cx, scope).await?.iter().any(|role| role.id == *id);
            if !known {
                return Err(invalid("AWS", id));
            }
        }
        PrincipalName::Service(service) => {
            if service != "*" && !service.ends_with(".amazonaws.com") {
                return Err(invalid("Service", service));
            }
        }
        PrincipalName::Provider(provider) => {
            // Other names are those of web identity providers that AWS knows by itself.
            let there = !provider.starts_with("arn:")
                || providers::find::<SamlProvider>(cx, provider).await?.is_some()
                || providers::find::<OidcProvider>(cx, provider).await?.is_some();
            if !there {
                return Err(invalid("Federated", provider));
            }
        }
    }
    Ok(None)
}

/// The unique id of the user or role that has this ARN now.
async fn current_id<E: entity::Entity>(cx: &Cx, arn: &str) -> Result<Option<String>> {
    let Ok(parsed) = Arn::parse(arn) else { return Ok(None) };
    let name = arn.rsplit('/').next().unwrap_or(arn);
    let found = entity::find::<E>(cx, &Scope::global(parsed.account()), name).await?;
    Ok(found.filter(|(_, it)| it.arn().as_str() == arn).map(|(_, it)| it.id().to_owned()))
}

/// The trust policy as it is shown: a principal that is gone, or another by now, appears as its id.
pub(crate) async fn shown(cx: &Cx, role: &Role) -> Result<String> {
    let mut gone = BTreeMap::new();
    for (arn, id) in &role.trusted_ids {
        let current = match arn.split(':').nth(5).and_then(|resource| resource.split_once('/')) {
            Some(("user", _)) => current_id::<User>(cx, arn).await?,
            Some(("assumed-role", session)) => {
                let (account, role) = (arn.split(':').nth(4).unwrap_or_default(), session.split('/').next().unwrap_or_default());
                entity::find::<Role>(cx, &Scope::global(account), role).await?.map(|(_, role)| role.id)
            }
            _ => current_id::<Role>(cx, arn).await?,
        };
        if current.as_deref() != Some(id) {
            gone.insert(arn.as_str(), id.clone());
        }
    }
    if gone.is_empty() {
        return Ok(role.trust.clone());
    }
    rewrite_principals(&role.trust, &|name| gone.get(name).cloned()).map_err(tenantry_core::AwsError::internal)
}
