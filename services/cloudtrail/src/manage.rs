//! CreateTrail, UpdateTrail, DeleteTrail.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AwsError, Result, Tag};
use tenantry_kernel::{Caller, Check, Checks, Cx, Permit, Reply};
use tenantry_policy::Principal;
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use crate::{
    delivery::{self, SERVICE},
    error,
    operation::operation,
    tags::{self, ApiTag},
    trail::{self, DELIVERY, NameInput, TRAIL, Trail, check_name, find_home, shown, trail_arn},
};

/// Trails of one account in one region ("Quotas in AWS CloudTrail", AWS CloudTrail User Guide).
const MOST_TRAILS: usize = 5;

operation!(CreateTrail, ["trail"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["cloudtrail:AddTags"], Input, resolve_create, create);
operation!(UpdateTrail, ["trail"] + [] and [], Input, resolve_update, update);
operation!(DeleteTrail, ["trail"] + [] and [], NameInput, trail::resolve, delete);

/// The input of CreateTrail and UpdateTrail.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    name: String,
    #[serde(rename = "S3BucketName")]
    bucket: Option<String>,
    #[serde(rename = "S3KeyPrefix")]
    prefix: Option<String>,
    sns_topic_name: Option<String>,
    include_global_service_events: Option<bool>,
    is_multi_region_trail: Option<bool>,
    enable_log_file_validation: Option<bool>,
    #[serde(rename = "CloudWatchLogsLogGroupArn")]
    log_group: Option<String>,
    #[serde(rename = "CloudWatchLogsRoleArn")]
    log_role: Option<String>,
    kms_key_id: Option<String>,
    is_organization_trail: Option<bool>,
    recursive_logging: Option<bool>,
    #[serde(default)]
    tags_list: Vec<ApiTag>,
}

impl Input {
    /// What this instance has not is refused, not ignored.
    fn refuse_unsupported(&self) -> Result<()> {
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        for (asked, what) in [
            (self.is_organization_trail == Some(true), "An organization trail"),
            (given(&self.kms_key_id), "Encryption of log files with a KMS key"),
            (given(&self.sns_topic_name), "Notification by an SNS topic"),
            (given(&self.log_group) || given(&self.log_role), "Delivery to a CloudWatch Logs log group"),
            (self.enable_log_file_validation == Some(true), "Log file validation"),
            (self.recursive_logging == Some(true), "Recursive logging"),
        ] {
            if asked {
                return Err(error::unsupported(what));
            }
        }
        if self.prefix.as_ref().is_some_and(|prefix| prefix.len() > 200 || prefix.chars().any(char::is_control)) {
            return Err(error::bad_prefix());
        }
        Ok(())
    }
    fn tags(&self) -> Vec<Tag> {
        tags::plain(&self.tags_list)
    }
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    // A name that is none makes no ARN to decide about.
    check_name(&input.name)?;
    let (arn, tags) = (trail_arn(&cx.scope(), &input.name), input.tags());
    let tagging = (!tags.is_empty()).then(|| Check::on("cloudtrail:AddTags", arn.clone()).request_tags(&tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&tags)).and_if(tagging))
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    Ok(trail::check(cx, action, &input.name)?.into())
}

async fn create(cx: &Cx, permit: Permit<CreateTrail>, input: Input) -> Result<Reply> {
    let scope = permit.scope();
    input.refuse_unsupported()?;
    let tags = tags::checked(&[], input.tags())?;
    let held = cx.kernel.store().list(&List::of(TRAIL, scope)).await?;
    if held.iter().any(|row| row.id == input.name) {
        return Err(error::trail_exists(&input.name, scope.account.as_str()));
    }
    if held.len() >= MOST_TRAILS {
        return Err(error::too_many_trails(scope.account.as_str(), MOST_TRAILS));
    }
    let trail = Trail {
        bucket: input.bucket.unwrap_or_default(),
        prefix: input.prefix.filter(|prefix| !prefix.is_empty()),
        global: input.include_global_service_events.unwrap_or(true),
        multi_region: input.is_multi_region_trail.unwrap_or(false),
        logging: false,
        started: None,
        stopped: None,
        selectors: None,
    };
    check_flags(&trail)?;
    check_bucket(cx, scope, &input.name, &trail).await?;
    let row = Row::new(TRAIL, scope, input.name.clone(), cx.now()).with(&trail)?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.delete(DELIVERY, scope, input.name.clone(), Expect::Any);
    batch.set_tags(trail_arn(scope, &input.name).as_str(), tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(error::trail_exists(&input.name, scope.account.as_str())),
        done => Ok(done.map(|()| Reply::new(shown(scope, &input.name, &trail)))?),
    }
}

async fn update(cx: &Cx, permit: Permit<UpdateTrail>, input: Input) -> Result<Reply> {
    input.refuse_unsupported()?;
    let (scope, mut row) = find_home(cx, permit.account(), &input.name).await?;
    let mut trail: Trail = row.body()?;
    let before = (trail.bucket.clone(), trail.prefix.clone());
    if let Some(bucket) = input.bucket {
        trail.bucket = bucket;
    }
    if let Some(prefix) = input.prefix {
        trail.prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
    }
    trail.global = input.include_global_service_events.unwrap_or(trail.global);
    trail.multi_region = input.is_multi_region_trail.unwrap_or(trail.multi_region);
    check_flags(&trail)?;
    if (trail.bucket.clone(), trail.prefix.clone()) != before {
        check_bucket(cx, &scope, &row.id, &trail).await?;
    }
    row.updated = cx.now();
    let mut batch = Batch::new();
    batch.update(row.clone().with(&trail)?);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(error::changed_meanwhile()),
        done => Ok(done.map(|()| Reply::new(shown(&scope, &row.id, &trail)))?),
    }
}

async fn delete(cx: &Cx, permit: Permit<DeleteTrail>, input: NameInput) -> Result<Reply> {
    let (scope, row) = find_home(cx, permit.account(), &input.name).await?;
    let mut batch = Batch::new();
    batch.delete(TRAIL, &scope, row.id.clone(), Expect::Any);
    batch.delete(DELIVERY, &scope, row.id.clone(), Expect::Any);
    batch.set_tags(trail_arn(&scope, &row.id).as_str(), Vec::new());
    batch.cancel_work(delivery::QUEUE, tenantry_kernel::reconcile::key_of(&scope, &row.id));
    cx.commit(batch).await?;
    Ok(Reply::empty())
}

fn check_flags(trail: &Trail) -> Result<()> {
    if trail.multi_region && !trail.global {
        return Err(error::bad_combination("Multi-Region trail must include global service events."));
    }
    Ok(())
}

/// The service acting for a trail: what bucket policies know by `aws:SourceArn` and `aws:SourceAccount`.
pub(crate) fn service_caller(scope: &tenantry_core::Scope, name: &str) -> Caller {
    Caller {
        principal: Principal::service(SERVICE),
        account: scope.account.clone(),
        arn: SERVICE.to_owned(),
        user_id: String::new(),
        user_name: None,
        tags: Vec::new(),
        session: None,
        access_key: String::new(),
        via: Vec::new(),
        source_arn: Some(trail_arn(scope, name)),
    }
}

/// Does what a delivery will do, with an object of no bytes: the ACL is read and the folder is made.
async fn check_bucket(cx: &Cx, scope: &tenantry_core::Scope, name: &str, trail: &Trail) -> Result<()> {
    let caller = service_caller(scope, name);
    let told = |error: AwsError| match error.code.as_ref() {
        "NoSuchBucket" | "InvalidBucketName" => error::no_bucket(&trail.bucket),
        "AccessDenied" => error::bad_bucket_policy(&trail.bucket),
        _ => error,
    };
    cx.kernel.call(&caller, &cx.region, "s3", "GetBucketAcl", json!({"Bucket": trail.bucket})).await.map_err(told)?;
    let folder = format!("{}/", delivery::folder(scope, trail));
    delivery::put(&cx.kernel, &caller, &cx.region, &trail.bucket, &folder, Vec::new()).await.map_err(told)
}
