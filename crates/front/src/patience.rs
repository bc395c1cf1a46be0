//! Request bodies that must go on arriving: a client that says nothing for too long loses its request
//! and, with it, its place.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, SizeHint};
use tenantry_kernel::Body;
use tokio::time::{Instant, Sleep};

/// The timer of a connection's bodies, one after the other: that it runs on between them is cheaper than to make one for each.
#[derive(Default)]
pub(crate) struct Timer(Mutex<Option<Pin<Box<Sleep>>>>);

impl Timer {
    fn held(&self) -> std::sync::MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `body`, which fails once nothing of it has arrived for `idle`; and whether anybody has asked for it yet.
pub(crate) fn patient<B>(body: B, idle: Duration, timer: &Arc<Timer>) -> (Body, Arc<AtomicBool>)
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let patient = Patient { body, idle, patience: None, waits: false, timer: Arc::clone(timer), asked: Arc::clone(&asked) };
    (patient.boxed_unsync(), asked)
}

struct Patient<B> {
    body: B,
    idle: Duration,
    /// The connection's, while this body waits for more.
    patience: Option<Pin<Box<Sleep>>>,
    waits: bool,
    timer: Arc<Timer>,
    asked: Arc<AtomicBool>,
}

impl<B> hyper::body::Body for Patient<B>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.asked.store(true, Ordering::Relaxed);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let end = Instant::now() + this.idle;
        if this.patience.is_none() {
            this.patience = this.timer.held().take();
        }
        let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !std::mem::replace(&mut this.waits, true) {
            patience.as_mut().reset(end);
        }
        std::task::ready!(patience.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing more of its request"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Patient<B> {
    fn drop(&mut self) {
        if let Some(patience) = self.patience.take() {
            *self.timer.held() = Some(patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let (sender, body) = tenantry_kernel::channel(Some(10));
        let (mut body, asked) = patient(body, IDLE, &Arc::default());
        assert!(!asked.load(Ordering::Relaxed));
        sender.send(Ok(Bytes::from_static(b"12345"))).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(asked.load(Ordering::Relaxed));
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_body_of_a_connection_has_all_its_time() {
        let timer = Arc::new(Timer::default());
        for _ in 0..3 {
            let begun = Instant::now();
            let (_sender, body) = tenantry_kernel::channel(Some(10));
            let (mut body, _) = patient(body, IDLE, &timer);
            assert!(tokio::time::timeout(IDLE - Duration::from_secs(1), body.frame()).await.is_err(), "not before its time");
            assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < IDLE + Duration::from_secs(1));
            drop(body);
            assert!(timer.held().is_some(), "the timer is there for the next");
            tokio::time::sleep(IDLE / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_not() {
        let (sender, body) = tenantry_kernel::channel(None);
        let (body, _) = patient(body, IDLE, &Arc::default());
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
                sender.send(Ok(Bytes::from_static(b"1"))).await.unwrap();
            }
        });
        assert_eq!(tenantry_kernel::collect(body, 100).await.unwrap().unwrap().len(), 10);
    }
}
