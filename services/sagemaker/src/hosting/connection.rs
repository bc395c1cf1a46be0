//! HTTP to a container: connections through the engine, kept and used again.
//!
//! A request that certainly never reached the container (its kept connection had been closed) is sent once
//! more over a new one; any other failure is an answer, because the container may have acted. Requests at a
//! time and kept connections are bounded; so is what an answer may have.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tenantry_compute::Compute;
use tenantry_kernel::{Body, channel, full};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Kept connections of one instance. Each occupies a thread of a small server.
const MAX_IDLE: usize = 16;
/// Kept connections are not used after this: servers close idle ones about then.
const KEPT: Duration = Duration::from_secs(30);
/// Answers up to this are read whole before the client hears of them, so that a broken one can still become an error.
const HELD: usize = 1 << 20;
/// Headers of an answer, in bytes.
const MAX_HEADERS: usize = 64 << 10;

type Sender = SendRequest<Full<Bytes>>;

/// Connections to one sandbox's port.
pub(crate) struct Connections {
    engine: Arc<dyn Compute>,
    idle: Mutex<Vec<(Sender, Instant)>>,
    places: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Nobody listens.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke after the request was sent.
    #[error("the connection to the container was closed before it answered: {0}")]
    Broken(hyper::Error),
    /// Out of time.
    #[error(
        "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
    )]
    Late,
    /// The answer is too long.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// As sent.
    pub headers: HeaderMap,
    body: Incoming,
    sender: Sender,
    home: Arc<Connections>,
    place: OwnedSemaphorePermit,
    deadline: Instant,
}

impl Connections {
    /// To a sandbox that takes so many requests at a time.
    pub fn new(engine: Arc<dyn Compute>, at_a_time: usize) -> Self {
        Self { engine, idle: Mutex::default(), places: Arc::new(Semaphore::new(at_a_time)) }
    }

    /// Closes what is kept: the sandbox behind it is gone.
    pub fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn kept(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(sender, since)| since.elapsed() < KEPT && !sender.is_closed());
        idle.pop().map(|(sender, _)| sender)
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push((sender, Instant::now()));
        }
    }

    async fn connect(&self, workload: &str) -> Result<Sender, Unanswered> {
        let stream = self.engine.connect(workload, 0).await.map_err(|error| Unanswered::Unreachable(error.to_string()))?;
        let mut settings = http1::Builder::new();
        settings.max_buf_size(MAX_HEADERS.max(HELD));
        let (sender, connection) =
            settings.handshake(TokioIo::new(stream)).await.map_err(|error| Unanswered::Unreachable(error.to_string()))?;
        // It ends when the sender is dropped; what went wrong is told to whoever waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Sends a request to `workload` and waits for the head of its answer until `deadline`.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn send(self: &Arc<Self>, workload: &str, request: Request<Full<Bytes>>, deadline: Instant) -> Result<Answer, Unanswered> {
        match tokio::time::timeout_at(deadline, self.send_now(workload, request, deadline)).await {
            Ok(answered) => answered,
            Err(_) => Err(Unanswered::Late),
        }
    }

    async fn send_now(
        self: &Arc<Self>,
        workload: &str,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, Unanswered> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|closed| Unanswered::Unreachable(closed.to_string()))?;
        loop {
            let (mut sender, fresh) = match self.kept() {
                Some(sender) => (sender, false),
                None => (self.connect(workload).await?, true),
            };
            if sender.ready().await.is_err() && !fresh {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let home = Arc::clone(self);
                    return Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, sender, home, place, deadline });
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => {
                        // Most likely the container has ended: what is kept leads nowhere either.
                        self.clear();
                        return Err(Unanswered::Broken(failed.into_error()));
                    }
                },
            }
        }
    }
}

impl Answer {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Unanswered> {
        loop {
            match tokio::time::timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => return Err(Unanswered::Late),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Unanswered::Broken(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn done(self) {
        self.home.keep(self.sender);
        drop(self.place);
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn read(mut self, limit: usize) -> Result<Bytes, Unanswered> {
        let mut all = BytesMut::new();
        while let Some(data) = self.frame().await? {
            if all.len() + data.len() > limit {
                return Err(Unanswered::TooLong(limit));
            }
            all.extend_from_slice(&data);
        }
        self.done();
        Ok(all.freeze())
    }

    /// The beginning of the body, for errors: what is beyond `limit` is not read, and the connection not used again.
    pub async fn beginning(mut self, limit: usize) -> Bytes {
        let mut all = BytesMut::new();
        loop {
            match self.frame().await {
                Ok(Some(data)) => all.extend_from_slice(&data),
                Ok(None) => {
                    self.done();
                    break;
                }
                Err(_) => break,
            }
            if all.len() > limit {
                all.truncate(limit);
                break;
            }
        }
        all.freeze()
    }

    /// The body as it comes; a short one is waited for, so that one that breaks is an error still. `held` lives until its end.
    ///
    /// # Errors
    /// See [`Unanswered`]; later failures end the stream with an error.
    pub async fn stream(mut self, limit: usize, held: impl Send + 'static) -> Result<Body, Unanswered> {
        let mut first = BytesMut::new();
        while first.len() <= HELD.min(limit) {
            match self.frame().await? {
                Some(data) => first.extend_from_slice(&data),
                None => {
                    self.done();
                    return Ok(full(first.freeze()));
                }
            }
        }
        let length = self.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit as u64) || first.len() > limit {
            return Err(Unanswered::TooLong(limit));
        }
        let (sender, body) = channel(length);
        tokio::spawn(async move {
            let _held = held;
            let mut sent = first.len();
            let mut next = Ok(Some(first.freeze()));
            loop {
                let item = match next {
                    Ok(None) => return self.done(),
                    Ok(Some(data)) if sent <= limit => Ok(data),
                    Ok(Some(_)) => Err(std::io::Error::other(Unanswered::TooLong(limit))),
                    Err(error) => Err(std::io::Error::other(error)),
                };
                let failed = item.is_err();
                if sender.send(item).await.is_err() || failed {
                    return;
                }
                next = self.frame().await;
                sent += next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
            }
        });
        Ok(body)
    }

    /// Each part of the body as soon as it comes, turned into something by `each`; a failure ends it with what `broken` makes of it.
    pub fn parts(
        mut self,
        each: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
        broken: impl Fn(&Unanswered) -> Vec<u8> + Send + 'static,
        held: impl Send + 'static,
    ) -> Body {
        let (sender, body) = channel(None);
        tokio::spawn(async move {
            let _held = held;
            loop {
                let item = match self.frame().await {
                    Ok(Some(data)) => each(&data),
                    Ok(None) => return self.done(),
                    Err(error) => {
                        // Whoever does not listen any more is not told.
                        drop(sender.send(Ok(broken(&error).into())).await);
                        return;
                    }
                };
                if sender.send(Ok(item.into())).await.is_err() {
                    return;
                }
            }
        });
        body
    }
}
