//! The bytes of objects on their way in and out: checksums, encryption, and who still needs a blob.
//!
//! Everything here works in pieces: an object is never in memory as a whole.

pub(crate) mod checksum;
pub(crate) mod crc;
pub(crate) mod digests;
pub(crate) mod hold;
pub(crate) mod kept;
pub(crate) mod receive;
pub(crate) mod seal;
pub(crate) mod send;
pub(crate) mod sweep;

use serde::{Deserialize, Serialize};
use tenantry_blob::BlobId;

/// A piece of an object: one blob, encrypted under a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// What lies on disk.
    pub blob: BlobId,
    /// Bytes of the object in it.
    pub size: u64,
    /// Which of the instance's keys it is under: see [`seal`].
    pub label: String,
    /// 32 hexadecimal digits; with the label it makes the segment's own key.
    pub salt: String,
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
