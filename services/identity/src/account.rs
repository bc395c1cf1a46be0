//! Accounts: reading them, and what a new one begins with.

use tenantry_core::{AccountId, Result, Scope, Timestamp};
use tenantry_kernel::{
    Ids,
    directory::{Account, Policies, Role, kind},
};
use tenantry_store::{Batch, Expect, Row, Store};

use crate::iam;

/// The role by which the management account administers an account that it made.
pub(crate) const ACCESS_ROLE: &str = "OrganizationAccountAccessRole";

/// An account of this instance.
pub(crate) async fn get(store: &dyn Store, id: &AccountId) -> Result<Option<Account>> {
    match store.get(kind::ACCOUNT, &Scope::global(id.clone()), id.as_str()).await? {
        Some(row) => Ok(Some(row.body()?)),
        None => Ok(None),
    }
}

/// Twelve digits that no account of this instance has.
pub(crate) async fn free_id(store: &dyn Store) -> Result<AccountId> {
    loop {
        let id = AccountId::from(Ids::digits(12));
        if get(store, &id).await?.is_none() {
            return Ok(id);
        }
    }
}

/// The row of an account.
pub(crate) fn row(account: &Account, now: Timestamp) -> Result<Row> {
    let scope = Scope::global(account.id.clone());
    Ok(Row::new(kind::ACCOUNT, &scope, account.id.as_str(), now)
        .name(&account.name)
        .status(&account.status)
        .parent(&account.parent)
        .with(account)?)
}

/// Adds an account, and the role that lets its management account in, to a batch.
///
/// # Errors
/// Internal, when a document is not JSON.
pub(crate) fn add_member(batch: &mut Batch, account: &Account, role: &str, now: Timestamp) -> Result<()> {
    batch.put(row(account, now)?, Expect::Absent);
    let scope = Scope::global(account.id.clone());
    let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{}:root", account.managed_by) },
        "Action": "sts:AssumeRole",
    }] });
    let role = Role {
        id: Ids::unique("AROA"),
        arn: iam::entity::arn_of::<Role>(&account.id, "/", role),
        name: role.to_owned(),
        path: "/".to_owned(),
        created: now,
        description: String::new(),
        trust: trust.to_string(),
        trusted_ids: std::collections::BTreeMap::new(),
        max_session: 3600,
        policies: Policies { inline: std::collections::BTreeMap::new(), attached: vec![crate::managed::ADMINISTRATOR.to_owned()] },
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: None,
    };
    batch.put(iam::entity::row_of(&scope, &role, now)?, Expect::Absent);
    Ok(())
}
