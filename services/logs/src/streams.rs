//! Log streams: create, delete, describe.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{Access, Checks, Cx, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, List, Row, SeriesStats};

use crate::model::{
    GROUP, STREAM, group_arn, group_name, group_row, invalid, no_group, no_stream, on_group, on_stream, read_token, series, stream_id,
    write_token,
};

/// The operations of this module.
pub fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<CreateLogStream>(), OperationRow::of::<DeleteLogStream>(), OperationRow::of::<DescribeLogStreams>()]
}

/// An input that names a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamInput {
    log_group_name: String,
    log_stream_name: String,
}

/// CreateLogStream (CloudWatch Logs API Reference).
pub struct CreateLogStream;

impl Operation for CreateLogStream {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "CreateLogStream";
    const ACCESS: Access = Access::check("logs:CreateLogStream", &["log-stream"]);
    type Input = StreamInput;

    async fn resolve(cx: &Cx, input: &StreamInput) -> Result<Checks> {
        Ok(on_stream(cx, "logs:CreateLogStream", &input.log_group_name, &input.log_stream_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: StreamInput) -> Result<Reply> {
        let scope = permit.scope();
        let (group, stream) = (&input.log_group_name, &input.log_stream_name);
        let mut batch = Batch::new();
        batch.require(GROUP, scope, group.clone(), Expect::Present);
        let row = Row::new(STREAM, scope, stream_id(group, stream), cx.now()).parent(group.clone()).name(stream.clone());
        batch.put(row, Expect::Absent);
        batch.append(series(scope, group, stream), Vec::new());
        match cx.commit(batch).await {
            Err(CommitError::NotFound { .. }) => Err(no_group()),
            Err(CommitError::Conflict { .. }) => {
                Err(AwsError::new(400, "ResourceAlreadyExistsException", "The specified log stream already exists"))
            }
            done => Ok(done.map(|()| Reply::empty())?),
        }
    }
}

/// DeleteLogStream (CloudWatch Logs API Reference).
pub struct DeleteLogStream;

impl Operation for DeleteLogStream {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteLogStream";
    const ACCESS: Access = Access::check("logs:DeleteLogStream", &["log-stream"]);
    type Input = StreamInput;

    async fn resolve(cx: &Cx, input: &StreamInput) -> Result<Checks> {
        Ok(on_stream(cx, "logs:DeleteLogStream", &input.log_group_name, &input.log_stream_name).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: StreamInput) -> Result<Reply> {
        let scope = permit.scope();
        group_row(cx, scope, &input.log_group_name).await?;
        let mut batch = Batch::new();
        batch.delete(STREAM, scope, stream_id(&input.log_group_name, &input.log_stream_name), Expect::Present);
        batch.delete_series(series(scope, &input.log_group_name, &input.log_stream_name));
        match cx.commit(batch).await {
            Err(CommitError::NotFound { .. }) => Err(no_stream()),
            done => Ok(done.map(|()| Reply::empty())?),
        }
    }
}

/// DescribeLogStreams (CloudWatch Logs API Reference).
pub struct DescribeLogStreams;

/// Its input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeInput {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

impl Operation for DescribeLogStreams {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogStreams";
    const ACCESS: Access = Access::check("logs:DescribeLogStreams", &["log-group"]);
    type Input = DescribeInput;

    async fn resolve(cx: &Cx, input: &DescribeInput) -> Result<Checks> {
        let group = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        Ok(on_group(cx, "logs:DescribeLogStreams", &group).await?.into())
    }

    async fn handle(cx: &Cx, permit: Permit<Self>, input: DescribeInput) -> Result<Reply> {
        let scope = permit.scope();
        let group = group_name(cx, input.log_group_name.as_ref(), input.log_group_identifier.as_ref())?;
        group_row(cx, scope, &group).await?;
        let by_time = input.order_by.as_deref() == Some("LastEventTime");
        if by_time && input.log_stream_name_prefix.is_some() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let prefix = stream_id(&group, input.log_stream_name_prefix.as_deref().unwrap_or_default());
        let mut found = Vec::new();
        for row in cx.kernel.store().list(&List::of(STREAM, scope).parent(&group).prefix(&prefix)).await? {
            let stats = cx.kernel.store().series_stats(&series(scope, &group, &row.name)).await?;
            let time = stats.and_then(|s| s.last_time).map_or(0, tenantry_core::Timestamp::millis);
            let key = if by_time { format!("{time:020}\0{}", row.name) } else { row.name.clone() };
            found.push((key, described(scope, &group, &row, stats)));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        if input.descending {
            found.reverse();
        }
        if let Some(token) = &input.next_token {
            let last = read_token(token)?;
            found.retain(|(key, _)| if input.descending { *key < last } else { *key > last });
        }
        let limit = input.limit.unwrap_or(50);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(key, _)| write_token(key));
        let mut output = json!({"logStreams": found.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>()});
        if let Some(next) = next {
            output["nextToken"] = json!(next);
        }
        Ok(Reply::new(output))
    }
}

fn described(scope: &Scope, group: &str, row: &Row, stats: Option<SeriesStats>) -> Value {
    let mut out = json!({
        "logStreamName": row.name,
        "creationTime": row.created.millis(),
        "arn": format!("{}:log-stream:{}", group_arn(scope, group), row.name),
        "storedBytes": 0,
    });
    if let Some(stats) = stats {
        out["uploadSequenceToken"] = json!(format!("{:050}", stats.last_seq));
        if let (Some(first), Some(last)) = (stats.first_time, stats.last_time) {
            out["firstEventTimestamp"] = json!(first.millis());
            out["lastEventTimestamp"] = json!(last.millis());
            out["lastIngestionTime"] = json!(last.millis());
        }
    }
    out
}
