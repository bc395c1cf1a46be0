//! Carrying out lifecycle rules: once a day, a page of rows per step.
//!
//! The step goes through a bucket's objects, other versions and uploads; what a rule says is over is
//! removed the way a request would remove it. A step ends before its lease does and goes on from the
//! beginning: what was removed is not met again.

use std::time::Duration;

use serde_json::Value;
use tenantry_core::{Result, Timestamp};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture};
use tenantry_store::Batch;

use super::{BUCKET, Bucket, Hand, Versioning};
use crate::{
    list::cursor::Cursor,
    object::{
        condition::WriteIf,
        remove::{Target, remove},
        version::{self, OBJECT, VERSION, Version},
    },
    upload::{self, UPLOAD, Upload},
};

/// The queue; keys are those of buckets.
pub(crate) const QUEUE: &str = "s3.lifecycle";
const DAY: i64 = 86_400;
/// Removals of one step.
const AT_ONCE: usize = 500;

/// A rule in force, read from its document.
struct Rule<'a>(&'a Value);

impl Rule<'_> {
    fn filter(&self, member: &str) -> &Value {
        let filter = &self.0["Filter"];
        if filter[member].is_null() { &filter["And"][member] } else { &filter[member] }
    }
    fn prefix(&self) -> &str {
        self.0["Prefix"].as_str().or_else(|| self.filter("Prefix").as_str()).unwrap_or_default()
    }
    fn covers(&self, key: &str, version: &Version) -> bool {
        let tags = [&self.0["Filter"]["Tag"], &self.0["Filter"]["And"]["Tags"]];
        let mut wanted = tags.into_iter().flat_map(|value| match value {
            Value::Array(list) => list.as_slice(),
            Value::Null => &[],
            single => std::slice::from_ref(single),
        });
        key.starts_with(self.prefix())
            && self.filter("ObjectSizeGreaterThan").as_u64().is_none_or(|size| version.size > size)
            && self.filter("ObjectSizeLessThan").as_u64().is_none_or(|size| version.size < size)
            && wanted.all(|tag| version.tags.iter().any(|own| tag["Key"] == own.key.as_str() && tag["Value"] == own.value.as_str()))
    }
    /// Whether so many days (rounded up to the next midnight, as S3 does) have passed since an instant.
    fn passed(days: &Value, since: Timestamp, now: Timestamp) -> bool {
        days.as_i64().is_some_and(|days| {
            let end = since.secs().saturating_add(days.saturating_mul(DAY));
            now.secs() >= end.saturating_add(DAY - 1).div_euclid(DAY) * DAY
        })
    }
    /// Whether a current version has expired.
    fn expires(&self, key: &str, version: &Version, now: Timestamp) -> bool {
        let expiration = &self.0["Expiration"];
        let dated = expiration["Date"].as_f64().is_some_and(|date| now.secs() as f64 >= date);
        (dated || Self::passed(&expiration["Days"], version.modified, now)) && self.covers(key, version)
    }
}

/// Carries out lifecycle rules.
pub(crate) struct Expiry;

impl Reconciler for Expiry {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, name)) = tenantry_kernel::reconcile::parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(BUCKET, &scope, name).await? else { return Ok(Next::Done) };
            let bucket = Bucket::of_row(row)?;
            let Some(configuration) = bucket.settings.lifecycle.clone() else { return Ok(Next::Done) };
            let rules: Vec<Rule<'_>> =
                configuration["Rules"].as_array().into_iter().flatten().filter(|rule| rule["Status"] == "Enabled").map(Rule).collect();
            let mut left = AT_ONCE;
            objects(kernel, &bucket, &rules, &mut left).await?;
            others(kernel, &bucket, &rules, &mut left).await?;
            uploads(kernel, &bucket, &rules, &mut left).await?;
            if left == 0 {
                return Ok(Next::After(Duration::ZERO));
            }
            // A little after the next midnight.
            let wait = DAY - kernel.now().secs().rem_euclid(DAY) + 60;
            Ok(Next::After(Duration::from_secs(u64::try_from(wait).unwrap_or(60))))
        })
    }
}

/// The key of a row of a bucket, without what comes behind NUL.
fn key_of<'r>(bucket: &Bucket, id: &'r str) -> &'r str {
    id.get(bucket.name.len() + 1..).unwrap_or_default().split('\0').next().unwrap_or_default()
}

async fn objects(kernel: &Kernel, bucket: &Bucket, rules: &[Rule<'_>], left: &mut usize) -> Result<()> {
    let mut cursor = Cursor::new(kernel.store(), OBJECT, bucket.scope(), version::object_id(&bucket.name, ""));
    while *left > 0 && cursor.peek().await?.is_some() {
        let Some(row) = cursor.take() else { break };
        let key = key_of(bucket, &row.id);
        let version: Version = row.body()?;
        if rules.iter().any(|rule| rule.expires(key, &version, kernel.now())) {
            // Not if it was overwritten meanwhile.
            let only = WriteIf { if_match: Some(version.etag.clone()), if_none_match: None };
            let target = Target { key, id: None, conditions: only };
            gone(remove(Hand::Platform(kernel, "LifecycleExpiration"), bucket.clone(), &target).await)?;
            *left -= 1;
        }
    }
    Ok(())
}

/// Versions that are not current and delete markers. Each became noncurrent when the one above it came.
async fn others(kernel: &Kernel, bucket: &Bucket, rules: &[Rule<'_>], left: &mut usize) -> Result<()> {
    if bucket.settings.versioning == Versioning::Off {
        return Ok(());
    }
    let mut cursor = Cursor::new(kernel.store(), VERSION, bucket.scope(), version::object_id(&bucket.name, ""));
    let (mut above, mut newer): (Option<(String, Timestamp)>, u64) = (None, 0);
    while *left > 0 && cursor.peek().await?.is_some() {
        let Some(row) = cursor.take() else { break };
        let key = key_of(bucket, &row.id).to_owned();
        let found: Version = row.body()?;
        if above.as_ref().is_none_or(|(name, _)| *name != key) {
            above = version::current(kernel, bucket, &key).await?.map(|current| (key.clone(), current.version.modified));
            newer = 0;
        }
        let since = above.as_ref().map(|(_, since)| *since);
        let alone = found.marker && since.is_none() && version::newest_other(kernel, bucket, &key, Some(&row.id)).await?.is_none();
        above = Some((key.clone(), found.modified));
        let due = |rule: &Rule<'_>| {
            let noncurrent = &rule.0["NoncurrentVersionExpiration"];
            let enough = noncurrent["NewerNoncurrentVersions"].as_u64().is_none_or(|kept| newer >= kept);
            let old = since.is_some_and(|since| enough && Rule::passed(&noncurrent["NoncurrentDays"], since, kernel.now()));
            let useless = alone && rule.0["Expiration"]["ExpiredObjectDeleteMarker"] == true;
            (old || useless) && rule.covers(&key, &found)
        };
        let over = rules.iter().any(due);
        newer += u64::from(since.is_some());
        if over {
            let target = Target { key: &key, id: Some(&found.id), conditions: WriteIf::default() };
            gone(remove(Hand::Platform(kernel, "LifecycleExpiration"), bucket.clone(), &target).await)?;
            *left -= 1;
        }
    }
    Ok(())
}

/// Somebody else having been there first is no failure.
fn gone(outcome: Result<crate::object::remove::Removed>) -> Result<()> {
    match outcome {
        Err(error) if error.status >= 500 => Err(error),
        _ => Ok(()),
    }
}

async fn uploads(kernel: &Kernel, bucket: &Bucket, rules: &[Rule<'_>], left: &mut usize) -> Result<()> {
    let mut cursor = Cursor::new(kernel.store(), UPLOAD, bucket.scope(), version::object_id(&bucket.name, ""));
    while *left > 0 && cursor.peek().await?.is_some() {
        let Some(row) = cursor.take() else { break };
        let begun: Upload = row.body()?;
        let days =
            |rule: &Rule<'_>| Rule::passed(&rule.0["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], begun.begun, kernel.now());
        if rules.iter().any(|rule| begun.key.starts_with(rule.prefix()) && days(rule)) {
            let mut batch = Batch::new();
            upload::forget(kernel, &row, &begun.id, &mut batch).await?;
            // Completed meanwhile: then there is nothing to abort.
            let _lost = Hand::Platform(kernel, "LifecycleAbortMultipartUpload").commit(batch, &bucket.arn()).await;
            *left -= 1;
        }
    }
    Ok(())
}
