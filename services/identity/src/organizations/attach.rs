//! Where control policies apply: Attach, Detach, what targets a policy has, and types on and off.
//!
//! An enabled type has at least one policy at every level: AWS's full access comes with enabling, and
//! the last policy of a target cannot be detached.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{
    Checks, Cx, OperationRow, Permit, Reply,
    directory::{Account, OrgPolicy, Unit},
};
use tenantry_store::{Batch, Row};

use super::{
    error,
    org::{self, Org, Standing, answer},
    organization::FULL_ACCESS,
    policies::{self, kind_of, not_available},
    tree::show_root,
};
use tenantry_kernel::operation;

/// Policies of one type on one target.
const ATTACHED: usize = 5;

/// A root, OU or account.
enum Target {
    Unit(Row, Unit),
    Account(Row, Account),
}

impl Target {
    async fn find(org: &Org, cx: &Cx, id: &str) -> Result<Self> {
        if let Some((row, unit)) = org.unit(cx, id).await? {
            return Ok(Self::Unit(row, unit));
        }
        org.account(cx, id).await?.map(|(row, account)| Self::Account(row, account)).ok_or_else(error::target_not_found)
    }
    async fn all(org: &Org, cx: &Cx) -> Result<Vec<Self>> {
        let units = org.units(cx).await?.into_iter().map(|(row, unit)| Self::Unit(row, unit));
        let accounts = org.accounts(&cx.kernel, None).await?.into_iter().map(|(row, account)| Self::Account(row, account));
        Ok(units.chain(accounts).collect())
    }
    fn policies(&self) -> &[String] {
        match self {
            Self::Unit(_, unit) => &unit.policies,
            Self::Account(_, account) => &account.policies,
        }
    }
    fn policies_mut(&mut self) -> &mut Vec<String> {
        match self {
            Self::Unit(_, unit) => &mut unit.policies,
            Self::Account(_, account) => &mut account.policies,
        }
    }
    fn shown(&self, org: &Org) -> (String, Value) {
        let (id, name, of_type) = match self {
            Self::Unit(_, unit) if unit.parent.is_empty() => (unit.id.as_str(), &unit.name, "ROOT"),
            Self::Unit(_, unit) => (unit.id.as_str(), &unit.name, "ORGANIZATIONAL_UNIT"),
            Self::Account(_, account) => (account.id.as_str(), &account.name, "ACCOUNT"),
        };
        (id.to_owned(), json!({ "TargetId": id, "Arn": org.target_arn(id), "Name": name, "Type": of_type }))
    }
    fn write(self, batch: &mut Batch, cx: &Cx) -> Result<()> {
        let row = match self {
            Self::Unit(mut row, unit) => {
                row.set_body(&unit)?;
                row
            }
            Self::Account(mut row, account) => {
                row.set_body(&account)?;
                row
            }
        };
        batch.update(row.at(cx.now()));
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttachInput {
    policy_id: String,
    target_id: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &AttachInput) -> Result<Checks> {
    policies::on(cx, action, &[&input.policy_id, &input.target_id]).await
}

/// Of the policies `attached`, how many are of the type of `policy`.
async fn of_same_type(org: &Org, cx: &Cx, attached: &[String], policy: &OrgPolicy) -> Result<usize> {
    let policies = org.policies(cx).await?;
    Ok(policies.iter().filter(|other| other.policy_type == policy.policy_type && attached.contains(&other.id)).count())
}

async fn attach(cx: &Cx, _: Permit<AttachPolicy>, input: AttachInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (_, policy) = org.policy(cx, &input.policy_id).await?.ok_or_else(error::policy_not_found)?;
    let mut target = Target::find(&org, cx, &input.target_id).await?;
    let (_, root) = org.root(cx).await?;
    if !root.enabled_types.contains(&policy.policy_type) {
        return Err(not_enabled());
    }
    if target.policies().contains(&policy.id) {
        return Err(error::named("DuplicatePolicyAttachmentException", "The selected policy is already attached to the specified target."));
    }
    if of_same_type(&org, cx, target.policies(), &policy).await? >= ATTACHED {
        return Err(error::constraint(
            "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
            "You have exceeded the number of policies of this type that can be attached to an entity.",
        ));
    }
    target.policies_mut().push(policy.id);
    let mut batch = Batch::new();
    target.write(&mut batch, cx)?;
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

fn not_enabled() -> tenantry_core::AwsError {
    error::named("PolicyTypeNotEnabledException", "The specified policy type isn't currently enabled in this root.")
}

async fn detach(cx: &Cx, _: Permit<DetachPolicy>, input: AttachInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (_, policy) = org.policy(cx, &input.policy_id).await?.ok_or_else(error::policy_not_found)?;
    let mut target = Target::find(&org, cx, &input.target_id).await?;
    if !target.policies().contains(&policy.id) {
        return Err(error::named("PolicyNotAttachedException", "The policy isn't attached to the specified target in the specified root."));
    }
    if policy.aws_managed && policy.policy_type == "RESOURCE_CONTROL_POLICY" {
        return Err(error::invalid("NON_DETACHABLE_POLICY", "You can't detach this policy."));
    }
    if of_same_type(&org, cx, target.policies(), &policy).await? <= 1 {
        return Err(error::constraint(
            "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
            "You can't remove the last policy of the specified type from a target. A target must have at least one.",
        ));
    }
    target.policies_mut().retain(|id| *id != policy.id);
    let mut batch = Batch::new();
    target.write(&mut batch, cx)?;
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TargetsInput {
    policy_id: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_targets(cx: &Cx, action: &'static str, input: &TargetsInput) -> Result<Checks> {
    policies::on(cx, action, &[&input.policy_id]).await
}

async fn targets(cx: &Cx, _: Permit<ListTargetsForPolicy>, input: TargetsInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    org.policy(cx, &input.policy_id).await?.ok_or_else(error::policy_not_found)?;
    let targets = Target::all(&org, cx).await?;
    let items = targets.iter().filter(|target| target.policies().contains(&input.policy_id)).map(|target| target.shown(&org)).collect();
    answer("Targets", items, input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TypeInput {
    root_id: String,
    policy_type: String,
}

async fn resolve_type(cx: &Cx, action: &'static str, input: &TypeInput) -> Result<Checks> {
    let checks = org::on(cx, action, &[&input.root_id]).await?;
    Ok(checks.iter().cloned().map(|check| check.key("organizations:PolicyType", input.policy_type.as_str())).collect())
}

async fn root_of(org: &Org, cx: &Cx, input: &TypeInput) -> Result<Unit> {
    if kind_of(&input.policy_type).is_none() || org.doc.feature_set != "ALL" {
        return Err(not_available());
    }
    let (_, root) = org.root(cx).await?;
    if root.id == input.root_id { Ok(root) } else { Err(error::root_not_found()) }
}

/// Writes all targets, the root with its changed types among them.
async fn rewrite(org: Org, cx: &Cx, root: &Unit, change: impl Fn(&mut Vec<String>)) -> Result<Reply> {
    let mut batch = Batch::new();
    for mut target in Target::all(&org, cx).await? {
        if let Target::Unit(_, unit) = &mut target
            && unit.id == root.id
        {
            unit.enabled_types.clone_from(&root.enabled_types);
        }
        change(target.policies_mut());
        target.write(&mut batch, cx)?;
    }
    let shown = json!({ "Root": show_root(&org, root) });
    org.commit(cx, batch).await?;
    Ok(shown.into())
}

async fn enable(cx: &Cx, _: Permit<EnablePolicyType>, input: TypeInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let mut root = root_of(&org, cx, &input).await?;
    if root.enabled_types.contains(&input.policy_type) {
        return Err(error::named(
            "PolicyTypeAlreadyEnabledException",
            "The specified policy type is already enabled in the specified root.",
        ));
    }
    let full = FULL_ACCESS.iter().find(|(_, _, of_type)| *of_type == input.policy_type).map(|(id, _, _)| (*id).to_owned());
    root.enabled_types.push(input.policy_type);
    rewrite(org, cx, &root, |policies| {
        if let Some(full) = full.as_ref().filter(|full| !policies.contains(full)) {
            policies.push(full.clone());
        }
    })
    .await
}

/// All attachments of the type end with it; enabling it again begins with full access everywhere.
async fn disable(cx: &Cx, _: Permit<DisablePolicyType>, input: TypeInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let mut root = root_of(&org, cx, &input).await?;
    if !root.enabled_types.contains(&input.policy_type) {
        return Err(not_enabled());
    }
    root.enabled_types.retain(|of| *of != input.policy_type);
    let of_type: Vec<String> =
        org.policies(cx).await?.into_iter().filter(|policy| policy.policy_type == input.policy_type).map(|policy| policy.id).collect();
    rewrite(org, cx, &root, |policies| policies.retain(|id| !of_type.contains(id))).await
}

operation!(
    "organizations",
    AttachPolicy,
    ["account", "organizationalunit", "awspolicy", "policy", "root"] + ["organizations:PolicyType"],
    AttachInput,
    resolve,
    attach
);
operation!(
    "organizations",
    DetachPolicy,
    ["account", "organizationalunit", "awspolicy", "policy", "root"] + ["organizations:PolicyType"],
    AttachInput,
    resolve,
    detach
);
operation!(
    "organizations",
    ListTargetsForPolicy,
    ["awspolicy", "policy"] + ["organizations:PolicyType"],
    TargetsInput,
    resolve_targets,
    targets
);
operation!("organizations", EnablePolicyType, ["root"] + ["organizations:PolicyType"], TypeInput, resolve_type, enable);
operation!("organizations", DisablePolicyType, ["root"] + ["organizations:PolicyType"], TypeInput, resolve_type, disable);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<AttachPolicy>(),
    OperationRow::of::<DetachPolicy>(),
    OperationRow::of::<ListTargetsForPolicy>(),
    OperationRow::of::<EnablePolicyType>(),
    OperationRow::of::<DisablePolicyType>(),
];
