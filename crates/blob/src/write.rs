//! Writing: blocks are hashed and written on a blocking thread while the next one arrives.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{BLOCK, BlobError, BlobId, place::Place};

/// A blob in the making. Dropped before [`BlobWriter::finish`] it leaves nothing behind. Holds at most
/// two blocks of memory, and the chunk that it is given.
pub struct BlobWriter {
    place: Arc<Place>,
    gathered: BytesMut,
    size: u64,
    busy: Option<JoinHandle<Result<Partial, BlobError>>>,
    /// `None` while `busy`, and for good once something failed.
    idle: Option<Partial>,
}

/// What is written so far. Removes its file unless that was moved into place.
struct Partial {
    hash: Sha256,
    file: Option<(PathBuf, File)>,
}

impl Partial {
    fn add(&mut self, place: &Place, block: &[u8]) -> Result<(), BlobError> {
        self.hash.update(block);
        if self.file.is_none() {
            self.file = Some(place.temporary()?);
        }
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        file.write_all(block).map_err(BlobError::io(format!("write `{}`", path.display())))
    }

    fn finish(mut self, place: &Arc<Place>, size: u64) -> Result<Stored, BlobError> {
        let id = BlobId(self.hash.finalize_reset().into());
        let Some((path, file)) = &self.file else {
            return Err(BlobError::Io { what: "finish a blob".to_owned(), why: "there is no file".to_owned(), full: false });
        };
        file.sync_all().map_err(BlobError::io(format!("sync `{}`", path.display())))?;
        place.pin(id);
        let stored = Stored { id, size, place: place.clone() };
        place.keep(path, &id)?;
        self.file = None;
        Ok(stored)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            // If it cannot be removed now, the next start does it.
            let _ = fs::remove_file(path);
        }
    }
}

/// A blob that is whole and on disk. **Keep this until the row that mentions the blob is committed**:
/// while it lives no sweep takes the blob away.
pub struct Stored {
    /// Its name.
    pub id: BlobId,
    /// Its bytes.
    pub size: u64,
    place: Arc<Place>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.place.unpin(self.id);
    }
}

impl BlobWriter {
    pub(crate) fn new(place: Arc<Place>) -> Self {
        Self { place, gathered: BytesMut::new(), size: 0, busy: None, idle: Some(Partial { hash: Sha256::new(), file: None }) }
    }

    /// How many bytes it was given.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes bytes. Waits only while a block before the last one is being written.
    ///
    /// # Errors
    /// When a block could not be written; the writer is then good for nothing.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.size += chunk.len() as u64;
        if self.gathered.is_empty() && chunk.len() >= BLOCK {
            return self.start(chunk).await;
        }
        self.gathered.extend_from_slice(&chunk);
        if self.gathered.len() >= BLOCK {
            let block = self.gathered.split().freeze();
            self.start(block).await?;
        }
        Ok(())
    }

    /// Waits for the block that is being written.
    async fn settled(&mut self) -> Result<Partial, BlobError> {
        if let Some(busy) = &mut self.busy {
            let done = busy.await;
            self.busy = None;
            return done.map_err(|error| BlobError::lost(&error))?;
        }
        self.idle.take().ok_or_else(|| BlobError::Io {
            what: "write a blob".to_owned(),
            why: "writing it failed before".to_owned(),
            full: false,
        })
    }

    async fn start(&mut self, block: Bytes) -> Result<(), BlobError> {
        let mut partial = self.settled().await?;
        let place = self.place.clone();
        self.busy = Some(spawn_blocking(move || partial.add(&place, &block).map(|()| partial)));
        Ok(())
    }

    /// Writes the rest, makes it durable, and gives it its name.
    ///
    /// # Errors
    /// When it could not be written, synced or renamed: then there is no such blob on its account.
    pub async fn finish(mut self) -> Result<Stored, BlobError> {
        let mut partial = self.settled().await?;
        let (place, rest, size) = (self.place.clone(), self.gathered.split().freeze(), self.size);
        let last = move || {
            partial.add(&place, &rest)?;
            partial.finish(&place, size)
        };
        spawn_blocking(last).await.map_err(|error| BlobError::lost(&error))?
    }
}
