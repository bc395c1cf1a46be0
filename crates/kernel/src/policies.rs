//! Policies ready to be judged: compiled once per text, gathered per principal and per account.
//!
//! What is gathered is remembered under the store's revision, which every change of a principal or
//! policy raises; the sessions of a role share what is the role's. What is compiled outlives changes of
//! other policies. A policy that should be there and cannot be read is an error, never "not set".

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tenantry_core::{AccountId, Arn, AwsError, Result, Scope};
use tenantry_policy::{Attached, Policy, PolicyKind, PolicySet};

use crate::{
    cx::Caller,
    directory::{Account, Group, ManagedPolicy, OrgPolicy, Policies, Role, Unit, User, kind},
    kernel::Kernel,
    remembered::Remembered,
};

/// Bytes of compiled policies that are remembered, about: some ten thousand short ones.
const COMPILED: usize = 32 * 1024 * 1024;
/// Bytes of what is gathered for principals, about, without the policies that they share.
const PRINCIPALS: usize = 24 * 1024 * 1024;
/// Bytes of what is gathered for accounts, about.
const ACCOUNTS: usize = 8 * 1024 * 1024;
/// Bindings of one text to principals that are remembered.
const BINDINGS: usize = 8;
/// AWS nests OUs five deep under the root.
const MAX_LEVELS: usize = 12;

/// The body of a [`kind::RESOURCE_POLICY`] row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// The JSON text.
    pub document: String,
    /// Principal ARN -> unique id when it was saved.
    #[serde(default)]
    pub principal_ids: BTreeMap<String, String>,
}

/// A caller's own layers.
#[derive(Debug, Default)]
pub struct PrincipalLayers {
    /// Identity policies, groups' included.
    pub identity: PolicySet,
    /// The permissions boundary.
    pub boundary: Option<Attached>,
    /// Session policies; `None` where none was passed.
    pub session: Option<PolicySet>,
}

/// An account's place in the organization.
#[derive(Debug, Default)]
pub struct OrganizationView {
    /// `o-…`; empty outside an organization.
    pub id: String,
    /// `o-…/r-…/ou-…/`: `aws:PrincipalOrgPaths`.
    pub path: String,
    /// The management account; empty outside an organization.
    pub management: AccountId,
    /// Service control policies by level, root first; empty where they do not apply.
    pub service_control: Vec<PolicySet>,
    /// Resource control policies by level.
    pub resource_control: Vec<PolicySet>,
}

/// A value and the store's revision before it was read.
type Gathered<K, V> = Remembered<K, (u64, Arc<V>)>;

/// A compiled text, and what its principals are bound to.
type Bound = (Arc<Policy>, Arc<BTreeMap<String, String>>);

/// What is remembered.
pub(crate) struct PolicyCache {
    /// By the hash of kind and text; texts that share one are neighbours.
    compiled: Remembered<u64, Vec<Bound>>,
    hashes: RandomState,
    principals: Gathered<String, PrincipalLayers>,
    accounts: Gathered<AccountId, OrganizationView>,
}

impl Default for PolicyCache {
    fn default() -> Self {
        Self {
            compiled: Remembered::new(COMPILED),
            hashes: RandomState::new(),
            principals: Remembered::new(PRINCIPALS),
            accounts: Remembered::new(ACCOUNTS),
        }
    }
}

fn recall<K: std::hash::Hash + Eq, V>(cache: &Gathered<K, V>, key: &K, revision: u64) -> Option<Arc<V>> {
    cache.get(key).filter(|(at, _)| *at == revision).map(|(_, value)| value)
}

/// What a compiled policy weighs: its text, and the statements and patterns made of it.
fn weight_of(policy: &Policy, ids: &BTreeMap<String, String>) -> usize {
    1024 + 6 * policy.text().len() + ids.iter().map(|(arn, id)| 64 + arn.len() + id.len()).sum::<usize>()
}

/// What a set weighs without its policies, which are shared: who has them, and the index where there are many.
fn weight_of_set(set: &PolicySet) -> usize {
    64 + set.iter().map(|attached| 192 + attached.id.len()).sum::<usize>()
}

impl PrincipalLayers {
    fn weight(&self) -> usize {
        256 + weight_of_set(&self.identity) + self.session.as_ref().map_or(0, weight_of_set)
    }
}

impl OrganizationView {
    fn weight(&self) -> usize {
        256 + self.path.len() + self.service_control.iter().chain(&self.resource_control).map(weight_of_set).sum::<usize>()
    }
}

impl Kernel {
    /// A policy from its text.
    ///
    /// # Errors
    /// Internal when a stored text does not parse: what was saved was checked.
    pub fn compile(&self, text: &str, kind: PolicyKind, principal_ids: &BTreeMap<String, String>) -> Result<Arc<Policy>> {
        let cache = &self.inner().policies;
        let hash = cache.hashes.hash_one((kind, text));
        let mut held = cache.compiled.get(&hash).unwrap_or_default();
        let same = |(policy, ids): &&Bound| policy.kind() == kind && policy.text() == text && **ids == *principal_ids;
        if let Some((policy, _)) = held.iter().find(same) {
            return Ok(Arc::clone(policy));
        }
        let mut policy =
            Policy::parse(text, kind).map_err(|e| AwsError::internal(format!("a stored policy does not parse: {}", e.message)))?;
        if !principal_ids.is_empty() {
            policy.resolve_principals(&|arn| principal_ids.get(arn).cloned());
        }
        let policy = Arc::new(policy);
        // One text under ever new ids: only the latest few stay.
        if held.len() >= BINDINGS {
            held.remove(0);
        }
        held.push((Arc::clone(&policy), Arc::new(principal_ids.clone())));
        let weight = held.iter().map(|(policy, ids)| weight_of(policy, ids)).sum();
        cache.compiled.put(hash, held, weight);
        Ok(policy)
    }

    fn compile_plain(&self, text: &str, kind: PolicyKind) -> Result<Arc<Policy>> {
        self.compile(text, kind, &BTreeMap::new())
    }

    /// The document of a managed policy, AWS's or an account's, compiled.
    ///
    /// # Errors
    /// `NoSuchEntity` (internal to callers that require it to be there).
    pub async fn managed_policy(&self, arn: &str, kind_: PolicyKind) -> Result<Arc<Policy>> {
        if let Some(policy) = self.inner().managed.get(arn) {
            return Ok(Arc::clone(policy));
        }
        let missing = || AwsError::internal(format!("the managed policy {arn} is attached and not there"));
        let parsed = Arn::parse(arn).map_err(AwsError::internal)?;
        let name = parsed.resource().rsplit('/').next().unwrap_or_default().to_lowercase();
        let row = self.store().get(kind::POLICY, &Scope::global(parsed.account()), &name).await?.ok_or_else(missing)?;
        let policy: ManagedPolicy = row.body()?;
        self.compile_plain(policy.document().ok_or_else(missing)?, kind_)
    }

    async fn attached(&self, policies: &Policies, owner: &str, group: bool, into: &mut Vec<Attached>) -> Result<()> {
        for arn in &policies.attached {
            let policy = self.managed_policy(arn, PolicyKind::Identity).await?;
            into.push(if group { Attached::group(arn, policy) } else { Attached::managed(arn, policy) });
        }
        for (name, text) in &policies.inline {
            let policy = self.compile_plain(text, PolicyKind::Identity)?;
            let id = format!("{owner}/{name}");
            into.push(if group { Attached::group(&id, policy) } else { Attached::inline(&id, policy) });
        }
        Ok(())
    }

    /// The caller's identity policies, boundary and session policies.
    ///
    /// # Errors
    /// When a policy that should be there cannot be read.
    pub async fn principal_layers(&self, caller: &Caller) -> Result<Arc<PrincipalLayers>> {
        let revision = self.store().revision();
        let cache = &self.inner().policies.principals;
        let principal = &caller.principal;
        let key = match caller.session.as_ref().and_then(|session| session.policies.as_ref()) {
            // Internal callers may share an ARN and differ in their session policies: those are not remembered.
            Some(_) => Some(&caller.access_key).filter(|key| !key.is_empty()),
            None => Some(principal.role_arn.as_ref().or(principal.user_arn.as_ref()).unwrap_or(&caller.arn)),
        };
        if let Some(key) = key
            && let Some(layers) = recall(cache, key, revision)
        {
            return Ok(layers);
        }
        let layers = Arc::new(self.gather_principal(caller).await?);
        if let Some(key) = key {
            cache.put(key.clone(), (revision, Arc::clone(&layers)), key.len() + layers.weight());
        }
        Ok(layers)
    }

    async fn gather_principal(&self, caller: &Caller) -> Result<PrincipalLayers> {
        let mut layers = PrincipalLayers::default();
        let mut identity = Vec::new();
        let scope = Scope::global(caller.account.clone());
        let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_lowercase();
        if let Some(role_arn) = &caller.principal.role_arn {
            let row = self.store().get(kind::ROLE, &scope, &last(role_arn)).await?;
            let role: Role = row.ok_or_else(|| AwsError::internal(format!("{role_arn} is gone")))?.body()?;
            self.attached(&role.policies, &role.name, false, &mut identity).await?;
            layers.boundary = self.boundary(role.boundary.as_deref()).await?;
        } else if let Some(user_arn) = &caller.principal.user_arn {
            let row = self.store().get(kind::USER, &scope, &last(user_arn)).await?;
            let user: User = row.ok_or_else(|| AwsError::internal(format!("{user_arn} is gone")))?.body()?;
            self.attached(&user.policies, &user.name, false, &mut identity).await?;
            for name in &user.groups {
                let row = self.store().get(kind::GROUP, &scope, name).await?;
                let group: Group = row.ok_or_else(|| AwsError::internal(format!("group {name} of {user_arn} is gone")))?.body()?;
                self.attached(&group.policies, &group.name, true, &mut identity).await?;
            }
            layers.boundary = self.boundary(user.boundary.as_deref()).await?;
        }
        if let Some(session) = &caller.session
            && let Some(texts) = &session.policies
        {
            let mut policies = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                policies.push(Attached::inline(&format!("session-policy-{index}"), self.compile_plain(text, PolicyKind::Session)?));
            }
            layers.session = Some(policies.into());
        }
        layers.identity = identity.into();
        Ok(layers)
    }

    async fn boundary(&self, arn: Option<&str>) -> Result<Option<Attached>> {
        match arn {
            None => Ok(None),
            Some(arn) => Ok(Some(Attached::managed(arn, self.managed_policy(arn, PolicyKind::Boundary).await?))),
        }
    }

    /// Where an account stands in the organization, and the policies above it.
    ///
    /// # Errors
    /// When a policy that should be there cannot be read.
    pub async fn organization_of(&self, account: &AccountId) -> Result<Arc<OrganizationView>> {
        let revision = self.store().revision();
        let cache = &self.inner().policies.accounts;
        if let Some(view) = recall(cache, account, revision) {
            return Ok(view);
        }
        let view = Arc::new(self.gather_organization(account).await?);
        cache.put(account.clone(), (revision, Arc::clone(&view)), view.weight());
        Ok(view)
    }

    async fn gather_organization(&self, id: &AccountId) -> Result<OrganizationView> {
        let Some(row) = self.store().get(kind::ACCOUNT, &Scope::global(id.clone()), id.as_str()).await? else {
            return Ok(OrganizationView::default());
        };
        let account: Account = row.body()?;
        if account.organization.is_empty() {
            return Ok(OrganizationView::default());
        }
        let scope = Scope::global(account.managed_by.clone());
        let mut units = Vec::new();
        let mut parent = account.parent.clone();
        while !parent.is_empty() {
            let row = self.store().get(kind::UNIT, &scope, &parent).await?;
            let unit: Unit = row.ok_or_else(|| AwsError::internal(format!("the unit {parent} is gone")))?.body()?;
            parent.clone_from(&unit.parent);
            units.push(unit);
            if units.len() > MAX_LEVELS {
                return Err(AwsError::internal("the organization's units form a circle"));
            }
        }
        units.reverse();
        let mut path = format!("{}/", account.organization);
        for unit in &units {
            path.push_str(&unit.id);
            path.push('/');
        }
        let management = account.managed_by.clone();
        let mut view = OrganizationView { id: account.organization.clone(), path, management, ..OrganizationView::default() };
        let enabled = |of: &str| units.first().is_some_and(|root| root.enabled_types.iter().any(|t| t == of));
        // "SCPs do not affect users or roles in the management account"; RCPs do not apply to its resources either.
        if account.management {
            return Ok(view);
        }
        let levels: Vec<&[String]> = units.iter().map(|u| u.policies.as_slice()).chain([account.policies.as_slice()]).collect();
        if enabled("SERVICE_CONTROL_POLICY") {
            view.service_control = self.levels(&scope, &levels, "SERVICE_CONTROL_POLICY", PolicyKind::ServiceControl).await?;
        }
        if enabled("RESOURCE_CONTROL_POLICY") {
            view.resource_control = self.levels(&scope, &levels, "RESOURCE_CONTROL_POLICY", PolicyKind::ResourceControl).await?;
        }
        Ok(view)
    }

    async fn levels(&self, scope: &Scope, levels: &[&[String]], of: &str, kind_: PolicyKind) -> Result<Vec<PolicySet>> {
        let mut out = Vec::with_capacity(levels.len());
        for ids in levels {
            let mut level = Vec::new();
            for id in *ids {
                let row = self.store().get(kind::ORG_POLICY, scope, id).await?;
                let policy: OrgPolicy = row.ok_or_else(|| AwsError::internal(format!("the policy {id} is gone")))?.body()?;
                if policy.policy_type == of {
                    level.push(Attached::managed(id, self.compile_plain(&policy.document, kind_)?));
                }
            }
            out.push(level.into());
        }
        Ok(out)
    }

    /// The stored resource-based policy of an ARN owned by `account`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn resource_policy(&self, arn: &Arn, account: &AccountId, region: &tenantry_core::Region) -> Result<Option<Attached>> {
        let scope = if arn.region().is_empty() { Scope::global(account.clone()) } else { Scope::new(account.clone(), region.clone()) };
        let Some(row) = self.store().get(kind::RESOURCE_POLICY, &scope, arn.as_str()).await? else { return Ok(None) };
        let stored: StoredPolicy = row.body()?;
        let policy = self.compile(&stored.document, PolicyKind::Resource, &stored.principal_ids)?;
        Ok(Some(Attached::inline(arn.as_str(), policy)))
    }
}
