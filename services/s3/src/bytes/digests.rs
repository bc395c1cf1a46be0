//! The digests of a body as it arrives: MD5, and the additional checksum where there is one.
//!
//! MD5 is the slowest thing that happens to a large body, and nothing of it can be done in parallel but the whole: so past
//! [`ASIDE`] bytes the digests are taken on a thread of their own, while the body is read, proven, sealed and written. Smaller
//! bodies would lose more by the change of threads than they gain.

use bytes::Bytes;
use md5::{Digest, Md5};
use tenantry_core::{AwsError, Result};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinHandle, spawn_blocking},
};

use super::checksum::{Algorithm, Hasher};

/// From here on a thread of their own.
const ASIDE: u64 = 512 * 1024;
/// Pieces of the body that may wait for that thread: a piece is what the connection delivers at once, some hundred KiB at most.
const WAITING: usize = 16;

/// Digests in the making.
pub(crate) struct Digests {
    taken: u64,
    place: Place,
}

enum Place {
    Here(Box<Both>),
    Aside(Sender<Bytes>, JoinHandle<Box<Both>>),
    /// A thread that ended early has taken the digests with it.
    Lost,
}

struct Both {
    md5: Md5,
    checksum: Option<Hasher>,
}

impl Both {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(hasher) = &mut self.checksum {
            hasher.update(bytes);
        }
    }

    fn all_of(mut self: Box<Self>, mut pieces: Receiver<Bytes>) -> Box<Self> {
        while let Some(bytes) = pieces.blocking_recv() {
            self.update(&bytes);
        }
        self
    }
}

fn lost() -> AwsError {
    AwsError::internal("the thread that computes a body's digests has ended")
}

impl Digests {
    /// With the checksum of `algorithm`, if any.
    pub fn new(algorithm: Option<Algorithm>) -> Self {
        let both = Both { md5: Md5::new(), checksum: algorithm.map(Algorithm::hasher) };
        Self { taken: 0, place: Place::Here(Box::new(both)) }
    }

    /// Takes the next bytes. Waits where the thread is far behind.
    ///
    /// # Errors
    /// When the thread has died.
    pub async fn update(&mut self, bytes: &Bytes) -> Result<()> {
        self.taken += bytes.len() as u64;
        match &mut self.place {
            Place::Here(both) if self.taken <= ASIDE => both.update(bytes),
            Place::Aside(sender, _) => sender.send(bytes.clone()).await.map_err(|_| lost())?,
            Place::Here(_) => {
                let Place::Here(both) = std::mem::replace(&mut self.place, Place::Lost) else { return Err(lost()) };
                let (sender, pieces) = channel(WAITING);
                let thread = spawn_blocking(move || both.all_of(pieces));
                sender.send(bytes.clone()).await.map_err(|_| lost())?;
                self.place = Place::Aside(sender, thread);
            }
            Place::Lost => return Err(lost()),
        }
        Ok(())
    }

    /// The MD5, and the checksum's bytes.
    ///
    /// # Errors
    /// When the thread has died.
    pub async fn finish(self) -> Result<([u8; 16], Option<Vec<u8>>)> {
        let both = match self.place {
            Place::Here(both) => both,
            Place::Aside(sender, thread) => {
                drop(sender);
                thread.await.map_err(|_| lost())?
            }
            Place::Lost => return Err(lost()),
        };
        Ok((both.md5.finalize().into(), both.checksum.map(Hasher::finish)))
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
