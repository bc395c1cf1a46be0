//! The output of a workload, line by line, however much and whatever it writes.
//!
//! The pipe is the buffer: when the receiver is slow, or the payload writes faster than [`BYTES_PER_SECOND`], it is not read and
//! the payload waits. After [`MAX_BYTES`] the rest is read and thrown away, and one line says so: a flood fills no disk.

use std::{
    os::fd::OwnedFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tenantry_core::Timestamp;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, sync::mpsc, time::Instant};

use crate::workload::LogLine;

/// Longer lines come in pieces: CloudWatch Logs takes events up to this size.
pub const MAX_LINE: usize = 256 * 1024;
/// What one host may write in all.
pub const MAX_BYTES: u64 = 256 << 20;
/// How fast one host may write.
pub const BYTES_PER_SECOND: u64 = 8 << 20;
/// Read at once.
const CHUNK: usize = 64 * 1024;

/// Reads until the other end is closed by all who hold it.
pub(crate) async fn deliver(output: OwnedFd, workload: String, host: usize, sink: Option<mpsc::Sender<LogLine>>) {
    let mut pipe = match Receiver::from_owned_fd(output) {
        Ok(pipe) => pipe,
        Err(error) => return tracing::error!(workload, host, %error, "cannot read the output"),
    };
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK];
    let started = Instant::now();
    let mut total = 0u64;
    let send = async |text: String| {
        if let Some(sink) = &sink {
            // A closed receiver wants no more lines; the payload goes on.
            drop(sink.send(LogLine { workload: workload.clone(), host, time: now(), text }).await);
        }
    };
    loop {
        let count = match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let before = total;
        total = total.saturating_add(count as u64);
        if before >= MAX_BYTES {
            continue;
        }
        for line in lines.feed(&chunk[..count]) {
            send(line).await;
        }
        if total >= MAX_BYTES {
            send(format!("[the output is longer than {} MiB: the rest is not kept]", MAX_BYTES >> 20)).await;
        }
        let due = Duration::from_millis(total.saturating_mul(1000) / BYTES_PER_SECOND);
        if let Some(early) = due.checked_sub(started.elapsed() + Duration::from_secs(1)) {
            tokio::time::sleep(early).await;
        }
    }
    if total < MAX_BYTES
        && let Some(line) = lines.rest()
    {
        send(line).await;
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Splits bytes into lines of at most [`MAX_LINE`] bytes.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn feed(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let room = MAX_LINE - self.0.len();
            let part = &bytes[..bytes.len().min(room)];
            match part.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    self.0.extend_from_slice(&part[..at]);
                    bytes = &bytes[at + 1..];
                    lines.push(self.take());
                }
                None => {
                    self.0.extend_from_slice(part);
                    bytes = &bytes[part.len()..];
                    if self.0.len() == MAX_LINE {
                        lines.push(self.take());
                    }
                }
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.take())
    }

    /// Progress bars rewrite their line with carriage returns: what was last on it is the line.
    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.0).into_owned();
        self.0.clear();
        let text = text.trim_end_matches('\r');
        text.rsplit('\r').next().unwrap_or(text).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"a\nb"), ["a"]);
        assert_eq!(lines.feed(b"c\r\n\n10%\r20%\n\xff"), ["bc", "", "20%"]);
        assert_eq!(lines.rest().as_deref(), Some("\u{fffd}"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let mut lines = Lines::default();
        let long = vec![b'x'; 2 * MAX_LINE + 1];
        let pieces = lines.feed(&long);
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE]);
        assert_eq!(lines.feed(b"\n"), ["x"]);
    }
}
