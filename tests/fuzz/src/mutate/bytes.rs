//! Changes that know nothing of the input.

use super::Grammar;
use crate::rng::Rng;

/// Where numbers turn over, as text.
pub(super) const NUMBERS: [&str; 25] = [
    "0",
    "1",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e309",
    "-0.0",
    "0.1",
    "1E-400",
];

/// Characters that are more than one byte, turn direction, fold oddly, or end something.
pub(super) const ODD: [&str; 18] = [
    "\0",
    "\r\n",
    "\u{7f}",
    "é",
    "ß",
    "İ",
    "\u{212a}",
    "\u{feff}",
    "\u{202e}",
    "𝔘",
    "\u{fffd}",
    "%00",
    "%2e%2e%2f",
    "..",
    "//",
    "\\",
    "'\"",
    "&amp;",
];

/// One change.
pub(super) fn change(rng: &mut Rng, grammar: &Grammar, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    let range = rng.range(out.len());
    match rng.below(13) {
        0 if !out.is_empty() => {
            let at = rng.below(out.len());
            out[at] ^= 1 << rng.below(8);
        }
        1 if !out.is_empty() => {
            let at = rng.below(out.len());
            out[at] = rng.number() as u8;
        }
        2 => drop(out.drain(range)),
        3 => {
            let copy = out[range.clone()].to_vec();
            out.splice(range.end..range.end, copy);
        }
        // Many times over: what is quadratic, or recursive, shows.
        4 => {
            let piece = out[range.clone()].to_vec();
            let times = 1 << rng.below(13);
            let room = grammar.longest.saturating_sub(out.len()) / piece.len().max(1);
            out.splice(range.end..range.end, piece.repeat(times.min(room)));
        }
        5 | 6 if !grammar.tokens.is_empty() => drop(out.splice(range, rng.pick(grammar.tokens).bytes())),
        7 => drop(out.splice(range, rng.pick(&NUMBERS).bytes())),
        8 => drop(out.splice(range, rng.pick(&ODD).bytes())),
        9 => {
            let from = rng.range(other.len());
            out.splice(range, other[from].iter().copied());
        }
        10 => {
            let (at, from) = (rng.below(out.len() + 1), rng.below(other.len() + 1));
            out.truncate(at);
            out.extend_from_slice(&other[from..]);
        }
        11 => number(rng, &mut out),
        _ => {
            let at = rng.below(out.len() + 1);
            let wild: Vec<u8> = (0..=rng.below(8)).map(|_| rng.number() as u8).collect();
            out.splice(at..at, wild);
        }
    }
    out
}

/// Another number in the place of one that is there.
fn number(rng: &mut Rng, out: &mut Vec<u8>) {
    let start = rng.below(out.len());
    let Some(first) = out[start..].iter().position(u8::is_ascii_digit).map(|at| at + start) else { return };
    let end = out[first..].iter().position(|byte| !byte.is_ascii_digit()).map_or(out.len(), |at| at + first);
    let near = std::str::from_utf8(&out[first..end]).ok().and_then(|text| text.parse::<u64>().ok());
    let text = match near {
        Some(number) if rng.one_in(2) => number.wrapping_add_signed(rng.below(5) as i64 - 2).to_string(),
        _ => (*rng.pick(&NUMBERS)).to_owned(),
    };
    out.splice(first..end, text.into_bytes());
}
