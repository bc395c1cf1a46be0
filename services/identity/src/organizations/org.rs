//! The organization as operations see it: loaded, with the caller's standing in it; and its ARNs.
//!
//! There is one organization per instance; its rows are in the management account's global scope.
//! Every change of its shape also rewrites the organization's row, so that of two changes at once one
//! is answered `ConcurrentModificationException` and nothing half-true is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, Result, Scope, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Kernel, Reply,
    directory::{Account, OrgPolicy, Unit, kind},
};
use tenantry_store::{Batch, ByScope, CommitError, List, Row};

use super::error;
use crate::{account, page};

/// The id of the organization's row.
pub(crate) const ROW: &str = "organization";
/// What a list answers where MaxResults is not given; AWS's most.
const PAGE: usize = 20;

/// An account that administers a service for the organization.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delegate {
    pub account: AccountId,
    pub service: String,
    pub since: Timestamp,
}

/// The document of [`kind::ORGANIZATION`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Organization {
    /// `o-…`.
    pub id: String,
    /// `ALL` or `CONSOLIDATED_BILLING`.
    pub feature_set: String,
    /// `r-…`.
    pub root: String,
    /// Of the management account.
    pub email: String,
    /// Services with trusted access, and since when.
    #[serde(default)]
    pub services: BTreeMap<String, Timestamp>,
    #[serde(default)]
    pub delegates: Vec<Delegate>,
}

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Any account of the organization.
    Member,
    /// The management account, or a delegated administrator of any service.
    Delegate,
    /// The management account.
    Management,
}

/// The organization, loaded.
pub(crate) struct Org {
    /// Where its rows are.
    pub scope: Scope,
    pub management: AccountId,
    pub doc: Organization,
    row: Row,
}

impl Org {
    /// Without regard to a caller.
    pub(crate) async fn load(kernel: &Kernel) -> Result<Option<Self>> {
        let management = kernel.management_account().await?;
        let scope = Scope::global(management.clone());
        let Some(row) = kernel.store().get(kind::ORGANIZATION, &scope, ROW).await? else { return Ok(None) };
        Ok(Some(Self { doc: row.body()?, scope, management, row }))
    }

    /// For a caller of this standing.
    ///
    /// # Errors
    /// `AWSOrganizationsNotInUseException`, `AccessDeniedException`.
    pub(crate) async fn of(cx: &Cx, standing: Standing) -> Result<Self> {
        let org = Self::load(&cx.kernel).await?.ok_or_else(error::not_in_use)?;
        let caller = &cx.caller.account;
        let account = account::get(cx.kernel.store(), caller).await?.ok_or_else(error::not_in_use)?;
        if account.organization != org.doc.id {
            return Err(error::not_in_use());
        }
        let delegate = || org.doc.delegates.iter().any(|delegate| delegate.account == *caller);
        let enough = match standing {
            Standing::Member => true,
            Standing::Delegate => *caller == org.management || delegate(),
            Standing::Management => *caller == org.management,
        };
        if enough { Ok(org) } else { Err(error::access_denied()) }
    }

    /// Commits a change of the organization's shape.
    ///
    /// # Errors
    /// `ConcurrentModificationException`.
    pub(crate) async fn commit(mut self, cx: &Cx, mut batch: Batch) -> Result<()> {
        self.lock(&mut batch)?;
        match cx.commit(batch).await {
            Ok(()) => Ok(()),
            Err(CommitError::Store(fault)) => Err(fault.into()),
            Err(_) => Err(error::concurrent()),
        }
    }

    /// Adds the organization's own row, as it is now, to a batch.
    pub(crate) fn lock(&mut self, batch: &mut Batch) -> Result<()> {
        self.row.set_body(&self.doc)?;
        batch.update(self.row.clone());
        Ok(())
    }

    /// The row that was loaded: for its removal.
    pub(crate) fn version(&self) -> u64 {
        self.row.version
    }

    pub(crate) fn arn(&self) -> Arn {
        self.own("organization", None)
    }
    fn own(&self, noun: &str, id: Option<&str>) -> Arn {
        let rest = id.map(|id| format!("/{id}")).unwrap_or_default();
        Arn::new("organizations", "", self.management.as_str(), format!("{noun}/{}{rest}", self.doc.id))
    }
    /// The ARN of an account, root or OU.
    pub(crate) fn target_arn(&self, id: &str) -> Arn {
        let noun = if id.starts_with("r-") {
            "root"
        } else if id.starts_with("ou-") {
            "ou"
        } else {
            "account"
        };
        self.own(noun, Some(id))
    }
    pub(crate) fn policy_arn(&self, policy: &OrgPolicy) -> Arn {
        let of_type = policy.policy_type.to_lowercase();
        match policy.aws_managed {
            true => Arn::new("organizations", "", "aws", format!("policy/{of_type}/{}", policy.id)),
            false => self.own("policy", Some(&format!("{of_type}/{}", policy.id))),
        }
    }

    /// A root or OU.
    pub(crate) async fn unit(&self, cx: &Cx, id: &str) -> Result<Option<(Row, Unit)>> {
        match cx.kernel.store().get(kind::UNIT, &self.scope, id).await? {
            Some(row) => Ok(Some((row.clone(), row.body()?))),
            None => Ok(None),
        }
    }
    /// The root.
    pub(crate) async fn root(&self, cx: &Cx) -> Result<(Row, Unit)> {
        self.unit(cx, &self.doc.root).await?.ok_or_else(|| tenantry_core::AwsError::internal("the organization has no root"))
    }
    /// OUs directly under a root or OU.
    pub(crate) async fn units_under(&self, cx: &Cx, parent: &str) -> Result<Vec<(Row, Unit)>> {
        let rows = cx.kernel.store().list(&List::of(kind::UNIT, &self.scope).parent(parent)).await?;
        rows.into_iter().map(|row| Ok((row.clone(), row.body()?))).collect()
    }
    /// Root and OUs.
    pub(crate) async fn units(&self, cx: &Cx) -> Result<Vec<(Row, Unit)>> {
        let rows = cx.kernel.store().list(&List::of(kind::UNIT, &self.scope)).await?;
        rows.into_iter().map(|row| Ok((row.clone(), row.body()?))).collect()
    }
    /// An account of this organization.
    pub(crate) async fn account(&self, cx: &Cx, id: &str) -> Result<Option<(Row, Account)>> {
        let Some(row) = cx.kernel.store().get(kind::ACCOUNT, &Scope::global(id), id).await? else { return Ok(None) };
        let account: Account = row.body()?;
        Ok((account.organization == self.doc.id).then_some((row, account)))
    }
    /// The accounts of this organization, of one parent where it is given.
    pub(crate) async fn accounts(&self, kernel: &Kernel, parent: Option<&str>) -> Result<Vec<(Row, Account)>> {
        let mut list = List::by(kind::ACCOUNT, ByScope::All);
        list.parent = parent;
        let mut found = Vec::new();
        for row in kernel.store().list(&list).await? {
            let account: Account = row.body()?;
            if account.organization == self.doc.id {
                found.push((row, account));
            }
        }
        Ok(found)
    }
    pub(crate) async fn policy(&self, cx: &Cx, id: &str) -> Result<Option<(Row, OrgPolicy)>> {
        match cx.kernel.store().get(kind::ORG_POLICY, &self.scope, id).await? {
            Some(row) => Ok(Some((row.clone(), row.body()?))),
            None => Ok(None),
        }
    }
    pub(crate) async fn policies(&self, cx: &Cx) -> Result<Vec<OrgPolicy>> {
        let rows = cx.kernel.store().list(&List::of(kind::ORG_POLICY, &self.scope)).await?;
        rows.iter().map(|row| Ok(row.body()?)).collect()
    }

    pub(crate) fn show_account(&self, account: &Account) -> Value {
        json!({
            "Id": account.id, "Arn": self.target_arn(account.id.as_str()), "Email": account.email, "Name": account.name,
            "Status": account.status,
            "State": if account.status == "SUSPENDED" { "CLOSED" } else { account.status.as_str() },
            "JoinedMethod": if account.management { "INVITED" } else { "CREATED" },
            "JoinedTimestamp": account.joined,
        })
    }
    pub(crate) fn show_unit(&self, unit: &Unit) -> Value {
        json!({ "Id": unit.id, "Arn": self.target_arn(&unit.id), "Name": unit.name })
    }
}

/// Checks on members of the organization, named by their ids. Organizations' resources are the
/// management account's, but a caller is judged by its own policies, and its account's standing is
/// judged by the handler: hence `owned_by` the caller.
pub(crate) async fn on(cx: &Cx, action: &'static str, ids: &[&str]) -> Result<Checks> {
    let mut checks = Checks::none();
    for id in ids {
        let arn = match Org::load(&cx.kernel).await? {
            None => None,
            // One that is not there is named as if it were: the refusal does not tell.
            Some(org) if id.starts_with("p-") => Some(match org.policy(cx, id).await? {
                Some((_, policy)) => org.policy_arn(&policy),
                None => org.own("policy", Some(&format!("service_control_policy/{id}"))),
            }),
            Some(org) if id.is_empty() => Some(org.arn()),
            Some(org) => Some(org.target_arn(id)),
        };
        let check = match arn {
            Some(arn) => Check::on(action, arn),
            None => Check::any(action),
        };
        checks = checks.and(check.owned_by(cx.caller.account.clone()));
    }
    Ok(checks)
}

/// For actions without a resource type.
pub(crate) async fn resolve_any<I>(_: &Cx, action: &'static str, _: &I) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// What lists without further members take.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    pub next_token: Option<String>,
    pub max_results: Option<usize>,
}

/// A page of `items`, which come with their keys.
///
/// # Errors
/// `InvalidInputException` for a token that is not ours.
pub(crate) fn answer(member: &str, items: Vec<(String, Value)>, token: Option<&str>, max: Option<usize>) -> Result<Reply> {
    let page = page::page(items, token, max.unwrap_or(PAGE)).map_err(|_| error::bad_token())?;
    let mut output = json!({ member: page.items });
    if let Some(next) = page.next {
        output["NextToken"] = next.into();
    }
    Ok(output.into())
}
