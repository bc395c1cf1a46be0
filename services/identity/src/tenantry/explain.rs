//! ExplainAuthorization and EvaluateAuthorization: why a request was denied, and what would decide one.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, DENIAL, OperationRow, Permit, Reply, seen_by};

use super::error;
use tenantry_kernel::operation;

/// Context keys of a question; as for the simulation of policies.
const MAX_CONTEXT_KEYS: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ById {
    authorization_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Question {
    principal_arn: String,
    action_name: String,
    resource_arn: Option<String>,
    #[serde(default)]
    context: HashMap<String, String>,
}

async fn resolve<T>(_: &Cx, action: &'static str, _: &T) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn explain(cx: &Cx, permit: Permit<ExplainAuthorization>, input: ById) -> Result<Reply> {
    let id = input.authorization_id.as_str();
    let row = cx.kernel.store().get(DENIAL, &permit.global(), id).await?.ok_or_else(|| error::no_such_authorization(id))?;
    let mut stored: Value = row.body()?;
    let seen = |checks: &Value| -> Vec<Value> {
        checks.as_array().into_iter().flatten().map(|check| seen_by(check, permit.account().as_str())).collect()
    };
    let checks = seen(&stored["explanation"]["checks"]);
    stored["explanation"] = json!({ "checks": checks });
    Ok(json!({ "Explanation": stored }).into())
}

/// A principal of the caller's own account: others are not told apart.
pub(super) fn own_principal(account: &AccountId, arn: &str) -> Result<()> {
    match Arn::parse(arn) {
        Ok(parsed) if parsed.account() == account.as_str() => Ok(()),
        Ok(_) => Err(error::another_account(arn)),
        Err(fault) => Err(error::validation(fault.to_string())),
    }
}

/// A resource that the caller's own account owns, or that belongs to no account.
pub(super) async fn own_resource(cx: &Cx, account: &AccountId, arn: &str) -> Result<()> {
    if arn == "*" {
        return Ok(());
    }
    let parsed = Arn::parse(arn).map_err(|fault| error::validation(fault.to_string()))?;
    let owner = match parsed.service() {
        "s3" => {
            let bucket = parsed.resource().split('/').next().unwrap_or_default();
            // A bucket that nobody has is answered like another account's: its absence is not told.
            cx.kernel.store().unique("bucket", bucket).await?.unwrap_or_default()
        }
        _ => parsed.account().to_owned(),
    };
    if owner == account.as_str() { Ok(()) } else { Err(error::another_account(arn)) }
}

async fn evaluate(cx: &Cx, permit: Permit<EvaluateAuthorization>, input: Question) -> Result<Reply> {
    let resource = input.resource_arn.as_deref().unwrap_or("*");
    own_principal(permit.account(), &input.principal_arn)?;
    own_resource(cx, permit.account(), resource).await?;
    if input.context.len() > MAX_CONTEXT_KEYS {
        return Err(error::validation(format!("More than {MAX_CONTEXT_KEYS} context keys: leave out those that no policy asks for.")));
    }
    let mut answer = cx.kernel.explain(&input.principal_arn, &input.action_name, resource, &input.context).await?;
    let checks: Vec<Value> =
        answer["checks"].as_array().into_iter().flatten().map(|check| seen_by(check, permit.account().as_str())).collect();
    answer["checks"] = json!(checks);
    Ok(json!({ "Explanation": answer }).into())
}

operation!("tenantry", ExplainAuthorization, ["*"], ById, resolve, explain);
operation!("tenantry", EvaluateAuthorization, ["*"], Question, resolve, evaluate);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<ExplainAuthorization>(), OperationRow::of::<EvaluateAuthorization>()];
