//! A stream whose other end must go on taking what is written: a client that never reads its answer loses its
//! connection and, with it, its place.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// A stream that fails once nothing of what is to be written could be for `idle`.
pub(crate) struct Steady<S> {
    stream: S,
    idle: Duration,
    /// Made when it is first needed, which for most connections is never.
    patience: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl<S> Steady<S> {
    pub(crate) fn new(stream: S, idle: Duration) -> Self {
        Self { stream, idle, patience: None, waits: false }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = false;
            return polled;
        }
        let end = Instant::now() + self.idle;
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !std::mem::replace(&mut self.waits, true) {
            patience.as_mut().reset(end);
        }
        std::task::ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing more of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Steady<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Steady<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, polled)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, polled)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, polled)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const IDLE: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_given_up_when_the_time_is_over() {
        let (_client, server) = tokio::io::duplex(16);
        let mut server = Steady::new(server, IDLE);
        let begun = Instant::now();
        server.write_all(&[7; 16]).await.unwrap();
        let error = server.write_all(&[7; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waited = begun.elapsed();
        assert!(waited >= IDLE && waited < IDLE + Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_it_all() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut server = Steady::new(server, IDLE);
        let writing = tokio::spawn(async move { server.write_all(&[7; 160]).await });
        let mut got = 0;
        while got < 160 {
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
            got += client.read(&mut [0; 16]).await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }
}
