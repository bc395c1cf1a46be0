//! The canonical request and the string to sign (AWS page "Create a signed AWS API request").
//!
//! The encoding is done on decoded text, so that `%7e`, `%7E` and `~` sign alike, as they do at AWS.

use crate::{ALGORITHM, is_s3, key::sha256_hex};

/// Percent-encodes all but the unreserved characters (and `/` where `slash` is left).
pub(crate) fn encode(bytes: &[u8], slash: bool) -> String {
    if bytes == b"/" && slash {
        return "/".to_owned();
    }
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b'/' if slash => out.push('/'),
            _ => out.extend(['%', char::from(DIGITS[usize::from(b >> 4)]), char::from(DIGITS[usize::from(b & 15)])]),
        }
    }
    out
}

/// Percent-decodes; a `%` that starts no valid escape stays as it is (see [`well_escaped`]).
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escape = (bytes[i] == b'%').then(|| Some((digit(*bytes.get(i + 1)?)? << 4) | digit(*bytes.get(i + 2)?)?)).flatten();
        out.push(escape.unwrap_or(bytes[i]));
        i += if escape.is_some() { 3 } else { 1 };
    }
    out
}

/// Whether each `%` starts a valid escape. One that does not would sign like its own escape `%25`.
pub(crate) fn well_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn digit(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The path as the service's clients sign it. S3: each character encoded once. All others: what is on the wire is encoded
/// again, after (`normal`) or without removing dot segments and doubled slashes; SDKs differ, so a verifier tries both.
pub(crate) fn path(raw: &str, service: &str, normal: bool) -> String {
    let raw = if raw.is_empty() { "/" } else { raw };
    if is_s3(service) {
        encode(&decode(raw), true)
    } else if normal {
        encode(normal_path(raw).as_bytes(), true)
    } else {
        encode(raw.as_bytes(), true)
    }
}

/// The path without dot segments (RFC 3986, 5.2.4) and doubled slashes. Outside S3 a signature may cover no more of the path
/// than this, so it is what a caller should route by.
#[must_use]
pub fn normal_path(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false;
    for segment in raw.split('/') {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let tail = if open && !kept.is_empty() { "/" } else { "" };
    format!("/{}{tail}", kept.join("/"))
}

/// The parameters of a raw query, decoded; a parameter without `=` has an empty value. A `+` is a space, because that is how
/// the services read it: were it signed as a plus, changing `%2B` to `+` on the way would change the request unnoticed.
pub(crate) fn params(raw: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
    })
}

/// The query, encoded, sorted by name and then value, without the parameters that `keep` refuses.
pub(crate) fn query(raw: &str, keep: impl Fn(&[u8]) -> bool) -> String {
    if raw.is_empty() {
        return String::new();
    }
    let mut pairs: Vec<_> =
        params(raw).filter(|(name, _)| keep(name)).map(|(name, value)| (encode(&name, false), encode(&value, false))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Appends one header's canonical line without its end: values joined by `,`, each trimmed and with inner white space folded.
fn header(name: &str, headers: &[(&str, &str)], out: &mut String) {
    out.push_str(name);
    out.push(':');
    for (at, (_, value)) in headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).enumerate() {
        if at > 0 {
            out.push(',');
        }
        let words = value.split([' ', '\t', '\r', '\n', '\x0b', '\x0c']).filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            if at > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
}

/// The whole canonical request; `names` are the signed headers, sorted.
pub(crate) fn request(method: &str, path: &str, query: &str, headers: &[(&str, &str)], names: &[impl AsRef<str>], payload: &str) -> String {
    let mut out = String::with_capacity(512 + path.len() + query.len());
    for part in [method, path, query] {
        out.push_str(part);
        out.push('\n');
    }
    for name in names {
        header(name.as_ref(), headers, &mut out);
        out.push('\n');
    }
    for (at, name) in names.iter().enumerate() {
        out.push(if at == 0 { '\n' } else { ';' });
        out.push_str(name.as_ref());
    }
    if names.is_empty() {
        out.push('\n');
    }
    out.push('\n');
    out.push_str(payload);
    out
}

/// The string to sign of a canonical request; `date` is `YYYYMMDDTHHMMSSZ`.
pub(crate) fn string_to_sign(date: &str, scope: &str, canonical: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()))
}
