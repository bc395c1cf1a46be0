//! ListPoliciesGrantingServiceAccess: which of an identity's policies allow something of a service.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};

use super::{
    entity, error,
    held_policies::{Identity, Source, grants},
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    arn: String,
    service_namespaces: Vec<String>,
    marker: Option<String>,
}

/// A check on an identity by its ARN; what is of no account's identities cannot be named.
pub(crate) fn on(action: &'static str, arn: &str, kinds: &[&str]) -> Result<Check> {
    let parsed = Arn::parse(arn).ok().filter(|arn| arn.service() == "iam" && kinds.contains(&arn.resource_type_and_id().0));
    let parsed = parsed.ok_or_else(|| error::invalid_input(format!("ARN {arn} is not valid: expected {}.", kinds.join(", "))))?;
    Ok(Check::on(action, parsed))
}

async fn resolve(_: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    Ok(on(action, &input.arn, &["user", "group", "role"])?.into())
}

fn shown(source: &Source) -> Value {
    match &source.arn {
        Some(arn) => json!({ "PolicyName": source.name, "PolicyType": "MANAGED", "PolicyArn": arn }),
        None => {
            json!({ "PolicyName": source.name, "PolicyType": "INLINE", "EntityType": source.of.0, "EntityName": source.of.1 })
        }
    }
}

async fn list(cx: &Cx, permit: Permit<ListPoliciesGrantingServiceAccess>, input: Input) -> Result<Reply> {
    let scope = permit.global();
    let policies = Identity::find(cx, &scope, &input.arn).await?.policies(cx, &scope).await?;
    let items = input.service_namespaces.iter().enumerate().map(|(at, service)| {
        let granting: Vec<Value> = policies.iter().filter(|source| grants(&source.document, service)).map(shown).collect();
        (format!("{at:04}"), json!({ "ServiceNamespace": service, "Policies": granting }))
    });
    entity::answer("PoliciesGrantingServiceAccess", items.collect(), input.marker.as_deref(), None)
}

operation!("iam", ListPoliciesGrantingServiceAccess, ["user", "group", "role"], Input, resolve, list);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<ListPoliciesGrantingServiceAccess>()];
