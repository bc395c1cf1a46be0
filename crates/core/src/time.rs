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
        let format = if millis { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
        self.format(format)
    }
    /// `20261122T140617Z`: SigV4's form.
    #[must_use]
    pub fn basic(self) -> String {
        self.format("%Y%m%dT%H%M%SZ")
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
