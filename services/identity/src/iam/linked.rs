//! Service-linked roles: made for a service, under a reserved path, changed by nobody else.
//!
//! Deletion is a task in AWS because the service may object. No service of this instance uses such a
//! role, so the task ends at once and is kept to be asked for.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::Result;
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Policies, Role},
};
use tenantry_store::{Batch, Expect, Kind, Row};

use super::{
    entity::{self, Entity, EntityInput, arn_of},
    error,
    render::{self, Detail},
    roles,
};
use tenantry_kernel::operation;

/// Deletions that were asked for.
const DELETION: Kind = Kind::new("iam.deletion");

/// Services with such roles, and what stands behind `AWSServiceRoleFor`.
/// Source: "AWS services that work with IAM" and each service's page on service-linked roles.
const SERVICES: &[(&str, &str)] = &[
    ("application-autoscaling.amazonaws.com", "ApplicationAutoScaling"),
    ("autoscaling.amazonaws.com", "AutoScaling"),
    ("codestar-notifications.amazonaws.com", "CodeStarNotifications"),
    ("config.amazonaws.com", "Config"),
    ("ec2.amazonaws.com", "EC2"),
    ("ecs.amazonaws.com", "ECS"),
    ("elasticfilesystem.amazonaws.com", "AmazonElasticFileSystem"),
    ("elasticloadbalancing.amazonaws.com", "ElasticLoadBalancing"),
    ("organizations.amazonaws.com", "Organizations"),
    ("ram.amazonaws.com", "ResourceAccessManager"),
    ("rds.amazonaws.com", "RDS"),
    ("replicator.lambda.amazonaws.com", "LambdaReplicator"),
    ("sagemaker.amazonaws.com", "AmazonSageMakerNotebooks"),
    ("sagemaker.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_SageMakerEndpoint"),
    ("servicecatalog.amazonaws.com", "ServiceCatalogSync"),
    ("stacksets.cloudformation.amazonaws.com", "CloudFormationStackSetsOrgAdmin"),
    ("member.org.stacksets.cloudformation.amazonaws.com", "CloudFormationStackSetsOrgMember"),
];

/// Whose roles may have a suffix.
const SUFFIXED: &[&str] = &["autoscaling.amazonaws.com"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    #[serde(rename = "AWSServiceName")]
    service: String,
    #[serde(default)]
    description: String,
    custom_suffix: Option<String>,
}

impl CreateInput {
    fn path(&self) -> String {
        format!("{}{}/", roles::LINKED_PATH, self.service)
    }
    fn role_name(&self) -> Option<String> {
        let (_, name) = SERVICES.iter().find(|(service, _)| *service == self.service)?;
        let suffix = self.custom_suffix.as_ref().map(|suffix| format!("_{suffix}")).unwrap_or_default();
        Some(format!("AWSServiceRoleFor{name}{suffix}"))
    }
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let name = input.role_name().unwrap_or_else(|| "*".to_owned());
    let arn = arn_of::<Role>(&cx.caller.account, &input.path(), &name);
    Ok(Check::on(action, arn).key("iam:AWSServiceName", input.service.as_str()).into())
}

async fn create(cx: &Cx, permit: Permit<CreateServiceLinkedRole>, input: CreateInput) -> Result<Reply> {
    let name =
        input.role_name().ok_or_else(|| error::invalid_input(format!("{} does not support service-linked roles.", input.service)))?;
    if input.custom_suffix.is_some() && !SUFFIXED.contains(&input.service.as_str()) {
        return Err(error::invalid_input(format!("Custom suffix is not allowed for {}", input.service)));
    }
    let scope = permit.global();
    if entity::find::<Role>(cx, &scope, &name).await?.is_some() {
        return Err(error::invalid_input(format!(
            "Service role name {name} has been taken in this account, please try a different suffix."
        )));
    }
    let path = input.path();
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": input.service }, "Action": "sts:AssumeRole",
    }] });
    let role = Role {
        id: Ids::unique("AROA"),
        arn: arn_of::<Role>(permit.account(), &path, &name),
        name,
        path,
        created: cx.now(),
        description: input.description,
        trust: trust.to_string(),
        trusted_ids: std::collections::BTreeMap::new(),
        max_session: roles::DEFAULT_SESSION,
        policies: Policies::default(),
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: Some(input.service),
    };
    let role = entity::create(cx, &scope, role, Batch::new()).await?;
    Ok(json!({ "Role": render::role(cx, &role, Detail::Listed).await? }).into())
}

#[derive(Serialize, Deserialize)]
struct Deletion {
    role: String,
}

async fn delete(cx: &Cx, permit: Permit<DeleteServiceLinkedRole>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    let role: Role = entity::get(cx, &scope, &input.entity).await?;
    let service = role.linked_service.clone().ok_or_else(|| <Role as Entity>::missing(&input.entity))?;
    roles::remove(cx, &scope, &role.name, true).await?;
    let task = format!("task{}{service}/{}/{}", roles::LINKED_PATH, role.name, Ids::uuid());
    let mut batch = Batch::new();
    batch.put(Row::new(DELETION, &scope, task.clone(), cx.now()).with(&Deletion { role: role.name })?, Expect::Absent);
    cx.commit(batch).await?;
    Ok(json!({ "DeletionTaskId": task }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StatusInput {
    deletion_task_id: String,
}

async fn resolve_status(cx: &Cx, action: &'static str, input: &StatusInput) -> Result<Checks> {
    // task/aws-service-role/SERVICE/ROLE/ID is about role/aws-service-role/SERVICE/ROLE.
    let role = input.deletion_task_id.strip_prefix("task/").and_then(|rest| rest.rsplit_once('/')).map_or("", |(role, _)| role);
    Ok(Check::on(action, cx.global_arn("iam", format!("role/{role}"))).into())
}

async fn status(cx: &Cx, permit: Permit<GetServiceLinkedRoleDeletionStatus>, input: StatusInput) -> Result<Reply> {
    let found = cx.kernel.store().get(DELETION, &permit.global(), &input.deletion_task_id).await?;
    found.ok_or_else(|| error::no_such_entity(format!("Deletion task {} cannot be found.", input.deletion_task_id)))?;
    Ok(json!({ "Status": "SUCCEEDED" }).into())
}

operation!("iam", CreateServiceLinkedRole, ["role"] + ["iam:AWSServiceName"], CreateInput, resolve_create, create);
operation!("iam", DeleteServiceLinkedRole, ["role"], EntityInput, entity::resolve::<Role>, delete);
operation!("iam", GetServiceLinkedRoleDeletionStatus, ["role"], StatusInput, resolve_status, status);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateServiceLinkedRole>(),
    OperationRow::of::<DeleteServiceLinkedRole>(),
    OperationRow::of::<GetServiceLinkedRoleDeletionStatus>(),
];
