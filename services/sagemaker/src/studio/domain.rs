//! CreateDomain, DescribeDomain, UpdateDomain, DeleteDomain, ListDomains.

use serde_json::{Map, Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, Ids, OperationRow, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, List, Row};

use super::{
    APP, DOMAIN, domain_arn,
    domain_record::{self as document, SLOTS, TOTAL, slot},
    record::{self, Record, noun, text},
    settings, url,
};
use crate::{
    error::{in_use, limit},
    listing::{self, Filter, Shape},
    operation::operation,
    pipelines::members,
    tagging,
};

/// The characters of a domain's id behind `d-`.
const ID: usize = 12;

const CREATE_KEYS: [&str; 11] = [
    "aws:RequestTag/${TagKey}",
    "aws:TagKeys",
    "sagemaker:AppNetworkAccessType",
    "sagemaker:InstanceTypes",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:VpcSubnets",
    "sagemaker:DomainSharingOutputKmsKey",
    "sagemaker:VolumeKmsKey",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
];
const UPDATE_KEYS: [&str; 8] = [
    "sagemaker:AppNetworkAccessType",
    "sagemaker:InstanceTypes",
    "sagemaker:VpcSecurityGroupIds",
    "sagemaker:VpcSubnets",
    "sagemaker:DomainSharingOutputKmsKey",
    "sagemaker:ImageArns",
    "sagemaker:ImageVersionArns",
    "sagemaker:StudioLifecycleConfigArns",
];

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateDomain>(),
        OperationRow::of::<DescribeDomain>(),
        OperationRow::of::<UpdateDomain>(),
        OperationRow::of::<DeleteDomain>(),
        OperationRow::of::<ListDomains>(),
    ]
}

operation!(CreateDomain, ["domain"] + CREATE_KEYS and ["iam:PassRole", "sagemaker:AddTags"], Value, resolve_create, create);
operation!(DescribeDomain, ["domain"], Value, resolve, describe);
operation!(UpdateDomain, ["domain"] + UPDATE_KEYS and ["iam:PassRole"], Value, resolve_update, update);
operation!(DeleteDomain, ["domain"], Value, resolve, delete);
operation!(ListDomains, ["*"], Filter, resolve_list, list);

fn named(cx: &Cx, input: &Value) -> Arn {
    domain_arn(&cx.scope(), text(input, "DomainId"))
}

/// Keys of the settings and of the network that a request names.
fn keys(check: Check, input: &Value, settings: &[Option<&Value>]) -> Check {
    let mut check = settings::keys(check, settings).key_if("sagemaker:AppNetworkAccessType", input["AppNetworkAccessType"].as_str());
    let subnets: Vec<String> = input["SubnetIds"].as_array().into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    if !subnets.is_empty() {
        check = check.list("sagemaker:VpcSubnets", subnets);
    }
    check.key_if("sagemaker:VolumeKmsKey", input["KmsKeyId"].as_str())
}

fn settings_of(input: &Value) -> [Option<&Value>; 2] {
    [input.get("DefaultUserSettings"), input.get("DefaultSpaceSettings")]
}

/// The id is drawn here, so that policies are asked about the domain that will be.
async fn resolve_create(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let arn = domain_arn(&cx.scope(), &format!("d-{}", Ids::lower(ID)));
    let (tags, settings) = (tags_of(input, "Tags"), settings_of(input));
    let tag = tagging::on_create(&arn, &tags, "CreateDomain");
    let own = keys(Check::on(action, arn), input, &settings).request_tags(&tags);
    Ok(std::iter::once(own).chain(settings::pass_roles(cx, &settings)?).chain(tag).collect())
}

async fn create(cx: &Cx, permit: Permit<CreateDomain>, input: Value) -> Result<Reply> {
    let tags = tags_of(&input, "Tags");
    tagging::checked(&tags)?;
    document::checked(&input)?;
    let scope = permit.scope();
    let id = permit.resource().map(|arn| arn.resource_type_and_id().1.to_owned()).unwrap_or_default();
    let arn = domain_arn(scope, &id);
    let name = text(&input, "DomainName").to_owned();
    let request = match input {
        Value::Object(request) => request,
        _ => Map::new(),
    };
    let record = Record::new(&arn, request);
    for number in 1..=TOTAL {
        let mut batch = Batch::new();
        // Slots make the quota exact: two requests for the last one cannot both have it.
        batch.claim_unique(SLOTS, slot(scope, number), &*id);
        batch.claim_unique(document::OWNERS, format!("{}/{id}", scope.region), scope.account.as_str());
        let row = Row::new(DOMAIN, scope, &*id, cx.now()).name(&*name);
        match record::create(cx, batch, row, &record, tags.clone()).await {
            Err(CommitError::UniqueTaken { namespace, .. }) if namespace == SLOTS => {}
            Err(CommitError::Conflict { .. }) => return Err(record::taken(DOMAIN, &arn)),
            done => {
                return done.map(|()| Reply::new(json!({"DomainArn": arn, "DomainId": id, "Url": url(scope, &id)}))).map_err(Into::into);
            }
        }
    }
    Err(limit(format!(
        "The account-level service limit 'Total domains' is {TOTAL} Domains, with current utilization of {TOTAL} Domains and a request \
         delta of 1 Domains. Please contact AWS support to request an increase for this limit."
    )))
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, named(cx, input)).into())
}

async fn describe(cx: &Cx, permit: Permit<DescribeDomain>, input: Value) -> Result<Reply> {
    let (row, record) = record::find(&cx.kernel, DOMAIN, permit.scope(), &named(cx, &input)).await?;
    Ok(Reply::new(document::document(&row, &record).into()))
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let settings = settings_of(input);
    let own = keys(Check::on(action, named(cx, input)), input, &settings);
    Ok(std::iter::once(own).chain(settings::pass_roles(cx, &settings)?).collect())
}

async fn update(cx: &Cx, permit: Permit<UpdateDomain>, input: Value) -> Result<Reply> {
    document::checked(&input)?;
    let scope = permit.scope();
    let (row, mut record) = record::find(&cx.kernel, DOMAIN, scope, &named(cx, &input)).await?;
    if matches!(row.status.as_str(), "Pending" | "Updating" | "Deleting") {
        return Err(record::busy(DOMAIN, &record.arn, &row.status));
    }
    let new = input.get("DomainSettingsForUpdate");
    let identity = new.and_then(|settings| settings.get("ExecutionRoleIdentityConfig"));
    if identity.is_some_and(|new| *new != document::identity(&record)) {
        let apps = cx.kernel.store().list(&List::of(APP, scope).parent(&row.id)).await?;
        if apps.iter().any(|app| matches!(app.status.as_str(), "InService" | "Pending")) {
            return Err(in_use(format!(
                "Unable to update ExecutionRoleIdentityConfig of {} [{}] because App(s) in InService or Pending status are associated with it.",
                noun(DOMAIN),
                record.arn
            )));
        }
    }
    settings::merge(&mut record.request, "DomainSettings", new);
    for member in ["DefaultUserSettings", "DefaultSpaceSettings"] {
        settings::merge(&mut record.request, member, input.get(member));
    }
    for member in
        ["SubnetIds", "VpcId", "AppNetworkAccessType", "AppSecurityGroupManagement", "TagPropagation", "HomeEfsFileSystemCreation"]
    {
        if let Some(value) = input.get(member).filter(|value| !value.is_null()) {
            record.request.insert(member.to_owned(), value.clone());
        }
    }
    record.failure = None;
    record::change(cx, row, "Updating", &record).await?;
    Ok(Reply::new(json!({"DomainArn": record.arn})))
}

/// `RetentionPolicy` is about a file system, and there is none to keep or to delete.
async fn delete(cx: &Cx, permit: Permit<DeleteDomain>, input: Value) -> Result<Reply> {
    record::delete(cx, DOMAIN, permit.scope(), &named(cx, &input)).await?;
    Ok(Reply::empty())
}

async fn resolve_list(_: &Cx, action: &'static str, _: &Filter) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list(cx: &Cx, permit: Permit<ListDomains>, filter: Filter) -> Result<Reply> {
    let scope = permit.scope();
    let page = listing::page(cx, scope, Shape { descending: false, ..Shape::of(DOMAIN) }, &filter, |_| true).await?;
    let summary = |row: &Row| {
        json!({
            "DomainArn": domain_arn(scope, &row.id), "DomainId": row.id, "DomainName": row.name, "Status": row.status,
            "CreationTime": row.created, "LastModifiedTime": row.updated, "Url": url(scope, &row.id),
        })
    };
    let domains = page.rows.iter().map(summary).collect();
    Ok(Reply::new(members([("Domains", Some(domains)), ("NextToken", page.next_token.map(Value::from))]).into()))
}
