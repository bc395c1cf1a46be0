//! The `userIdentity` of an event ("CloudTrail userIdentity element", AWS CloudTrail User Guide).

use serde_json::{Value, json};
use tenantry_policy::PrincipalKind;

use crate::cx::Caller;

/// The service that makes an internal call: the one that forwards it, or the one that the caller is a session of.
pub(super) fn acting_service(caller: &Caller) -> Option<&str> {
    let own = caller.principal.service_names.first().map(String::as_str);
    let session = caller.session.as_ref().and_then(|session| session.service.as_deref());
    caller.via.last().map(String::as_str).or(own).or(session)
}

/// Who calls; `invoked_by` is the service that does it for them.
pub(super) fn of(caller: &Caller, invoked_by: Option<&str>) -> Value {
    let principal = &caller.principal;
    let named = |kind: &str| {
        let mut identity = json!({
            "type": kind,
            "principalId": caller.user_id,
            "arn": caller.arn,
            "accountId": caller.account,
        });
        if !caller.access_key.is_empty() {
            identity["accessKeyId"] = json!(caller.access_key);
        }
        identity
    };
    let mut identity = match principal.kind {
        PrincipalKind::Root => {
            let mut root = named("Root");
            root["principalId"] = json!(caller.account);
            root
        }
        PrincipalKind::User => {
            let mut user = named("IAMUser");
            user["userName"] = json!(caller.user_name);
            user
        }
        PrincipalKind::AssumedRole => named("AssumedRole"),
        PrincipalKind::FederatedUser => named("FederatedUser"),
        PrincipalKind::Service => json!({ "type": "AWSService", "invokedBy": caller.arn }),
        PrincipalKind::Provider => provider(caller),
        PrincipalKind::Anonymous => json!({ "type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL" }),
    };
    if let Some(context) = session(caller) {
        identity["sessionContext"] = context;
    }
    if let Some(service) = invoked_by {
        identity["invokedBy"] = json!(service);
    }
    identity
}

/// Somebody whom a SAML or OpenID Connect provider vouches for.
fn provider(caller: &Caller) -> Value {
    let provider = caller.principal.provider.as_deref().unwrap_or_default();
    let kind = if provider.contains(":saml-provider/") { "SAMLUser" } else { "WebIdentityUser" };
    json!({
        "type": kind,
        "principalId": format!("{provider}:{}", caller.user_id),
        "userName": caller.user_id,
        "identityProvider": provider,
    })
}

/// What temporary credentials are known by.
fn session(caller: &Caller) -> Option<Value> {
    let session = caller.session.as_ref()?;
    let mut context = json!({
        "attributes": {
            "creationDate": session.issued.iso8601(false),
            "mfaAuthenticated": session.mfa.to_string(),
        },
    });
    let principal = &caller.principal;
    let issuer = match principal.kind {
        PrincipalKind::AssumedRole => principal.role_arn.as_deref().map(|arn| ("Role", arn)),
        PrincipalKind::FederatedUser => principal.user_arn.as_deref().map(|arn| ("IAMUser", arn)),
        _ => None,
    };
    if let Some((kind, arn)) = issuer {
        context["sessionIssuer"] = json!({
            "type": kind,
            "principalId": principal.unique_id,
            "arn": arn,
            "accountId": caller.account,
            "userName": arn.rsplit('/').next(),
        });
        context["webIdFederationData"] = json!({});
    }
    if let Some(federation) = session.federation.as_ref().filter(|federation| federation.provider.contains(":oidc-provider/")) {
        context["webIdFederationData"] = json!({ "federatedProvider": federation.provider, "attributes": federation.keys });
    }
    if let Some(identity) = &session.source_identity {
        context["sourceIdentity"] = json!(identity);
    }
    Some(context)
}
