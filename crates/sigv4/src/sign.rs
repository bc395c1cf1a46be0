//! Signing: what the platform sends under a role's credentials, and the URLs it hands out.
//!
//! The caller sends the request exactly as it was signed: same path, query and headers.

use tenantry_core::Timestamp;

use crate::{ALGORITHM, EMPTY_SHA256, Parts, SigningKey, UNSIGNED_PAYLOAD, canonical, is_s3};

/// Credentials and the scope they sign for. No `Debug`: it holds the secret.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key id.
    pub access_key: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// The session token of temporary credentials.
    pub token: Option<&'a str>,
    /// The region to sign for.
    pub region: &'a str,
    /// The service's signing name.
    pub service: &'a str,
}

impl Signer<'_> {
    fn scope(&self, date: &str) -> String {
        format!("{}/{}/{}/aws4_request", date.get(..8).unwrap_or_default(), self.region, self.service)
    }

    fn signature(&self, date: &str, canonical: &str) -> String {
        let key = SigningKey::derive(self.secret, date.get(..8).unwrap_or_default(), self.region, self.service);
        key.sign(canonical::string_to_sign(date, &self.scope(date), canonical).as_bytes())
    }
}

/// The headers to add to `parts` (names lower-cased): `x-amz-date`, for S3 `x-amz-content-sha256`, `x-amz-security-token` with temporary
/// credentials, and `authorization`. All of `parts`' headers are signed; they must hold `host` and none of those that are
/// added, nor ones that a proxy rewrites.
#[must_use]
pub fn sign(parts: &Parts<'_>, payload_hash: &str, signer: &Signer<'_>, now: Timestamp) -> Vec<(String, String)> {
    let date = now.basic();
    let mut added = vec![("x-amz-date".to_owned(), date.clone())];
    if is_s3(signer.service) {
        added.push(("x-amz-content-sha256".into(), payload_hash.into()));
    }
    if let Some(token) = signer.token {
        added.push(("x-amz-security-token".into(), token.into()));
    }
    let headers: Vec<_> = parts.headers.iter().copied().chain(added.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect();
    let names = names(&headers);
    let path = canonical::path(parts.path, signer.service, true);
    let canonical = canonical::request(parts.method, &path, &canonical::query(parts.query, |_| true), &headers, &names, payload_hash);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
        signer.access_key,
        signer.scope(&date),
        names.join(";"),
        signer.signature(&date, &canonical)
    );
    added.push(("authorization".into(), authorization));
    added
}

/// The whole query (without `?`) of a presigned URL for `parts`, whose own query comes first. Its headers are signed, so whoever uses
/// the URL must send them; usually that is `host` alone. `expires_secs` is 1 to 604800. The body is unsigned for S3 and
/// empty for all others.
#[must_use]
pub fn presign(parts: &Parts<'_>, expires_secs: u32, signer: &Signer<'_>, now: Timestamp) -> String {
    let date = now.basic();
    let names = names(parts.headers);
    let credential = format!("{}/{}", signer.access_key, signer.scope(&date));
    let mut query = parts.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query += &format!("{name}={}", canonical::encode(value.as_bytes(), false));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &date);
    add("X-Amz-Expires", &expires_secs.to_string());
    add("X-Amz-SignedHeaders", &names.join(";"));
    if let Some(token) = signer.token {
        add("X-Amz-Security-Token", token);
    }
    let payload = if is_s3(signer.service) { UNSIGNED_PAYLOAD } else { EMPTY_SHA256 };
    let path = canonical::path(parts.path, signer.service, true);
    let canonical = canonical::request(parts.method, &path, &canonical::query(&query, |_| true), parts.headers, &names, payload);
    query + "&X-Amz-Signature=" + &signer.signature(&date, &canonical)
}

fn names<'a>(headers: &[(&'a str, &str)]) -> Vec<&'a str> {
    let mut names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
