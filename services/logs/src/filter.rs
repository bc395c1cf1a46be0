//! Filter patterns of unstructured events: terms, quoted phrases, `?any`, `-without`.
//!
//! Source: "Filter pattern syntax for metric filters, subscription filters, and filter log events",
//! the part on unstructured log events. JSON (`{ … }`), space-delimited (`[ … ]`) and regular
//! expression (`%…%`) patterns are refused with a name, not ignored.

use tenantry_core::Result;

use crate::model::invalid;

/// A parsed pattern. Terms are matched with their case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    /// Parses a pattern; empty text matches everything.
    ///
    /// # Errors
    /// `InvalidParameterException` for the kinds of pattern that are not available, and open quotes.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.starts_with(['{', '[', '%']) {
            return Err(invalid(
                "Only patterns for unstructured log events (terms, \"phrases\", ?any, -without) are available on this instance.",
            ));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (into, tail) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (term, tail) = match tail.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| invalid("Invalid filter pattern: a quote is not closed."))?,
                None => tail.split_once(char::is_whitespace).unwrap_or((tail, "")),
            };
            if !term.is_empty() {
                into.push(term.to_owned());
            }
            rest = tail.trim_start();
        }
        Ok(pattern)
    }

    /// Whether a message matches.
    #[must_use]
    pub fn matches(&self, message: &str) -> bool {
        // "?" terms combined with plain terms are ignored by AWS.
        let any = !self.all.is_empty() || self.any.is_empty() || self.any.iter().any(|term| message.contains(term));
        any && self.all.iter().all(|term| message.contains(term)) && !self.none.iter().any(|term| message.contains(term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, message, matches) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("ERROR code", "ERROR 7", false),
            ("\"not found\"", "file not found", true),
            ("\"not found\"", "found not", false),
            ("?ERROR ?WARN", "WARN x", true),
            ("?ERROR ?WARN", "INFO x", false),
            ("ERROR -Exiting", "ERROR Exiting", false),
            ("ERROR -Exiting", "ERROR again", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(message), matches, "{pattern} | {message}");
        }
        for refused in ["{ $.a = 1 }", "[a, b]", "%x%", "\"open"] {
            assert!(Pattern::parse(refused).is_err(), "{refused}");
        }
    }
}
