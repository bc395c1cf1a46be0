//! The account's password policy: Update, Get, Delete.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, directory::kind};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{error, password::Rules};
use tenantry_kernel::operation;

/// An account has one.
const ID: &str = "account";

#[derive(Deserialize)]
pub(crate) struct NoInput {}

async fn resolve(_: &Cx, action: &'static str, _: &NoInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn resolve_update(_: &Cx, action: &'static str, _: &Rules) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// The account's own rules, if it has set any.
///
/// # Errors
/// Internal.
pub(crate) async fn rules(cx: &Cx, scope: &Scope) -> Result<Option<Rules>> {
    let row = cx.kernel.store().get(kind::PASSWORD_POLICY, scope, ID).await?;
    Ok(row.as_ref().map(Row::body).transpose()?)
}

async fn update(cx: &Cx, permit: Permit<UpdateAccountPasswordPolicy>, input: Rules) -> Result<Reply> {
    let mut batch = Batch::new();
    // What the call does not name goes back to its default.
    batch.put(Row::new(kind::PASSWORD_POLICY, &permit.global(), ID, cx.now()).with(&input)?, Expect::Any);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

fn missing(scope: &Scope) -> tenantry_core::AwsError {
    error::no_such_entity(format!("The Password Policy with domain name {} cannot be found.", scope.account))
}

async fn get(cx: &Cx, permit: Permit<GetAccountPasswordPolicy>, _: NoInput) -> Result<Reply> {
    let scope = permit.global();
    let rules = rules(cx, &scope).await?.ok_or_else(|| missing(&scope))?;
    let mut shown = json!(rules);
    shown["ExpirePasswords"] = json!(rules.max_password_age.is_some());
    Ok(json!({ "PasswordPolicy": shown }).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteAccountPasswordPolicy>, _: NoInput) -> Result<Reply> {
    let scope = permit.global();
    let mut batch = Batch::new();
    batch.delete(kind::PASSWORD_POLICY, &scope, ID, Expect::Present);
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        Err(CommitError::NotFound { .. }) => Err(missing(&scope)),
        Err(other) => Err(other.into()),
    }
}

operation!("iam", UpdateAccountPasswordPolicy, ["*"], Rules, resolve_update, update);
operation!("iam", GetAccountPasswordPolicy, ["*"], NoInput, resolve, get);
operation!("iam", DeleteAccountPasswordPolicy, ["*"], NoInput, resolve, delete);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<UpdateAccountPasswordPolicy>(),
    OperationRow::of::<GetAccountPasswordPolicy>(),
    OperationRow::of::<DeleteAccountPasswordPolicy>(),
];
