//! Writing: a block is written on a blocking thread while the next one arrives, and what is written
//! goes to the disk while more is written.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{BLOCK, BlobError, BlobId, place::Place};

/// So much is written before the disk is told to take it: a sync at the end that finds everything still to be done is a
/// pause as long as all the writing.
const FLUSH: u64 = 8 * 1024 * 1024;

/// A blob in the making. Dropped before [`BlobWriter::finish`] it leaves nothing behind. Holds at most
/// two blocks of memory, and the chunk that it is given.
pub struct BlobWriter {
    place: Arc<Place>,
    gathered: BytesMut,
    size: u64,
    busy: Option<JoinHandle<Result<Partial, BlobError>>>,
    /// `None` while `busy`, and for good once something failed.
    idle: Option<Partial>,
    /// What was written before is on its way to the disk.
    flush: Option<JoinHandle<io::Result<()>>>,
}

/// What is written so far. Removes its file unless that was moved into place.
struct Partial {
    file: Option<(PathBuf, Arc<File>)>,
    /// Bytes since the last flush.
    fresh: u64,
}

impl Partial {
    fn add(&mut self, place: &Place, block: &[u8]) -> Result<(), BlobError> {
        if self.file.is_none() {
            let (path, file) = place.temporary()?;
            self.file = Some((path, Arc::new(file)));
        }
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        self.fresh += block.len() as u64;
        file.as_ref().write_all(block).map_err(BlobError::io(format!("write `{}`", path.display())))
    }

    fn finish(mut self, place: &Arc<Place>, id: BlobId, size: u64) -> Result<Stored, BlobError> {
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
        let idle = Some(Partial { file: None, fresh: 0 });
        Self { place, gathered: BytesMut::new(), size: 0, busy: None, idle, flush: None }
    }

    /// How many bytes it was given.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes bytes; a chunk of a [`BLOCK`] or more is written as it is, others are gathered. Waits only
    /// while a block before the last one is being written.
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
        self.flush(&mut partial).await?;
        let place = self.place.clone();
        self.busy = Some(spawn_blocking(move || partial.add(&place, &block).map(|()| partial)));
        Ok(())
    }

    /// Sends what is written on its way, unless there is little of it or the last flush still runs.
    async fn flush(&mut self, partial: &mut Partial) -> Result<(), BlobError> {
        if partial.fresh < FLUSH || self.flush.as_ref().is_some_and(|flush| !flush.is_finished()) {
            return Ok(());
        }
        self.flushed().await?;
        if let Some((_, file)) = &partial.file {
            let file = file.clone();
            partial.fresh = 0;
            self.flush = Some(spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }

    /// Waits for the flush that runs. What it says counts: the system tells of a lost write once only.
    async fn flushed(&mut self) -> Result<(), BlobError> {
        let Some(flush) = self.flush.take() else { return Ok(()) };
        flush.await.map_err(|error| BlobError::lost(&error))?.map_err(BlobError::io("sync a blob"))
    }

    /// Writes the rest, makes it durable, and gives it its name: the same one for the same bytes only.
    ///
    /// # Errors
    /// When it could not be written, synced or renamed: then there is no such blob on its account.
    pub async fn finish(mut self, id: BlobId) -> Result<Stored, BlobError> {
        let mut partial = self.settled().await?;
        self.flushed().await?;
        let (place, rest, size) = (self.place.clone(), self.gathered.split().freeze(), self.size);
        let last = move || {
            partial.add(&place, &rest)?;
            partial.finish(&place, id, size)
        };
        spawn_blocking(last).await.map_err(|error| BlobError::lost(&error))?
    }
}
