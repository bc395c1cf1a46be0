//! Why a job ended, in AWS's words: `FailureReason`.

use std::{io::Read, path::Path};

use tenantry_compute::{HostState, WorkStatus, files};
use tenantry_core::AwsError;

use super::{
    data::TransferError,
    home::Home,
    record::{Of, Outcome},
    uri::S3Uri,
};

/// Longest FailureReason and ExitMessage, in characters.
const MAX_CHARS: usize = 1024;
/// What a job is told when this server is at fault and trying again did not help.
pub(crate) const INTERNAL: &str = "InternalServerError: We encountered an internal error. Please try again.";

/// What a job is told whose hosts wrote more than their volumes hold.
pub(crate) const DISK_FULL: &str = "ClientError: No space left on device: the job wrote more than the volume of its instance holds. \
                                    Please use a larger VolumeSizeInGB.";

/// At most 1,024 characters.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// What the service was told when it tried to assume the role.
pub(crate) fn not_assumed(error: &AwsError) -> String {
    clip(&format!("ClientError: {}", error.message))
}

/// Data could not be downloaded.
pub(crate) fn not_downloaded(error: &TransferError, region: &str, role: &str) -> String {
    let nothing = |at: &S3Uri, because: &str| {
        format!(
            "No S3 objects found under S3 URL \"{at}\" given in input data source. Please ensure that the bucket exists in the selected region \
             ({region}), that objects exist under that S3 prefix, and that the role \"{role}\" has \"s3:ListBucket\" permissions on bucket \
             \"{}\".{because}",
            at.bucket
        )
    };
    let text = match error {
        TransferError::Nothing(at) => nothing(at, ""),
        TransferError::Refused { at, error } => nothing(at, &format!(" Error message from S3: {}: {}", error.code, error.message)),
        other => other.to_string(),
    };
    clip(&format!("ClientError: Data download failed:{text}"))
}

/// Artifacts could not be uploaded.
pub(crate) fn not_uploaded(error: &TransferError) -> String {
    let text = match error {
        TransferError::Refused { at, error } => format!("{}: {} ({at})", error.code, error.message),
        other => other.to_string(),
    };
    clip(&format!("ClientError: Artifact upload failed:{text}"))
}

/// How the user's code ended. `homes` are the hosts'.
pub(crate) fn outcome(of: Of, status: &WorkStatus, homes: &[Home]) -> Outcome {
    if status.stopped {
        return Outcome::Stopped;
    }
    if status.timed_out {
        return Outcome::OutOfTime;
    }
    if status.disk_full {
        return Outcome::Failed(DISK_FULL.to_owned());
    }
    if let Some(failure) = &status.failure {
        return Outcome::Failed(clip(&format!("ClientError: cannot start the container: {failure}")));
    }
    if status.succeeded() {
        return Outcome::Completed;
    }
    let (index, code, oom) = culprit(status);
    let exit = format!(", exit code: {code}");
    if oom {
        let text = "AlgorithmError: OutOfMemory: Please use an instance type with more memory, or reduce the size of job data processed on an instance.";
        return Outcome::Failed(format!("{text}{exit}"));
    }
    let told = match of {
        Of::Training => homes.get(index).and_then(|home| said(home, "output/failure")).unwrap_or_default(),
        Of::Processing => "See job logs for more information".to_owned(),
    };
    let room = MAX_CHARS - "AlgorithmError: ".len() - exit.len();
    let told: String = told.chars().take(room).collect();
    Outcome::Failed(format!("AlgorithmError: {told}{exit}"))
}

/// The host that failed of its own: one that had too little memory, else one that exited by itself, else any. Its exit code as a shell has it.
fn culprit(status: &WorkStatus) -> (usize, i32, bool) {
    let mut worst: Option<(u8, usize, i32, bool)> = None;
    for (index, host) in status.hosts.iter().enumerate() {
        let HostState::Exited { code, signal, oom, .. } = host else { continue };
        let found = match (code, signal) {
            (Some(0), _) => continue,
            (_, _) if *oom => (0, index, code.unwrap_or(137), true),
            (Some(code), _) => (1, index, *code, false),
            (None, signal) => (2, index, 128 + signal.unwrap_or(0), false),
        };
        if worst.is_none_or(|worst| found.0 < worst.0) {
            worst = Some(found);
        }
    }
    worst.map_or((0, 1, false), |(_, index, code, oom)| (index, code, oom))
}

/// The beginning of a file that a job left for its owner.
pub(crate) fn said(home: &Home, name: &str) -> Option<String> {
    let (dir, rest) = home.locate(Path::new(name));
    let file = files::open(dir, &rest).ok()?;
    let mut bytes = Vec::new();
    file.take(4 * MAX_CHARS as u64).read_to_end(&mut bytes).ok()?;
    let text = clip(String::from_utf8_lossy(&bytes).trim());
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use tenantry_core::Timestamp;

    use super::*;

    fn ended(hosts: &[(Option<i32>, Option<i32>, bool)]) -> WorkStatus {
        let state = |(code, signal, oom): &(Option<i32>, Option<i32>, bool)| HostState::Exited {
            code: *code,
            signal: *signal,
            oom: *oom,
            cpu_millis: 0,
            max_rss_bytes: 0,
        };
        WorkStatus {
            hosts: hosts.iter().map(state).collect(),
            started: Timestamp::default(),
            ended: None,
            timed_out: false,
            stopped: false,
            disk_full: false,
            failure: None,
            progress: None,
        }
    }

    fn failed(of: Of, status: &WorkStatus, homes: &[Home]) -> String {
        match outcome(of, status, homes) {
            Outcome::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn endings() {
        assert_eq!(outcome(Of::Training, &ended(&[(Some(0), None, false), (Some(0), None, true)]), &[]), Outcome::Completed);
        let stopped = WorkStatus { stopped: true, timed_out: true, ..ended(&[(None, Some(9), false)]) };
        assert_eq!(outcome(Of::Training, &stopped, &[]), Outcome::Stopped);
        let late = WorkStatus { timed_out: true, ..ended(&[(Some(1), None, false)]) };
        assert_eq!(outcome(Of::Training, &late, &[]), Outcome::OutOfTime);
        assert_eq!(failed(Of::Training, &ended(&[(Some(2), None, false)]), &[]), "AlgorithmError: , exit code: 2");
        assert!(failed(Of::Training, &ended(&[(None, Some(9), true)]), &[]).ends_with("instance., exit code: 137"));
        assert_eq!(
            failed(Of::Processing, &ended(&[(None, Some(11), false)]), &[]),
            "AlgorithmError: See job logs for more information, exit code: 139"
        );
        let full = WorkStatus { disk_full: true, ..ended(&[(None, Some(9), true)]) };
        assert_eq!(failed(Of::Training, &full, &[]), DISK_FULL);
        let broken = WorkStatus { failure: Some("no `x`".into()), ..ended(&[(None, None, false)]) };
        assert_eq!(failed(Of::Processing, &broken, &[]), "ClientError: cannot start the container: no `x`");
    }

    #[test]
    fn the_host_that_failed_first_is_asked() {
        let dir = std::env::temp_dir().join(format!("tenantry-reason-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("output")).unwrap();
        std::fs::write(dir.join("output/failure"), format!("ExecuteUserScriptError:\n{}", "y".repeat(5000))).unwrap();
        let homes = [Home::plain(Path::new("/nonexistent")), Home::plain(&dir)];
        let reason = failed(Of::Training, &ended(&[(None, Some(15), false), (Some(1), None, false)]), &homes);
        assert!(reason.starts_with("AlgorithmError: ExecuteUserScriptError:\nyyy") && reason.ends_with("y, exit code: 1"), "{reason}");
        assert_eq!(reason.chars().count(), MAX_CHARS);
        std::fs::remove_file(dir.join("output/failure")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("output/failure")).unwrap();
        assert_eq!(said(&homes[1], "output/failure"), None, "a link leads nowhere");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn downloads() {
        let at = S3Uri::parse("s3://bucket/p").unwrap();
        let text = not_downloaded(&TransferError::Nothing(at.clone()), "us-east-1", "arn:r");
        assert!(text.starts_with("ClientError: Data download failed:No S3 objects found under S3 URL \"s3://bucket/p\" given"), "{text}");
        let denied = TransferError::Refused { at, error: Box::new(AwsError::new(403, "AccessDenied", "Access Denied")) };
        assert!(not_downloaded(&denied, "us-east-1", "arn:r").ends_with("Error message from S3: AccessDenied: Access Denied"));
        assert!(not_uploaded(&denied).starts_with("ClientError: Artifact upload failed:AccessDenied: Access Denied"));
    }
}
