//! Models: a container and a role under a name. Follows CreateModel and its kin in the SageMaker API Reference.
//!
//! The row keeps the request for `Describe`, which echoes it, and the resolved container for whoever runs it.
//! Rows have the name in lower case as their id, as in the ARN: two names that differ in case only would
//! share their tags.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Kernel, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::container::{self, Container};
use crate::{
    error::validation,
    listing::{self, Filter, Shape},
    names,
    operation::operation,
    registry, tagging, vpc,
};

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateModel>(),
        OperationRow::of::<DescribeModel>(),
        OperationRow::of::<ListModels>(),
        OperationRow::of::<DeleteModel>(),
    ]
}

/// What a model's row holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Model {
    /// As asked for, without tags.
    pub request: Value,
    /// What it comes to.
    pub container: Container,
}

/// A member of a request that the model requires to be text.
pub(super) fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap_or_default()
}

/// The texts of a list.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn arn(scope: &Scope, name: &str) -> Arn {
    names::arn(scope, "model", name)
}

/// `Could not find model "arn…".`
pub(crate) fn missing(scope: &Scope, name: &str) -> AwsError {
    validation(format!("Could not find model \"{}\".", arn(scope, name)))
}

/// A model that exists.
///
/// # Errors
/// `ValidationException` where there is none.
pub(crate) async fn get(kernel: &Kernel, scope: &Scope, name: &str) -> Result<Model> {
    let row = kernel.store().get(names::MODEL, scope, &name.to_lowercase()).await?;
    Ok(row.ok_or_else(|| missing(scope, name))?.body()?)
}

operation!(
    CreateModel,
    ["model", "model-package"]
        + ["aws:RequestTag/${TagKey}", "aws:TagKeys", "sagemaker:NetworkIsolation", "sagemaker:VpcSecurityGroupIds", "sagemaker:VpcSubnets"]
        and ["iam:PassRole", "sagemaker:AddTags"],
    Value,
    resolve_create,
    create
);
operation!(DescribeModel, ["model"], Value, resolve_named, describe);
operation!(ListModels, ["*"], Filter, resolve_list, list);
operation!(DeleteModel, ["model"], Value, resolve_named, delete);

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let arn = arn(&cx.scope(), text(input, "ModelName"));
    let tags = tags_of(input, "Tags");
    let isolated = input["EnableNetworkIsolation"].as_bool().map(|on| on.to_string());
    let check = Check::on(action, arn.clone()).request_tags(&tags).key_if("sagemaker:NetworkIsolation", isolated);
    let check = vpc::keys(check, &input["VpcConfig"]);
    let role = input["ExecutionRoleArn"].as_str().map(|role| Arn::parse(role).map_err(|_| validation(format!("Invalid role ARN: {role}"))));
    let role = role.transpose()?.map(|role| Check::pass_role_for(role, names::PRINCIPAL, &arn));
    Ok(packages(cx, action, input)?
        .into_iter()
        .fold(Checks::from(check).and_if(role).and_if(tagging::on_create(&arn, &tags, "CreateModel")), Checks::and))
}

/// Another account's packages that a model is to be made of: their groups' policies say who may. The own account's are
/// only described ([`container::resolve`]).
fn packages(cx: &Cx, action: &'static str, input: &Value) -> Result<Vec<Check>> {
    let several = input["Containers"].as_array().map_or(&[][..], Vec::as_slice);
    let names = std::iter::once(&input["PrimaryContainer"]).chain(several).filter_map(|one| one["ModelPackageName"].as_str());
    let mut checks = Vec::new();
    for name in names {
        let package = registry::package_arn(cx, name)?;
        if package.account() != cx.caller.account.as_str() {
            let check = Check::on(action, package.clone());
            checks.push(match registry::group_of(&package) {
                Some(group) => check.policy_of(group),
                None => check,
            });
        }
    }
    Ok(checks)
}

async fn create(cx: &Cx, permit: Permit<CreateModel>, mut input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    let name = text(&input, "ModelName").to_owned();
    let arn = arn(scope, &name);
    let container = container::resolve(cx, &input, &name).await?;
    for one in container.all() {
        container::check_access(cx, one, &arn).await?;
    }
    if let Some(members) = input.as_object_mut() {
        members.remove("Tags");
    }
    let row = Row::new(names::MODEL, scope, name.to_lowercase(), cx.now()).name(&name).with(&Model { request: input, container })?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.set_tags(arn.as_str(), tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(validation(format!("Cannot create already existing model \"{arn}\"."))),
        done => {
            done?;
            Ok(Reply::new(json!({"ModelArn": arn})))
        }
    }
}

async fn resolve_named(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(&cx.scope(), text(input, "ModelName"))).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeModel>, input: Value) -> Result<Reply> {
    let (scope, name) = (permit.scope(), text(&input, "ModelName"));
    let row = cx.kernel.store().get(names::MODEL, scope, &name.to_lowercase()).await?.ok_or_else(|| missing(scope, name))?;
    let mut output = row.body::<Model>()?.request;
    output["ModelArn"] = json!(arn(scope, &row.name));
    output["CreationTime"] = json!(row.created);
    if output["EnableNetworkIsolation"].is_null() {
        output["EnableNetworkIsolation"] = json!(false);
    }
    Ok(Reply::new(output))
}

async fn resolve_list(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListModels>, filter: Filter) -> Result<Reply> {
    let scope = permit.scope();
    let page = listing::page(cx, scope, Shape::of(names::MODEL), &filter, |_| true).await?;
    let summary = |row: &Row| json!({"ModelName": row.name, "ModelArn": arn(scope, &row.name), "CreationTime": row.created});
    Ok(paged("Models", page.rows.iter().map(summary).collect(), page.next_token))
}

/// The output of a `List` operation.
pub(super) fn paged(member: &str, items: Vec<Value>, next_token: Option<String>) -> Reply {
    let mut output = json!({});
    output[member] = items.into();
    if let Some(token) = next_token {
        output["NextToken"] = token.into();
    }
    Reply::new(output)
}

async fn delete(cx: &Cx, permit: Permit<DeleteModel>, input: Value) -> Result<Reply> {
    let (scope, name) = (permit.scope(), text(&input, "ModelName"));
    let mut batch = Batch::new();
    batch.delete(names::MODEL, scope, name.to_lowercase(), Expect::Present);
    batch.set_tags(arn(scope, name).as_str(), Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::NotFound { .. }) => Err(missing(scope, name)),
        done => {
            done?;
            Ok(Reply::empty())
        }
    }
}
