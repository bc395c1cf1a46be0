//! Which events a trail delivers ("PutEventSelectors", AWS CloudTrail API Reference).
//!
//! Without selectors a trail delivers all management events and no data events.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError};

use crate::{
    error,
    operation::operation,
    trail::{self, NameInput, Trail, find, find_home, trail_arn},
};

operation!(PutEventSelectors, ["trail"] + [] and [], PutInput, resolve_put, put);
operation!(GetEventSelectors, ["trail"] + [] and [], NameInput, trail::resolve, get);

/// Selectors of one trail.
const MOST_SELECTORS: usize = 5;
/// Data resources of one trail.
const MOST_RESOURCES: usize = 250;
/// Data resources that can be named without advanced selectors and that this instance has.
const BASIC_TYPE: &str = "AWS::S3::Object";
/// Fields of advanced selectors.
const FIELDS: [&str; 7] = ["eventCategory", "readOnly", "eventName", "eventSource", "resources.type", "resources.ARN", "userIdentity.arn"];
/// Compares what an event has with a value.
type Compare = fn(&str, &str) -> bool;
/// How values are compared, and whether all must differ.
const OPERATORS: [(&str, Compare, bool); 6] = [
    ("Equals", |given, value| given == value, false),
    ("StartsWith", |given, value| given.starts_with(value), false),
    ("EndsWith", |given, value| given.ends_with(value), false),
    ("NotEquals", |given, value| given == value, true),
    ("NotStartsWith", |given, value| given.starts_with(value), true),
    ("NotEndsWith", |given, value| given.ends_with(value), true),
];

/// PutEventSelectors' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    trail_name: String,
    event_selectors: Option<Vec<Value>>,
    advanced_event_selectors: Option<Vec<Value>>,
}

async fn resolve_put(cx: &Cx, action: &'static str, input: &PutInput) -> Result<Checks> {
    Ok(trail::check(cx, action, &input.trail_name)?.into())
}

async fn put(cx: &Cx, permit: Permit<PutEventSelectors>, input: PutInput) -> Result<Reply> {
    let selectors = match (input.event_selectors, input.advanced_event_selectors) {
        (Some(basic), None) => json!({ "EventSelectors": completed(basic)? }),
        (None, Some(advanced)) => json!({ "AdvancedEventSelectors": checked(advanced)? }),
        _ => return Err(error::bad_selectors("Give either EventSelectors or AdvancedEventSelectors.")),
    };
    let (scope, row) = find_home(cx, permit.account(), &input.trail_name).await?;
    let mut trail: Trail = row.body()?;
    trail.selectors = Some(selectors.clone());
    let arn = trail_arn(&scope, &row.id);
    let mut batch = Batch::new();
    batch.update(row.with(&trail)?);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => return Err(error::changed_meanwhile()),
        done => done?,
    }
    Ok(answer(selectors, arn.as_str()).into())
}

async fn get(cx: &Cx, permit: Permit<GetEventSelectors>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find(cx, permit.account(), &input.name).await?;
    let trail: Trail = row.body()?;
    let selectors = trail.selectors.unwrap_or_else(|| json!({ "EventSelectors": [whole(&json!({}))] }));
    Ok(answer(selectors, trail_arn(&scope, &row.id).as_str()).into())
}

fn answer(mut selectors: Value, arn: &str) -> Value {
    selectors["TrailARN"] = json!(arn);
    selectors
}

/// A selector with the defaults of what it leaves out.
fn whole(selector: &Value) -> Value {
    let given = |name: &str, default: Value| selector.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(default);
    json!({
        "ReadWriteType": given("ReadWriteType", json!("All")),
        "IncludeManagementEvents": given("IncludeManagementEvents", json!(true)),
        "DataResources": given("DataResources", json!([])),
        "ExcludeManagementEventSources": given("ExcludeManagementEventSources", json!([])),
    })
}

fn completed(selectors: Vec<Value>) -> Result<Vec<Value>> {
    if selectors.is_empty() || selectors.len() > MOST_SELECTORS {
        return Err(error::bad_selectors(format!("A trail has between 1 and {MOST_SELECTORS} event selectors.")));
    }
    let selectors: Vec<Value> = selectors.iter().map(whole).collect();
    let resources = || selectors.iter().flat_map(|selector| array(&selector["DataResources"]));
    let values: usize = resources().map(|resource| array(&resource["Values"]).count()).sum();
    if values > MOST_RESOURCES {
        return Err(error::bad_selectors(format!("A trail has at most {MOST_RESOURCES} data resources.")));
    }
    if let Some(other) = resources().find(|resource| resource["Type"] != BASIC_TYPE) {
        return Err(error::bad_selectors(format!("{} is no type of data resource of this instance: {BASIC_TYPE} is.", other["Type"])));
    }
    let bad = resources().flat_map(|resource| array(&resource["Values"])).filter_map(Value::as_str).find(|value| !is_s3(value));
    match bad {
        Some(value) => Err(error::bad_selectors(format!("{value} is not the ARN of S3, a bucket or a prefix of objects."))),
        None => Ok(selectors),
    }
}

fn is_s3(value: &str) -> bool {
    matches!(value, "arn:aws:s3" | "arn:aws:s3:::") || value.strip_prefix("arn:aws:s3:::").is_some_and(|rest| rest.contains('/'))
}

fn checked(selectors: Vec<Value>) -> Result<Vec<Value>> {
    if selectors.is_empty() || selectors.len() > MOST_SELECTORS {
        return Err(error::bad_selectors(format!("A trail has between 1 and {MOST_SELECTORS} advanced event selectors.")));
    }
    for selector in &selectors {
        let mut categories = 0;
        for field in array(&selector["FieldSelectors"]) {
            let name = field["Field"].as_str().unwrap_or_default();
            if !FIELDS.contains(&name) {
                return Err(error::bad_selectors(format!("{name} is not a field that events are selected by.")));
            }
            let valid = OPERATORS.iter().flat_map(|(operator, ..)| array(&field[operator])).count();
            if valid == 0 {
                return Err(error::bad_selectors(format!("The field {name} is compared with nothing.")));
            }
            let category = array(&field["Equals"]).all(|value| matches!(value.as_str(), Some("Management" | "Data")));
            if name == "eventCategory" && !category {
                return Err(error::bad_selectors("The event category is Management or Data."));
            }
            categories += usize::from(name == "eventCategory" && array(&field["Equals"]).count() == 1);
        }
        if categories != 1 {
            return Err(error::bad_selectors("Each selector names one eventCategory by Equals."));
        }
    }
    Ok(selectors)
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a trail with these selectors delivers an event.
pub(crate) fn selects(selectors: Option<&Value>, event: &Value) -> bool {
    let Some(selectors) = selectors else { return event["managementEvent"] == json!(true) };
    match selectors.get("AdvancedEventSelectors") {
        Some(advanced) => array(advanced).any(|selector| array(&selector["FieldSelectors"]).all(|field| field_selects(field, event))),
        None => array(&selectors["EventSelectors"]).any(|selector| basic_selects(selector, event)),
    }
}

fn basic_selects(selector: &Value, event: &Value) -> bool {
    let read_only = event["readOnly"] == json!(true);
    match selector["ReadWriteType"].as_str() {
        Some("ReadOnly") if !read_only => return false,
        Some("WriteOnly") if read_only => return false,
        _ => {}
    }
    if event["managementEvent"] == json!(true) {
        let excluded = array(&selector["ExcludeManagementEventSources"]).any(|source| *source == event["eventSource"]);
        return selector["IncludeManagementEvents"] == json!(true) && !excluded;
    }
    let arns =
        || array(&event["resources"]).filter(|resource| resource["type"] == BASIC_TYPE).filter_map(|resource| resource["ARN"].as_str());
    let values = || array(&selector["DataResources"]).flat_map(|resource| array(&resource["Values"])).filter_map(Value::as_str);
    event["eventSource"] == "s3.amazonaws.com" && values().any(|value| arns().any(|arn| arn.starts_with(value)))
}

fn field_selects(field: &Value, event: &Value) -> bool {
    let told = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let given: Vec<String> = match field["Field"].as_str().unwrap_or_default() {
        "resources.type" => array(&event["resources"]).map(|resource| told(&resource["type"])).collect(),
        "resources.ARN" => array(&event["resources"]).map(|resource| told(&resource["ARN"])).collect(),
        "userIdentity.arn" => vec![told(&event["userIdentity"]["arn"])],
        name => vec![told(&event[name])],
    };
    OPERATORS.iter().all(|(operator, compare, negated)| {
        let values: Vec<&str> = array(&field[operator]).filter_map(Value::as_str).collect();
        let hit = given.iter().any(|given| values.iter().any(|value| compare(given, value)));
        values.is_empty() || hit != *negated
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn management(read_only: bool) -> Value {
        json!({"managementEvent": true, "eventCategory": "Management", "readOnly": read_only, "eventSource": "iam.amazonaws.com", "eventName": "X"})
    }
    fn object(arn: &str) -> Value {
        json!({"managementEvent": false, "eventCategory": "Data", "readOnly": true, "eventSource": "s3.amazonaws.com", "eventName": "GetObject",
            "resources": [{"ARN": arn, "type": "AWS::S3::Object"}]})
    }

    #[test]
    fn a_new_trail_delivers_management_events_only() {
        assert!(selects(None, &management(true)) && !selects(None, &object("arn:aws:s3:::b/k")));
    }

    #[test]
    fn basic_selectors() {
        let selectors = |given: Value| json!({ "EventSelectors": completed(vec![given]).unwrap() });
        let writes = selectors(json!({"ReadWriteType": "WriteOnly"}));
        assert!(selects(Some(&writes), &management(false)) && !selects(Some(&writes), &management(true)));
        let data = selectors(
            json!({"IncludeManagementEvents": false, "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/in"]}]}),
        );
        assert!(!selects(Some(&data), &management(true)));
        assert!(selects(Some(&data), &object("arn:aws:s3:::b/inside")) && !selects(Some(&data), &object("arn:aws:s3:::b/other")));
        let all = selectors(json!({"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}));
        assert!(selects(Some(&all), &object("arn:aws:s3:::any/k")));
        let without = selectors(json!({"ExcludeManagementEventSources": ["iam.amazonaws.com"]}));
        assert!(!selects(Some(&without), &management(true)));
        for bad in [
            json!({"DataResources": [{"Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda"]}]}),
            json!({"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket"]}]}),
        ] {
            assert!(completed(vec![bad]).is_err());
        }
        assert!(completed(vec![json!({}); MOST_SELECTORS]).is_ok() && completed(vec![json!({}); MOST_SELECTORS + 1]).is_err());
    }

    #[test]
    fn advanced_selectors() {
        let field = |name: &str, operator: &str, value: &str| json!({"Field": name, operator: [value]});
        let selectors = |fields: Vec<Value>| json!({ "AdvancedEventSelectors": checked(vec![json!({"FieldSelectors": fields})]).unwrap() });
        let data = field("eventCategory", "Equals", "Data");
        let reads = selectors(vec![
            data.clone(),
            field("resources.ARN", "StartsWith", "arn:aws:s3:::b/"),
            field("eventName", "NotEquals", "HeadObject"),
        ]);
        assert!(selects(Some(&reads), &object("arn:aws:s3:::b/k")) && !selects(Some(&reads), &object("arn:aws:s3:::c/k")));
        assert!(!selects(Some(&reads), &management(true)));
        let not = selectors(vec![data.clone(), field("eventName", "NotEquals", "GetObject")]);
        assert!(!selects(Some(&not), &object("arn:aws:s3:::b/k")));
        for bad in [
            vec![field("eventName", "Equals", "X")],
            vec![data.clone(), field("shoeSize", "Equals", "9")],
            vec![data, json!({"Field": "eventName"})],
        ] {
            assert!(checked(vec![json!({"FieldSelectors": bad})]).is_err());
        }
    }
}
