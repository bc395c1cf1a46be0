//! Policy documents as IAM takes and gives them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tenantry_core::Result;
use tenantry_policy::{Policy, PolicyKind};

use super::error;

/// RFC 3986's unreserved characters stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The form in which IAM answers documents: percent-encoded.
pub(crate) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, ENCODED).to_string()
}

/// Parses an identity policy.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(crate) fn identity(document: &str) -> Result<Policy> {
    Policy::parse(document, PolicyKind::Identity).map_err(|fault| error::malformed(&fault))
}

/// Characters that count for quotas: all but whitespace.
pub(crate) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}
