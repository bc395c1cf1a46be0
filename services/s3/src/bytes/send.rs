//! Bytes on their way out: a block of the chunks that a range touches is read and opened while the client takes the one before.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    vec::IntoIter,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tenantry_blob::{BlobReader, Reading};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Body, Kernel};

use super::{
    Segment,
    hold::Hold,
    kept::Kept,
    seal::{CHUNK, Keys, Opener, TAG},
};

/// Chunks that are read and opened at once. Two such blocks are in memory for each client: one that it takes and the next.
const BLOCK: u64 = 8;

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
    let mut piece = Piece::open(kernel.clone(), keys.opener(&first.0)?, first).await?;
    let next = piece.begin().map_or(Next::Nothing, Next::Block);
    Ok(Sending { kernel: kernel.clone(), keys, pieces, piece, next, left: len, _hold: hold }.boxed_unsync())
}

/// Segments on their way to a client.
struct Sending {
    kernel: Kernel,
    keys: Keys,
    pieces: IntoIter<Touched>,
    piece: Piece,
    next: Next,
    left: u64,
    _hold: Hold,
}

/// What is under way.
enum Next {
    Block(Reading<Result<Bytes>>),
    Piece(Pin<Box<dyn Future<Output = Result<Piece>> + Send>>),
    Nothing,
}

impl Sending {
    /// Begins with what follows.
    fn begin(&mut self) -> Result<Next> {
        if let Some(block) = self.piece.begin() {
            return Ok(Next::Block(block));
        }
        let Some(next) = self.pieces.next() else { return Ok(Next::Nothing) };
        let opener = self.keys.opener(&next.0)?;
        Ok(Next::Piece(Box::pin(Piece::open(self.kernel.clone(), opener, next))))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            match &mut self.next {
                Next::Block(block) => {
                    let bytes = ready!(Pin::new(block).poll(cx))??;
                    self.next = self.begin()?;
                    return Poll::Ready(Ok(Some(bytes)));
                }
                Next::Piece(opening) => {
                    self.piece = ready!(opening.as_mut().poll(cx))?;
                    self.next = self.begin()?;
                }
                Next::Nothing => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let error = match ready!(Sending::poll(&mut self, cx)) {
            Ok(Some(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Ok(None) if self.left == 0 => return Poll::Ready(None),
            // A promised length that does not arrive is an error: the client must not take it for the whole.
            Ok(None) => AwsError::internal("a blob is shorter than its row says"),
            Err(error) => error,
        };
        tracing::error!(%error, "an object cannot be read");
        (self.next, self.left) = (Next::Nothing, 0);
        Poll::Ready(Some(Err(io::Error::other(error))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A segment with where in it a range begins and ends.
type Touched = (Segment, u64, u64);

/// The segments that a range touches.
fn touched(segments: Vec<Segment>, start: u64, len: u64) -> Vec<Touched> {
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
}

impl Piece {
    async fn open(kernel: Kernel, opener: Opener, (segment, from, until): Touched) -> Result<Self> {
        let number = from / CHUNK as u64;
        let last = (until - 1) / CHUNK as u64;
        let sealed = (CHUNK + TAG) as u64;
        let reader = kernel.blobs().reader(segment.blob).await?.range(number * sealed, (last - number + 1) * sealed);
        Ok(Self { reader, opener, number, from, until })
    }

    /// Begins to read and open the next block; `None` at the end.
    fn begin(&mut self) -> Option<Reading<Result<Bytes>>> {
        let (opener, number) = (self.opener.clone(), self.number);
        let at = number * CHUNK as u64;
        let (from, until) = (self.from.saturating_sub(at), self.until.saturating_sub(at));
        self.number += BLOCK;
        let block = Kept::take(usize::try_from(self.reader.left()).unwrap_or(usize::MAX).min(BLOCK as usize * (CHUNK + TAG)));
        self.reader.begin(block, move |mut block, len| {
            let len = opener.open(number, &mut block.as_mut()[..len])?;
            let clear = Bytes::from_owner(block).slice(..len);
            let within = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(clear.len());
            Ok(clear.slice(within(from)..within(until)))
        })
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
