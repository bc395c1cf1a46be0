//! A shape's pattern: Java's regular expressions, as AWS publishes them, in terms of the `regex` crate.
//!
//! AWS matches the whole value. The crate runs in linear time, so a hostile value costs nothing special, but
//! it knows no look-around; the few uses in models (a test at the start, and three inner ones) are rewritten.
//! A pattern that cannot be had this way is not checked; a test lists those, and the list may only shrink.

use std::{fmt::Write, sync::OnceLock};

use regex::{Regex, RegexBuilder};

/// Compiled on first use.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    whole: Regex,
    /// Look-aheads at the start: whether the rest must match or must not.
    ahead: Vec<(bool, Regex)>,
    /// `class{m,n}` with a large `n` is `class*` and this, in characters.
    count: Option<(usize, usize)>,
}

/// Bytes of compiled program per pattern. The widest served patterns repeat letter classes 256 times.
const SIZE_LIMIT: usize = 1 << 21;

/// Patterns with look-around inside, and the same languages without. The last would make too large a program; its
/// shapes' own length bounds it.
const REWRITTEN: [(&str, &str); 5] = [
    ("([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)", "([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)"),
    ("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
    ("/(?!.*\\.\\.)[a-zA-Z0-9/_.\\-]+", "(?!.*\\.\\.)/[a-zA-Z0-9/_.\\-]+"),
    ("(?!^[.-])^(", "(?![.-])("),
    ("[\\S]{1,2048}", "[\\S]+"),
];

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// As AWS publishes and prints it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `value` matches as a whole; true also when the pattern cannot be checked.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let Some(compiled) = self.compiled() else { return true };
        if let Some((min, max)) = compiled.count
            && !(min..=max).contains(&value.chars().count())
        {
            return false;
        }
        compiled.whole.is_match(value) && compiled.ahead.iter().all(|(wanted, regex)| regex.is_match(value) == *wanted)
    }

    /// Whether this pattern is checked at all.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.compiled().is_some()
    }

    fn compiled(&self) -> Option<&Compiled> {
        self.compiled.get_or_init(|| compile(&self.text)).as_ref()
    }
}

fn compile(java: &str) -> Option<Compiled> {
    let mut text = java.to_owned();
    for (from, to) in REWRITTEN {
        text = text.replace(from, to);
    }
    let mut rest = text.as_str();
    let mut ahead = Vec::new();
    loop {
        let trimmed = rest.strip_prefix('^').unwrap_or(rest);
        let Some(inner) = trimmed.strip_prefix("(?") else { break };
        let wanted = match inner.as_bytes().first()? {
            b'=' => true,
            b'!' => false,
            _ => break,
        };
        let end = closing(inner)?;
        ahead.push((wanted, build(&format!("\\A(?:{})", translate(&inner[1..end])?))?));
        rest = &inner[end + 1..];
    }
    let (body, count) = match counted_class(rest) {
        Some((class, min, max)) => (format!("{class}*"), Some((min, max))),
        None => (rest.to_owned(), None),
    };
    Some(Compiled { whole: build(&format!("\\A(?:{})\\z", translate(&body)?))?, ahead, count })
}

fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build().ok()
}

/// Offset of the parenthesis that closes the group in whose inside `text` begins.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut class, mut escaped) = (0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class && depth == 0 => return Some(at),
            ')' if !class => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `class{m,n}` as a whole, where repeating the class would make a large program.
fn counted_class(text: &str) -> Option<(&str, usize, usize)> {
    let (class, count) = text.strip_suffix('}')?.rsplit_once('{')?;
    let one = class == "." || (class.starts_with('[') && class.find(']') == Some(class.len() - 1) && !class.contains("[["));
    let (min, max) = count.split_once(',')?;
    let (min, max) = (min.parse().ok()?, max.parse().ok()?);
    (one && max > 100).then_some((class, min, max))
}

/// Java's spelling of classes in the crate's. Java's `\d`, `\w` and `\s` are ASCII, its `.` stops at every line end.
fn translate(java: &str) -> Option<String> {
    let mut out = String::with_capacity(java.len() * 2);
    let mut class = false;
    let mut rest = java;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = after;
        match character {
            '\\' => rest = escape(after, class, &mut out)?,
            '.' if !class => out.push_str("[^\\n\\r\\x{85}\\x{2028}\\x{2029}]"),
            '[' if class => out.push_str("\\["),
            '[' => {
                class = true;
                out.push('[');
                if let Some(negated) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = negated;
                }
            }
            ']' => {
                class = false;
                out.push(']');
            }
            // The crate reads doubled signs in classes as set operations; Java reads only `&&` so.
            '-' | '~' | '&' if class && rest.starts_with(character) => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    Some(out)
}

/// One escape, `text` being what follows the backslash. Gives what follows the escape.
fn escape<'t>(text: &'t str, class: bool, out: &mut String) -> Option<&'t str> {
    let character = text.chars().next()?;
    let rest = &text[character.len_utf8()..];
    let set = match character {
        'd' => "0-9",
        'w' => "a-zA-Z0-9_",
        's' => " \\t\\n\\x0B\\f\\r",
        'D' => "^0-9",
        'W' => "^a-zA-Z0-9_",
        'S' => "^ \\t\\n\\x0B\\f\\r",
        'u' => return unicode(rest, out),
        'p' => return property(rest, class, out),
        'A' | 'z' | 't' | 'n' | 'r' | 'f' | 'b' => {
            out.push('\\');
            out.push(character);
            return Some(rest);
        }
        other if other.is_ascii_alphanumeric() => return None,
        other => {
            out.push('\\');
            out.push(other);
            return Some(rest);
        }
    };
    if class && !set.starts_with('^') {
        out.push_str(set);
    } else {
        write!(out, "[{set}]").ok()?;
    }
    Some(rest)
}

/// `\uXXXX`. Models also write supplementary code points as surrogate pairs or with more digits than Java reads.
fn unicode<'t>(text: &'t str, out: &mut String) -> Option<&'t str> {
    for long in ["10000", "10FFFF"] {
        if let Some(rest) = text.strip_prefix(long) {
            write!(out, "\\x{{{long}}}").ok()?;
            return Some(rest);
        }
    }
    let mut code = u32::from_str_radix(text.get(..4)?, 16).ok()?;
    let mut rest = &text[4..];
    if (0xD800..0xDC00).contains(&code) {
        let low = u32::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
        code = 0x10000 + ((code - 0xD800) << 10) + low.checked_sub(0xDC00)?;
        rest = &rest[6..];
    }
    write!(out, "\\x{{{code:X}}}").ok()?;
    Some(rest)
}

fn property<'t>(text: &'t str, class: bool, out: &mut String) -> Option<&'t str> {
    let (name, rest) = text.strip_prefix('{')?.split_once('}')?;
    let set = match name {
        "Alnum" => "a-zA-Z0-9",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "Punct" => "!-/:-@\\[-`{-~",
        "Graph" => "!-~",
        "Print" => " -~",
        "ASCII" => "\\x00-\\x7F",
        "Space" => " \\t\\n\\x0B\\f\\r",
        _ => {
            write!(out, "\\p{{{name}}}").ok()?;
            return Some(rest);
        }
    };
    if class {
        out.push_str(set);
    } else {
        write!(out, "[{set}]").ok()?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_checked() {
        // Names of shapes whose pattern cannot be compiled. May only shrink.
        let unchecked: [&str; 0] = [];
        let mut found = Vec::new();
        for service in crate::services() {
            for shape in service.shapes() {
                if shape.constraints.pattern.as_ref().is_some_and(|pattern| !pattern.is_checked()) {
                    found.push(format!("{} {}", service.name, shape.name));
                }
            }
        }
        assert_eq!(found, unchecked);
    }

    #[test]
    fn matches_like_java() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}", &["a", "a--b"], &["", "-a", "a-", "a_b", "a\n"]),
            (r"[\w+=,.@-]+", &["a.b@c-d"], &["é", "a b", ""]),
            (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", &["é ß/1", ""], &["!", "\u{1f600}"]),
            (r"(?!\s*$).+", &[" a"], &["", "  ", "a\nb"]),
            (r".*(?:[ \r\n\t].*)*", &["{\n\t\"a\": 1}", ""], &["\u{2028}"]),
            (r"^(\d{12})|(ou-[0-9a-z]{4,32}-[a-z0-9]{8,32})$", &["123456789012", "ou-abcd-12345678"], &["1234567890123", "x"]),
            (
                r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?",
                &["group", "arn:aws:sagemaker:us-east-1:123456789012:model-package/group/12"],
                &["group-", "group-/1", "group/x"],
            ),
            (r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", &["a-b-c", "abc"], &["a--b", "ab-", "-ab", "A1b"]),
            (r"(?!^[.-])^([a-zA-Z0-9-_.]+)", &["a.b", "_a-"], &[".a", "-a", ""]),
            (r"/(?!.*\.\.)[a-zA-Z0-9/_.\-]+", &["/metrics"], &["/a/../b", "metrics", "/"]),
            (r"(?=.{1,4}$)[a-z]+", &["abcd"], &["abcde"]),
            (r"([\p{L}_\/=+\-@]*)${1,128}", &["a/b"], &["a!"]),
            (
                r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
                &["a\té\u{1f600}"],
                &["\u{1}", "\u{7f}"],
            ),
            (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", &["\u{1f600}\t"], &["\n"]),
            (r"\A\S[\p{Print}]*\z", &["a b"], &[" a", "aé"]),
            (r"[\p{L}\p{M}\p{Z}\p{N}\p{P}]{0,1024}", &["", "é!"], &["\n", "+"]),
            (r"[\S\s]+", &["\n"], &[""]),
            (r"[^:*]*", &["a/b"], &["a:b", "*"]),
        ];
        for (pattern, good, bad) in cases {
            let compiled = Pattern::new(pattern);
            assert!(compiled.is_checked(), "{pattern}");
            for value in *good {
                assert!(compiled.matches(value), "{pattern} should take {value:?}");
            }
            for value in *bad {
                assert!(!compiled.matches(value), "{pattern} should refuse {value:?}");
            }
        }
        let counted = Pattern::new(r"[\p{L}]{0,1024}");
        assert!(counted.matches(&"é".repeat(1024)) && !counted.matches(&"é".repeat(1025)));
    }
}
