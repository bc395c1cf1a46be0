//! May this caller do this? The only maker of permits.
//!
//! Every check of a call is judged against all layers that apply. The first that is not allowed ends
//! the call with AWS's sentence, and its explanation is recorded under the request's id.

use std::sync::Arc;

use serde_json::json;
use tenantry_core::{AccountId, AwsError, Result, Scope, Tag};
use tenantry_policy::{Attached, Cause, Context, Decision, Layers, Outcome, PolicyKind, PrincipalKind, Request, ResourcePolicyMode};
use tenantry_wire::Protocol;

use crate::{
    access::{Check, Checks, ResourcePolicy},
    context::{self, Sources},
    cx::{Caller, Cx, RequestInfo},
    explain,
    kernel::Kernel,
    operation::{Access, Operation},
    permit::Permit,
    policies::{OrganizationView, PrincipalLayers},
};

/// Judges every check of a call of `O`.
pub(crate) async fn authorize<O: Operation>(cx: &Cx, checks: Checks) -> Result<Permit<O>> {
    if let Access::Check { action, alternatives, .. } = O::ACCESS {
        // A call that names no resource is refused, never waved through.
        if !checks.iter().any(|check| check.action == action || alternatives.contains(&check.action)) {
            return Err(AwsError::internal(format!("{}:{} named no resource for {action}", O::SERVICE, O::NAME)));
        }
    }
    cx.trail.note(&cx.caller, &checks);
    for check in checks.iter() {
        let judged = cx.kernel.judge(&cx.caller, &cx.request, &cx.region, check).await?;
        if !judged.decision.allowed() {
            return Err(deny(cx, check, &judged).await);
        }
    }
    let account = match checks.first() {
        Some(check) => owner(check, &cx.caller),
        None => cx.caller.account.clone(),
    };
    Ok(Permit::grant(Scope { account, region: cx.region.clone() }, checks))
}

impl Cx {
    /// Whether policies would let this caller do one thing more, where a no is no event: answers that leave
    /// out what the caller may not see. Grants nothing.
    ///
    /// # Errors
    /// When policies cannot be read.
    pub async fn allows(&self, check: &Check) -> Result<bool> {
        Ok(self.kernel.judge(&self.caller, &self.request, &self.region, check).await?.decision.allowed())
    }

    /// Whether policies would let this caller do one thing more: per-item answers (`DeleteObjects`), and
    /// answers that tell less to those who may not list. Grants nothing; `None` means allowed.
    ///
    /// # Errors
    /// When policies cannot be read.
    pub async fn refusal(&self, check: &Check) -> Result<Option<AwsError>> {
        let judged = self.kernel.judge(&self.caller, &self.request, &self.region, check).await?;
        if judged.decision.allowed() { Ok(None) } else { Ok(Some(deny(self, check, &judged).await)) }
    }
}

/// The account that owns what a check is about.
pub(crate) fn owner(check: &Check, caller: &Caller) -> AccountId {
    if let Some(account) = &check.account {
        return account.clone();
    }
    match check.resource.as_ref().map(tenantry_core::Arn::account) {
        Some(account) if AccountId::is_valid(account) => AccountId::from(account),
        _ => caller.account.clone(),
    }
}

/// A check, judged, with all it was judged by.
pub(crate) struct Judged {
    pub decision: Decision,
    pub context: Context,
    pub own: Arc<PrincipalLayers>,
    pub caller_org: Arc<OrganizationView>,
    pub resource_org: Arc<OrganizationView>,
    pub resource_policy: Option<Attached>,
    pub resource_mode: ResourcePolicyMode,
    pub resource_account: AccountId,
    pub resource_tags: Vec<Tag>,
}

impl Judged {
    pub(crate) fn layers(&self) -> Layers<'_> {
        Layers {
            identity: &self.own.identity,
            boundary: self.own.boundary.as_ref(),
            session: self.own.session.as_ref(),
            service_control: &self.caller_org.service_control,
            resource_control: &self.resource_org.resource_control,
            resource: self.resource_policy.as_ref(),
            resource_mode: self.resource_mode,
            endpoint: None,
        }
    }

    pub(crate) fn request<'a>(&'a self, caller: &'a Caller, check: &'a Check) -> Request<'a> {
        Request {
            action: check.action,
            resource: check.resource.as_ref().map_or("*", |arn| arn.as_str()),
            resource_account: Some(self.resource_account.as_str()).filter(|account| !account.is_empty()),
            principal: &caller.principal,
            context: &self.context,
        }
    }
}

impl Kernel {
    /// Judges one check.
    pub(crate) async fn judge(
        &self,
        caller: &Caller,
        request: &RequestInfo,
        region: &tenantry_core::Region,
        check: &Check,
    ) -> Result<Judged> {
        let resource_account = owner(check, caller);
        let caller_org = self.organization_of(&caller.account).await?;
        let resource_org = self.organization_of(&resource_account).await?;
        let resource_tags = self.tags_of(check).await?;
        let sources = Sources {
            caller,
            request,
            region,
            check,
            resource_account: &resource_account,
            resource_tags: &resource_tags,
            caller_org: &caller_org,
            resource_org: &resource_org,
        };
        let context = context::build(&sources);
        let own = self.principal_layers(caller).await?;
        let resource_policy = self.policy_of(check, &resource_account, region).await?;
        let must_allow = matches!(&check.policy, ResourcePolicy::Inline { kind: PolicyKind::Trust, .. });
        let resource_mode = if must_allow { ResourcePolicyMode::MustAllow } else { ResourcePolicyMode::Normal };
        let decision = Decision { outcome: Outcome::ImplicitDeny, cause: Cause::Identity, statement: None };
        let judged =
            Judged { decision, context, own, caller_org, resource_org, resource_policy, resource_mode, resource_account, resource_tags };
        let decision = tenantry_policy::evaluate(&judged.request(caller, check), &judged.layers());
        Ok(Judged { decision, ..judged })
    }

    async fn tags_of(&self, check: &Check) -> Result<Vec<Tag>> {
        match (&check.tags, &check.resource) {
            (Some(tags), _) => Ok(tags.clone()),
            (None, Some(arn)) => Ok(self.store().tags(arn.as_str()).await?),
            (None, None) => Ok(Vec::new()),
        }
    }

    async fn policy_of(&self, check: &Check, account: &AccountId, region: &tenantry_core::Region) -> Result<Option<Attached>> {
        match &check.policy {
            ResourcePolicy::None => Ok(None),
            ResourcePolicy::Stored(arn) => self.resource_policy(arn, account, region).await,
            ResourcePolicy::Inline { document, kind, principal_ids } => {
                let id = check.resource.as_ref().map_or("", |arn| arn.as_str());
                Ok(Some(Attached::inline(id, self.compile(document, *kind, principal_ids)?)))
            }
        }
    }
}

async fn deny(cx: &Cx, check: &Check, judged: &Judged) -> AwsError {
    let service = tenantry_wire::service(cx.operation.0);
    let s3 = service.is_some_and(|s| s.is_s3());
    let resource = check.resource.as_ref().map(|arn| if s3 { format!("\"{arn}\"") } else { arn.to_string() });
    // An action without resource is shown on `*`; S3 leaves it out.
    let shown = resource.or_else(|| (!s3).then(|| "*".to_owned()));
    let policy = denying_policy(cx, judged);
    let sentence = judged.decision.message_with(&cx.caller.arn, check.action, shown.as_deref(), policy.as_deref());
    let explanation = json!({"checks": [explain::explained(&cx.caller, check, judged)]});
    crate::audit::denied(cx, &sentence, explanation);
    // S3 tells strangers nothing ("Access denied error message examples", S3 User Guide).
    let stranger = s3 && (cx.caller.principal.kind == PrincipalKind::Anonymous || judged.resource_account != cx.caller.account);
    if cx.caller.principal.kind == PrincipalKind::Provider {
        // Somebody who is not in yet has no name to be told by.
        return AwsError::new(403, "AccessDenied", format!("Not authorized to perform {}", check.action));
    }
    let message = if stranger { "Access Denied".to_owned() } else { sentence };
    match service.map(|s| s.protocol) {
        Some(Protocol::AwsJson) => AwsError::new(400, "AccessDeniedException", message),
        Some(Protocol::RestJson) => AwsError::new(403, "AccessDeniedException", message),
        _ => AwsError::new(403, "AccessDenied", message),
    }
}

/// The ARN of the policy that denies, where it has one. AWS names it within the account or the organization only
/// ("Troubleshoot access denied error messages", IAM User Guide): an inline policy and a resource's have none.
fn denying_policy(cx: &Cx, judged: &Judged) -> Option<String> {
    let org = &judged.caller_org;
    let same = judged.resource_account == cx.caller.account || (!org.id.is_empty() && org.id == judged.resource_org.id);
    let statement = judged.decision.statement.as_ref().filter(|_| same && judged.decision.explicit())?;
    let control = |of_type: &str, org: &OrganizationView| match &*statement.policy {
        id @ ("p-FullAWSAccess" | "p-RCPFullAWSAccess") => format!("arn:aws:organizations::aws:policy/{of_type}/{id}"),
        id => format!("arn:aws:organizations::{}:policy/{}/{of_type}/{id}", org.management, org.id),
    };
    match judged.decision.cause {
        Cause::ServiceControl => Some(control("service_control_policy", org)),
        Cause::ResourceControl => Some(control("resource_control_policy", &judged.resource_org)),
        Cause::Identity | Cause::Boundary => Some(statement.policy.to_string()).filter(|id| id.starts_with("arn:")),
        _ => None,
    }
}
