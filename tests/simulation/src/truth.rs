//! What must hold of a world in which nothing runs any more, whatever happened in it.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use tenantry_core::Scope;
use tenantry_kernel::reconcile::QUARANTINED;
use tenantry_store::{List, Store};
use tokio::time::{Instant, sleep};

use crate::world::{Place, World};

/// Queues that are never empty, or only after hours: what they hold is no work that was lost.
const STANDING: [&str; 3] = ["audit.retention", "sts.session", "s3.lifecycle"];

/// Holds the whole world against its rules, once what is left to do is done (within `limit`).
pub async fn hold(world: &World, place: &Place, limit: Duration) {
    let until = Instant::now() + limit;
    loop {
        let left = left(world, place);
        if left.is_empty() {
            break;
        }
        if Instant::now() > until {
            world.broken(format!("left over: {}", left.join("; ")));
            break;
        }
        sleep(Duration::from_secs(10)).await;
    }
    let starts = world.starts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, count) in starts.iter().filter(|(_, count)| **count > 1) {
        world.broken(format!("{name} was started {count} times"));
    }
    place.kernel.flush_audit().await;
    match world.store.verify_events().await {
        Ok(verified) if verified.broken.is_none() => {}
        other => world.broken(format!("the audit chain: {other:?}")),
    }
    match world.store.list(&List::of(QUARANTINED, &Scope::global(""))).await {
        Ok(rows) if rows.is_empty() => {}
        other => world.broken(format!("work is in quarantine: {other:?}")),
    }
}

/// What is still there that must go: work, workloads, ways out, files.
fn left(world: &World, place: &Place) -> Vec<String> {
    let mut left: Vec<String> = world
        .store
        .waiting()
        .into_iter()
        .filter(|work| !STANDING.contains(&work.queue.as_str()))
        .map(|work| format!("work {} {}", work.queue, work.key))
        .collect();
    left.extend(place.engine.known().into_iter().map(|name| format!("workload {name}")));
    let doors = place.doors.load(Ordering::Relaxed);
    if doors != 0 {
        left.push(format!("{doors} open ways out"));
    }
    let files = std::fs::read_dir(&place.work).into_iter().flatten().flatten();
    left.extend(files.map(|entry| format!("directory {}", entry.file_name().display())));
    left
}
