//! Log events: put, get, filter.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::{Access, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Expect, List, SeriesOrder, SeriesRead};

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
        let read = SeriesRead {
            series: &series,
            order: SeriesOrder::Time(cursor),
            from: earliest(&group, cx.now(), input.start_time),
            until: input.end_time.map(Timestamp::from_millis),
            limit: input.limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS),
            reverse: backwards,
        };
        let mut entries = cx.kernel.store().series_read(&read).await?;
        let mut bytes = 0;
        entries.retain(|entry| {
            bytes += entry.text.len() + EVENT_OVERHEAD;
            bytes <= MAX_ANSWER
        });
        if backwards {
            entries.reverse();
        }
        let place = |entry: &tenantry_store::Entry| (entry.time, entry.seq);
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
        // Each stream gives its first events behind the cursor; the earliest of all are the page.
        let after = input.next_token.as_deref().map(read_token).transpose()?;
        let from = earliest(&group, cx.now(), input.start_time);
        let mut found: Vec<(String, Value)> = Vec::new();
        for stream in &streams {
            matching(
                cx,
                scope,
                (&name, stream),
                (from, input.end_time.map(Timestamp::from_millis)),
                &pattern,
                (after.as_deref(), limit + 1),
                &mut found,
            )
            .await?;
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(key, _)| write_token(key));
        let events: Vec<Value> = found.into_iter().map(|(_, event)| event).collect();
        let mut output = json!({"events": events, "searchedLogStreams": []});
        if let Some(next) = next {
            output["nextToken"] = json!(next);
        }
        Ok(Reply::new(output))
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

/// Matching events of a stream whose key is behind `after`, by time, at most `limit`.
async fn matching(
    cx: &Cx,
    scope: &Scope,
    (group, stream): (&str, &str),
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    pattern: &Pattern,
    (after, limit): (Option<&str>, usize),
    found: &mut Vec<(String, Value)>,
) -> Result<()> {
    let series = series(scope, group, stream);
    let mut cursor = None;
    let mut taken = 0;
    while taken < limit {
        let read = SeriesRead { series: &series, order: SeriesOrder::Time(cursor), from, until, limit: 1000, reverse: false };
        let entries = cx.kernel.store().series_read(&read).await?;
        let Some(last) = entries.last() else { break };
        cursor = Some((last.time, last.seq));
        for entry in entries {
            let key = format!("{:020}\0{stream}\0{:020}", entry.time.millis(), entry.seq);
            if taken < limit && pattern.matches(&entry.text) && after.is_none_or(|after| key.as_str() > after) {
                let event = json!({
                    "logStreamName": stream,
                    "timestamp": entry.time.millis(),
                    "message": entry.text,
                    "ingestionTime": entry.time.millis(),
                    "eventId": format!("{:020}{:020}", entry.time.millis(), entry.seq),
                });
                found.push((key, event));
                taken += 1;
            }
        }
    }
    Ok(())
}
