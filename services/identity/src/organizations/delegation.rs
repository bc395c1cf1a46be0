//! Trusted access of services, and accounts that administer a service for the organization.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AccountId, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::Batch;

use super::{
    error,
    org::{self, Delegate, ListInput, Org, Standing, answer},
};
use tenantry_kernel::operation;

/// Delegated administrators of one service.
const DELEGATES: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServiceInput {
    service_principal: String,
}

fn check_service(service: &str) -> Result<()> {
    if service.ends_with(".amazonaws.com") {
        return Ok(());
    }
    Err(error::invalid("UNRECOGNIZED_SERVICE_PRINCIPAL", "You specified a service principal that we don't recognize."))
}

async fn resolve_service(_: &Cx, action: &'static str, input: &ServiceInput) -> Result<Checks> {
    Ok(Check::any(action).key("organizations:ServicePrincipal", input.service_principal.as_str()).into())
}

async fn enable(cx: &Cx, _: Permit<EnableAWSServiceAccess>, input: ServiceInput) -> Result<Reply> {
    let mut org = Org::of(cx, Standing::Management).await?;
    check_service(&input.service_principal)?;
    org.doc.services.entry(input.service_principal).or_insert(cx.now());
    org.commit(cx, Batch::new()).await?;
    Ok(Reply::empty())
}

async fn disable(cx: &Cx, _: Permit<DisableAWSServiceAccess>, input: ServiceInput) -> Result<Reply> {
    let mut org = Org::of(cx, Standing::Management).await?;
    check_service(&input.service_principal)?;
    org.doc.services.remove(&input.service_principal);
    org.doc.delegates.retain(|delegate| delegate.service != input.service_principal);
    org.commit(cx, Batch::new()).await?;
    Ok(Reply::empty())
}

async fn list_services(cx: &Cx, _: Permit<ListAWSServiceAccessForOrganization>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let items =
        org.doc.services.iter().map(|(service, since)| (service.clone(), json!({ "ServicePrincipal": service, "DateEnabled": since })));
    answer("EnabledServicePrincipals", items.collect(), input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DelegateInput {
    account_id: String,
    service_principal: String,
}

async fn resolve_delegate(cx: &Cx, action: &'static str, input: &DelegateInput) -> Result<Checks> {
    let checks = org::on(cx, action, &[&input.account_id]).await?;
    Ok(checks.iter().cloned().map(|check| check.key("organizations:ServicePrincipal", input.service_principal.as_str())).collect())
}

async fn register(cx: &Cx, _: Permit<RegisterDelegatedAdministrator>, input: DelegateInput) -> Result<Reply> {
    let mut org = Org::of(cx, Standing::Management).await?;
    check_service(&input.service_principal)?;
    let (_, account) = org.account(cx, &input.account_id).await?.ok_or_else(error::account_not_found)?;
    if account.management {
        return Err(error::constraint(
            "CANNOT_REGISTER_MASTER_AS_DELEGATED_ADMINISTRATOR",
            "You attempted to register the management account of the organization as a delegated administrator for an AWS service integrated with Organizations.",
        ));
    }
    if account.status != "ACTIVE" {
        return Err(error::constraint(
            "CANNOT_REGISTER_SUSPENDED_ACCOUNT_AS_DELEGATED_ADMINISTRATOR",
            "You attempted to register a suspended account as a delegated administrator.",
        ));
    }
    if !org.doc.services.contains_key(&input.service_principal) {
        return Err(error::constraint(
            "SERVICE_ACCESS_NOT_ENABLED",
            "You attempted to register a delegated administrator before you enabled service access.",
        ));
    }
    let of_service = org.doc.delegates.iter().filter(|delegate| delegate.service == input.service_principal);
    if of_service.clone().any(|delegate| delegate.account == account.id) {
        return Err(error::named(
            "AccountAlreadyRegisteredException",
            "The specified account is already a delegated administrator for this AWS service.",
        ));
    }
    if of_service.count() >= DELEGATES {
        return Err(error::constraint(
            "MAX_DELEGATED_ADMINISTRATORS_FOR_SERVICE_LIMIT_EXCEEDED",
            "You attempted to register more delegated administrators than allowed for the service principal.",
        ));
    }
    org.doc.delegates.push(Delegate { account: account.id, service: input.service_principal, since: cx.now() });
    org.commit(cx, Batch::new()).await?;
    Ok(Reply::empty())
}

async fn deregister(cx: &Cx, _: Permit<DeregisterDelegatedAdministrator>, input: DelegateInput) -> Result<Reply> {
    let mut org = Org::of(cx, Standing::Management).await?;
    let before = org.doc.delegates.len();
    org.doc.delegates.retain(|delegate| delegate.service != input.service_principal || delegate.account != input.account_id.as_str());
    if org.doc.delegates.len() == before {
        return Err(error::named(
            "AccountNotRegisteredException",
            "The specified account is not a delegated administrator for this AWS service.",
        ));
    }
    org.commit(cx, Batch::new()).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListDelegatesInput {
    service_principal: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_delegates(_: &Cx, action: &'static str, input: &ListDelegatesInput) -> Result<Checks> {
    Ok(Check::any(action).key_if("organizations:ServicePrincipal", input.service_principal.as_deref()).into())
}

async fn list_delegates(cx: &Cx, _: Permit<ListDelegatedAdministrators>, input: ListDelegatesInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let mut items: Vec<(String, serde_json::Value)> = Vec::new();
    for delegate in &org.doc.delegates {
        let wanted = input.service_principal.as_ref().is_none_or(|service| *service == delegate.service);
        if !wanted || items.iter().any(|(id, _)| delegate.account == id.as_str()) {
            continue;
        }
        if let Some((_, account)) = org.account(cx, delegate.account.as_str()).await? {
            let mut shown = org.show_account(&account);
            shown["DelegationEnabledDate"] = json!(delegate.since);
            items.push((account.id.to_string(), shown));
        }
    }
    answer("DelegatedAdministrators", items, input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServicesInput {
    account_id: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_services(cx: &Cx, action: &'static str, input: &ServicesInput) -> Result<Checks> {
    org::on(cx, action, &[&input.account_id]).await
}

async fn services_of(cx: &Cx, _: Permit<ListDelegatedServicesForAccount>, input: ServicesInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let account = AccountId::from(input.account_id.as_str());
    let own = org.doc.delegates.iter().filter(|delegate| delegate.account == account);
    let items: Vec<_> = own
        .map(|delegate| {
            (delegate.service.clone(), json!({ "ServicePrincipal": delegate.service, "DelegationEnabledDate": delegate.since }))
        })
        .collect();
    if items.is_empty() {
        return Err(error::named(
            "AccountNotRegisteredException",
            "The specified account is not a delegated administrator for this AWS service.",
        ));
    }
    answer("DelegatedServices", items, input.next_token.as_deref(), input.max_results)
}

operation!("organizations", EnableAWSServiceAccess, ["*"] + ["organizations:ServicePrincipal"], ServiceInput, resolve_service, enable);
operation!("organizations", DisableAWSServiceAccess, ["*"] + ["organizations:ServicePrincipal"], ServiceInput, resolve_service, disable);
operation!("organizations", ListAWSServiceAccessForOrganization, ["*"], ListInput, org::resolve_any, list_services);
operation!(
    "organizations",
    RegisterDelegatedAdministrator,
    ["account"] + ["organizations:ServicePrincipal"],
    DelegateInput,
    resolve_delegate,
    register
);
operation!(
    "organizations",
    DeregisterDelegatedAdministrator,
    ["account"] + ["organizations:ServicePrincipal"],
    DelegateInput,
    resolve_delegate,
    deregister
);
operation!(
    "organizations",
    ListDelegatedAdministrators,
    ["*"] + ["organizations:ServicePrincipal"],
    ListDelegatesInput,
    resolve_delegates,
    list_delegates
);
operation!("organizations", ListDelegatedServicesForAccount, ["account"], ServicesInput, resolve_services, services_of);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<EnableAWSServiceAccess>(),
    OperationRow::of::<DisableAWSServiceAccess>(),
    OperationRow::of::<ListAWSServiceAccessForOrganization>(),
    OperationRow::of::<RegisterDelegatedAdministrator>(),
    OperationRow::of::<DeregisterDelegatedAdministrator>(),
    OperationRow::of::<ListDelegatedAdministrators>(),
    OperationRow::of::<ListDelegatedServicesForAccount>(),
];
