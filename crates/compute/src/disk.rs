//! What a host of a workload has written on the server's disk, watched.
//!
//! File systems differ in the quotas that they offer, and most offer none to a server without privileges; so the
//! directories that a payload can write are counted from time to time: as often as a fast disk could fill what is left,
//! and not so often that counting becomes work of its own. Between two looks a payload can pass its limit by what
//! a disk writes meanwhile. A single file above the limit fails at once (RLIMIT_FSIZE, in the sandbox).

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use tenantry_sandbox::files;

/// A disk that writes faster makes a payload pass its limit by more.
const BYTES_PER_SECOND: u64 = 1 << 30;
/// Between looks, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A look takes at most this part of the time.
const PART_OF_TIME: u32 = 20;

/// Ends when the directories take more than `limit` bytes together, or hide something.
pub(crate) async fn until_over(dirs: Vec<PathBuf>, limit: u64) {
    let mut pause = pause(0, limit, Duration::ZERO);
    loop {
        tokio::time::sleep(pause).await;
        let (counted, started) = (dirs.clone(), Instant::now());
        match tokio::task::spawn_blocking(move || used(&counted, limit)).await {
            Ok(Ok(used)) if used <= limit => pause = self::pause(used, limit, started.elapsed()),
            Ok(Ok(_)) => return,
            // Being removed: whoever does that ends this too.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => pause = PAUSE.1,
            Ok(Err(error)) => {
                tracing::info!(%error, "a payload hides what it writes");
                return;
            }
            Err(error) => tracing::error!(%error, "a look at a disk died"),
        }
    }
}

fn used(dirs: &[PathBuf], limit: u64) -> io::Result<u64> {
    let mut sum = 0u64;
    for dir in dirs {
        sum = sum.saturating_add(files::disk_usage(dir, limit.saturating_sub(sum))?);
        if sum > limit {
            break;
        }
    }
    Ok(sum)
}

/// Until the next look, after one that took `took`.
fn pause(used: u64, limit: u64, took: Duration) -> Duration {
    let full = Duration::from_secs(limit.saturating_sub(used) / BYTES_PER_SECOND);
    full.clamp(PAUSE.0, PAUSE.1).max(took * PART_OF_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_more_frequent() {
        let gib = |count: u64| count << 30;
        assert_eq!(pause(0, gib(1), Duration::ZERO), Duration::from_secs(1));
        assert_eq!(pause(gib(20), gib(30), Duration::ZERO), Duration::from_secs(10));
        assert_eq!(pause(0, gib(500), Duration::ZERO), PAUSE.1);
        assert_eq!(pause(gib(30), gib(30), Duration::ZERO), PAUSE.0);
        assert_eq!(pause(gib(30), gib(30), Duration::from_secs(2)), Duration::from_secs(40), "a look that takes long");
    }

    #[tokio::test]
    async fn ends_when_there_is_more() {
        let dir = std::env::temp_dir().join(format!("tenantry-disk-{}", std::process::id()));
        let dirs = [dir.join("a"), dir.join("b")];
        dirs.iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
        let watcher = tokio::spawn(until_over(dirs.to_vec(), 300_000));
        std::fs::write(dirs[0].join("x"), vec![1; 200_000]).unwrap();
        tokio::time::sleep(PAUSE.0 * 2).await;
        assert!(!watcher.is_finished());
        std::fs::write(dirs[1].join("y"), vec![1; 200_000]).unwrap();
        watcher.await.unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
