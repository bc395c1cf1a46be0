//! The crate from outside: AWS's signing suite, AWS's own Rust signer as a second opinion, and hostile input.

#![allow(clippy::unwrap_used, reason = "what the tests share may panic as they do")]

mod botocore;
mod chunked;
mod differential;
mod hostile;
mod refusals;
mod roundtrip;
mod suite;
mod uncovered;
mod v2;

use tenantry_core::Timestamp;
use tenantry_sigv4::{Credentials, Fault, Parts, Payload, Presented, SigningKey, sha256_hex, verify};

/// A request that owns its parts, so that a test can change one.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What is presented, where it is of version 4.
fn present(parts: &Parts<'_>) -> Result<Option<Presented>, Fault> {
    Ok(tenantry_sigv4::present(parts)?.map(|credentials| match credentials {
        Credentials::V4(presented) => presented,
        Credentials::V2(_) => panic!("version 2"),
    }))
}

impl Request {
    fn new(method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { method: method.into(), path: path.into(), query: query.into(), headers, body: Vec::new() }
    }

    fn with<T>(&self, then: impl FnOnce(&Parts<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        then(&Parts { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    fn position(&self, name: &str) -> usize {
        self.headers.iter().position(|(n, _)| n == name).unwrap()
    }

    /// Reads, derives with `secret` for the scope that is presented, and verifies, as a server does.
    fn check(&self, secret: &str, now: Timestamp) -> Result<(), Fault> {
        self.with(|parts| {
            let presented = present(parts)?.ok_or(Fault::Incomplete("anonymous".into()))?;
            let key = SigningKey::derive(secret, &presented.scope_date, &presented.region, &presented.service);
            let hash = matches!(presented.payload, Payload::Computed | Payload::Signed(_)).then(|| sha256_hex(&self.body));
            verify(parts, &presented, &key, hash.as_deref(), now)
        })
    }
}
