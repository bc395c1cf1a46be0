//! Additional checksums ("Checking object integrity in Amazon S3", Amazon S3 User Guide).
//!
//! A client names one algorithm and gives its value in a header, in a trailer behind the body, or not
//! at all. What is stored is shown again; nothing is computed that was not asked for.

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::Md5;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Digest;
use tenantry_core::{AwsError, Result};

use super::crc::{self, Crc};
use crate::error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "CRC32")]
    Crc32,
    #[serde(rename = "CRC32C")]
    Crc32C,
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    #[serde(rename = "SHA1")]
    Sha1,
    #[serde(rename = "SHA256")]
    Sha256,
    #[serde(rename = "SHA512")]
    Sha512,
    #[serde(rename = "MD5")]
    Md5,
}

const ALL: [(Algorithm, &str, usize); 7] = [
    (Algorithm::Crc32, "CRC32", 4),
    (Algorithm::Crc32C, "CRC32C", 4),
    (Algorithm::Crc64Nvme, "CRC64NVME", 8),
    (Algorithm::Sha1, "SHA1", 20),
    (Algorithm::Sha256, "SHA256", 32),
    (Algorithm::Sha512, "SHA512", 64),
    (Algorithm::Md5, "MD5", 16),
];

impl Algorithm {
    /// From the name in requests.
    ///
    /// # Errors
    /// `InvalidRequest` for one that is not computed here.
    pub fn named(name: &str) -> Result<Self> {
        let found = ALL.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(algorithm, _, _)| *algorithm).ok_or_else(|| match name.to_ascii_uppercase().starts_with("XXHASH") {
            true => error::not_implemented(&format!("The checksum algorithm {}", name.to_ascii_uppercase())),
            false => error::request("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"),
        })
    }
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(algorithm, _, _)| *algorithm == self).map_or("", |(_, name, _)| name)
    }
    /// `ChecksumCRC32`
    pub fn member(self) -> String {
        format!("Checksum{}", self.name())
    }
    fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }
    fn bytes(self) -> usize {
        ALL.iter().find(|(algorithm, _, _)| *algorithm == self).map_or(0, |(_, _, bytes)| *bytes)
    }
    pub fn polynomial(self) -> Option<crc::Polynomial> {
        match self {
            Self::Crc32 => Some(crc::CRC32),
            Self::Crc32C => Some(crc::CRC32C),
            Self::Crc64Nvme => Some(crc::CRC64NVME),
            _ => None,
        }
    }
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Crc32 => Hasher::Crc32(crc32fast::Hasher::new()),
            Self::Crc32C => Hasher::Crc(Crc::crc32c(), 4),
            Self::Crc64Nvme => Hasher::Crc(Crc::crc64nvme(), 8),
            Self::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            Self::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Box::default()),
            Self::Md5 => Hasher::Md5(Md5::new()),
        }
    }
}

/// A checksum in the making.
pub(crate) enum Hasher {
    Crc32(crc32fast::Hasher),
    Crc(Crc, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    Md5(Md5),
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hash) => hash.update(bytes),
            Self::Crc(hash, _) => hash.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
            Self::Md5(hash) => hash.update(bytes),
        }
    }
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(hash) => hash.finalize().to_be_bytes().to_vec(),
            Self::Crc(hash, bytes) => hash.finish().to_be_bytes()[8 - bytes..].to_vec(),
            Self::Sha1(hash) => hash.finalize().to_vec(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Sha512(hash) => hash.finalize().to_vec(),
            Self::Md5(hash) => hash.finalize().to_vec(),
        }
    }
}

/// A stored checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub algorithm: Algorithm,
    /// Base64; of a composite one with `-N` behind it.
    pub value: String,
    /// `COMPOSITE`: of the parts' checksums; else `FULL_OBJECT`.
    #[serde(default)]
    pub composite: bool,
}

impl Checksum {
    pub fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }
    /// Adds `ChecksumX` (and, if wanted, `ChecksumType`) to an output.
    pub fn show(&self, output: &mut Value, with_type: bool) {
        output[self.algorithm.member()] = self.value.as_str().into();
        if with_type {
            output["ChecksumType"] = self.kind().into();
        }
    }
}

/// What a request says about the checksum of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    pub algorithm: Option<Algorithm>,
    /// Base64, where it was not left to a trailer.
    pub value: Option<String>,
    /// The name of the trailer that will bring it.
    pub trailer: Option<String>,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
}

impl Claim {
    /// From an input's `ChecksumX`, `ChecksumAlgorithm` and `ContentMD5` and the `x-amz-trailer` header.
    ///
    /// # Errors
    /// `InvalidRequest` for two checksums or one that cannot be, `InvalidDigest` for a bad `Content-MD5`.
    pub fn read(input: &Map<String, Value>, trailer: Option<&str>) -> Result<Self> {
        let mut claim = Self::default();
        for (member, value) in input {
            let Some(name) = member.strip_prefix("Checksum").filter(|name| !matches!(*name, "Algorithm" | "Type" | "Mode")) else {
                continue;
            };
            let algorithm = Algorithm::named(name)?;
            if claim.algorithm.replace(algorithm).is_some() {
                return Err(error::request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
            }
            let value = value.as_str().unwrap_or_default();
            check_form(algorithm, value)?;
            claim.value = Some(value.to_owned());
        }
        let trailing = trailer
            .into_iter()
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .find(|name| name.to_ascii_lowercase().starts_with("x-amz-checksum-"));
        if let Some(name) = trailing {
            let name = name.to_ascii_lowercase();
            let algorithm = Algorithm::named(&name["x-amz-checksum-".len()..])?;
            if claim.algorithm.is_some_and(|given| given != algorithm) {
                return Err(error::request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
            }
            claim.algorithm = Some(algorithm);
            claim.trailer = Some(name);
        }
        if let Some(name) = input.get("ChecksumAlgorithm").and_then(Value::as_str) {
            let algorithm = Algorithm::named(name)?;
            if claim.algorithm.is_some_and(|given| given != algorithm) {
                return Err(error::request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            claim.algorithm = Some(algorithm);
        }
        if let Some(text) = input.get("ContentMD5").and_then(Value::as_str) {
            claim.md5 = Some(content_md5(text)?);
        }
        Ok(claim)
    }

    /// Holds what was computed against what was claimed.
    ///
    /// # Errors
    /// `BadDigest`.
    pub fn prove(&self, md5: &[u8; 16], computed: Option<&str>, trailers: &[(String, String)]) -> Result<()> {
        if let Some(claimed) = &self.md5
            && claimed != md5
        {
            return Err(AwsError::new(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
                .with("ExpectedDigest", STANDARD.encode(claimed))
                .with("CalculatedDigest", STANDARD.encode(md5)));
        }
        let Some(algorithm) = self.algorithm else { return Ok(()) };
        let name = self.trailer.clone().unwrap_or_else(|| algorithm.header());
        let trailing = trailers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.trim());
        if self.trailer.is_some() && trailing.is_none() && self.value.is_none() {
            return Err(AwsError::new(
                400,
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
            ));
        }
        for claimed in [self.value.as_deref(), trailing].into_iter().flatten() {
            check_form(algorithm, claimed)?;
            if computed != Some(claimed) {
                return Err(mismatch(algorithm));
            }
        }
        Ok(())
    }
}

/// `BadDigest` of an algorithm.
pub(crate) fn mismatch(algorithm: Algorithm) -> AwsError {
    let text = format!("The {} you specified did not match the calculated checksum.", algorithm.name());
    AwsError::new(400, "BadDigest", text)
}

fn check_form(algorithm: Algorithm, value: &str) -> Result<()> {
    match STANDARD.decode(value) {
        Ok(bytes) if bytes.len() == algorithm.bytes() => Ok(()),
        _ => Err(error::request(format!("Value for {} header is invalid.", algorithm.header()))),
    }
}

/// The sixteen bytes of a `Content-MD5` header.
///
/// # Errors
/// `InvalidDigest`.
pub(crate) fn content_md5(text: &str) -> Result<[u8; 16]> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.ok_or_else(|| {
        AwsError::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
            .with("Content-MD5", text.chars().take(64).collect::<String>())
    })
}

/// The checksum of an object of several parts: of the parts' checksums, or (CRCs) of all bytes.
///
/// `parts` are the raw checksums and sizes, in order. `None` where the algorithm has no such combination.
pub(crate) fn of_parts(algorithm: Algorithm, composite: bool, parts: &[(Vec<u8>, u64)]) -> Option<Checksum> {
    let value = if composite {
        let mut hasher = algorithm.hasher();
        for (bytes, _) in parts {
            hasher.update(bytes);
        }
        format!("{}-{}", STANDARD.encode(hasher.finish()), parts.len())
    } else {
        let polynomial = algorithm.polynomial()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        let whole = parts.iter().fold(0, |crc, (bytes, size)| crc::combine(polynomial, crc, number(bytes), *size));
        STANDARD.encode(&whole.to_be_bytes()[8 - algorithm.bytes()..])
    };
    Some(Checksum { algorithm, value, composite })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = algorithm.hasher();
        hasher.update(bytes);
        STANDARD.encode(hasher.finish())
    }

    #[test]
    fn known_values() {
        assert_eq!(of(Algorithm::Crc32, b"hello"), "NhCmhg==");
        assert_eq!(of(Algorithm::Crc32C, b"123456789"), "4waSgw==");
        assert_eq!(of(Algorithm::Crc64Nvme, b"123456789"), "rosUhgp5mIg=");
        assert_eq!(of(Algorithm::Sha1, b"abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        assert_eq!(of(Algorithm::Sha256, b"abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn claims() {
        let read = |value: Value, trailer| Claim::read(value.as_object().unwrap(), trailer);
        let claim = read(json!({"ChecksumCRC32": "NhCmhg==", "ChecksumAlgorithm": "CRC32"}), None).unwrap();
        assert_eq!((claim.algorithm, claim.value.as_deref()), (Some(Algorithm::Crc32), Some("NhCmhg==")));
        assert!(claim.prove(&[0; 16], Some("NhCmhg=="), &[]).is_ok());
        assert_eq!(claim.prove(&[0; 16], Some("AAAAAA=="), &[]).unwrap_err().code, "BadDigest");
        for bad in [
            json!({"ChecksumCRC32": "NhCmhg==", "ChecksumSHA1": "x"}),
            json!({"ChecksumCRC32": "abc"}),
            json!({"ChecksumCRC32": "NhCmhg==", "ChecksumAlgorithm": "SHA1"}),
        ] {
            assert_eq!(read(bad, None).unwrap_err().code, "InvalidRequest");
        }
        assert_eq!(read(json!({"ContentMD5": "abc"}), None).unwrap_err().code, "InvalidDigest");
        let trailing = read(json!({}), Some("x-amz-checksum-crc32")).unwrap();
        let brings = |value: &str| vec![("x-amz-checksum-crc32".to_owned(), value.to_owned())];
        assert!(trailing.prove(&[0; 16], Some("NhCmhg=="), &brings("NhCmhg==")).is_ok());
        assert_eq!(trailing.prove(&[0; 16], Some("NhCmhg=="), &brings("AAAAAA==")).unwrap_err().code, "BadDigest");
        assert_eq!(trailing.prove(&[0; 16], Some("NhCmhg=="), &[]).unwrap_err().code, "MalformedTrailerError");
    }

    #[test]
    fn parts() {
        let raw = |bytes: &[u8]| (STANDARD.decode(of(Algorithm::Crc32C, bytes)).unwrap(), bytes.len() as u64);
        let parts = [raw(b"12345"), raw(b"6789")];
        assert_eq!(of_parts(Algorithm::Crc32C, false, &parts).unwrap().value, "4waSgw==");
        let composite = of_parts(Algorithm::Crc32C, true, &parts).unwrap();
        assert!(composite.value.ends_with("-2"), "{}", composite.value);
        assert!(of_parts(Algorithm::Sha256, false, &parts).is_none());
    }
}
