//! What other identity providers say of people, verified: SAML 2.0 responses and OpenID Connect tokens.
//!
//! Pure: keys, texts and the time come in, a verified statement or a refusal goes out. Fetching keys and
//! deciding what the statement is good for happens elsewhere.
//!
//! Reading order of the SAML half: [`xml`] (a strict tree), `c14n` (the tree as signed bytes), `dsig` (an
//! element's own signature), [`metadata`] (a provider's keys), [`saml`] (the statement). The element that
//! was verified and the element that is read are one node of one tree. Everything that these documents do
//! not need is refused: document types, entities, processing instructions, other transforms than the two
//! of SAML, references to anything but the signature's own parent, keys that the document brings along.

mod base64;
mod c14n;
mod der;
mod dsig;
pub mod jwt;
mod key;
pub mod metadata;
pub mod saml;
pub mod xml;

pub use der::Certificate;

/// Why a statement is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is malformed, not signed by the provider, or not meant for this service.
    Invalid(String),
    /// It was good once.
    Expired(String),
}

impl Refusal {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(text) | Self::Expired(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}
