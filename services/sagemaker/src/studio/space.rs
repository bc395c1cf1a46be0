//! CreateSpace, DescribeSpace, UpdateSpace, DeleteSpace, ListSpaces.
//!
//! A private space belongs to one profile and acts as its role; a shared one is everybody's of the domain and
//! acts as the role of the domain's `DefaultSpaceSettings`.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    DOMAIN, PROFILE, SPACE, domain_arn, profile_arn,
    record::{self, Record, text},
    settings, space_arn,
};
use crate::{
    error::validation,
    listing::{self, Filter, Shape},
    operation::operation,
    pipelines::members,
    tagging,
};

const CREATE_KEYS: [&str; 11] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:InstanceTypes",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
    "sagemaker:RemoteAccess",
    "sagemaker:OwnerUserProfileArn",
    "sagemaker:SpaceSharingType",
    "sagemaker:DomainId",
    "sagemaker:UserProfileName",
];
const UPDATE_KEYS: [&str; 9] = [
    "sagemaker:InstanceTypes",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
    "sagemaker:RemoteAccess",
    "sagemaker:OwnerUserProfileArn",
    "sagemaker:SpaceSharingType",
    "sagemaker:DomainId",
    "sagemaker:UserProfileName",
];
const OWNED: [&str; 4] = ["sagemaker:OwnerUserProfileArn", "sagemaker:SpaceSharingType", "sagemaker:DomainId", "sagemaker:UserProfileName"];
const ASKER: [&str; 2] = ["sagemaker:DomainId", "sagemaker:UserProfileName"];
/// Members of the request that DescribeSpace shows.
const SHOWN: [&str; 6] = ["DomainId", "SpaceName", "SpaceSettings", "OwnershipSettings", "SpaceSharingSettings", "SpaceDisplayName"];

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateSpace>(),
        OperationRow::of::<DescribeSpace>(),
        OperationRow::of::<UpdateSpace>(),
        OperationRow::of::<DeleteSpace>(),
        OperationRow::of::<ListSpaces>(),
    ]
}

operation!(CreateSpace, ["space"] + CREATE_KEYS and ["sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeSpace, ["space"] + ASKER, Value, resolve, describe);
operation!(UpdateSpace, ["space"] + UPDATE_KEYS, Value, resolve_change, update);
operation!(DeleteSpace, ["space"] + OWNED, Value, resolve_change, delete);
operation!(ListSpaces, ["*"], ListInput, resolve_list, list);

fn named(cx: &Cx, input: &Value) -> Arn {
    space_arn(&cx.scope(), text(input, "DomainId"), text(input, "SpaceName"))
}

/// `sagemaker:OwnerUserProfileArn` and `sagemaker:SpaceSharingType` of a space as its request has it.
pub(super) fn owned(check: Check, scope: &Scope, domain: &str, request: &Value) -> Check {
    let owner = request["OwnershipSettings"]["OwnerUserProfileName"].as_str().map(|owner| profile_arn(scope, domain, owner).to_string());
    check
        .key_if("sagemaker:OwnerUserProfileArn", owner)
        .key_if("sagemaker:SpaceSharingType", request["SpaceSharingSettings"]["SharingType"].as_str())
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let (arn, tags) = (named(cx, input), tags_of(input, "Tags"));
    let tag = tagging::on_create(&arn, &tags, "CreateSpace");
    let own = settings::keys(Check::on(action, arn), &[input.get("SpaceSettings")])
        .key_if("sagemaker:RemoteAccess", input["SpaceSettings"]["RemoteAccess"].as_str());
    let own = owned(own, &cx.scope(), text(input, "DomainId"), input);
    Ok(Checks::from(settings::asker(own, &cx.caller).request_tags(&tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateSpace>, input: Value) -> Result<Reply> {
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    settings::checked(input.get("SpaceSettings"))?;
    let (scope, domain) = (permit.scope(), text(&input, "DomainId"));
    let (on, of) = record::find_ready(&cx.kernel, DOMAIN, scope, &domain_arn(scope, domain)).await?;
    let mut batch = Batch::new();
    batch.require(DOMAIN, scope, &*on.id, Expect::Version(on.version));
    let owner = input["OwnershipSettings"]["OwnerUserProfileName"].as_str();
    match (owner, input["SpaceSharingSettings"]["SharingType"].as_str()) {
        (Some(owner), Some(_)) => {
            let (owner, _) = record::find_ready(&cx.kernel, PROFILE, scope, &profile_arn(scope, domain, owner)).await?;
            batch.require(PROFILE, scope, &*owner.id, Expect::Version(owner.version));
        }
        (None, None) => {}
        _ => return Err(validation("OwnershipSettings and SpaceSharingSettings must be specified together.")),
    }
    let shared = input["SpaceSharingSettings"]["SharingType"].as_str() != Some("Private");
    if shared && of.at(&["DefaultSpaceSettings", "ExecutionRole"]).is_none() {
        return Err(validation(format!(
            "Domain [{}] has no DefaultSpaceSettings with an ExecutionRole, as which shared spaces act. Update the Domain with one first.",
            of.arn
        )));
    }
    let arn = named(cx, &input);
    let row = Row::new(SPACE, scope, arn.resource_type_and_id().1, cx.now()).parent(domain).name(text(&input, "SpaceName"));
    let record = Record::new(&arn, input.as_object().cloned().unwrap_or_default());
    match record::create(cx, batch, row, &record, tags).await {
        Err(CommitError::Conflict { kind: SPACE, .. }) => Err(record::taken(SPACE, &arn)),
        Err(CommitError::Conflict { .. }) => Err(record::busy(DOMAIN, &of.arn, "Updating")),
        done => done.map(|()| Reply::new(json!({"SpaceArn": arn}))).map_err(Into::into),
    }
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(settings::asker(Check::on(action, named(cx, input)), &cx.caller).into())
}

/// Whose the space is, is in the store; of one that is not there no key is set.
async fn resolve_change(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let (scope, arn) = (cx.scope(), named(cx, input));
    let stored = match record::find(&cx.kernel, SPACE, &scope, &arn).await {
        Ok((_, record)) => Value::from(record.request),
        Err(error) if error.code == "ResourceNotFound" => Value::Null,
        Err(error) => return Err(error),
    };
    let check = settings::keys(Check::on(action, arn), &[input.get("SpaceSettings")])
        .key_if("sagemaker:RemoteAccess", input["SpaceSettings"]["RemoteAccess"].as_str());
    Ok(settings::asker(owned(check, &scope, text(input, "DomainId"), &stored), &cx.caller).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeSpace>, input: Value) -> Result<Reply> {
    let (row, record) = record::find(&cx.kernel, SPACE, permit.scope(), &named(cx, &input)).await?;
    let mut document = record.document(&row, &SHOWN);
    document.insert("SpaceArn".to_owned(), json!(record.arn));
    Ok(Reply::new(document.into()))
}

async fn update(cx: &Cx, permit: Permit<UpdateSpace>, input: Value) -> Result<Reply> {
    settings::checked(input.get("SpaceSettings"))?;
    let (row, mut record) = record::find(&cx.kernel, SPACE, permit.scope(), &named(cx, &input)).await?;
    if row.status != "InService" {
        return Err(record::busy(SPACE, &record.arn, &row.status));
    }
    settings::merge(&mut record.request, "SpaceSettings", input.get("SpaceSettings"));
    if let Some(name) = input.get("SpaceDisplayName").filter(|name| !name.is_null()) {
        record.request.insert("SpaceDisplayName".to_owned(), name.clone());
    }
    record::change(cx, row, "Updating", &record).await?;
    Ok(Reply::new(json!({"SpaceArn": record.arn})))
}

async fn delete(cx: &Cx, permit: Permit<DeleteSpace>, input: Value) -> Result<Reply> {
    record::delete(cx, SPACE, permit.scope(), &named(cx, &input)).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    domain_id_equals: Option<String>,
    space_name_contains: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListSpaces>, input: ListInput) -> Result<Reply> {
    let filter = Filter { name_contains: input.space_name_contains, ..input.filter };
    let shape = Shape { parent: input.domain_id_equals.as_deref(), descending: false, ..Shape::of(SPACE) };
    let page = listing::page(cx, permit.scope(), shape, &filter, |_| true).await?;
    let spaces = page.rows.iter().map(summary).collect::<Result<Value>>()?;
    Ok(Reply::new(members([("Spaces", Some(spaces)), ("NextToken", page.next_token.map(Value::from))]).into()))
}

fn summary(row: &Row) -> Result<Value> {
    let record: Record = row.body()?;
    let of_settings = |member: &str| record.at(&["SpaceSettings", member]).cloned();
    let settings = members([
        ("AppType", of_settings("AppType")),
        ("SpaceStorageSettings", of_settings("SpaceStorageSettings")),
        ("RemoteAccess", of_settings("RemoteAccess")),
    ]);
    let summary = members([
        ("DomainId", Some(json!(row.parent))),
        ("SpaceName", Some(json!(row.name))),
        ("Status", Some(json!(row.status))),
        ("CreationTime", Some(json!(row.created))),
        ("LastModifiedTime", Some(json!(row.updated))),
        ("SpaceDisplayName", record.request.get("SpaceDisplayName").cloned()),
        ("OwnershipSettingsSummary", record.request.get("OwnershipSettings").cloned()),
        ("SpaceSharingSettingsSummary", record.request.get("SpaceSharingSettings").cloned()),
        ("SpaceSettingsSummary", Some(settings.into())),
    ]);
    Ok(summary.into())
}
