//! Scalars between text and [`Value`], for everything that is not a JSON body: query parameters, XML text,
//! headers, labels.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Number, Value};
use tenantry_core::Timestamp;

use crate::model::{Kind, TimestampFormat};

/// A scalar from its text; `None` when the text is not of that kind.
pub(crate) fn parse(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::String => Some(Value::String(text.to_owned())),
        Kind::Boolean => match text.trim_ascii() {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Integer => text.trim_ascii().parse::<i32>().ok().map(Value::from),
        Kind::Long => text.trim_ascii().parse::<i64>().ok().map(Value::from),
        Kind::Float | Kind::Double => text.trim_ascii().parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
        Kind::Timestamp => timestamp(text.trim_ascii()),
        Kind::Blob => STANDARD.decode(text.trim_ascii()).ok().map(|bytes| Value::String(STANDARD.encode(bytes))),
        Kind::Document | Kind::Structure(_) | Kind::List(_) | Kind::Map(..) => None,
    }
}

/// Seconds: the whole number where there is no fraction.
pub(crate) fn seconds(timestamp: Timestamp) -> Value {
    if timestamp.millis() % 1000 == 0 { Value::from(timestamp.secs()) } else { Value::from(timestamp.millis() as f64 / 1000.0) }
}

/// From any form that AWS accepts.
pub(crate) fn timestamp(text: &str) -> Option<Value> {
    if let Some(timestamp) = Timestamp::parse(text) {
        return Some(seconds(timestamp));
    }
    // Dates without an offset are UTC; some clients send a bare date.
    if text.len() >= 10 && text.as_bytes()[4] == b'-' {
        let completed = if text.contains('T') { format!("{text}Z") } else { format!("{text}T00:00:00Z") };
        return Timestamp::parse(&completed).map(seconds);
    }
    instant(&Value::Number(text.parse::<f64>().ok().and_then(Number::from_f64)?)).map(seconds)
}

/// A number of seconds within the years that a timestamp can be written in (to 9999).
pub(crate) fn instant(value: &Value) -> Option<Timestamp> {
    const LIMIT: f64 = 253_402_300_800.0;
    let secs = value.as_f64()?;
    (secs.abs() < LIMIT).then(|| Timestamp::from_millis((secs * 1000.0).round() as i64))
}

/// The text of a scalar for headers and XML; empty for what is not a scalar.
pub(crate) fn text(value: &Value, kind: &Kind, format: TimestampFormat, millis: bool) -> String {
    if matches!(kind, Kind::Timestamp)
        && let Some(timestamp) = instant(value)
    {
        return match format {
            TimestampFormat::Iso8601 => timestamp.iso8601(millis || timestamp.millis() % 1000 != 0),
            TimestampFormat::Unix => seconds(timestamp).to_string(),
            TimestampFormat::Http => timestamp.http_date(),
        };
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        assert_eq!(parse(&Kind::Integer, "2147483647"), Some(Value::from(2_147_483_647)));
        for (kind, text) in [
            (Kind::Integer, "2147483648"),
            (Kind::Integer, ""),
            (Kind::Integer, "1.5"),
            (Kind::Long, "9223372036854775808"),
            (Kind::Double, "nan"),
            (Kind::Double, "1e999"),
            (Kind::Boolean, "yes"),
            (Kind::Blob, "*"),
            (Kind::Timestamp, "yesterday"),
            (Kind::Timestamp, "1e300"),
            (Kind::Timestamp, "é-é-é-é-é"),
        ] {
            assert_eq!(parse(&kind, text), None, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        for text in ["2026-11-22T14:06:17Z", "20261122T140617Z", "Sun, 22 Nov 2026 14:06:17 GMT", "1795356377", "2026-11-22T14:06:17"] {
            assert_eq!(timestamp(text), Some(Value::from(1_795_356_377)), "{text}");
        }
        assert_eq!(timestamp("1795356377.25"), Some(Value::from(1_795_356_377.25)));
        let value = Value::from(1_795_356_377.25);
        assert_eq!(text(&value, &Kind::Timestamp, TimestampFormat::Iso8601, false), "2026-11-22T14:06:17.250Z");
        assert_eq!(text(&value, &Kind::Timestamp, TimestampFormat::Unix, false), "1795356377.25");
        assert_eq!(text(&value, &Kind::Timestamp, TimestampFormat::Http, false), "Sun, 22 Nov 2026 14:06:17 GMT");
        assert_eq!(text(&Value::from(0), &Kind::Timestamp, TimestampFormat::Iso8601, true), "1970-01-01T00:00:00.000Z");
    }
}
