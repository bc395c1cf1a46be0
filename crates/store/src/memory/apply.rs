//! Writes in memory. Each leaves behind how to undo it, for the batch that fails half way.

use std::collections::BTreeMap;

use tenantry_core::{Tag, Timestamp};

use super::{Item, Pair, Series, State};
use crate::{
    Batch, CommitError, Event, EventKey, Expect, Row, Work,
    audit::{checkpoint, link, whole},
    batch::{Settle, Write},
};

type Undo = Vec<Box<dyn FnOnce(&mut State)>>;

/// Stores or removes one value of one map, remembering the old one.
fn swap<K: Ord + Clone + 'static, V: 'static>(
    state: &mut State,
    undo: &mut Undo,
    map: fn(&mut State) -> &mut BTreeMap<K, V>,
    key: K,
    new: Option<V>,
) {
    let old = match new {
        Some(value) => map(state).insert(key.clone(), value),
        None => map(state).remove(&key),
    };
    undo.push(Box::new(move |state| {
        match old {
            Some(value) => map(state).insert(key, value),
            None => map(state).remove(&key),
        };
    }));
}

impl State {
    pub(super) fn apply(&mut self, batch: Batch) -> Result<(), CommitError> {
        let mut undo = Undo::new();
        let done = batch.writes.into_iter().try_for_each(|write| self.write(write, &mut undo));
        if done.is_err() {
            for step in undo.into_iter().rev() {
                step(self);
            }
        }
        done
    }

    fn write(&mut self, write: Write, undo: &mut Undo) -> Result<(), CommitError> {
        match write {
            Write::Put { mut row, expect } => {
                let key = (row.kind, row.scope.clone(), row.id.clone());
                let old = self.rows.get(&key);
                expected(old, expect, &row)?;
                row.version = old.map_or(0, |old| old.version) + 1;
                swap(self, undo, |s| &mut s.rows, key, Some(row));
            }
            Write::Delete { kind, scope, id, expect } => {
                let key = (kind, scope, id);
                let probe = Row::new(kind, &key.1, key.2.clone(), Timestamp::default());
                expected(self.rows.get(&key), expect, &probe)?;
                swap(self, undo, |s| &mut s.rows, key, None);
            }
            Write::Require { kind, scope, id, expect } => {
                let probe = Row::new(kind, &scope, id.clone(), Timestamp::default());
                expected(self.rows.get(&(kind, scope, id)), expect, &probe)?;
            }
            Write::RequireNone { kind, scope, parent } => {
                if self.rows.values().any(|row| row.kind == kind && row.scope == scope && row.parent == parent) {
                    return Err(CommitError::NotEmpty { kind, parent });
                }
            }
            Write::SetTags { arn, tags } => self.tag(undo, arn, |all| *all = tags.into_iter().map(pair).collect()),
            Write::MergeTags { arn, tags } => self.tag(undo, arn, |all| all.extend(tags.into_iter().map(pair))),
            Write::RemoveTags { arn, keys } => self.tag(undo, arn, |all| all.retain(|key, _| !keys.contains(key))),
            Write::Claim { namespace, name, owner } => match self.unique.get(&(namespace.clone(), name.clone())) {
                Some(held) if *held != owner => return Err(CommitError::UniqueTaken { namespace, name, owner: held.clone() }),
                _ => swap(self, undo, |s| &mut s.unique, (namespace, name), Some(owner)),
            },
            Write::Release { namespace, name } => swap(self, undo, |s| &mut s.unique, (namespace, name), None),
            Write::PutSecret { id, value } => swap(self, undo, |s| &mut s.secrets, id, Some(value)),
            Write::DeleteSecret { id } => swap(self, undo, |s| &mut s.secrets, id, None),
            Write::Append { series, lines } => self.append(undo, series, lines),
            Write::Trim { series, before } => {
                if let Some(old) = self.series.get(&series) {
                    let mut new = old.clone();
                    new.lines.retain(|_, line| line.0 >= before);
                    swap(self, undo, |s| &mut s.series, series, Some(new));
                }
            }
            Write::DeleteSeries { series } => swap(self, undo, |s| &mut s.series, series, None),
            Write::Enqueue { queue, key, due } => self.enqueue(undo, (queue, key), due),
            Write::Cancel { queue, key } => swap(self, undo, |s| &mut s.work, (queue, key), None),
            Write::Settle { queue, key, token, how } => self.settle(undo, (queue, key), token, how)?,
            Write::Event { time, json, keys } => self.event(undo, time, json, &keys),
            Write::PruneEvents { time, through } => self.prune(undo, time, through)?,
        }
        Ok(())
    }

    fn event(&mut self, undo: &mut Undo, time: Timestamp, json: String, keys: &[EventKey]) {
        let (seq, previous) = self.head();
        let hash = link(&previous, seq + 1, time, &json);
        self.events.push(Event { seq: seq + 1, time, text: json, hash });
        self.event_keys.extend(keys.iter().map(|key| (*key, time, seq + 1)));
        undo.push(Box::new(move |state| {
            state.events.pop();
            state.event_keys.retain(|(_, _, of)| *of != seq + 1);
        }));
    }

    fn prune(&mut self, undo: &mut Undo, time: Timestamp, through: u64) -> Result<(), CommitError> {
        let through = through.min(self.head().0.saturating_sub(1));
        if through <= self.base.0 {
            return Ok(());
        }
        let count = self.events.iter().take_while(|event| event.seq <= through).count();
        let hash = whole(self.base, &self.events[..count], through)?;
        let before = (self.events.clone(), self.event_keys.clone(), self.base);
        self.events.retain(|event| event.seq > through);
        self.event_keys.retain(|(_, _, seq)| *seq > through);
        self.base = (through, hash);
        undo.push(Box::new(move |state| (state.events, state.event_keys, state.base) = before));
        self.event(undo, time, checkpoint(through, &hash), &[]);
        Ok(())
    }

    fn tag(&mut self, undo: &mut Undo, arn: String, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut tags = self.tags.get(&arn).cloned().unwrap_or_default();
        change(&mut tags);
        swap(self, undo, |s| &mut s.tags, arn, (!tags.is_empty()).then_some(tags));
    }

    fn append(&mut self, undo: &mut Undo, name: String, lines: Vec<(Timestamp, String)>) {
        if !self.series.contains_key(&name) {
            swap(self, undo, |s| &mut s.series, name.clone(), Some(Series::default()));
        }
        let Some(series) = self.series.get_mut(&name) else { return };
        let before = series.last_seq;
        for line in lines {
            series.last_seq += 1;
            series.lines.insert(series.last_seq, line);
        }
        undo.push(Box::new(move |state| {
            if let Some(series) = state.series.get_mut(&name) {
                series.last_seq = before;
                series.lines.split_off(&(before + 1));
            }
        }));
    }

    fn enqueue(&mut self, undo: &mut Undo, pair: Pair, due: Timestamp) {
        let item = match self.work.get(&pair).cloned() {
            None => Item { due, lease: None, attempts: 0, again: None },
            Some(item) if item.lease.is_some() => Item { again: Some(item.again.map_or(due, |again| again.min(due))), ..item },
            Some(item) => Item { due: item.due.min(due), ..item },
        };
        swap(self, undo, |s| &mut s.work, pair, Some(item));
    }

    fn settle(&mut self, undo: &mut Undo, pair: Pair, token: u64, how: Settle) -> Result<(), CommitError> {
        let held = self.work.get(&pair).filter(|item| item.lease.is_some_and(|lease| lease.1 == token));
        let Some(item) = held.cloned() else {
            return Err(CommitError::LeaseLost { queue: pair.0, key: pair.1 });
        };
        let soonest = |due: Timestamp| item.again.map_or(due, |again| again.min(due));
        let new = match how {
            Settle::Finish => item.again.map(|due| Item { due, lease: None, attempts: 0, again: None }),
            Settle::Release(due) => Some(Item { due: soonest(due), lease: None, attempts: 0, again: None }),
            Settle::Retry(due) => Some(Item { due: soonest(due), lease: None, attempts: item.attempts, again: None }),
            Settle::Extend(until) => Some(Item { lease: Some((until, token)), ..item }),
        };
        swap(self, undo, |s| &mut s.work, pair, new);
        Ok(())
    }

    /// Whoever held a lease is gone: what was begun is due now.
    pub(super) fn end_leases(&mut self) {
        for item in self.work.values_mut().filter(|item| item.lease.is_some()) {
            let due = item.again.map_or(item.due, |again| again.min(item.due));
            *item = Item { due, lease: None, attempts: item.attempts, again: None };
        }
    }

    pub(super) fn claim(&mut self, queue: &str, now: Timestamp, lease_ms: i64) -> Option<Work> {
        let pair = self.queue(queue).filter(|(_, item)| item.ready() <= now).min_by_key(|(key, item)| (item.ready(), *key))?.0.clone();
        self.token += 1;
        let token = self.token;
        let item = self.work.get_mut(&pair)?;
        item.lease = Some((now.plus_millis(lease_ms.max(1)), token));
        item.attempts = item.attempts.saturating_add(1);
        item.again = item.again.filter(|again| *again > now);
        Some(item.work(&pair))
    }
}

fn pair(tag: Tag) -> (String, String) {
    (tag.key, tag.value)
}

/// The same decision as in SQL: see [`Expect`].
fn expected(old: Option<&Row>, expect: Expect, new: &Row) -> Result<(), CommitError> {
    match expect.judge(old.map(|row| row.version)) {
        Ok(()) => Ok(()),
        Err(refusal) => Err(refusal.of(new.kind, &new.id)),
    }
}
