//! GetCallerIdentity and GetAccessKeyInfo: who is it?

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope};
use tenantry_kernel::{
    Access, Check, Checks, Cx, Operation, OperationRow, Permit, Reply,
    directory::{ACCESS_KEY_NAMES, kind},
};
use tenantry_policy::PrincipalKind;

use super::error;
use tenantry_kernel::operation;

#[derive(Deserialize)]
pub(crate) struct NoInput {}

/// `sts:GetCallerIdentity`
pub(crate) struct GetCallerIdentity;

impl Operation for GetCallerIdentity {
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "GetCallerIdentity";
    const ACCESS: Access =
        Access::CallerOnly("no permission is needed and none can be taken away: it tells callers what their own credentials say");
    type Input = NoInput;

    async fn resolve(_: &Cx, _: &NoInput) -> Result<Checks> {
        Ok(Checks::none())
    }

    async fn handle(cx: &Cx, _: Permit<Self>, _: NoInput) -> Result<Reply> {
        let caller = &cx.caller;
        let user_id = if caller.principal.kind == PrincipalKind::Root { caller.account.as_str() } else { caller.user_id.as_str() };
        Ok(json!({ "UserId": user_id, "Account": caller.account, "Arn": caller.arn }).into())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyInput {
    access_key_id: String,
}

async fn resolve(_: &Cx, action: &'static str, _: &KeyInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// The account of a key, also of another account: AWS answers for any key.
async fn key_info(cx: &Cx, _: Permit<GetAccessKeyInfo>, input: KeyInput) -> Result<Reply> {
    let owner = cx.kernel.store().unique(ACCESS_KEY_NAMES, &input.access_key_id).await?;
    let account = owner.ok_or_else(|| error::validation("The access key id is not known to this instance."))?;
    // A key is told only while it exists.
    let scope = Scope::global(account.as_str());
    let store = cx.kernel.store();
    let there = store.get(kind::ACCESS_KEY, &scope, &input.access_key_id).await?.is_some()
        || store.get(kind::SESSION, &scope, &input.access_key_id).await?.is_some();
    if !there {
        return Err(error::validation("The access key id is not known to this instance."));
    }
    Ok(json!({ "Account": account }).into())
}

operation!("sts", GetAccessKeyInfo, ["*"], KeyInput, resolve, key_info);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<GetCallerIdentity>(), OperationRow::of::<GetAccessKeyInfo>()];
