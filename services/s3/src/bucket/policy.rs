//! Bucket policies: checked when they are saved, with every principal bound to who it is now.
//!
//! What is stored is the normalized text: accounts as root ARNs, lists of one as text. A role or user
//! that was deleted (or deleted and made again) is shown as its unique id, as AWS does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Result, Scope};
use tenantry_kernel::{
    Checks, Cx, Permit, Reply, StoredPolicy,
    directory::{Role, User, kind},
};
use tenantry_policy::{Policy, PolicyKind, PrincipalName, rewrite_principals};
use tenantry_store::{Expect, Row};

use super::{Bucket, checked, create::BucketInput, public};
use crate::{error, operation::operation};

/// Characters of a bucket policy ("Bucket policies for Amazon S3": 20 KB).
const MAX_POLICY: usize = 20 * 1024;

operation!(GetBucketPolicy: "s3:GetBucketPolicy" on ["bucket"] + [], BucketInput, |cx, input| checked(cx, input, "s3:GetBucketPolicy"), get);
operation!(GetBucketPolicyStatus: "s3:GetBucketPolicyStatus" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:GetBucketPolicyStatus"), status);
operation!(DeleteBucketPolicy: "s3:DeleteBucketPolicy" on ["bucket"] + [], BucketInput, |cx, input| checked(cx, input, "s3:DeleteBucketPolicy"), delete);
operation!(PutBucketPolicy: "s3:PutBucketPolicy" on ["bucket"] + [], PutInput, resolve_put, put);

fn malformed(text: impl Into<String>) -> AwsError {
    AwsError::new(400, "MalformedPolicy", text)
}

fn invalid_principal(kind: &str, name: &str) -> AwsError {
    let shown: String = name.chars().take(256).collect();
    malformed("Invalid principal in policy").with("Detail", format!("\"{kind}\" : \"{shown}\""))
}

async fn stored(cx: &Cx, bucket: &Bucket) -> Result<StoredPolicy> {
    let row = cx.kernel.store().get(kind::RESOURCE_POLICY, bucket.scope(), bucket.arn().as_str()).await?;
    let missing = || AwsError::new(404, "NoSuchBucketPolicy", "The bucket policy does not exist").with("BucketName", bucket.name.as_str());
    Ok(row.ok_or_else(missing)?.body()?)
}

async fn get(cx: &Cx, permit: Permit<GetBucketPolicy>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let policy = stored(cx, &bucket).await?;
    let mut gone = BTreeMap::new();
    // A session is not shown by an id: it has none of its own.
    for (arn, id) in policy.principal_ids.iter().filter(|(arn, _)| !arn.contains(":assumed-role/")) {
        if current_id(cx, arn).await?.as_deref() != Some(id) {
            gone.insert(arn.as_str(), id.clone());
        }
    }
    let text = match gone.is_empty() {
        true => policy.document,
        false => rewrite_principals(&policy.document, &|name| gone.get(name).cloned()).map_err(AwsError::internal)?,
    };
    Ok(Reply::new(json!({ "Policy": text })))
}

async fn status(cx: &Cx, permit: Permit<GetBucketPolicyStatus>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    stored(cx, &bucket).await?;
    Ok(Reply::new(json!({"PolicyStatus": {"IsPublic": bucket.settings.policy_is_public}})))
}

async fn delete(cx: &Cx, permit: Permit<DeleteBucketPolicy>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let (scope, arn) = (bucket.scope().clone(), bucket.arn());
    bucket
        .change(cx, |settings, batch| {
            settings.policy_is_public = false;
            batch.delete(kind::RESOURCE_POLICY, &scope, arn.as_str(), Expect::Any);
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    #[serde(flatten)]
    of: BucketInput,
    policy: String,
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    checked(cx, &input.of, "s3:PutBucketPolicy").await
}

async fn put(cx: &Cx, permit: Permit<PutBucketPolicy>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.of.bucket).await?;
    if input.policy.len() > MAX_POLICY {
        return Err(error::too_large(input.policy.len() as u64, MAX_POLICY as u64));
    }
    let document = normalized(&input.policy)?;
    let text = document.to_string();
    let policy = Policy::parse(&text, PolicyKind::Resource).map_err(|fault| match fault.is_principal() {
        true => malformed("Invalid principal in policy").with("Detail", fault.message.split_once(": ").map_or("", |(_, detail)| detail)),
        false => malformed(fault.message),
    })?;
    check_targets(&bucket, &document, &policy)?;
    let mut ids = BTreeMap::new();
    for name in policy.principals() {
        if let Some((arn, id)) = bound(cx, name).await? {
            ids.insert(arn, id);
        }
    }
    let public = public::is_public(&document);
    if public && bucket.settings.public_access.is_some_and(|access| access.block_public_policy) {
        let text = format!(
            "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"{}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            cx.caller.arn,
            bucket.arn()
        );
        return Err(AwsError::new(403, "AccessDenied", text));
    }
    let (scope, arn, now) = (bucket.scope().clone(), bucket.arn(), cx.now());
    let body = StoredPolicy { document: text, principal_ids: ids };
    bucket
        .change(cx, |settings, batch| {
            settings.policy_is_public = public;
            batch.put(Row::new(kind::RESOURCE_POLICY, &scope, arn.as_str(), now).with(&body)?, Expect::Any);
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

/// The document with accounts as ARNs and lists of one as text.
fn normalized(text: &str) -> Result<Value> {
    let root = |name: &str| AccountId::is_valid(name).then(|| format!("arn:aws:iam::{name}:root"));
    // Well-formedness (and doubled members, and depth) is the policy parser's to judge.
    Policy::parse(text, PolicyKind::Resource)
        .map(|_| ())
        .or_else(|fault| if fault.is_principal() { Ok(()) } else { Err(malformed(fault.message)) })?;
    let text = rewrite_principals(text, &root).map_err(|fault| malformed(fault.message))?;
    let mut document: Value =
        serde_json::from_str(&text).map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
    if let Some(Value::Array(statements)) = document.get_mut("Statement") {
        statements.iter_mut().for_each(collapse);
    } else if let Some(statement) = document.get_mut("Statement") {
        collapse(statement);
        // A single statement is shown as a list of one.
        let single = statement.take();
        *statement = json!([single]);
    }
    Ok(document)
}

/// Lists of one in a statement become text.
fn collapse(statement: &mut Value) {
    let single = |value: &mut Value| {
        if let Value::Array(list) = value
            && list.len() == 1
            && let Some(one) = list.pop()
        {
            *value = one;
        }
    };
    for member in ["Action", "NotAction", "Resource", "NotResource"] {
        if let Some(value) = statement.get_mut(member) {
            single(value);
        }
    }
    for member in ["Principal", "NotPrincipal"] {
        if let Some(Value::Object(kinds)) = statement.get_mut(member) {
            kinds.values_mut().for_each(single);
        }
    }
    if let Some(Value::Object(operators)) = statement.get_mut("Condition") {
        for keys in operators.values_mut().filter_map(Value::as_object_mut) {
            keys.values_mut().for_each(single);
        }
    }
}

/// Every action is S3's, every resource is this bucket or in it.
fn check_targets(bucket: &Bucket, document: &Value, policy: &Policy) -> Result<()> {
    if !policy.names_resources() {
        return Err(malformed("Missing required field Resource"));
    }
    let arn = bucket.arn();
    let inside = |text: &str| text.strip_prefix(arn.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !policy.resources().all(inside) {
        return Err(malformed("Policy has invalid resource"));
    }
    let statements = document["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    for statement in statements {
        if statement.get("Principal").or_else(|| statement.get("NotPrincipal")).is_none() {
            return Err(malformed("Missing required field Principal"));
        }
        let actions = statement.get("Action").or_else(|| statement.get("NotAction"));
        let texts = match actions {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        if texts.iter().any(|action| *action != "*" && !action.to_ascii_lowercase().starts_with("s3:")) {
            return Err(malformed("Policy has invalid action"));
        }
    }
    Ok(())
}

/// Refuses a principal that does not exist; for users, roles and their sessions, what binds them.
async fn bound(cx: &Cx, name: &PrincipalName) -> Result<Option<(String, String)>> {
    match name {
        PrincipalName::Everyone | PrincipalName::UniqueId(_) => {}
        PrincipalName::Account(id) => {
            if !account_exists(cx, id).await? {
                return Err(invalid_principal("AWS", &format!("arn:aws:iam::{id}:root")));
            }
        }
        PrincipalName::User(arn) | PrincipalName::Role(arn) => {
            let id = current_id(cx, arn).await?;
            return id.map(|id| Some((arn.clone(), id))).ok_or_else(|| invalid_principal("AWS", arn));
        }
        PrincipalName::Session(arn) => {
            let parsed = Arn::parse(arn.as_str()).map_err(|_| invalid_principal("AWS", arn))?;
            let role = parsed.resource().split('/').nth(1).unwrap_or_default().to_lowercase();
            let row = cx.kernel.store().get(kind::ROLE, &Scope::global(parsed.account()), &role).await?;
            let role: Role = row.ok_or_else(|| invalid_principal("AWS", arn))?.body()?;
            return Ok(Some((arn.clone(), role.id)));
        }
        PrincipalName::FederatedUser(arn) => {
            let owner = Arn::parse(arn.as_str()).map(|arn| arn.account().to_owned()).unwrap_or_default();
            if !account_exists(cx, &owner).await? {
                return Err(invalid_principal("AWS", arn));
            }
        }
        PrincipalName::Service(service) => {
            if service != "*" && !service.ends_with(".amazonaws.com") {
                return Err(invalid_principal("Service", service));
            }
        }
        PrincipalName::Provider(provider) => return Err(invalid_principal("Federated", provider)),
    }
    Ok(None)
}

async fn account_exists(cx: &Cx, id: &str) -> Result<bool> {
    Ok(cx.kernel.store().get(kind::ACCOUNT, &Scope::global(id), id).await?.is_some())
}

/// The unique id of the user or role that has this ARN now.
async fn current_id(cx: &Cx, arn: &str) -> Result<Option<String>> {
    let Ok(parsed) = Arn::parse(arn) else { return Ok(None) };
    let scope = Scope::global(parsed.account());
    let (of, path) = parsed.resource_type_and_id();
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let store = cx.kernel.store();
    let found = match of {
        "user" => store.get(kind::USER, &scope, &name).await?.map(|row| row.body::<User>()).transpose()?.map(|user| (user.arn, user.id)),
        "role" => store.get(kind::ROLE, &scope, &name).await?.map(|row| row.body::<Role>()).transpose()?.map(|role| (role.arn, role.id)),
        _ => None,
    };
    Ok(found.filter(|(own, _)| own.as_str() == arn).map(|(_, id)| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalization() {
        let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["123456789012"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b"]}}"#;
        let document = normalized(text).unwrap();
        assert_eq!(
            document.to_string(),
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b"]}]}"#
        );
        assert_eq!(normalized("nonsense").unwrap_err().code, "MalformedPolicy");
    }
}
