//! Patterns: text, `*`, `?` and policy variables, compiled to tokens.
//!
//! A variable stays a token until it is matched and its value is then compared as data. So a `*`
//! in a tag value matches only a `*`: were the value pasted in before the pattern is read, a tenant
//! named `*` would own everything.

use crate::context::{Context, Held, KeyName};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Text(Box<str>),
    One,
    Star,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    /// Empty when the text between the braces is not a variable: it has no value, ever.
    key: KeyName,
    default: Option<Box<str>>,
}

impl Variable {
    fn value<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        if self.key.as_str().is_empty() {
            return None;
        }
        match context.named(&self.key) {
            Some(Held::One(value)) => Some(value),
            Some(Held::Many(_) | Held::Unclear(_)) => None,
            None => self.default.as_deref(),
        }
    }
}

/// How a text is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    /// `*` and `?` are wildcards.
    pub wild: bool,
    /// `${…}` is a variable: only in documents of version 2012-10-17.
    pub variables: bool,
}

/// A compiled pattern. Nearly all are one of the simple forms, which need no search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Glob {
    /// `*`
    Any,
    /// No wildcard and no variable.
    Text(Box<str>),
    /// The text, then `*`.
    Beginning(Box<str>),
    /// A variable and nothing else.
    Variable(Variable),
    /// All others.
    Tokens {
        tokens: Box<[Token]>,
        /// There are some among them.
        variables: bool,
    },
}

impl Glob {
    pub(crate) fn compile(text: &str, syntax: Syntax) -> Self {
        let mut tokens = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if syntax.variables
                && rest.starts_with("${")
                && let Some((token, after)) = braces(rest)
            {
                match token {
                    Token::Text(text) => plain.push_str(&text),
                    token => {
                        flush(&mut plain, &mut tokens);
                        tokens.push(token);
                    }
                }
                rest = after;
                continue;
            }
            match c {
                '*' if syntax.wild => {
                    flush(&mut plain, &mut tokens);
                    if tokens.last() != Some(&Token::Star) {
                        tokens.push(Token::Star);
                    }
                }
                '?' if syntax.wild => {
                    flush(&mut plain, &mut tokens);
                    tokens.push(Token::One);
                }
                c => plain.push(c),
            }
            rest = &rest[c.len_utf8()..];
        }
        flush(&mut plain, &mut tokens);
        match &*tokens {
            [] => Self::Text("".into()),
            [Token::Star] => Self::Any,
            [Token::Text(text)] => Self::Text(text.clone()),
            [Token::Text(text), Token::Star] => Self::Beginning(text.clone()),
            [Token::Variable(variable)] => Self::Variable(variable.clone()),
            _ => {
                let variables = tokens.iter().any(|token| matches!(token, Token::Variable(_)));
                Self::Tokens { tokens: tokens.into(), variables }
            }
        }
    }

    /// The only text it matches, letter case as written; `None` when there may be several.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What every text it matches begins with.
    pub(crate) fn beginning(&self) -> &str {
        match self {
            Self::Text(text) | Self::Beginning(text) => text,
            Self::Tokens { tokens, .. } => match tokens.first() {
                Some(Token::Text(text)) => text,
                _ => "",
            },
            Self::Any | Self::Variable(_) => "",
        }
    }

    /// True when every variable has a value or a default.
    pub(crate) fn resolves(&self, context: &Context) -> bool {
        match self {
            Self::Variable(variable) => variable.value(context).is_some(),
            Self::Tokens { tokens, variables: true } => tokens.iter().all(|token| match token {
                Token::Variable(variable) => variable.value(context).is_some(),
                _ => true,
            }),
            _ => true,
        }
    }

    /// Exact in case. A variable without a value matches nothing.
    #[inline]
    pub(crate) fn matches(&self, text: &str, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Text(literal) => text == &**literal,
            Self::Beginning(literal) => text.starts_with(&**literal),
            Self::Variable(variable) => variable.value(context) == Some(text),
            Self::Tokens { tokens, .. } => {
                let prefix = |text: &str, value: &str| text.starts_with(value).then_some(value.len());
                self.resolves(context) && search(tokens, text, context, prefix, |text, value| text.find(value))
            }
        }
    }

    /// Without regard to case.
    pub(crate) fn matches_folded(&self, text: &str, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Text(literal) => same_folded(text, literal),
            Self::Beginning(literal) => folded_prefix(text, literal).is_some(),
            Self::Variable(variable) => variable.value(context).is_some_and(|value| same_folded(text, value)),
            Self::Tokens { tokens, .. } => self.resolves(context) && search(tokens, text, context, folded_prefix, folded_find),
        }
    }
}

/// A text and a value: how far into the text.
type Compare = fn(&str, &str) -> Option<usize>;

/// Two-pointer matching: on a mismatch only the latest `*` gives way, to the next place where what
/// follows it is found. So the cost is bounded by text length times pattern length.
fn search(tokens: &[Token], text: &str, context: &Context, prefix: Compare, find: Compare) -> bool {
    let (mut token, mut at) = (0, 0);
    // The latest `*`, and from where on it is to be tried next.
    let mut back: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        let step = match tokens.get(token) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Token::Star) => match tokens.get(token + 1) {
                None => return true,
                Some(next) => {
                    let skipped = match next.value(context) {
                        Some(value) => find(rest, value),
                        None => Some(0),
                    };
                    // What follows is nowhere in the rest, and a `*` before could only leave less.
                    let Some(skipped) = skipped else { return false };
                    let place = at + skipped;
                    back = text[place..].chars().next().map(|c| (token, place + c.len_utf8()));
                    Some(skipped)
                }
            },
            Some(Token::One) => rest.chars().next().map(char::len_utf8),
            Some(value) => value.value(context).and_then(|value| prefix(rest, value)),
        };
        if let Some(step) = step {
            at += step;
            token += 1;
            continue;
        }
        let Some((star, from)) = back.take() else { return false };
        (token, at) = (star, from);
    }
}

impl Token {
    /// What a text or a variable stands for.
    fn value<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Variable(variable) => variable.value(context),
            Self::One | Self::Star => None,
        }
    }
}

fn flush(plain: &mut String, tokens: &mut Vec<Token>) {
    if !plain.is_empty() {
        tokens.push(Token::Text(std::mem::take(plain).into()));
    }
}

/// How many bytes of `text` are `value`, letter case aside.
fn folded_prefix(text: &str, value: &str) -> Option<usize> {
    if value.is_ascii()
        && let Some(head) = text.as_bytes().get(..value.len())
        && head.is_ascii()
    {
        return head.eq_ignore_ascii_case(value.as_bytes()).then_some(value.len());
    }
    let mut have = text.chars();
    for want in value.chars() {
        let got = have.next()?;
        if got != want && !got.to_lowercase().eq(want.to_lowercase()) {
            return None;
        }
    }
    Some(text.len() - have.as_str().len())
}

fn folded_find(text: &str, value: &str) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).find(|at| folded_prefix(&text[*at..], value).is_some())
}

/// Whether two texts are the same, letter case aside.
pub(crate) fn same_folded(text: &str, value: &str) -> bool {
    folded_prefix(text, value) == Some(text.len())
}

/// No variable is longer: keys have at most 128 characters behind their prefix, values 256. Looking
/// further for the end would take time quadratic in the document.
const MAX_VARIABLE: usize = 1024;

/// Reads a `${…}` at the start of `text`; `None` when it is never closed.
fn braces(text: &str) -> Option<(Token, &str)> {
    let whole = &text[2..];
    let inner = &whole[..whole.floor_char_boundary(MAX_VARIABLE)];
    let mut quoted = false;
    let end = inner.find(|c| {
        quoted ^= c == '\'';
        c == '}' && !quoted
    });
    let end = end.or_else(|| inner.find('}'))?;
    let (inside, after) = (&whole[..end], &whole[end + 1..]);
    if let "*" | "?" | "$" = inside {
        return Some((Token::Text(inside.into()), after));
    }
    Some((Token::Variable(variable(inside).unwrap_or(Variable { key: KeyName::new(""), default: None })), after))
}

fn variable(inside: &str) -> Option<Variable> {
    let Some((key, default)) = inside.split_once(',') else {
        return Some(Variable { key: KeyName::new(inside.trim()), default: None });
    };
    let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Variable { key: KeyName::new(key.trim()), default: Some(default.into()) })
}

/// Splits at the first five colons that are not inside a variable; fewer colons, fewer parts.
pub(crate) fn split_arn(text: &str, variables: bool) -> Vec<&str> {
    let (mut parts, mut start, mut at) = (Vec::with_capacity(6), 0, 0);
    while at < text.len() && parts.len() < 5 {
        let rest = &text[at..];
        if variables
            && rest.starts_with("${")
            && let Some((_, after)) = braces(rest)
        {
            at = text.len() - after.len();
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        if c == ':' {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        at += c.len_utf8();
    }
    parts.push(&text[start..]);
    parts
}

/// The six parts of a request's ARN; `None` when it is not one.
pub(crate) fn six(text: &str) -> Option<[&str; 6]> {
    let rest = text.strip_prefix("arn:")?;
    let mut six = ["arn", "", "", "", "", ""];
    let (mut part, mut start) = (1, 0);
    // Short parts: quicker by hand than by a searcher.
    for (at, byte) in rest.bytes().enumerate() {
        if byte == b':' {
            six[part] = &rest[start..at];
            (part, start) = (part + 1, at + 1);
            if part == 5 {
                six[5] = &rest[start..];
                return Some(six);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, text: &str, context: &Context) -> bool {
        Glob::compile(pattern, Syntax { wild: true, variables: true }).matches(text, context)
    }

    #[test]
    fn wildcards() {
        let context = Context::new();
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("***", "anything", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*b*b", "abb", true),
            ("*ab", "aab", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("?", "", false),
            ("?", "é", true),
            ("*?", "é", true),
            ("*??", "é", false),
            ("a?c", "abc", true),
            ("${*}", "*", true),
            ("${*}", "x", false),
            ("${?}a", "?a", true),
            ("${$}{x}", "${x}", true),
            ("${open", "${open", true),
            ("$*", "$x", true),
        ] {
            assert_eq!(hit(pattern, text, &context), want, "{pattern} ~ {text}");
        }
        let costly = format!("{}b", "*a".repeat(1000));
        assert!(!hit(&costly, &"a".repeat(2000), &context));
    }

    #[test]
    fn values_are_data() {
        let mut context = Context::new();
        context.set("aws:PrincipalTag/Team", "*").set("aws:username", "é?").set_list("aws:TagKeys", ["a"]);
        for (pattern, text, want) in [
            ("${aws:PrincipalTag/team}-x", "*-x", true),
            ("${aws:PrincipalTag/team}-x", "red-x", false),
            ("${AWS:USERNAME}", "é?", true),
            ("${aws:username}", "éz", false),
            ("*${aws:username}*", "aaé?z", true),
            ("${missing}", "", false),
            ("${missing, 'blue'}*", "blue-1", true),
            ("${missing,'a}b'}", "a}b", true),
            ("${missing, blue}", "blue", false),
            ("${aws:username, 'blue'}", "blue", false),
            ("${aws:TagKeys}", "a", false),
            ("${}", "", false),
        ] {
            assert_eq!(hit(pattern, text, &context), want, "{pattern} ~ {text}");
        }
    }

    #[test]
    fn splitting() {
        assert_eq!(split_arn("arn:aws:s3:::a:b", true), ["arn", "aws", "s3", "", "", "a:b"]);
        assert_eq!(split_arn("arn:aws:kms:*:${aws:PrincipalAccount}:key/*", true)[4], "${aws:PrincipalAccount}");
        assert_eq!(split_arn("arn:aws:kms:*:${aws:PrincipalAccount}:key/*", false)[4], "${aws");
        assert_eq!(split_arn("", true), [""]);
        assert_eq!(six("arn:a:b:c:d"), None);
        assert_eq!(six("arn:a:b:c:d:e:f").unwrap()[5], "e:f");
    }
}
