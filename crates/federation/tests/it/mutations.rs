//! Random changes of a good response: whatever is accepted still says what was signed.

use tenantry_federation::metadata::Metadata;

use crate::signer::{Provider, Recipe};

/// Marsaglia's xorshift: the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end.max(1)
    }
}

/// Pieces that mean something to somebody.
const PIECES: [&[u8]; 20] = [
    b"<!-- -->",
    b"<![CDATA[",
    b"]]>",
    b"&#x41;",
    b"&amp;",
    b"&x;",
    b"<?x?>",
    b"<!DOCTYPE a>",
    b" xmlns=\"\"",
    b" xmlns:saml=\"x\"",
    b" ID=\"_assertion-1\"",
    b"</saml:Assertion>",
    b"<saml:Attribute Name=\"x\"/>",
    b"/>",
    b"\r\n",
    b"\t",
    b" ",
    b"\0",
    b"\xc3",
    b"admin",
];

fn mutate(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = good.to_vec();
    for _ in 0..=random.below(3) {
        let (at, length) = (random.below(text.len()), 1 + random.below(80));
        let end = (at + length).min(text.len());
        match random.below(6) {
            0 => text[at] = u8::try_from(random.below(256)).unwrap(),
            1 => _ = text.drain(at..end),
            2 => {
                let piece = text[at..end].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, piece);
            }
            3 => {
                let piece: Vec<u8> = text.drain(at..end).collect();
                let to = random.below(text.len());
                text.splice(to..to, piece);
            }
            4 => _ = text.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied()),
            _ => {
                // An element, or what looks like one, to another place.
                let starts: Vec<usize> = text.iter().enumerate().filter(|(_, byte)| **byte == b'<').map(|(at, _)| at).collect();
                if starts.len() > 2 {
                    let (a, b) = (starts[random.below(starts.len())], starts[random.below(starts.len())]);
                    let piece = text[a.min(b)..a.max(b)].to_vec();
                    let to = starts[random.below(starts.len())];
                    text.splice(to..to, piece);
                }
            }
        }
        if text.is_empty() {
            text.push(b'<');
        }
    }
    text
}

#[test]
fn no_accepted_mutation_has_another_meaning() {
    let provider = Provider::new();
    let (mut random, mut accepted, mut refused) = (Random(0x2545_f491_4f6c_dd1d), 0, 0);
    for good in [Recipe::default().by_assertion(&provider), Recipe::default().by_response(&provider)] {
        let same = provider.verify(&good).unwrap();
        for _ in 0..8_000 {
            let Ok(text) = String::from_utf8(mutate(good.as_bytes(), &mut random)) else { continue };
            match provider.verify(&text) {
                Ok(read) => {
                    accepted += 1;
                    assert_eq!(read, same, "{text}");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(accepted > 20 && refused > 10_000, "{accepted} accepted, {refused} refused: both happen");
}

#[test]
fn mutated_metadata_never_panics() {
    let good = Provider::new().document();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for _ in 0..5000 {
        let text = String::from_utf8_lossy(&mutate(good.as_bytes(), &mut random)).into_owned();
        refused += usize::from(Metadata::parse(&text).is_err());
    }
    assert!(refused > 1000);
}
