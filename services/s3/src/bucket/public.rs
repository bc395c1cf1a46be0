//! Block public access, and what counts as public.
//!
//! Source: "Blocking public access to your Amazon S3 storage", "The meaning of public".

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{Bucket, PublicAccess, checked, create::BucketInput};
use crate::operation::operation;

operation!(GetPublicAccessBlock: "s3:GetBucketPublicAccessBlock" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:GetBucketPublicAccessBlock"), get);
operation!(DeletePublicAccessBlock: "s3:PutBucketPublicAccessBlock" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:PutBucketPublicAccessBlock"), delete);
operation!(PutPublicAccessBlock: "s3:PutBucketPublicAccessBlock" on ["bucket"] + [], PutInput, resolve_put, put);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    #[serde(flatten)]
    of: BucketInput,
    public_access_block_configuration: PublicAccess,
}

async fn get(cx: &Cx, permit: Permit<GetPublicAccessBlock>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    match bucket.settings.public_access {
        Some(access) => Ok(Reply::new(json!({ "PublicAccessBlockConfiguration": access }))),
        None => Err(AwsError::new(404, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
            .with("BucketName", bucket.name)),
    }
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    checked(cx, &input.of, "s3:PutBucketPublicAccessBlock").await
}

async fn put(cx: &Cx, permit: Permit<PutPublicAccessBlock>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.of.bucket).await?;
    let access = input.public_access_block_configuration;
    bucket
        .change(cx, |settings, _| {
            settings.public_access = Some(access);
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeletePublicAccessBlock>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    bucket
        .change(cx, |settings, _| {
            settings.public_access = None;
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

/// Condition keys that, held against a fixed value, make a grant to everyone a grant to somebody.
const NARROWING: [&str; 14] = [
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:userid",
    "s3:dataaccesspointarn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];
/// Operators that hold a key against a value that it must have.
const POSITIVE: [&str; 7] = ["stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress", "numericequals"];

/// Whether a bucket policy lets everybody in.
pub(crate) fn is_public(document: &Value) -> bool {
    each(document.get("Statement")).any(|statement| statement["Effect"] == "Allow" && names_everyone(statement) && !is_narrowed(statement))
}

fn each(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let list = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    list.iter()
}

fn names_everyone(statement: &Value) -> bool {
    // "NotPrincipal" with "Allow" is everybody else.
    statement.get("NotPrincipal").is_some()
        || statement["Principal"] == "*"
        || each(statement["Principal"].get("AWS")).any(|name| name == "*")
}

fn is_narrowed(statement: &Value) -> bool {
    let Some(conditions) = statement.get("Condition").and_then(Value::as_object) else { return false };
    conditions.iter().any(|(operator, keys)| {
        let operator = operator.to_ascii_lowercase();
        // "IfExists" and "ForAllValues" also hold where the key is absent.
        let bare = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
        POSITIVE.contains(&bare) && keys.as_object().is_some_and(|keys| keys.iter().any(|(key, values)| narrows(key, values)))
    })
}

fn narrows(key: &str, values: &Value) -> bool {
    let key = key.to_ascii_lowercase();
    let fixed = |value: &Value| value.as_str().is_some_and(|text| !text.contains(['*', '?', '$']));
    if key == "aws:sourceip" {
        // Wider than /8 (/32 for IPv6) is everybody.
        let narrow = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            let (address, bits) = text.split_once('/').unwrap_or((text, ""));
            let bits = bits.parse::<u8>().unwrap_or(u8::MAX);
            if address.contains(':') { bits >= 32 } else { bits >= 8 }
        };
        return each(Some(values)).all(narrow);
    }
    // An ARN may have wildcards behind its account.
    let of_account = |value: &Value| {
        value.as_str().is_some_and(|text| {
            text.split(':').nth(4).is_some_and(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    NARROWING.contains(&key.as_str()) && each(Some(values)).all(|value| fixed(value) || of_account(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meaning_of_public() {
        let public = |principal: Value, condition: Value| {
            is_public(
                &json!({"Statement": {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*", "Condition": condition}}),
            )
        };
        assert!(public(json!("*"), json!({})));
        assert!(public(json!({"AWS": ["arn:aws:iam::123456789012:root", "*"]}), json!({})));
        assert!(!public(json!({"AWS": "123456789012"}), json!({})));
        assert!(!public(json!("*"), json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}})));
        assert!(public(json!("*"), json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})));
        assert!(public(json!("*"), json!({"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}})));
        assert!(public(json!("*"), json!({"StringLike": {"aws:SourceVpc": "vpc-*"}})));
        assert!(public(json!("*"), json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}})));
        assert!(!public(json!("*"), json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "1.2.3.4"]}})));
        assert!(!public(json!("*"), json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/*"}})));
        assert!(public(json!("*"), json!({"Bool": {"aws:SecureTransport": "true"}})));
        let deny = json!({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}]});
        assert!(!is_public(&deny));
    }
}
