//! Removing what nobody refers to, beside writers who may just be finding it.
//!
//! The order makes it safe: first the sweep begins, then the caller gathers what is alive, then the
//! rest is removed. A blob that was written (or found stored) before the beginning has its row among
//! what is gathered, or is pinned; one written since is remembered as seen.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, PoisonError},
};

use tokio::task::spawn_blocking;

use crate::{BlobError, BlobId, place::Place};

/// A sweep that has begun. Gather what is alive *now*, then call [`Sweep::remove`].
pub struct Sweep {
    place: Arc<Place>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// How many blobs were removed.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many stayed.
    pub kept: u64,
}

impl Sweep {
    pub(crate) fn new(place: Arc<Place>) -> Self {
        Self { place }
    }

    /// Removes every blob that `live` does not answer for. `live` must know all that was committed
    /// when this sweep began; if that could not be read, drop the sweep instead.
    ///
    /// # Errors
    /// When the file system refuses. What was removed until then is gone.
    pub async fn remove(self, live: impl Fn(&BlobId) -> bool + Send + 'static) -> Result<Swept, BlobError> {
        let work = move || {
            let mut swept = Swept::default();
            let data = self.place.data.clone();
            each(&data, &mut |shard| each(shard, &mut |file| self.consider(file, &live, &mut swept)))?;
            Ok(swept)
        };
        spawn_blocking(work).await.map_err(|error| BlobError::lost(&error))?
    }

    fn consider(&self, file: &Path, live: &impl Fn(&BlobId) -> bool, swept: &mut Swept) -> Result<(), BlobError> {
        // What has another name is not ours to remove.
        let Some(id) = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<BlobId>().ok()) else { return Ok(()) };
        if live(&id) {
            swept.kept += 1;
            return Ok(());
        }
        // Held while the file is removed: a writer pins before it looks whether the file is there.
        let guarded = self.place.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if guarded.pins.contains_key(&id) || guarded.sweeping.as_ref().is_none_or(|seen| seen.contains(&id)) {
            swept.kept += 1;
            return Ok(());
        }
        let bytes = fs::metadata(file).map(|meta| meta.len());
        let removed = bytes.and_then(|bytes| fs::remove_file(file).map(|()| bytes));
        swept.bytes += removed.map_err(BlobError::io(format!("remove blob {id}")))?;
        swept.removed += 1;
        Ok(())
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.place.guarded.lock().unwrap_or_else(PoisonError::into_inner).sweeping = None;
    }
}

/// Calls `visit` with what a directory holds; files in the place of directories are passed over.
fn each(dir: &Path, visit: &mut dyn FnMut(&Path) -> Result<(), BlobError>) -> Result<(), BlobError> {
    let refused = |error: io::Error| BlobError::io(format!("read `{}`", dir.display()))(error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(()),
        other => other.map_err(refused)?,
    };
    for entry in entries {
        visit(&entry.map_err(refused)?.path())?;
    }
    Ok(())
}
