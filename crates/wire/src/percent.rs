//! Percent-encoding of paths and form pairs, strictly: a broken escape or bytes that are not UTF-8 are refused
//! rather than guessed, because the guess could name another resource than the one that was signed.

use tenantry_core::{AwsError, Result};

/// Parameters of one request. The largest that a served operation needs is a few hundred.
const MAX_PARAMS: usize = 10_000;

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Decodes a path segment or an S3 key; `+` stays. `None` for a broken escape or bytes that are not UTF-8.
#[must_use]
pub fn percent_decode(text: &str) -> Option<String> {
    decode(text, false)
}

/// Splits and decodes a query string or form body, in order; a name without `=` has an empty value.
///
/// # Errors
/// `MalformedQueryString` for a broken escape, bytes that are not UTF-8, or more than 10,000 pairs.
pub fn parse_query(text: &str) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        if out.len() == MAX_PARAMS {
            return Err(malformed("The query string has too many parameters."));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decode(name, true).zip(decode(value, true));
        out.push(decoded.ok_or_else(|| malformed("The query string contains a syntax error."))?);
    }
    Ok(out)
}

fn malformed(message: &str) -> AwsError {
    AwsError::new(400, "MalformedQueryString", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(percent_decode("a%2Fb+c%20%C3%A9").as_deref(), Some("a/b+c é"));
        for text in ["%", "%2", "%zz", "%ff", "%+1", "a%C3"] {
            assert_eq!(percent_decode(text), None, "{text}");
        }
    }

    #[test]
    fn pairs() {
        let pairs = parse_query("&tagging&a=b+c%2B&d==&&e=").unwrap();
        let expected = [("tagging", ""), ("a", "b c+"), ("d", "="), ("e", "")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(parse_query("a=%").is_err());
        assert!(parse_query(&"a&".repeat(MAX_PARAMS)).is_ok());
        assert!(parse_query(&"a&".repeat(MAX_PARAMS + 1)).is_err());
    }
}
