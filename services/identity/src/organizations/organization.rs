//! The organization itself: Create, Describe, Delete; and what a new one begins with.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::{
    Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Account, OrgPolicy, Unit, kind},
};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    error,
    org::{self, Org, Organization, ROW, Standing},
};
use crate::account;
use tenantry_kernel::operation;

/// AWS's policies that let everything pass: id, name, type.
pub(crate) const FULL_ACCESS: &[(&str, &str, &str)] = &[
    ("p-FullAWSAccess", "FullAWSAccess", "SERVICE_CONTROL_POLICY"),
    ("p-RCPFullAWSAccess", "RCPFullAWSAccess", "RESOURCE_CONTROL_POLICY"),
];

fn full_access_document(of_type: &str) -> String {
    let mut statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    if of_type == "RESOURCE_CONTROL_POLICY" {
        statement["Principal"] = json!("*");
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Adds a new organization of which `account` is the management account (and makes it that) to a batch.
///
/// # Errors
/// Internal, when a document is not JSON.
pub(crate) fn found(batch: &mut Batch, account: &mut Account, feature_set: &str, now: Timestamp) -> Result<Organization> {
    let scope = Scope::global(account.id.clone());
    let root = Unit {
        id: format!("r-{}", Ids::lower(4)),
        name: "Root".to_owned(),
        parent: String::new(),
        policies: Vec::new(),
        enabled_types: Vec::new(),
    };
    let organization = Organization {
        id: format!("o-{}", Ids::lower(10)),
        feature_set: feature_set.to_owned(),
        root: root.id.clone(),
        email: account.email.clone(),
        services: std::collections::BTreeMap::new(),
        delegates: Vec::new(),
    };
    account.organization.clone_from(&organization.id);
    account.management = true;
    account.managed_by = account.id.clone();
    account.parent.clone_from(&root.id);
    batch.put(Row::new(kind::ORGANIZATION, &scope, ROW, now).name(&organization.id).with(&organization)?, Expect::Absent);
    batch.put(Row::new(kind::UNIT, &scope, root.id.clone(), now).name(&root.name).with(&root)?, Expect::Absent);
    for (id, name, of_type) in FULL_ACCESS {
        let policy = OrgPolicy {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            description: "Allows access to every operation".to_owned(),
            policy_type: (*of_type).to_owned(),
            document: full_access_document(of_type),
            aws_managed: true,
        };
        batch.put(Row::new(kind::ORG_POLICY, &scope, *id, now).name(*name).with(&policy)?, Expect::Any);
    }
    Ok(organization)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    feature_set: Option<String>,
}

/// Only the account that was the management account before can found it anew: the instance has one.
async fn create(cx: &Cx, permit: Permit<CreateOrganization>, input: CreateInput) -> Result<Reply> {
    let mut own = account::get(cx.kernel.store(), permit.account()).await?.ok_or_else(error::access_denied)?;
    if !own.organization.is_empty() || Org::load(&cx.kernel).await?.is_some() {
        return Err(error::already_in_organization());
    }
    if cx.kernel.management_account().await? != own.id {
        return Err(error::access_denied());
    }
    let now = cx.now();
    let mut batch = Batch::new();
    found(&mut batch, &mut own, input.feature_set.as_deref().unwrap_or("ALL"), now)?;
    batch.put(account::row(&own, now)?, Expect::Present);
    match cx.commit(batch).await {
        Ok(()) => {}
        Err(CommitError::Conflict { .. }) => return Err(error::already_in_organization()),
        Err(other) => return Err(other.into()),
    }
    describe(cx).await
}

async fn describe(cx: &Cx) -> Result<Reply> {
    let org = Org::of(cx, Standing::Member).await?;
    let all = org.doc.feature_set == "ALL";
    let types = if all { json!([{ "Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED" }]) } else { json!([]) };
    Ok(json!({ "Organization": {
        "Id": org.doc.id, "Arn": org.arn(), "FeatureSet": org.doc.feature_set,
        "MasterAccountId": org.management, "MasterAccountEmail": org.doc.email,
        "MasterAccountArn": org.target_arn(org.management.as_str()),
        "AvailablePolicyTypes": types,
    } })
    .into())
}

#[derive(Deserialize)]
pub(crate) struct NoInput {}

async fn resolve_own(cx: &Cx, action: &'static str, _: &NoInput) -> Result<Checks> {
    org::on(cx, action, &[""]).await
}

async fn delete(cx: &Cx, _: Permit<DeleteOrganization>, _: NoInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let accounts = org.accounts(&cx.kernel, None).await?;
    let units = org.units(cx).await?;
    let own_policies = org.policies(cx).await?.iter().any(|policy| !policy.aws_managed);
    if accounts.len() > 1 || units.len() > 1 || own_policies {
        return Err(error::named(
            "OrganizationNotEmptyException",
            "To delete an organization you must first remove all member accounts (except the master), organizational units, and policies.",
        ));
    }
    let mut batch = Batch::new();
    batch.delete(kind::ORGANIZATION, &org.scope, ROW, Expect::Version(org.version()));
    for (row, _) in units {
        batch.delete(kind::UNIT, &org.scope, row.id, Expect::Version(row.version));
    }
    for (row, mut account) in accounts {
        account.organization.clear();
        account.parent.clear();
        account.policies.clear();
        account.management = false;
        let new = account::row(&account, row.created)?;
        batch.put(new.at(cx.now()), Expect::Version(row.version));
    }
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        Err(CommitError::Store(fault)) => Err(fault.into()),
        Err(_) => Err(error::concurrent()),
    }
}

operation!("organizations", CreateOrganization, ["*"], CreateInput, org::resolve_any, create);
operation!("organizations", DescribeOrganization, ["*"], NoInput, org::resolve_any, |cx, _: Permit<DescribeOrganization>, _: NoInput| {
    describe(cx)
});
operation!("organizations", DeleteOrganization, ["*"], NoInput, resolve_own, delete);

pub(super) const TABLE: &[OperationRow] =
    &[OperationRow::of::<CreateOrganization>(), OperationRow::of::<DescribeOrganization>(), OperationRow::of::<DeleteOrganization>()];
