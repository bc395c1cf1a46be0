//! The store in memory, written apart from the SQL so that each checks the other, with faults on order.
//!
//! For tests: listings are linear, nothing survives the process. A crash of the process that uses it is played: from
//! [`Memory::crash`] on nothing is answered, until [`Memory::restart`] says that a new one has begun.

mod apply;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tenantry_core::{Scope, Secret, Tag, Timestamp};
use tokio::sync::watch;

use crate::{
    Batch, ByScope, CommitError, Entry, Event, EventsBy, Fut, Kind, List, Read, Row, SeriesOrder, SeriesRead, SeriesStats, Store,
    StoreError, Verified, Work,
    audit::{Checker, EventKey},
};

/// What goes wrong with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers `Unavailable` and was not applied.
    Before,
    /// It answers `Unavailable` though it was applied: the answer got lost.
    After,
    /// It takes so long, by tokio's clock.
    Delay(Duration),
    /// The process ends before it is applied, as by [`Memory::crash`].
    CrashBefore,
    /// The process ends right after it was applied.
    CrashAfter,
}

/// The store in memory.
pub struct Memory {
    state: Mutex<State>,
    faults: Mutex<BTreeMap<u64, Fault>>,
    commits: AtomicU64,
    failing_reads: Mutex<BTreeSet<u64>>,
    reads: AtomicU64,
    crashed: watch::Sender<bool>,
    revision: AtomicU64,
    signal: watch::Sender<u64>,
}

type RowKey = (Kind, Scope, String);
type Pair = (String, String);

#[derive(Default)]
struct State {
    rows: BTreeMap<RowKey, Row>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    unique: BTreeMap<Pair, String>,
    secrets: BTreeMap<String, Secret<String>>,
    series: BTreeMap<String, Series>,
    work: BTreeMap<Pair, Item>,
    token: u64,
    events: Vec<Event>,
    /// Sequence number and hash of the last event that was pruned.
    base: (u64, [u8; 32]),
    event_keys: BTreeSet<(EventKey, Timestamp, u64)>,
}

#[derive(Clone, Default)]
struct Series {
    last_seq: u64,
    lines: BTreeMap<u64, (Timestamp, String)>,
}

#[derive(Clone)]
struct Item {
    due: Timestamp,
    lease: Option<(Timestamp, u64)>,
    attempts: u32,
    /// Enqueued while it was leased.
    again: Option<Timestamp>,
}

impl Item {
    /// When it can be claimed.
    fn ready(&self) -> Timestamp {
        self.lease.map_or(self.due, |(until, _)| until)
    }
    fn work(&self, (queue, key): &Pair) -> Work {
        Work {
            queue: queue.clone(),
            key: key.clone(),
            due: self.due,
            leased_until: self.lease.map(|l| l.0),
            token: self.lease.map_or(0, |l| l.1),
            attempts: self.attempts,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            faults: Mutex::default(),
            commits: AtomicU64::new(0),
            failing_reads: Mutex::default(),
            reads: AtomicU64::new(0),
            crashed: watch::Sender::new(false),
            revision: AtomicU64::new(1),
            signal: watch::Sender::new(0),
        }
    }

    /// Lets the `nth` commit from now on (1 is the next) go wrong.
    pub fn inject(&self, nth: u64, fault: Fault) {
        let at = self.commits.load(Ordering::SeqCst) + nth;
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(at, fault);
    }

    /// How many commits were asked for so far, without those that record events behind answers.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Lets the `nth` read or claim from now on (1 is the next) answer `Unavailable`. A claim that fails claims nothing.
    pub fn inject_read(&self, nth: u64) {
        let at = self.reads.load(Ordering::SeqCst) + nth;
        self.failing_reads.lock().unwrap_or_else(PoisonError::into_inner).insert(at);
    }

    /// How many reads and claims were asked for so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Every item of every queue, for tests that look for what was forgotten.
    #[must_use]
    pub fn waiting(&self) -> Vec<Work> {
        self.state().work.iter().map(|(key, item)| item.work(key)).collect()
    }

    /// Takes back every fault that has not happened yet.
    pub fn heal(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.failing_reads.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The process that uses the store ends here: what it asks from now on is never answered and changes nothing.
    pub fn crash(&self) {
        self.crashed.send_replace(true);
    }

    /// Whether the process has crashed, and when it does.
    pub fn crashes(&self) -> watch::Receiver<bool> {
        self.crashed.subscribe()
    }

    /// A new process opens the store; whatever the former one left behind must not run any more. As with [`crate::Sqlite`],
    /// leases have ended with whoever held them.
    pub fn restart(&self) {
        self.state().end_leases();
        self.crashed.send_replace(false);
    }

    /// Answers a read: late, never, or not at all where that is ordered.
    fn read<'a, T: Send + 'a>(&'a self, read: impl FnOnce(&mut State) -> T) -> Read<'a, T> {
        if *self.crashed.borrow() {
            return Box::pin(std::future::pending());
        }
        let nth = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = self.failing_reads.lock().unwrap_or_else(PoisonError::into_inner).remove(&nth);
        let answer = if fails { Err(lost()) } else { Ok(read(&mut self.state())) };
        Box::pin(std::future::ready(answer))
    }

    /// A panic in here is a bug in the store and was reported as such; what is stored was undone or whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<(), CommitError> {
        batch.check()?;
        let (principals, work) = (batch.touches_principals(), batch.touches_work());
        self.state().apply(batch)?;
        if principals {
            self.revision.fetch_add(1, Ordering::SeqCst);
        }
        if work {
            self.signal.send_modify(|n| *n += 1);
        }
        Ok(())
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("an injected fault".to_owned())
}

impl Store for Memory {
    fn get<'a>(&'a self, kind: Kind, scope: &'a Scope, id: &'a str) -> Read<'a, Option<Row>> {
        self.read(|state| state.rows.get(&(kind, scope.clone(), id.to_owned())).cloned())
    }

    fn list<'a>(&'a self, query: &'a List<'a>) -> Read<'a, Vec<Row>> {
        self.read(|state| state.list(query))
    }

    fn count<'a>(&'a self, kind: Kind, scope: ByScope<'a>, parent: Option<&'a str>) -> Read<'a, u64> {
        let mut list = List::by(kind, scope);
        list.parent = parent;
        self.read(|state| state.list(&list).len() as u64)
    }

    fn tags<'a>(&'a self, arn: &'a str) -> Read<'a, Vec<Tag>> {
        self.read(|state| state.tags.get(arn).into_iter().flatten().map(|(k, v)| Tag::new(k, v)).collect())
    }

    fn unique<'a>(&'a self, namespace: &'a str, name: &'a str) -> Read<'a, Option<String>> {
        self.read(|state| state.unique.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    fn secret<'a>(&'a self, id: &'a str) -> Read<'a, Option<Secret<String>>> {
        self.read(|state| state.secrets.get(id).cloned())
    }

    fn series_read<'a>(&'a self, query: &'a SeriesRead<'a>) -> Read<'a, Vec<Entry>> {
        self.read(|state| state.series_read(query))
    }

    fn series_stats<'a>(&'a self, series: &'a str) -> Read<'a, Option<SeriesStats>> {
        self.read(|state| {
            state.series.get(series).map(|s| SeriesStats {
                last_seq: s.last_seq,
                count: s.lines.len() as u64,
                bytes: s.lines.values().map(|l| l.1.len() as u64).sum(),
                first_time: s.lines.values().map(|l| l.0).min(),
                last_time: s.lines.values().map(|l| l.0).max(),
            })
        })
    }

    fn events(&self, after: Option<u64>, limit: usize, reverse: bool) -> Read<'_, Vec<Event>> {
        self.read(|state| {
            if reverse {
                state.events.iter().rev().filter(|e| after.is_none_or(|a| e.seq < a)).take(limit).cloned().collect()
            } else {
                state.events.iter().filter(|e| after.is_none_or(|a| e.seq > a)).take(limit).cloned().collect()
            }
        })
    }

    fn events_by<'a>(&'a self, query: &'a EventsBy) -> Read<'a, Vec<Event>> {
        let wanted = |(key, time, seq): &&(EventKey, Timestamp, u64)| {
            *key == query.key
                && query.from.is_none_or(|from| *time >= from)
                && query.until.is_none_or(|until| *time <= until)
                && query.before.is_none_or(|before| (*time, *seq) < before)
        };
        self.read(|state| {
            let seqs = state.event_keys.iter().rev().filter(wanted).take(query.limit);
            seqs.filter_map(|(_, _, seq)| state.events.iter().find(|e| e.seq == *seq)).cloned().collect()
        })
    }

    fn verify_events(&self) -> Read<'_, Verified> {
        self.read(|state| {
            let mut checker = Checker::new(state.base);
            let _ = state.events.iter().all(|event| checker.take(event));
            checker.end(state.head())
        })
    }

    fn work_due<'a>(&'a self, queue: &'a str, now: Timestamp, limit: usize) -> Read<'a, Vec<Work>> {
        self.read(|state| {
            let mut due: Vec<_> = state.queue(queue).filter(|(_, item)| item.ready() <= now).collect();
            due.sort_by_key(|(key, item)| (item.ready(), *key));
            due.into_iter().take(limit).map(|(key, item)| item.work(key)).collect()
        })
    }

    fn work_next<'a>(&'a self, queue: &'a str) -> Read<'a, Option<Timestamp>> {
        self.read(|state| state.queue(queue).map(|(_, item)| item.ready()).min())
    }

    fn work_get<'a>(&'a self, queue: &'a str, key: &'a str) -> Read<'a, Option<Work>> {
        let pair = (queue.to_owned(), key.to_owned());
        self.read(|state| state.work.get(&pair).map(|item| item.work(&pair)))
    }

    fn claim<'a>(&'a self, queue: &'a str, now: Timestamp, lease_ms: i64) -> Read<'a, Option<Work>> {
        self.read(|state| state.claim(queue, now, lease_ms))
    }

    fn commit(&self, batch: Batch) -> Fut<'_, Result<(), CommitError>> {
        if *self.crashed.borrow() {
            return Box::pin(std::future::pending());
        }
        if batch.behind {
            return Box::pin(std::future::ready(self.apply(batch)));
        }
        let nth = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(&nth);
        let end = async || {
            self.crash();
            std::future::pending().await
        };
        Box::pin(async move {
            match fault {
                None => self.apply(batch),
                Some(Fault::Before) => Err(lost().into()),
                Some(Fault::After) => self.apply(batch).and(Err(lost().into())),
                Some(Fault::CrashBefore) => end().await,
                Some(Fault::CrashAfter) => {
                    let _nobody_hears = self.apply(batch);
                    end().await
                }
                Some(Fault::Delay(time)) => {
                    tokio::time::sleep(time).await;
                    if *self.crashed.borrow() {
                        return std::future::pending().await;
                    }
                    self.apply(batch)
                }
            }
        })
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    fn work_signal(&self) -> watch::Receiver<u64> {
        self.signal.subscribe()
    }
}

impl State {
    fn list(&self, query: &List<'_>) -> Vec<Row> {
        let starts = |id: &str| {
            let beyond = |mark: &str| if query.reverse { id < mark } else { id > mark };
            query.after.is_none_or(beyond) && query.from.is_none_or(|mark| mark == id || beyond(mark))
        };
        let wanted = |row: &&Row| {
            row.kind == query.kind
                && query.scope.holds(&row.scope)
                && query.parent.is_none_or(|p| row.parent == p)
                && row.id.starts_with(query.prefix)
                && starts(&row.id)
        };
        let mut rows: Vec<&Row> = self.rows.values().filter(wanted).collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.scope.cmp(&b.scope)));
        if let Some(created) = query.created {
            let beyond = |row: &Row, (time, id): (Timestamp, &str)| {
                let place = (row.created, row.id.as_str()).cmp(&(time, id));
                if query.reverse { place.is_lt() } else { place.is_gt() }
            };
            rows.retain(|row| created.after.is_none_or(|mark| beyond(row, mark)));
            rows.retain(|row| created.from.is_none_or(|t| row.created >= t) && created.until.is_none_or(|t| row.created <= t));
            rows.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        }
        if query.reverse {
            rows.reverse();
        }
        let mut end = query.limit.min(rows.len());
        while end > 0 && end < rows.len() && rows[end].id == rows[end - 1].id {
            end += 1;
        }
        rows[..end].iter().map(|row| (*row).clone()).collect()
    }

    fn series_read(&self, query: &SeriesRead<'_>) -> Vec<Entry> {
        let Some(series) = self.series.get(query.series) else { return Vec::new() };
        let key = |e: &Entry| match query.order {
            SeriesOrder::Seq(_) => (Timestamp::default(), e.seq),
            SeriesOrder::Time(_) => (e.time, e.seq),
        };
        let after = match query.order {
            SeriesOrder::Seq(after) => after.map(|seq| (Timestamp::default(), seq)),
            SeriesOrder::Time(after) => after,
        };
        let mut lines: Vec<Entry> = series
            .lines
            .iter()
            .map(|(seq, (time, text))| Entry { seq: *seq, time: *time, text: text.clone() })
            .filter(|e| query.from.is_none_or(|from| e.time >= from) && query.until.is_none_or(|until| e.time < until))
            .filter(|e| after.is_none_or(|after| if query.reverse { key(e) < after } else { key(e) > after }))
            .collect();
        lines.sort_by_key(key);
        if query.reverse {
            lines.reverse();
        }
        lines.truncate(query.limit);
        lines
    }

    fn queue<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = (&'a Pair, &'a Item)> {
        self.work.range((queue.to_owned(), String::new())..).take_while(move |(pair, _)| pair.0 == queue)
    }

    fn head(&self) -> (u64, [u8; 32]) {
        self.events.last().map_or(self.base, |event| (event.seq, event.hash))
    }
}
