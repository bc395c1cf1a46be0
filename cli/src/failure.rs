//! What a command can end with besides success.

use std::{fmt, io, path::PathBuf};

/// Why a command failed: one line for a person, and an exit code for a script.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: asked and refused.
    Refused(String),
    /// Exit code 2: the words of the command line do not go together.
    Usage(String),
    /// Exit code 3: the instance cannot be opened or reached.
    Unavailable(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unavailable(_) => 3,
        }
    }
    /// A file that cannot be read or written.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Unavailable(format!("`{}`: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Usage(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

impl From<tenantry_core::AwsError> for Failure {
    fn from(error: tenantry_core::AwsError) -> Self {
        Self::Refused(error.to_string())
    }
}
impl From<tenantry_store::StoreError> for Failure {
    fn from(error: tenantry_store::StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
