//! Time and randomness as parameters: a test moves the one and seeds the other.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tenantry_core::{Secret, Timestamp};

/// Where "now" comes from.
pub trait Clock: Send + Sync {
    /// This instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves when told: for tests.
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }
    /// Moves on.
    pub fn advance_secs(&self, secs: i64) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.plus_secs(secs);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Names and secrets out of the operating system's randomness.
pub struct Ids;

const UPPER: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Ids {
    fn text(alphabet: &[u8], len: usize) -> String {
        let mut out = String::with_capacity(len);
        let mut buffer = [0u8; 64];
        // Rejection sampling keeps every character equally likely.
        let fair = 256 - 256 % alphabet.len();
        while out.len() < len {
            getrandom::fill(&mut buffer).expect("the operating system gives randomness");
            for byte in buffer.iter().filter(|b| usize::from(**b) < fair) {
                if out.len() < len {
                    out.push(char::from(alphabet[usize::from(*byte) % alphabet.len()]));
                }
            }
        }
        out
    }
    /// `prefix` and 17 of `A-Z2-7`: the form of `AKIA…`, `AROA…`, `AIDA…` (21 characters in all).
    #[must_use]
    pub fn unique(prefix: &str) -> String {
        format!("{prefix}{}", Self::text(UPPER, 17))
    }
    /// An access key id: `AKIA` or `ASIA` and 16 characters.
    #[must_use]
    pub fn access_key(prefix: &str) -> String {
        format!("{prefix}{}", Self::text(UPPER, 16))
    }
    /// A secret access key: 40 characters.
    #[must_use]
    pub fn secret_key() -> Secret<String> {
        Secret::new(Self::text(BASE64, 40))
    }
    /// An opaque token of `len` characters.
    #[must_use]
    pub fn token(len: usize) -> String {
        Self::text(BASE64, len)
    }
    /// `len` of `a-z0-9`: execution ids, suffixes.
    #[must_use]
    pub fn lower(len: usize) -> String {
        Self::text(LOWER, len)
    }
    /// `len` digits, the first not zero.
    #[must_use]
    pub fn digits(len: usize) -> String {
        format!("{}{}", Self::text(b"123456789", 1), Self::text(b"0123456789", len.saturating_sub(1)))
    }
    /// A version 4 UUID. It names things and is no secret: its randomness is fetched for many at once.
    #[must_use]
    pub fn uuid() -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = POOL.with_borrow_mut(Pool::take);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut out = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        out
    }
}

thread_local! {
    static POOL: std::cell::RefCell<Pool> = const { std::cell::RefCell::new(Pool { bytes: [0; 1024], used: 1024 }) };
}

/// Random bytes of which none is given out twice.
struct Pool {
    bytes: [u8; 1024],
    used: usize,
}

impl Pool {
    fn take(&mut self) -> [u8; 16] {
        if self.used + 16 > self.bytes.len() {
            getrandom::fill(&mut self.bytes).expect("the operating system gives randomness");
            self.used = 0;
        }
        let taken = std::array::from_fn(|at| self.bytes[self.used + at]);
        self.used += 16;
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn uuids_are_of_version_four_and_all_different() {
        let ids: HashSet<String> = (0..1000).map(|_| Ids::uuid()).collect();
        assert_eq!(ids.len(), 1000);
        for id in &ids {
            assert_eq!(id.len(), 36);
            let parts: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
            assert!(id.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }
}
