//! Request bodies that must go on arriving: a client that says nothing for too long loses its request
//! and, with it, its place.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, SizeHint};
use tenantry_kernel::Body;
use tokio::time::{Instant, Sleep};

/// `body`, which fails once nothing of it has arrived for `idle`; and whether anybody has asked for it yet.
pub(crate) fn patient<B>(body: B, idle: Duration) -> (Body, Arc<AtomicBool>)
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let body = body.map_err(io::Error::other).boxed_unsync();
    let asked = Arc::new(AtomicBool::new(false));
    let patient = Patient { body, idle, patience: Box::pin(tokio::time::sleep(idle)), asked: Arc::clone(&asked) };
    (patient.boxed_unsync(), asked)
}

struct Patient {
    body: Body,
    idle: Duration,
    patience: Pin<Box<Sleep>>,
    asked: Arc<AtomicBool>,
}

impl hyper::body::Body for Patient {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.asked.store(true, Ordering::Relaxed);
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = Instant::now() + self.idle;
            self.patience.as_mut().reset(next);
            return Poll::Ready(frame);
        }
        std::task::ready!(self.patience.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing more of its request"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let (sender, body) = tenantry_kernel::channel(Some(10));
        let (mut body, asked) = patient(body, IDLE);
        assert!(!asked.load(Ordering::Relaxed));
        sender.send(Ok(Bytes::from_static(b"12345"))).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(asked.load(Ordering::Relaxed));
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_not() {
        let (sender, body) = tenantry_kernel::channel(None);
        let (body, _) = patient(body, IDLE);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
                sender.send(Ok(Bytes::from_static(b"1"))).await.unwrap();
            }
        });
        assert_eq!(tenantry_kernel::collect(body, 100).await.unwrap().unwrap().len(), 10);
    }
}
