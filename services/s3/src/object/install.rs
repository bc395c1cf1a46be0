//! Making a version current: the one place where an object comes to be.

use tenantry_core::{Result, Timestamp};
use tenantry_kernel::Cx;
use tenantry_store::{Batch, CommitError, Expect};

use super::{
    condition::WriteIf,
    version::{self, Found, NULL, Version, new_id, object_row, version_row},
};
use crate::{
    bucket::{ATTEMPTS, BUCKET, Bucket, Hand, Versioning},
    bytes::{hold::Hold, sweep},
    error,
};

/// Makes `new` the current version of a key, if the conditions hold at that moment. Answers it with its id.
/// `more` adds what belongs to the same commit.
///
/// # Errors
/// `PreconditionFailed`, `NoSuchBucket`, `OperationAborted` after too many lost races.
pub(crate) async fn install(
    cx: &Cx,
    mut bucket: Bucket,
    key: &str,
    mut new: Version,
    conditions: &WriteIf,
    more: impl Fn(&mut Batch) -> Result<()> + Send + Sync,
) -> Result<Version> {
    for _ in 0..ATTEMPTS {
        let current = version::current(&cx.kernel, &bucket, key).await?;
        conditions.require(current.as_ref().map(|found| &found.version), key)?;
        let latest = match &current {
            Some(found) => Some(found.version.order),
            None => version::newest_other(&cx.kernel, &bucket, key, None).await?.map(|found| found.version.order),
        };
        new.modified = cx.now();
        new.order = next_order(cx.now(), latest);
        new.id = if bucket.settings.versioning == Versioning::Enabled { new_id(new.order) } else { NULL.to_owned() };
        let mut batch = Batch::new();
        // First, while what it requires is not overwritten by the rest: a copy's source may be this very key.
        more(&mut batch)?;
        let _hold = make_room(Hand::Call(cx), &bucket, key, current.as_ref(), &mut batch).await?;
        let expect = current.as_ref().map_or(Expect::Absent, |found| Expect::Version(found.row.version));
        batch.put(object_row(&bucket, key, &new)?, expect);
        batch.require(BUCKET, bucket.scope(), bucket.name.as_str(), Expect::Version(bucket.version()));
        match cx.commit(batch).await {
            Ok(()) => return Ok(new),
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {
                bucket = Bucket::in_scope(&cx.kernel, &bucket.scope().clone(), &bucket.name).await?
            }
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::conflict())
}

/// An order that is greater than the latest version's.
pub(crate) fn next_order(now: Timestamp, latest: Option<u64>) -> u64 {
    let now = u64::try_from(now.millis()).unwrap_or(0).saturating_mul(1000);
    latest.map_or(now, |latest| now.max(latest + 1))
}

/// What becomes of the versions that are there when a new one (or a delete marker) comes: under
/// versioning the current one is kept beside; else the null version goes. The row of the current
/// version itself is the caller's to replace or delete.
pub(crate) async fn make_room(hand: Hand<'_>, bucket: &Bucket, key: &str, current: Option<&Found>, batch: &mut Batch) -> Result<Hold> {
    let versioning = bucket.settings.versioning;
    let mut hold = Hold::of([]);
    let mut released = false;
    match current {
        Some(found) if versioning == Versioning::Enabled || (versioning == Versioning::Suspended && found.version.id != NULL) => {
            hold = Hold::of(&found.version.segment);
            batch.put(version_row(bucket, key, &found.version)?, Expect::Absent);
        }
        Some(found) => {
            found.version.forget(batch, bucket.scope());
            released = true;
        }
        None => {}
    }
    let null_is_current = current.is_some_and(|found| found.version.id == NULL);
    if versioning == Versioning::Suspended
        && !null_is_current
        && let Some(null) = version::other_null(hand.kernel(), bucket, key).await?
    {
        null.delete(batch);
        null.version.forget(batch, bucket.scope());
        released = true;
    }
    if released {
        sweep::request(batch, hand.now());
    }
    Ok(hold)
}
