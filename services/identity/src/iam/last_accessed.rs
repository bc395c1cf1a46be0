//! Service last accessed: GenerateServiceLastAccessedDetails, and what it found out.
//!
//! A report names the services that the policies of an identity (or a policy) allow something of, and when each
//! was last asked for anything. It is made at once; its id is good for seven days. Actions are not recorded, so
//! that reports by action are refused.
//!
//! Source: "View last accessed information for IAM", IAM User Guide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Arn, Result, Scope, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply, Used,
    directory::{Group, Role, User},
};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use super::{
    entity, error, granting,
    held_policies::{Identity, grants, named_services},
    last_used, policies,
};
use tenantry_kernel::operation;

/// A report; id = the job's id.
const REPORT: Kind = Kind::new("report.last-accessed");
/// Seconds for which a report can be read.
const KEPT: i64 = 7 * 86_400;
/// The services that an instance serves, as AWS calls them.
const NAMES: [(&str, &str); 6] = [
    ("iam", "AWS Identity and Access Management"),
    ("logs", "Amazon CloudWatch Logs"),
    ("organizations", "AWS Organizations"),
    ("s3", "Amazon S3"),
    ("sagemaker", "Amazon SageMaker"),
    ("sts", "AWS Security Token Service"),
];

/// Who used something, and when.
#[derive(Serialize, Deserialize)]
struct Entity {
    arn: String,
    name: String,
    /// `USER` or `ROLE`.
    kind: String,
    id: String,
    path: String,
    /// By service.
    used: Vec<Used>,
}

#[derive(Serialize, Deserialize)]
struct Report {
    made: Timestamp,
    services: Vec<String>,
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GenerateInput {
    arn: String,
    granularity: Option<String>,
}

async fn resolve_generate(cx: &Cx, action: &'static str, input: &GenerateInput) -> Result<Checks> {
    let check = granting::on(action, &input.arn, &["user", "group", "role", "policy"])?;
    // AWS's policies count as the caller's.
    let ours = check.resource.as_ref().is_some_and(|arn| arn.account() == "aws");
    Ok(if ours { check.owned_by(cx.caller.account.clone()) } else { check }.into())
}

async fn user(cx: &Cx, scope: &Scope, it: &User) -> Result<Entity> {
    let used = last_used::services(cx, scope, &it.id).await?;
    let (arn, name, id, path) = (it.arn.to_string(), it.name.clone(), it.id.clone(), it.path.clone());
    Ok(Entity { arn, name, kind: "USER".to_owned(), id, path, used })
}

async fn role(cx: &Cx, scope: &Scope, it: &Role) -> Result<Entity> {
    let used = last_used::services(cx, scope, &it.id).await?;
    let (arn, name, id, path) = (it.arn.to_string(), it.name.clone(), it.id.clone(), it.path.clone());
    Ok(Entity { arn, name, kind: "ROLE".to_owned(), id, path, used })
}

/// The documents that say what is allowed, and who has them.
async fn subject(cx: &Cx, scope: &Scope, arn: &str) -> Result<(Vec<String>, Vec<Entity>)> {
    let mut entities = Vec::new();
    if Arn::parse(arn).is_ok_and(|arn| arn.resource_type_and_id().0 == "policy") {
        let document = policies::find(cx, scope, arn).await?.document().unwrap_or_default().to_owned();
        let has = |held: &[String]| held.iter().any(|it| it == arn);
        let groups: Vec<String> = entity::all::<Group>(cx, scope)
            .await?
            .into_iter()
            .filter(|it| has(&it.policies.attached))
            .map(|it| entity::row_id(&it.name))
            .collect();
        for it in entity::all::<User>(cx, scope).await? {
            if has(&it.policies.attached) || it.groups.iter().any(|group| groups.contains(group)) {
                entities.push(user(cx, scope, &it).await?);
            }
        }
        for it in entity::all::<Role>(cx, scope).await?.iter().filter(|it| has(&it.policies.attached)) {
            entities.push(role(cx, scope, it).await?);
        }
        return Ok((vec![document], entities));
    }
    let identity = Identity::find(cx, scope, arn).await?;
    match &identity {
        Identity::User(it) => entities.push(user(cx, scope, it).await?),
        Identity::Role(it) => entities.push(role(cx, scope, it).await?),
        Identity::Group(group) => {
            let id = entity::row_id(&group.name);
            for it in entity::all::<User>(cx, scope).await?.iter().filter(|it| it.groups.contains(&id)) {
                entities.push(user(cx, scope, it).await?);
            }
        }
    }
    let documents = identity.policies(cx, scope).await?.into_iter().map(|source| source.document).collect();
    Ok((documents, entities))
}

async fn generate(cx: &Cx, permit: Permit<GenerateServiceLastAccessedDetails>, input: GenerateInput) -> Result<Reply> {
    if input.granularity.is_some_and(|wanted| wanted != "SERVICE_LEVEL") {
        return Err(error::invalid_input("This instance records no actions: leave Granularity out, or ask for SERVICE_LEVEL."));
    }
    let scope = permit.global();
    let (documents, entities) = subject(cx, &scope, &input.arn).await?;
    let mut services: Vec<String> = NAMES.iter().map(|(service, _)| (*service).to_owned()).collect();
    services.extend(documents.iter().flat_map(|document| named_services(document)));
    services.retain(|service| documents.iter().any(|document| grants(document, service)));
    services.sort_unstable();
    services.dedup();
    let id = Ids::uuid();
    let mut batch = Batch::new();
    for old in cx.kernel.store().list(&List::of(REPORT, &scope)).await? {
        if old.created.plus_secs(KEPT) <= cx.now() {
            batch.delete(REPORT, &scope, old.id, Expect::Any);
        }
    }
    let report = Report { made: cx.now(), services, entities };
    batch.put(Row::new(REPORT, &scope, id.clone(), cx.now()).with(&report)?, Expect::Absent);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(json!({ "JobId": id }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JobInput {
    job_id: String,
    #[serde(default)]
    service_namespace: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve(_: &Cx, action: &'static str, _: &JobInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn report(cx: &Cx, scope: &Scope, id: &str) -> Result<Report> {
    let row = cx.kernel.store().get(REPORT, scope, id).await?.filter(|row| row.created.plus_secs(KEPT) > cx.now());
    Ok(row.ok_or_else(|| error::no_such_entity(format!("Job with id {id} cannot be found.")))?.body()?)
}

impl Report {
    /// Uses of a service, the last one first.
    fn uses(&self, service: &str) -> Vec<(&Entity, &Used)> {
        let of = |entity: &'_ Entity| entity.used.iter().position(|used| used.service == service);
        let mut uses: Vec<_> = self.entities.iter().filter_map(|entity| Some((entity, &entity.used[of(entity)?]))).collect();
        uses.sort_by_key(|(_, used)| std::cmp::Reverse(used.time));
        uses
    }

    fn shown(&self, service: &str) -> Value {
        let name = NAMES.iter().find(|(known, _)| *known == service).map_or(service, |(_, name)| name);
        let uses = self.uses(service);
        let mut value = json!({ "ServiceName": name, "ServiceNamespace": service, "TotalAuthenticatedEntities": uses.len() });
        if let Some((entity, used)) = uses.first() {
            value["LastAuthenticated"] = json!(used.time);
            value["LastAuthenticatedEntity"] = json!(entity.arn);
            value["LastAuthenticatedRegion"] = json!(used.region);
        }
        value
    }

    /// What both answers begin with.
    fn answer(&self, member: &str, items: Vec<(String, Value)>, input: &JobInput) -> Result<Reply> {
        let mut reply = entity::answer(member, items, input.marker.as_deref(), input.max_items)?;
        let about: BTreeMap<&str, Value> =
            [("JobStatus", json!("COMPLETED")), ("JobCreationDate", json!(self.made)), ("JobCompletionDate", json!(self.made))].into();
        for (name, value) in about {
            reply.output[name] = value;
        }
        Ok(reply)
    }
}

async fn get(cx: &Cx, permit: Permit<GetServiceLastAccessedDetails>, input: JobInput) -> Result<Reply> {
    let report = report(cx, &permit.global(), &input.job_id).await?;
    let items = report.services.iter().map(|service| (service.clone(), report.shown(service))).collect();
    let mut reply = report.answer("ServicesLastAccessed", items, &input)?;
    reply.output["JobType"] = json!("SERVICE_LEVEL");
    Ok(reply)
}

async fn get_entities(cx: &Cx, permit: Permit<GetServiceLastAccessedDetailsWithEntities>, input: JobInput) -> Result<Reply> {
    let report = report(cx, &permit.global(), &input.job_id).await?;
    if !report.services.contains(&input.service_namespace) {
        return Err(error::no_such_entity(format!("The report has no service {}.", input.service_namespace)));
    }
    let shown = |(entity, used): (&Entity, &Used)| {
        json!({
            "EntityInfo": { "Arn": entity.arn, "Name": entity.name, "Type": entity.kind, "Id": entity.id, "Path": entity.path },
            "LastAuthenticated": used.time,
        })
    };
    let uses = report.uses(&input.service_namespace);
    let items = uses.into_iter().enumerate().map(|(at, it)| (format!("{at:06}"), shown(it))).collect();
    report.answer("EntityDetailsList", items, &input)
}

operation!("iam", GenerateServiceLastAccessedDetails, ["user", "group", "role", "policy"], GenerateInput, resolve_generate, generate);
operation!("iam", GetServiceLastAccessedDetails, ["*"], JobInput, resolve, get);
operation!("iam", GetServiceLastAccessedDetailsWithEntities, ["*"], JobInput, resolve, get_entities);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<GenerateServiceLastAccessedDetails>(),
    OperationRow::of::<GetServiceLastAccessedDetails>(),
    OperationRow::of::<GetServiceLastAccessedDetailsWithEntities>(),
];
