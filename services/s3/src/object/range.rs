//! The `Range` header: one range of bytes; anything else is the whole object, as S3 has it.

use tenantry_core::{AwsError, Result};

/// `start..start + len` of an object of `size` bytes; `None` for the whole.
///
/// # Errors
/// `InvalidRange` where it begins behind the end.
pub(crate) fn read(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>> {
    let Some(text) = header else { return Ok(None) };
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Ok(None) };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let span = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(count) => (size.saturating_sub(count), count.min(size)),
            None => return Ok(None),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() => (first, size.saturating_sub(first)),
            (Some(first), Some(last)) if last >= first => (first, last.min(size.saturating_sub(1)).saturating_add(1).saturating_sub(first)),
            _ => return Ok(None),
        },
    };
    if span.0 >= size || span.1 == 0 {
        return Err(AwsError::new(416, "InvalidRange", "The requested range is not satisfiable")
            .with("RangeRequested", text.chars().take(128).collect::<String>())
            .with("ActualObjectSize", size.to_string()));
    }
    Ok(Some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=2-5", Some((2, 4))),
            ("bytes=8-", Some((8, 2))),
            ("bytes=8-100", Some((8, 2))),
            ("bytes=-3", Some((7, 3))),
            ("bytes=-100", Some((0, 10))),
            ("bytes=5-2", None),
            ("bytes=0-1,4-5", None),
            ("bytes=x-y", None),
            ("chars=0-1", None),
            ("bytes=0-18446744073709551615", Some((0, 10))),
        ] {
            assert_eq!(read(Some(text), 10).unwrap(), expected, "{text}");
        }
        assert_eq!(read(None, 10).unwrap(), None);
        for text in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=18446744073709551615-"] {
            assert_eq!(read(Some(text), 10).unwrap_err().code, "InvalidRange", "{text}");
        }
        assert_eq!(read(Some("bytes=0-0"), 0).unwrap_err().code, "InvalidRange");
    }
}
