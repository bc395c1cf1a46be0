//! Says whether anything was written: triggers on every table of the store, put there by a second
//! connection, note each change but those that a refusal is meant to leave (its explanation, its audit
//! event, and when the caller's credentials were last used).
//!
//! Why not compare dumps: a write that puts back what was there is a write too.

use std::path::Path;

use rusqlite::Connection;

/// Watches one store's file.
pub struct Witness(Connection);

/// Tables that a refusal may change: the audit trail and its counter.
const AUDIT: [&str; 3] = ["event", "event_key", "counter"];

impl Witness {
    /// Begins to watch the store in `dir`, whatever tables it has.
    pub fn new(dir: &Path) -> Self {
        let sql = Connection::open(dir.join("tenantry.db")).unwrap();
        sql.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        sql.execute_batch("CREATE TABLE witness (what TEXT NOT NULL)").unwrap();
        let names: Vec<String> = {
            let mut ask = sql.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'witness'").unwrap();
            ask.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert!(names.len() >= 8, "the store's tables are known: {names:?}");
        for table in names.iter().filter(|name| !AUDIT.contains(&name.as_str())) {
            for (event, row) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
                let (when, shown) = match table.as_str() {
                    "resource" => (
                        format!("WHEN {row}.kind <> 'audit.denial' AND {row}.kind NOT LIKE 'used.%'"),
                        format!("{row}.kind || ' ' || {row}.account || ' ' || CAST({row}.id AS TEXT)"),
                    ),
                    "tag" => (String::new(), format!("{row}.arn || ' ' || {row}.key")),
                    _ => (String::new(), "''".to_owned()),
                };
                let text = format!(
                    "CREATE TRIGGER witness_{table}_{event} AFTER {event} ON {table} {when}
                     BEGIN INSERT INTO witness VALUES ('{event} {table} ' || {shown}); END"
                );
                sql.execute_batch(&text).unwrap();
            }
        }
        Self(sql)
    }

    /// How many writes there were.
    pub fn count(&self) -> i64 {
        self.0.prepare_cached("SELECT count(*) FROM witness").unwrap().query_row([], |row| row.get(0)).unwrap()
    }

    /// The writes after the first `count`.
    pub fn since(&self, count: i64) -> Vec<String> {
        let mut ask = self.0.prepare_cached("SELECT what FROM witness WHERE rowid > ?1 ORDER BY rowid").unwrap();
        ask.query_map([count], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// How many audit events there are of calls that did not end with an error.
    pub fn events(&self) -> i64 {
        let text = "SELECT count(*) FROM event WHERE text LIKE '%\"eventName\":%' AND text NOT LIKE '%\"errorCode\":%'";
        self.0.prepare_cached(text).unwrap().query_row([], |row| row.get(0)).unwrap()
    }

    /// How many explanations of denials are stored.
    pub fn denials(&self) -> i64 {
        let mut ask = self.0.prepare_cached("SELECT count(*) FROM resource WHERE kind = 'audit.denial'").unwrap();
        ask.query_row([], |row| row.get(0)).unwrap()
    }
}
