//! What can go wrong with bytes on disk.

use tenantry_core::AwsError;

use crate::BlobId;

/// Why a blob cannot be stored or read. All of it is the platform's fault, never the client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob, though a row says so: restore it from a backup.
    #[error("blob {0} is missing")]
    Missing(BlobId),
    /// It is shorter than it was.
    #[error("blob {0} is damaged: restore it from a backup")]
    Damaged(BlobId),
    /// More than the caller was ready to hold.
    #[error("blob {id} has {size} bytes, more than expected here")]
    TooLarge {
        /// The blob.
        id: BlobId,
        /// Its bytes.
        size: u64,
    },
    /// The file system refused.
    #[error("cannot {what}: {why}")]
    Io {
        /// What was tried.
        what: String,
        /// What it answered.
        why: String,
        /// Whether the disk is full.
        full: bool,
    },
}

impl BlobError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, why: error.to_string(), full: error.kind() == std::io::ErrorKind::StorageFull }
    }
    /// A thread that did the work has panicked or was shut down.
    pub(crate) fn lost(error: &tokio::task::JoinError) -> Self {
        Self::Io { what: "finish work on a blob".to_owned(), why: error.to_string(), full: false }
    }
}

impl From<BlobError> for AwsError {
    fn from(error: BlobError) -> Self {
        Self::internal(error)
    }
}
