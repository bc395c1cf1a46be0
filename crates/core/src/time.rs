//! Instants, in milliseconds since the epoch. The clock itself is the kernel's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z. In documents and in `wire` values it is a JSON number of
/// **seconds** with up to three decimals, which `wire` writes in each protocol's own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }
    /// From seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1000)
    }
    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// This instant moved by `millis` (which may be negative).
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
    /// This instant moved by `secs`.
    #[must_use]
    pub const fn plus_secs(self, secs: i64) -> Self {
        self.plus_millis(secs.saturating_mul(1000))
    }
    /// `2026-11-22T14:06:17Z` or, with `millis`, `2026-11-22T14:06:17.123Z`.
    #[must_use]
    pub fn iso8601(self, millis: bool) -> String {
        let Some(civil) = Civil::of(self) else {
            return self.format(if millis { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%SZ" });
        };
        let mut out = String::with_capacity(24);
        civil.write(&mut out, "-", ":");
        if millis {
            out.push('.');
            digits(&mut out, self.0.rem_euclid(1000), 3);
        }
        out.push('Z');
        out
    }
    /// `20261122T140617Z`: SigV4's form.
    #[must_use]
    pub fn basic(self) -> String {
        let Some(civil) = Civil::of(self) else { return self.format("%Y%m%dT%H%M%SZ") };
        let mut out = String::with_capacity(16);
        civil.write(&mut out, "", "");
        out.push('Z');
        out
    }
    /// `Sun, 22 Nov 2026 14:06:17 GMT`: HTTP's form.
    #[must_use]
    pub fn http_date(self) -> String {
        self.format("%a, %d %b %Y %H:%M:%S GMT")
    }
    /// `strftime` in UTC.
    #[must_use]
    pub fn format(self, format: &str) -> String {
        jiff::Timestamp::from_millisecond(self.0).map(|t| t.strftime(format).to_string()).unwrap_or_default()
    }
    /// From RFC 3339 / ISO 8601 text (an offset is required), `YYYYMMDDTHHMMSSZ`, or HTTP's date form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(parsed) = Civil::parse_basic(text) {
            return Some(parsed);
        }
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Some(Self(t.as_millisecond()));
        }
        for format in ["%Y%m%dT%H%M%SZ", "%a, %d %b %Y %H:%M:%S GMT"] {
            if let Ok(t) = jiff::civil::DateTime::strptime(format, text) {
                return t.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| Self(z.timestamp().as_millisecond()));
            }
        }
        None
    }
}

/// A date and a time of day of the years 0 to 9999, in UTC: written and read for every request, so without a format to interpret.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// Of the day.
    second: i64,
}

const DAY: i64 = 86_400;

/// Appends a number that is not negative in so many digits.
fn digits(out: &mut String, number: i64, width: u32) {
    for at in (0..width).rev() {
        out.push(char::from(b'0' + (number / 10_i64.pow(at) % 10) as u8));
    }
}

impl Civil {
    /// "chrono-Compatible Low-Level Date Algorithms" (Hinnant): years begin in March, so that the leap day is the last.
    fn of(time: Timestamp) -> Option<Self> {
        let (days, second) = (time.secs().div_euclid(DAY), time.secs().rem_euclid(DAY));
        // 0000-01-01 and 9999-12-29: what comes behind is the formats' to say, for the last offsets reach beyond a year.
        if !(-719_528..=2_932_894).contains(&days) {
            return None;
        }
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Some(Self { year, month, day: of_year - (153 * from_march + 2) / 5 + 1, second })
    }

    fn write(&self, out: &mut String, dash: &str, colon: &str) {
        digits(out, self.year, 4);
        out.push_str(dash);
        digits(out, self.month, 2);
        out.push_str(dash);
        digits(out, self.day, 2);
        out.push('T');
        digits(out, self.second / 3600, 2);
        out.push_str(colon);
        digits(out, self.second / 60 % 60, 2);
        out.push_str(colon);
        digits(out, self.second % 60, 2);
    }

    /// `20261122T140617Z`; `None` for anything else, and for what is no date.
    fn parse_basic(text: &str) -> Option<Timestamp> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().try_fold(0, |so_far, byte| byte.is_ascii_digit().then(|| so_far * 10 + i64::from(byte - b'0')))
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
        if bytes[8] != b'T' || bytes[15] != b'Z' || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let year = if month > 2 { year } else { year - 1 };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468;
        let time = Timestamp::from_secs(days * DAY + hour * 3600 + minute * 60 + second);
        // A day that the month does not have comes out as another one.
        Self::of(time).filter(|civil| civil.month == month && civil.day == day).map(|_| time)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1000 == 0 { serializer.serialize_i64(self.0 / 1000) } else { serializer.serialize_f64(self.0 as f64 / 1000.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secs = f64::deserialize(deserializer)?;
        Ok(Self((secs * 1000.0).round() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_the_formats_say() {
        let day = DAY * 1000;
        let near = (-800_000..3_000_000).step_by(97).map(|days| days * day + days % 86_400 * 1000 + days % 1000);
        let edges = [-719_528 * day, -719_528 * day - 1, 2_932_895 * day - 1, 2_932_895 * day, 2_932_896 * day, 2_932_897 * day, 0, -1];
        for t in near.chain(edges).map(Timestamp::from_millis) {
            let by_format =
                |format: &str| jiff::Timestamp::from_millisecond(t.millis()).map(|t| t.strftime(format).to_string()).unwrap_or_default();
            assert_eq!(t.iso8601(false), by_format("%Y-%m-%dT%H:%M:%SZ"), "{}", t.millis());
            assert_eq!(t.iso8601(true), by_format("%Y-%m-%dT%H:%M:%S%.3fZ"), "{}", t.millis());
            assert_eq!(t.basic(), by_format("%Y%m%dT%H%M%SZ"), "{}", t.millis());
        }
    }

    #[test]
    fn what_is_read_by_hand_is_what_the_format_says() {
        for text in [
            "20240229T235959Z",
            "20230229T000000Z",
            "20241301T000000Z",
            "20240001T000000Z",
            "20240100T000000Z",
            "20240431T000000Z",
            "20240101T240000Z",
            "20240101T006000Z",
            "20240101T000060Z",
            "20240101t000000z",
            "2024010AT000000Z",
            "00000101T000000Z",
            "99991231T235959Z",
            "99991229T235959Z",
            "20240101T000000",
            "20240101T000000ZZ",
            "19000228T120000Z",
            "20000229T120000Z",
            "21000229T120000Z",
        ] {
            let by_format = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok();
            let by_format =
                by_format.and_then(|t| t.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|z| Timestamp(z.timestamp().as_millisecond()));
            let by_hand = Civil::parse_basic(text);
            assert!(by_hand.is_none() || by_hand == by_format, "{text}: {by_hand:?} {by_format:?}");
        }
        assert_eq!(Civil::parse_basic("20240229T235959Z"), Some(Timestamp::from_secs(1_709_251_199)));
        assert_eq!(Civil::parse_basic("20230229T000000Z"), None);
    }

    #[test]
    fn forms() {
        let t = Timestamp::from_millis(1_795_356_377_123);
        for text in [t.iso8601(false), t.basic(), t.http_date()] {
            assert_eq!(Timestamp::parse(&text), Some(Timestamp::from_secs(t.secs())), "{text}");
        }
        assert_eq!(Timestamp::parse(&t.iso8601(true)), Some(t));
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(json, "1795356377.123");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
    }
}
