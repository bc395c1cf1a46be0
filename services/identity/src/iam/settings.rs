//! The account as a whole: its alias and its summary.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope};
use tenantry_kernel::{
    Check, Checks, Cx, OperationRow, Permit, Reply,
    directory::{Group, ManagedPolicy, Role, User},
};
use tenantry_store::{Batch, ByScope, CommitError, Expect, Kind, List, Row};

use super::{
    entity::{self, Entity},
    error, mfa,
    policies::Usage,
    profiles::Profile,
    quota,
};
use tenantry_kernel::operation;

/// Aliases; id = the alias. An account has at most one.
const ALIAS: Kind = Kind::new("iam.alias");
/// Aliases are unique among all accounts.
const ALIAS_NAMES: &str = "account-alias";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AliasInput {
    account_alias: String,
}

async fn resolve_alias(_: &Cx, action: &'static str, _: &AliasInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn aliases(cx: &Cx, scope: &Scope) -> Result<Vec<Row>> {
    Ok(cx.kernel.store().list(&List::of(ALIAS, scope)).await?)
}

/// The account's alias, or else its id.
pub(crate) async fn shown_name(cx: &Cx, scope: &Scope) -> Result<String> {
    Ok(aliases(cx, scope).await?.into_iter().next().map_or_else(|| scope.account.to_string(), |row| row.id))
}

async fn create_alias(cx: &Cx, permit: Permit<CreateAccountAlias>, input: AliasInput) -> Result<Reply> {
    let scope = permit.global();
    let mut batch = Batch::new();
    // The new alias takes the place of the old one.
    for old in aliases(cx, &scope).await? {
        batch.release_unique(ALIAS_NAMES, old.id.clone());
        batch.delete(ALIAS, &scope, old.id, Expect::Any);
    }
    batch.claim_unique(ALIAS_NAMES, input.account_alias.clone(), scope.account.to_string());
    batch.put(Row::new(ALIAS, &scope, input.account_alias.clone(), cx.now()), Expect::Any);
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        Err(CommitError::UniqueTaken { .. }) => {
            Err(error::already_exists(format!("The account alias {} already exists.", input.account_alias)))
        }
        Err(other) => Err(other.into()),
    }
}

async fn delete_alias(cx: &Cx, permit: Permit<DeleteAccountAlias>, input: AliasInput) -> Result<Reply> {
    let scope = permit.global();
    let missing = || error::no_such_entity(format!("The account alias {} cannot be found.", input.account_alias));
    cx.kernel.store().get(ALIAS, &scope, &input.account_alias).await?.ok_or_else(missing)?;
    let mut batch = Batch::new();
    batch.delete(ALIAS, &scope, input.account_alias.clone(), Expect::Present);
    batch.release_unique(ALIAS_NAMES, input.account_alias.clone());
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        Err(CommitError::NotFound { .. }) => Err(missing()),
        Err(other) => Err(other.into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list_aliases(cx: &Cx, permit: Permit<ListAccountAliases>, input: ListInput) -> Result<Reply> {
    let items = aliases(cx, &permit.global()).await?.into_iter().map(|row| (row.id.clone(), json!(row.id))).collect();
    entity::answer("AccountAliases", items, input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
pub(crate) struct SummaryInput {}

async fn resolve_summary(_: &Cx, action: &'static str, _: &SummaryInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn count<E: Entity>(cx: &Cx, scope: &Scope) -> Result<u64> {
    Ok(cx.kernel.store().count(E::KIND, ByScope::Exact(scope), None).await?)
}

async fn summary(cx: &Cx, permit: Permit<GetAccountSummary>, _: SummaryInput) -> Result<Reply> {
    let scope = permit.global();
    let policies = entity::all::<ManagedPolicy>(cx, &scope).await?;
    let (devices, in_use_devices) = mfa::count(cx, &scope).await?;
    // Counted by use: AWS's policies that are attached occur in this number too.
    let in_use: u32 = Usage::of(cx, &scope).await?.attached.values().sum();
    Ok(json!({ "SummaryMap": {
        "Users": count::<User>(cx, &scope).await?, "UsersQuota": quota::USERS,
        "Groups": count::<Group>(cx, &scope).await?, "GroupsQuota": quota::GROUPS,
        "Roles": count::<Role>(cx, &scope).await?, "RolesQuota": quota::ROLES,
        "InstanceProfiles": count::<Profile>(cx, &scope).await?, "InstanceProfilesQuota": quota::PROFILES,
        "Policies": policies.len(), "PoliciesQuota": quota::POLICIES,
        "PolicyVersionsInUse": in_use, "PolicyVersionsInUseQuota": 10_000,
        "PolicySizeQuota": quota::MANAGED_POLICY, "VersionsPerPolicyQuota": quota::VERSIONS,
        "UserPolicySizeQuota": quota::USER_INLINE, "GroupPolicySizeQuota": quota::GROUP_INLINE,
        "RolePolicySizeQuota": quota::ROLE_INLINE, "AssumeRolePolicySizeQuota": quota::TRUST_POLICY,
        "AttachedPoliciesPerUserQuota": quota::ATTACHED, "AttachedPoliciesPerGroupQuota": quota::ATTACHED,
        "AttachedPoliciesPerRoleQuota": quota::ATTACHED, "GroupsPerUserQuota": quota::GROUPS_PER_USER,
        "AccessKeysPerUserQuota": quota::ACCESS_KEYS, "AccountAccessKeysPresent": 0, "AccountMFAEnabled": 0, "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0, "MFADevices": devices, "MFADevicesInUse": in_use_devices, "Providers": 0,
        "ServerCertificates": 0, "ServerCertificatesQuota": 20, "SigningCertificatesPerUserQuota": quota::SIGNING_CERTIFICATES,
        "GlobalEndpointTokenVersion": 1,
    } })
    .into())
}

operation!("iam", CreateAccountAlias, ["*"], AliasInput, resolve_alias, create_alias);
operation!("iam", DeleteAccountAlias, ["*"], AliasInput, resolve_alias, delete_alias);
operation!("iam", ListAccountAliases, ["*"], ListInput, resolve_list, list_aliases);
operation!("iam", GetAccountSummary, ["*"], SummaryInput, resolve_summary, summary);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateAccountAlias>(),
    OperationRow::of::<DeleteAccountAlias>(),
    OperationRow::of::<ListAccountAliases>(),
    OperationRow::of::<GetAccountSummary>(),
];
