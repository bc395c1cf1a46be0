//! One run of one input, and what is a finding: a panic anywhere, an input that takes too long, one that makes too much memory.
//!
//! Time is the running thread's on the processor, because machines are shared, and is measured again before it counts. Memory is what the running thread holds at once.
//! Not here: what kills the process (a stack that overflows, memory beyond the process's limit); for that the input in flight
//! is in a file, which whoever started the process reads.

use std::{
    cell::Cell,
    fs::File,
    os::unix::fs::FileExt,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, Once, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// An input that takes longer is a finding.
pub const SLOW: Duration = Duration::from_secs(1);

/// Why an input is a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `panic`, `slow` or `memory`.
    pub kind: &'static str,
    /// Where and what; the same cause has the same text.
    pub cause: String,
}

/// The first panic since it was asked last, of any thread.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

thread_local! {
    /// Whether a target is running on this thread: its panics are findings and not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// The kernel's account of this thread, where it keeps one.
    static ACCOUNT: Option<File> = File::open("/proc/thread-self/schedstat").ok();
}

/// Remembers panics instead of printing them.
pub fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() && !std::thread::current().name().is_some_and(|name| name.starts_with("tokio")) {
                return before(info);
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            let text = info.payload_as_str().unwrap_or("a panic without text");
            let text: String = text.chars().take(300).collect();
            PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(format!("{place}: {text}"));
        }));
    });
}

/// How long this thread has been on a processor; how long it has been, where nobody counts that.
fn spent() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let nanoseconds = ACCOUNT.with(|account| {
        let mut text = [0; 64];
        let length = account.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.split(' ').next()?.parse().ok()
    });
    nanoseconds.map_or_else(|| BEGAN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn panicked() -> Option<String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs `target` on `input`, holding it to `memory` bytes.
pub fn run(target: &mut dyn FnMut(&[u8]), input: &[u8], memory: u64) -> Option<Finding> {
    hook();
    let _stale = panicked();
    let mut once = || {
        let begun = spent();
        let mut outcome = Ok(());
        QUIET.set(true);
        let held = allocation_counter::measure(|| outcome = panic::catch_unwind(AssertUnwindSafe(|| target(input))));
        QUIET.set(false);
        (spent().saturating_sub(begun), held.bytes_max, outcome.is_err())
    };
    let (took, held, unwound) = once();
    if let Some(cause) = panicked().or_else(|| unwound.then(|| "unwound without a panic".to_owned())) {
        return Some(Finding { kind: "panic", cause });
    }
    if held > memory {
        return Some(Finding { kind: "memory", cause: format!("more than {} MiB at once", memory >> 20) });
    }
    if took > SLOW && (0..2).all(|_| once().0 > SLOW) {
        return Some(Finding { kind: "slow", cause: format!("more than {} s, three times", SLOW.as_secs()) });
    }
    None
}

/// A smaller input with the same finding: pieces are left out for as long as it stays. Bounded by `tries`.
pub fn minimize(target: &mut dyn FnMut(&[u8]), input: &[u8], memory: u64, finding: &Finding, tries: usize) -> Vec<u8> {
    // Digits differ between an input and its shorter sisters; the place does not.
    let same = |other: &Finding| other.kind == finding.kind && alike(&other.cause) == alike(&finding.cause);
    let (mut best, mut piece, mut left) = (input.to_vec(), input.len().div_ceil(2), tries);
    while piece > 0 && left > 0 {
        let mut at = 0;
        while at < best.len() && left > 0 {
            let shorter = [&best[..at], &best[(at + piece).min(best.len())..]].concat();
            left -= 1;
            if run(target, &shorter, memory).as_ref().is_some_and(same) {
                best = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

/// A cause without what depends on the input: its place, and the text's beginning without digits.
#[must_use]
pub fn alike(cause: &str) -> String {
    let (place, text) = cause.split_once(": ").unwrap_or((cause, ""));
    format!("{place} {}", text.chars().filter(|c| !c.is_ascii_digit()).take(24).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_finding_and_its_smallest_form() {
        let mut target = |input: &[u8]| {
            assert!(!input.windows(2).any(|pair| pair == b"ab"), "found in {} bytes", input.len());
            if input.first() == Some(&b'm') {
                drop(std::hint::black_box(vec![1_u8; 3 << 20]));
            }
        };
        assert_eq!(run(&mut target, b"a-b", 1 << 20), None);
        let finding = run(&mut target, b"xxxxxabxxxx", 1 << 20).unwrap();
        assert_eq!(finding.kind, "panic");
        assert!(finding.cause.contains("trial.rs:") && finding.cause.ends_with("found in 11 bytes"), "{finding:?}");
        assert_eq!(minimize(&mut target, b"xxxxxabxxxx", 1 << 20, &finding, 1000), b"ab");
        assert_eq!(run(&mut target, b"m", 1 << 20).unwrap().kind, "memory");
        assert_eq!(run(&mut target, b"m", 4 << 20), None);
    }

    #[test]
    fn panics_of_other_threads_count() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut target = |_: &[u8]| runtime.block_on(async { assert!(tokio::spawn(async { panic!("behind a task") }).await.is_err()) });
        assert_eq!(run(&mut target, b"", 1 << 20).unwrap().cause.split(": ").last(), Some("behind a task"));
    }
}
