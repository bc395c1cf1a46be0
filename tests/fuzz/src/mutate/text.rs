//! Changes of lines (HTTP's, logs') and of forms.

use super::{Grammar, bytes};
use crate::rng::Rng;

/// Up to and with the empty line, and the rest.
pub(super) fn split_http(text: &[u8]) -> (&[u8], &[u8]) {
    let end = |mark: &[u8]| text.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    text.split_at(end(b"\r\n\r\n").or_else(|| end(b"\n\n")).unwrap_or(text.len()))
}

/// One change of lines.
pub(super) fn change_lines(rng: &mut Rng, grammar: &Grammar, text: &[u8], other: &[u8]) -> Vec<u8> {
    change_parts(rng, grammar, text, other, b'\n', b":= ?&")
}

/// One change of `name=value` pairs.
pub(super) fn change_pairs(rng: &mut Rng, grammar: &Grammar, text: &[u8], other: &[u8]) -> Vec<u8> {
    change_parts(rng, grammar, text, other, b'&', b"=.")
}

fn change_parts(rng: &mut Rng, grammar: &Grammar, text: &[u8], other: &[u8], between: u8, inside: &[u8]) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = text.split(|byte| *byte == between).map(<[u8]>::to_vec).collect();
    let others: Vec<&[u8]> = other.split(|byte| *byte == between).collect();
    let at = rng.below(parts.len());
    match rng.below(9) {
        0 => drop(parts.remove(at)),
        1 => parts.insert(at, parts[at].clone()),
        2 => {
            let to = rng.below(parts.len());
            parts.swap(at, to);
        }
        3 => parts.insert(at, rng.pick(&others).to_vec()),
        4 if !grammar.tokens.is_empty() => parts.insert(at, rng.pick(grammar.tokens).bytes().collect()),
        5 => {
            let room = grammar.longest / (parts[at].len() + 1);
            let copies = vec![parts[at].clone(); (1_usize << rng.below(12)).min(room)];
            parts.splice(at..at, copies);
        }
        // A value alone.
        _ => {
            let from = parts[at].iter().position(|byte| inside.contains(byte)).map_or(0, |found| found + 1);
            let donor = rng.pick(&others).to_vec();
            let changed = bytes::change(rng, grammar, &parts[at][from..], &donor);
            parts[at].splice(from.., changed);
        }
    }
    parts.join(&between)
}
