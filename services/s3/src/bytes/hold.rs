//! Blobs that somebody is reading, or about to name in a row of another place.
//!
//! A sweep gathers what rows name, page by page. A row that moves meanwhile (a version that becomes
//! current, parts that become an object) could be missed in both places; so whoever moves or reads
//! holds the blobs, and a sweep keeps what is held or was since it began. The blob crate does the same
//! for blobs that are new.
//!
//! The table is the process's: blobs are named by their contents, so what another instance in the same
//! process holds can only be kept too long.

use std::{
    collections::{HashMap, HashSet},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use tenantry_blob::BlobId;

use super::Segment;

#[derive(Default)]
struct Held {
    counts: HashMap<BlobId, usize>,
    /// While sweeps run: all that were held when the first of them began, or since.
    seen: HashSet<BlobId>,
    sweeps: usize,
}

static HELD: LazyLock<Mutex<Held>> = LazyLock::new(Mutex::default);

fn table() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps blobs from being swept while it lives.
#[must_use]
pub(crate) struct Hold(Vec<BlobId>);

impl Hold {
    /// Holds these segments' blobs. Take it **before** reading the row that names them can become stale:
    /// then read the row again, or let the commit require it.
    pub fn of<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Self {
        let ids: Vec<BlobId> = segments.into_iter().map(|segment| segment.blob).collect();
        let mut held = table();
        for id in &ids {
            *held.counts.entry(*id).or_default() += 1;
            if held.sweeps > 0 {
                held.seen.insert(*id);
            }
        }
        Self(ids)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = table();
        for id in &self.0 {
            if let Some(count) = held.counts.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    held.counts.remove(id);
                }
            }
        }
    }
}

/// A sweep that is under way.
pub(crate) struct Watch(());

impl Watch {
    /// Begins: from now on what is held is remembered.
    pub fn begin() -> Self {
        let mut held = table();
        held.sweeps += 1;
        let now: Vec<BlobId> = held.counts.keys().copied().collect();
        held.seen.extend(now);
        Self(())
    }
    /// Whether a blob is held, or was since the beginning.
    pub fn knows(&self, id: &BlobId) -> bool {
        table().seen.contains(id)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut held = table();
        held.sweeps -= 1;
        if held.sweeps == 0 {
            held.seen.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_knows_what_was_held_before_and_since() {
        let segment = |n| Segment { blob: BlobId([n; 32]), size: 1, label: String::new(), salt: String::new() };
        let (before, since, never) = (segment(201), segment(202), segment(203));
        let first = Hold::of([&before]);
        let watch = Watch::begin();
        drop(first);
        drop(Hold::of([&since]));
        assert!(watch.knows(&before.blob) && watch.knows(&since.blob) && !watch.knows(&never.blob));
        drop(watch);
        assert!(!Watch::begin().knows(&since.blob));
    }
}
