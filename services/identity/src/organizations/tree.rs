//! Roots and organizational units: their life, and who is above and below whom.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Tag};
use tenantry_kernel::{
    Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{Unit, kind},
};
use tenantry_store::{Batch, Expect, Row};

use super::{
    error,
    org::{self, ListInput, Org, Standing, answer},
    policies, tags,
};
use tenantry_kernel::operation;

/// OUs under each other, below the root.
const DEPTH: usize = 5;
/// OUs of an organization.
const UNITS: usize = 2000;

async fn list_roots(cx: &Cx, _: Permit<ListRoots>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let (_, root) = org.root(cx).await?;
    answer("Roots", vec![(root.id.clone(), show_root(&org, &root))], input.next_token.as_deref(), input.max_results)
}

pub(crate) fn show_root(org: &Org, root: &Unit) -> Value {
    let types: Vec<Value> = root.enabled_types.iter().map(|of| json!({ "Type": of, "Status": "ENABLED" })).collect();
    json!({ "Id": root.id, "Arn": org.target_arn(&root.id), "Name": root.name, "PolicyTypes": types })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    parent_id: String,
    name: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let checks = org::on(cx, action, &[&input.parent_id]).await?;
    Ok(checks.iter().cloned().map(|check| check.request_tags(&input.tags)).collect::<Checks>().and_if(tags::on_create(cx, &input.tags)))
}

/// How many OUs are above this one, itself included; 0 for the root.
async fn depth(org: &Org, cx: &Cx, unit: &Unit) -> Result<usize> {
    let (mut levels, mut parent) = (0, unit.parent.clone());
    while !parent.is_empty() && levels <= DEPTH {
        levels += 1;
        parent = org.unit(cx, &parent).await?.map(|(_, above)| above.parent).unwrap_or_default();
    }
    Ok(levels)
}

async fn no_namesake(org: &Org, cx: &Cx, parent: &str, name: &str) -> Result<()> {
    if org.units_under(cx, parent).await?.iter().any(|(_, unit)| unit.name == name) {
        return Err(error::named("DuplicateOrganizationalUnitException", "An OU with the same name already exists."));
    }
    Ok(())
}

async fn create(cx: &Cx, _: Permit<CreateOrganizationalUnit>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let org = Org::of(cx, Standing::Management).await?;
    let (_, parent) = org.unit(cx, &input.parent_id).await?.ok_or_else(error::parent_not_found)?;
    if depth(&org, cx, &parent).await? >= DEPTH {
        return Err(error::constraint(
            "OU_DEPTH_LIMIT_EXCEEDED",
            "You have exceeded the allowed number of levels of organizational units.",
        ));
    }
    if org.units(cx).await?.len() > UNITS {
        return Err(error::constraint("OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of OUs."));
    }
    no_namesake(&org, cx, &parent.id, &input.name).await?;
    let (_, root) = org.root(cx).await?;
    let unit = Unit {
        id: format!("ou-{}-{}", root.id.trim_start_matches("r-"), Ids::lower(8)),
        name: input.name,
        parent: parent.id,
        policies: policies::initial(&root),
        enabled_types: Vec::new(),
    };
    let mut batch = Batch::new();
    let row = Row::new(kind::UNIT, &org.scope, unit.id.clone(), cx.now()).parent(&unit.parent).name(&unit.name).with(&unit)?;
    batch.put(row, Expect::Absent);
    batch.set_tags(org.target_arn(&unit.id).as_str(), input.tags);
    let shown = org.show_unit(&unit);
    org.commit(cx, batch).await?;
    Ok(json!({ "OrganizationalUnit": shown }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UnitInput {
    organizational_unit_id: String,
    name: Option<String>,
}

async fn resolve_unit(cx: &Cx, action: &'static str, input: &UnitInput) -> Result<Checks> {
    org::on(cx, action, &[&input.organizational_unit_id]).await
}

async fn find(org: &Org, cx: &Cx, id: &str) -> Result<(Row, Unit)> {
    org.unit(cx, id).await?.filter(|(_, unit)| unit.id.starts_with("ou-")).ok_or_else(error::unit_not_found)
}

async fn describe(cx: &Cx, _: Permit<DescribeOrganizationalUnit>, input: UnitInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let (_, unit) = find(&org, cx, &input.organizational_unit_id).await?;
    Ok(json!({ "OrganizationalUnit": org.show_unit(&unit) }).into())
}

async fn update(cx: &Cx, _: Permit<UpdateOrganizationalUnit>, input: UnitInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (mut row, mut unit) = find(&org, cx, &input.organizational_unit_id).await?;
    if let Some(name) = input.name.filter(|name| *name != unit.name) {
        no_namesake(&org, cx, &unit.parent, &name).await?;
        row.name.clone_from(&name);
        unit.name = name;
    }
    row.set_body(&unit)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    let shown = org.show_unit(&unit);
    org.commit(cx, batch).await?;
    Ok(json!({ "OrganizationalUnit": shown }).into())
}

async fn delete(cx: &Cx, _: Permit<DeleteOrganizationalUnit>, input: UnitInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Management).await?;
    let (row, unit) = find(&org, cx, &input.organizational_unit_id).await?;
    if !org.units_under(cx, &unit.id).await?.is_empty() || !org.accounts(&cx.kernel, Some(&unit.id)).await?.is_empty() {
        return Err(error::named(
            "OrganizationalUnitNotEmptyException",
            "The specified OU is not empty. Move all accounts to another root or to other OUs, remove all child OUs, and try the operation again.",
        ));
    }
    let mut batch = Batch::new();
    batch.delete(kind::UNIT, &org.scope, row.id, Expect::Version(row.version));
    batch.set_tags(org.target_arn(&unit.id).as_str(), Vec::new());
    org.commit(cx, batch).await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ParentInput {
    parent_id: String,
    child_type: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_parent(cx: &Cx, action: &'static str, input: &ParentInput) -> Result<Checks> {
    org::on(cx, action, &[&input.parent_id]).await
}

async fn list_units(cx: &Cx, _: Permit<ListOrganizationalUnitsForParent>, input: ParentInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    org.unit(cx, &input.parent_id).await?.ok_or_else(error::parent_not_found)?;
    let units = org.units_under(cx, &input.parent_id).await?;
    let items = units.iter().map(|(_, unit)| (unit.id.clone(), org.show_unit(unit))).collect();
    answer("OrganizationalUnits", items, input.next_token.as_deref(), input.max_results)
}

async fn list_children(cx: &Cx, _: Permit<ListChildren>, input: ParentInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    org.unit(cx, &input.parent_id).await?.ok_or_else(error::parent_not_found)?;
    let of_type = input.child_type.unwrap_or_default();
    let ids: Vec<String> = if of_type == "ACCOUNT" {
        org.accounts(&cx.kernel, Some(&input.parent_id)).await?.into_iter().map(|(row, _)| row.id).collect()
    } else {
        org.units_under(cx, &input.parent_id).await?.into_iter().map(|(row, _)| row.id).collect()
    };
    let items = ids.into_iter().map(|id| (id.clone(), json!({ "Id": id, "Type": of_type }))).collect();
    answer("Children", items, input.next_token.as_deref(), input.max_results)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChildInput {
    child_id: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn resolve_child(cx: &Cx, action: &'static str, input: &ChildInput) -> Result<Checks> {
    org::on(cx, action, &[&input.child_id]).await
}

async fn list_parents(cx: &Cx, _: Permit<ListParents>, input: ChildInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let parent = if input.child_id.starts_with("ou-") {
        org.unit(cx, &input.child_id).await?.map(|(_, unit)| unit.parent)
    } else {
        org.account(cx, &input.child_id).await?.map(|(_, account)| account.parent)
    };
    let parent = parent.ok_or_else(error::child_not_found)?;
    let of_type = if parent.starts_with("r-") { "ROOT" } else { "ORGANIZATIONAL_UNIT" };
    let items = vec![(parent.clone(), json!({ "Id": parent, "Type": of_type }))];
    answer("Parents", items, input.next_token.as_deref(), input.max_results)
}

operation!("organizations", ListRoots, ["*"], ListInput, org::resolve_any, list_roots);
operation!("organizations", CreateOrganizationalUnit, ["organizationalunit", "root"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["organizations:TagResource"], CreateInput, resolve_create, create);
operation!("organizations", DescribeOrganizationalUnit, ["organizationalunit"], UnitInput, resolve_unit, describe);
operation!("organizations", UpdateOrganizationalUnit, ["organizationalunit"], UnitInput, resolve_unit, update);
operation!("organizations", DeleteOrganizationalUnit, ["organizationalunit"], UnitInput, resolve_unit, delete);
operation!("organizations", ListOrganizationalUnitsForParent, ["organizationalunit", "root"], ParentInput, resolve_parent, list_units);
operation!("organizations", ListChildren, ["organizationalunit", "root"], ParentInput, resolve_parent, list_children);
operation!("organizations", ListParents, ["account", "organizationalunit"], ChildInput, resolve_child, list_parents);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<ListRoots>(),
    OperationRow::of::<CreateOrganizationalUnit>(),
    OperationRow::of::<DescribeOrganizationalUnit>(),
    OperationRow::of::<UpdateOrganizationalUnit>(),
    OperationRow::of::<DeleteOrganizationalUnit>(),
    OperationRow::of::<ListOrganizationalUnitsForParent>(),
    OperationRow::of::<ListChildren>(),
    OperationRow::of::<ListParents>(),
];
