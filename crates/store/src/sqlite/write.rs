//! Writes in SQL. The caller has opened a savepoint and undoes it when one of them is refused.

use rusqlite::{Connection, OptionalExtension, params};
use tenantry_core::{Scope, Tag, Timestamp};

use super::{Sql, fault, read};
use crate::{
    Batch, CommitError, Expect, Kind, Row, Work,
    audit::{EventKey, checkpoint, link, whole},
    batch::{Settle, Write},
};

type Done = Result<(), CommitError>;

fn failed(error: rusqlite::Error) -> CommitError {
    CommitError::Store(fault(error))
}

/// Sequence numbers count up from 1 by one; they do not reach the sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn apply(sql: &Connection, batch: Batch) -> Done {
    let mut chain = None;
    batch.writes.into_iter().try_for_each(|write| one(sql, write, &mut chain))?;
    match chain {
        Some((seq, hash)) => run(sql, "UPDATE counter SET event_seq = ?1, event_hash = ?2", params![signed(seq), hash]),
        None => Ok(()),
    }
}

/// The last event and its hash, where the batch has added some: stored once, at its end.
type Chain = Option<(u64, [u8; 32])>;

fn one(sql: &Connection, write: Write, chain: &mut Chain) -> Done {
    match write {
        Write::Put { row, expect } => put(sql, &row, expect),
        Write::Delete { kind, scope, id, expect } => {
            require(sql, kind, &scope, &id, expect)?;
            let text = "DELETE FROM resource WHERE kind = ?1 AND account = ?2 AND region = ?3 AND id = ?4";
            run(sql, text, params![kind.as_str(), scope.account.as_str(), scope.region.as_str(), id.as_bytes()])
        }
        Write::Require { kind, scope, id, expect } => require(sql, kind, &scope, &id, expect).map(drop),
        Write::RequireNone { kind, scope, parent } => require_none(sql, kind, &scope, parent),
        Write::SetTags { arn, tags } => {
            run(sql, "DELETE FROM tag WHERE arn = ?1", [&arn])?;
            put_tags(sql, &arn, tags)
        }
        Write::MergeTags { arn, tags } => put_tags(sql, &arn, tags),
        Write::RemoveTags { arn, keys } => {
            keys.iter().try_for_each(|key| run(sql, "DELETE FROM tag WHERE arn = ?1 AND key = ?2", [&arn, key]))
        }
        Write::Claim { namespace, name, owner } => claim_name(sql, namespace, name, &owner),
        Write::Release { namespace, name } => run(sql, "DELETE FROM unique_name WHERE namespace = ?1 AND name = ?2", [namespace, name]),
        Write::PutSecret { id, value } => run(sql, "INSERT OR REPLACE INTO secret (id, value) VALUES (?1, ?2)", [&id, value.expose()]),
        Write::DeleteSecret { id } => run(sql, "DELETE FROM secret WHERE id = ?1", [id]),
        Write::Append { series, lines } => append(sql, &series, &lines),
        Write::Trim { series, before } => trim(sql, &series, before),
        Write::DeleteSeries { series } => {
            run(sql, "DELETE FROM line WHERE series = (SELECT id FROM series WHERE name = ?1)", [&series])?;
            run(sql, "DELETE FROM series WHERE name = ?1", [&series])
        }
        Write::Enqueue { queue, key, due } => enqueue(sql, &queue, &key, due),
        Write::Cancel { queue, key } => run(sql, "DELETE FROM work WHERE queue = ?1 AND key = ?2", [queue, key]),
        Write::Settle { queue, key, token, how } => settle(sql, queue, key, token, how),
        Write::Event { time, json, keys } => event(sql, chain, time, &json, &keys).map_err(failed),
        Write::PruneEvents { time, through } => prune(sql, chain, time, through),
    }
}

fn run(sql: &Connection, text: &str, arguments: impl rusqlite::Params) -> Done {
    sql.prepare_cached(text).and_then(|mut statement| statement.execute(arguments)).map(drop).map_err(failed)
}

/// The version that is stored, if it is as expected.
fn require(sql: &Connection, kind: Kind, scope: &Scope, id: &str, expect: Expect) -> Result<Option<u64>, CommitError> {
    let text = "SELECT version FROM resource WHERE kind = ?1 AND account = ?2 AND region = ?3 AND id = ?4";
    let arguments = params![kind.as_str(), scope.account.as_str(), scope.region.as_str(), id.as_bytes()];
    let version = sql.prepare_cached(text).and_then(|mut s| s.query_row(arguments, |r| read::natural(r, 0)).optional()).map_err(failed)?;
    expect.judge(version).map_err(|refusal| refusal.of(kind, id))?;
    Ok(version)
}

fn put(sql: &Connection, row: &Row, expect: Expect) -> Done {
    let old = require(sql, row.kind, &row.scope, &row.id, expect)?;
    let text = "INSERT INTO resource (kind, account, region, id, parent, name, status, version, created, updated, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        ON CONFLICT (kind, account, region, id) DO UPDATE SET parent = ?5, name = ?6, status = ?7, version = ?8, created = ?9, updated = ?10, body = ?11";
    let arguments = params![
        row.kind.as_str(),
        row.scope.account.as_str(),
        row.scope.region.as_str(),
        row.id.as_bytes(),
        row.parent.as_bytes(),
        row.name,
        row.status,
        signed(old.map_or(0, |v| v) + 1),
        row.created.millis(),
        row.updated.millis(),
        row.body_text()
    ];
    run(sql, text, arguments)
}

fn require_none(sql: &Connection, kind: Kind, scope: &Scope, parent: String) -> Done {
    // An empty parent means rows that belong to nothing, which the partial index does not hold.
    let text = if parent.is_empty() {
        "SELECT 1 FROM resource WHERE kind = ?1 AND account = ?2 AND region = ?3 AND parent = ?4 LIMIT 1"
    } else {
        "SELECT 1 FROM resource WHERE kind = ?1 AND account = ?2 AND region = ?3 AND parent = ?4 AND parent <> x'' LIMIT 1"
    };
    let arguments = params![kind.as_str(), scope.account.as_str(), scope.region.as_str(), parent.as_bytes()];
    match sql.prepare_cached(text).and_then(|mut statement| statement.exists(arguments)).map_err(failed)? {
        true => Err(CommitError::NotEmpty { kind, parent }),
        false => Ok(()),
    }
}

fn put_tags(sql: &Connection, arn: &str, tags: Vec<Tag>) -> Done {
    tags.iter()
        .try_for_each(|tag| run(sql, "INSERT OR REPLACE INTO tag (arn, key, value) VALUES (?1, ?2, ?3)", [arn, &tag.key, &tag.value]))
}

fn claim_name(sql: &Connection, namespace: String, name: String, owner: &str) -> Done {
    match read::unique(sql, &namespace, &name).map_err(failed)? {
        Some(held) if held != owner => Err(CommitError::UniqueTaken { namespace, name, owner: held }),
        Some(_) => Ok(()),
        None => run(sql, "INSERT INTO unique_name (namespace, name, owner) VALUES (?1, ?2, ?3)", [&namespace, &name, owner]),
    }
}

fn append(sql: &Connection, series: &str, lines: &[(Timestamp, String)]) -> Done {
    run(sql, "INSERT INTO series (name, last_seq, count, bytes) VALUES (?1, 0, 0, 0) ON CONFLICT (name) DO NOTHING", [series])?;
    let query = |sql: &Connection| -> Sql<(i64, i64)> {
        sql.prepare_cached("SELECT id, last_seq FROM series WHERE name = ?1")?.query_row([series], |r| Ok((r.get(0)?, r.get(1)?)))
    };
    let (id, last) = query(sql).map_err(failed)?;
    let mut bytes = 0;
    for (at, (time, text)) in lines.iter().enumerate() {
        bytes += text.len();
        let arguments = params![id, last + 1 + at as i64, time.millis(), text];
        run(sql, "INSERT INTO line (series, seq, time, text) VALUES (?1, ?2, ?3, ?4)", arguments)?;
    }
    let text = "UPDATE series SET last_seq = last_seq + ?2, count = count + ?2, bytes = bytes + ?3 WHERE id = ?1";
    run(sql, text, params![id, lines.len() as i64, bytes as i64])
}

fn trim(sql: &Connection, series: &str, before: Timestamp) -> Done {
    let text = "UPDATE series SET (count, bytes) =
            (SELECT series.count - count(*), series.bytes - coalesce(sum(octet_length(text)), 0) FROM line WHERE line.series = series.id AND time < ?2)
        WHERE name = ?1";
    run(sql, text, params![series, before.millis()])?;
    run(sql, "DELETE FROM line WHERE series = (SELECT id FROM series WHERE name = ?1) AND time < ?2", params![series, before.millis()])
}

fn enqueue(sql: &Connection, queue: &str, key: &str, due: Timestamp) -> Done {
    let text = "INSERT INTO work (queue, key, due, leased_until, token, attempts, again) VALUES (?1, ?2, ?3, NULL, 0, 0, NULL)
        ON CONFLICT (queue, key) DO UPDATE SET
            due = iif(leased_until IS NULL, min(due, ?3), due),
            again = iif(leased_until IS NULL, NULL, min(coalesce(again, ?3), ?3))";
    run(sql, text, params![queue, key, due.millis()])
}

fn settle(sql: &Connection, queue: String, key: String, token: u64, how: Settle) -> Done {
    let held = "queue = ?1 AND key = ?2 AND leased_until IS NOT NULL AND token = ?3";
    let text = format!("SELECT attempts, again FROM work WHERE {held}");
    let query = |sql: &Connection| -> Sql<Option<(u32, Option<i64>)>> {
        sql.prepare_cached(&text)?.query_row(params![queue, key, signed(token)], |r| Ok((r.get(0)?, r.get(1)?))).optional()
    };
    let Some((attempts, again)) = query(sql).map_err(failed)? else {
        return Err(CommitError::LeaseLost { queue, key });
    };
    let soonest = |due: Timestamp| again.map_or(due.millis(), |again| again.min(due.millis()));
    let (due, attempts) = match (how, again) {
        (Settle::Extend(until), _) => {
            return run(sql, "UPDATE work SET leased_until = ?3 WHERE queue = ?1 AND key = ?2", params![queue, key, until.millis()]);
        }
        (Settle::Finish, None) => return run(sql, "DELETE FROM work WHERE queue = ?1 AND key = ?2", [queue, key]),
        (Settle::Finish, Some(again)) => (again, 0),
        (Settle::Release(due), _) => (soonest(due), 0),
        (Settle::Retry(due), _) => (soonest(due), attempts),
    };
    let text = "UPDATE work SET due = ?3, attempts = ?4, leased_until = NULL, token = 0, again = NULL WHERE queue = ?1 AND key = ?2";
    run(sql, text, params![queue, key, due, attempts])
}

fn event(sql: &Connection, chain: &mut Chain, time: Timestamp, json: &str, keys: &[EventKey]) -> Sql<()> {
    let (last, previous) = head(sql, chain)?;
    let (seq, hash) = (last + 1, link(&previous, last + 1, time, json));
    let packed: Vec<u8> = keys.iter().flat_map(|key| key.0.to_be_bytes()).collect();
    let text = "INSERT INTO event (seq, time, text, hash, keys) VALUES (?1, ?2, ?3, ?4, ?5)";
    sql.prepare_cached(text)?.execute(params![signed(seq), time.millis(), json, hash, packed])?;
    if !keys.is_empty() {
        let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO event_key (key, time, seq) VALUES (?1, ?2, ?3)")?;
        for key in keys {
            insert.execute(params![key.0, time.millis(), signed(seq)])?;
        }
    }
    *chain = Some((seq, hash));
    Ok(())
}

fn head(sql: &Connection, chain: &Chain) -> Sql<(u64, [u8; 32])> {
    match chain {
        Some(head) => Ok(*head),
        None => read::head(sql),
    }
}

fn prune(sql: &Connection, chain: &mut Chain, time: Timestamp, through: u64) -> Done {
    let (first, last) = (read::base(sql).map_err(failed)?.0, head(sql, chain).map_err(failed)?.0);
    let through = through.min(last.saturating_sub(1));
    if through <= first {
        return Ok(());
    }
    let events = read::events(sql, Some(first), usize::try_from(through - first).unwrap_or(usize::MAX), false).map_err(failed)?;
    let hash = whole(read::base(sql).map_err(failed)?, &events, through)?;
    forget_keys(sql, through).map_err(failed)?;
    run(sql, "DELETE FROM event WHERE seq <= ?1", [signed(through)])?;
    run(sql, "UPDATE counter SET base_seq = ?1, base_hash = ?2", params![signed(through), hash])?;
    event(sql, chain, time, &checkpoint(through, &hash), &[]).map_err(failed)
}

fn forget_keys(sql: &Connection, through: u64) -> Sql<()> {
    let mut read = sql.prepare_cached("SELECT seq, time, keys FROM event WHERE seq <= ?1")?;
    let mut forget = sql.prepare_cached("DELETE FROM event_key WHERE key = ?1 AND time = ?2 AND seq = ?3")?;
    let mut rows = read.query([signed(through)])?;
    while let Some(row) = rows.next()? {
        let (seq, time, packed): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        for key in packed.as_chunks::<8>().0 {
            forget.execute(params![i64::from_be_bytes(*key), time, seq])?;
        }
    }
    Ok(())
}

pub(super) fn claim(sql: &Connection, queue: &str, now: Timestamp, lease_ms: i64) -> Sql<Option<Work>> {
    let Some(mut work) = read::work_due(sql, queue, now, 1)?.pop() else { return Ok(None) };
    let token: i64 = sql.prepare_cached("UPDATE counter SET token = token + 1 RETURNING token")?.query_row([], |r| r.get(0))?;
    work.token = token.unsigned_abs();
    work.attempts = work.attempts.saturating_add(1);
    let until = now.plus_millis(lease_ms.max(1));
    work.leased_until = Some(until);
    let text =
        "UPDATE work SET leased_until = ?3, token = ?4, attempts = ?5, again = iif(again > ?6, again, NULL) WHERE queue = ?1 AND key = ?2";
    sql.prepare_cached(text)?.execute(params![queue, work.key, until.millis(), token, work.attempts, now.millis()])?;
    Ok(Some(work))
}
