//! Explanations: of a denial as it happened, and of a question asked by the operator.

use std::collections::HashMap;

use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Tag, Timestamp};
use tenantry_policy::{Explanation, LayerOutcome, Principal, Stage, Verdict};

use crate::{
    access::{Check, Key, ResourcePolicy},
    authenticate::user_caller,
    authorize::explained,
    cx::{Caller, NetworkOrigin, RequestInfo},
    directory::{Role, User, kind},
    kernel::Kernel,
};

/// An explanation in lines: a line per layer that was looked at, then the decision.
#[must_use]
pub fn lines(explanation: &Explanation) -> Vec<String> {
    let mut out: Vec<String> = explanation.layers.iter().filter(|l| l.verdict != Verdict::NotApplicable).map(layer_line).collect();
    let decision = &explanation.decision;
    let by = decision.statement.as_ref().map(|s| {
        let sid = s.sid.as_deref().map_or_else(|| format!("statement {}", s.index + 1), |sid| format!("statement {sid}"));
        format!(" by {sid} of {}", s.policy)
    });
    let outcome = serde_json::to_value(decision.outcome).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let cause = serde_json::to_value(decision.cause).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    out.push(format!("decision: {outcome} in the {cause} layer{}", by.unwrap_or_default()));
    out
}

fn layer_line(layer: &LayerOutcome) -> String {
    let name = serde_json::to_value(layer.layer).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let level = layer.level.map(|l| format!(" (level {})", l + 1)).unwrap_or_default();
    let statement = || {
        let which = layer.sid.clone().or_else(|| layer.index.map(|i| format!("statement {}", i + 1))).unwrap_or_default();
        format!("{} of {}", which, layer.policy.as_deref().unwrap_or("-"))
    };
    let verdict = match layer.verdict {
        Verdict::Allow => format!("allows: {}", statement()),
        Verdict::ExplicitDeny => format!("denies: {}", statement()),
        Verdict::ImplicitDeny => "has no statement that allows it".to_owned(),
        Verdict::NotApplicable => "does not apply".to_owned(),
    };
    let near = layer.nearest.as_ref().filter(|n| n.stage != Stage::Action).map(|near| {
        let which = near.sid.clone().unwrap_or_else(|| format!("statement {}", near.index + 1));
        let actual = if near.actual.is_empty() { "absent".to_owned() } else { near.actual.join(", ") };
        let what = match near.stage {
            Stage::Condition => format!("{} {}", near.operator.as_deref().unwrap_or_default(), near.key.as_deref().unwrap_or_default()),
            Stage::Principal => "its principals".to_owned(),
            _ => "its resources".to_owned(),
        };
        format!("; closest is {which} of {}: {what} wants {} and the request has {actual}", near.policy, near.expected.join(", "))
    });
    format!("{name}{level} {verdict}{}", near.unwrap_or_default())
}

impl Kernel {
    /// What would decide if `principal` (a user's, role's or role session's ARN) did `action` on
    /// `resource`. `context` sets condition keys; `aws:PrincipalTag/…` replaces the principal's own.
    ///
    /// # Errors
    /// When the ARN is none, or names nobody on this instance.
    pub async fn explain(&self, principal: &str, action: &str, resource: &str, context: &HashMap<String, String>) -> Result<Value> {
        let mut caller = self.caller_of(principal).await?;
        let mut request = RequestInfo::internal(self.now(), "tenantry explain");
        let mut keys = Vec::new();
        for (name, value) in context {
            if let Some(key) = name.get("aws:PrincipalTag/".len()..).filter(|_| name.to_ascii_lowercase().starts_with("aws:principaltag/"))
            {
                caller.tags.retain(|tag| !tag.key.eq_ignore_ascii_case(key));
                caller.tags.push(Tag::new(key, value.as_str()));
            } else if !global_key(&mut request, name, value)? {
                keys.push((name.clone(), Key::One(value.clone())));
            }
        }
        let arn = if resource == "*" { None } else { Some(Arn::parse(resource).map_err(|e| AwsError::validation(e.to_string()))?) };
        let region = arn.as_ref().map(|a| a.region()).filter(|r| !r.is_empty()).unwrap_or("us-east-1").to_owned();
        let (policy, account) = self.stored_policy_for(arn.as_ref()).await?;
        // Actions are `&'static str` in checks; a question is asked once per process run.
        let action: &'static str = Box::leak(action.to_owned().into_boxed_str());
        let check = Check { action, resource: arn, account, policy, keys, tags: None };
        let judged = self.judge(&caller, &request, &Region::from(region), &check, true).await?;
        Ok(json!({"principal": caller.arn, "checks": [explained(&check, &judged)]}))
    }

    /// The policy that is stored for a resource or, for an S3 object, for its bucket; and the owner.
    async fn stored_policy_for(&self, arn: Option<&Arn>) -> Result<(ResourcePolicy, Option<AccountId>)> {
        let Some(arn) = arn else { return Ok((ResourcePolicy::None, None)) };
        if arn.service() == "s3" {
            let bucket = arn.resource().split('/').next().unwrap_or_default();
            let owner = self.store().unique("bucket", bucket).await?.map(AccountId::from);
            return Ok((ResourcePolicy::Stored(Arn::new("s3", "", "", bucket)), owner));
        }
        if let ("iam", Some(name)) = (arn.service(), arn.resource().strip_prefix("role/")) {
            let name = name.rsplit('/').next().unwrap_or_default().to_lowercase();
            if let Some(row) = self.store().get(kind::ROLE, &Scope::global(arn.account()), &name).await? {
                let role: Role = row.body()?;
                let kind = tenantry_policy::PolicyKind::Trust;
                return Ok((ResourcePolicy::Inline { document: role.trust, kind, principal_ids: role.trusted_ids }, None));
            }
        }
        Ok((ResourcePolicy::Stored(arn.clone()), None))
    }

    /// A principal by its ARN, as it would call with its own tags.
    ///
    /// # Errors
    /// `NoSuchEntity` where there is none.
    pub async fn caller_of(&self, arn: &str) -> Result<Caller> {
        let missing = || AwsError::new(404, "NoSuchEntity", format!("{arn} is no user, role or role session on this instance"));
        let parsed = Arn::parse(arn).map_err(|e| AwsError::validation(e.to_string()))?;
        let account = AccountId::from(parsed.account());
        let scope = Scope::global(account.clone());
        let (of, id) = parsed.resource_type_and_id();
        let (name, session) = match of {
            "assumed-role" => id.split_once('/').ok_or_else(missing)?,
            _ => (id.rsplit('/').next().unwrap_or_default(), "explain"),
        };
        match of {
            "user" => {
                let user: User = self.store().get(kind::USER, &scope, &name.to_lowercase()).await?.ok_or_else(missing)?.body()?;
                Ok(user_caller(&user, &account))
            }
            "role" | "assumed-role" => {
                let role: Role = self.store().get(kind::ROLE, &scope, &name.to_lowercase()).await?.ok_or_else(missing)?.body()?;
                Ok(role_caller(&role, &account, session))
            }
            _ => Err(missing()),
        }
    }
}

/// Sets a global key where the request has a place for it; false for keys that services set.
fn global_key(request: &mut RequestInfo, name: &str, value: &str) -> Result<bool> {
    let bad = || AwsError::validation(format!("`{value}` is no value of {name}"));
    let network = || request.network.clone().unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "aws:sourceip" => request.source_ip = Some(value.parse().map_err(|_| bad())?),
        "aws:securetransport" => request.secure = value.parse().map_err(|_| bad())?,
        "aws:sourcevpc" => request.network = Some(NetworkOrigin { vpc: Some(value.to_owned()), ..network() }),
        "aws:sourcevpce" => request.network = Some(NetworkOrigin { vpc_endpoint: Some(value.to_owned()), ..network() }),
        "aws:vpcsourceip" => request.network = Some(NetworkOrigin { vpc_source_ip: Some(value.parse().map_err(|_| bad())?), ..network() }),
        "aws:tagkeys" => return Ok(false),
        name if name.starts_with("aws:") && !name.starts_with("aws:requesttag/") => {
            return Err(AwsError::validation(format!("{name} follows from the principal, the resource or the time and cannot be set")));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A session of a role with the role's own tags and nothing else.
#[must_use]
pub fn role_caller(role: &Role, account: &AccountId, session: &str) -> Caller {
    let principal = Principal::session(account.as_str(), role.arn.as_str(), &role.id, session);
    Caller {
        arn: principal.arn.clone(),
        account: account.clone(),
        user_id: format!("{}:{session}", role.id),
        user_name: None,
        tags: role.tags.clone(),
        session: None,
        access_key: String::new(),
        via: Vec::new(),
        source_arn: None,
        principal,
    }
}

/// The far future: sessions of services that the kernel itself holds do not end by the clock.
pub(crate) const NEVER: Timestamp = Timestamp::from_secs(32_503_680_000);
