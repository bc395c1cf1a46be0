//! GetSearchSuggestions: the names of properties that Search can filter by.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use crate::operation::operation;

/// Suggestions in an answer.
const MOST: usize = 25;

/// The members of a shape of the model.
pub(super) fn members_of(shape: &str) -> Vec<&'static str> {
    let shapes = tenantry_wire::service("sagemaker").map_or(&[][..], |service| service.metadata().shapes());
    let shape = shapes.iter().find(|known| known.name == shape).and_then(tenantry_wire::Shape::structure);
    shape.map(|structure| structure.members.iter().map(|member| member.name.as_str()).collect()).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SuggestInput {
    resource: String,
    suggestion_query: Option<Query>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    property_name_query: Option<PropertyName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PropertyName {
    property_name_hint: String,
}

operation!(GetSearchSuggestions, ["*"], SuggestInput, resolve, suggest);

async fn resolve(_: &Cx, action: &'static str, _: &SuggestInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn suggest(_: &Cx, _: Permit<GetSearchSuggestions>, input: SuggestInput) -> Result<Reply> {
    let shape = match input.resource.as_str() {
        "ExperimentTrial" => "Trial",
        "ExperimentTrialComponent" => "TrialComponent",
        other => other,
    };
    let hint = input.suggestion_query.and_then(|query| query.property_name_query).map(|query| query.property_name_hint.to_lowercase());
    let hint = hint.unwrap_or_default();
    let mut names: Vec<&str> = members_of(shape).into_iter().filter(|name| name.to_lowercase().starts_with(&hint)).collect();
    names.sort_unstable();
    names.truncate(MOST);
    let suggestions: Vec<_> = names.iter().map(|name| json!({"PropertyName": name})).collect();
    Ok(Reply::new(json!({"PropertyNameSuggestions": suggestions})))
}
