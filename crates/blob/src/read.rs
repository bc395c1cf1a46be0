//! Reading: block by block, whatever the size of the blob.

use std::{fs::File, io::ErrorKind, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::{BLOCK, BlobError, BlobId, place::Place};

/// A blob that is open, and a range of it that is still to be read. It can be read to its end even if
/// it is removed meanwhile.
pub struct BlobReader {
    id: BlobId,
    file: Arc<File>,
    size: u64,
    at: u64,
    end: u64,
}

impl BlobReader {
    pub(crate) async fn open(place: Arc<Place>, id: BlobId) -> Result<Self, BlobError> {
        blocking(move || {
            let file = File::open(place.path(&id)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => BlobError::Missing(id),
                _ => BlobError::io(format!("open blob {id}"))(error),
            })?;
            let size = file.metadata().map_err(BlobError::io(format!("measure blob {id}")))?.len();
            Ok(Self { id, file: Arc::new(file), size, at: 0, end: size })
        })
        .await
    }

    /// How many bytes the blob has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads `len` bytes from `offset` instead of everything; what is behind the end is left out.
    #[must_use]
    pub fn range(mut self, offset: u64, len: u64) -> Self {
        self.at = offset.min(self.size);
        self.end = offset.saturating_add(len).min(self.size);
        self
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    /// The next bytes, at most [`BLOCK`] of them; `None` at the end.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] where the file has become shorter, `Io` where it cannot be read.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        let len = usize::try_from(self.left()).unwrap_or(BLOCK).min(BLOCK);
        if len == 0 {
            return Ok(None);
        }
        let (file, id, at) = (self.file.clone(), self.id, self.at);
        let block = blocking(move || {
            let mut block = vec![0; len];
            file.read_exact_at(&mut block, at).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => BlobError::Damaged(id),
                _ => BlobError::io(format!("read blob {id}"))(error),
            })?;
            Ok(block)
        })
        .await?;
        self.at += len as u64;
        Ok(Some(Bytes::from(block)))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BlobError> + Send + 'static) -> Result<T, BlobError> {
    spawn_blocking(work).await.map_err(|error| BlobError::lost(&error))?
}

pub(crate) async fn verify(place: Arc<Place>, id: BlobId) -> Result<(), BlobError> {
    let mut reader = BlobReader::open(place, id).await?;
    let mut hash = Sha256::new();
    while let Some(block) = reader.chunk().await? {
        hash = blocking(move || {
            hash.update(&block);
            Ok(hash)
        })
        .await?;
    }
    if <[u8; 32]>::from(hash.finalize()) == id.0 { Ok(()) } else { Err(BlobError::Damaged(id)) }
}
