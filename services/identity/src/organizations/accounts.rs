//! Accounts of the organization: Describe, List, Move, Close, Remove.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AccountId, Result};
use tenantry_kernel::{Checks, Cx, OperationRow, Permit, Reply, directory::Account};
use tenantry_store::{Batch, Row};

use super::{
    error,
    org::{self, ListInput, Org, Standing, answer},
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountInput {
    account_id: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &AccountInput) -> Result<Checks> {
    org::on(cx, action, &[&input.account_id]).await
}

async fn find(org: &Org, cx: &Cx, id: &str) -> Result<(Row, Account)> {
    org.account(cx, id).await?.ok_or_else(error::account_not_found)
}

async fn describe(cx: &Cx, _: Permit<DescribeAccount>, input: AccountInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let (_, account) = find(&org, cx, &input.account_id).await?;
    Ok(json!({ "Account": org.show_account(&account) }).into())
}

async fn list(cx: &Cx, _: Permit<ListAccounts>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let accounts = org.accounts(&cx.kernel, None).await?;
    let items = accounts.iter().map(|(row, account)| (row.id.clone(), org.show_account(account))).collect();
    answer("Accounts", items, input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ParentInput {
    parent_id: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_parent(cx: &Cx, action: &'static str, input: &ParentInput) -> Result<Checks> {
    org::on(cx, action, &[&input.parent_id]).await
}

async fn list_for_parent(cx: &Cx, _: Permit<ListAccountsForParent>, input: ParentInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    org.unit(cx, &input.parent_id).await?.ok_or_else(error::parent_not_found)?;
    let accounts = org.accounts(&cx.kernel, Some(&input.parent_id)).await?;
    let items = accounts.iter().map(|(row, account)| (row.id.clone(), org.show_account(account))).collect();
    answer("Accounts", items, input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MoveInput {
    account_id: String,
    source_parent_id: String,
    destination_parent_id: String,
}

async fn resolve_move(cx: &Cx, action: &'static str, input: &MoveInput) -> Result<Checks> {
    org::on(cx, action, &[&input.account_id, &input.source_parent_id, &input.destination_parent_id]).await
}

fn update(batch: &mut Batch, mut row: Row, account: &Account, cx: &Cx) -> Result<()> {
    row.parent.clone_from(&account.parent);
    row.status.clone_from(&account.status);
    row.set_body(account)?;
    batch.update(row.at(cx.now()));
    Ok(())
}

async fn move_account(cx: &Cx, _: Permit<MoveAccount>, input: MoveInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (row, mut account) = find(&org, cx, &input.account_id).await?;
    if account.parent != input.source_parent_id {
        return Err(error::named("SourceParentNotFoundException", "You specified a source parent that doesn't exist."));
    }
    if org.unit(cx, &input.destination_parent_id).await?.is_none() {
        return Err(error::named("DestinationParentNotFoundException", "You specified destination parent that doesn't exist."));
    }
    if account.parent == input.destination_parent_id {
        return Err(error::named("DuplicateAccountException", "That account is already present in the specified destination."));
    }
    account.parent = input.destination_parent_id;
    let mut batch = Batch::new();
    update(&mut batch, row, &account, cx)?;
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

/// Closes an account. It stays in the organization, suspended; its data stays.
async fn close(cx: &Cx, _: Permit<CloseAccount>, input: AccountInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (row, mut account) = find(&org, cx, &input.account_id).await?;
    if account.management {
        return Err(error::constraint(
            "CANNOT_CLOSE_MANAGEMENT_ACCOUNT",
            "You attempted to close the management account of the organization.",
        ));
    }
    if account.status != "ACTIVE" {
        return Err(error::named("AccountAlreadyClosedException", "You attempted to close an account that is already closed."));
    }
    no_delegate(&org, &account.id)?;
    account.status = "SUSPENDED".to_owned();
    let mut batch = Batch::new();
    update(&mut batch, row, &account, cx)?;
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

fn no_delegate(org: &Org, account: &AccountId) -> Result<()> {
    if org.doc.delegates.iter().any(|delegate| delegate.account == *account) {
        return Err(error::constraint(
            "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG",
            "You attempted to remove an account that is registered as a delegated administrator for a service principal. You must first deregister the account.",
        ));
    }
    Ok(())
}

/// The account goes on by itself, free of control policies. The role by which the management account
/// administers it stays, as in AWS: it is the account's to delete.
async fn remove(cx: &Cx, _: Permit<RemoveAccountFromOrganization>, input: AccountInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (row, mut account) = find(&org, cx, &input.account_id).await?;
    if account.management {
        return Err(error::named("MasterCannotLeaveOrganizationException", "You can't remove a management account from an organization."));
    }
    no_delegate(&org, &account.id)?;
    account.organization.clear();
    account.parent.clear();
    account.policies.clear();
    account.managed_by = AccountId::default();
    let mut batch = Batch::new();
    batch.set_tags(org.target_arn(account.id.as_str()).as_str(), Vec::new());
    update(&mut batch, row, &account, cx)?;
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

operation!("organizations", DescribeAccount, ["account"], AccountInput, resolve, describe);
operation!("organizations", ListAccounts, ["*"], ListInput, org::resolve_any, list);
operation!("organizations", ListAccountsForParent, ["organizationalunit", "root"], ParentInput, resolve_parent, list_for_parent);
operation!("organizations", MoveAccount, ["account", "organizationalunit", "root"], MoveInput, resolve_move, move_account);
operation!("organizations", CloseAccount, ["account"], AccountInput, resolve, close);
operation!("organizations", RemoveAccountFromOrganization, ["account"], AccountInput, resolve, remove);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<DescribeAccount>(),
    OperationRow::of::<ListAccounts>(),
    OperationRow::of::<ListAccountsForParent>(),
    OperationRow::of::<MoveAccount>(),
    OperationRow::of::<CloseAccount>(),
    OperationRow::of::<RemoveAccountFromOrganization>(),
];
