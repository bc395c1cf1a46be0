//! Removing the bytes that no row names any more.
//!
//! A delete only takes the row away; the blob goes here, some time later. What is alive is gathered
//! from the rows after the sweep has begun; what is being written, read or moved meanwhile is kept (see
//! `hold`). This is the only code of the instance that removes blobs, and only objects have any: whoever
//! else comes to store blobs must be asked here.

use std::collections::HashSet;

use tenantry_blob::BlobId;
use tenantry_core::{Result, Timestamp};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture};
use tenantry_store::{Batch, ByScope, Kind, List, Row};

use super::hold::Watch;
use crate::{
    object::version::{MANIFEST, Manifest, OBJECT, VERSION, Version},
    upload::{PART, Part},
};

/// The queue; it has one key.
pub(crate) const QUEUE: &str = "s3.sweep";
const KEY: &str = "all";
/// Seconds from the first release to the sweep: many deletes, one sweep.
const DELAY: i64 = 600;
/// Rows that are read at a time.
const PAGE: usize = 1000;

/// Asks for a sweep: some rows of this batch let go of bytes.
pub(crate) fn request(batch: &mut Batch, now: Timestamp) {
    batch.enqueue(QUEUE, KEY, now.plus_secs(DELAY));
}

/// Sweeps.
pub(crate) struct Sweeper;

impl Reconciler for Sweeper {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, _: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let watch = Watch::begin();
            let Some(sweep) = kernel.blobs().begin_sweep() else {
                return Ok(Next::After(std::time::Duration::from_secs(60)));
            };
            let mut live = HashSet::new();
            for kind in [OBJECT, VERSION] {
                each(kernel, kind, |row| {
                    let version: Version = row.body()?;
                    live.extend(version.segment.map(|segment| segment.blob));
                    Ok(())
                })
                .await?;
            }
            each(kernel, PART, |row| {
                let part: Part = row.body()?;
                live.extend(part.segment.map(|segment| segment.blob));
                Ok(())
            })
            .await?;
            each(kernel, MANIFEST, |row| {
                let manifest: Manifest = row.body()?;
                live.extend(manifest.parts.into_iter().filter_map(|part| part.segment).map(|segment| segment.blob));
                Ok(())
            })
            .await?;
            let swept = sweep.remove(move |id: &BlobId| live.contains(id) || watch.knows(id)).await?;
            tracing::info!(removed = swept.removed, bytes = swept.bytes, kept = swept.kept, "blobs were swept");
            Ok(Next::Done)
        })
    }
}

/// Calls `visit` with every row of a kind. Rows of different owners may have the same id: pages do not part them.
async fn each(kernel: &Kernel, kind: Kind, mut visit: impl FnMut(&Row) -> Result<()> + Send) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let rows = kernel.store().list(&List::by(kind, ByScope::All).after(after.as_deref()).limit(PAGE)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for row in &rows {
            visit(row)?;
        }
    }
}
