//! CreateUserProfile, DescribeUserProfile, UpdateUserProfile, DeleteUserProfile, ListUserProfiles.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    DOMAIN, PROFILE, domain_arn, profile_arn,
    record::{self, Record, text},
    settings,
};
use crate::{
    error::validation,
    listing::{self, Filter, Shape},
    operation::operation,
    pipelines::members,
    tagging,
};

const CREATE_KEYS: [&str; 10] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:InstanceTypes",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:DomainSharingOutputKmsKey",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
    "sagemaker:DomainId",
    "sagemaker:UserProfileName",
];
const UPDATE_KEYS: [&str; 8] = [
    "sagemaker:InstanceTypes",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:DomainSharingOutputKmsKey",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
    "sagemaker:DomainId",
    "sagemaker:UserProfileName",
];
const ASKER: [&str; 2] = ["sagemaker:DomainId", "sagemaker:UserProfileName"];
/// Members of the request that DescribeUserProfile shows.
const SHOWN: [&str; 4] = ["DomainId", "UserSettings", "SingleSignOnUserIdentifier", "SingleSignOnUserValue"];

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateUserProfile>(),
        OperationRow::of::<DescribeUserProfile>(),
        OperationRow::of::<UpdateUserProfile>(),
        OperationRow::of::<DeleteUserProfile>(),
        OperationRow::of::<ListUserProfiles>(),
    ]
}

operation!(CreateUserProfile, ["user-profile"] + CREATE_KEYS and ["iam:PassRole", "sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeUserProfile, ["user-profile"] + ASKER, Value, resolve, describe);
operation!(UpdateUserProfile, ["user-profile"] + UPDATE_KEYS and ["iam:PassRole"], Value, resolve_update, update);
operation!(DeleteUserProfile, ["user-profile"] + ASKER, Value, resolve, delete);
operation!(ListUserProfiles, ["*"], ListInput, resolve_list, list);

fn named(cx: &Cx, input: &Value) -> Arn {
    profile_arn(&cx.scope(), text(input, "DomainId"), text(input, "UserProfileName"))
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let (arn, tags, settings) = (named(cx, input), tags_of(input, "Tags"), [input.get("UserSettings")]);
    let tag = tagging::on_create(&arn, &tags, "CreateUserProfile");
    let own = settings::asker(settings::keys(Check::on(action, arn), &settings), &cx.caller).request_tags(&tags);
    Ok(std::iter::once(own).chain(settings::pass_roles(cx, &settings)?).chain(tag).collect())
}

async fn create(cx: &Cx, permit: Permit<CreateUserProfile>, input: Value) -> Result<Reply> {
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    settings::checked(input.get("UserSettings"))?;
    let (scope, domain) = (permit.scope(), text(&input, "DomainId"));
    let (stands_on, of) = record::find_ready(&cx.kernel, DOMAIN, scope, &domain_arn(scope, domain)).await?;
    single_sign_on(&input, of.text("AuthMode"))?;
    let arn = named(cx, &input);
    let row = Row::new(PROFILE, scope, arn.resource_type_and_id().1, cx.now()).parent(domain).name(text(&input, "UserProfileName"));
    let record = Record::new(&arn, input.as_object().cloned().unwrap_or_default());
    let mut batch = Batch::new();
    batch.require(DOMAIN, scope, &*stands_on.id, Expect::Version(stands_on.version));
    match record::create(cx, batch, row, &record, tags).await {
        Err(CommitError::Conflict { kind: DOMAIN, .. }) => Err(record::busy(DOMAIN, &of.arn, "Updating")),
        Err(CommitError::Conflict { .. }) => Err(record::taken(PROFILE, &arn)),
        done => done.map(|()| Reply::new(json!({"UserProfileArn": arn}))).map_err(Into::into),
    }
}

/// Who a profile is in IAM Identity Center is said where the domain signs in that way, and only there.
fn single_sign_on(input: &Value, mode: &str) -> Result<()> {
    let given = ["SingleSignOnUserIdentifier", "SingleSignOnUserValue"].map(|member| !text(input, member).is_empty());
    match (mode, given) {
        ("SSO", [true, true]) | ("IAM", [false, false]) => Ok(()),
        ("SSO", _) => {
            Err(validation("SingleSignOnUserIdentifier and SingleSignOnUserValue are required when the Domain's AuthMode is SSO."))
        }
        _ => Err(validation("SingleSignOnUserIdentifier and SingleSignOnUserValue cannot be specified when the Domain's AuthMode is IAM.")),
    }
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(settings::asker(Check::on(action, named(cx, input)), &cx.caller).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeUserProfile>, input: Value) -> Result<Reply> {
    let (row, record) = record::find(&cx.kernel, PROFILE, permit.scope(), &named(cx, &input)).await?;
    let mut document = record.document(&row, &SHOWN);
    document.insert("UserProfileArn".to_owned(), json!(record.arn));
    document.insert("UserProfileName".to_owned(), json!(row.name));
    Ok(Reply::new(document.into()))
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let settings = [input.get("UserSettings")];
    let own = settings::asker(settings::keys(Check::on(action, named(cx, input)), &settings), &cx.caller);
    Ok(std::iter::once(own).chain(settings::pass_roles(cx, &settings)?).collect())
}

async fn update(cx: &Cx, permit: Permit<UpdateUserProfile>, input: Value) -> Result<Reply> {
    settings::checked(input.get("UserSettings"))?;
    let (row, mut record) = record::find(&cx.kernel, PROFILE, permit.scope(), &named(cx, &input)).await?;
    if row.status != "InService" {
        return Err(record::busy(PROFILE, &record.arn, &row.status));
    }
    settings::merge(&mut record.request, "UserSettings", input.get("UserSettings"));
    record::change(cx, row, "Updating", &record).await?;
    Ok(Reply::new(json!({"UserProfileArn": record.arn})))
}

async fn delete(cx: &Cx, permit: Permit<DeleteUserProfile>, input: Value) -> Result<Reply> {
    record::delete(cx, PROFILE, permit.scope(), &named(cx, &input)).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    domain_id_equals: Option<String>,
    user_profile_name_contains: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListUserProfiles>, input: ListInput) -> Result<Reply> {
    let filter = Filter { name_contains: input.user_profile_name_contains, ..input.filter };
    let shape = Shape { parent: input.domain_id_equals.as_deref(), descending: false, ..Shape::of(PROFILE) };
    let page = listing::page(cx, permit.scope(), shape, &filter, |_| true).await?;
    let profiles = page.rows.iter().map(summary).collect();
    Ok(Reply::new(members([("UserProfiles", Some(profiles)), ("NextToken", page.next_token.map(Value::from))]).into()))
}

fn summary(row: &Row) -> Value {
    let summary: Map<String, Value> = members([
        ("DomainId", Some(json!(row.parent))),
        ("UserProfileName", Some(json!(row.name))),
        ("Status", Some(json!(row.status))),
        ("CreationTime", Some(json!(row.created))),
        ("LastModifiedTime", Some(json!(row.updated))),
    ]);
    summary.into()
}
