//! PutModelPackageGroupPolicy, GetModelPackageGroupPolicy, DeleteModelPackageGroupPolicy.
//!
//! The kernel reads the stored document at every call that names the group or one of its packages. It is
//! parsed as any resource policy: `Sid`s may have hyphens, actions that do not exist allow nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{
    Check, Checks, Cx, Permit, Reply, StoredPolicy,
    directory::{Role, User, kind},
};
use tenantry_policy::{Policy, PolicyKind, PrincipalName};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::record::{self, no_group};
use crate::{
    error::{conflict, validation},
    names,
    operation::operation,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyInput {
    model_package_group_name: String,
    resource_policy: Option<String>,
}

operation!(PutModelPackageGroupPolicy, ["model-package-group"], PolicyInput, resolve, put);
operation!(GetModelPackageGroupPolicy, ["model-package-group"], PolicyInput, resolve, get);
operation!(DeleteModelPackageGroupPolicy, ["model-package-group"], PolicyInput, resolve, delete);

async fn resolve(cx: &Cx, action: &'static str, input: &PolicyInput) -> Result<Checks> {
    Ok(Check::on(action, names::arn(&cx.scope(), "model-package-group", &input.model_package_group_name)).into())
}

async fn put(cx: &Cx, permit: Permit<PutModelPackageGroupPolicy>, input: PolicyInput) -> Result<Reply> {
    let scope = permit.scope();
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    let group = record::group(cx, scope, &arn).await?;
    let text = input.resource_policy.unwrap_or_default();
    let policy =
        Policy::parse(&text, PolicyKind::Resource).map_err(|fault| validation(format!("Invalid resource policy: {}", fault.message)))?;
    let mut principal_ids = BTreeMap::new();
    for name in policy.principals() {
        if let Some((arn, id)) = bound(cx, name).await? {
            principal_ids.insert(arn, id);
        }
    }
    let stored = StoredPolicy { document: text, principal_ids };
    let mut batch = Batch::new();
    batch.require(names::PACKAGE_GROUP, scope, &*group.id, Expect::Present);
    batch.put(Row::new(kind::RESOURCE_POLICY, scope, arn.as_str(), cx.now()).with(&stored)?, Expect::Any);
    match cx.commit(batch).await {
        Err(CommitError::NotFound { .. }) => Err(no_group(&arn)),
        Err(CommitError::Conflict { .. }) => Err(conflict("The policy was changed by another request at the same time. Try again.")),
        done => done.map(|()| Reply::new(json!({"ModelPackageGroupArn": arn}))).map_err(Into::into),
    }
}

/// Users and roles are bound to what they are now; one that is not there is refused, so that nobody who takes its name later is meant.
async fn bound(cx: &Cx, name: &PrincipalName) -> Result<Option<(String, String)>> {
    let (text, of) = match name {
        PrincipalName::Role(arn) => (arn, kind::ROLE),
        PrincipalName::User(arn) => (arn, kind::USER),
        _ => return Ok(None),
    };
    let missing = || validation(format!("Invalid resource policy: Invalid principal in policy: \"AWS\":\"{text}\""));
    let arn = Arn::parse(text.as_str()).map_err(|_| missing())?;
    let id = text.rsplit('/').next().unwrap_or_default().to_lowercase();
    let row = cx.kernel.store().get(of, &Scope::global(arn.account()), &id).await?.ok_or_else(missing)?;
    let (known, unique) = if of == kind::ROLE {
        let role: Role = row.body()?;
        (role.arn, role.id)
    } else {
        let user: User = row.body()?;
        (user.arn, user.id)
    };
    if known == arn { Ok(Some((text.clone(), unique))) } else { Err(missing()) }
}

/// The policy's row.
async fn stored(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<Row> {
    record::group(cx, scope, arn).await?;
    let row = cx.kernel.store().get(kind::RESOURCE_POLICY, scope, arn.as_str()).await?;
    row.ok_or_else(|| validation(format!("Resource policy for ModelPackageGroup {arn} does not exist.")))
}

async fn get(cx: &Cx, permit: Permit<GetModelPackageGroupPolicy>, input: PolicyInput) -> Result<Reply> {
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    let stored: StoredPolicy = stored(cx, permit.scope(), &arn).await?.body()?;
    Ok(Reply::new(json!({"ResourcePolicy": stored.document})))
}

async fn delete(cx: &Cx, permit: Permit<DeleteModelPackageGroupPolicy>, input: PolicyInput) -> Result<Reply> {
    let arn = record::group_arn(cx, &input.model_package_group_name)?;
    stored(cx, permit.scope(), &arn).await?;
    let mut batch = Batch::new();
    batch.delete(kind::RESOURCE_POLICY, permit.scope(), arn.as_str(), Expect::Any);
    cx.commit(batch).await?;
    Ok(Reply::empty())
}
