//! The output of sandboxes, line by line into CloudWatch Logs.
//!
//! Services do not import each other, so this writes what the logs service reads, straight into the store:
//! a row `logs.group` (scope of the account and region, id = the group's name), a row `logs.stream`
//! (id = `<group>\0<stream>`, parent = the group's name) and the lines as the series
//! `logs/<account>/<region>/<group>\0<stream>`. A group or stream comes to exist with its first line.
//!
//! As on AWS it is the platform that writes, not the job's role. Lines are stored in batches; when the store
//! is slow the workload waits on its pipe, when it fails lines are lost and the server's log says so.

use std::{collections::BTreeMap, time::Duration};

use tenantry_compute::LogLine;
use tenantry_core::{Scope, Timestamp};
use tenantry_kernel::Kernel;
use tenantry_store::{Batch, CommitError, Expect, Kind, Row};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// A log group; the logs service's.
const GROUP: Kind = Kind::new("logs.group");
/// A log stream; the logs service's.
const STREAM: Kind = Kind::new("logs.stream");
/// Lines wait no longer than this for others to be stored with.
const GATHER: Duration = Duration::from_millis(250);
/// More lines than this are not gathered.
const MAX_LINES: usize = 500;
/// More bytes than this are not gathered.
const MAX_BYTES: usize = 1 << 20;
/// Lines on their way; more make the workload wait.
const QUEUE: usize = 1000;
/// CloudWatch Logs takes longer events apart.
const MAX_EVENT: usize = 256 * 1024 - 26;

/// Where lines go.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// Whose log it is.
    pub scope: Scope,
    /// `/aws/sagemaker/TrainingJobs`.
    pub group: String,
    /// The stream of each host of the workload, by index.
    pub streams: Vec<String>,
}

/// Starts a writer. It ends when all senders are gone and everything is stored. `each` sees every line before it is stored.
pub(crate) fn start(
    kernel: Kernel,
    to: Destination,
    each: impl FnMut(&LogLine) + Send + 'static,
) -> (mpsc::Sender<LogLine>, JoinHandle<()>) {
    let (sender, lines) = mpsc::channel(QUEUE);
    (sender, tokio::spawn(write(kernel, to, lines, each)))
}

async fn write(kernel: Kernel, to: Destination, mut lines: mpsc::Receiver<LogLine>, mut each: impl FnMut(&LogLine)) {
    let mut known = vec![false; to.streams.len()];
    while let Some(first) = lines.recv().await {
        let mut gathered: BTreeMap<usize, Vec<(Timestamp, String)>> = BTreeMap::new();
        let (mut count, mut bytes, until) = (0, 0, Instant::now() + GATHER);
        let mut next = Some(first);
        while let Some(line) = next {
            each(&line);
            count += 1;
            bytes += line.text.len();
            // CloudWatch Logs has no empty events.
            if !line.text.is_empty() && line.host < to.streams.len() {
                gathered.entry(line.host).or_default().push((line.time, clipped(line.text)));
            }
            if count >= MAX_LINES || bytes >= MAX_BYTES {
                break;
            }
            next = tokio::time::timeout_at(until, lines.recv()).await.unwrap_or_default();
        }
        for (host, gathered) in gathered {
            if let Err(error) = append(&kernel, &to.scope, &to.group, &to.streams[host], gathered, &mut known[host]).await {
                tracing::error!(group = to.group, stream = to.streams[host], %error, "lines of a log are lost");
            }
        }
    }
}

/// One line from the platform itself.
pub(crate) async fn say(kernel: &Kernel, to: &Destination, text: impl Into<String>) {
    let Some(stream) = to.streams.first() else { return };
    if let Err(error) = append(kernel, &to.scope, &to.group, stream, vec![(kernel.now(), text.into())], &mut false).await {
        tracing::error!(group = to.group, stream, %error, "a line of a log is lost");
    }
}

async fn append(
    kernel: &Kernel,
    scope: &Scope,
    group: &str,
    stream: &str,
    lines: Vec<(Timestamp, String)>,
    known: &mut bool,
) -> Result<(), CommitError> {
    if !*known {
        make(kernel, Row::new(GROUP, scope, group, kernel.now()).name(group)).await?;
        make(kernel, Row::new(STREAM, scope, format!("{group}\0{stream}"), kernel.now()).parent(group).name(stream)).await?;
        *known = true;
    }
    let mut batch = Batch::new();
    batch.append(format!("logs/{}/{}/{group}\0{stream}", scope.account, scope.region), lines);
    kernel.store().commit(batch).await
}

/// Makes a row unless it is there.
async fn make(kernel: &Kernel, row: Row) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    match kernel.store().commit(batch).await {
        Err(CommitError::Conflict { .. }) => Ok(()),
        other => other,
    }
}

fn clipped(mut text: String) -> String {
    if text.len() > MAX_EVENT {
        let mut end = MAX_EVENT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
