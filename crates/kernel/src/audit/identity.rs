//! The `userIdentity` of an event ("CloudTrail userIdentity element", AWS CloudTrail User Guide).

use serde_json::json;
use tenantry_policy::PrincipalKind;
use tenantry_store::canonical_json;

use super::members::Members;
use crate::{cx::Caller, directory::Session};

/// The service that makes an internal call: the one that forwards it, or the one that the caller is a session of.
pub(super) fn acting_service(caller: &Caller) -> Option<&str> {
    let own = caller.principal.service_names.first().map(String::as_str);
    let session = caller.session.as_ref().and_then(|session| session.service.as_deref());
    caller.via.last().map(String::as_str).or(own).or(session)
}

/// Writes who calls; `invoked_by` is the service that does it for them.
pub(super) fn write(identity: &mut Members<'_>, caller: &Caller, invoked_by: Option<&str>) {
    let session = caller.session.as_deref();
    let context = |identity: &mut Members<'_>| {
        if let Some(session) = session {
            identity.object("sessionContext", |context| self::context(context, caller, session));
        }
    };
    let account = caller.account.as_str();
    let named = |identity: &mut Members<'_>, kind: &str, id: &str| {
        identity.text_if("accessKeyId", access_key(caller)).text("accountId", account).text("arn", &caller.arn);
        identity.text_if("invokedBy", invoked_by).text("principalId", id);
        context(identity);
        identity.text("type", kind);
    };
    match caller.principal.kind {
        PrincipalKind::Root => named(identity, "Root", account),
        PrincipalKind::AssumedRole => named(identity, "AssumedRole", &caller.user_id),
        PrincipalKind::FederatedUser => named(identity, "FederatedUser", &caller.user_id),
        PrincipalKind::User => {
            named(identity, "IAMUser", &caller.user_id);
            identity.text_or_null("userName", caller.user_name.as_deref());
        }
        PrincipalKind::Service => {
            identity.text("invokedBy", invoked_by.unwrap_or(&caller.arn));
            context(identity);
            identity.text("type", "AWSService");
        }
        PrincipalKind::Provider => {
            // Somebody whom a SAML or OpenID Connect provider vouches for.
            let provider = caller.principal.provider.as_deref().unwrap_or_default();
            let kind = if provider.contains(":saml-provider/") { "SAMLUser" } else { "WebIdentityUser" };
            identity.text("identityProvider", provider).text_if("invokedBy", invoked_by);
            identity.text("principalId", &format!("{provider}:{}", caller.user_id));
            context(identity);
            identity.text("type", kind).text("userName", &caller.user_id);
        }
        PrincipalKind::Anonymous => {
            identity.text("accountId", "ANONYMOUS_PRINCIPAL").text_if("invokedBy", invoked_by).text("principalId", "");
            context(identity);
            identity.text("type", "AWSAccount");
        }
    }
}

/// The access key that an event names: those of principals with a name.
pub(super) fn access_key(caller: &Caller) -> Option<&str> {
    let named = matches!(
        caller.principal.kind,
        PrincipalKind::Root | PrincipalKind::User | PrincipalKind::AssumedRole | PrincipalKind::FederatedUser
    );
    Some(caller.access_key.as_str()).filter(|key| named && !key.is_empty())
}

/// The name that LookupEvents shows and finds a caller by, as [`super::user_name`] reads it from an event.
pub(super) fn user_name<'a>(caller: &'a Caller, invoked_by: Option<&'a str>) -> &'a str {
    match caller.principal.kind {
        PrincipalKind::Root => "root",
        PrincipalKind::AssumedRole | PrincipalKind::FederatedUser => caller.arn.rsplit('/').next().unwrap_or_default(),
        PrincipalKind::Service => invoked_by.unwrap_or(&caller.arn),
        PrincipalKind::User => caller.user_name.as_deref().unwrap_or_default(),
        PrincipalKind::Provider => &caller.user_id,
        PrincipalKind::Anonymous => "",
    }
}

/// What temporary credentials are known by.
fn context(context: &mut Members<'_>, caller: &Caller, session: &Session) {
    context.object("attributes", |attributes| {
        attributes
            .text("creationDate", &session.issued.iso8601(false))
            .text("mfaAuthenticated", if session.mfa { "true" } else { "false" });
    });
    let principal = &caller.principal;
    let issuer = match principal.kind {
        PrincipalKind::AssumedRole => principal.role_arn.as_deref().map(|arn| ("Role", arn)),
        PrincipalKind::FederatedUser => principal.user_arn.as_deref().map(|arn| ("IAMUser", arn)),
        _ => None,
    };
    if let Some((kind, arn)) = issuer {
        context.object("sessionIssuer", |issuer| {
            issuer.text("accountId", caller.account.as_str()).text("arn", arn);
            issuer.text_or_null("principalId", principal.unique_id.as_deref()).text("type", kind);
            issuer.text_or_null("userName", arn.rsplit('/').next());
        });
    }
    context.text_if("sourceIdentity", session.source_identity.as_deref());
    match session.federation.as_ref().filter(|federation| federation.provider.contains(":oidc-provider/")) {
        Some(federation) => {
            let keys = canonical_json(&json!(federation.keys));
            context.object("webIdFederationData", |data| {
                data.raw("attributes", &keys).text("federatedProvider", &federation.provider);
            });
        }
        None if issuer.is_some() => _ = context.object("webIdFederationData", |_| {}),
        None => {}
    }
}
