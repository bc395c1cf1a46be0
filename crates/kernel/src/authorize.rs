//! May this caller do this? The only maker of permits.
//!
//! Every check of a call is judged against all layers that apply. The first that is not allowed ends
//! the call with AWS's sentence, and its explanation is recorded under the request's id.

use serde_json::{Value, json};
use tenantry_core::{AccountId, AwsError, Result, Scope, Tag};
use tenantry_policy::{Attached, Context, Decision, Explanation, Layers, PolicyKind, PrincipalKind, Request, ResourcePolicyMode};
use tenantry_wire::Protocol;

use crate::{
    access::{Check, Checks, ResourcePolicy},
    context::{self, Sources},
    cx::{Caller, Cx, RequestInfo},
    kernel::Kernel,
    operation::{Access, Operation},
    permit::Permit,
};

/// Judges every check of a call of `O`.
pub(crate) async fn authorize<O: Operation>(cx: &Cx, checks: Checks) -> Result<Permit<O>> {
    if let Access::Check { action, alternatives, .. } = O::ACCESS {
        // A call that names no resource is refused, never waved through.
        if !checks.iter().any(|check| check.action == action || alternatives.contains(&check.action)) {
            return Err(AwsError::internal(format!("{}:{} named no resource for {action}", O::SERVICE, O::NAME)));
        }
    }
    for check in checks.iter() {
        let judged = cx.kernel.judge(&cx.caller, &cx.request, &cx.region, check, false).await?;
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
        Ok(self.kernel.judge(&self.caller, &self.request, &self.region, check, false).await?.decision.allowed())
    }

    /// Whether policies would let this caller do one thing more: per-item answers (`DeleteObjects`), and
    /// answers that tell less to those who may not list. Grants nothing; `None` means allowed.
    ///
    /// # Errors
    /// When policies cannot be read.
    pub async fn refusal(&self, check: &Check) -> Result<Option<AwsError>> {
        let judged = self.kernel.judge(&self.caller, &self.request, &self.region, check, false).await?;
        if judged.decision.allowed() { Ok(None) } else { Ok(Some(deny(self, check, &judged).await)) }
    }
}

/// The account that owns what a check is about.
fn owner(check: &Check, caller: &Caller) -> AccountId {
    if let Some(account) = &check.account {
        return account.clone();
    }
    match check.resource.as_ref().map(tenantry_core::Arn::account) {
        Some(account) if AccountId::is_valid(account) => AccountId::from(account),
        _ => caller.account.clone(),
    }
}

/// A check, judged, with what it takes to explain it.
pub(crate) struct Judged {
    pub decision: Decision,
    pub explanation: Option<Explanation>,
    resource_account: AccountId,
}

impl Kernel {
    /// Judges one check. A refusal is explained; `always_explain` explains an allowed one too.
    pub(crate) async fn judge(
        &self,
        caller: &Caller,
        request: &RequestInfo,
        region: &tenantry_core::Region,
        check: &Check,
        always_explain: bool,
    ) -> Result<Judged> {
        let resource_account = owner(check, caller);
        let caller_org = self.organization_of(&caller.account).await?;
        let resource_org = self.organization_of(&resource_account).await?;
        let tags = self.tags_of(check).await?;
        let sources = Sources {
            caller,
            request,
            region,
            check,
            resource_account: &resource_account,
            resource_tags: &tags,
            caller_org: &caller_org,
            resource_org: &resource_org,
        };
        let context = context::build(&sources);
        let own = self.principal_layers(caller).await?;
        let resource = self.policy_of(check, &resource_account, region).await?;
        let must_allow = matches!(&check.policy, ResourcePolicy::Inline { kind: PolicyKind::Trust, .. });
        let layers = Layers {
            identity: &own.identity,
            boundary: own.boundary.as_ref(),
            session: own.session.as_deref(),
            service_control: &caller_org.service_control,
            resource_control: &resource_org.resource_control,
            resource: resource.as_ref(),
            resource_mode: if must_allow { ResourcePolicyMode::MustAllow } else { ResourcePolicyMode::Normal },
            endpoint: None,
        };
        let (decision, explanation) = decide(caller, check, &resource_account, &context, &layers, always_explain);
        Ok(Judged { decision, explanation, resource_account })
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

fn decide(
    caller: &Caller,
    check: &Check,
    account: &AccountId,
    context: &Context,
    layers: &Layers<'_>,
    always: bool,
) -> (Decision, Option<Explanation>) {
    let request = Request {
        action: check.action,
        resource: check.resource.as_ref().map_or("*", |arn| arn.as_str()),
        resource_account: Some(account.as_str()).filter(|a| !a.is_empty()),
        principal: &caller.principal,
        context,
    };
    let decision = tenantry_policy::evaluate(&request, layers);
    let explanation = (always || !decision.allowed()).then(|| tenantry_policy::explain(&request, layers));
    (decision, explanation)
}

async fn deny(cx: &Cx, check: &Check, judged: &Judged) -> AwsError {
    let service = tenantry_wire::service(cx.operation.0);
    let s3 = service.is_some_and(|s| s.is_s3());
    let resource = check.resource.as_ref().map(|arn| if s3 { format!("\"{arn}\"") } else { arn.to_string() });
    // An action without resource is shown on `*`; S3 leaves it out.
    let shown = resource.or_else(|| (!s3).then(|| "*".to_owned()));
    let sentence = judged.decision.message(&cx.caller.arn, check.action, shown.as_deref());
    let explanation = json!({"checks": [explained(check, judged)]});
    cx.kernel.inner().recorder.denied(cx, &sentence, explanation).await;
    // S3 tells strangers nothing ("Access denied error message examples", S3 User Guide).
    let stranger = s3 && (cx.caller.principal.kind == PrincipalKind::Anonymous || judged.resource_account != cx.caller.account);
    let message = if stranger { "Access Denied".to_owned() } else { sentence };
    match service.map(|s| s.protocol) {
        Some(Protocol::AwsJson) => AwsError::new(400, "AccessDeniedException", message),
        Some(Protocol::RestJson) => AwsError::new(403, "AccessDeniedException", message),
        _ => AwsError::new(403, "AccessDenied", message),
    }
}

/// A judged check as JSON: the decision, the layers, and the same in lines for people.
pub(crate) fn explained(check: &Check, judged: &Judged) -> Value {
    let lines: Vec<String> = judged.explanation.as_ref().map(crate::explain::lines).unwrap_or_default();
    json!({
        "action": check.action,
        "resource": check.resource.as_ref().map_or("*", |arn| arn.as_str()),
        "allowed": judged.decision.allowed(),
        "explanation": judged.explanation,
        "lines": lines,
    })
}
