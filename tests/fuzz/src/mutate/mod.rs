//! New inputs from old ones, in the terms of what they are: bytes, JSON, XML, forms, lines.
//!
//! An input of [`Form`] with a head has one line that says what to do with the rest (an operation's name). Mutating by form keeps
//! most inputs readable, so that they get past the parser; mutating bytes now and then keeps the parser honest.

mod bytes;
mod json;
mod text;
mod xml;

use crate::rng::Rng;

/// What inputs of a target look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any bytes.
    Bytes,
    /// A JSON document.
    Json,
    /// An XML document.
    Xml,
    /// `name=value&…`.
    Query,
    /// Lines, as of HTTP: a request line, headers, an empty line, a body of any of the other forms.
    Http,
    /// Lines of text.
    Lines,
}

/// How inputs of a target are made.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Whether the first line stands apart.
    pub head: bool,
    /// Of what is behind it.
    pub form: Form,
    /// Words that mean something to the target.
    pub tokens: &'static [&'static str],
    /// Longest input, in bytes.
    pub longest: usize,
}

/// One to eight changes of `input`; `other` is another input of the corpus, to take parts from.
#[must_use]
pub fn mutate(rng: &mut Rng, grammar: &Grammar, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..1_usize << rng.below(4) {
        let (head, body) = if grammar.head { split_line(&out) } else { (&[][..], &out[..]) };
        let other_body = if grammar.head { split_line(other).1 } else { other };
        let (mut head, mut body) = (head.to_vec(), body.to_vec());
        if grammar.head && rng.one_in(12) {
            head = if rng.one_in(2) { split_line(other).0.to_vec() } else { bytes::change(rng, grammar, &head, split_line(other).0) };
            head.retain(|byte| *byte != b'\n');
            head.push(b'\n');
        } else {
            body = by_form(rng, grammar, grammar.form, &body, other_body);
        }
        head.append(&mut body);
        out = head;
        out.truncate(grammar.longest);
    }
    out
}

/// The first line with its end, and the rest.
#[must_use]
pub fn split_line(input: &[u8]) -> (&[u8], &[u8]) {
    input.split_at(input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1))
}

fn by_form(rng: &mut Rng, grammar: &Grammar, form: Form, body: &[u8], other: &[u8]) -> Vec<u8> {
    let changed = match form {
        _ if rng.one_in(5) => None,
        Form::Bytes => None,
        Form::Json => json::change(rng, grammar, body, other),
        Form::Xml => xml::change(rng, grammar, body, other),
        Form::Query => Some(text::change_pairs(rng, grammar, body, other)),
        Form::Lines => Some(text::change_lines(rng, grammar, body, other)),
        Form::Http => {
            let (head, rest) = text::split_http(body);
            let (other_head, other_rest) = text::split_http(other);
            if rest.is_empty() || rng.one_in(2) {
                let mut out = text::change_lines(rng, grammar, head, other_head);
                out.extend_from_slice(rest);
                Some(out)
            } else {
                let form = match rest.first() {
                    Some(b'{' | b'[') => Form::Json,
                    Some(b'<') => Form::Xml,
                    _ if rest.contains(&b'\n') => Form::Lines,
                    _ => Form::Query,
                };
                let mut out = head.to_vec();
                out.append(&mut by_form(rng, grammar, form, rest, other_rest));
                Some(out)
            }
        }
    };
    changed.unwrap_or_else(|| bytes::change(rng, grammar, body, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_most_of_the_time_and_lengths_are_kept() {
        let grammar = Grammar { head: true, form: Form::Json, tokens: &["Action"], longest: 300 };
        let input = b"sagemaker.CreateModel\n{\"ModelName\":\"a\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"v\"}],\"N\":1}";
        let mut rng = Rng::new(1);
        let (mut readable, mut heads, mut distinct) = (0, 0, std::collections::HashSet::new());
        for _ in 0..2000 {
            let out = mutate(&mut rng, &grammar, input, b"logs.CreateLogGroup\n{\"logGroupName\":[1.5e300]}");
            assert!(out.len() <= grammar.longest);
            let (head, body) = split_line(&out);
            readable += usize::from(serde_json::from_slice::<serde_json::Value>(body).is_ok());
            heads += usize::from(head != split_line(input).0);
            distinct.insert(out);
        }
        assert!(readable > 800 && (100..1500).contains(&heads) && distinct.len() > 1500, "{readable} {heads} {}", distinct.len());
    }

    #[test]
    fn a_seed_repeats_itself() {
        for form in [Form::Bytes, Form::Json, Form::Xml, Form::Query, Form::Http, Form::Lines] {
            let grammar = Grammar { head: false, form, tokens: &["<a>", "x=y"], longest: 4096 };
            let run = |seed| {
                let mut rng = Rng::new(seed);
                let mut input = b"GET /a?b=c HTTP/1.1\nhost: x\n\n<a b=\"c\"><d>1</d></a>".to_vec();
                for _ in 0..200 {
                    input = mutate(&mut rng, &grammar, &input, b"a=1&b=2\n<x/>");
                }
                input
            };
            assert_eq!(run(7), run(7), "{form:?}");
            assert_ne!(run(7), run(8), "{form:?}");
        }
    }
}
