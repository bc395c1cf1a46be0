//! The user name and password that `aws codecommit credential-helper` gives Git (AWS page "Setup steps for HTTPS connections
//! with the AWS CLI credential helper"): a SigV4 signature of host and path under the made-up method `GIT`.
//!
//! It covers neither Git's operation nor its data, so it is good for whatever the access key may do to that repository, for
//! 15 minutes.

use tenantry_core::Timestamp;

use crate::{Fault, SigningKey, canonical, key::is_hex64, verify::skewed};

/// What Git presented in HTTP's `Basic` form, taken apart. Nothing of it is verified yet. No `Debug`: it is a password.
#[derive(Clone)]
pub struct GitPassword {
    /// The access key id. Its key is derived for [`GitPassword::scope_date`], the host's region, and `codecommit`.
    pub access_key: String,
    /// The session token; not signed, so **the caller must compare it with the session's**.
    pub token: Option<String>,
    /// When it was signed.
    pub date: Timestamp,
    signature: String,
}

impl GitPassword {
    /// Reads `AKID` or `AKID%TOKEN`, and `YYYYMMDDTHHMMSSZ` followed by the signature.
    ///
    /// # Errors
    /// Either is of another form.
    pub fn read(username: &str, password: &str) -> Result<Self, Fault> {
        let bad = || {
            Fault::Incomplete("the Git user name and password are not those of `aws codecommit credential-helper`; configure it as Git's credential.helper".into())
        };
        let (access_key, token) = username.split_once('%').map_or((username, None), |(key, token)| (key, Some(token)));
        let (date, signature) = password.split_at_checked(16).ok_or_else(bad)?;
        let parsed = Timestamp::parse(date).filter(|parsed| parsed.basic() == date).ok_or_else(bad)?;
        if access_key.is_empty() || !access_key.bytes().all(|b| b.is_ascii_alphanumeric()) || token == Some("") || !is_hex64(signature) {
            return Err(bad());
        }
        Ok(Self { access_key: access_key.into(), token: token.map(Into::into), date: parsed, signature: signature.into() })
    }

    /// The day to derive the key for, `YYYYMMDD`.
    #[must_use]
    pub fn scope_date(&self) -> String {
        self.date.format("%Y%m%d")
    }

    /// Verifies the signature for the repository at `path` (raw, as in the clone URL: `/v1/repos/name`) of `host` (without a port).
    ///
    /// # Errors
    /// It was signed more than 15 minutes before or after `now`, or not with this key for this repository.
    pub fn verify(&self, host: &str, path: &str, region: &str, key: &SigningKey, now: Timestamp) -> Result<(), Fault> {
        skewed(self.date, now)?;
        let canonical_request = format!("GIT\n{path}\n\nhost:{host}\n\nhost\n");
        let scope = format!("{}/{region}/codecommit/aws4_request", self.scope_date());
        // The helper signs the time without the `Z` that it writes into the password.
        let string_to_sign = canonical::string_to_sign(&self.date.format("%Y%m%dT%H%M%S"), &scope, &canonical_request);
        if key.signed(string_to_sign.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Fault::SignatureMismatch { canonical_request, string_to_sign })
        }
    }
}
