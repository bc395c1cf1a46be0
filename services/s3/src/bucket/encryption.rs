//! The default encryption of a bucket. What is stored is always encrypted; this says under whose key.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{Bucket, checked, create::BucketInput};
use crate::{error, object::details::Encryption, operation::operation};

operation!(GetBucketEncryption: "s3:GetEncryptionConfiguration" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:GetEncryptionConfiguration"), get);
operation!(DeleteBucketEncryption: "s3:PutEncryptionConfiguration" on ["bucket"] + [], BucketInput,
    |cx, input| checked(cx, input, "s3:PutEncryptionConfiguration"), delete);
operation!(PutBucketEncryption: "s3:PutEncryptionConfiguration" on ["bucket"] + [], PutInput, resolve_put, put);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutInput {
    #[serde(flatten)]
    of: BucketInput,
    server_side_encryption_configuration: Value,
}

async fn get(cx: &Cx, permit: Permit<GetBucketEncryption>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let by_default = || json!({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": false}]});
    Ok(Reply::new(json!({"ServerSideEncryptionConfiguration": bucket.settings.encryption.unwrap_or_else(by_default)})))
}

async fn resolve_put(cx: &Cx, input: &PutInput) -> Result<Checks> {
    checked(cx, &input.of, "s3:PutEncryptionConfiguration").await
}

async fn put(cx: &Cx, permit: Permit<PutBucketEncryption>, input: PutInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.of.bucket).await?;
    let mut config = input.server_side_encryption_configuration;
    let [rule] = config["Rules"].as_array().map(Vec::as_slice).unwrap_or_default() else { return Err(error::malformed_xml()) };
    let blocked = rule["BlockedEncryptionTypes"]["EncryptionType"].as_array().map(Vec::as_slice).unwrap_or_default();
    // SSE-C is refused here in any case.
    if blocked.iter().any(|of| of != "SSE-C" && of != "NONE") {
        return Err(error::malformed_xml());
    }
    let default = &rule["ApplyServerSideEncryptionByDefault"];
    if let Some(algorithm) = default["SSEAlgorithm"].as_str() {
        let bucket_key = rule["BucketKeyEnabled"].as_bool().unwrap_or(false);
        Encryption::of(&bucket, algorithm, default["KMSMasterKeyID"].as_str(), bucket_key)?;
    } else if blocked.is_empty() {
        return Err(error::malformed_xml());
    }
    if config["Rules"][0].get("BucketKeyEnabled").is_none() {
        config["Rules"][0]["BucketKeyEnabled"] = false.into();
    }
    bucket
        .change(cx, |settings, _| {
            settings.encryption = Some(config.clone());
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeleteBucketEncryption>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    bucket
        .change(cx, |settings, _| {
            settings.encryption = None;
            Ok(())
        })
        .await?;
    Ok(Reply::empty())
}
