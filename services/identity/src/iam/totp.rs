//! One-time codes by time (RFC 6238 over RFC 4226): six digits, HMAC-SHA1, steps of thirty seconds.
//!
//! Pure: the instant and the last step that was used are arguments. A code counts for its own step and one
//! before and after it, and only where its step is behind the last one that was accepted: once.

use ring::hmac;
use tenantry_core::Timestamp;

/// Seconds of a step.
const STEP: i64 = 30;
/// Steps before and after the present one whose codes count.
const WINDOW: i64 = 1;
/// Steps by which a device may be off when it is synchronised anew: an hour.
const RESYNC: i64 = 120;
/// Bytes of a seed: 64 characters of base32, as AWS's.
pub(crate) const SEED: usize = 40;

/// The step of an instant.
pub(crate) fn step(now: Timestamp) -> i64 {
    now.secs().div_euclid(STEP)
}

/// The code of a step.
pub(crate) fn code(seed: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 0x0f);
    let word = u32::from_be_bytes([bytes[at] & 0x7f, bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    format!("{:06}", word % 1_000_000)
}

fn is(seed: &[u8], step: i64, given: &str) -> bool {
    use subtle::ConstantTimeEq;
    code(seed, step).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The step of a good code; `drift` is by how many steps the device is off, `last` the last step that was used.
pub(crate) fn accept(seed: &[u8], now: Timestamp, drift: i64, last: i64, given: &str) -> Option<i64> {
    let middle = step(now) + drift;
    (middle - WINDOW..=middle + WINDOW).filter(|step| *step > last).find(|step| is(seed, *step, given))
}

/// The step of the second of two codes in a row; `wide` looks further, for devices that are off.
pub(crate) fn accept_two(seed: &[u8], now: Timestamp, last: i64, first: &str, second: &str, wide: bool) -> Option<i64> {
    let (middle, window) = (step(now), if wide { RESYNC } else { WINDOW });
    (middle - window..=middle + window).filter(|step| *step > last).find(|step| is(seed, *step, second) && is(seed, *step - 1, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, SHA-1: of its eight digits the last six.
    #[test]
    fn the_vectors_of_the_standard() {
        let seed = b"12345678901234567890";
        for (secs, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(seed, step(Timestamp::from_secs(secs))), expected, "at {secs}");
        }
    }

    #[test]
    fn one_step_around_and_once() {
        let (seed, now) = (b"12345678901234567890".as_slice(), Timestamp::from_secs(1_795_000_015));
        let at = step(now);
        for (offset, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let given = code(seed, at + offset);
            assert_eq!(accept(seed, now, 0, i64::MIN, &given), good.then_some(at + offset), "{offset}");
        }
        let given = code(seed, at);
        assert_eq!(accept(seed, now, 0, at, &given), None, "a code counts once");
        assert_eq!(accept(seed, now, 0, at, &code(seed, at - 1)), None, "and none from before it");
        assert_eq!(accept(seed, now, 10, i64::MIN, &code(seed, at + 11)), Some(at + 11), "a device that is ahead");
        assert_eq!(accept(seed, now, 0, i64::MIN, ""), None);
    }

    #[test]
    fn two_in_a_row() {
        let (seed, now) = (b"12345678901234567890".as_slice(), Timestamp::from_secs(1_795_000_015));
        let at = step(now);
        let pair = |second: i64| (code(seed, second - 1), code(seed, second));
        let (first, second) = pair(at);
        assert_eq!(accept_two(seed, now, i64::MIN, &first, &second, false), Some(at));
        assert_eq!(accept_two(seed, now, i64::MIN, &second, &first, false), None, "in order");
        assert_eq!(accept_two(seed, now, i64::MIN, &second, &second, false), None);
        let (first, second) = pair(at - 40);
        assert_eq!(accept_two(seed, now, i64::MIN, &first, &second, false), None);
        assert_eq!(accept_two(seed, now, i64::MIN, &first, &second, true), Some(at - 40));
        let (first, second) = pair(at - RESYNC - 1);
        assert_eq!(accept_two(seed, now, i64::MIN, &first, &second, true), None);
    }
}
