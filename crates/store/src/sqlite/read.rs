//! Questions in SQL. All of them go through an index but for what [`crate::ByScope`] says scans.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params, params_from_iter, types::Value};
use tenantry_core::{Scope, Secret, Tag, Timestamp};

use super::{Sql, fault};
use crate::{
    ByScope, Created, Entry, Event, EventsBy, Kind, List, Row, SeriesOrder, SeriesRead, SeriesStats, StoreError, Verified, Work,
    audit::Checker,
};

const COLUMNS: &str = "account, region, id, parent, name, status, version, created, updated, body";

pub(super) fn instant(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// SQLite's integers are signed; a negative one where none can be is damage.
pub(super) fn natural(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Text that is stored as a blob.
fn text(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes: Vec<u8> = row.get(column)?;
    String::from_utf8(bytes).map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(e)))
}

fn hash(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    row.get(column)
}

fn row(kind: Kind, row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let scope = Scope::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
    Ok(Row {
        parent: text(row, 3)?,
        name: row.get(4)?,
        status: row.get(5)?,
        version: natural(row, 6)?,
        updated: instant(row, 8)?,
        body: row.get(9)?,
        ..Row::new(kind, &scope, text(row, 2)?, instant(row, 7)?)
    })
}

pub(super) fn get(sql: &Connection, kind: Kind, scope: &Scope, id: &str) -> Sql<Option<Row>> {
    let text = "SELECT account, region, id, parent, name, status, version, created, updated, body FROM resource
        WHERE kind = ?1 AND account = ?2 AND region = ?3 AND id = ?4";
    let mut statement = sql.prepare_cached(text)?;
    statement.query_row(params![kind.as_str(), scope.account.as_str(), scope.region.as_str(), id.as_bytes()], |r| row(kind, r)).optional()
}

/// A condition in the making.
struct Where {
    sql: String,
    arguments: Vec<Value>,
}

impl Where {
    fn rows(kind: Kind, scope: ByScope<'_>, parent: Option<&str>) -> Self {
        let mut this = Self { sql: "kind = ?".to_owned(), arguments: vec![Value::from(kind.as_str().to_owned())] };
        match scope {
            ByScope::Exact(scope) => {
                this.and("account = ?", scope.account.as_str().to_owned());
                this.and("region = ?", scope.region.as_str().to_owned());
            }
            ByScope::Account(account) => this.and("account = ?", account.as_str().to_owned()),
            ByScope::All => {}
        }
        if let Some(parent) = parent {
            this.and("parent = ?", parent.as_bytes().to_vec());
            if !parent.is_empty() {
                // Said aloud so that the partial index may be used.
                this.sql.push_str(" AND parent <> x''");
            }
        }
        this
    }
    fn and(&mut self, condition: &str, argument: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.arguments.push(argument.into());
    }
}

/// The narrowest bounds of a listing: SQLite would seek to one bound and filter by the others, and so
/// make each page cost all pages before it.
fn bounds(list: &List<'_>, condition: &mut Where) {
    let mut lower = Some((list.prefix.as_bytes().to_vec(), true)).filter(|_| !list.prefix.is_empty());
    let mut upper = end_of_prefix(list.prefix).map(|end| (end, false));
    for (mark, inclusive) in [(list.from, true), (list.after, false)] {
        let Some(mark) = mark.map(|m| m.as_bytes().to_vec()) else { continue };
        let side = if list.reverse { &mut upper } else { &mut lower };
        let narrower = match side {
            None => true,
            Some((old, _)) if *old == mark => !inclusive,
            Some((old, _)) => (mark < *old) == list.reverse,
        };
        if narrower {
            *side = Some((mark, inclusive));
        }
    }
    if let Some((mark, inclusive)) = lower {
        condition.and(if inclusive { "id >= ?" } else { "id > ?" }, mark);
    }
    if let Some((mark, inclusive)) = upper {
        condition.and(if inclusive { "id <= ?" } else { "id < ?" }, mark);
    }
}

/// The bounds of a listing by creation.
fn creation(created: &Created<'_>, reverse: bool, condition: &mut Where) {
    if let Some((time, id)) = created.after {
        condition.sql.push_str(if reverse { " AND (created, id) < (?, ?)" } else { " AND (created, id) > (?, ?)" });
        condition.arguments.extend([Value::from(time.millis()), Value::from(id.as_bytes().to_vec())]);
    }
    // As with series: a bound that the cursor makes needless would only tempt SQLite to seek to it.
    let cursor = created.after.map(|(time, _)| time);
    if let Some(from) = created.from.filter(|from| reverse || cursor.is_none_or(|time| *from > time)) {
        condition.and("created >= ?", from.millis());
    }
    if let Some(until) = created.until.filter(|until| !reverse || cursor.is_none_or(|time| *until < time)) {
        condition.and("created <= ?", until.millis());
    }
}

/// The first bytes behind everything that begins with `prefix`. UTF-8 holds no byte 0xFF to overflow.
fn end_of_prefix(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    let last = end.last_mut()?;
    *last = last.saturating_add(1);
    Some(end)
}

pub(super) fn list(sql: &mut Connection, list: &List<'_>) -> Sql<Vec<Row>> {
    let mut condition = Where::rows(list.kind, list.scope, list.parent);
    let same = Where::rows(list.kind, list.scope, list.parent);
    bounds(list, &mut condition);
    let (order, exact) = (if list.reverse { "DESC" } else { "ASC" }, matches!(list.scope, ByScope::Exact(_)));
    let ordered = if let Some(created) = list.created {
        creation(&created, list.reverse, &mut condition);
        format!("created {order}, id {order}")
    } else if exact {
        format!("id {order}")
    } else {
        format!("id {order}, account {order}, region {order}")
    };
    condition.arguments.push(Value::from(limit(list.limit)));
    let view = sql.transaction()?;
    let mut rows = query_rows(&view, list.kind, &format!("{} ORDER BY {ordered} LIMIT ?", condition.sql), condition.arguments)?;
    if !exact && rows.len() >= list.limit {
        complete(&view, list, same, &ordered, &mut rows)?;
    }
    view.commit()?;
    Ok(rows)
}

/// Adds the rows that share their id with the last one of a full page over several scopes.
fn complete(sql: &Connection, list: &List<'_>, mut same: Where, ordered: &str, rows: &mut Vec<Row>) -> Sql<()> {
    let Some(last) = rows.last().cloned() else { return Ok(()) };
    let beyond = if list.reverse { "<" } else { ">" };
    same.and("id = ?", last.id.into_bytes());
    same.sql.push_str(&format!(" AND (account, region) {beyond} (?, ?)"));
    same.arguments.extend([last.scope.account.as_str().to_owned(), last.scope.region.as_str().to_owned()].map(Value::from));
    rows.extend(query_rows(sql, list.kind, &format!("{} ORDER BY {ordered}", same.sql), same.arguments)?);
    Ok(())
}

fn query_rows(sql: &Connection, kind: Kind, condition: &str, arguments: Vec<Value>) -> Sql<Vec<Row>> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM resource WHERE {condition}"))?;
    statement.query_map(params_from_iter(arguments), |r| row(kind, r))?.collect()
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn count(sql: &Connection, kind: Kind, scope: ByScope<'_>, parent: Option<&str>) -> Sql<u64> {
    let condition = Where::rows(kind, scope, parent);
    let mut statement = sql.prepare_cached(&format!("SELECT count(*) FROM resource WHERE {}", condition.sql))?;
    statement.query_row(params_from_iter(condition.arguments), |r| natural(r, 0))
}

pub(super) fn tags(sql: &Connection, arn: &str) -> Sql<Vec<Tag>> {
    let mut statement = sql.prepare_cached("SELECT key, value FROM tag WHERE arn = ?1 ORDER BY key")?;
    statement.query_map([arn], |r| Ok(Tag::new(r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?.collect()
}

pub(super) fn unique(sql: &Connection, namespace: &str, name: &str) -> Sql<Option<String>> {
    sql.prepare_cached("SELECT owner FROM unique_name WHERE namespace = ?1 AND name = ?2")?
        .query_row([namespace, name], |r| r.get(0))
        .optional()
}

pub(super) fn secret(sql: &Connection, id: &str) -> Sql<Option<Secret<String>>> {
    sql.prepare_cached("SELECT value FROM secret WHERE id = ?1")?.query_row([id], |r| r.get(0).map(Secret::new)).optional()
}

pub(super) fn series_read(sql: &Connection, query: &SeriesRead<'_>) -> Sql<Vec<Entry>> {
    let mut condition =
        Where { sql: "series = (SELECT id FROM series WHERE name = ?)".to_owned(), arguments: vec![Value::from(query.series.to_owned())] };
    let (beyond, order) = if query.reverse { ("<", "DESC") } else { (">", "ASC") };
    let sequence = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
    let ordered = match query.order {
        SeriesOrder::Seq(after) => {
            if let Some(after) = after {
                condition.and(&format!("seq {beyond} ?"), sequence(after));
            }
            format!("seq {order}")
        }
        SeriesOrder::Time(after) => {
            if let Some((time, seq)) = after {
                condition.sql.push_str(&format!(" AND (time, seq) {beyond} (?, ?)"));
                condition.arguments.extend([Value::from(time.millis()), Value::from(sequence(seq))]);
            }
            format!("time {order}, seq {order}")
        }
    };
    // A bound that the cursor makes needless would only tempt SQLite to seek to it.
    let cursor = if let SeriesOrder::Time(Some((time, _))) = query.order { Some(time) } else { None };
    if let Some(from) = query.from.filter(|from| query.reverse || cursor.is_none_or(|time| *from > time)) {
        condition.and("time >= ?", from.millis());
    }
    if let Some(until) = query.until.filter(|until| !query.reverse || cursor.is_none_or(|time| *until <= time)) {
        condition.and("time < ?", until.millis());
    }
    condition.arguments.push(Value::from(limit(query.limit)));
    let mut statement =
        sql.prepare_cached(&format!("SELECT seq, time, text FROM line WHERE {} ORDER BY {ordered} LIMIT ?", condition.sql))?;
    statement
        .query_map(params_from_iter(condition.arguments), |r| Ok(Entry { seq: natural(r, 0)?, time: instant(r, 1)?, text: r.get(2)? }))?
        .collect()
}

pub(super) fn series_stats(sql: &Connection, series: &str) -> Sql<Option<SeriesStats>> {
    let text = "SELECT last_seq, count, bytes, (SELECT min(time) FROM line WHERE series = id), (SELECT max(time) FROM line WHERE series = id) FROM series WHERE name = ?1";
    let stats = |r: &SqlRow<'_>| {
        let time = |column| r.get::<_, Option<i64>>(column).map(|t| t.map(Timestamp::from_millis));
        Ok(SeriesStats {
            last_seq: natural(r, 0)?,
            count: natural(r, 1)?,
            bytes: natural(r, 2)?,
            first_time: time(3)?,
            last_time: time(4)?,
        })
    };
    sql.prepare_cached(text)?.query_row([series], stats).optional()
}

fn event(r: &SqlRow<'_>) -> rusqlite::Result<Event> {
    Ok(Event { seq: natural(r, 0)?, time: instant(r, 1)?, text: r.get(2)?, hash: hash(r, 3)? })
}

pub(super) fn events(sql: &Connection, after: Option<u64>, most: usize, reverse: bool) -> Sql<Vec<Event>> {
    let text = if reverse {
        "SELECT seq, time, text, hash FROM event WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2"
    } else {
        "SELECT seq, time, text, hash FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2"
    };
    let none = if reverse { i64::MAX } else { -1 };
    let after = after.map_or(none, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
    sql.prepare_cached(text)?.query_map(params![after, limit(most)], event)?.collect()
}

pub(super) fn events_by(sql: &Connection, query: &EventsBy) -> Sql<Vec<Event>> {
    // The join is crossed so that the key's index leads, in the order that is asked for.
    let text = "SELECT e.seq, e.time, e.text, e.hash FROM event_key k CROSS JOIN event e ON e.seq = k.seq
        WHERE k.key = ?1 AND k.time >= ?2 AND k.time <= ?3 AND (k.time, k.seq) < (?4, ?5) ORDER BY k.time DESC, k.seq DESC LIMIT ?6";
    let until = query.until.map_or(i64::MAX, Timestamp::millis);
    let (time, seq) = query.before.map_or((i64::MAX, i64::MAX), |(time, seq)| (time.millis(), i64::try_from(seq).unwrap_or(i64::MAX)));
    let from = query.from.map_or(i64::MIN, Timestamp::millis);
    sql.prepare_cached(text)?.query_map(params![query.key.0, from, until.min(time), time, seq, limit(query.limit)], event)?.collect()
}

/// The sequence number and hash of the last event that was pruned.
pub(super) fn base(sql: &Connection) -> Sql<(u64, [u8; 32])> {
    sql.prepare_cached("SELECT base_seq, base_hash FROM counter")?.query_row([], |r| Ok((natural(r, 0)?, hash(r, 1)?)))
}

/// The sequence number and hash that the last event must have.
pub(super) fn head(sql: &Connection) -> Sql<(u64, [u8; 32])> {
    sql.prepare_cached("SELECT event_seq, event_hash FROM counter")?.query_row([], |r| Ok((natural(r, 0)?, hash(r, 1)?)))
}

pub(super) fn verify_events(sql: &mut Connection) -> Result<Verified, StoreError> {
    let view = sql.transaction().map_err(fault)?;
    let mut checker = Checker::new(base(&view).map_err(fault)?);
    {
        let mut statement = view.prepare_cached("SELECT seq, time, text, hash FROM event ORDER BY seq").map_err(fault)?;
        let mut rows = statement.query([]).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            // What cannot be read as an event is where the chain breaks.
            let Ok(event) = event(row) else {
                checker.state.broken = Some(checker.state.intact + 1);
                break;
            };
            if !checker.take(&event) {
                break;
            }
        }
    }
    let head = head(&view).map_err(fault)?;
    Ok(checker.end(head))
}

pub(super) const WORK: &str = "SELECT queue, key, due, leased_until, token, attempts FROM work";

pub(super) fn work(r: &SqlRow<'_>) -> rusqlite::Result<Work> {
    Ok(Work {
        queue: r.get(0)?,
        key: r.get(1)?,
        due: instant(r, 2)?,
        leased_until: r.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        token: natural(r, 4)?,
        attempts: r.get(5)?,
    })
}

pub(super) fn work_due(sql: &Connection, queue: &str, now: Timestamp, most: usize) -> Sql<Vec<Work>> {
    let text = format!("{WORK} WHERE queue = ?1 AND coalesce(leased_until, due) <= ?2 ORDER BY coalesce(leased_until, due), key LIMIT ?3");
    sql.prepare_cached(&text)?.query_map(params![queue, now.millis(), limit(most)], work)?.collect()
}

pub(super) fn work_next(sql: &Connection, queue: &str) -> Sql<Option<Timestamp>> {
    let text = "SELECT coalesce(leased_until, due) FROM work WHERE queue = ?1 ORDER BY coalesce(leased_until, due) LIMIT 1";
    sql.prepare_cached(text)?.query_row([queue], |r| instant(r, 0)).optional()
}

pub(super) fn work_get(sql: &Connection, queue: &str, key: &str) -> Sql<Option<Work>> {
    sql.prepare_cached(&format!("{WORK} WHERE queue = ?1 AND key = ?2"))?.query_row([queue, key], work).optional()
}
