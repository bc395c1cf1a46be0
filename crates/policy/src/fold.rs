//! Texts as numbers, letter case aside: what the index finds statements by, and a context its keys.
//!
//! Eight bytes at a time. Nothing here is secret or random, so texts that share a number can be
//! made: whoever finds by number compares the text before believing it.

/// An odd number without a pattern, to spread bits with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// A one in each byte.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A number for `text`. Nothing is allocated.
pub(crate) fn number(text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks();
    let (mut state, mut bits) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        bits |= word;
        state = mix(state, lower(word));
    }
    let last = match text.as_bytes().last_chunk() {
        _ if rest.is_empty() => 0,
        // The rest stands at the end of the last eight bytes.
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    if (bits | last) & (ONES * 0x80) != 0 {
        return slowly(text);
    }
    mix(mix(state, lower(last)), text.len() as u64)
}

/// One number of two, in this order.
pub(crate) fn mix(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(SPREAD);
    product ^ product >> 32
}

/// The same with letters beyond ASCII, folded one by one.
fn slowly(text: &str) -> u64 {
    let (mut state, mut word, mut length, mut buffer) = (0, 0, 0_u64, [0; 4]);
    for c in text.chars().flat_map(char::to_lowercase) {
        for byte in c.encode_utf8(&mut buffer).bytes() {
            word |= u64::from(byte) << (length % 8 * 8);
            length += 1;
            if length.is_multiple_of(8) {
                (state, word) = (mix(state, word), 0);
            }
        }
    }
    mix(mix(state, word), length)
}

/// Eight ASCII bytes in lower case; of other bytes nothing sensible.
fn lower(word: u64) -> u64 {
    let from_a = word.wrapping_add(ONES * u64::from(0x80 - b'A'));
    let beyond_z = word.wrapping_add(ONES * u64::from(0x7f - b'Z'));
    word | (((from_a ^ beyond_z) >> 2) & (ONES * 0x20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_does_not_count_and_all_else_does() {
        let every: String = (0..128).map(char::from).collect();
        assert_eq!(number(&every.to_ascii_uppercase()), number(&every.to_ascii_lowercase()));
        let texts =
            ["", "a", "b", "ab", "ba", "a\0", "\0a", "@", "`", "[", "{", "abcdefgh", "abcdefg", "abcdefghi", "abcdefgh\0", "é", "k"];
        let mut numbers: Vec<u64> = texts.into_iter().map(number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), texts.len());
    }

    #[test]
    fn letters_beyond_ascii_fold_too() {
        assert_eq!(number("É"), number("é"));
        assert_eq!(number("\u{212A}EYS and LOCKS"), number("keys and locks"));
        for text in ["", "short", "exactly8", "more than eight bytes", "sixteen of them."] {
            assert_eq!(slowly(text), number(text), "{text}");
        }
    }
}
