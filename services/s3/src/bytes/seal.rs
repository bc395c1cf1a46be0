//! Encryption at rest: AES-256-GCM in chunks, so that ranges can be read and nothing is held.
//!
//! The instance has one secret, made at first use and kept in the store's table of secrets. Each
//! segment has a key of its own: the HMAC of its label and a random salt under that secret. Since no
//! key is used for two segments, the chunk's number is the nonce. A chunk that was changed, moved or
//! cut off does not open. The label parts the keys: `s3` is SSE-S3, `aws/s3/<account>` is the account's
//! AWS managed key for SSE-KMS.
//!
//! What this does not do: keys that customers manage, or rotating the secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use tenantry_core::{AwsError, Result, Secret};
use tenantry_kernel::{Ids, Kernel};
use tenantry_store::{Batch, CommitError};

use super::{Segment, hex};

/// Clear bytes in a chunk; the last one may be shorter.
pub(crate) const CHUNK: usize = 64 * 1024;
/// What sealing adds to a chunk.
pub(crate) const TAG: usize = 16;
const SECRET: &str = "s3/data-key";

/// The instance's secret.
pub(crate) struct Keys(hmac::Key);

impl Keys {
    /// Reads it; makes it where there is none yet.
    pub async fn load(kernel: &Kernel) -> Result<Self> {
        for _ in 0..4 {
            if let Some(secret) = kernel.store().secret(SECRET).await? {
                let bytes = STANDARD.decode(secret.expose()).map_err(|_| AwsError::internal("the data key is not base64"))?;
                return Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)));
            }
            let mut bytes = [0u8; 32];
            getrandom::fill(&mut bytes).map_err(AwsError::internal)?;
            let mut batch = Batch::new();
            // Two that make one at the same time: the second finds the name taken and reads the first's.
            batch.claim_unique("s3", "data-key", Ids::lower(20));
            batch.put_secret(SECRET, Secret::new(STANDARD.encode(bytes)));
            match kernel.store().commit(batch).await {
                Ok(()) | Err(CommitError::UniqueTaken { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(AwsError::internal("the data key is claimed and not there: restore the store from a backup"))
    }

    fn of(&self, label: &str, salt: &str) -> Result<LessSafeKey> {
        let key = hmac::sign(&self.0, format!("segment\0{label}\0{salt}").as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| AwsError::internal("no key for a segment"))?;
        Ok(LessSafeKey::new(key))
    }

    /// Begins to seal a new segment.
    pub fn sealer(&self, label: &str) -> Result<Sealer> {
        let mut salt = [0u8; 16];
        getrandom::fill(&mut salt).map_err(AwsError::internal)?;
        let salt = hex(&salt);
        Ok(Sealer { key: self.of(label, &salt)?, label: label.to_owned(), salt, held: BytesMut::new(), number: 0 })
    }

    /// Opens the chunks of a stored segment.
    pub fn opener(&self, segment: &Segment) -> Result<Opener> {
        Ok(Opener(self.of(&segment.label, &segment.salt)?))
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals a segment, chunk by chunk.
pub(crate) struct Sealer {
    key: LessSafeKey,
    pub label: String,
    pub salt: String,
    held: BytesMut,
    number: u64,
}

impl Sealer {
    /// Takes clear bytes; hands every chunk that is full to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Bytes>) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() == CHUNK {
                out.push(self.seal()?);
            }
        }
        Ok(())
    }
    /// The last chunk, if there is one.
    pub fn finish(&mut self) -> Result<Option<Bytes>> {
        if self.held.is_empty() { Ok(None) } else { self.seal().map(Some) }
    }
    fn seal(&mut self) -> Result<Bytes> {
        let mut chunk = std::mem::replace(&mut self.held, BytesMut::with_capacity(CHUNK + TAG));
        let tag = self.key.seal_in_place_separate_tag(nonce(self.number), Aad::empty(), &mut chunk);
        chunk.extend_from_slice(tag.map_err(|_| AwsError::internal("a chunk cannot be sealed"))?.as_ref());
        self.number += 1;
        Ok(chunk.freeze())
    }
}

/// Opens chunks.
pub(crate) struct Opener(LessSafeKey);

impl Opener {
    /// Opens chunk `number`, in place.
    pub fn open(&self, number: u64, mut chunk: BytesMut) -> Result<BytesMut> {
        let len = self
            .0
            .open_in_place(nonce(number), Aad::empty(), &mut chunk)
            .map_err(|_| AwsError::internal("a stored chunk does not open: it was damaged or changed"))?
            .len();
        chunk.truncate(len);
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_chunks_open_in_their_place_only() {
        let keys = Keys(hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));
        let clear: Vec<u8> = (0..CHUNK as u32 + 100).map(|i| i as u8).collect();
        let mut sealer = keys.sealer("s3").unwrap();
        let mut sealed = Vec::new();
        for piece in clear.chunks(1000) {
            sealer.push(piece, &mut sealed).unwrap();
        }
        sealed.extend(sealer.finish().unwrap());
        assert_eq!(sealed.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK + TAG, 100 + TAG]);
        assert!(!sealed[0].windows(64).any(|window| window == &clear[..64]));
        let segment =
            Segment { blob: tenantry_blob::BlobId([0; 32]), size: clear.len() as u64, label: "s3".into(), salt: sealer.salt.clone() };
        let opener = keys.opener(&segment).unwrap();
        assert_eq!(&opener.open(0, BytesMut::from(&sealed[0][..])).unwrap()[..], &clear[..CHUNK]);
        assert_eq!(&opener.open(1, BytesMut::from(&sealed[1][..])).unwrap()[..], &clear[CHUNK..]);
        assert!(opener.open(0, BytesMut::from(&sealed[1][..])).is_err());
        let other = keys.opener(&Segment { label: "aws/s3/1".into(), ..segment }).unwrap();
        assert!(other.open(0, BytesMut::from(&sealed[0][..])).is_err());
    }
}
