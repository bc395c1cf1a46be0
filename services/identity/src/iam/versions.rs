//! Versions of managed policies: at most five, one of them in force.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::Result;
use tenantry_kernel::{
    Checks, Cx, OperationRow, Permit, Reply,
    directory::{ManagedPolicy, PolicyVersion},
};

use super::{
    document, entity, error,
    policies::{must_be_ours, on_arn},
    quota, render,
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    policy_arn: String,
    policy_document: String,
    #[serde(default)]
    set_as_default: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionInput {
    policy_arn: String,
    version_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    policy_arn: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    Ok(on_arn(cx, action, &input.policy_arn)?.into())
}
async fn resolve(cx: &Cx, action: &'static str, input: &VersionInput) -> Result<Checks> {
    Ok(on_arn(cx, action, &input.policy_arn)?.into())
}
async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    Ok(on_arn(cx, action, &input.policy_arn)?.into())
}

fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

async fn create(cx: &Cx, permit: Permit<CreatePolicyVersion>, input: CreateInput) -> Result<Reply> {
    let scope = permit.global();
    must_be_ours(cx, &scope, &input.policy_arn).await?;
    if document::identity(&input.policy_document)?.size() > quota::MANAGED_POLICY {
        return Err(error::quota("PolicySize", quota::MANAGED_POLICY));
    }
    let now = cx.now();
    let version = entity::change::<ManagedPolicy, _>(cx, &scope, name_of(&input.policy_arn), |policy, _| {
        if policy.versions.len() >= quota::VERSIONS {
            return Err(error::limit_exceeded(
                "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
            ));
        }
        if input.set_as_default {
            policy.versions.iter_mut().for_each(|v| v.default = false);
        }
        let version = PolicyVersion {
            id: format!("v{}", policy.next_version),
            document: input.policy_document.clone(),
            default: input.set_as_default,
            created: now,
        };
        policy.next_version += 1;
        policy.updated = now;
        policy.versions.push(version.clone());
        Ok(version)
    });
    Ok(json!({ "PolicyVersion": render::version(&version.await?, false) }).into())
}

async fn get(cx: &Cx, permit: Permit<GetPolicyVersion>, input: VersionInput) -> Result<Reply> {
    let policy = super::policies::find(cx, &permit.global(), &input.policy_arn).await?;
    let version = policy.versions.iter().find(|v| v.id == input.version_id);
    let version = version.ok_or_else(|| error::version_not_found(&input.policy_arn, &input.version_id))?;
    Ok(json!({ "PolicyVersion": render::version(version, true) }).into())
}

async fn list(cx: &Cx, permit: Permit<ListPolicyVersions>, input: ListInput) -> Result<Reply> {
    let policy = super::policies::find(cx, &permit.global(), &input.policy_arn).await?;
    // Newest first, as AWS lists them: the key falls while the number rises.
    let key = |id: &str| format!("{:010}", u32::MAX - id.trim_start_matches('v').parse::<u32>().unwrap_or(0));
    let items = policy.versions.iter().map(|v| (key(&v.id), render::version(v, false))).collect();
    entity::answer("Versions", items, input.marker.as_deref(), input.max_items)
}

async fn delete(cx: &Cx, permit: Permit<DeletePolicyVersion>, input: VersionInput) -> Result<Reply> {
    let scope = permit.global();
    must_be_ours(cx, &scope, &input.policy_arn).await?;
    entity::change::<ManagedPolicy, _>(cx, &scope, name_of(&input.policy_arn), |policy, _| {
        match policy.versions.iter().position(|v| v.id == input.version_id) {
            None => Err(error::version_not_found(&input.policy_arn, &input.version_id)),
            Some(at) if policy.versions[at].default => Err(error::delete_conflict("Cannot delete the default version of a policy.")),
            Some(at) => {
                policy.versions.remove(at);
                Ok(())
            }
        }
    })
    .await?;
    Ok(Reply::empty())
}

async fn set_default(cx: &Cx, permit: Permit<SetDefaultPolicyVersion>, input: VersionInput) -> Result<Reply> {
    let scope = permit.global();
    must_be_ours(cx, &scope, &input.policy_arn).await?;
    let now = cx.now();
    entity::change::<ManagedPolicy, _>(cx, &scope, name_of(&input.policy_arn), |policy, _| {
        if !policy.versions.iter().any(|v| v.id == input.version_id) {
            return Err(error::version_not_found(&input.policy_arn, &input.version_id));
        }
        policy.versions.iter_mut().for_each(|v| v.default = v.id == input.version_id);
        policy.updated = now;
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

operation!("iam", CreatePolicyVersion, ["policy"], CreateInput, resolve_create, create);
operation!("iam", GetPolicyVersion, ["policy"], VersionInput, resolve, get);
operation!("iam", ListPolicyVersions, ["policy"], ListInput, resolve_list, list);
operation!("iam", DeletePolicyVersion, ["policy"], VersionInput, resolve, delete);
operation!("iam", SetDefaultPolicyVersion, ["policy"], VersionInput, resolve, set_default);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreatePolicyVersion>(),
    OperationRow::of::<GetPolicyVersion>(),
    OperationRow::of::<ListPolicyVersions>(),
    OperationRow::of::<DeletePolicyVersion>(),
    OperationRow::of::<SetDefaultPolicyVersion>(),
];
