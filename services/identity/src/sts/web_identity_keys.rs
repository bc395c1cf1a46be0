//! The keys of OpenID Connect issuers: fetched, remembered for a while, fetched again for a key that is new.
//!
//! Anybody may send a token without being known, so what a token can make the instance do is bounded: only
//! issuers that an account has made a provider of are asked, a few times a minute, within seconds, for a
//! document of bounded length; redirects are not followed. Addresses inside the operator's networks are
//! reached only where the operator lists the host, and loopback only for an issuer that is named so, where the operator lists that name.
//! AWS's own host names end at the instance, as everywhere.
//!
//! The issuer's certificate is verified with the system's roots, or else by the provider's thumbprints
//! ("Obtain the thumbprint for an OpenID Connect identity provider", IAM User Guide).

mod client;
mod trust;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_federation::jwt::KeySet;
use tenantry_kernel::Cx;

use super::error;
use crate::iam::oidc_providers::OidcProvider;

/// Seconds that keys are remembered.
const LIFETIME: i64 = 3600;
/// Fetches of one issuer within a minute, good and bad.
const FETCHES: usize = 5;
/// Issuers that are remembered.
const REMEMBERED: usize = 1000;

/// Where a host of the world outside may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It may not, and why.
    Refused(String),
    /// At public addresses.
    Public,
    /// At private addresses too: the operator has listed it.
    Listed,
}

/// Whether a host and port may be reached.
pub type ReachPolicy = Box<dyn Fn(&str, u16) -> Reach + Send + Sync>;

/// The issuers that are known, and how they are reached. Given to the kernel by `provide`.
pub struct Issuers {
    policy: ReachPolicy,
    roots: trust::Roots,
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Timestamp, Arc<KeySet>)>,
    fetches: Vec<Timestamp>,
}

impl Issuers {
    /// Issuers are reached as `policy` says, and trusted by the system's certificates.
    #[must_use]
    pub fn new(policy: ReachPolicy) -> Self {
        Self { policy, roots: trust::Roots::default(), known: Mutex::default() }
    }

    fn known(&self, provider: &OidcProvider) -> Arc<tokio::sync::Mutex<Known>> {
        let name = format!("{}\n{}", provider.name, provider.thumbprints.join(","));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&name) {
            known.clear();
        }
        Arc::clone(known.entry(name).or_default())
    }
}

impl Known {
    /// Whether the issuer may be asked (again).
    fn may_fetch(&mut self, now: Timestamp) -> bool {
        self.fetches.retain(|at| at.plus_secs(60) > now);
        self.fetches.len() < FETCHES
    }
    fn fresh(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        self.keys.as_ref().filter(|(at, _)| at.plus_secs(LIFETIME) > now).map(|(_, keys)| keys)
    }
}

/// The issuer cannot be used; what is wrong stands in the log.
fn no_key() -> AwsError {
    error::invalid_token(
        "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements",
    )
}

/// The keys of a provider; fetched anew where `key` is none of those that are remembered.
pub(super) async fn of(cx: &Cx, provider: &OidcProvider, key: Option<&str>) -> Result<Arc<KeySet>> {
    let issuers = cx.kernel.provided::<Issuers>().ok_or_else(no_key)?;
    let known = issuers.known(provider);
    // One at a time: whoever waits finds what the one before fetched.
    let mut known = known.lock().await;
    let now = cx.now();
    let remembered = known.fresh(now).cloned();
    if let Some(keys) = &remembered
        && key.is_none_or(|key| keys.knows(key))
    {
        return Ok(Arc::clone(keys));
    }
    if !known.may_fetch(now) {
        // A key that nobody has is refused with the keys at hand.
        return remembered.ok_or_else(no_key);
    }
    known.fetches.push(now);
    let keys = Arc::new(fetch(cx, &issuers, provider).await?);
    known.keys = Some((now, Arc::clone(&keys)));
    Ok(keys)
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

async fn fetch(cx: &Cx, issuers: &Issuers, provider: &OidcProvider) -> Result<KeySet> {
    let fetcher = client::Fetcher { kernel: &cx.kernel, policy: &issuers.policy, roots: &issuers.roots, provider };
    let url = format!("https://{}/.well-known/openid-configuration", provider.name.trim_end_matches('/'));
    let document = fetcher.get(&url).await?;
    let discovery: Discovery = serde_json::from_slice(&document).map_err(|fault| unusable(&url, &fault.to_string()))?;
    if discovery.issuer != format!("https://{}", provider.name) {
        return Err(unusable(&url, "the document is another issuer's"));
    }
    let document = fetcher.get(&discovery.jwks_uri).await?;
    KeySet::parse(&document).ok_or_else(|| unusable(&discovery.jwks_uri, "the document is no set of keys"))
}

fn unusable(url: &str, why: &str) -> AwsError {
    tracing::info!(url, why, "an OpenID Connect issuer cannot be used");
    no_key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_asked_a_few_times_a_minute() {
        let mut known = Known::default();
        let at = Timestamp::from_secs;
        for second in 0..5 {
            assert!(known.may_fetch(at(second)));
            known.fetches.push(at(second));
        }
        assert!(!known.may_fetch(at(59)));
        assert!(known.may_fetch(at(60)));
        known.keys = Some((at(0), Arc::default()));
        assert!(known.fresh(at(LIFETIME - 1)).is_some() && known.fresh(at(LIFETIME)).is_none());
    }
}
