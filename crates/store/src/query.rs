//! Questions to the store and what it answers, besides rows.

use tenantry_core::{AccountId, Scope, Timestamp};

use crate::Kind;

/// Whose rows are meant.
#[derive(Debug, Clone, Copy)]
pub enum ByScope<'a> {
    /// One account in one region.
    Exact(&'a Scope),
    /// One account in all regions. Scans all rows of the kind and account.
    Account(&'a AccountId),
    /// Everybody's: for the platform's own work, never for a request. Scans all rows of the kind.
    All,
}

impl ByScope<'_> {
    /// Whether a row of `scope` is meant.
    #[must_use]
    pub fn holds(&self, scope: &Scope) -> bool {
        match self {
            Self::Exact(wanted) => *wanted == scope,
            Self::Account(account) => **account == scope.account,
            Self::All => true,
        }
    }
}

/// A page of rows. `List::of(ROLE, &scope).prefix("/path/").after(marker).limit(100)`.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Rows of this kind.
    pub kind: Kind,
    /// Rows of these owners. Where several scopes are asked for, rows with the same id follow each
    /// other (by account, then region) and a page may exceed `limit` so as not to part them.
    pub scope: ByScope<'a>,
    /// Rows with this parent only.
    pub parent: Option<&'a str>,
    /// Rows whose id begins so.
    pub prefix: &'a str,
    /// Rows behind this id (in the direction of the listing), without it.
    pub after: Option<&'a str>,
    /// Rows from this id on (in the direction of the listing), with it.
    pub from: Option<&'a str>,
    /// At most so many. `usize::MAX` for all of them.
    pub limit: usize,
    /// From the greatest id down.
    pub reverse: bool,
    /// Ordered by when they were made instead of by id; of one scope only.
    pub created: Option<Created<'a>>,
}

/// Where a listing by creation begins and ends. Rows made at the same instant are ordered by their ids.
#[derive(Debug, Clone, Copy, Default)]
pub struct Created<'a> {
    /// Rows behind this one (in the direction of the listing), without it.
    pub after: Option<(Timestamp, &'a str)>,
    /// Rows made at this instant or later.
    pub from: Option<Timestamp>,
    /// Rows made at this instant or earlier.
    pub until: Option<Timestamp>,
}

impl<'a> List<'a> {
    /// All rows of a kind in a scope.
    #[must_use]
    pub const fn of(kind: Kind, scope: &'a Scope) -> Self {
        Self::by(kind, ByScope::Exact(scope))
    }
    /// All rows of a kind.
    #[must_use]
    pub const fn by(kind: Kind, scope: ByScope<'a>) -> Self {
        Self { kind, scope, parent: None, prefix: "", after: None, from: None, limit: usize::MAX, reverse: false, created: None }
    }
    /// With this parent.
    #[must_use]
    pub const fn parent(mut self, parent: &'a str) -> Self {
        self.parent = Some(parent);
        self
    }
    /// Whose id begins so.
    #[must_use]
    pub const fn prefix(mut self, prefix: &'a str) -> Self {
        self.prefix = prefix;
        self
    }
    /// Behind this id.
    #[must_use]
    pub const fn after(mut self, after: Option<&'a str>) -> Self {
        self.after = after;
        self
    }
    /// From this id on, with it.
    #[must_use]
    pub const fn from(mut self, from: Option<&'a str>) -> Self {
        self.from = from;
        self
    }
    /// At most so many.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
    /// Ordered by when they were made.
    #[must_use]
    pub const fn by_creation(mut self, created: Created<'a>) -> Self {
        self.created = Some(created);
        self
    }
    /// From the greatest id down.
    #[must_use]
    pub const fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }
}

/// A line of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without gaps, in the order of appending.
    pub seq: u64,
    /// As given by whoever appended; need not rise.
    pub time: Timestamp,
    /// The line.
    pub text: String,
}

/// In which order lines come, and behind which line they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOrder {
    /// As appended, behind this sequence number.
    Seq(Option<u64>),
    /// By time, then as appended; behind this line.
    Time(Option<(Timestamp, u64)>),
}

/// A page of lines.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRead<'a> {
    /// The series.
    pub series: &'a str,
    /// Order and cursor.
    pub order: SeriesOrder,
    /// Lines of this instant and later.
    pub from: Option<Timestamp>,
    /// Lines before this instant.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// Backwards; the cursor then is the line *before* which they begin.
    pub reverse: bool,
}

impl<'a> SeriesRead<'a> {
    /// The lines behind sequence number `after`, as appended.
    #[must_use]
    pub const fn behind(series: &'a str, after: u64, limit: usize) -> Self {
        Self { series, order: SeriesOrder::Seq(Some(after)), from: None, until: None, limit, reverse: false }
    }
    /// The newest lines, newest first.
    #[must_use]
    pub const fn newest(series: &'a str, limit: usize) -> Self {
        Self { series, order: SeriesOrder::Seq(None), from: None, until: None, limit, reverse: true }
    }
    /// The lines of `from <= time < until` by time.
    #[must_use]
    pub const fn between(series: &'a str, from: Option<Timestamp>, until: Option<Timestamp>, limit: usize) -> Self {
        Self { series, order: SeriesOrder::Time(None), from, until, limit, reverse: false }
    }
}

/// The extent of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesStats {
    /// The sequence number of the last line ever appended.
    pub last_seq: u64,
    /// How many lines there are (fewer than `last_seq` once it was trimmed).
    pub count: u64,
    /// The bytes of their texts.
    pub bytes: u64,
    /// The earliest time of a line; `None` when all lines were trimmed.
    pub first_time: Option<Timestamp>,
    /// The latest time of a line.
    pub last_time: Option<Timestamp>,
}

/// An item of a work queue. At most one per `(queue, key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The reconciler's queue.
    pub queue: String,
    /// What it is about: the key of a row, as the reconciler writes it.
    pub key: String,
    /// When it was to be done.
    pub due: Timestamp,
    /// Until when it is leased; `None` where it is not.
    pub leased_until: Option<Timestamp>,
    /// The fencing token of the lease: greater with each claim; 0 where it is not leased.
    pub token: u64,
    /// Claims since it was enqueued or last released with progress, this one included: a count that
    /// keeps growing is a step that keeps failing or dying.
    pub attempts: u32,
}
