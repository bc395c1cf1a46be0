//! A walk over rows in order of their ids, that can jump: past a million keys under one common prefix
//! in one seek.

use std::collections::VecDeque;

use tenantry_core::{Result, Scope};
use tenantry_store::{Kind, List, Row, Store};

/// Rows that are read at a time.
const BATCH: usize = 250;

/// Where the next batch begins.
enum From {
    Start,
    After(String),
    At(String),
}

/// Rows of a kind in a scope whose ids begin with a prefix.
pub(crate) struct Cursor<'a> {
    store: &'a dyn Store,
    kind: Kind,
    scope: &'a Scope,
    prefix: String,
    from: From,
    read: VecDeque<Row>,
    done: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(store: &'a dyn Store, kind: Kind, scope: &'a Scope, prefix: String) -> Self {
        Self { store, kind, scope, prefix, from: From::Start, read: VecDeque::new(), done: false }
    }
    /// The next row, which stays the next.
    pub async fn peek(&mut self) -> Result<Option<&Row>> {
        if self.read.is_empty() && !self.done {
            let mut query = List::of(self.kind, self.scope).prefix(&self.prefix).limit(BATCH);
            query = match &self.from {
                From::Start => query,
                From::After(id) => query.after(Some(id)),
                From::At(id) => query.from(Some(id)),
            };
            let rows = self.store.list(&query).await?;
            self.done = rows.len() < BATCH;
            if let Some(last) = rows.last() {
                self.from = From::After(last.id.clone());
            }
            self.read = rows.into();
        }
        Ok(self.read.front())
    }
    /// Takes the row that was next.
    pub fn take(&mut self) -> Option<Row> {
        self.read.pop_front()
    }
    /// Goes on behind `id`.
    pub fn after(&mut self, id: String) {
        self.jump(|row| row.id <= id);
        if self.read.is_empty() && !self.done {
            self.from = From::After(id);
        }
    }
    /// Goes on at `id`.
    pub fn seek(&mut self, id: String) {
        self.jump(|row| row.id < id);
        if self.read.is_empty() && !self.done {
            self.from = From::At(id);
        }
    }
    /// Ends: there is nothing behind.
    pub fn end(&mut self) {
        self.read.clear();
        self.done = true;
    }
    fn jump(&mut self, passed: impl Fn(&Row) -> bool) {
        while self.read.front().is_some_and(&passed) {
            self.read.pop_front();
        }
    }
}
