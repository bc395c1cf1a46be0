//! X.509 certificates, as far as a signature needs them: the key, and until when it is said to be good.
//!
//! A provider's certificate is trusted because an administrator uploaded it: there is no chain to build,
//! and nothing in it but the key counts ("IAM doesn't evaluate the expiration of X.509 certificates in
//! SAML metadata", IAM User Guide).

use ring::digest;
use tenantry_core::Timestamp;

use crate::key::PublicKey;

/// The longest certificate that is read, in bytes.
const MAX: usize = 64 * 1024;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) key: PublicKey,
    /// From when to when it says that it is good.
    pub validity: (Timestamp, Timestamp),
}

impl Certificate {
    /// Reads a certificate. `None` where it is none, or has a key of a kind that is not verified here.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        if der.len() > MAX {
            return None;
        }
        let mut outer = Reader(der);
        let mut certificate = outer.sequence()?;
        let mut fields = certificate.sequence()?;
        fields.optional(0xa0); // version
        fields.any()?; // serial number
        fields.sequence()?; // signature algorithm
        fields.sequence()?; // issuer
        let mut validity = fields.sequence()?;
        let validity = (validity.time()?, validity.time()?);
        fields.sequence()?; // subject
        let key = fields.whole(0x30)?;
        Some(Self { key: PublicKey::from_spki(key)?, validity })
    }

    /// SHA-1 of the whole, lower-case hexadecimal: what thumbprint lists hold.
    #[must_use]
    pub fn thumbprint(der: &[u8]) -> String {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads DER values one after the other.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Tag, contents, and all bytes of the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let bytes = self.0;
        let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
        let (length, head) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x83 => {
                let count = usize::from(first & 0x7f);
                let digits = bytes.get(2..2 + count)?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), 2 + count)
            }
            _ => return None,
        };
        let contents = bytes.get(head..head + length)?;
        self.0 = &bytes[head + length..];
        Some((tag, contents, &bytes[..head + length]))
    }
    fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, ..)| *found == tag).map(|(_, contents, _)| contents)
    }
    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, ..)| *found == tag).map(|(.., whole)| whole)
    }
    fn optional(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            let _skipped = self.next();
        }
    }
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        self.next().map(|(tag, contents, _)| (tag, contents))
    }
    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.tagged(0x30).map(Self)
    }
    pub(crate) fn object_identifier(&mut self) -> Option<&'a [u8]> {
        self.tagged(0x06)
    }
    /// Of whole bytes.
    pub(crate) fn bits(&mut self) -> Option<&'a [u8]> {
        self.tagged(0x03)?.strip_prefix(&[0])
    }
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, contents) = self.any()?;
        let text = std::str::from_utf8(contents).ok()?;
        if !text.is_ascii() {
            return None;
        }
        let full = match tag {
            // Two digits of a year: 1950 to 2049.
            0x17 => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
            0x18 => text.to_owned(),
            _ => return None,
        };
        Timestamp::parse(&format!("{}T{}", full.get(..8)?, full.get(8..)?))
    }
}
