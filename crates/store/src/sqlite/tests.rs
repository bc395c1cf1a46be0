//! What only a file can get wrong: modes, locks, damage, crashes, group commit.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use rusqlite::Connection;
use serde_json::json;
use tenantry_core::Secret;

use super::{FILE, Sqlite};
use crate::{
    CommitError, Expect, List, Row, Store, StoreError,
    suite::{Dir, THING, at, commit, done, here},
};

fn thing(id: &str) -> Row {
    Row::new(THING, &here(), id, at(1))
}

/// Opens the file behind the store's back.
fn tamper(dir: &Dir, sql: &str) {
    Connection::open(dir.0.join(FILE)).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn reopened_it_holds_what_was_committed() {
    let dir = Dir::new();
    let nested = dir.0.join("a/b");
    let store = Sqlite::open(&nested).unwrap();
    commit(&store, |b| done(b.put(thing("kept"), Expect::Absent).enqueue("q", "k", at(1)).event(at(1), &json!({})))).await.unwrap();
    let work = store.claim("q", at(1), 1000).await.unwrap().unwrap();
    assert_eq!(fs::metadata(&nested).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&nested).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    let refused = Sqlite::open(&nested).err().unwrap();
    assert!(refused.to_string().contains("another process has the store open"), "{refused}");
    drop(store);

    let store = Sqlite::open(&nested).unwrap();
    assert_eq!(store.get(THING, &here(), "kept").await.unwrap().unwrap().version, 1);
    assert_eq!(store.verify_events().await.unwrap().intact, 1);
    let again = store.claim("q", at(2), 1000).await.unwrap().unwrap();
    assert!(again.token > work.token, "tokens survive");
    assert!(matches!(commit(&store, |b| done(b.finish_work(&work))).await, Err(CommitError::LeaseLost { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_commit_at_once_and_each_gets_its_own_answer() {
    let dir = Dir::new();
    let store = Arc::new(Sqlite::open(&dir.0).unwrap());
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let id = format!("{:03}", n / 2);
                let result = commit(&*store, |b| done(b.event(at(n), &json!({ "n": n })).put(thing(&id), Expect::Absent))).await;
                assert_eq!(store.get(THING, &here(), &id).await.unwrap().unwrap().version, 1, "read your writes, and those that beat you");
                result.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += u32::from(task.await.unwrap());
    }
    assert_eq!(won, 100, "of two that make the same row, one");
    assert_eq!(store.list(&List::of(THING, &here())).await.unwrap().len(), 100);
    let verified = store.verify_events().await.unwrap();
    assert_eq!((verified.intact, verified.broken), (100, None), "the losers left no event");
}

#[tokio::test]
async fn tampering_with_events_is_found() {
    for (sql, broken) in [
        ("UPDATE event SET text = '{\"n\":7}' WHERE seq = 3", Some(3)),
        ("UPDATE event SET time = 0 WHERE seq = 2", Some(2)),
        ("DELETE FROM event WHERE seq = 1", Some(1)),
        ("DELETE FROM event WHERE seq = 4", Some(4)),
        ("UPDATE event SET hash = x'00' WHERE seq = 2", Some(2)),
        ("INSERT INTO event SELECT 5, time, text, hash, keys FROM event WHERE seq = 4", Some(5)),
        ("", None),
    ] {
        let dir = Dir::new();
        let store = Sqlite::open(&dir.0).unwrap();
        commit(&store, |b| (1..=4).for_each(|n| done(b.event(at(n), &json!({ "n": n }))))).await.unwrap();
        tamper(&dir, sql);
        assert_eq!(store.verify_events().await.unwrap().broken, broken, "{sql}");
    }
}

#[tokio::test]
async fn tampering_is_found_after_pruning_too() {
    for (sql, broken) in [
        ("DELETE FROM event WHERE seq = 3", Some(3)),
        (
            "UPDATE counter SET (base_seq, base_hash) = (SELECT seq, hash FROM event WHERE seq = 3); DELETE FROM event WHERE seq <= 3",
            Some(3),
        ),
        ("UPDATE counter SET base_hash = zeroblob(32)", Some(3)),
        ("UPDATE counter SET base_seq = 0, base_hash = zeroblob(32)", Some(1)),
        ("DELETE FROM event WHERE seq = 5", Some(5)),
        ("", None),
    ] {
        let dir = Dir::new();
        let store = Sqlite::open(&dir.0).unwrap();
        commit(&store, |b| (1..=4).for_each(|n| done(b.event(at(n), &json!({ "n": n }))))).await.unwrap();
        commit(&store, |b| done(b.prune_events(at(9), 2))).await.unwrap();
        tamper(&dir, sql);
        assert_eq!(store.verify_events().await.unwrap().broken, broken, "{sql}");
    }
}

#[tokio::test]
async fn what_is_broken_is_not_pruned() {
    let dir = Dir::new();
    let store = Sqlite::open(&dir.0).unwrap();
    commit(&store, |b| (1..=4).for_each(|n| done(b.event(at(n), &json!({ "n": n }))))).await.unwrap();
    tamper(&dir, "UPDATE event SET text = '{}' WHERE seq = 2");
    let refused = commit(&store, |b| done(b.prune_events(at(9), 3))).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Corrupt(_)))), "{refused:?}");
    assert_eq!(store.verify_events().await.unwrap().broken, Some(2));
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error() {
    let dir = Dir::new();
    let store = Sqlite::open(&dir.0).unwrap();
    commit(&store, |b| done(b.put(thing("a"), Expect::Absent).put(thing("b"), Expect::Absent))).await.unwrap();
    tamper(
        &dir,
        "UPDATE resource SET version = -1 WHERE id = CAST('a' AS BLOB); UPDATE resource SET id = x'ff' WHERE id = CAST('b' AS BLOB);",
    );
    assert!(matches!(store.get(THING, &here(), "a").await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.list(&List::of(THING, &here()).from(Some("b"))).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(commit(&store, |b| done(b.put(thing("a"), Expect::Any))).await, Err(CommitError::Store(StoreError::Corrupt(_)))));
    commit(&store, |b| done(b.put(thing("c"), Expect::Absent))).await.unwrap();
    tamper(&dir, "DROP TABLE tag");
    assert!(store.tags("arn").await.is_err());
}

#[test]
fn strange_files_are_refused() {
    let dir = Dir::new();
    fs::write(dir.0.join(FILE), b"not a database, but long enough to have a header of one".repeat(9)).unwrap();
    assert!(matches!(Sqlite::open(&dir.0), Err(StoreError::Corrupt(_))));
    let dir = Dir::new();
    tamper(&dir, "CREATE TABLE other (a)");
    assert!(matches!(Sqlite::open(&dir.0), Err(StoreError::Invalid(_))));
    let dir = Dir::new();
    drop(Sqlite::open(&dir.0).unwrap());
    tamper(&dir, "PRAGMA user_version = 99");
    assert!(Sqlite::open(&dir.0).err().unwrap().to_string().contains("newer program"));
}

#[tokio::test]
async fn a_copy_opens_as_a_store_and_a_deleted_secret_is_gone_from_the_disk() {
    const CANARY: &str = "canary-3f1b9c";
    let dir = Dir::new();
    let store = Sqlite::open(dir.0.join("one")).unwrap();
    commit(&store, |b| done(b.put(thing("a"), Expect::Absent).put_secret("s", Secret::new(CANARY.to_owned())))).await.unwrap();
    fs::create_dir(dir.0.join("two")).unwrap();
    let copy = dir.0.join("two").join(FILE);
    store.backup(&copy).unwrap();
    assert!(store.backup(&copy).is_err(), "never over something");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Sqlite::open(dir.0.join("two")).unwrap();
    assert_eq!(second.secret("s").await.unwrap().unwrap().expose(), CANARY);
    assert!(second.get(THING, &here(), "a").await.unwrap().is_some());

    commit(&store, |b| done(b.delete_secret("s"))).await.unwrap();
    drop(store);
    let bytes = fs::read(dir.0.join("one").join(FILE)).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
}

#[test]
fn pages_seek() {
    // Every listing must be answered by seeking in an index: a plan that sorts or scans costs each page all pages.
    let dir = Dir::new();
    drop(Sqlite::open(&dir.0).unwrap());
    let sql = Connection::open(dir.0.join(FILE)).unwrap();
    let key = "kind = 'k' AND account = 'a' AND region = 'r'";
    for (query, index) in [
        (format!("SELECT body FROM resource WHERE {key} AND id > x'01' AND id < x'02' ORDER BY id ASC LIMIT 9"), "resource_key"),
        (format!("SELECT body FROM resource WHERE {key} AND id < x'02' ORDER BY id DESC LIMIT 9"), "resource_key"),
        (
            format!("SELECT body FROM resource WHERE {key} AND parent = x'07' AND parent <> x'' AND id > x'01' ORDER BY id LIMIT 9"),
            "resource_parent",
        ),
        (
            format!("SELECT body FROM resource WHERE {key} AND (created, id) < (5, x'06') ORDER BY created DESC, id DESC LIMIT 9"),
            "resource_created",
        ),
        (
            format!(
                "SELECT body FROM resource WHERE {key} AND parent = x'07' AND parent <> x'' AND created <= 5 ORDER BY created, id LIMIT 9"
            ),
            "resource_parent_created",
        ),
        ("SELECT text FROM line WHERE series = 1 AND (time, seq) > (5, 6) ORDER BY time ASC, seq ASC LIMIT 9".to_owned(), "line_time"),
        (
            "SELECT key FROM work WHERE queue = 'q' AND coalesce(leased_until, due) <= 5 ORDER BY coalesce(leased_until, due), key LIMIT 1"
                .to_owned(),
            "work_ready",
        ),
    ] {
        let mut statement = sql.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH") && plan[0].contains(index), "{query}: {plan:?}");
    }
}

/// A fault that makes SQLite roll back everything (as a full disk does) takes the whole group down:
/// nobody may be told `Ok` for what is not there, and the writer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_transaction_is_nobodys_success() {
    let dir = Dir::new();
    let store = Arc::new(Sqlite::open(&dir.0).unwrap());
    tamper(
        &dir,
        "CREATE TRIGGER boom BEFORE INSERT ON resource WHEN NEW.status = 'boom' BEGIN SELECT RAISE(ROLLBACK, 'disk full, say'); END",
    );
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let status = if n % 10 == 0 { "boom" } else { "" };
                (n, commit(&*store, |b| done(b.put(thing(&n.to_string()).status(status), Expect::Absent))).await)
            })
        })
        .collect();
    for task in tasks {
        let (n, answer) = task.await.unwrap();
        let stored = store.get(THING, &here(), &n.to_string()).await.unwrap().is_some();
        match answer {
            Ok(()) => assert!(stored && n % 10 != 0, "{n} was told that it is stored"),
            Err(CommitError::Store(StoreError::Unavailable(_))) => assert!(!stored, "{n} was told that it is not stored"),
            Err(other) => panic!("{other}"),
        }
    }
    commit(&*store, |b| done(b.put(thing("after"), Expect::Absent))).await.unwrap();
}

const CHILD: &str = "TENANTRY_STORE_TEST_CHILD";

/// What the child of the next test does: commit, and say so, until it is killed.
#[tokio::test]
async fn child_commits_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = Sqlite::open(dir).unwrap();
    for n in 0u32.. {
        commit(&store, |b| done(b.put(thing(&format!("{n:09}")), Expect::Absent).event(at(1), &json!({ "n": n })))).await.unwrap();
        // Standard error is not captured by the harness when written to directly.
        std::io::Write::write_all(&mut std::io::stderr(), format!("committed {n}\n").as_bytes()).unwrap();
    }
}

/// A process that is killed between two instructions loses nothing that it was told is stored.
#[tokio::test]
async fn a_killed_process_loses_nothing() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let dir = Dir::new();
    let mut before = 0;
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::child_commits_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.0.join(round.to_string()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let seen = |line: String| line.strip_prefix("committed ").and_then(|n| n.parse::<u64>().ok());
        let mut last = lines.by_ref().filter_map(seen).take(round * 40).last().unwrap();
        child.kill().unwrap();
        last = lines.filter_map(seen).last().unwrap_or(last);
        child.wait().unwrap();
        let store = Sqlite::open(dir.0.join(round.to_string())).unwrap();
        let rows = store.list(&List::of(THING, &here())).await.unwrap();
        assert!(rows.len() as u64 > last, "{last} was told to be stored, {} rows are", rows.len());
        let verified = store.verify_events().await.unwrap();
        assert_eq!((verified.intact, verified.broken), (rows.len() as u64, None), "a row and its event come together");
        before += rows.len();
    }
    assert!(before >= 400);
}
