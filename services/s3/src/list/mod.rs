//! Listings: of objects, of versions, and (in `upload`) of uploads.

pub(crate) mod cursor;
pub(crate) mod objects;
pub(crate) mod versions;

use tenantry_core::Result;

use crate::error;

/// The most entries of a page, and what a page has where the client does not say.
pub(crate) const MAX_PAGE: usize = 1000;

/// How many entries a page is to have.
///
/// # Errors
/// `InvalidArgument` for a negative number.
pub(crate) fn page(asked: Option<i64>, name: &'static str) -> Result<usize> {
    match asked {
        None => Ok(MAX_PAGE),
        Some(asked) => usize::try_from(asked)
            .map(|asked| asked.min(MAX_PAGE))
            .map_err(|_| error::argument("Argument maxKeys must be an integer between 0 and 2147483647", name, &asked.to_string())),
    }
}

/// Text as `encoding-type=url` has it; a key may hold what no XML can.
pub(crate) fn encoded(text: &str, url: bool) -> String {
    if !url {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Whether the client asked for `encoding-type=url`.
///
/// # Errors
/// `InvalidArgument` for another type.
pub(crate) fn wants_url(encoding: Option<&str>) -> Result<bool> {
    match encoding {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => Err(error::argument("Invalid Encoding Method specified in Request", "encoding-type", other)),
    }
}

/// The part of a key that ends with the first delimiter behind the prefix: what keys are rolled up to.
pub(crate) fn rolled<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter.filter(|text| !text.is_empty())?;
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}
