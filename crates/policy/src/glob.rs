//! Patterns: text, `*`, `?` and policy variables, compiled to tokens.
//!
//! A variable stays a token until it is matched and its value is then compared as data. So a `*`
//! in a tag value matches only a `*`: were the value pasted in before the pattern is read, a tenant
//! named `*` would own everything.

use crate::context::{Context, Value, fold};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(Box<str>),
    One,
    Star,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, Clone, PartialEq)]
struct Variable {
    /// Lower case. Empty when the text between the braces is not a variable: it has no value, ever.
    key: Box<str>,
    default: Option<Box<str>>,
}

impl Variable {
    fn value<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        match context.folded(&self.key) {
            _ if self.key.is_empty() => None,
            Some(Value::One(value)) => Some(value),
            Some(Value::Many(_)) => None,
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

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glob {
    tokens: Box<[Token]>,
    variables: bool,
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
        let variables = tokens.iter().any(|token| matches!(token, Token::Variable(_)));
        Self { tokens: tokens.into(), variables }
    }

    /// True when every variable has a value or a default.
    pub(crate) fn resolves(&self, context: &Context) -> bool {
        !self.variables
            || self.tokens.iter().all(|token| match token {
                Token::Variable(variable) => variable.value(context).is_some(),
                _ => true,
            })
    }

    /// Exact in case. A variable without a value matches nothing.
    pub(crate) fn matches(&self, text: &str, context: &Context) -> bool {
        self.run(text, context, |text, value| text.starts_with(value).then_some(value.len()))
    }

    /// Without regard to case.
    pub(crate) fn matches_folded(&self, text: &str, context: &Context) -> bool {
        self.run(text, context, folded_prefix)
    }

    /// Two-pointer matching: on a mismatch only the latest `*` gives way, so the cost is bounded by
    /// text length times pattern length.
    fn run(&self, text: &str, context: &Context, prefix: fn(&str, &str) -> Option<usize>) -> bool {
        if !self.resolves(context) {
            return false;
        }
        let (mut token, mut at) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        loop {
            let rest = &text[at..];
            let step = match self.tokens.get(token) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Token::Star) if token + 1 == self.tokens.len() => return true,
                Some(Token::Star) => {
                    back = Some((token + 1, at));
                    Some(0)
                }
                Some(Token::One) => rest.chars().next().map(char::len_utf8),
                Some(Token::Text(value)) => prefix(rest, value),
                Some(Token::Variable(variable)) => variable.value(context).and_then(|value| prefix(rest, value)),
            };
            if let Some(step) = step {
                at += step;
                token += 1;
                continue;
            }
            let Some((resume, from)) = back else { return false };
            let Some(skipped) = text[from..].chars().next() else { return false };
            at = from + skipped.len_utf8();
            token = resume;
            back = Some((resume, at));
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
    let mut have = text.chars();
    for want in value.chars() {
        let got = have.next()?;
        if got != want && !got.to_lowercase().eq(want.to_lowercase()) {
            return None;
        }
    }
    Some(text.len() - have.as_str().len())
}

/// Reads a `${…}` at the start of `text`; `None` when it is never closed.
fn braces(text: &str) -> Option<(Token, &str)> {
    let inner = &text[2..];
    let mut quoted = false;
    let end = inner.find(|c| {
        quoted ^= c == '\'';
        c == '}' && !quoted
    });
    let end = end.or_else(|| inner.find('}'))?;
    let (inside, after) = (&inner[..end], &inner[end + 1..]);
    if let "*" | "?" | "$" = inside {
        return Some((Token::Text(inside.into()), after));
    }
    Some((Token::Variable(variable(inside).unwrap_or(Variable { key: "".into(), default: None })), after))
}

fn variable(inside: &str) -> Option<Variable> {
    let Some((key, default)) = inside.split_once(',') else {
        return Some(Variable { key: fold(inside.trim()), default: None });
    };
    let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Variable { key: fold(key.trim()), default: Some(default.into()) })
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
    let mut parts = text.splitn(6, ':');
    let six = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (six[0] == "arn").then_some(six)
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
