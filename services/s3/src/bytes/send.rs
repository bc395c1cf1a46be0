//! Bytes on their way out: the chunks that a range touches, opened as the client takes them.

use std::io;

use bytes::{Bytes, BytesMut};
use tenantry_blob::BlobReader;
use tenantry_core::Result;
use tenantry_kernel::{Body, Kernel};

use super::{
    Segment,
    hold::Hold,
    seal::{CHUNK, Keys, Opener, TAG},
};

/// The bytes `start..start + len` of segments that follow each other.
///
/// The first segment is opened before this returns, so that a missing blob is an answer and not a
/// broken one. The blobs are held until the last byte is gone.
///
/// # Errors
/// When a blob that a row names is not there, or the store fails.
pub(crate) async fn body(kernel: &Kernel, segments: Vec<Segment>, start: u64, len: u64) -> Result<Body> {
    if len == 0 {
        return Ok(tenantry_kernel::empty());
    }
    let keys = Keys::load(kernel).await?;
    let hold = Hold::of(&segments);
    let mut pieces = touched(segments, start, len).into_iter();
    let Some(first) = pieces.next() else { return Ok(tenantry_kernel::empty()) };
    let mut piece = Piece::open(kernel, &keys, first).await?;
    let (sender, out) = tenantry_kernel::channel(Some(len));
    let kernel = kernel.clone();
    tokio::spawn(async move {
        let _held = hold;
        loop {
            match piece.next().await {
                Ok(Some(bytes)) => {
                    if sender.send(Ok(bytes)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    let Some(next) = pieces.next() else { return };
                    match Piece::open(&kernel, &keys, next).await {
                        Ok(opened) => piece = opened,
                        Err(error) => return fail(&sender, &error).await,
                    }
                }
                Err(error) => return fail(&sender, &error).await,
            }
        }
    });
    Ok(out)
}

async fn fail(sender: &tokio::sync::mpsc::Sender<io::Result<Bytes>>, error: &tenantry_core::AwsError) {
    tracing::error!(%error, "an object cannot be read");
    let _gone = sender.send(Err(io::Error::other(error.clone()))).await;
}

/// The segments that a range touches, each with where in it the range begins and ends.
fn touched(segments: Vec<Segment>, start: u64, len: u64) -> Vec<(Segment, u64, u64)> {
    let end = start + len;
    let mut at = 0;
    let mut out = Vec::new();
    for segment in segments {
        let (from, until) = (at, at + segment.size);
        at = until;
        if until > start && from < end {
            out.push((segment, start.saturating_sub(from), end.min(until) - from));
        }
    }
    out
}

/// What is to come of one segment.
struct Piece {
    reader: BlobReader,
    opener: Opener,
    /// The next chunk.
    number: u64,
    /// Clear offsets in the segment.
    from: u64,
    until: u64,
    /// Sealed bytes that are read and not opened.
    held: BytesMut,
}

impl Piece {
    async fn open(kernel: &Kernel, keys: &Keys, (segment, from, until): (Segment, u64, u64)) -> Result<Self> {
        let opener = keys.opener(&segment)?;
        let number = from / CHUNK as u64;
        let last = (until - 1) / CHUNK as u64;
        let sealed = (CHUNK + TAG) as u64;
        let reader = kernel.blobs().reader(segment.blob).await?.range(number * sealed, (last - number + 1) * sealed);
        Ok(Self { reader, opener, number, from, until, held: BytesMut::new() })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let at = self.number * CHUNK as u64;
        if at >= self.until {
            return Ok(None);
        }
        while self.held.len() < CHUNK + TAG {
            match self.reader.chunk().await? {
                Some(bytes) => self.held.extend_from_slice(&bytes),
                None => break,
            }
        }
        let sealed = self.held.split_to(self.held.len().min(CHUNK + TAG));
        let clear = self.opener.open(self.number, sealed)?.freeze();
        self.number += 1;
        let from = usize::try_from(self.from.saturating_sub(at)).unwrap_or(0).min(clear.len());
        let until = usize::try_from(self.until - at).unwrap_or(usize::MAX).min(clear.len());
        Ok(Some(clear.slice(from..until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_over_segments() {
        let segment = |size| Segment { blob: tenantry_blob::BlobId([size as u8; 32]), size, label: String::new(), salt: String::new() };
        let spans = |start, len| {
            touched(vec![segment(5), segment(3), segment(10)], start, len)
                .into_iter()
                .map(|(s, from, until)| (s.size, from, until))
                .collect::<Vec<_>>()
        };
        assert_eq!(spans(0, 18), [(5, 0, 5), (3, 0, 3), (10, 0, 10)]);
        assert_eq!(spans(4, 2), [(5, 4, 5), (3, 0, 1)]);
        assert_eq!(spans(5, 3), [(3, 0, 3)]);
        assert_eq!(spans(17, 1), [(10, 9, 10)]);
    }
}
