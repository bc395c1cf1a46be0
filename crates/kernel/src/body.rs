//! Bytes that are not held in memory: request payloads and streaming answers.

use std::{io, pin::Pin, task::Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame};

/// A stream of bytes, of unknown or known length.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes.
#[must_use]
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body fed by a channel: the sender's end is a task that reads a file or another connection.
/// The sender notices a client that went away by the channel closing.
#[must_use]
pub fn channel(length: Option<u64>) -> (tokio::sync::mpsc::Sender<io::Result<Bytes>>, Body) {
    let (tx, rx) = tokio::sync::mpsc::channel(4);
    (tx, Channel { rx, left: length, frame: Frame::data }.boxed_unsync())
}

/// The same for frames, of which the last may be trailers.
#[must_use]
pub fn channel_with_trailers(length: Option<u64>) -> (tokio::sync::mpsc::Sender<io::Result<Frame<Bytes>>>, Body) {
    let (tx, rx) = tokio::sync::mpsc::channel(4);
    (tx, Channel { rx, left: length, frame: std::convert::identity }.boxed_unsync())
}

struct Channel<T> {
    rx: tokio::sync::mpsc::Receiver<io::Result<T>>,
    left: Option<u64>,
    frame: fn(T) -> Frame<Bytes>,
}

impl<T> hyper::body::Body for Channel<T> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match std::task::ready!(self.rx.poll_recv(cx)) {
            Some(Ok(item)) => {
                let frame = (self.frame)(item);
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(len));
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.left = None;
                Poll::Ready(Some(Err(error)))
            }
            // A promised length that does not arrive is an error: the client must not take it for the whole.
            None if self.left.is_some_and(|left| left > 0) => {
                self.left = None;
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source ended early"))))
            }
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.left.map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact)
    }
}

/// A body that is begun when it is first asked for. A client that waits for "100 Continue" is told so only
/// then, so a request that is refused before must not have asked.
pub(crate) fn on_demand(length: Option<u64>, begin: impl FnOnce() -> Body + Send + 'static) -> Body {
    OnDemand { begin: Some(Box::new(begin)), body: empty(), length }.boxed_unsync()
}

struct OnDemand {
    begin: Option<Box<dyn FnOnce() -> Body + Send>>,
    body: Body,
    length: Option<u64>,
}

impl hyper::body::Body for OnDemand {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(begin) = self.begin.take() {
            self.body = begin();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match (&self.begin, self.length) {
            (Some(_), Some(length)) => hyper::body::SizeHint::with_exact(length),
            (Some(_), None) => hyper::body::SizeHint::default(),
            (None, _) => self.body.size_hint(),
        }
    }
}

/// The whole body, or `None` when it is longer than `limit` bytes.
///
/// # Errors
/// When the connection fails.
pub async fn collect(mut body: Body, limit: usize) -> io::Result<Option<Bytes>> {
    if body.size_hint().lower() > limit as u64 {
        return Ok(None);
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let held = first.as_ref().map_or(0, Bytes::len) + rest.len();
        if held + data.len() > limit {
            return Ok(None);
        }
        match &first {
            None => first = Some(data),
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    Ok(Some(match first {
        None => Bytes::new(),
        Some(first) if rest.is_empty() => first,
        Some(first) => {
            let mut all = BytesMut::with_capacity(first.len() + rest.len());
            all.extend_from_slice(&first);
            all.extend_from_slice(&rest);
            all.freeze()
        }
    }))
}
