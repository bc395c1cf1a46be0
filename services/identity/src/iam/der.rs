//! As much of ASN.1's DER, and of PEM around it, as public keys and certificates need to be looked at.
//!
//! Pure and total: what is no DER is `None`. It proves no signature.
//! Source: ITU-T X.690; RFC 7468.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Tags.
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;
const NULL: u8 = 0x05;
/// `rsaEncryption`, 1.2.840.113549.1.1.1, with its tag and length.
const RSA: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// The first element: its tag, its content, and what comes after it.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The contents of elements with these tags, one after the other and nothing else.
pub(crate) fn elements<const N: usize>(mut bytes: &[u8], tags: [u8; N]) -> Option<[&[u8]; N]> {
    let mut contents = [&bytes[..0]; N];
    for (at, wanted) in tags.into_iter().enumerate() {
        let (tag, content, rest) = element(bytes)?;
        (contents[at], bytes) = (if tag == wanted { content } else { return None }, rest);
    }
    bytes.is_empty().then_some(contents)
}

fn put(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let digits = content.len().to_be_bytes();
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        _ => {
            let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        }
    }
    out.extend(content);
    out
}

/// The bytes of a PEM block of this name.
pub(crate) fn from_pem(text: &str, name: &str) -> Option<Vec<u8>> {
    let rest = text.trim().strip_prefix(&format!("-----BEGIN {name}-----"))?;
    let body: String = rest.strip_suffix(&format!("-----END {name}-----"))?.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// A PEM block.
fn to_pem(bytes: &[u8], name: &str) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}

/// Modulus and exponent of an RSA key, as integers with their signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rsa {
    pub modulus: Vec<u8>,
    pub exponent: Vec<u8>,
}

impl Rsa {
    /// Of a `PUBLIC KEY` block's bytes (SubjectPublicKeyInfo).
    pub(crate) fn from_info(bytes: &[u8]) -> Option<Self> {
        let [info] = elements(bytes, [SEQUENCE])?;
        let [algorithm, bits] = elements(info, [SEQUENCE, BIT_STRING])?;
        let key = bits.strip_prefix(&[0])?;
        let [numbers] = elements(key, [SEQUENCE])?;
        let [modulus, exponent] = elements(numbers, [INTEGER, INTEGER])?;
        algorithm.starts_with(&RSA).then(|| Self { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
    }

    /// As a `PUBLIC KEY` block.
    pub(crate) fn pem(&self) -> String {
        let numbers = put(SEQUENCE, &[put(INTEGER, &self.modulus), put(INTEGER, &self.exponent)].concat());
        let algorithm = put(SEQUENCE, &[&RSA[..], &put(NULL, &[])].concat());
        let bits = put(BIT_STRING, &[&[0], &numbers[..]].concat());
        to_pem(&put(SEQUENCE, &[algorithm, bits].concat()), "PUBLIC KEY")
    }

    /// Bits of the modulus; 0 where it is not positive.
    pub(crate) fn bits(&self) -> usize {
        if self.modulus.first().is_none_or(|first| *first >= 0x80) {
            return 0;
        }
        let digits: &[u8] = &self.modulus[self.modulus.iter().take_while(|digit| **digit == 0).count()..];
        digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
    }
}

/// Whether bytes have the form of an X.509 certificate.
pub(crate) fn is_certificate(bytes: &[u8]) -> bool {
    let Some([body, ..]) = elements(bytes, [SEQUENCE]).and_then(|[all]| elements(all, [SEQUENCE, SEQUENCE, BIT_STRING])) else {
        return false;
    };
    // The version may be left out.
    let body = match element(body) {
        Some((0xa0, _, rest)) => rest,
        _ => body,
    };
    // Serial number, algorithm, issuer, validity, subject, key; extensions may follow.
    let mut rest = body;
    [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE].into_iter().all(|wanted| match element(rest) {
        Some((tag, _, after)) if tag == wanted => {
            rest = after;
            true
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_there_and_back() {
        let key = Rsa { modulus: [&[0, 0x8f][..], &[7; 255]].concat(), exponent: vec![1, 0, 1] };
        assert_eq!(key.bits(), 2048);
        let pem = key.pem();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), "{pem}");
        assert_eq!(Rsa::from_info(&from_pem(&pem, "PUBLIC KEY").unwrap()), Some(key));
        assert_eq!(Rsa { modulus: vec![0x8f], exponent: vec![3] }.bits(), 0, "negative");
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let whole = from_pem(&Rsa { modulus: vec![0x71; 300], exponent: vec![3] }.pem(), "PUBLIC KEY").unwrap();
        for end in 0..whole.len() {
            assert_eq!(Rsa::from_info(&whole[..end]), None, "{end}");
            assert!(!is_certificate(&whole[..end]));
        }
        assert!(!is_certificate(&whole), "a key is no certificate");
        assert!(Rsa::from_info(&[whole, vec![0]].concat()).is_none(), "nothing follows");
        assert_eq!(element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(from_pem("-----BEGIN X-----\n???\n-----END X-----", "X"), None);
    }
}
