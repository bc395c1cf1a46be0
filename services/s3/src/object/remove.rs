//! Deleting: a marker on top, or a version for good.

use tenantry_core::Result;
use tenantry_store::{Batch, CommitError, Expect};

use super::{
    condition::WriteIf,
    install::{make_room, next_order},
    version::{self, Found, NULL, OBJECT, Version, new_id, object_id, object_row, version_row},
};
use crate::{
    bucket::{ATTEMPTS, BUCKET, Bucket, Hand, Versioning},
    bytes::{hold::Hold, sweep},
    error,
};

/// What was deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The version that is gone, or the marker that was made.
    pub version: Option<String>,
    /// Whether that is a delete marker.
    pub marker: bool,
}

/// A key to delete, or one version of it.
pub(crate) struct Target<'a> {
    pub key: &'a str,
    pub id: Option<&'a str>,
    pub conditions: WriteIf,
}

/// Deletes a key, or one version of it. What is not there is deleted already.
///
/// # Errors
/// `PreconditionFailed`, `InvalidArgument` for a bad version id, `OperationAborted` after too many lost races.
pub(crate) async fn remove(hand: Hand<'_>, mut bucket: Bucket, target: &Target<'_>) -> Result<Removed> {
    for _ in 0..ATTEMPTS {
        let (mut batch, removed, hold) = plan(hand, &bucket, target).await?;
        if batch.is_empty() {
            return Ok(removed);
        }
        batch.require(BUCKET, bucket.scope(), bucket.name.as_str(), Expect::Version(bucket.version()));
        let done = hand.commit(batch, &bucket.arn()).await;
        drop(hold);
        match done {
            Ok(()) => return Ok(removed),
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {
                bucket = Bucket::in_scope(hand.kernel(), &bucket.scope().clone(), &bucket.name).await?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::conflict())
}

/// Deletes several keys in one commit; one by one where that does not go (a key that is named twice, a race).
pub(crate) async fn remove_many(hand: Hand<'_>, bucket: &Bucket, targets: &[Target<'_>]) -> Vec<Result<Removed>> {
    let (mut together, mut outcomes, mut holds) = (Batch::new(), Vec::with_capacity(targets.len()), Vec::new());
    for target in targets {
        outcomes.push(match plan(hand, bucket, target).await {
            Ok((batch, removed, hold)) => {
                together.append_batch(batch);
                holds.push(hold);
                Ok(removed)
            }
            Err(error) => Err(error),
        });
    }
    if together.is_empty() {
        return outcomes;
    }
    together.require(BUCKET, bucket.scope(), bucket.name.as_str(), Expect::Version(bucket.version()));
    if hand.commit(together, &bucket.arn()).await.is_ok() {
        return outcomes;
    }
    drop(holds);
    for (target, outcome) in targets.iter().zip(&mut outcomes) {
        if outcome.is_ok() {
            *outcome = remove(hand, bucket.clone(), target).await;
        }
    }
    outcomes
}

/// What a deletion would change.
async fn plan(hand: Hand<'_>, bucket: &Bucket, target: &Target<'_>) -> Result<(Batch, Removed, Hold)> {
    let mut batch = Batch::new();
    let (removed, hold) = match target.id {
        Some(id) => one_version(hand, bucket, target.key, id, &target.conditions, &mut batch).await?,
        None => on_top(hand, bucket, target.key, &target.conditions, &mut batch).await?,
    };
    Ok((batch, removed, hold))
}

/// Without a version id: the object goes, or under versioning a marker comes.
async fn on_top(hand: Hand<'_>, bucket: &Bucket, key: &str, conditions: &WriteIf, batch: &mut Batch) -> Result<(Removed, Hold)> {
    let current = version::current(hand.kernel(), bucket, key).await?;
    conditions.require(current.as_ref().map(|found| &found.version), key)?;
    let versioning = bucket.settings.versioning;
    if versioning == Versioning::Off && current.is_none() {
        return Ok((Removed::default(), Hold::of([])));
    }
    let hold = make_room(hand, bucket, key, current.as_ref(), batch).await?;
    if let Some(found) = &current {
        found.delete(batch);
    } else {
        batch.require(OBJECT, bucket.scope(), object_id(&bucket.name, key), Expect::Absent);
    }
    if versioning == Versioning::Off {
        return Ok((Removed::default(), hold));
    }
    let latest = match &current {
        Some(found) => Some(found.version.order),
        None => version::newest_other(hand.kernel(), bucket, key, None).await?.map(|found| found.version.order),
    };
    let order = next_order(hand.now(), latest);
    let id = if versioning == Versioning::Enabled { new_id(order) } else { NULL.to_owned() };
    let marker = Version { id: id.clone(), order, marker: true, ..Version::new(hand.now()) };
    batch.put(version_row(bucket, key, &marker)?, Expect::Absent);
    Ok((Removed { version: Some(id), marker: true }, hold))
}

/// With a version id: that version goes, and the one below it comes to light.
async fn one_version(
    hand: Hand<'_>,
    bucket: &Bucket,
    key: &str,
    id: &str,
    conditions: &WriteIf,
    batch: &mut Batch,
) -> Result<(Removed, Hold)> {
    let found = version::by_id(hand.kernel(), bucket, key, id).await?;
    conditions.require(found.as_ref().map(|found| &found.version), key)?;
    let gone = Removed { version: Some(id.to_owned()), marker: found.as_ref().is_some_and(|found| found.version.marker) };
    let Some(found) = found else { return Ok((gone, Hold::of([]))) };
    found.delete(batch);
    found.version.forget(batch, bucket.scope());
    sweep::request(batch, hand.now());
    let hold = promote(hand, bucket, key, &found, batch).await?;
    Ok((gone, hold))
}

/// Makes the newest remaining version current, where what goes was the latest.
async fn promote(hand: Hand<'_>, bucket: &Bucket, key: &str, gone: &Found, batch: &mut Batch) -> Result<Hold> {
    let next = if gone.is_current() {
        version::newest_other(hand.kernel(), bucket, key, None).await?
    } else {
        let above = version::current(hand.kernel(), bucket, key).await?;
        let newest = version::newest_other(hand.kernel(), bucket, key, None).await?;
        if above.is_some() || newest.is_none_or(|newest| newest.row.id != gone.row.id) {
            return Ok(Hold::of([]));
        }
        batch.require(OBJECT, bucket.scope(), object_id(&bucket.name, key), Expect::Absent);
        version::newest_other(hand.kernel(), bucket, key, Some(&gone.row.id)).await?
    };
    match next {
        Some(next) if !next.version.marker => {
            let hold = Hold::of(&next.version.segment);
            next.delete(batch);
            // The row that goes is deleted above, in the same batch.
            batch.put(object_row(bucket, key, &next.version)?, Expect::Absent);
            Ok(hold)
        }
        _ => Ok(Hold::of([])),
    }
}
