//! The tables, and the steps from one version of them to the next.
//!
//! Ids are blobs because they are compared by their bytes and may hold any character; bodies stay text
//! so that an operator can read them with the `sqlite3` shell (`CAST(id AS TEXT)`).

use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use crate::StoreError;

/// "TNRY": marks the file as ours.
const APPLICATION_ID: i32 = 0x544e_5259;

/// Each step leads from the version that is its index to the next. Never change one that was released.
const STEPS: &[&str] = &["
CREATE TABLE resource (
    kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, id BLOB NOT NULL,
    parent BLOB NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX resource_key ON resource (kind, account, region, id);
CREATE INDEX resource_parent ON resource (kind, account, region, parent, id) WHERE parent <> x'';
CREATE TABLE tag (arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)) STRICT, WITHOUT ROWID;
CREATE TABLE unique_name (namespace TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;
CREATE TABLE secret (id TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_seq INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE line (series INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (series, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX line_time ON line (series, time, seq);
CREATE TABLE work (
    queue TEXT NOT NULL, key TEXT NOT NULL, due INTEGER NOT NULL, leased_until INTEGER, token INTEGER NOT NULL,
    attempts INTEGER NOT NULL, again INTEGER, PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_ready ON work (queue, coalesce(leased_until, due), key);
CREATE TABLE event (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, text TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE counter (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER NOT NULL, event_seq INTEGER NOT NULL, event_hash BLOB NOT NULL) STRICT;
INSERT INTO counter VALUES (1, 0, 0, zeroblob(32));
", "
ALTER TABLE event ADD COLUMN keys BLOB NOT NULL DEFAULT x'';
CREATE TABLE event_key (key INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (key, time, seq)) STRICT, WITHOUT ROWID;
ALTER TABLE counter ADD COLUMN base_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counter ADD COLUMN base_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
", "
CREATE INDEX resource_created ON resource (kind, account, region, created, id);
CREATE INDEX resource_parent_created ON resource (kind, account, region, parent, created, id) WHERE parent <> x'';
"];

/// Brings the file to the present version. A file of a newer version, or of another program, is refused.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(fault);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(StoreError::Invalid("the file is a database of another program: choose another directory".to_owned()));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > STEPS.len() {
        return Err(StoreError::Invalid(format!(
            "the database has version {version} and this program knows {}: use the newer program",
            STEPS.len()
        )));
    }
    for (at, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        transaction.execute_batch(step).map_err(fault)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        transaction.pragma_update(None, "user_version", at as i64 + 1).map_err(fault)?;
        transaction.commit().map_err(fault)?;
    }
    Ok(())
}
