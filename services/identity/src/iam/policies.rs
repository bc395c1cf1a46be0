//! Managed policies: the customer's own, and AWS's (which are [`crate::managed`] and read-only).

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Arn, Result, Scope, Tag};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Group, ManagedPolicy, PolicyVersion, Role, User, kind},
};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    attached::key as attached_key,
    document,
    entity::{self, Entity, arn_of, row_id},
    error, quota,
    render::{self, Detail},
    tags,
};
use crate::managed;
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyInput {
    pub policy_arn: String,
}

/// A check on a policy's ARN. AWS's policies count as the caller's: their account is `aws`.
pub(crate) fn on_arn(cx: &Cx, action: &'static str, arn: &str) -> Result<Check> {
    let arn = Arn::parse(arn).ok().filter(|arn| arn.service() == "iam" && arn.resource().starts_with("policy/"));
    let arn = arn.ok_or_else(|| error::validation("Invalid ARN: expected arn:aws:iam::account:policy/name."))?;
    let ours = arn.account() == "aws";
    let check = Check::on(action, arn);
    Ok(if ours { check.owned_by(cx.caller.account.clone()) } else { check })
}

pub(crate) async fn resolve(cx: &Cx, action: &'static str, input: &PolicyInput) -> Result<Checks> {
    Ok(on_arn(cx, action, &input.policy_arn)?.into())
}

async fn stored(cx: &Cx, scope: &Scope, arn: &str) -> Result<Option<(Row, ManagedPolicy)>> {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    Ok(entity::find::<ManagedPolicy>(cx, scope, name).await?.filter(|(_, policy)| policy.arn.as_str() == arn))
}

/// A customer's policy or one of AWS's.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) async fn find(cx: &Cx, scope: &Scope, arn: &str) -> Result<ManagedPolicy> {
    if let Some(policy) = managed::find(arn) {
        return Ok(policy.as_stored());
    }
    stored(cx, scope, arn).await?.map(|(_, policy)| policy).ok_or_else(|| error::policy_not_found(arn))
}

/// Refuses AWS's policies and ARNs that name nothing.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied`.
pub(crate) async fn must_be_ours(cx: &Cx, scope: &Scope, arn: &str) -> Result<()> {
    if managed::find(arn).is_some() {
        return Err(tenantry_core::AwsError::new(
            403,
            "AccessDenied",
            format!("The policy {arn} is managed by AWS and cannot be changed."),
        ));
    }
    stored(cx, scope, arn).await?.map(drop).ok_or_else(|| error::policy_not_found(arn))
}

/// A policy that is about to be used: AWS's, or a row that must not change until the use is stored.
pub(crate) struct Held(Option<Row>);

impl Held {
    /// Rewrites the row unchanged.
    pub(crate) fn hold(&self, batch: &mut Batch) {
        if let Some(row) = &self.0 {
            batch.update(row.clone());
        }
    }
}

/// A policy that identities of `scope` can use.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) async fn attachable(cx: &Cx, scope: &Scope, arn: &str) -> Result<Held> {
    if managed::find(arn).is_some() {
        return Ok(Held(None));
    }
    stored(cx, scope, arn).await?.map(|(row, _)| Held(Some(row))).ok_or_else(|| error::policy_not_attachable(arn))
}

/// How often the identities of an account use each policy.
#[derive(Default)]
pub(crate) struct Usage {
    pub attached: HashMap<String, u32>,
    pub boundaries: HashMap<String, u32>,
}

impl Usage {
    pub(crate) async fn of(cx: &Cx, scope: &Scope) -> Result<Self> {
        let mut usage = Self::default();
        for user in entity::all::<User>(cx, scope).await? {
            usage.count(&user.policies.attached, user.boundary);
        }
        for group in entity::all::<Group>(cx, scope).await? {
            usage.count(&group.policies.attached, None);
        }
        for role in entity::all::<Role>(cx, scope).await? {
            usage.count(&role.policies.attached, role.boundary);
        }
        Ok(usage)
    }
    fn count(&mut self, attached: &[String], boundary: Option<String>) {
        for arn in attached {
            *self.attached.entry(arn.clone()).or_default() += 1;
        }
        if let Some(arn) = boundary {
            *self.boundaries.entry(arn).or_default() += 1;
        }
    }
    pub(crate) fn counts(&self, arn: &str) -> (u32, u32) {
        (self.attached.get(arn).copied().unwrap_or(0), self.boundaries.get(arn).copied().unwrap_or(0))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    policy_name: String,
    path: Option<String>,
    policy_document: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<ManagedPolicy>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.policy_name);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagPolicy", arn.clone()).request_tags(&input.tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

/// Parses a document and holds its size against the quota.
fn accept(text: &str) -> Result<()> {
    let policy = document::identity(text)?;
    if policy.size() > quota::MANAGED_POLICY { Err(error::quota("PolicySize", quota::MANAGED_POLICY)) } else { Ok(()) }
}

async fn create(cx: &Cx, permit: Permit<CreatePolicy>, input: CreateInput) -> Result<Reply> {
    accept(&input.policy_document)?;
    tags::check(&input.tags)?;
    let (now, path) = (cx.now(), input.path.unwrap_or_else(|| "/".to_owned()));
    let policy = ManagedPolicy {
        id: Ids::unique("ANPA"),
        arn: arn_of::<ManagedPolicy>(permit.account(), &path, &input.policy_name),
        name: input.policy_name,
        path,
        created: now,
        updated: now,
        description: input.description,
        versions: vec![PolicyVersion { id: "v1".to_owned(), document: input.policy_document, default: true, created: now }],
        next_version: 2,
        tags: input.tags,
    };
    let policy = entity::create(cx, &permit.global(), policy, Batch::new()).await?;
    Ok(json!({ "Policy": render::policy(&policy, 0, 0, Detail::Full) }).into())
}

async fn get(cx: &Cx, permit: Permit<GetPolicy>, input: PolicyInput) -> Result<Reply> {
    let policy = find(cx, &permit.global(), &input.policy_arn).await?;
    let (attached, boundaries) = Usage::of(cx, &permit.global()).await?.counts(&input.policy_arn);
    Ok(json!({ "Policy": render::policy(&policy, attached, boundaries, Detail::Full) }).into())
}

async fn delete(cx: &Cx, permit: Permit<DeletePolicy>, input: PolicyInput) -> Result<Reply> {
    let scope = permit.global();
    must_be_ours(cx, &scope, &input.policy_arn).await?;
    // The row is read before the search and must still be the same at the end: see `attached`.
    for _ in 0..entity::ATTEMPTS {
        let Some((row, policy)) = stored(cx, &scope, &input.policy_arn).await? else {
            return Err(error::policy_not_found(&input.policy_arn));
        };
        if Usage::of(cx, &scope).await?.counts(&input.policy_arn) != (0, 0) {
            return Err(error::delete_conflict("Cannot delete a policy attached to entities."));
        }
        if policy.versions.len() > 1 {
            return Err(error::delete_conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
            ));
        }
        let mut batch = Batch::new();
        batch.delete(kind::POLICY, &scope, row_id(&policy.name), Expect::Version(row.version));
        batch.set_tags(policy.arn.as_str(), Vec::new());
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    scope: Option<String>,
    #[serde(default)]
    only_attached: bool,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListPolicies>, input: ListInput) -> Result<Reply> {
    let scope = permit.global();
    let usage = Usage::of(cx, &scope).await?;
    let wanted = input.scope.as_deref().unwrap_or("All");
    let mut policies = Vec::new();
    if wanted != "Local" {
        policies.extend(managed::all().map(managed::Managed::as_stored));
    }
    if wanted != "AWS" {
        policies.extend(entity::all::<ManagedPolicy>(cx, &scope).await?);
    }
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let listed = policies.iter().filter(|policy| policy.path.starts_with(prefix)).filter_map(|policy| {
        let (attached, boundaries) = usage.counts(policy.arn.as_str());
        let used = match input.policy_usage_filter.as_deref() {
            Some("PermissionsPolicy") => attached > 0,
            Some(_) => boundaries > 0,
            None => !input.only_attached || attached + boundaries > 0,
        };
        used.then(|| (attached_key(policy.arn.as_str()), render::policy(policy, attached, boundaries, Detail::Listed)))
    });
    entity::answer("Policies", listed.collect(), input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EntitiesInput {
    policy_arn: String,
    entity_filter: Option<String>,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_entities(cx: &Cx, action: &'static str, input: &EntitiesInput) -> Result<Checks> {
    Ok(on_arn(cx, action, &input.policy_arn)?.into())
}

impl EntitiesInput {
    fn wants(&self, noun: &str) -> bool {
        // AWS also lets one ask for kinds of policies here: they are no entities.
        self.entity_filter.as_deref().is_none_or(|filter| filter.eq_ignore_ascii_case(noun))
    }
    fn names(&self, path: &str, attached: &[String], boundary: Option<&String>) -> bool {
        let attached = attached.contains(&self.policy_arn);
        let bounds = boundary == Some(&self.policy_arn);
        let used = match self.policy_usage_filter.as_deref() {
            Some("PermissionsPolicy") => attached,
            Some(_) => bounds,
            None => attached || bounds,
        };
        used && path.starts_with(self.path_prefix.as_deref().unwrap_or("/"))
    }
}

async fn entities(cx: &Cx, permit: Permit<ListEntitiesForPolicy>, input: EntitiesInput) -> Result<Reply> {
    let scope = permit.global();
    find(cx, &scope, &input.policy_arn).await?;
    let mut found: Vec<(String, (&str, Value))> = Vec::new();
    if input.wants(Group::NOUN) {
        let groups = entity::all::<Group>(cx, &scope).await?;
        found.extend(
            groups
                .iter()
                .filter(|it| input.names(&it.path, &it.policies.attached, None))
                .map(|it| (format!("group/{}", it.name), ("PolicyGroups", json!({ "GroupName": it.name, "GroupId": it.id })))),
        );
    }
    if input.wants(User::NOUN) {
        let users = entity::all::<User>(cx, &scope).await?;
        found.extend(
            users
                .iter()
                .filter(|it| input.names(&it.path, &it.policies.attached, it.boundary.as_ref()))
                .map(|it| (format!("user/{}", it.name), ("PolicyUsers", json!({ "UserName": it.name, "UserId": it.id })))),
        );
    }
    if input.wants(Role::NOUN) {
        let roles = entity::all::<Role>(cx, &scope).await?;
        found.extend(
            roles
                .iter()
                .filter(|it| input.names(&it.path, &it.policies.attached, it.boundary.as_ref()))
                .map(|it| (format!("role/{}", it.name), ("PolicyRoles", json!({ "RoleName": it.name, "RoleId": it.id })))),
        );
    }
    let page =
        crate::page::page(found, input.marker.as_deref(), input.max_items.unwrap_or(quota::PAGE)).map_err(|_| error::bad_marker())?;
    let mut output = json!({ "PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": [], "IsTruncated": page.next.is_some() });
    for (member, value) in page.items {
        if let Some(list) = output[member].as_array_mut() {
            list.push(value);
        }
    }
    if let Some(next) = page.next {
        output["Marker"] = next.into();
    }
    Ok(output.into())
}

/// ARNs that are in use, of AWS's and the customer's policies.
pub(crate) fn used(usage: &Usage) -> HashSet<&str> {
    usage.attached.keys().chain(usage.boundaries.keys()).map(String::as_str).collect()
}

operation!("iam", CreatePolicy, ["policy"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagPolicy"], CreateInput, resolve_create, create);
operation!("iam", GetPolicy, ["policy"], PolicyInput, resolve, get);
operation!("iam", DeletePolicy, ["policy"], PolicyInput, resolve, delete);
operation!("iam", ListPolicies, ["*"], ListInput, resolve_list, list);
operation!("iam", ListEntitiesForPolicy, ["policy"], EntitiesInput, resolve_entities, entities);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreatePolicy>(),
    OperationRow::of::<GetPolicy>(),
    OperationRow::of::<DeletePolicy>(),
    OperationRow::of::<ListPolicies>(),
    OperationRow::of::<ListEntitiesForPolicy>(),
];
