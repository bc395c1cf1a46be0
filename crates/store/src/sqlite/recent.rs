//! Rows and tags that were asked for lately, so that what every request asks for again costs no SQL.
//!
//! Nothing in here is ever older than the file: the one writer takes out what it changes before it commits, and
//! while it commits nothing is taken in. What was read before a commit and comes back after it is not taken in
//! either. So a reader that finds something here could have found it in the file at that instant.
//!
//! Bounded by bytes, in two generations: a full memory forgets what was not asked for lately. Secrets are not
//! kept: they stand in no row.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tenantry_core::{Scope, Tag};

use crate::{Kind, Row, batch::Write};

/// Bytes that are held at most, about.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// A row with a longer body is read from the file each time.
const LONGEST: usize = 64 * 1024;
/// What an entry costs beside its texts, about.
const ENTRY: usize = 256;

/// The hash of a name. Two names may share one: what is found is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

enum Kept {
    Row(Row),
    /// That there is none is worth knowing as well.
    NoRow(Kind, Scope, String),
    Tags(String, Vec<Tag>),
}

impl Kept {
    fn bytes(&self) -> usize {
        ENTRY
            + match self {
                Self::Row(row) => {
                    let scope = row.scope.account.as_str().len() + row.scope.region.as_str().len();
                    scope + row.id.len() + row.parent.len() + row.name.len() + row.status.len() + row.body.len()
                }
                Self::NoRow(_, scope, id) => scope.account.as_str().len() + scope.region.as_str().len() + id.len(),
                Self::Tags(arn, tags) => arn.len() + tags.iter().map(|tag| 64 + tag.key.len() + tag.value.len()).sum::<usize>(),
            }
    }
}

/// What a reader that finds nothing may bring back: it counts while no commit came between.
pub(super) struct Ticket(Option<u64>);

/// What looking for something finds.
pub(super) enum Found<T> {
    /// It is here.
    Here(T),
    /// It is to be read.
    Read(Ticket),
}

type Generation = HashMap<Key, Arc<Kept>, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct Held {
    young: Generation,
    old: Generation,
    /// Bytes of the young.
    bytes: usize,
    /// Commits so far that changed rows or tags.
    commits: u64,
    committing: bool,
}

impl Held {
    fn put(&mut self, key: Key, kept: Arc<Kept>, most: usize) {
        let bytes = kept.bytes();
        if self.bytes + bytes > most / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        if let Some(before) = self.young.insert(key, kept) {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        }
    }
    fn get(&mut self, key: Key, most: usize) -> Option<Arc<Kept>> {
        if let Some(kept) = self.young.get(&key) {
            return Some(Arc::clone(kept));
        }
        let kept = self.old.remove(&key)?;
        self.put(key, Arc::clone(&kept), most);
        Some(kept)
    }
    fn remove(&mut self, key: Key) {
        self.old.remove(&key);
        if let Some(before) = self.young.remove(&key) {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        }
    }
}

/// What was read lately.
pub(super) struct Recent {
    hashes: RandomState,
    held: Mutex<Held>,
    /// 0: nothing is kept.
    most: usize,
}

impl Recent {
    /// The memory of a store that this process alone writes.
    pub(super) fn new() -> Self {
        Self::of(MOST_BYTES)
    }
    /// None: another process may write.
    pub(super) fn none() -> Self {
        Self::of(0)
    }
    pub(super) fn of(most: usize) -> Self {
        Self { hashes: RandomState::new(), held: Mutex::default(), most }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whoever panicked in here left maps that are whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn row_key(&self, kind: Kind, scope: &Scope, id: &str) -> Key {
        Key(self.hashes.hash_one((kind.as_str(), scope.account.as_str(), scope.region.as_str(), id)))
    }
    fn tags_key(&self, arn: &str) -> Key {
        Key(self.hashes.hash_one(arn))
    }

    fn look(&self, key: Key) -> Result<Arc<Kept>, Ticket> {
        if self.most == 0 {
            return Err(Ticket(None));
        }
        let mut held = self.held();
        held.get(key, self.most).ok_or_else(|| Ticket((!held.committing).then_some(held.commits)))
    }
    fn keep(&self, key: Key, ticket: &Ticket, kept: Kept) {
        let mut held = self.held();
        if !held.committing && ticket.0 == Some(held.commits) {
            held.put(key, Arc::new(kept), self.most);
        }
    }

    /// Looks for a row.
    pub(super) fn row(&self, kind: Kind, scope: &Scope, id: &str) -> Found<Option<Row>> {
        let kept = match self.look(self.row_key(kind, scope, id)) {
            Ok(kept) => kept,
            Err(ticket) => return Found::Read(ticket),
        };
        match &*kept {
            Kept::Row(row) if row.kind == kind && row.scope == *scope && row.id == id => Found::Here(Some(row.clone())),
            Kept::NoRow(of, whose, name) if *of == kind && whose == scope && name == id => Found::Here(None),
            _ => Found::Read(Ticket(None)),
        }
    }
    /// Keeps what was read of a row.
    pub(super) fn keep_row(&self, ticket: &Ticket, kind: Kind, scope: &Scope, id: &str, row: Option<&Row>) {
        if ticket.0.is_some() && row.is_none_or(|row| row.body.len() <= LONGEST) {
            let kept = row.map_or_else(|| Kept::NoRow(kind, scope.clone(), id.to_owned()), |row| Kept::Row(row.clone()));
            self.keep(self.row_key(kind, scope, id), ticket, kept);
        }
    }
    /// Looks for the tags of a resource.
    pub(super) fn tags(&self, arn: &str) -> Found<Vec<Tag>> {
        match self.look(self.tags_key(arn)).as_deref() {
            Ok(Kept::Tags(of, tags)) if of == arn => Found::Here(tags.clone()),
            Ok(_) => Found::Read(Ticket(None)),
            Err(ticket) => Found::Read(Ticket(ticket.0)),
        }
    }
    /// Keeps what was read of tags.
    pub(super) fn keep_tags(&self, ticket: &Ticket, arn: &str, tags: &[Tag]) {
        if ticket.0.is_some() {
            self.keep(self.tags_key(arn), ticket, Kept::Tags(arn.to_owned(), tags.to_vec()));
        }
    }

    /// What a write changes, if it is of what may be held here.
    pub(super) fn changed(&self, write: &Write) -> Option<Key> {
        match write {
            Write::Put { row, .. } => Some(self.row_key(row.kind, &row.scope, &row.id)),
            Write::Delete { kind, scope, id, .. } => Some(self.row_key(*kind, scope, id)),
            Write::SetTags { arn, .. } | Write::MergeTags { arn, .. } | Write::RemoveTags { arn, .. } => Some(self.tags_key(arn)),
            _ => None,
        }
    }
    /// Before a commit: forgets what it changes, and takes nothing in until it is done.
    pub(super) fn commit_begins(&self, changed: &[Key]) {
        if changed.is_empty() || self.most == 0 {
            return;
        }
        let mut held = self.held();
        held.committing = true;
        for key in changed {
            held.remove(*key);
        }
    }
    /// After a commit, whatever became of it.
    pub(super) fn commit_ended(&self, changed: &[Key]) {
        if changed.is_empty() || self.most == 0 {
            return;
        }
        let mut held = self.held();
        held.committing = false;
        held.commits += 1;
    }

    /// Bytes that are held, about.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let held = self.held();
        held.young.values().chain(held.old.values()).map(|kept| kept.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::Timestamp;

    use super::*;
    use crate::Expect;

    const KIND: Kind = Kind::new("test.thing");

    fn scope() -> Scope {
        Scope::global("111122223333")
    }
    fn row(id: &str, body: usize) -> Row {
        Row { body: "x".repeat(body), ..Row::new(KIND, &scope(), id, Timestamp::from_secs(1)) }
    }
    fn ask(recent: &Recent, id: &str) -> Found<Option<Row>> {
        recent.row(KIND, &scope(), id)
    }
    fn ticket(recent: &Recent, id: &str) -> Ticket {
        match ask(recent, id) {
            Found::Read(ticket) => ticket,
            Found::Here(_) => panic!("{id} is held"),
        }
    }
    fn is_held(recent: &Recent, id: &str) -> bool {
        matches!(ask(recent, id), Found::Here(_))
    }
    fn learn(recent: &Recent, row: &Row) {
        let ticket = ticket(recent, &row.id);
        recent.keep_row(&ticket, KIND, &scope(), &row.id, Some(row));
    }

    #[test]
    fn what_a_commit_changes_is_forgotten_before_it_and_what_was_read_before_it_is_not_taken_in() {
        let recent = Recent::new();
        learn(&recent, &row("a", 10));
        learn(&recent, &row("b", 10));
        let (early, late) = (ticket(&recent, "c"), ticket(&recent, "d"));
        let changed: Vec<Key> = recent.changed(&Write::Put { row: row("a", 11), expect: Expect::Any }).into_iter().collect();
        recent.commit_begins(&changed);
        assert!(!is_held(&recent, "a") && is_held(&recent, "b"));
        recent.keep_row(&early, KIND, &scope(), "c", None);
        let during = ticket(&recent, "a");
        recent.commit_ended(&changed);
        for (ticket, id) in [(&during, "a"), (&early, "c"), (&late, "d")] {
            recent.keep_row(ticket, KIND, &scope(), id, Some(&row(id, 1)));
            assert!(!is_held(&recent, id), "{id} was read before the commit was done");
        }
        learn(&recent, &row("a", 11));
        assert!(matches!(ask(&recent, "a"), Found::Here(Some(row)) if row.body.len() == 11));
    }

    #[test]
    fn a_commit_of_events_alone_forgets_nothing() {
        let recent = Recent::new();
        let before = ticket(&recent, "a");
        recent.commit_begins(&[]);
        recent.commit_ended(&[]);
        recent.keep_row(&before, KIND, &scope(), "a", None);
        assert!(matches!(ask(&recent, "a"), Found::Here(None)));
    }

    #[test]
    fn tags_of_another_name_under_the_same_hash_are_not_answered() {
        let recent = Recent::new();
        let Found::Read(ticket) = recent.tags("arn:a") else { panic!("nothing is held yet") };
        recent.keep(recent.tags_key("arn:b"), &ticket, Kept::Tags("arn:a".to_owned(), Vec::new()));
        assert!(matches!(recent.tags("arn:b"), Found::Read(Ticket(None))), "its hash is taken");
        recent.keep_tags(&ticket, "arn:a", &[Tag::new("k", "v")]);
        assert!(matches!(recent.tags("arn:a"), Found::Here(tags) if tags == [Tag::new("k", "v")]));
    }

    #[test]
    fn bytes_are_bounded_and_what_is_asked_for_stays() {
        let most = 100 * 1024;
        let recent = Recent::of(most);
        learn(&recent, &row("used", 100));
        for at in 0..2000 {
            learn(&recent, &row(&at.to_string(), 1000));
            assert!(is_held(&recent, "used"), "asked for all the time, at {at}");
            assert!(recent.bytes() <= most, "{} at {at}", recent.bytes());
        }
        assert!(is_held(&recent, "1999") && !is_held(&recent, "0"));
        learn(&recent, &row("at the limit", LONGEST / 2));
        let recent = Recent::new();
        learn(&recent, &row("at the limit", LONGEST));
        learn(&recent, &row("past it", LONGEST + 1));
        assert!(is_held(&recent, "at the limit") && !is_held(&recent, "past it"));
    }

    #[test]
    fn nothing_is_held_of_a_store_that_another_process_writes() {
        let recent = Recent::none();
        let ticket = ticket(&recent, "a");
        recent.keep_row(&ticket, KIND, &scope(), "a", None);
        assert!(!is_held(&recent, "a"));
    }
}
