//! ListReachablePrincipals and ListPermissions: who can do this on that, and what this principal can do.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Access, Check, Checks, Cx, OperationRow, Permit, Reply};

use super::{
    error,
    explain::{own_principal, own_resource},
};
use tenantry_kernel::operation;

/// Principals in one answer where the call does not say.
const PAGE: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Who {
    action_name: String,
    resource_arn: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct What {
    principal_arn: String,
    service_prefix: Option<String>,
}

async fn resolve<T>(_: &Cx, action: &'static str, _: &T) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn who(cx: &Cx, permit: Permit<ListReachablePrincipals>, input: Who) -> Result<Reply> {
    own_resource(cx, permit.account(), &input.resource_arn).await?;
    let found = cx.kernel.can_reach(&input.action_name, &input.resource_arn, Some(permit.account()), &|_| {}).await?;
    let start = match &input.next_token {
        None => 0,
        Some(token) => {
            let at = found.principals.iter().position(|one| one.principal == *token);
            at.ok_or_else(|| error::validation("NextToken is not one of this listing: begin again"))? + 1
        }
    };
    let rest = &found.principals[start..];
    let page = &rest[..rest.len().min(input.max_results.unwrap_or(PAGE))];
    let mut output = json!({ "Principals": page, "DeniedCount": found.denied, "Truncated": found.truncated });
    if page.len() < rest.len()
        && let Some(last) = page.last()
    {
        output["NextToken"] = json!(last.principal);
    }
    Ok(output.into())
}

async fn what(cx: &Cx, permit: Permit<ListPermissions>, input: What) -> Result<Reply> {
    own_principal(permit.account(), &input.principal_arn)?;
    let mut actions = BTreeSet::new();
    for row in cx.kernel.operations() {
        if let Access::Check { action, alternatives, dependent, .. } = row.access() {
            actions.extend(std::iter::once(action).chain(alternatives.iter().copied()).chain(dependent.iter().copied()));
        }
    }
    let of = |action: &&str| input.service_prefix.as_deref().is_none_or(|prefix| action.split(':').next() == Some(prefix));
    let actions: Vec<&str> = actions.into_iter().filter(of).collect();
    let found: Value = cx.kernel.permissions_of(&input.principal_arn, &actions).await?;
    Ok(json!({ "PrincipalArn": found["principal"], "Permissions": found["permissions"] }).into())
}

operation!("tenantry", ListReachablePrincipals, ["*"], Who, resolve, who);
operation!("tenantry", ListPermissions, ["*"], What, resolve, what);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<ListReachablePrincipals>(), OperationRow::of::<ListPermissions>()];
