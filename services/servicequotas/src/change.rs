//! RequestServiceQuotaIncrease, and the requests that were made.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_compute::quota::{self, Applied, MOST_INSTANCES};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Cx, Ids, Permit, Reply};
use tenantry_store::{Batch, ByScope, CommitError, Expect, Kind, List, Row};

use crate::{
    SAGEMAKER, SAGEMAKER_NAME, arn, illegal, missing, named, operation,
    page::page,
    read::{APPLIED, any, on_quota},
    service, text,
};

/// A request; id: begins with its time; parent: the quota's code.
const REQUEST: Kind = Kind::new("servicequotas.request");
/// Requests that an account can have made in a region.
pub(crate) const MOST_REQUESTS: u64 = 1000;
/// A quota is seldom asked for twice at the same instant.
const CONFLICTS: usize = 20;

operation!(RequestServiceQuotaIncrease, ["quota"] + ["servicequotas:service"], on_quota, request);
operation!(GetRequestedServiceQuotaChange, ["*"] + [], any, get);
operation!(ListRequestedServiceQuotaChangeHistory, ["*"] + [], any, list);
operation!(ListRequestedServiceQuotaChangeHistoryByQuota, ["quota"] + ["servicequotas:service"], on_quota, list_by_quota);

/// What a request's row holds; its status is the row's.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    desired: u64,
    by: String,
}

fn shown(row: &Row) -> Result<Value> {
    let request: Request = row.body()?;
    let quota = quota::quota(&row.parent);
    Ok(json!({
        "Id": row.id,
        "ServiceCode": SAGEMAKER,
        "ServiceName": SAGEMAKER_NAME,
        "QuotaCode": row.parent,
        "QuotaName": quota.map(|quota| quota.name.as_str()).unwrap_or_default(),
        "QuotaArn": arn(&row.scope, SAGEMAKER, &row.parent),
        "DesiredValue": request.desired,
        "Status": row.status,
        "Created": row.created,
        "LastUpdated": row.updated,
        "Requester": json!({"accountId": row.scope.account, "callerArn": request.by}).to_string(),
        "GlobalQuota": false,
        "Unit": "None",
        "QuotaRequestedAtLevel": "ACCOUNT",
    }))
}

async fn request(cx: &Cx, permit: Permit<RequestServiceQuotaIncrease>, input: Value) -> Result<Reply> {
    let (scope, now) = (permit.scope(), cx.now());
    let quota = named(&input)?;
    if !input["ContextId"].is_null() {
        return Err(illegal("ContextId is not for this quota: it applies to the account."));
    }
    let wanted = input["DesiredValue"].as_f64().unwrap_or_default();
    // The model bounds it to ten thousand million.
    let desired = wanted as u64;
    if wanted.fract() != 0.0 {
        return Err(illegal("DesiredValue must be a whole number of instances."));
    }
    for _ in 0..CONFLICTS {
        let row = cx.kernel.store().get(APPLIED, scope, &quota.code).await?;
        let value = row.as_ref().map(|row| row.body::<Applied>()).transpose()?.map_or(quota.default, |applied| applied.value);
        if desired <= value {
            return Err(illegal(format!("You must provide a quota value greater than the current quota value of {value}.")));
        }
        if cx.kernel.store().count(REQUEST, ByScope::Exact(scope), None).await? >= MOST_REQUESTS {
            let text = format!("You have exceeded your service quota: at most {MOST_REQUESTS} requests can be made in a region.");
            return Err(AwsError::new(400, "QuotaExceededException", text));
        }
        let approved = desired <= MOST_INSTANCES;
        let mut batch = Batch::new();
        let id = format!("{:013x}{}", now.millis().max(0), Ids::lower(19));
        let made = Row::new(REQUEST, scope, id, now).parent(&quota.code).status(if approved { "APPROVED" } else { "NOT_APPROVED" });
        let made = made.with(&Request { desired, by: cx.caller.arn.to_string() })?;
        batch.put(made.clone(), Expect::Absent);
        if approved {
            let expect = row.as_ref().map_or(Expect::Absent, |row| Expect::Version(row.version));
            let applied = row.unwrap_or_else(|| Row::new(APPLIED, scope, &quota.code, now)).at(now);
            batch.put(applied.with(&Applied { value: desired })?, expect);
        }
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => {
                done?;
                return Ok(Reply::new(json!({"RequestedQuota": shown(&made)?})));
            }
        }
    }
    Err(AwsError::new(400, "TooManyRequestsException", "Too many requests for this quota at the same time: try again."))
}

async fn get(cx: &Cx, permit: Permit<GetRequestedServiceQuotaChange>, input: Value) -> Result<Reply> {
    let row = cx.kernel.store().get(REQUEST, permit.scope(), text(&input, "RequestId")).await?;
    Ok(Reply::new(json!({"RequestedQuota": shown(&row.ok_or_else(|| missing("request"))?)?})))
}

async fn list(cx: &Cx, permit: Permit<ListRequestedServiceQuotaChangeHistory>, input: Value) -> Result<Reply> {
    if !input["ServiceCode"].is_null() {
        service(&input)?;
    }
    history(cx, permit.scope(), &input, None).await
}

async fn list_by_quota(cx: &Cx, permit: Permit<ListRequestedServiceQuotaChangeHistoryByQuota>, input: Value) -> Result<Reply> {
    let quota = named(&input)?;
    history(cx, permit.scope(), &input, Some(&quota.code)).await
}

/// The newest first.
async fn history(cx: &Cx, scope: &Scope, input: &Value, code: Option<&str>) -> Result<Reply> {
    let query = List::of(REQUEST, scope).reverse(true);
    let rows = cx.kernel.store().list(&code.map_or(query, |code| query.parent(code))).await?;
    let status = input["Status"].as_str();
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| status.is_none_or(|status| row.status == status)) {
        found.push((row.id.as_str(), shown(row)?));
    }
    page(input, "RequestedQuotas", &found, |(id, _)| id, |(_, shown)| shown.clone())
}
