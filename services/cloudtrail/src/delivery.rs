//! Delivers a trail's events to its bucket, as CloudTrail does ("CloudTrail log file examples", AWS CloudTrail
//! User Guide): gzipped JSON under `AWSLogs/<account>/CloudTrail/<region>/<year>/<month>/<day>/`.
//!
//! The service writes as itself, under the bucket's policy, like anyone. What it could not write is
//! tried again from the same event on; an event may be delivered twice after a crash, never left out
//! but for those that were pruned before. A call that has changed something and has not ended yet holds
//! the delivery up, so that its event is whole, but for [`PATIENCE`] at most.

use std::{collections::BTreeMap, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::Digest;
use tenantry_core::{AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Caller, Kernel, Next, Reconciler, StepFuture,
    audit::{complete, seen_by},
    full,
    reconcile::parse_key,
};
use tenantry_store::{Batch, Expect, Row};

use crate::{
    manage::service_caller,
    selectors,
    trail::{DELIVERY, Progress, TRAIL, Trail},
};

/// The service principal.
pub(crate) const SERVICE: &str = "cloudtrail.amazonaws.com";
/// The queue of trails that log.
pub(crate) const QUEUE: &str = "cloudtrail.delivery";
/// How soon after its start a trail delivers first.
pub(crate) const FIRST: Duration = Duration::from_secs(5);
/// How often it delivers then. AWS says "about every five minutes".
const EVERY: Duration = Duration::from_secs(60);
/// How long an event waits for its call to end.
const PATIENCE: i64 = 300;
/// Events that are read at once, and in one step.
const AT_ONCE: usize = 500;
const IN_ONE_STEP: usize = 10_000;

/// Delivers what trails select.
pub struct Delivery;

impl Reconciler for Delivery {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, name)) = parse_key(key) else { return Ok(Next::Done) };
            let store = kernel.store();
            let (Some(row), Some(progress)) = (store.get(TRAIL, &scope, name).await?, store.get(DELIVERY, &scope, name).await?) else {
                return Ok(Next::Done);
            };
            let (trail, mut progress): (Trail, Progress) = (row.body()?, progress.body()?);
            // What ended before this step is in the log.
            kernel.flush_audit().await;
            let gathered = gather(kernel, &scope, &trail, progress.cursor).await?;
            let failed = deliver(kernel, &scope, name, &trail, &gathered).await.err();
            progress.attempted = Some(kernel.now()).filter(|_| !gathered.files.is_empty() || failed.is_some()).or(progress.attempted);
            if failed.is_none() {
                progress.cursor = gathered.cursor;
                progress.error = None;
                progress.delivered = Some(kernel.now()).filter(|_| !gathered.files.is_empty()).or(progress.delivered);
            }
            if let Some(error) = &failed {
                tracing::warn!(trail = name, %error, "events cannot be delivered");
                progress.error = Some(error.code.to_string());
            }
            let mut batch = Batch::new();
            // A trail that was deleted meanwhile must not come back by halves.
            batch.require(TRAIL, &scope, name, Expect::Present);
            batch.put(Row::new(DELIVERY, &scope, name, kernel.now()).with(&progress)?, Expect::Any);
            store.commit(batch).await?;
            Ok(match (gathered.more && failed.is_none(), trail.logging) {
                (true, _) => Next::After(Duration::from_millis(50)),
                (false, true) => Next::After(EVERY),
                (false, false) => Next::Done,
            })
        })
    }
}

/// Events of a step by region.
struct Gathered {
    files: BTreeMap<String, Vec<Value>>,
    /// The last event that was looked at.
    cursor: u64,
    /// Whether there is more to look at at once.
    more: bool,
}

async fn gather(kernel: &Kernel, scope: &Scope, trail: &Trail, cursor: u64) -> Result<Gathered> {
    let mut out = Gathered { files: BTreeMap::new(), cursor, more: true };
    let mut looked_at = 0;
    while looked_at < IN_ONE_STEP {
        let events = kernel.store().events(Some(out.cursor), AT_ONCE, false).await?;
        for event in &events {
            looked_at += 1;
            if let Some((whole, ended)) = complete(kernel.store(), event).await? {
                if !ended && event.time.plus_secs(PATIENCE) > kernel.now() {
                    out.more = false;
                    return Ok(out);
                }
                if (trail.logging || after_stop(trail, &whole)) && is_trails(scope, trail, &whole) {
                    let region = whole["awsRegion"].as_str().unwrap_or_default().to_owned();
                    out.files.entry(region).or_default().push(seen_by(whole, scope.account.as_str()));
                }
            }
            out.cursor = event.seq;
        }
        if events.len() < AT_ONCE {
            out.more = false;
            break;
        }
    }
    Ok(out)
}

/// Whether a trail that was stopped logged yet when this happened.
fn after_stop(trail: &Trail, event: &Value) -> bool {
    let at = event["eventTime"].as_str().and_then(Timestamp::parse);
    at.zip(trail.stopped).is_some_and(|(at, stopped)| at <= stopped)
}

/// Whether a trail delivers an event: of its account, its region, its selectors.
fn is_trails(scope: &Scope, trail: &Trail, event: &Value) -> bool {
    let account = scope.account.as_str();
    let owned = || event["resources"].as_array().into_iter().flatten().any(|resource| resource["accountId"] == account);
    if event["recipientAccountId"] != account && (event.get("errorCode").is_some() || !owned()) {
        return false;
    }
    let of_the_world = matches!(event["eventSource"].as_str(), Some("iam.amazonaws.com" | "organizations.amazonaws.com"));
    let wanted = if of_the_world { trail.global } else { event["awsRegion"] == scope.region.as_str() || trail.multi_region };
    wanted && selectors::selects(trail.selectors.as_ref(), event)
}

/// `<prefix>/AWSLogs/<account>/CloudTrail`.
pub(crate) fn folder(scope: &Scope, trail: &Trail) -> String {
    let prefix = trail.prefix.as_deref().map(|prefix| format!("{}/", prefix.trim_end_matches('/'))).unwrap_or_default();
    format!("{prefix}AWSLogs/{}/CloudTrail", scope.account)
}

async fn deliver(kernel: &Kernel, scope: &Scope, name: &str, trail: &Trail, gathered: &Gathered) -> Result<()> {
    let (caller, now) = (service_caller(scope, name), kernel.now());
    for (region, records) in &gathered.files {
        // The same events have the same name: what is tried again after a crash replaces itself within the minute.
        let digest = sha2::Sha256::digest(format!("{name} {region} {} {}", gathered.cursor, records.len()).as_bytes());
        let unique: String = digest
            .iter()
            .take(16)
            .map(|byte| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[usize::from(*byte) % 62]))
            .collect();
        let key = format!(
            "{}/{region}/{}/{}_CloudTrail_{region}_{}_{unique}.json.gz",
            folder(scope, trail),
            now.format("%Y/%m/%d"),
            scope.account,
            now.format("%Y%m%dT%H%MZ"),
        );
        put(kernel, &caller, &scope.region, &trail.bucket, &key, compressed(records)?).await?;
    }
    Ok(())
}

fn compressed(records: &[Value]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(json!({ "Records": records }).to_string().as_bytes()).map_err(AwsError::internal)?;
    gzip.finish().map_err(AwsError::internal)
}

/// Writes an object as the service does: the bucket's owner has full control of it.
pub(crate) async fn put(kernel: &Kernel, caller: &Caller, region: &Region, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<()> {
    let mut input = json!({
        "Bucket": bucket,
        "Key": key,
        "ACL": "bucket-owner-full-control",
        "ContentLength": bytes.len(),
    });
    if !bytes.is_empty() {
        input["ContentType"] = json!("application/json");
        input["ContentEncoding"] = json!("gzip");
    }
    kernel.call_with(caller, region, "s3", "PutObject", input, Some(full(bytes))).await.map(drop)
}
