//! Reading: block by block, whatever the size of the blob.

use std::{
    fs::File,
    future::Future,
    io::ErrorKind,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};

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
        let open = move || {
            let file = File::open(place.path(&id)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => BlobError::Missing(id),
                _ => BlobError::io(format!("open blob {id}"))(error),
            })?;
            let size = file.metadata().map_err(BlobError::io(format!("measure blob {id}")))?.len();
            Ok(Self { id, file: Arc::new(file), size, at: 0, end: size })
        };
        Reading(spawn_blocking(open)).await
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

    /// Begins to read the next bytes into `block`, as many as it has or what is left, and lets the thread that reads them make of
    /// them what `then` says. `None` at the end. The reading goes on whether or not it is waited for, and is
    /// [`BlobError::Damaged`] where the file has become shorter, `Io` where it cannot be read.
    pub fn begin<T, B>(&mut self, mut block: B, then: impl FnOnce(B, usize) -> T + Send + 'static) -> Option<Reading<T>>
    where
        T: Send + 'static,
        B: AsMut<[u8]> + Send + 'static,
    {
        let most = block.as_mut().len();
        let len = usize::try_from(self.left()).unwrap_or(most).min(most);
        if len == 0 {
            return None;
        }
        let (file, id, at) = (self.file.clone(), self.id, self.at);
        self.at += len as u64;
        Some(Reading(spawn_blocking(move || {
            file.read_exact_at(&mut block.as_mut()[..len], at).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => BlobError::Damaged(id),
                _ => BlobError::io(format!("read blob {id}"))(error),
            })?;
            Ok(then(block, len))
        })))
    }

    /// The next bytes, at most [`BLOCK`] of them; `None` at the end.
    ///
    /// # Errors
    /// As [`BlobReader::begin`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        let block = BytesMut::zeroed(usize::try_from(self.left()).unwrap_or(BLOCK).min(BLOCK));
        match self.begin(block, |block, _| block.freeze()) {
            Some(reading) => reading.await.map(Some),
            None => Ok(None),
        }
    }
}

/// Bytes that are being read; see [`BlobReader::begin`].
pub struct Reading<T>(JoinHandle<Result<T, BlobError>>);

impl<T> Future for Reading<T> {
    type Output = Result<T, BlobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).map_err(|error| BlobError::lost(&error))?)
    }
}
