//! Explanations: of a denial as it happened, and of a question asked by the operator.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Result, Scope, Tag, Timestamp};
use tenantry_policy::Principal;

mod apply;
mod reach;
mod record;
mod visible;
mod words;

pub use reach::{CanReach, Reach};
pub(crate) use record::explained;
pub use visible::{about_resource, of_resource, seen_by};
pub use words::lines;

use crate::{
    access::{Key, ResourcePolicy},
    authenticate::user_caller,
    cx::{Caller, NetworkOrigin, RequestInfo},
    directory::{Role, User, kind},
    kernel::Kernel,
};

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
        let (region, mut check) = self.check_of(action, resource, &HashMap::new()).await?;
        check.keys = keys;
        let judged = self.judge(&caller, &request, &region, &check).await?;
        Ok(json!({"principal": caller.arn, "checks": [explained(&caller, &check, &judged)]}))
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

/// Actions are `&'static str` in checks. A question's are kept once each, and only so many.
fn interned(action: &str) -> Result<&'static str> {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    const MOST: usize = 20_000;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(action) = known.get(action) {
        return Ok(action);
    }
    if known.len() >= MOST {
        return Err(AwsError::validation("more actions were asked about than there are: restart the instance to ask about new ones"));
    }
    let kept: &'static str = Box::leak(action.to_owned().into_boxed_str());
    known.insert(kept);
    Ok(kept)
}

/// The far future: sessions of services that the kernel itself holds do not end by the clock.
pub(crate) const NEVER: Timestamp = Timestamp::from_secs(32_503_680_000);
