//! Service and resource control policies: Create, Describe, Update, Delete, List.
//!
//! Other types of policy (tags, backups, …) steer services that do not enforce them here; creating one
//! is refused rather than stored without effect.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Tag};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{OrgPolicy, Unit, kind},
};
use tenantry_policy::{Policy, PolicyKind};
use tenantry_store::{Batch, Expect, Row};

use super::{
    error,
    org::{self, Org, Standing, answer},
    organization::FULL_ACCESS,
    tags,
};
use tenantry_kernel::operation;

/// Characters of a policy.
const SIZE: usize = 5120;
/// Policies of an organization.
const POLICIES: usize = 1000;

/// How a type's documents are read; `None` for types that are not enforced here.
pub(crate) fn kind_of(policy_type: &str) -> Option<PolicyKind> {
    match policy_type {
        "SERVICE_CONTROL_POLICY" => Some(PolicyKind::ServiceControl),
        "RESOURCE_CONTROL_POLICY" => Some(PolicyKind::ResourceControl),
        _ => None,
    }
}

pub(crate) fn not_available() -> tenantry_core::AwsError {
    error::named(
        "PolicyTypeNotAvailableForOrganizationException",
        "You can't use the specified policy type with the feature set currently enabled for this organization.",
    )
}

/// What a new OU or account begins with: AWS's full access of the types that are enabled.
pub(crate) fn initial(root: &Unit) -> Vec<String> {
    let enabled = FULL_ACCESS.iter().filter(|(_, _, of_type)| root.enabled_types.iter().any(|enabled| enabled == of_type));
    enabled.map(|(id, _, _)| (*id).to_owned()).collect()
}

fn accept(policy_type: &str, text: &str) -> Result<()> {
    let kind = kind_of(policy_type).ok_or_else(not_available)?;
    let policy = Policy::parse(text, kind).map_err(|fault| error::named("MalformedPolicyDocumentException", &fault.message))?;
    if policy.size() > SIZE {
        return Err(error::constraint("POLICY_CONTENT_LIMIT_EXCEEDED", "You have exceeded the maximum size of a policy document."));
    }
    Ok(())
}

fn summary(org: &Org, policy: &OrgPolicy) -> Value {
    json!({
        "Id": policy.id, "Arn": org.policy_arn(policy), "Name": policy.name, "Description": policy.description,
        "Type": policy.policy_type, "AwsManaged": policy.aws_managed,
    })
}

fn whole(org: &Org, policy: &OrgPolicy) -> Value {
    json!({ "Policy": { "PolicySummary": summary(org, policy), "Content": policy.document } })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    content: String,
    #[serde(default)]
    description: String,
    name: String,
    #[serde(rename = "Type")]
    policy_type: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let check = Check::any(action).key("organizations:PolicyType", input.policy_type.as_str()).request_tags(&input.tags);
    Ok(Checks::from(check).and_if(tags::on_create(cx, &input.tags)))
}

async fn no_namesake(org: &Org, cx: &Cx, policy_type: &str, name: &str) -> Result<()> {
    let policies = org.policies(cx).await?;
    if policies.iter().any(|policy| policy.name == name && policy.policy_type == policy_type) {
        return Err(error::named("DuplicatePolicyException", "A policy with the same name already exists."));
    }
    if policies.len() > POLICIES {
        return Err(error::constraint("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies allowed."));
    }
    Ok(())
}

async fn create(cx: &Cx, _: Permit<CreatePolicy>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let org = Org::of(cx, Standing::Management).await?;
    accept(&input.policy_type, &input.content)?;
    no_namesake(&org, cx, &input.policy_type, &input.name).await?;
    let policy = OrgPolicy {
        id: format!("p-{}", Ids::lower(8)),
        name: input.name,
        description: input.description,
        policy_type: input.policy_type,
        document: input.content,
        aws_managed: false,
    };
    let mut batch = Batch::new();
    batch.put(Row::new(kind::ORG_POLICY, &org.scope, policy.id.clone(), cx.now()).name(&policy.name).with(&policy)?, Expect::Absent);
    batch.set_tags(org.policy_arn(&policy).as_str(), input.tags);
    let shown = whole(&org, &policy);
    org.commit(cx, batch).await?;
    Ok(shown.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyInput {
    policy_id: String,
}

/// Checks on organization resources, with the type of the policy that is the first of them, where it is one.
pub(crate) async fn on(cx: &Cx, action: &'static str, ids: &[&str]) -> Result<Checks> {
    let policy = match (ids.first(), Org::load(&cx.kernel).await?) {
        (Some(id), Some(org)) if id.starts_with("p-") => org.policy(cx, id).await?.map(|(_, policy)| policy.policy_type),
        _ => None,
    };
    let checks = org::on(cx, action, ids).await?;
    Ok(checks.iter().cloned().map(|check| check.key_if("organizations:PolicyType", policy.as_deref())).collect())
}

async fn resolve(cx: &Cx, action: &'static str, input: &PolicyInput) -> Result<Checks> {
    on(cx, action, &[&input.policy_id]).await
}

async fn describe(cx: &Cx, _: Permit<DescribePolicy>, input: PolicyInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let (_, policy) = org.policy(cx, &input.policy_id).await?.ok_or_else(error::policy_not_found)?;
    Ok(whole(&org, &policy).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    policy_id: String,
    name: Option<String>,
    description: Option<String>,
    content: Option<String>,
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    on(cx, action, &[&input.policy_id]).await
}

/// A policy of the customer's.
async fn own(org: &Org, cx: &Cx, id: &str) -> Result<(Row, OrgPolicy)> {
    let (row, policy) = org.policy(cx, id).await?.ok_or_else(error::policy_not_found)?;
    if policy.aws_managed {
        return Err(error::invalid("IMMUTABLE_POLICY", "You specified a policy that is managed by AWS and can't be modified."));
    }
    Ok((row, policy))
}

async fn update(cx: &Cx, _: Permit<UpdatePolicy>, input: UpdateInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (mut row, mut policy) = own(&org, cx, &input.policy_id).await?;
    if let Some(content) = input.content {
        accept(&policy.policy_type, &content)?;
        policy.document = content;
    }
    if let Some(name) = input.name.filter(|name| *name != policy.name) {
        no_namesake(&org, cx, &policy.policy_type, &name).await?;
        row.name.clone_from(&name);
        policy.name = name;
    }
    policy.description = input.description.unwrap_or(policy.description);
    row.set_body(&policy)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    let shown = whole(&org, &policy);
    org.commit(cx, batch).await?;
    Ok(shown.into())
}

async fn delete(cx: &Cx, _: Permit<DeletePolicy>, input: PolicyInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (row, policy) = own(&org, cx, &input.policy_id).await?;
    let on_unit = org.units(cx).await?.iter().any(|(_, unit)| unit.policies.contains(&policy.id));
    let on_account = org.accounts(&cx.kernel, None).await?.iter().any(|(_, account)| account.policies.contains(&policy.id));
    if on_unit || on_account {
        return Err(error::named(
            "PolicyInUseException",
            "This policy is attached to one or more entities. You must detach it from all roots, OUs, and accounts before performing this operation.",
        ));
    }
    let mut batch = Batch::new();
    batch.delete(kind::ORG_POLICY, &org.scope, row.id, Expect::Version(row.version));
    batch.set_tags(org.policy_arn(&policy).as_str(), Vec::new());
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    filter: String,
    target_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_list(_: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).key("organizations:PolicyType", input.filter.as_str()).into())
}

fn page(org: &Org, policies: &[OrgPolicy], input: &ListInput) -> Result<Reply> {
    let of_type = policies.iter().filter(|policy| policy.policy_type == input.filter);
    let items = of_type.map(|policy| (policy.id.clone(), summary(org, policy))).collect();
    answer("Policies", items, input.next_token.as_deref(), input.max_results)
}

async fn list(cx: &Cx, _: Permit<ListPolicies>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    page(&org, &org.policies(cx).await?, &input)
}

async fn resolve_for_target(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    let checks = org::on(cx, action, &[input.target_id.as_deref().unwrap_or_default()]).await?;
    Ok(checks.iter().cloned().map(|check| check.key("organizations:PolicyType", input.filter.as_str())).collect())
}

async fn list_for_target(cx: &Cx, _: Permit<ListPoliciesForTarget>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let id = input.target_id.as_deref().unwrap_or_default();
    let attached = match org.unit(cx, id).await? {
        Some((_, unit)) => unit.policies,
        None => org.account(cx, id).await?.ok_or_else(error::target_not_found)?.1.policies,
    };
    let policies: Vec<OrgPolicy> = org.policies(cx).await?.into_iter().filter(|policy| attached.contains(&policy.id)).collect();
    page(&org, &policies, &input)
}

operation!("organizations", CreatePolicy, ["*"] + ["organizations:PolicyType", "aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["organizations:TagResource"], CreateInput, resolve_create, create);
operation!("organizations", DescribePolicy, ["awspolicy", "policy"] + ["organizations:PolicyType"], PolicyInput, resolve, describe);
operation!("organizations", UpdatePolicy, ["awspolicy", "policy"] + ["organizations:PolicyType"], UpdateInput, resolve_update, update);
operation!("organizations", DeletePolicy, ["awspolicy", "policy"] + ["organizations:PolicyType"], PolicyInput, resolve, delete);
operation!("organizations", ListPolicies, ["*"] + ["organizations:PolicyType"], ListInput, resolve_list, list);
operation!(
    "organizations",
    ListPoliciesForTarget,
    ["account", "organizationalunit", "root"] + ["organizations:PolicyType"],
    ListInput,
    resolve_for_target,
    list_for_target
);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreatePolicy>(),
    OperationRow::of::<DescribePolicy>(),
    OperationRow::of::<UpdatePolicy>(),
    OperationRow::of::<DeletePolicy>(),
    OperationRow::of::<ListPolicies>(),
    OperationRow::of::<ListPoliciesForTarget>(),
];
