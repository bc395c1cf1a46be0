//! Stored state: typed documents over a few tables, behind one trait.
//!
//! A write is a [`Batch`]: puts with expected versions, deletes, tags, unique names, secrets, log
//! lines, work items and audit events, applied all or not at all. There are no interactive
//! transactions, so that every backend behaves alike and passes one test suite: [`Sqlite`] is what
//! `serve` uses, [`Memory`] is what tests use to inject faults.
//!
//! What is not here: authorization (a [`Scope`](tenantry_core::Scope) comes from a permit and is
//! believed), the clock (instants are parameters), the bytes of objects (see the blob crate).
//!
//! Promises: a commit that returned `Ok` is durable and is seen by every later read; a commit that
//! returned a refusal changed nothing; "cannot read" is an error, never an empty answer.

mod audit;
mod batch;
mod error;
mod memory;
mod query;
mod row;
mod sqlite;
#[cfg(test)]
mod suite;

use std::{future::Future, pin::Pin};

pub use audit::{Event, EventKey, EventsBy, Verified, canonical_json, write_canonical_json, write_json_text};
pub use batch::{Batch, Expect, MAX_BODY_BYTES, MAX_ID_BYTES, MAX_WRITES};
pub use error::{CommitError, StoreError};
pub use memory::{Fault, Memory};
pub use query::{ByScope, Created, Entry, List, SeriesOrder, SeriesRead, SeriesStats, Work};
pub use row::{Kind, Row};
pub use sqlite::Sqlite;
use tenantry_core::{Scope, Secret, Tag, Timestamp};

/// What the methods of [`Store`] return; boxed, so that `dyn Store` works.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// The answer of a read.
pub type Read<'a, T> = Fut<'a, Result<T, StoreError>>;

/// All stored state. Used as `Arc<dyn Store>`.
pub trait Store: Send + Sync {
    /// One row, or `None` where there is none.
    fn get<'a>(&'a self, kind: Kind, scope: &'a Scope, id: &'a str) -> Read<'a, Option<Row>>;

    /// Rows ordered by the bytes of their ids, or by creation. See [`List`].
    fn list<'a>(&'a self, query: &'a List<'a>) -> Read<'a, Vec<Row>>;

    /// How many rows there are of a kind, of one parent where it is given. Linear in the answer.
    fn count<'a>(&'a self, kind: Kind, scope: ByScope<'a>, parent: Option<&'a str>) -> Read<'a, u64>;

    /// The tags of a resource, ordered by the bytes of their keys.
    fn tags<'a>(&'a self, arn: &'a str) -> Read<'a, Vec<Tag>>;

    /// Who holds a name that may exist once: a bucket's name, an access key's id.
    fn unique<'a>(&'a self, namespace: &'a str, name: &'a str) -> Read<'a, Option<String>>;

    /// A secret. Secrets have a table of their own: they are in no row and in no audit event.
    fn secret<'a>(&'a self, id: &'a str) -> Read<'a, Option<Secret<String>>>;

    /// Lines of a series (a log stream). See [`SeriesRead`]. A series that does not exist is empty.
    fn series_read<'a>(&'a self, query: &'a SeriesRead<'a>) -> Read<'a, Vec<Entry>>;

    /// The extent of a series, or `None` where nothing was ever appended (or it was deleted).
    fn series_stats<'a>(&'a self, series: &'a str) -> Read<'a, Option<SeriesStats>>;

    /// Audit events behind sequence number `after` in rising order; with `reverse`, those before it
    /// in falling order (`None`: from the newest).
    fn events(&self, after: Option<u64>, limit: usize, reverse: bool) -> Read<'_, Vec<Event>>;

    /// Audit events that were recorded under a key, newest first. See [`EventsBy`].
    fn events_by<'a>(&'a self, query: &'a EventsBy) -> Read<'a, Vec<Event>>;

    /// Recomputes the hash chain of the audit events, from where it was pruned last.
    ///
    /// It finds every change, removal and insertion but one: whoever can rewrite all events from some
    /// point on *and* the stored head. Against that, keep [`Verified::head`] elsewhere.
    fn verify_events(&self) -> Read<'_, Verified>;

    /// Work of a queue that could be claimed at `now`, in the order of claims. Claims nothing.
    fn work_due<'a>(&'a self, queue: &'a str, now: Timestamp, limit: usize) -> Read<'a, Vec<Work>>;

    /// When the next item of the queue can be claimed (which may be in the past).
    fn work_next<'a>(&'a self, queue: &'a str) -> Read<'a, Option<Timestamp>>;

    /// One item by its key, whether or not it is due.
    fn work_get<'a>(&'a self, queue: &'a str, key: &'a str) -> Read<'a, Option<Work>>;

    /// Takes the item that has been due for longest and leases it until `now + lease_ms`. Whoever is
    /// late finds that its token does not count any more ([`CommitError::LeaseLost`]). `lease_ms`
    /// under 1 counts as 1.
    fn claim<'a>(&'a self, queue: &'a str, now: Timestamp, lease_ms: i64) -> Read<'a, Option<Work>>;

    /// Applies a batch, in its order, all or not at all.
    fn commit(&self, batch: Batch) -> Fut<'_, Result<(), CommitError>>;

    /// A number that has changed whenever principals or policies may have: it rises with every commit
    /// that touches a kind beginning with `iam.`, `sts.`, `org.` or `policy.`, a unique name, a secret,
    /// or the tags of an `iam`, `sts` or `organizations` ARN. A new row of a kind beginning with `sts.`, and the names and
    /// secrets that come with it, are no change: nobody can have remembered them, but only what *was* there may be. Read it *before* loading what is cached
    /// under it. It starts anew with each process and is cheap (an atomic load).
    fn revision(&self) -> u64;

    /// Changes whenever a commit has enqueued, released or finished work; reconcilers wait on it
    /// instead of polling.
    fn work_signal(&self) -> tokio::sync::watch::Receiver<u64>;
}
