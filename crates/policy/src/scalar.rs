//! The typed values of conditions: decimals, instants, networks.
//!
//! Each parser answers `None` for anything it does not know; an unknown value equals nothing.

use std::cmp::Ordering;
use std::net::IpAddr;

/// A decimal of any size, compared exactly and without allocating.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    /// Without trailing zeros.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        Some(Self { negative: negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction })
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
            whole.then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

/// Seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(i64, u32);

impl Instant {
    /// The W3C profile of ISO 8601 (year, year-month, day, minute, second, fraction; `Z`, `±hh:mm`,
    /// `±hhmm`, or nothing for UTC) or epoch seconds. Four digits are a year, as ISO has it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.strip_prefix('-').unwrap_or(text).as_bytes();
        if bytes.len() != 4 && !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
            return text.parse().ok().map(|seconds| Self(seconds, 0));
        }
        let (date, time) = match text.find(['T', 't']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year = digits(parts.next()?, 4)?;
        let month = parts.next().map_or(Some(1), |part| digits(part, 2))?;
        let day = parts.next().map_or(Some(1), |part| digits(part, 2))?;
        if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        let midnight = days_since_epoch(year, month, day) * 86_400;
        let Some(time) = time else { return Some(Self(midnight, 0)) };
        let (clock, offset) = offset(time)?;
        let mut parts = clock.split(':');
        let hour = digits(parts.next()?, 2)?;
        let minute = digits(parts.next()?, 2)?;
        let (second, nanos) = parts.next().map_or(Some((0, 0)), seconds)?;
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self(midnight + hour * 3600 + minute * 60 + second - offset, nanos))
    }
}

fn digits(text: &str, len: usize) -> Option<i64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn seconds(text: &str) -> Option<(i64, u32)> {
    let Some((whole, fraction)) = text.split_once('.') else { return Some((digits(text, 2)?, 0)) };
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    Some((digits(whole, 2)?, nanos))
}

/// Splits the zone off: the clock and the seconds east of UTC.
fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (clock, zone) = (&time[..at], &time[at + 1..]);
    let (hours, minutes) = match zone.split_once(':') {
        Some(parts) => parts,
        None => (zone.get(..2)?, zone.get(2..)?),
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let east = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some((clock, if time.as_bytes()[at] == b'-' { -east } else { east }))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A network; one address is a network of full length. IPv4 and IPv6 never meet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if (1..=3).contains(&bits.len()) && bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Self { base, bits })
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// `true` or `false` in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let order = |a: &str, b: &str| Decimal::parse(a).unwrap().compare(&Decimal::parse(b).unwrap());
        for (a, b, want) in [
            ("1", "1.0", Ordering::Equal),
            ("007", "7", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("+5", "5", Ordering::Equal),
            (".5", "0.50", Ordering::Equal),
            ("9", "10", Ordering::Less),
            ("-9", "-10", Ordering::Greater),
            ("-1", "1", Ordering::Less),
            ("1.25", "1.3", Ordering::Less),
            ("1.2", "1.25", Ordering::Less),
            ("123456789012345678901234567890", "123456789012345678901234567891", Ordering::Less),
        ] {
            assert_eq!(order(a, b), want, "{a} {b}");
        }
        for text in ["", ".", "-", "1e3", "0x1", "1,5", " 1", "NaN", "--1", "1.2.3"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn instants() {
        let at = |text: &str| Instant::parse(text).unwrap();
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970", 0),
            ("2009-02", 1_233_446_400),
            ("2009-02-13", 1_234_483_200),
            ("2009-02-13T23:31:30Z", 1_234_567_890),
            ("2009-02-13T23:31Z", 1_234_567_860),
            ("2009-02-14T00:31:30+01:00", 1_234_567_890),
            ("2009-02-13T18:01:30-0530", 1_234_567_890),
            ("1234567890", 1_234_567_890),
            ("2024-02-29", 1_709_164_800),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(at(text), Instant(seconds, 0), "{text}");
        }
        assert!(at("2020-01-01T00:00:00.5Z") > at("2020-01-01T00:00:00Z"));
        for text in [
            "",
            "-",
            "2009-02-30",
            "2009-13-01",
            "2009-02-13T24:00Z",
            "2009-2-1",
            "2009-02-13T1Z",
            "tomorrow",
            "2009-02-13T10:00:61Z",
            "1.5",
        ] {
            assert!(Instant::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn networks() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", false),
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::1", "2001:DB8:0:0::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            assert_eq!(Network::parse(network).unwrap().holds(address.parse().unwrap()), want, "{network} {address}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "x", "10.0.0.0/8/8", ""] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
