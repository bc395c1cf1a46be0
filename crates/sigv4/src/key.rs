//! The signing key and the two primitives (HMAC-SHA256, SHA-256) the rest of the crate is made of.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The key of one secret, day, region and service. It has no `Debug` and no accessor: it can only sign.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// Derives the key; `date` is the scope's `YYYYMMDD`. A caller may keep it for the day: deriving costs four HMACs.
    #[must_use]
    pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        let day = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
        let region = hmac(&day, region.as_bytes());
        let service = hmac(&region, service.as_bytes());
        Self(hmac(&service, b"aws4_request"))
    }

    /// The signature of `text`, as 64 lower-case hexadecimal digits.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        hex(&hmac(&self.0, text))
    }

    /// Whether `signature` is this key's for `text`, in time that does not depend on where they differ.
    pub(crate) fn signed(&self, text: &[u8], signature: &str) -> bool {
        constant_time_eq(self.sign(text).as_bytes(), signature.as_bytes())
    }
}

/// Whether two texts are the same, in time that does not depend on where they differ (it does on their lengths). For session
/// tokens.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Whether `text` is what [`sha256_hex`] or [`SigningKey::sign`] writes.
pub(crate) fn is_hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}
