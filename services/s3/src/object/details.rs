//! What is stored beside an object's bytes: headers, metadata, tags, encryption, storage class.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tenantry_core::{AccountId, Arn, AwsError, Result, Tag};

use crate::{bucket::Bucket, bytes::hex, error};

/// User-defined metadata, names and values, in bytes ("Working with object metadata").
pub(crate) const MAX_METADATA: usize = 2048;
/// Tags of an object.
pub(crate) const MAX_TAGS: usize = 10;

/// Headers that are stored with an object and come back with it, by member names.
const HEADERS: [&str; 7] =
    ["CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires", "WebsiteRedirectLocation"];

/// Headers and metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Members of [`HEADERS`] and `StorageClass` (absent: `STANDARD`).
    #[serde(flatten)]
    pub headers: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty", rename = "Metadata")]
    pub metadata: Map<String, Value>,
}

/// A text member of an input.
pub(crate) fn text<'a>(input: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    input.get(member).and_then(Value::as_str)
}

impl Details {
    /// From the input of a write.
    ///
    /// # Errors
    /// `MetadataTooLarge`, `InvalidStorageClass`.
    pub fn read(input: &Map<String, Value>) -> Result<Self> {
        let mut headers = Map::new();
        for name in HEADERS {
            if let Some(value) = input.get(name) {
                headers.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(encoding) = text(input, "ContentEncoding") {
            // `aws-chunked` is how the body travelled, not what it is.
            let left: Vec<&str> = encoding
                .split(',')
                .map(str::trim)
                .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked") && !coding.is_empty())
                .collect();
            if left.is_empty() {
                headers.remove("ContentEncoding");
            } else {
                headers.insert("ContentEncoding".to_owned(), left.join(",").into());
            }
        }
        if text(&headers, "ContentType").is_none_or(str::is_empty) {
            headers.insert("ContentType".to_owned(), "binary/octet-stream".into());
        }
        let metadata = input.get("Metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        let size: usize = metadata.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
        if size > MAX_METADATA {
            return Err(AwsError::new(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
                .with("Size", size.to_string())
                .with("MaxSizeAllowed", MAX_METADATA.to_string()));
        }
        let mut details = Self { headers, metadata };
        details.set_class(text(input, "StorageClass"))?;
        Ok(details)
    }

    /// Sets the storage class. Classes whose objects must be restored before they can be read are refused.
    pub fn set_class(&mut self, class: Option<&str>) -> Result<()> {
        self.headers.remove("StorageClass");
        match class {
            None | Some("STANDARD") => {}
            Some(class @ ("REDUCED_REDUNDANCY" | "STANDARD_IA" | "ONEZONE_IA" | "INTELLIGENT_TIERING" | "GLACIER_IR")) => {
                self.headers.insert("StorageClass".to_owned(), class.into());
            }
            Some(_) => return Err(AwsError::new(400, "InvalidStorageClass", "The storage class you specified is not valid")),
        }
        Ok(())
    }

    pub fn class(&self) -> &str {
        text(&self.headers, "StorageClass").unwrap_or("STANDARD")
    }

    /// Adds all of it to the answer of a read.
    pub fn show(&self, output: &mut Value) {
        for (name, value) in &self.headers {
            output[name.as_str()] = value.clone();
        }
        if !self.metadata.is_empty() {
            output["Metadata"] = Value::Object(self.metadata.clone());
        }
    }
}

/// Under whose key an object is sealed, as the client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub algorithm: String,
    /// The KMS key's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default)]
    pub bucket_key: bool,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { algorithm: "AES256".to_owned(), key: None, bucket_key: false }
    }
}

/// The ARN of an account's AWS managed key for S3 in a region.
fn managed_key(account: &AccountId, region: &str) -> Arn {
    let id = hex(&Sha256::new().chain_update(b"aws/s3 key ").chain_update(account.as_str()).chain_update(region).finalize()[..16]);
    Arn::new("kms", region, account.as_str(), format_args!("key/{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]))
}

impl Encryption {
    /// From the input of a write, or else the bucket's default.
    ///
    /// # Errors
    /// `KMS.NotFoundException` for any key but the account's `aws/s3`; `NotImplemented` for keys of the client's own.
    pub fn read(bucket: &Bucket, input: &Map<String, Value>) -> Result<Self> {
        if input.keys().any(|name| name.starts_with("SSECustomer")) {
            return Err(error::not_implemented("Server-side encryption with a key that the client provides (SSE-C)"));
        }
        let default =
            bucket.settings.encryption.as_ref().and_then(|config| config["Rules"][0]["ApplyServerSideEncryptionByDefault"].as_object());
        let (algorithm, key) = match text(input, "ServerSideEncryption") {
            Some(algorithm) => (algorithm, text(input, "SSEKMSKeyId")),
            None if input.contains_key("SSEKMSKeyId") => {
                return Err(error::argument(
                    "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
                    "x-amz-server-side-encryption",
                    "null",
                ));
            }
            None => match default {
                Some(rule) => (text(rule, "SSEAlgorithm").unwrap_or("AES256"), text(rule, "KMSMasterKeyID")),
                None => ("AES256", None),
            },
        };
        let bucket_key = input.get("BucketKeyEnabled").and_then(Value::as_bool);
        let by_default = || bucket.settings.encryption.as_ref().and_then(|config| config["Rules"][0]["BucketKeyEnabled"].as_bool());
        Self::of(bucket, algorithm, key, bucket_key.or_else(by_default).unwrap_or(false))
    }

    /// Checks an algorithm and a key.
    pub fn of(bucket: &Bucket, algorithm: &str, key: Option<&str>, bucket_key: bool) -> Result<Self> {
        match algorithm {
            "AES256" if key.is_some() => Err(error::argument(
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
                "x-amz-server-side-encryption",
                "AES256",
            )),
            "AES256" => Ok(Self::default()),
            "aws:kms" | "aws:kms:dsse" => {
                let managed = managed_key(&bucket.owner, bucket.settings.region.as_str());
                let named = |key: &str| {
                    let id = managed.resource().strip_prefix("key/").unwrap_or_default();
                    key == managed.as_str() || key == id || key == "alias/aws/s3" || key.ends_with(":alias/aws/s3")
                };
                let known = key.is_none_or(named);
                if !known {
                    let shown: String = key.unwrap_or_default().chars().take(256).collect();
                    return Err(AwsError::new(400, "KMS.NotFoundException", format!("Key '{shown}' does not exist")));
                }
                Ok(Self { algorithm: algorithm.to_owned(), key: Some(managed.to_string()), bucket_key })
            }
            other => Err(error::argument("The encryption method specified is not supported", "x-amz-server-side-encryption", other)),
        }
    }

    /// The label of its key, see [`crate::bytes::seal`].
    pub fn label(&self) -> String {
        match self.key.as_deref().and_then(|key| key.split(':').nth(4)) {
            Some(account) => format!("aws/s3/{account}"),
            None => "s3".to_owned(),
        }
    }

    /// Adds it to an answer.
    pub fn show(&self, output: &mut Value) {
        output["ServerSideEncryption"] = self.algorithm.as_str().into();
        if let Some(key) = &self.key {
            output["SSEKMSKeyId"] = key.as_str().into();
        }
        if self.bucket_key {
            output["BucketKeyEnabled"] = json!(true);
        }
    }
}

/// Members that lock objects or are about keys of the client's own: refused rather than ignored.
///
/// # Errors
/// `InvalidRequest`, `NotImplemented`.
pub(crate) fn refuse_unsupported(input: &Map<String, Value>) -> Result<()> {
    if input.keys().any(|name| name.starts_with("ObjectLock")) {
        return Err(error::request("Bucket is missing Object Lock Configuration"));
    }
    if input.contains_key("WriteOffsetBytes") {
        return Err(error::not_implemented("Appending to an object"));
    }
    if input.keys().any(|name| name.contains("SSECustomer")) {
        return Err(error::not_implemented("Server-side encryption with a key that the client provides (SSE-C)"));
    }
    Ok(())
}

/// The tags of an `x-amz-tagging` header.
///
/// # Errors
/// `InvalidArgument`, `InvalidTag`, `BadRequest`.
pub(crate) fn header_tags(input: &Map<String, Value>) -> Result<Vec<Tag>> {
    let Some(text) = text(input, "Tagging").filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let wrong = |_| {
        error::argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
            "x-amz-tagging",
            text,
        )
    };
    let pairs = tenantry_wire::parse_query(text).map_err(wrong)?;
    crate::bucket::tagging::check(pairs.into_iter().map(|(key, value)| Tag { key, value }).collect(), MAX_TAGS)
}
