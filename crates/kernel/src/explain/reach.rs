//! Who can do this on that, and what this principal can do: asked before anybody does.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result};
use tenantry_policy::{Answer, Possible, PrincipalKind, PrincipalName, Reducer, Unknown, permissions, possible};
use tenantry_store::{ByScope, List};

use super::role_caller;
use crate::{
    access::Check,
    authenticate::user_caller,
    authorize::owner,
    context::{self, Sources},
    cx::{Caller, RequestInfo},
    directory::{Role, User, kind},
    kernel::Kernel,
};

/// Principals that are looked at for one question.
const PRINCIPALS: usize = 100_000;
/// Rows that are read at once.
const PAGE: usize = 1_000;
/// No session can have this name: it stands for any.
const ANY: &str = "*";

/// A principal and whether it can.
#[derive(Debug, Serialize)]
pub struct CanReach {
    /// The user's or role's ARN; `anonymous` for anybody without credentials.
    pub principal: String,
    /// Whether it can, and what that hangs on.
    #[serde(flatten)]
    pub possible: Possible,
}

/// What a question about everybody found.
#[derive(Debug, Serialize)]
pub struct Reach {
    /// `service:Action`.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// Who can, and who can under conditions, by ARN.
    pub principals: Vec<CanReach>,
    /// How many were looked at and cannot.
    pub denied: usize,
    /// Whether some were not looked at.
    pub truncated: bool,
}

/// What everybody's question shares.
struct Question<'a> {
    kernel: &'a Kernel,
    request: RequestInfo,
    region: Region,
    check: Check,
    reducer: Reducer,
    found: Reach,
    looked: usize,
    /// ARNs of the role sessions that the resource's policy names.
    named: Vec<String>,
}

impl Kernel {
    /// Who can do `action` on `resource`: all users and all roles (by any session of theirs) of `account`, or of all
    /// accounts, and the anonymous. Neither requests nor sessions are known, so where they matter the answer says
    /// on what it hangs. The root users of accounts are not listed. `progress` is told how many were looked at.
    ///
    /// # Errors
    /// When the resource is no ARN, or policies cannot be read.
    pub async fn can_reach(
        &self,
        action: &str,
        resource: &str,
        account: Option<&AccountId>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Reach> {
        let (region, check) = self.check_of(action, resource, &HashMap::new()).await?;
        let found = Reach { action: action.to_owned(), resource: resource.to_owned(), principals: Vec::new(), denied: 0, truncated: false };
        let request = RequestInfo::internal(self.now(), "tenantry explain");
        let mut question = Question { kernel: self, request, region, check, reducer: Reducer::new(), found, looked: 0, named: Vec::new() };
        question.named = question.named_sessions().await?;
        let scope = account.map_or(ByScope::All, ByScope::Account);
        for of in [kind::USER, kind::ROLE] {
            let mut after: Option<String> = None;
            loop {
                let mut page = List::by(of, scope).limit(PAGE);
                page.after = after.as_deref();
                let rows = self.store().list(&page).await?;
                let Some(last) = rows.last() else { break };
                let next = last.id.clone();
                for row in &rows {
                    let caller = if of == kind::USER {
                        user_caller(&row.body::<User>()?, &row.scope.account)
                    } else {
                        role_caller(&row.body::<Role>()?, &row.scope.account, ANY)
                    };
                    if question.looked >= PRINCIPALS {
                        question.found.truncated = true;
                        return Ok(question.found);
                    }
                    question.ask(&caller).await?;
                    for name in question.sessions_of(&caller) {
                        let role: Role = row.body()?;
                        question.ask(&role_caller(&role, &row.scope.account, &name)).await?;
                    }
                }
                progress(question.looked);
                after = Some(next);
            }
        }
        if account.is_none() {
            question.ask(&anonymous()).await?;
        }
        question.found.principals.sort_by(|a, b| (a.possible.answer, &a.principal).cmp(&(b.possible.answer, &b.principal)));
        Ok(question.found)
    }

    /// What a user or a role can do, of `actions`: permissions of its identity policies, less what boundaries, control
    /// policies and denies take of them. What resource policies grant beyond is answered by [`Kernel::can_reach`].
    ///
    /// # Errors
    /// When there is no such principal, or policies cannot be read.
    pub async fn permissions_of(&self, principal: &str, actions: &[&str]) -> Result<Value> {
        let caller = self.caller_of(principal).await?;
        let own = self.principal_layers(&caller).await?;
        let organization = self.organization_of(&caller.account).await?;
        let request = RequestInfo::internal(self.now(), "tenantry explain");
        let check = Check::any("sts:GetCallerIdentity");
        let sources = Sources {
            caller: &caller,
            request: &request,
            region: &Region::from("us-east-1"),
            check: &check,
            resource_account: &caller.account,
            resource_tags: &[],
            caller_org: &organization,
            resource_org: &organization,
        };
        let context = context::build(&sources);
        let layers = tenantry_policy::Layers {
            identity: &own.identity,
            boundary: own.boundary.as_ref(),
            service_control: &organization.service_control,
            ..tenantry_policy::Layers::default()
        };
        let found = permissions(&mut Reducer::new(), &caller.principal, &context, &layers, actions);
        let arn = caller.principal.role_arn.as_deref().unwrap_or(&caller.arn);
        Ok(json!({ "principal": arn, "permissions": found }))
    }
}

impl Question<'_> {
    async fn named_sessions(&self) -> Result<Vec<String>> {
        let judged = self.kernel.judge(&anonymous(), &self.request, &self.region, &self.check).await?;
        let policy = judged.resource_policy.as_ref().map(|attached| &attached.policy);
        let mut named: Vec<String> = policy
            .into_iter()
            .flat_map(|policy| policy.principals())
            .filter_map(|name| if let PrincipalName::Session(arn) = name { Some(arn.clone()) } else { None })
            .collect();
        named.sort();
        named.dedup();
        Ok(named)
    }

    /// Names of the sessions of a role that the resource's policy names.
    fn sessions_of(&self, caller: &Caller) -> Vec<String> {
        let Some(sessions) = caller.arn.strip_suffix(ANY).filter(|_| caller.principal.role_arn.is_some()) else { return Vec::new() };
        let mut names: Vec<String> = self.named.iter().filter_map(|arn| arn.strip_prefix(sessions)).map(str::to_owned).collect();
        names.dedup();
        names
    }

    async fn ask(&mut self, caller: &Caller) -> Result<()> {
        self.looked += 1;
        let judged = self.kernel.judge(caller, &self.request, &self.region, &self.check).await?;
        let unknown = Unknown { session: caller.principal.kind == PrincipalKind::AssumedRole, resource: false };
        let possible = possible(&mut self.reducer, &judged.request(caller, &self.check), &judged.layers(), unknown);
        if possible.answer == Answer::Denied {
            self.found.denied += 1;
            return Ok(());
        }
        // A role stands for any session of it; where one is named, that one is told by itself.
        let any = caller.principal.session_name.as_deref() == Some(ANY);
        let principal = caller.principal.role_arn.clone().filter(|_| any).unwrap_or_else(|| caller.arn.clone());
        self.found.principals.push(CanReach { principal, possible });
        Ok(())
    }
}

fn anonymous() -> Caller {
    let principal = tenantry_policy::Principal::anonymous();
    Caller {
        arn: principal.arn.clone(),
        account: AccountId::default(),
        user_id: String::new(),
        user_name: None,
        tags: Vec::new(),
        session: None,
        access_key: String::new(),
        via: Vec::new(),
        source_arn: None,
        principal,
    }
}

impl Kernel {
    /// The check of a question, with the policy that is stored for its resource.
    pub(super) async fn check_of(&self, action: &str, resource: &str, keys: &HashMap<String, String>) -> Result<(Region, Check)> {
        if !action.contains(':') || action.len() > 128 {
            return Err(AwsError::validation(format!("`{action}` is no action: write service:Action")));
        }
        let arn = if resource == "*" { None } else { Some(Arn::parse(resource).map_err(|e| AwsError::validation(e.to_string()))?) };
        let region = arn.as_ref().map(|a| a.region()).filter(|r| !r.is_empty()).unwrap_or("us-east-1").to_owned();
        let (policy, account) = self.stored_policy_for(arn.as_ref()).await?;
        let check = Check { resource: arn, account, policy, ..Check::any(super::interned(action)?) };
        let check = keys.iter().fold(check, |check, (name, value)| check.key(name.as_str(), value.as_str()));
        let account = Some(owner(&check, &anonymous())).filter(|account| !account.as_str().is_empty());
        Ok((Region::from(region), Check { account, ..check }))
    }
}
