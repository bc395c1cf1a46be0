//! The condition context of a check. Only this module writes the keys that begin with `aws:` (but those of
//! the request's tags, which the service reads from its input), and only from typed sources: what a header claims reaches no key but `aws:UserAgent` and `aws:Referer`.
//!
//! Source: "AWS global condition context keys", IAM User Guide.

use tenantry_core::{AccountId, Region, Tag, Timestamp};
use tenantry_policy::{Context, PrincipalKind};

use crate::{
    access::{Check, Key},
    cx::{Caller, RequestInfo},
    directory::Session,
    policies::OrganizationView,
};

/// What the keys are made from.
pub(crate) struct Sources<'a> {
    pub caller: &'a Caller,
    pub request: &'a RequestInfo,
    pub region: &'a Region,
    pub check: &'a Check,
    pub resource_account: &'a AccountId,
    pub resource_tags: &'a [Tag],
    pub caller_org: &'a OrganizationView,
    pub resource_org: &'a OrganizationView,
}

pub(crate) fn build(s: &Sources<'_>) -> Context {
    let mut context = Context::new();
    // The service's own keys first: none of them may replace a global one, or stand in for one that is absent.
    for (name, value) in s.check.keys.iter().filter(|(name, _)| is_service_key(name)) {
        match value {
            // Tag keys that differ in case only are one condition key.
            Key::One(value) => _ = context.add(name, value),
            Key::Many(values) => _ = context.set_list(name, values.iter().map(String::as_str)),
        }
    }
    request(&mut context, s.request, s.region);
    principal(&mut context, s.caller, s.caller_org);
    multi_factor(&mut context, s);
    resource(&mut context, s);
    context
}

/// Of the global keys a service sets only those of the request's tags.
fn is_service_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.starts_with("aws:") || name == "aws:tagkeys" || name.starts_with("aws:requesttag/")
}

fn request(context: &mut Context, request: &RequestInfo, region: &Region) {
    context.set("aws:CurrentTime", request.time.iso8601(false));
    context.set("aws:EpochTime", request.time.secs().to_string());
    context.set_bool("aws:SecureTransport", request.secure);
    context.set("aws:RequestedRegion", region.as_str());
    if !request.user_agent.is_empty() {
        context.set("aws:UserAgent", request.user_agent.as_str());
    }
    if let Some(referer) = &request.referer {
        context.set("aws:Referer", referer.as_str());
    }
    match &request.network {
        Some(network) => {
            if let Some(vpc) = &network.vpc {
                context.set("aws:SourceVpc", vpc.as_str());
            }
            if let Some(endpoint) = &network.vpc_endpoint {
                context.set("aws:SourceVpce", endpoint.as_str());
            }
            if let Some(ip) = network.vpc_source_ip {
                context.set("aws:VpcSourceIp", ip.to_string());
            }
        }
        None => {
            if let Some(ip) = request.source_ip {
                context.set("aws:SourceIp", ip.to_string());
            }
        }
    }
}

fn principal(context: &mut Context, caller: &Caller, org: &OrganizationView) {
    let principal = &caller.principal;
    let service = principal.kind == PrincipalKind::Service;
    context.set_bool("aws:PrincipalIsAWSService", service);
    context.set_bool("aws:ViaAWSService", !caller.via.is_empty());
    if !caller.via.is_empty() {
        context.set_list("aws:CalledVia", caller.via.iter().map(String::as_str));
        context.set("aws:CalledViaFirst", caller.via[0].as_str());
        context.set("aws:CalledViaLast", caller.via[caller.via.len() - 1].as_str());
    }
    if service {
        context.set("aws:PrincipalServiceName", caller.arn.as_str());
        context.set_list("aws:PrincipalServiceNamesList", principal.service_names.iter().map(String::as_str));
        if let Some(source) = &caller.source_arn {
            context.set("aws:SourceArn", source.as_str());
        }
        if !caller.account.as_str().is_empty() {
            context.set("aws:SourceAccount", caller.account.as_str());
            if !org.id.is_empty() {
                context.set("aws:SourceOrgID", org.id.as_str());
                context.set_list("aws:SourceOrgPaths", [org.path.as_str()]);
            }
        }
        return;
    }
    if principal.kind == PrincipalKind::Anonymous {
        context.set("aws:PrincipalType", "Anonymous");
        return;
    }
    // Nobody of an account yet: what is known of them are the provider's own keys.
    if principal.kind == PrincipalKind::Provider {
        return;
    }
    // For sessions the role's ARN, not the session's.
    let arn = principal.role_arn.as_deref().unwrap_or(&caller.arn);
    context.set("aws:PrincipalArn", arn);
    context.set("aws:PrincipalAccount", caller.account.as_str());
    let of_type = match principal.kind {
        PrincipalKind::Root => "Account",
        PrincipalKind::User => "User",
        PrincipalKind::FederatedUser => "FederatedUser",
        _ => "AssumedRole",
    };
    context.set("aws:PrincipalType", of_type);
    context.set("aws:userid", caller.user_id.as_str());
    if let Some(name) = &caller.user_name {
        context.set("aws:username", name.as_str());
    }
    if !org.id.is_empty() {
        context.set("aws:PrincipalOrgID", org.id.as_str());
        context.set_list("aws:PrincipalOrgPaths", [org.path.as_str()]);
    }
    for tag in &caller.tags {
        context.add_tag("aws:PrincipalTag/", &tag.key, &tag.value);
    }
    if let Some(session) = &caller.session {
        let issued: Timestamp = session.issued;
        context.set("aws:TokenIssueTime", issued.iso8601(false));
        if let Some(identity) = &session.source_identity {
            context.set("aws:SourceIdentity", identity.as_str());
        }
        if let Some(federation) = &session.federation {
            context.set("aws:FederatedProvider", federation.provider.as_str());
            for (name, value) in federation.keys.iter().filter(|(name, _)| is_service_key(name)) {
                context.set(name, value.as_str());
            }
        }
    }
}

/// Absent with long-term keys, unless the call itself brings a code; else true or false
/// ("AWS global condition context keys": `aws:MultiFactorAuthPresent`, `aws:MultiFactorAuthAge`).
fn multi_factor(context: &mut Context, s: &Sources<'_>) {
    let session = s.caller.session.as_deref();
    match s.check.mfa.or_else(|| session.and_then(Session::authenticated_by_mfa)) {
        Some(at) => {
            let age = (s.request.time.millis() - at.millis()).max(0) / 1000;
            context.set_bool("aws:MultiFactorAuthPresent", true).set("aws:MultiFactorAuthAge", age.to_string());
        }
        None if session.is_some() => _ = context.set_bool("aws:MultiFactorAuthPresent", false),
        None => {}
    }
}

fn resource(context: &mut Context, s: &Sources<'_>) {
    if !s.resource_account.as_str().is_empty() {
        context.set("aws:ResourceAccount", s.resource_account.as_str());
        if !s.resource_org.id.is_empty() {
            context.set("aws:ResourceOrgID", s.resource_org.id.as_str());
            context.set_list("aws:ResourceOrgPaths", [s.resource_org.path.as_str()]);
        }
    }
    let prefix = s.check.action.split(':').next().unwrap_or_default();
    for owner in ["aws", prefix] {
        let family = format!("{owner}:ResourceTag/");
        // What the resource has counts, not what a service may have said of it.
        for tag in s.resource_tags {
            context.remove_tag(&family, &tag.key);
        }
        for tag in s.resource_tags {
            context.add_tag(&family, &tag.key, &tag.value);
        }
    }
}
