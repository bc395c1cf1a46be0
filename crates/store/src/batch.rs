//! A batch: everything that one operation changes, applied all or not at all.

use serde_json::Value;
use tenantry_core::{Scope, Secret, Tag, Timestamp};

use crate::{
    CommitError, Kind, Row, StoreError, Work,
    audit::{EventKey, canonical_json},
};

/// The longest id or parent: an S3 key (1,024) with its bucket and version, and room.
pub const MAX_ID_BYTES: usize = 4096;
/// The largest body of a row, line of a series or audit event.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The most writes in one batch.
pub const MAX_WRITES: usize = 100_000;

/// What must be stored for a write to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No such row; else `Conflict`.
    Absent,
    /// The row with this version; else `Conflict` (also where there is none).
    Version(u64),
    /// The row, whatever its version; else `NotFound`.
    Present,
    /// Anything, also nothing.
    Any,
}

/// Why a row is not as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Conflict,
    NotFound,
}

impl Refusal {
    pub(crate) fn of(self, kind: Kind, id: &str) -> CommitError {
        let id = id.to_owned();
        match self {
            Self::Conflict => CommitError::Conflict { kind, id },
            Self::NotFound => CommitError::NotFound { kind, id },
        }
    }
}

impl Expect {
    /// Holds this against the version that is stored, if one is.
    pub(crate) fn judge(self, stored: Option<u64>) -> Result<(), Refusal> {
        match (self, stored) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Version(wanted), Some(version)) if wanted == version => Ok(()),
            (Self::Absent | Self::Version(_), _) => Err(Refusal::Conflict),
            (Self::Present, None) => Err(Refusal::NotFound),
        }
    }
}

/// One write. Backends apply these in order.
pub(crate) enum Write {
    Put { row: Row, expect: Expect },
    Delete { kind: Kind, scope: Scope, id: String, expect: Expect },
    Require { kind: Kind, scope: Scope, id: String, expect: Expect },
    RequireNone { kind: Kind, scope: Scope, parent: String },
    SetTags { arn: String, tags: Vec<Tag> },
    MergeTags { arn: String, tags: Vec<Tag> },
    RemoveTags { arn: String, keys: Vec<String> },
    Claim { namespace: String, name: String, owner: String },
    Release { namespace: String, name: String },
    PutSecret { id: String, value: Secret<String> },
    DeleteSecret { id: String },
    Append { series: String, lines: Vec<(Timestamp, String)> },
    Trim { series: String, before: Timestamp },
    DeleteSeries { series: String },
    Enqueue { queue: String, key: String, due: Timestamp },
    Cancel { queue: String, key: String },
    Settle { queue: String, key: String, token: u64, how: Settle },
    Event { time: Timestamp, json: String, keys: Vec<EventKey> },
    PruneEvents { time: Timestamp, through: u64 },
}

/// What becomes of a leased work item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settle {
    Finish,
    /// Due again; the count of attempts starts anew.
    Release(Timestamp),
    /// Due again; the count of attempts stays.
    Retry(Timestamp),
    /// Still leased.
    Extend(Timestamp),
}

/// Everything that one operation changes. Writes take effect in the order in which they were added:
/// a later one sees the earlier ones.
#[derive(Default)]
pub struct Batch {
    pub(crate) writes: Vec<Write>,
    pub(crate) behind: bool,
}

impl Batch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Whether it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
    fn add(&mut self, write: Write) -> &mut Self {
        self.writes.push(write);
        self
    }
    /// Adds the writes of another batch behind these.
    pub fn append_batch(&mut self, other: Self) -> &mut Self {
        self.writes.extend(other.writes);
        self.behind &= other.behind;
        self
    }

    /// Writes a row. Its version becomes one more than what was stored, or 1.
    pub fn put(&mut self, row: Row, expect: Expect) -> &mut Self {
        self.add(Write::Put { row, expect })
    }
    /// Writes a row that was read: it must still have the version it was read with.
    pub fn update(&mut self, row: Row) -> &mut Self {
        let expect = Expect::Version(row.version);
        self.put(row, expect)
    }
    /// Removes a row (but not what names it as parent, nor its tags, names or secrets).
    pub fn delete(&mut self, kind: Kind, scope: &Scope, id: impl Into<String>, expect: Expect) -> &mut Self {
        self.add(Write::Delete { kind, scope: scope.clone(), id: id.into(), expect })
    }
    /// Changes nothing, but lets the batch fail where the row is not as expected.
    pub fn require(&mut self, kind: Kind, scope: &Scope, id: impl Into<String>, expect: Expect) -> &mut Self {
        self.add(Write::Require { kind, scope: scope.clone(), id: id.into(), expect })
    }
    /// Lets the batch fail with `NotEmpty` where a row of this kind has this parent.
    pub fn require_none(&mut self, kind: Kind, scope: &Scope, parent: impl Into<String>) -> &mut Self {
        self.add(Write::RequireNone { kind, scope: scope.clone(), parent: parent.into() })
    }

    /// Makes these the resource's tags. An empty list removes them all.
    pub fn set_tags(&mut self, arn: impl Into<String>, tags: Vec<Tag>) -> &mut Self {
        self.add(Write::SetTags { arn: arn.into(), tags })
    }
    /// Adds tags; a key that is there gets the new value.
    pub fn merge_tags(&mut self, arn: impl Into<String>, tags: Vec<Tag>) -> &mut Self {
        self.add(Write::MergeTags { arn: arn.into(), tags })
    }
    /// Removes tags by key; keys that are not there do not matter.
    pub fn remove_tags(&mut self, arn: impl Into<String>, keys: Vec<String>) -> &mut Self {
        self.add(Write::RemoveTags { arn: arn.into(), keys })
    }

    /// Takes a name for `owner`; `UniqueTaken` where somebody else has it. Taking one's own again changes nothing.
    pub fn claim_unique(&mut self, namespace: impl Into<String>, name: impl Into<String>, owner: impl Into<String>) -> &mut Self {
        self.add(Write::Claim { namespace: namespace.into(), name: name.into(), owner: owner.into() })
    }
    /// Gives a name back, whoever has it.
    pub fn release_unique(&mut self, namespace: impl Into<String>, name: impl Into<String>) -> &mut Self {
        self.add(Write::Release { namespace: namespace.into(), name: name.into() })
    }

    /// Stores a secret in place of what was there.
    pub fn put_secret(&mut self, id: impl Into<String>, value: Secret<String>) -> &mut Self {
        self.add(Write::PutSecret { id: id.into(), value })
    }
    /// Removes a secret.
    pub fn delete_secret(&mut self, id: impl Into<String>) -> &mut Self {
        self.add(Write::DeleteSecret { id: id.into() })
    }

    /// Appends lines to a series, which begins to exist with its first append (also of no lines).
    pub fn append(&mut self, series: impl Into<String>, lines: Vec<(Timestamp, String)>) -> &mut Self {
        self.add(Write::Append { series: series.into(), lines })
    }
    /// Removes the lines from before an instant. Sequence numbers stay.
    pub fn trim_series(&mut self, series: impl Into<String>, before: Timestamp) -> &mut Self {
        self.add(Write::Trim { series: series.into(), before })
    }
    /// Removes a series; if it comes to exist again it starts at 1.
    pub fn delete_series(&mut self, series: impl Into<String>) -> &mut Self {
        self.add(Write::DeleteSeries { series: series.into() })
    }

    /// Makes an item due at `due`, or sooner if it already is. While it is leased the wish is kept and
    /// comes true when the lease ends, so that nothing that happens during a step is overlooked.
    pub fn enqueue(&mut self, queue: impl Into<String>, key: impl Into<String>, due: Timestamp) -> &mut Self {
        self.add(Write::Enqueue { queue: queue.into(), key: key.into(), due })
    }
    /// Removes an item, leased or not.
    pub fn cancel_work(&mut self, queue: impl Into<String>, key: impl Into<String>) -> &mut Self {
        self.add(Write::Cancel { queue: queue.into(), key: key.into() })
    }
    fn settle(&mut self, work: &Work, how: Settle) -> &mut Self {
        self.add(Write::Settle { queue: work.queue.clone(), key: work.key.clone(), token: work.token, how })
    }
    /// The claimed item is done. `LeaseLost` where its token does not count any more, as for the next three.
    pub fn finish_work(&mut self, work: &Work) -> &mut Self {
        self.settle(work, Settle::Finish)
    }
    /// The step went well and is to run again at `due`.
    pub fn release_work(&mut self, work: &Work, due: Timestamp) -> &mut Self {
        self.settle(work, Settle::Release(due))
    }
    /// The step failed and is to run again at `due`; [`Work::attempts`] goes on counting.
    pub fn retry_work(&mut self, work: &Work, due: Timestamp) -> &mut Self {
        self.settle(work, Settle::Retry(due))
    }
    /// Keeps the lease until `until`. Also the way to let writes count only while the lease holds.
    pub fn extend_work(&mut self, work: &Work, until: Timestamp) -> &mut Self {
        self.settle(work, Settle::Extend(until))
    }

    /// An audit event. It gets the next sequence number and is chained to the one before it.
    pub fn event(&mut self, time: Timestamp, json: &Value) -> &mut Self {
        self.event_under(time, canonical_json(json), Vec::new())
    }
    /// The same with a document that is [`canonical_json`] already, found by [`crate::Store::events_by`] under `keys`.
    /// The keys are derived from the document and stand outside the chain.
    pub fn event_under(&mut self, time: Timestamp, json: String, keys: Vec<EventKey>) -> &mut Self {
        self.add(Write::Event { time, json, keys })
    }
    /// Removes the events up to and with `through` (all but the newest at most). The chain begins behind
    /// them from now on, and an event that is added says so: [`crate::Store::verify_events`] compares. Where
    /// they are not whole the batch fails as `Corrupt`.
    /// Takes as long as there are events to remove: prune some thousands at a time.
    pub fn prune_events(&mut self, time: Timestamp, through: u64) -> &mut Self {
        self.add(Write::PruneEvents { time, through })
    }
    /// Nobody waits for this batch: faults that are ordered of [`crate::Memory`] pass it by, so that tests
    /// that count commits need not know what is recorded behind answers.
    pub fn behind(&mut self) -> &mut Self {
        self.behind = true;
        self
    }

    /// What every backend refuses alike before it begins.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let too =
            |what: &str, len: usize, most: usize| Err(StoreError::Invalid(format!("{what} has {len} bytes, of which {most} are allowed")));
        if self.writes.len() > MAX_WRITES {
            return Err(StoreError::Invalid(format!("a batch of {} writes: split it at {MAX_WRITES}", self.writes.len())));
        }
        for write in &self.writes {
            let (ids, body): ([&str; 2], usize) = match write {
                Write::Put { row, .. } => ([&row.id, &row.parent], row.body_text().len()),
                Write::Delete { id, .. } | Write::Require { id, .. } | Write::PutSecret { id, .. } | Write::DeleteSecret { id } => {
                    ([id, ""], 0)
                }
                Write::RequireNone { parent, .. } => ([parent, ""], 0),
                Write::SetTags { arn, .. } | Write::MergeTags { arn, .. } | Write::RemoveTags { arn, .. } => ([arn, ""], 0),
                Write::Claim { namespace, name, .. } | Write::Release { namespace, name } => ([namespace, name], 0),
                Write::Append { series, lines } => ([series, ""], lines.iter().map(|(_, text)| text.len()).max().unwrap_or(0)),
                Write::Trim { series, .. } | Write::DeleteSeries { series } => ([series, ""], 0),
                Write::Enqueue { queue, key, .. } | Write::Cancel { queue, key } | Write::Settle { queue, key, .. } => ([queue, key], 0),
                Write::Event { json, .. } => (["", ""], json.len()),
                Write::PruneEvents { .. } => (["", ""], 0),
            };
            for id in ids {
                if id.len() > MAX_ID_BYTES {
                    return too("an id", id.len(), MAX_ID_BYTES);
                }
            }
            if body > MAX_BODY_BYTES {
                return too("a document", body, MAX_BODY_BYTES);
            }
        }
        Ok(())
    }

    /// Whether caches of principals and policies must be dropped; see [`crate::Store::revision`].
    pub(crate) fn touches_principals(&self) -> bool {
        let kind = |kind: &Kind| ["iam.", "sts.", "org.", "policy."].iter().any(|prefix| kind.as_str().starts_with(prefix));
        let arn = |arn: &str| matches!(arn.split(':').nth(2), Some("iam" | "sts" | "organizations"));
        // Temporary credentials that are new were never remembered, and there are many of them: every AssumeRole and
        // every job makes some. Their secrets come with them.
        let fresh = |row: &Row, expect: &Expect| row.kind.as_str().starts_with("sts.") && *expect == Expect::Absent;
        let with_fresh = self.writes.iter().any(|write| matches!(write, Write::Put { row, expect } if fresh(row, expect)));
        self.writes.iter().any(|write| match write {
            Write::Put { row, expect } => kind(&row.kind) && !fresh(row, expect),
            Write::Delete { kind: k, .. } => kind(k),
            Write::SetTags { arn: a, .. } | Write::MergeTags { arn: a, .. } | Write::RemoveTags { arn: a, .. } => arn(a),
            Write::Claim { .. } | Write::PutSecret { .. } => !with_fresh,
            Write::Release { .. } | Write::DeleteSecret { .. } => true,
            _ => false,
        })
    }

    /// Whether reconcilers should look.
    pub(crate) fn touches_work(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::Enqueue { .. } | Write::Settle { .. }))
    }
}
