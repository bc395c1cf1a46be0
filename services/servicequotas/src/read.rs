//! ListServices, ListServiceQuotas, GetServiceQuota, and the same of the defaults.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_compute::quota::{self, Applied, Quota};
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Kind, List};

use crate::{SAGEMAKER, SAGEMAKER_NAME, arn, named, operation, page::page, service, text};

/// Values other than the defaults.
pub(crate) const APPLIED: Kind = Kind::new(quota::APPLIED);

operation!(ListServices, ["*"] + [], any, services);
operation!(ListServiceQuotas, ["*"] + [], any, list);
operation!(GetServiceQuota, ["quota"] + ["servicequotas:service"], on_quota, get);
operation!(ListAWSDefaultServiceQuotas, ["*"] + [], any, list_defaults);
operation!(GetAWSDefaultServiceQuota, ["*"] + [], any, get_default);

pub(crate) async fn any(_: &Cx, action: &'static str, _: &Value) -> Result<Checks> {
    Ok(Check::any(action).into())
}

pub(crate) async fn on_quota(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let service = text(input, "ServiceCode");
    Ok(Check::on(action, arn(&cx.scope(), service, text(input, "QuotaCode"))).key("servicequotas:service", service).into())
}

async fn services(_: &Cx, _: Permit<ListServices>, input: Value) -> Result<Reply> {
    page(&input, "Services", &[SAGEMAKER], |code| code, |code| json!({"ServiceCode": code, "ServiceName": SAGEMAKER_NAME}))
}

/// A quota as it is shown.
fn shown(quota: &Quota, arn: &Arn, value: u64) -> Value {
    json!({
        "ServiceCode": SAGEMAKER,
        "ServiceName": SAGEMAKER_NAME,
        "QuotaArn": arn,
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": value,
        "Unit": "None",
        "Adjustable": true,
        "GlobalQuota": false,
        "QuotaAppliedAtLevel": "ACCOUNT",
    })
}

async fn list(cx: &Cx, permit: Permit<ListServiceQuotas>, input: Value) -> Result<Reply> {
    service(&input)?;
    let scope = permit.scope();
    let mut applied = BTreeMap::new();
    for row in cx.kernel.store().list(&List::of(APPLIED, scope)).await? {
        applied.insert(row.id.clone(), row.body::<Applied>()?.value);
    }
    let chosen: Vec<&Quota> = match input["QuotaCode"].as_str() {
        Some(_) => vec![named(&input)?],
        None => quota::quotas().iter().collect(),
    };
    let value = |quota: &Quota| applied.get(&quota.code).copied().unwrap_or(quota.default);
    page(&input, "Quotas", &chosen, |quota| &quota.code, |quota| shown(quota, &arn(scope, SAGEMAKER, &quota.code), value(quota)))
}

async fn get(cx: &Cx, permit: Permit<GetServiceQuota>, input: Value) -> Result<Reply> {
    let quota = named(&input)?;
    let value = value(cx, permit.scope(), quota).await?;
    Ok(Reply::new(json!({"Quota": shown(quota, &arn(permit.scope(), SAGEMAKER, &quota.code), value)})))
}

/// What an account has of a quota.
pub(crate) async fn value(cx: &Cx, scope: &Scope, quota: &Quota) -> Result<u64> {
    let applied = cx.kernel.store().get(APPLIED, scope, &quota.code).await?;
    Ok(applied.map(|row| row.body::<Applied>()).transpose()?.map_or(quota.default, |applied| applied.value))
}

/// The defaults are nobody's: their ARNs have no account.
fn default_arn(scope: &Scope, quota: &Quota) -> Arn {
    Arn::new("servicequotas", scope.region.as_str(), "", format_args!("{SAGEMAKER}/{}", quota.code))
}

async fn list_defaults(_: &Cx, permit: Permit<ListAWSDefaultServiceQuotas>, input: Value) -> Result<Reply> {
    service(&input)?;
    let scope = permit.scope();
    page(&input, "Quotas", quota::quotas(), |quota| &quota.code, |quota| shown(quota, &default_arn(scope, quota), quota.default))
}

async fn get_default(_: &Cx, permit: Permit<GetAWSDefaultServiceQuota>, input: Value) -> Result<Reply> {
    let quota = named(&input)?;
    Ok(Reply::new(json!({"Quota": shown(quota, &default_arn(permit.scope(), quota), quota.default)})))
}
