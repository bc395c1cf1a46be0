//! The digests of a body as it arrives: MD5, and the additional checksum where there is one.
//!
//! MD5 is the slowest thing that happens to a large body, and nothing of it can be done in parallel but the whole: so past
//! [`ASIDE`] bytes each digest is taken on a thread of its own, while the body is read, proven, sealed and written. Smaller
//! bodies would lose more by the change of threads than they gain.

use bytes::Bytes;
use md5::{Digest, Md5};
use tenantry_core::{AwsError, Result};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinHandle, spawn_blocking},
};

use super::checksum::{Algorithm, Hasher};

/// From here on a thread of its own.
const ASIDE: u64 = 512 * 1024;
/// Pieces of the body that may wait for that thread: a piece is what the connection delivers at once, some hundred KiB at most.
const WAITING: usize = 16;

/// Digests in the making.
pub(crate) struct Digests {
    taken: u64,
    md5: Lane<Md5>,
    checksum: Option<Lane<Hasher>>,
}

/// What takes bytes one after the other.
trait Takes: Send + 'static {
    fn take(&mut self, bytes: &[u8]);
}

impl Takes for Md5 {
    fn take(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Takes for Hasher {
    fn take(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// One digest, here or on its thread.
enum Lane<T> {
    Here(T),
    Aside(Sender<Bytes>, JoinHandle<T>),
    /// A thread that ended early has taken the digest with it.
    Lost,
}

impl<T: Takes> Lane<T> {
    async fn update(&mut self, bytes: &Bytes, aside: bool) -> Result<()> {
        if aside && let Self::Here(_) = self {
            let Self::Here(digest) = std::mem::replace(self, Self::Lost) else { return Err(lost()) };
            let (sender, pieces) = channel(WAITING);
            *self = Self::Aside(sender, spawn_blocking(move || all_of(digest, pieces)));
        }
        match self {
            Self::Here(digest) => digest.take(bytes),
            Self::Aside(sender, _) => sender.send(bytes.clone()).await.map_err(|_| lost())?,
            Self::Lost => return Err(lost()),
        }
        Ok(())
    }

    async fn finish(self) -> Result<T> {
        match self {
            Self::Here(digest) => Ok(digest),
            Self::Aside(sender, thread) => {
                drop(sender);
                thread.await.map_err(|_| lost())
            }
            Self::Lost => Err(lost()),
        }
    }
}

fn all_of<T: Takes>(mut digest: T, mut pieces: Receiver<Bytes>) -> T {
    while let Some(bytes) = pieces.blocking_recv() {
        digest.take(&bytes);
    }
    digest
}

fn lost() -> AwsError {
    AwsError::internal("a thread that computes a body's digest has ended")
}

impl Digests {
    /// With the checksum of `algorithm`, if any.
    pub fn new(algorithm: Option<Algorithm>) -> Self {
        Self { taken: 0, md5: Lane::Here(Md5::new()), checksum: algorithm.map(|algorithm| Lane::Here(algorithm.hasher())) }
    }

    /// Takes the next bytes. Waits where a thread is far behind.
    ///
    /// # Errors
    /// When a thread has died.
    pub async fn update(&mut self, bytes: &Bytes) -> Result<()> {
        self.taken += bytes.len() as u64;
        let aside = self.taken > ASIDE;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes, aside).await?;
        }
        self.md5.update(bytes, aside).await
    }

    /// The MD5, and the checksum's bytes.
    ///
    /// # Errors
    /// When a thread has died.
    pub async fn finish(self) -> Result<([u8; 16], Option<Vec<u8>>)> {
        let checksum = match self.checksum {
            Some(lane) => Some(lane.finish().await?.finish()),
            None => None,
        };
        Ok((self.md5.finish().await?.finalize().into(), checksum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn here_and_aside_agree() {
        let clear: Bytes = (0..2 * ASIDE as u32 + 77).map(|i| (i / 3) as u8).collect::<Vec<_>>().into();
        for len in [0, 1, ASIDE as usize, ASIDE as usize + 1, clear.len()] {
            for piece in [4093, clear.len()] {
                let mut digests = Digests::new(Some(Algorithm::Crc32));
                for at in (0..len).step_by(piece) {
                    digests.update(&clear.slice(at..len.min(at + piece))).await.unwrap();
                }
                let mut crc = Algorithm::Crc32.hasher();
                crc.update(&clear[..len]);
                assert_eq!(digests.finish().await.unwrap(), (Md5::digest(&clear[..len]).into(), Some(crc.finish())), "{len} by {piece}");
            }
        }
    }
}
