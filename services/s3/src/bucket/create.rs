//! CreateBucket, DeleteBucket, HeadBucket, ListBuckets, GetBucketLocation.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AwsError, Region, Result, Scope, Tag};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, ByScope, CommitError, Expect, List, Row};

use super::{BUCKET, Bucket, PublicAccess, Settings, request_keys};
use crate::{
    bucket::{acl, tagging},
    error, names,
    object::version::{OBJECT, VERSION},
    operation::operation,
    upload,
};

/// General purpose buckets of an account ("Amazon S3 quotas").
pub(crate) const MAX_BUCKETS: u64 = 10_000;
/// The region whose name is no location constraint.
const FIRST_REGION: &str = "us-east-1";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    bucket: String,
    #[serde(rename = "ACL")]
    acl: Option<String>,
    create_bucket_configuration: Option<CreateConfiguration>,
    object_ownership: Option<String>,
    #[serde(default)]
    object_lock_enabled_for_bucket: bool,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct CreateConfiguration {
    location_constraint: Option<String>,
    location: Option<serde_json::Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

operation!(CreateBucket: "s3:CreateBucket" on ["bucket"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys", "s3:locationconstraint",
    "s3:x-amz-acl", "s3:x-amz-grant-full-control", "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write", "s3:x-amz-grant-write-acp", "s3:x-amz-object-ownership"] and ["s3:PutBucketAcl", "s3:PutBucketOwnershipControls", "s3:TagResource"],
    CreateInput, resolve_create, create);
operation!(DeleteBucket: "s3:DeleteBucket" on ["bucket"] + [], BucketInput, resolve_delete, delete);
operation!(HeadBucket: "s3:ListBucket" on ["bucket"] + [], BucketInput, resolve_head, head);
operation!(GetBucketLocation: "s3:GetBucketLocation" on ["bucket"] + [], BucketInput, resolve_location, location);
operation!(ListBuckets: "s3:ListAllMyBuckets" on ["*"] + [], ListInput, resolve_list, list);

/// The input of an operation that names a bucket and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BucketInput {
    pub bucket: String,
    pub expected_bucket_owner: Option<String>,
}

async fn resolve_create(cx: &Cx, input: &CreateInput) -> Result<Checks> {
    names::check_bucket(&input.bucket)?;
    let configuration = input.create_bucket_configuration.as_ref();
    let constraint = configuration.and_then(|c| c.location_constraint.clone());
    let tags = configuration.map(|c| c.tags.clone()).unwrap_or_default();
    let arn = tenantry_core::Arn::new("s3", "", "", &input.bucket);
    let own = |action| request_keys(cx, Check::on(action, arn.clone()).owned_by(cx.caller.account.clone()).tagged(Vec::new()));
    let check = own("s3:CreateBucket")
        .key_if("s3:locationconstraint", constraint)
        .key_if("s3:x-amz-acl", input.acl.as_deref())
        .key_if("s3:x-amz-object-ownership", input.object_ownership.as_deref())
        .request_tags(&tags);
    Ok(Checks::from(acl::grant_keys(cx, check, &input.rest))
        .and_if(input.acl.as_ref().map(|_| own("s3:PutBucketAcl")))
        .and_if(input.object_ownership.as_ref().map(|_| own("s3:PutBucketOwnershipControls")))
        .and_if((!tags.is_empty()).then(|| own("s3:TagResource").request_tags(&tags))))
}

/// The region that a bucket is to be in: the constraint and the region of the request must agree.
fn place(cx: &Cx, constraint: Option<&str>) -> Result<Region> {
    let asked = cx.region.as_str();
    let illegal = |shown: &str| {
        let text = format!("The {shown} location constraint is incompatible for the region specific endpoint this request was sent to.");
        AwsError::new(400, "IllegalLocationConstraintException", text)
    };
    match constraint {
        None | Some("") if asked == FIRST_REGION => Ok(cx.region.clone()),
        None | Some("") => Err(illegal("unspecified")),
        Some("EU") if asked == "eu-west-1" || asked == FIRST_REGION => Ok(Region::from("eu-west-1")),
        Some(name) if name == FIRST_REGION || !tenantry_kernel::is_region(name) => {
            Err(AwsError::new(400, "InvalidLocationConstraint", "The specified location-constraint is not valid")
                .with("LocationConstraint", name))
        }
        // The first region's endpoint makes buckets anywhere.
        Some(name) if name == asked || asked == FIRST_REGION => Ok(Region::from(name)),
        Some(name) => Err(illegal(name)),
    }
}

async fn create(cx: &Cx, permit: Permit<CreateBucket>, input: CreateInput) -> Result<Reply> {
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.location.is_some() {
        return Err(error::not_implemented("A directory bucket"));
    }
    if input.object_lock_enabled_for_bucket {
        return Err(error::not_implemented("Object Lock"));
    }
    let region = place(cx, configuration.location_constraint.as_deref())?;
    let ownership = input.object_ownership.unwrap_or_else(|| "BucketOwnerEnforced".to_owned());
    acl::accept_bucket(ownership == "BucketOwnerEnforced", true, input.acl.as_deref())?;
    let tags = tagging::check(configuration.tags, tagging::BUCKET_TAGS)?;
    let scope = permit.global();
    let arn = tenantry_core::Arn::new("s3", "", "", &input.bucket);
    let settings = Settings {
        region,
        versioning: super::Versioning::Off,
        ownership: Some(ownership),
        // New buckets are private ("Default settings for new S3 buckets").
        public_access: Some(PublicAccess {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        }),
        policy_is_public: false,
        encryption: None,
        cors: None,
        lifecycle: None,
    };
    if let Some(bucket) = Bucket::find(cx, &input.bucket).await? {
        return taken(&bucket, &scope, cx);
    }
    if cx.kernel.store().count(BUCKET, ByScope::Exact(&scope), None).await? >= MAX_BUCKETS {
        return Err(AwsError::new(400, "TooManyBuckets", "You have attempted to create more buckets than allowed"));
    }
    let mut batch = Batch::new();
    batch.claim_unique(names::BUCKETS, input.bucket.as_str(), scope.account.as_str());
    batch.put(Row::new(BUCKET, &scope, input.bucket.as_str(), cx.now()).with(&settings)?, Expect::Absent);
    batch.set_tags(arn.as_str(), tags);
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::new(json!({"Location": format!("/{}", input.bucket), "BucketArn": arn}))),
        Err(CommitError::UniqueTaken { .. } | CommitError::Conflict { .. }) => match Bucket::find(cx, &input.bucket).await? {
            Some(bucket) => taken(&bucket, &scope, cx),
            None => Err(error::conflict()),
        },
        Err(other) => Err(other.into()),
    }
}

/// What creating a bucket that exists answers. In the first region the owner may do so again.
fn taken(bucket: &Bucket, scope: &Scope, cx: &Cx) -> Result<Reply> {
    if bucket.owner != scope.account {
        let text = "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
        return Err(AwsError::new(409, "BucketAlreadyExists", text).with("BucketName", bucket.name.as_str()));
    }
    if cx.region.as_str() == FIRST_REGION && bucket.settings.region.as_str() == FIRST_REGION {
        return Ok(Reply::new(json!({"Location": format!("/{}", bucket.name), "BucketArn": bucket.arn()})));
    }
    let text = "Your previous request to create the named bucket succeeded and you already own it.";
    Err(AwsError::new(409, "BucketAlreadyOwnedByYou", text).with("BucketName", bucket.name.as_str()))
}

async fn resolve_delete(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:DeleteBucket", None).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteBucket>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let scope = bucket.scope();
    let mut batch = Batch::new();
    batch.require_none(OBJECT, scope, bucket.name.as_str());
    batch.require_none(VERSION, scope, bucket.name.as_str());
    batch.delete(BUCKET, scope, bucket.name.as_str(), Expect::Present);
    batch.delete(tenantry_kernel::directory::kind::RESOURCE_POLICY, scope, bucket.arn().as_str(), Expect::Any);
    batch.release_unique(names::BUCKETS, bucket.name.as_str());
    batch.set_tags(bucket.arn().as_str(), Vec::new());
    upload::forget_all(cx, &bucket, &mut batch).await?;
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::empty()),
        Err(CommitError::NotEmpty { .. }) => {
            Err(AwsError::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
                .with("BucketName", bucket.name.as_str()))
        }
        Err(CommitError::NotFound { .. }) => Err(error::no_such_bucket(&bucket.name)),
        Err(other) => Err(other.into()),
    }
}

async fn resolve_head(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    let bucket = Bucket::anywhere(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:ListBucket", None).into())
}

async fn head(cx: &Cx, permit: Permit<HeadBucket>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let region = bucket.settings.region.as_str();
    let mut reply = Reply::new(json!({"BucketRegion": region, "BucketArn": bucket.arn(), "AccessPointAlias": false}));
    if bucket.elsewhere(cx) {
        reply.status = 301;
    }
    Ok(reply)
}

async fn resolve_location(cx: &Cx, input: &BucketInput) -> Result<Checks> {
    // Asked in any region: it is how clients find the right one.
    let bucket = Bucket::anywhere(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, "s3:GetBucketLocation", None).into())
}

async fn location(cx: &Cx, permit: Permit<GetBucketLocation>, input: BucketInput) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    match bucket.settings.region.as_str() {
        FIRST_REGION => Ok(Reply::empty()),
        region => Ok(Reply::new(json!({ "LocationConstraint": region }))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    prefix: Option<String>,
    max_buckets: Option<usize>,
    continuation_token: Option<String>,
    bucket_region: Option<String>,
}

async fn resolve_list(cx: &Cx, _: &ListInput) -> Result<Checks> {
    Ok(request_keys(cx, Check::any("s3:ListAllMyBuckets")).into())
}

async fn list(cx: &Cx, permit: Permit<ListBuckets>, input: ListInput) -> Result<Reply> {
    let token = || error::argument("The continuation token provided is incorrect", "continuation-token", "");
    let after = match &input.continuation_token {
        Some(text) => Some(String::from_utf8(URL_SAFE_NO_PAD.decode(text).map_err(|_| token())?).map_err(|_| token())?),
        None => None,
    };
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let most = input.max_buckets.unwrap_or(usize::MAX);
    let scope = permit.global();
    let query = List::of(BUCKET, &scope).prefix(prefix).after(after.as_deref());
    let mut buckets = Vec::new();
    let mut next = None;
    for row in cx.kernel.store().list(&query).await? {
        let bucket = Bucket::of_row(row)?;
        if input.bucket_region.as_deref().is_some_and(|region| region != bucket.settings.region.as_str()) {
            continue;
        }
        if buckets.len() == most {
            next = buckets.last().and_then(|last: &serde_json::Value| last["Name"].as_str()).map(|name| URL_SAFE_NO_PAD.encode(name));
            break;
        }
        buckets.push(
            json!({"Name": bucket.name, "CreationDate": bucket.created, "BucketRegion": bucket.settings.region, "BucketArn": bucket.arn()}),
        );
    }
    let mut output = json!({"Buckets": buckets, "Owner": names::owner(&scope.account)});
    if let Some(next) = next {
        output["ContinuationToken"] = next.into();
    }
    if !prefix.is_empty() {
        output["Prefix"] = prefix.into();
    }
    Ok(Reply::new(output))
}
