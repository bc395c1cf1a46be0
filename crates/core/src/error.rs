//! The only error a client may see. Each protocol of `wire` knows how to write one.

use std::{borrow::Cow, fmt};

/// A result whose error may be shown to the client.
pub type Result<T> = std::result::Result<T, AwsError>;

/// An error in AWS's shape: a code, a message, an HTTP status. Services make them by named
/// constructors; anything that is not meant for a client becomes [`AwsError::internal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// As in AWS's API reference: `ValidationException`, `NoSuchEntity`, …
    pub code: Cow<'static, str>,
    /// The sentence that clients show.
    pub message: String,
    /// 4xx is the sender's fault, 5xx ours.
    pub status: u16,
    /// Extra members of the error document (S3's `BucketName`, KMS's …), in order.
    pub details: Vec<(Cow<'static, str>, String)>,
    /// What happened inside; goes to the log with the request id, never to the client.
    pub cause: Option<String>,
}

impl AwsError {
    /// An error with its code, status and message.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status, details: Vec::new(), cause: None }
    }

    /// Status 400 and `ValidationException`: what most JSON services answer to bad input.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// Something that is not the client's fault. `cause` is logged, not shown.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(500, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
        }
    }

    /// Adds a member to the error document.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.details.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AwsError {}
