//! Lifecycle configurations: checked and stored here, carried out by `expire`.
//!
//! Transitions to other storage classes are kept and shown, and never happen: there is one kind of storage.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{Bucket, checked, create::BucketInput, expire};
use crate::{bucket::tagging, error, operation::operation};

/// Rules of a configuration.
const MAX_RULES: usize = 1000;

operation!(GetBucketLifecycleConfiguration: "s3:GetLifecycleConfiguration" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:GetLifecycleConfiguration"), get);
operation!(DeleteBucketLifecycle: "s3:PutLifecycleConfiguration" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:PutLifecycleConfiguration"), delete);
operation!(PutBucketLifecycleConfiguration: "s3:PutLifecycleConfiguration" on ["bucket"] + [], PutInput, resolve_put, put);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    #[serde(flatten)]
    of: BucketInput,
    lifecycle_configuration: Option<Value>,
    transition_default_minimum_object_size: Option<String>,
}

const DEFAULT_MINIMUM: &str = "all_storage_classes_128K";

async fn get(cx: &Cx, permit: Permit<GetBucketLifecycleConfiguration>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    match bucket.settings.lifecycle {
        Some(configuration) => Ok(Reply::new(configuration)),
        None => Err(AwsError::new(404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
            .with("BucketName", bucket.name)),
    }
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    checked(cx, &input.of, "s3:PutLifecycleConfiguration").await
}

async fn put(cx: &Cx, permit: Permit<PutBucketLifecycleConfiguration>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.of.bucket).await?;
    let mut configuration = input.lifecycle_configuration.ok_or_else(error::malformed_xml)?;
    check(&mut configuration)?;
    let minimum = input.transition_default_minimum_object_size.unwrap_or_else(|| DEFAULT_MINIMUM.to_owned());
    configuration["TransitionDefaultMinimumObjectSize"] = minimum.as_str().into();
    let (key, now) = (tenantry_kernel::reconcile::key_of(bucket.scope(), &bucket.name), cx.now());
    bucket
        .change(cx, |settings, batch| {
            settings.lifecycle = Some(configuration.clone());
            batch.enqueue(expire::QUEUE, key.as_str(), now);
            Ok(())
        })
        .await?;
    Ok(Reply::new(json!({ "TransitionDefaultMinimumObjectSize": minimum })))
}

async fn delete(cx: &Cx, permit: Permit<DeleteBucketLifecycle>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    bucket
        .change(cx, |settings, _| {
            settings.lifecycle = None;
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

/// Checks a configuration and gives every rule an id.
fn check(configuration: &mut Value) -> Result<()> {
    let rules = configuration["Rules"]
        .as_array_mut()
        .filter(|rules| !rules.is_empty() && rules.len() <= MAX_RULES)
        .ok_or_else(error::malformed_xml)?;
    let mut ids = HashSet::new();
    for rule in rules {
        let id = rule["ID"].as_str().filter(|id| !id.is_empty()).map_or_else(tenantry_kernel::Ids::uuid, str::to_owned);
        if id.chars().count() > 255 {
            return Err(error::argument("ID length should not exceed allowed limit of 255", "ID", &id));
        }
        if !ids.insert(id.clone()) {
            return Err(error::argument("Rule ID must be unique. Found same ID for more than one rule", "ID", &id));
        }
        rule["ID"] = id.into();
        check_rule(rule)?;
    }
    Ok(())
}

fn check_rule(rule: &Value) -> Result<()> {
    let actions =
        ["Expiration", "Transitions", "NoncurrentVersionExpiration", "NoncurrentVersionTransitions", "AbortIncompleteMultipartUpload"];
    if !actions.iter().any(|action| rule.get(*action).is_some_and(|value| !value.is_null())) {
        return Err(error::request("At least one action needs to be specified in a rule"));
    }
    // Exactly one of the two, the older form outside a filter.
    if rule.get("Filter").is_some() == rule.get("Prefix").is_some() {
        return Err(error::malformed_xml());
    }
    let positive = |value: &Value, what: &str| match value.as_i64() {
        Some(days) if days < 1 => Err(error::argument(&format!("'{what}' must be a positive integer"), "Days", &days.to_string())),
        _ => Ok(()),
    };
    positive(&rule["Expiration"]["Days"], "Days' for Expiration action")?;
    positive(&rule["NoncurrentVersionExpiration"]["NoncurrentDays"], "NoncurrentDays' for NoncurrentVersionExpiration action")?;
    positive(
        &rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"],
        "DaysAfterInitiation' for AbortIncompleteMultipartUpload action",
    )?;
    if let Some(expiration) = rule["Expiration"].as_object()
        && expiration.values().filter(|value| !value.is_null()).count() != 1
    {
        return Err(error::malformed_xml());
    }
    if let Some(date) = rule["Expiration"]["Date"].as_f64()
        && date % 86_400.0 != 0.0
    {
        return Err(error::argument("'Date' must be at midnight GMT", "Date", &date.to_string()));
    }
    let tags = [rule["Filter"].get("Tag").cloned(), rule["Filter"]["And"].get("Tags").cloned()];
    for tag in tags.into_iter().flatten().flat_map(|value| if let Value::Array(list) = value { list } else { vec![value] }) {
        let tag = serde_json::from_value(tag).map_err(|_| error::malformed_xml())?;
        tagging::check(vec![tag], 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let of = |rule: Value| check(&mut json!({ "Rules": [rule] })).map_err(|error| error.code.into_owned());
        assert_eq!(of(json!({"Status": "Enabled", "Filter": {"Prefix": "a"}, "Expiration": {"Days": 1}})), Ok(()));
        assert_eq!(of(json!({"Status": "Enabled", "Prefix": "", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})), Ok(()));
        for (rule, code) in [
            (json!({"Status": "Enabled", "Filter": {}}), "InvalidRequest"),
            (json!({"Status": "Enabled", "Expiration": {"Days": 1}}), "MalformedXML"),
            (json!({"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 0}}), "InvalidArgument"),
            (json!({"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1, "Date": 86400}}), "MalformedXML"),
            (json!({"Status": "Enabled", "Filter": {}, "Expiration": {"Date": 86401}}), "InvalidArgument"),
            (json!({"Status": "Enabled", "ID": "x".repeat(256), "Filter": {}, "Expiration": {"Days": 1}}), "InvalidArgument"),
        ] {
            assert_eq!(of(rule.clone()), Err(code.to_owned()), "{rule}");
        }
        let twice = json!({"Status": "Enabled", "ID": "a", "Filter": {}, "Expiration": {"Days": 1}});
        assert_eq!(check(&mut json!({"Rules": [twice, twice]})).unwrap_err().code, "InvalidArgument");
    }
}
