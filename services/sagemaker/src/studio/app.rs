//! CreateApp, DescribeApp, DeleteApp, ListApps.
//!
//! Nothing serves applications here, so an app never becomes `InService`: it is `Pending` until the reconciler
//! has looked and then `Failed`, with the reason. What was deleted is listed as `Deleted` for a day.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    APP, DOMAIN, PROFILE, SPACE, app_arn, domain_arn, profile_arn,
    record::{self, Record, text},
    settings, space, space_arn,
};
use crate::{
    error::{in_use, validation},
    listing::{self, Filter, Shape},
    operation::operation,
    pipelines::members,
    tagging,
};

const CREATE_KEYS: [&str; 10] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:InstanceTypes",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
    "sagemaker:OwnerUserProfileArn",
    "sagemaker:SpaceSharingType",
    "sagemaker:DomainId",
    "sagemaker:UserProfileName",
];
const DELETE_KEYS: [&str; 4] =
    ["sagemaker:OwnerUserProfileArn", "sagemaker:SpaceSharingType", "sagemaker:DomainId", "sagemaker:UserProfileName"];
const ASKER: [&str; 2] = ["sagemaker:DomainId", "sagemaker:UserProfileName"];
/// Members of the request that DescribeApp shows.
const SHOWN: [&str; 7] = ["DomainId", "UserProfileName", "SpaceName", "AppType", "AppName", "ResourceSpec", "RecoveryMode"];

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateApp>(),
        OperationRow::of::<DescribeApp>(),
        OperationRow::of::<DeleteApp>(),
        OperationRow::of::<ListApps>(),
    ]
}

operation!(CreateApp, ["app"] + CREATE_KEYS and ["sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeApp, ["app"] + ASKER, Value, resolve, describe);
operation!(DeleteApp, ["app"] + DELETE_KEYS, Value, resolve_delete, delete);
operation!(ListApps, ["*"], ListInput, resolve_list, list);

/// An app is of a profile or of a space.
fn owner(input: &Value) -> Result<&str> {
    match (text(input, "UserProfileName"), text(input, "SpaceName")) {
        (profile, "") if !profile.is_empty() => Ok(profile),
        ("", space) if !space.is_empty() => Ok(space),
        _ => Err(validation("Exactly one of UserProfileName and SpaceName must be specified.")),
    }
}

fn named(cx: &Cx, input: &Value) -> Result<Arn> {
    let parts = [text(input, "DomainId"), owner(input)?, text(input, "AppType"), text(input, "AppName")];
    Ok(app_arn(&cx.scope(), &parts.join("/")))
}

/// Keys of the space that an app is of. An app of a profile has none, and policies tell the two apart by that.
async fn owned(cx: &Cx, check: Check, input: &Value) -> Result<Check> {
    let (scope, domain, name) = (cx.scope(), text(input, "DomainId"), text(input, "SpaceName"));
    if name.is_empty() {
        return Ok(settings::asker(check, &cx.caller));
    }
    let stored = match record::find(&cx.kernel, SPACE, &scope, &space_arn(&scope, domain, name)).await {
        Ok((_, record)) => Value::from(record.request),
        Err(error) if error.code == "ResourceNotFound" => Value::Null,
        Err(error) => return Err(error),
    };
    Ok(settings::asker(space::owned(check, &scope, domain, &stored), &cx.caller))
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let (arn, tags) = (named(cx, input)?, tags_of(input, "Tags"));
    let tag = tagging::on_create(&arn, &tags, "CreateApp");
    let own = settings::keys(Check::on(action, arn), &[input.get("ResourceSpec")]).request_tags(&tags);
    Ok(Checks::from(owned(cx, own, input).await?).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateApp>, input: Value) -> Result<Reply> {
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    let (scope, domain, arn) = (permit.scope(), text(&input, "DomainId"), named(cx, &input)?);
    let (of, _) = record::find_ready(&cx.kernel, DOMAIN, scope, &domain_arn(scope, domain)).await?;
    let (kind, on) = match text(&input, "SpaceName") {
        "" => (PROFILE, profile_arn(scope, domain, text(&input, "UserProfileName"))),
        name => (SPACE, space_arn(scope, domain, name)),
    };
    let (on, _) = record::find_ready(&cx.kernel, kind, scope, &on).await?;
    let mut batch = Batch::new();
    batch.require(DOMAIN, scope, &*of.id, Expect::Version(of.version));
    batch.require(kind, scope, &*on.id, Expect::Version(on.version));
    let id = arn.resource_type_and_id().1;
    if let Some(before) = cx.kernel.store().get(APP, scope, id).await? {
        if record::is_live(&before.status) {
            return Err(record::taken(APP, &arn));
        }
        batch.delete(APP, scope, id, Expect::Version(before.version));
    }
    let row = Row::new(APP, scope, id, cx.now()).parent(domain).name(text(&input, "AppName"));
    let record = Record::new(&arn, input.as_object().cloned().unwrap_or_default());
    match record::create(cx, batch, row, &record, tags).await {
        Err(CommitError::Conflict { kind: APP, .. }) => Err(record::taken(APP, &arn)),
        Err(CommitError::Conflict { .. }) => {
            Err(in_use(format!("What App [{arn}] belongs to was changed by another request at the same time. Try again.")))
        }
        done => done.map(|()| Reply::new(json!({"AppArn": arn}))).map_err(Into::into),
    }
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(settings::asker(Check::on(action, named(cx, input)?), &cx.caller).into())
}

async fn resolve_delete(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(owned(cx, Check::on(action, named(cx, input)?), input).await?.into())
}

/// The app of that profile or that space: the two may have one name, and then one ARN.
async fn find(cx: &Cx, scope: &tenantry_core::Scope, input: &Value) -> Result<(Row, Record)> {
    let arn = named(cx, input)?;
    let (row, record) = record::find(&cx.kernel, APP, scope, &arn).await?;
    let of_space = !text(input, "SpaceName").is_empty();
    if of_space == record.text("SpaceName").is_empty() {
        return Err(record::missing(APP, &arn));
    }
    Ok((row, record))
}

async fn describe(cx: &Cx, permit: Permit<DescribeApp>, input: Value) -> Result<Reply> {
    let (row, record) = find(cx, permit.scope(), &input).await?;
    let mut document = record.document(&row, &SHOWN);
    document.remove("LastModifiedTime");
    document.insert("AppArn".to_owned(), json!(record.arn));
    Ok(Reply::new(document.into()))
}

async fn delete(cx: &Cx, permit: Permit<DeleteApp>, input: Value) -> Result<Reply> {
    let (row, record) = find(cx, permit.scope(), &input).await?;
    match row.status.as_str() {
        "Deleting" => Err(record::busy(APP, &record.arn, "Deleting")),
        "Deleted" => Err(record::missing(APP, &named(cx, &input)?)),
        _ => record::change(cx, row, "Deleting", &record).await.map(|()| Reply::empty()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    domain_id_equals: Option<String>,
    user_profile_name_equals: Option<String>,
    space_name_equals: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListApps>, input: ListInput) -> Result<Reply> {
    let shape = Shape { parent: input.domain_id_equals.as_deref(), descending: false, ..Shape::of(APP) };
    let is = |wanted: &Option<String>, record: &Record, member: &str| {
        wanted.as_ref().is_none_or(|wanted| record.text(member).eq_ignore_ascii_case(wanted))
    };
    let kept = |row: &Row| {
        row.body::<Record>().is_ok_and(|record| {
            is(&input.user_profile_name_equals, &record, "UserProfileName") && is(&input.space_name_equals, &record, "SpaceName")
        })
    };
    let page = listing::page(cx, permit.scope(), shape, &input.filter, kept).await?;
    let apps = page.rows.iter().map(summary).collect::<Result<Value>>()?;
    Ok(Reply::new(members([("Apps", Some(apps)), ("NextToken", page.next_token.map(Value::from))]).into()))
}

fn summary(row: &Row) -> Result<Value> {
    let record: Record = row.body()?;
    let mut summary: Map<String, Value> = record.document(row, &SHOWN);
    for member in ["LastModifiedTime", "FailureReason", "RecoveryMode"] {
        summary.remove(member);
    }
    Ok(summary.into())
}
