//! Browser uploads: the signature of a POST policy (AWS page "Authenticating requests in browser-based uploads using POST").

use tenantry_core::Timestamp;

use crate::{
    Fault, SigningKey, constant_time_eq,
    key::is_hex64,
    present::{Scope, basic_date},
    v2::policy_signature,
};

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

/// The same of a form that is signed with version 2: `signature` is the base64 HMAC-SHA1 of the policy's text.
///
/// # Errors
/// The signature is not this secret's.
pub fn verify_post_policy_v2(secret: &str, policy_base64: &str, signature: &str) -> Result<(), Fault> {
    if constant_time_eq(policy_signature(secret, policy_base64.as_bytes()).as_bytes(), signature.as_bytes()) {
        Ok(())
    } else {
        Err(Fault::SignatureMismatch { canonical_request: String::new(), string_to_sign: policy_base64.into() })
    }
}

/// `X-Amz-Credential` of a form, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostScope {
    /// The access key id.
    pub access_key: String,
    /// The scope's day, `YYYYMMDD`: that of `signed`.
    pub date: String,
    /// The region. The caller checks it against the endpoint.
    pub region: String,
    /// The signing name. The caller checks that it is S3's.
    pub service: String,
    /// `X-Amz-Date`.
    pub signed: Timestamp,
}

impl PostScope {
    /// Reads `X-Amz-Credential` and `X-Amz-Date`.
    ///
    /// # Errors
    /// One of them cannot be read, or they are not of one day.
    pub fn read(credential: &str, date: &str) -> Result<Self, Fault> {
        let (scope, signed) = (Scope::read(credential)?, basic_date(date)?);
        if !date.starts_with(&scope.date) {
            return Err(Fault::Scope("Date in Credential scope does not match X-Amz-Date.".into()));
        }
        Ok(Self { access_key: scope.access_key, date: scope.date, region: scope.region, service: scope.service, signed })
    }
}
