//! Why a policy document is refused, in AWS's words.

use std::fmt;

/// The document cannot be stored. `message` is the text AWS gives; services put it in their own
/// error (`MalformedPolicyDocument`, `MalformedPolicy`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// AWS's sentence.
    pub message: String,
}

impl Malformed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    pub(crate) fn syntax() -> Self {
        Self::new("Syntax errors in policy.")
    }

    pub(crate) fn principal(kind: &str, value: &str) -> Self {
        let shown: String = value.chars().take(256).collect();
        Self::new(format!("Invalid principal in policy: \"{kind}\":\"{shown}\""))
    }

    /// True when the fault is a principal that cannot be named; the resource services have a text
    /// of their own for it.
    #[must_use]
    pub fn is_principal(&self) -> bool {
        self.message.starts_with("Invalid principal in policy")
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}
