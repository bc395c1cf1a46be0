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
    /// A version 4 UUID.
    #[must_use]
    pub fn uuid() -> String {
        let hex = Self::text(b"0123456789abcdef", 30);
        let variant = Self::text(b"89ab", 1);
        format!("{}-{}-4{}-{}{}-{}", &hex[..8], &hex[8..12], &hex[12..15], variant, &hex[15..18], &hex[18..30])
    }
}
