//! Accounts, regions, and the pair of them that every row of state belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

text_id!(
    /// Twelve digits. Kept as text: a leading zero counts.
    AccountId
);
text_id!(
    /// `us-east-1`, … Rows of global services (IAM, Organizations) use [`Region::global`].
    Region
);

impl AccountId {
    /// Whether `text` is twelve digits.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
    }
}

impl Region {
    /// The region of rows that have none: IAM, Organizations, S3's names.
    #[must_use]
    pub fn global() -> Self {
        Self("global".to_owned())
    }
}

/// Whose row it is. Comes from the permit, never from the input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// The owning account.
    pub account: AccountId,
    /// The region, or [`Region::global`].
    pub region: Region,
}

impl Scope {
    /// A scope in a region.
    #[must_use]
    pub fn new(account: impl Into<AccountId>, region: impl Into<Region>) -> Self {
        Self { account: account.into(), region: region.into() }
    }
    /// The scope of an account's global rows.
    #[must_use]
    pub fn global(account: impl Into<AccountId>) -> Self {
        Self { account: account.into(), region: Region::global() }
    }
}

/// A resource, session or request tag. Key 1 to 128 characters, value 0 to 256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Compared without case for roles, users and sessions.
    pub key: String,
    /// May be empty.
    #[serde(default)]
    pub value: String,
}

impl Tag {
    /// A tag.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}
