//! Records behind the answers: many events in one commit, in the order in which their calls ended.

use std::{sync::Arc, time::Duration};

use tenantry_core::Timestamp;
use tenantry_store::{Batch, EventKey, Row, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::put_denial;

/// Events that wait; past this many a caller waits too.
const WAITING: usize = 8192;
/// KiB that wait together, whatever their number.
const WAITING_KIB: u32 = 64 * 1024;
/// Events that are stored in one commit.
const TOGETHER: usize = 1024;
/// How long the first of a batch waits for others: what a commit costs is shared.
const GATHER: Duration = Duration::from_millis(20);
/// How often a commit that fails is tried again before its events are given up, and said to be.
const ATTEMPTS: u32 = 5;

/// What is recorded of one call.
pub(crate) struct Entry {
    pub(super) time: Timestamp,
    pub(super) text: String,
    pub(super) keys: Vec<EventKey>,
    pub(super) denials: Vec<Row>,
}

impl Entry {
    fn kib(&self) -> u32 {
        let bytes = self.text.len() + self.denials.iter().map(|row| row.body_text().len()).sum::<usize>();
        u32::try_from(bytes / 1024 + 1).unwrap_or(WAITING_KIB).min(WAITING_KIB)
    }
}

enum Message {
    Entry(Entry, OwnedSemaphorePermit),
    Flush(oneshot::Sender<()>),
}

/// Stores events behind the answers.
pub(crate) struct Recorder {
    sender: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

/// How much waits to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Events.
    pub events: usize,
}

impl Recorder {
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Message>(WAITING);
        tokio::spawn(async move {
            let mut messages = Vec::with_capacity(TOGETHER);
            while receiver.recv_many(&mut messages, TOGETHER).await > 0 {
                if messages.len() < TOGETHER && !messages.iter().any(|message| matches!(message, Message::Flush(_))) {
                    tokio::time::sleep(GATHER).await;
                    while messages.len() < TOGETHER
                        && let Ok(message) = receiver.try_recv()
                    {
                        messages.push(message);
                    }
                }
                store_all(&*store, messages.drain(..)).await;
            }
        });
        Self { sender, room: Arc::new(Semaphore::new(WAITING_KIB as usize)) }
    }

    /// Takes an event. Waits while too much waits already.
    pub(super) async fn record(&self, entry: Entry) {
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(entry.kib()).await else { return };
        let _closed = self.sender.send(Message::Entry(entry, room)).await;
    }

    /// The same where nobody can wait.
    pub(super) fn record_at_once(&self, entry: Entry) {
        let room = Arc::clone(&self.room).try_acquire_many_owned(entry.kib());
        if room.ok().is_none_or(|room| self.sender.try_send(Message::Entry(entry, room)).is_err()) {
            tracing::error!("an abandoned request cannot be recorded: too many events wait");
        }
    }

    /// Returns when everything that was taken before is stored.
    pub(crate) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        if self.sender.send(Message::Flush(sender)).await.is_ok() {
            let _stopped = done.await;
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        Waiting { events: self.sender.max_capacity() - self.sender.capacity() }
    }
}

async fn store_all(store: &dyn Store, messages: impl Iterator<Item = Message>) {
    let (mut entries, mut flushed, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        match message {
            Message::Entry(entry, room) => {
                entries.push(entry);
                rooms.push(room);
            }
            Message::Flush(done) => flushed.push(done),
        }
    }
    for attempt in 1..=ATTEMPTS {
        if entries.is_empty() {
            break;
        }
        let mut batch = Batch::new();
        batch.behind();
        for entry in &entries {
            for row in &entry.denials {
                put_denial(&mut batch, row.clone());
            }
            batch.event_under(entry.time, entry.text.clone(), entry.keys.clone());
        }
        match store.commit(batch).await {
            Ok(()) => break,
            Err(error) if attempt < ATTEMPTS => {
                tracing::warn!(%error, attempt, "events cannot be recorded yet");
                tokio::time::sleep(GATHER * 4_u32.pow(attempt)).await;
            }
            Err(error) => tracing::error!(%error, events = entries.len(), "events cannot be recorded"),
        }
    }
    for done in flushed {
        // Whoever asked may have stopped waiting.
        let _gone = done.send(());
    }
}
