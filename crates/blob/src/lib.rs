//! Durable bytes under a name: objects, artifacts, archived logs.
//!
//! A blob is a file that is written beside, synced, and renamed into place, so that a name never leads
//! to half a blob: what [`BlobWriter::finish`] has returned is on disk before the row that mentions it
//! is committed. Whoever writes names it, by something that stands for the contents: who says a name
//! twice says that it is the same bytes, and they are stored once. To hash everything here again, which
//! objects are sealed and hashed already, would cost as much as writing it.
//!
//! Who refers to a blob is the caller's knowledge. [`Blobs::begin_sweep`] removes what nobody refers to
//! and is safe beside writers; there is no other way to remove a blob, since whoever counts references
//! by hand races with a writer who has just found the same contents stored.
//!
//! What is not here: keys (they are never paths), encryption, parts (an object of several parts is a
//! list of blobs), checksums: whether bytes are still those that were written is the seal's to tell.

mod error;
mod id;
mod place;
mod read;
mod sweep;
#[cfg(test)]
mod tests;
mod write;

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

pub use error::BlobError;
pub use id::BlobId;
use place::Place;
pub use read::{BlobReader, Reading};
pub use sweep::{Sweep, Swept};
pub use write::{BlobWriter, Stored};

/// How much is read and written at a time on a thread that may block.
pub const BLOCK: usize = 256 * 1024;

/// A directory of blobs. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    place: Arc<Place>,
}

impl Blobs {
    /// Opens the directory, which is made (mode 0700) where there is none, and removes what a crash
    /// left unfinished in it.
    ///
    /// # Errors
    /// When another process has it open, or the file system refuses.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BlobError> {
        Ok(Self { place: Arc::new(Place::open(dir.as_ref())?) })
    }

    /// Begins a blob. Nothing is on disk before there is a block of it.
    #[must_use]
    pub fn writer(&self) -> BlobWriter {
        BlobWriter::new(self.place.clone())
    }

    /// Stores bytes that are at hand under the name that they are to have.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub async fn put(&self, id: BlobId, bytes: impl Into<bytes::Bytes>) -> Result<Stored, BlobError> {
        let mut writer = self.writer();
        writer.write(bytes.into()).await?;
        writer.finish(id).await
    }

    /// Opens a blob to be read from its beginning; see [`BlobReader::range`].
    ///
    /// # Errors
    /// [`BlobError::Missing`] where there is none; `Io` where that cannot be known.
    pub async fn reader(&self, id: BlobId) -> Result<BlobReader, BlobError> {
        BlobReader::open(self.place.clone(), id).await
    }

    /// Reads a whole blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] where it is larger, else as [`Blobs::reader`].
    pub async fn read(&self, id: BlobId, limit: usize) -> Result<Vec<u8>, BlobError> {
        let mut reader = self.reader(id).await?;
        if reader.size() > limit as u64 {
            return Err(BlobError::TooLarge { id, size: reader.size() });
        }
        let mut out = Vec::with_capacity(usize::try_from(reader.size()).unwrap_or(0));
        while let Some(chunk) = reader.chunk().await? {
            out.extend_from_slice(&chunk);
        }
        Ok(out)
    }

    /// Begins to remove what nobody refers to; see [`Sweep`]. `None` while another sweep runs.
    #[must_use]
    pub fn begin_sweep(&self) -> Option<Sweep> {
        let mut guarded = self.place.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if guarded.sweeping.is_some() {
            return None;
        }
        guarded.sweeping = Some(guarded.pins.keys().copied().collect());
        drop(guarded);
        Some(Sweep::new(self.place.clone()))
    }
}
