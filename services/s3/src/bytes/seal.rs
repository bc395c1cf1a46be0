//! Encryption at rest: AES-256-GCM in chunks, so that ranges can be read and nothing is held. Some chunks at a time make a
//! block, which is what is written and read at once.
//!
//! The instance has one secret, made at first use and kept in the store's table of secrets. Each
//! segment has a key of its own: the HMAC of its label and a random salt under that secret. Since no
//! key is used for two segments, the chunk's number is the nonce. A chunk that was changed, moved or
//! cut off does not open. The label parts the keys: `s3` is SSE-S3, `aws/s3/<account>` is the account's
//! AWS managed key for SSE-KMS.
//!
//! A segment's blob is named by the digest of its salt and of all its chunks' tags: the tags stand for the contents already, and
//! there are 4096 times fewer of them to hash.
//!
//! What this does not do: keys that customers manage, or rotating the secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use sha2::{Digest, Sha256};
use tenantry_blob::BlobId;
use tenantry_core::{AwsError, Result, Secret};
use tenantry_kernel::{Ids, Kernel};
use tenantry_store::{Batch, CommitError};

use super::{Segment, hex};

/// Clear bytes in a chunk; the last one may be shorter.
pub(crate) const CHUNK: usize = 64 * 1024;
/// What sealing adds to a chunk.
pub(crate) const TAG: usize = 16;
/// Chunks in a block that is sealed: a quarter of a MiB.
const WRITTEN: usize = 4;
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
        let tags = Sha256::new_with_prefix(&salt);
        Ok(Sealer { key: self.of(label, &salt)?, label: label.to_owned(), salt, held: BytesMut::new(), begun: 0, number: 0, tags })
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
    /// The block in the making: sealed chunks, and from `begun` on the clear bytes of the next.
    held: BytesMut,
    begun: usize,
    number: u64,
    tags: Sha256,
}

impl Sealer {
    /// Takes clear bytes; hands every block that is full to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Bytes>) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - (self.held.len() - self.begun)));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() - self.begun == CHUNK {
                self.seal()?;
            }
            if self.begun == WRITTEN * (CHUNK + TAG) {
                self.begun = 0;
                out.push(std::mem::replace(&mut self.held, BytesMut::with_capacity(WRITTEN * (CHUNK + TAG))).freeze());
            }
        }
        Ok(())
    }
    /// The last block, if there is one, and what the segment's blob is named.
    pub fn finish(&mut self) -> Result<(Option<Bytes>, BlobId)> {
        if self.held.len() > self.begun {
            self.seal()?;
        }
        let last = std::mem::take(&mut self.held).freeze();
        Ok(((!last.is_empty()).then_some(last), BlobId(self.tags.clone().finalize().into())))
    }
    fn seal(&mut self) -> Result<()> {
        let tag = self.key.seal_in_place_separate_tag(nonce(self.number), Aad::empty(), &mut self.held[self.begun..]);
        let tag = tag.map_err(|_| AwsError::internal("a chunk cannot be sealed"))?;
        self.tags.update(tag.as_ref());
        self.held.extend_from_slice(tag.as_ref());
        self.begun = self.held.len();
        self.number += 1;
        Ok(())
    }
}

/// Opens chunks.
#[derive(Clone)]
pub(crate) struct Opener(LessSafeKey);

impl Opener {
    /// Opens the chunks from `number` on that are in `block`, and moves them together at its beginning; how many bytes they are.
    pub fn open(&self, number: u64, block: &mut [u8]) -> Result<usize> {
        let (mut sealed, mut clear) = (0, 0);
        for number in number.. {
            if sealed == block.len() {
                break;
            }
            let end = block.len().min(sealed + CHUNK + TAG);
            let opened = self.0.open_within(nonce(number), Aad::empty(), &mut block[clear..end], sealed - clear..);
            clear += opened.map_err(|_| AwsError::internal("a stored chunk does not open: it was damaged or changed"))?.len();
            sealed = end;
        }
        Ok(clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_chunks_open_in_their_place_only() {
        let keys = Keys(hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));
        let clear: Vec<u8> = (0..(WRITTEN * CHUNK + CHUNK) as u32 + 100).map(|i| (i / 7) as u8).collect();
        let mut sealer = keys.sealer("s3").unwrap();
        let mut sealed = Vec::new();
        for piece in clear.chunks(1000) {
            sealer.push(piece, &mut sealed).unwrap();
        }
        let (last, name) = sealer.finish().unwrap();
        sealed.extend(last);
        assert_eq!(sealed.iter().map(Bytes::len).collect::<Vec<_>>(), [WRITTEN * (CHUNK + TAG), CHUNK + TAG + 100 + TAG]);
        let sealed = sealed.concat();
        assert!(!sealed.windows(64).any(|window| window == &clear[..64]));
        let tags: Vec<u8> = sealed.chunks(CHUNK + TAG).flat_map(|chunk| chunk[chunk.len() - TAG..].to_vec()).collect();
        assert_eq!(name.0[..], Sha256::new_with_prefix(&sealer.salt).chain_update(tags).finalize()[..]);
        let segment = Segment { blob: name, size: clear.len() as u64, label: "s3".into(), salt: sealer.salt.clone() };
        let opener = keys.opener(&segment).unwrap();
        let chunks = |from: usize, until: usize| sealed[from * (CHUNK + TAG)..sealed.len().min(until * (CHUNK + TAG))].to_vec();
        for (from, until) in [(0, 1), (0, 3), (1, 2), (2, 6), (0, 6), (5, 6)] {
            let mut block = chunks(from, until);
            let len = opener.open(from as u64, &mut block).unwrap();
            assert!(block[..len] == clear[from * CHUNK..clear.len().min(until * CHUNK)], "{from}..{until}");
        }
        assert!(opener.open(0, &mut chunks(1, 2)).is_err(), "moved");
        assert!(opener.open(5, &mut sealed[5 * (CHUNK + TAG)..sealed.len() - 1].to_vec()).is_err(), "cut off");
        for at in [0, CHUNK + TAG - 1, CHUNK + TAG + 5] {
            let mut changed = chunks(0, 2);
            changed[at] ^= 1;
            assert!(opener.open(0, &mut changed).is_err(), "changed at {at}");
        }
        let other = keys.opener(&Segment { label: "aws/s3/1".into(), ..segment }).unwrap();
        assert!(other.open(0, &mut chunks(0, 1)).is_err(), "another key");
    }

    #[test]
    fn a_segment_of_whole_blocks_has_no_last_one() {
        let keys = Keys(hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));
        let (mut sealer, mut sealed) = (keys.sealer("s3").unwrap(), Vec::new());
        sealer.push(&vec![1; WRITTEN * CHUNK], &mut sealed).unwrap();
        assert_eq!(sealed.len(), 1);
        assert!(sealer.finish().unwrap().0.is_none());
    }
}
