//! Public keys and the signatures that they verify. SHA-1, keys below 2,048 bits and curves that nobody
//! asked for are not among them.

use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

use crate::der::Reader;

/// What is verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Modulus and exponent, big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha384 => &ring::digest::SHA384,
            Self::Sha512 => &ring::digest::SHA512,
        };
        ring::digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    /// The two numbers side by side; the hash belongs to the curve in JSON, in XML it is named apart.
    Ecdsa(Hash),
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

impl PublicKey {
    /// From a SubjectPublicKeyInfo.
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        let mut info = Reader(der).sequence()?;
        let mut algorithm = info.sequence()?;
        let (kind, key) = (algorithm.object_identifier()?, info.bits()?);
        match kind {
            RSA => {
                let mut pair = Reader(key).sequence()?;
                let mut number = || pair.any().filter(|(tag, _)| *tag == 0x02).map(|(_, digits)| digits);
                Self::rsa(number()?, number()?)
            }
            EC => match algorithm.object_identifier()? {
                P256 => Self::point(key, 32).map(Self::P256),
                P384 => Self::point(key, 48).map(Self::P384),
                _ => None,
            },
            _ => None,
        }
    }

    /// From a modulus of 2,048 to 8,192 bits and an exponent.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let strip = |digits: &[u8]| digits.iter().copied().skip_while(|digit| *digit == 0).collect::<Vec<u8>>();
        let (n, e) = (strip(n), strip(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        ((2048..=8192).contains(&bits) && !e.is_empty()).then_some(Self::Rsa { n, e })
    }

    /// From the coordinates of a point.
    pub(crate) fn ec(curve: &str, x: &[u8], y: &[u8]) -> Option<Self> {
        let point = [&[4], x, y].concat();
        match (curve, x.len(), y.len()) {
            ("P-256", 32, 32) => Some(Self::P256(point)),
            ("P-384", 48, 48) => Some(Self::P384(point)),
            _ => None,
        }
    }

    fn point(key: &[u8], size: usize) -> Option<Vec<u8>> {
        (key.len() == 1 + 2 * size && key[0] == 4).then(|| key.to_vec())
    }

    /// Whether this key made the signature.
    pub(crate) fn verifies(&self, scheme: Scheme, message: &[u8], made: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(parameters, message, made).is_ok(),
            _ => false,
        };
        let ec = |point: &[u8], by: &'static dyn VerificationAlgorithm| UnparsedPublicKey::new(by, point).verify(message, made).is_ok();
        match (scheme, self) {
            (Scheme::RsaPkcs1(Hash::Sha256), _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            (Scheme::RsaPkcs1(Hash::Sha384), _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            (Scheme::RsaPkcs1(Hash::Sha512), _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            (Scheme::RsaPss(Hash::Sha256), _) => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            (Scheme::RsaPss(Hash::Sha384), _) => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            (Scheme::RsaPss(Hash::Sha512), _) => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            (Scheme::Ecdsa(Hash::Sha256), Self::P256(point)) => ec(point, &signature::ECDSA_P256_SHA256_FIXED),
            (Scheme::Ecdsa(Hash::Sha384), Self::P384(point)) => ec(point, &signature::ECDSA_P384_SHA384_FIXED),
            (Scheme::Ecdsa(_), _) => false,
        }
    }
}
