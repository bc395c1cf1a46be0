//! What can go wrong: refusals that a handler decides on, and faults that are nobody's input.

use tenantry_core::AwsError;

use crate::Kind;

/// The store itself failed, or was asked something impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be read or written; for a commit, it is not known whether it happened.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored does not have the form it was written in.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// Too long an id, too large a body: the caller should have refused the input.
    #[error("refused by the store: {0}")]
    Invalid(String),
}

/// Why a batch was not applied. But for [`CommitError::Store`], nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The row exists (where [`crate::Expect::Absent`]) or does not have the expected version: read again and retry.
    #[error("{kind} `{id}` was changed by another request")]
    Conflict {
        /// The row's kind.
        kind: Kind,
        /// The row's id.
        id: String,
    },
    /// The row was to exist and does not.
    #[error("{kind} `{id}` does not exist")]
    NotFound {
        /// The row's kind.
        kind: Kind,
        /// The row's id.
        id: String,
    },
    /// There was to be no row with this parent.
    #[error("`{parent}` still has a {kind}")]
    NotEmpty {
        /// The kind of what is there.
        kind: Kind,
        /// What has it.
        parent: String,
    },
    /// Somebody else holds the name.
    #[error("the name `{name}` is taken in {namespace}")]
    UniqueTaken {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// Who holds it. Not for clients.
        owner: String,
    },
    /// The lease has run out and the item was claimed anew, finished or cancelled.
    #[error("the lease of `{key}` in queue {queue} is lost")]
    LeaseLost {
        /// The queue.
        queue: String,
        /// The item.
        key: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StoreError> for AwsError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<CommitError> for AwsError {
    /// For handlers that have nothing better to say. A lost race is the client's to retry.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. }
            | CommitError::NotEmpty { .. }
            | CommitError::UniqueTaken { .. }
            | CommitError::NotFound { .. } => Self {
                cause: Some(error.to_string()),
                ..Self::new(409, "ConflictException", "The resource was changed by another request at the same time. Try again.")
            },
            CommitError::LeaseLost { .. } => Self::internal(error),
            CommitError::Store(error) => error.into(),
        }
    }
}
