//! Browser uploads: the signature of a POST policy (AWS page "Authenticating requests in browser-based uploads using POST").

use crate::{Fault, SigningKey, key::is_hex64};

/// Verifies `X-Amz-Signature` of a form: the key signs the base64 text of the policy as it was sent. What the policy demands, its
/// expiry, and that `X-Amz-Credential` and `X-Amz-Date` are among its conditions, is the caller's to judge.
///
/// # Errors
/// The signature is not 64 hexadecimal digits, or not this key's.
pub fn verify_post_policy(key: &SigningKey, policy_base64: &str, signature: &str) -> Result<(), Fault> {
    if !is_hex64(signature) {
        return Err(Fault::Incomplete("Signature must be 64 lower-case hexadecimal digits.".into()));
    }
    if key.signed(policy_base64.as_bytes(), signature) {
        Ok(())
    } else {
        Err(Fault::SignatureMismatch { canonical_request: String::new(), string_to_sign: policy_base64.into() })
    }
}
