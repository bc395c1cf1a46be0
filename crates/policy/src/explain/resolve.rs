//! Policy texts with their variables filled in, for people.
//!
//! For display and for proposing changes only: what is decided compares compiled patterns, never these texts.

use crate::context::{Context, Held, KeyName};

/// A part of a text.
pub(crate) enum Part<'a> {
    Text(&'a str),
    /// `${*}`, `${?}`, `${$}`: the character itself.
    Literal(&'a str),
    /// `${key}` and its default.
    Variable(&'a str, Option<&'a str>),
}

/// Takes a text apart at its variables.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        let inner = &rest[start + 2..start + length];
        parts.push(match inner {
            "*" | "?" | "$" => Part::Literal(inner),
            _ => match inner.split_once(',') {
                Some((key, default)) => Part::Variable(key.trim(), Some(default.trim().trim_matches('\''))),
                None => Part::Variable(inner.trim(), None),
            },
        });
        rest = &rest[start + length + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// The value of a variable in a request.
pub(crate) fn value<'a>(key: &str, default: Option<&'a str>, context: &'a Context) -> Option<&'a str> {
    match context.named(&KeyName::new(key)) {
        Some(Held::One(value)) => Some(value),
        Some(Held::Many(_) | Held::Unclear(_)) => None,
        None => default,
    }
}

/// The text with values in the place of variables; `None` where one has no value.
pub(crate) fn resolved(text: &str, variables: bool, context: &Context) -> Option<String> {
    if !variables || !text.contains("${") {
        return Some(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        out.push_str(match part {
            Part::Text(text) | Part::Literal(text) => text,
            Part::Variable(key, default) => value(key, default, context)?,
        });
    }
    Some(out)
}

/// The names of the variables in a text.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    parts(text).into_iter().filter_map(|part| match part {
        Part::Variable(key, _) => Some(key),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in() {
        let mut context = Context::new();
        context.set("aws:PrincipalTag/Team", "red").set_list("aws:TagKeys", ["a"]);
        for (text, want) in [
            ("${aws:principaltag/team}-*", Some("red-*")),
            ("a${*}b${$}{", Some("a*b${")),
            ("${aws:username, 'nobody'}!", Some("nobody!")),
            ("${aws:username}", None),
            ("${aws:TagKeys}", None),
            ("${open", Some("${open")),
            ("plain", Some("plain")),
        ] {
            assert_eq!(resolved(text, true, &context).as_deref(), want, "{text}");
        }
        assert_eq!(resolved("${aws:username}", false, &context).as_deref(), Some("${aws:username}"), "2008 knows no variables");
        assert_eq!(variables("a${x:y}${*}${z:w, 'd'}").collect::<Vec<_>>(), ["x:y", "z:w"]);
    }
}
