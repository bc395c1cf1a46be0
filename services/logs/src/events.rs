//! Log events: put, get, filter.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::{Access, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Entry, Expect, List, SeriesOrder, SeriesRead};

use crate::{
    filter::Pattern,
    model::{Group, STREAM, group_name, group_row, invalid, no_stream, on_group, on_stream, read_token, series, stream_id, write_token},
};

/// The operations of this module.
pub fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<PutLogEvents>(), OperationRow::of::<GetLogEvents>(), OperationRow::of::<FilterLogEvents>()]
}

/// Bytes of a batch, each event counted with 26 more ("PutLogEvents", API Reference).
const MAX_BATCH: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
/// Events that one answer holds at most.
const MAX_EVENTS: usize = 10_000;
/// Bytes that one answer holds at most.
const MAX_ANSWER: usize = 1_048_576;
/// Events that are read at a time: each may be as long as a batch.
const READ: usize = 128;
const DAY_MILLIS: i64 = 86_400_000;

/// PutLogEvents (CloudWatch Logs API Reference).
pub struct PutLogEvents;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutInput {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputEvent>,
}

#[derive(Deserialize)]
struct InputEvent {
    timestamp: i64,
    message: String,
}

impl Operation for PutLogEvents {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "PutLogEvents";
    const ACCESS: Access = Access::check("logs:PutLogEvents", &["log-stream"]);
    type Input = PutInput;

    async fn resolve(cx: &Cx, input: &PutInput) -> Result<Checks> {
        Ok(on_stream(cx, "logs:PutLogEvents", &input.log_group_name, &input.log_stream_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: PutInput) -> Result<Reply> {
        let scope = permit.scope();
        group_row(cx, scope, &input.log_group_name).await?;
        let events = &input.log_events;
        if events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum::<usize>() > MAX_BATCH {
            return Err(invalid(format!("Upload too large: more than {MAX_BATCH} bytes.")));
        }
        if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
            return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
        }
        if let (Some(first), Some(last)) = (events.first(), events.last())
            && last.timestamp - first.timestamp > DAY_MILLIS
        {
            return Err(invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours."));
        }
        let now = cx.now().millis();
        let (oldest, newest) = (now - 14 * DAY_MILLIS, now + 2 * 3_600_000);
        let old = events.iter().take_while(|event| event.timestamp < oldest).count();
        let new = events.iter().position(|event| event.timestamp > newest).unwrap_or(events.len());
        let kept = events.get(old..new).unwrap_or_default();
        let lines = kept.iter().map(|event| (Timestamp::from_millis(event.timestamp), event.message.clone())).collect();
        let mut batch = Batch::new();
        batch.require(STREAM, scope, stream_id(&input.log_group_name, &input.log_stream_name), Expect::Present);
        batch.append(series(scope, &input.log_group_name, &input.log_stream_name), lines);
        match cx.kernel.store().commit(batch).await {
            Err(tenantry_store::CommitError::NotFound { .. }) => return Err(no_stream()),
            done => done?,
        }
        let mut output = json!({"nextSequenceToken": format!("{:050}", now)});
        let mut rejected = json!({});
        if old > 0 {
            rejected["tooOldLogEventEndIndex"] = json!(old);
        }
        if new < events.len() {
            rejected["tooNewLogEventStartIndex"] = json!(new);
        }
        if rejected.as_object().is_some_and(|r| !r.is_empty()) {
            output["rejectedLogEventsInfo"] = rejected;
        }
        Ok(Reply::new(output))
    }
}

/// GetLogEvents (CloudWatch Logs API Reference). Events come by time; the end of a stream is told by
/// a token that stays the same.
pub struct GetLogEvents;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetInput {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
}

impl Operation for GetLogEvents {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "GetLogEvents";
    const ACCESS: Access = Access::check("logs:GetLogEvents", &["log-stream"]);
    type Input = GetInput;

    async fn resolve(cx: &Cx, input: &GetInput) -> Result<Checks> {
        let group = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        Ok(on_stream(cx, "logs:GetLogEvents", &group, &input.log_stream_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: GetInput) -> Result<Reply> {
        let scope = permit.scope();
        let name = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        let group: Group = group_row(cx, scope, &name).await?.body()?;
        if cx.kernel.store().get(STREAM, scope, &stream_id(&name, &input.log_stream_name)).await?.is_none() {
            return Err(no_stream());
        }
        // A token is a direction and the time and number of an event: `f/1700000000000/42`.
        let (backwards, cursor) = match &input.next_token {
            Some(token) => read_cursor(token)?,
            None => (!input.start_from_head, None),
        };
        let series = series(scope, &name, &input.log_stream_name);
        let place = |entry: &Entry| (entry.time, entry.seq);
        let limit = input.limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
        let (mut entries, mut bytes): (Vec<Entry>, usize) = (Vec::new(), 0);
        while entries.len() < limit && bytes <= MAX_ANSWER {
            let read = SeriesRead {
                series: &series,
                order: SeriesOrder::Time(entries.last().map(place).or(cursor)),
                from: earliest(&group, cx.now(), input.start_time),
                until: input.end_time.map(Timestamp::from_millis),
                limit: READ.min(limit - entries.len()),
                reverse: backwards,
            };
            let mut more = cx.kernel.store().series_read(&read).await?;
            if more.is_empty() {
                break;
            }
            more.retain(|entry| {
                bytes += entry.text.len() + EVENT_OVERHEAD;
                bytes <= MAX_ANSWER
            });
            entries.append(&mut more);
        }
        if backwards {
            entries.reverse();
        }
        let first = entries.first().map(place).or(cursor);
        let last = entries.last().map(place).or(cursor);
        let events: Vec<Value> = entries
            .into_iter()
            .map(|entry| json!({"timestamp": entry.time.millis(), "message": entry.text, "ingestionTime": entry.time.millis()}))
            .collect();
        Ok(Reply::new(json!({
            "events": events,
            "nextForwardToken": write_cursor('f', last),
            "nextBackwardToken": write_cursor('b', first),
        })))
    }
}

type Cursor = Option<(Timestamp, u64)>;

fn write_cursor(direction: char, at: Cursor) -> String {
    match at {
        Some((time, seq)) => format!("{direction}/{:020}/{seq:020}", time.millis()),
        None => format!("{direction}/-"),
    }
}

fn read_cursor(token: &str) -> Result<(bool, Cursor)> {
    let bad = || invalid("The specified nextToken is invalid.");
    let (direction, at) = token.split_once('/').ok_or_else(bad)?;
    let backwards = match direction {
        "f" => false,
        "b" => true,
        _ => return Err(bad()),
    };
    if at == "-" {
        return Ok((backwards, None));
    }
    let (time, seq) = at.split_once('/').ok_or_else(bad)?;
    let time = time.parse().map_err(|_| bad())?;
    Ok((backwards, Some((Timestamp::from_millis(time), seq.parse().map_err(|_| bad())?))))
}

/// The later of what was asked for and what the group's retention has kept.
fn earliest(group: &Group, now: Timestamp, asked: Option<i64>) -> Option<Timestamp> {
    let kept = group.retention.map(|days| now.plus_millis(-i64::from(days) * DAY_MILLIS));
    kept.max(asked.map(Timestamp::from_millis))
}

/// FilterLogEvents (CloudWatch Logs API Reference).
pub struct FilterLogEvents;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterInput {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

impl Operation for FilterLogEvents {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "FilterLogEvents";
    const ACCESS: Access = Access::check("logs:FilterLogEvents", &["log-group"]);
    type Input = FilterInput;

    async fn resolve(cx: &Cx, input: &FilterInput) -> Result<Checks> {
        let group = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        Ok(on_group(cx, "logs:FilterLogEvents", &group).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: FilterInput) -> Result<Reply> {
        let scope = permit.scope();
        let name = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        let group: Group = group_row(cx, scope, &name).await?.body()?;
        let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?;
        let limit = input.limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
        let streams = streams(cx, scope, &name, &input).await?;
        let after = input.next_token.as_deref().map(read_token).transpose()?;
        // What is behind the token begins at its time.
        let begun = after.as_deref().and_then(|key| key.split('\0').next()?.parse().ok()).map(Timestamp::from_millis);
        let from = earliest(&group, cx.now(), input.start_time).max(begun);
        let span = (from, input.end_time.map(Timestamp::from_millis));
        let mut page = Page { limit, events: Vec::new(), pending: 0, bound: None };
        for stream in &streams {
            matching(cx, scope, (&name, stream), span, &pattern, after.as_deref(), &mut page).await?;
        }
        page.cut();
        let next = page.bound.as_deref().map(write_token);
        let events: Vec<Value> = page.events.into_iter().map(|(_, event)| event).collect();
        let mut output = json!({"events": events, "searchedLogStreams": []});
        if let Some(next) = next {
            output["nextToken"] = json!(next);
        }
        Ok(Reply::new(output))
    }
}

/// The earliest events of all streams, as many as an answer holds; never much more than twice that are kept.
struct Page {
    limit: usize,
    /// By key.
    events: Vec<(String, Value)>,
    /// Bytes that came since the last cut.
    pending: usize,
    /// The key of the last event that fits, once there are later ones.
    bound: Option<String>,
}

fn length(event: &Value) -> usize {
    event["message"].as_str().map_or(0, str::len) + EVENT_OVERHEAD
}

impl Page {
    /// Takes an event; false when neither it nor any later one can be part of the answer.
    fn take(&mut self, key: String, event: impl FnOnce() -> Value) -> bool {
        if self.bound.as_ref().is_some_and(|bound| key > *bound) {
            return false;
        }
        let event = event();
        self.pending += length(&event);
        self.events.push((key, event));
        if self.pending > MAX_ANSWER || self.events.len() >= self.limit.saturating_mul(2) {
            self.cut();
        }
        true
    }

    fn cut(&mut self) {
        self.pending = 0;
        self.events.sort_by(|a, b| a.0.cmp(&b.0));
        let mut bytes = 0;
        let fits = |(_, event): &&(String, Value)| {
            bytes += length(event);
            bytes <= MAX_ANSWER
        };
        let kept = self.events.iter().take(self.limit).take_while(fits).count().max(1);
        if kept < self.events.len() {
            self.events.truncate(kept);
            self.bound = self.events.last().map(|(key, _)| key.clone());
        }
    }
}

async fn streams(cx: &Cx, scope: &Scope, group: &str, input: &FilterInput) -> Result<Vec<String>> {
    if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
        return Err(invalid("logStreamNames and logStreamNamePrefix are mutually exclusive."));
    }
    let prefix = stream_id(group, input.log_stream_name_prefix.as_deref().unwrap_or_default());
    let rows = cx.kernel.store().list(&List::of(STREAM, scope).parent(group).prefix(&prefix)).await?;
    let all: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    match &input.log_stream_names {
        None => Ok(all),
        Some(wanted) if wanted.iter().all(|name| all.contains(name)) => Ok(wanted.clone()),
        Some(_) => Err(no_stream()),
    }
}

/// Adds the matching events of a stream whose key is behind `after`, by time.
async fn matching(
    cx: &Cx,
    scope: &Scope,
    (group, stream): (&str, &str),
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    pattern: &Pattern,
    after: Option<&str>,
    page: &mut Page,
) -> Result<()> {
    let series = series(scope, group, stream);
    let mut cursor = None;
    loop {
        let read = SeriesRead { series: &series, order: SeriesOrder::Time(cursor), from, until, limit: READ, reverse: false };
        let entries = cx.kernel.store().series_read(&read).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        cursor = Some((last.time, last.seq));
        for entry in entries {
            let key = format!("{:020}\0{stream}\0{:020}", entry.time.millis(), entry.seq);
            if !pattern.matches(&entry.text) || after.is_some_and(|after| key.as_str() <= after) {
                continue;
            }
            let event = || {
                json!({
                    "logStreamName": stream,
                    "timestamp": entry.time.millis(),
                    "message": entry.text,
                    "ingestionTime": entry.time.millis(),
                    "eventId": format!("{:020}{:020}", entry.time.millis(), entry.seq),
                })
            };
            if !page.take(key, event) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: usize) -> Value {
        json!({"message": "x".repeat(length)})
    }

    fn page(limit: usize) -> Page {
        Page { limit, events: Vec::new(), pending: 0, bound: None }
    }

    fn keys(page: &Page) -> String {
        page.events.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn the_earliest_are_kept() {
        let mut page = page(3);
        for key in ["b", "d", "f", "h", "j", "l"] {
            assert!(page.take(key.to_owned(), || event(1)), "{key}");
        }
        assert_eq!((keys(&page).as_str(), page.bound.as_deref()), ("bdf", Some("f")));
        assert!(!page.take("g".to_owned(), || event(1)), "later than what fits");
        for key in ["a", "c"] {
            assert!(page.take(key.to_owned(), || event(1)), "{key}");
        }
        page.cut();
        assert_eq!((keys(&page).as_str(), page.bound.as_deref()), ("abc", Some("c")));
    }

    #[test]
    fn bytes_are_bounded() {
        let mut page = page(MAX_EVENTS);
        for number in 0..100 {
            page.take(format!("{:03}", 99 - number), || event(MAX_ANSWER / 4));
            assert!(page.events.len() < 10, "no more than twice an answer is held");
        }
        page.cut();
        assert_eq!(keys(&page), "000001002");
        assert_eq!(page.bound.as_deref(), Some("002"));
    }

    #[test]
    fn everything_that_fits_is_the_last_page() {
        let mut page = page(3);
        for key in ["c", "a", "b"] {
            page.take(key.to_owned(), || event(1));
        }
        page.cut();
        assert_eq!((keys(&page).as_str(), page.bound), ("abc", None));
    }
}
