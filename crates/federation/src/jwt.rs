//! OpenID Connect: tokens and the key sets that verify them.
//!
//! Asymmetric signatures only. `none` and the symmetric methods are not known here, so a public key can
//! never be taken for a shared secret; a key made for one method verifies no other. Keys that a token
//! brings along (`jwk`, `jku`, `x5c`) are not looked at.
//! Source: RFC 7515, 7517, 7518, 7519; "OpenID Connect Core 1.0".

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use tenantry_core::Timestamp;

use crate::{
    Refusal,
    key::{Hash, PublicKey, Scheme},
};

/// Keys of a set that are looked at.
const MAX_KEYS: usize = 100;
/// Seconds that an issuer's clock may be ahead.
pub const SKEW: i64 = 120;

/// The text of RFC 7515's `alg` and what it means.
fn scheme(algorithm: &str) -> Option<Scheme> {
    Some(match algorithm {
        "RS256" => Scheme::RsaPkcs1(Hash::Sha256),
        "RS384" => Scheme::RsaPkcs1(Hash::Sha384),
        "RS512" => Scheme::RsaPkcs1(Hash::Sha512),
        "PS256" => Scheme::RsaPss(Hash::Sha256),
        "PS384" => Scheme::RsaPss(Hash::Sha384),
        "PS512" => Scheme::RsaPss(Hash::Sha512),
        "ES256" => Scheme::Ecdsa(Hash::Sha256),
        "ES384" => Scheme::Ecdsa(Hash::Sha384),
        _ => return None,
    })
}

#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    key: PublicKey,
}

/// An issuer's keys.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWK set. Keys that are not understood are left out, as RFC 7517 has it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let keys = set.get("keys")?.as_array()?;
        Some(Self(keys.iter().take(MAX_KEYS).filter_map(|key| read(serde_json::from_value(key.clone()).ok()?)).collect()))
    }
    /// Whether there is a key of this id.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

fn read(jwk: Jwk) -> Option<Key> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let bytes = |text: Option<&String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
    let key = match jwk.kty.as_str() {
        "RSA" => PublicKey::rsa(&bytes(jwk.n.as_ref())?, &bytes(jwk.e.as_ref())?)?,
        "EC" => PublicKey::ec(jwk.crv.as_deref()?, &bytes(jwk.x.as_ref())?, &bytes(jwk.y.as_ref())?)?,
        _ => return None,
    };
    Some(Key { id: jwk.kid, algorithm: jwk.alg, key })
}

/// A token, taken apart and not yet verified. Nothing of it but the issuer and the key's id may be used.
#[derive(Debug)]
pub struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    key: Option<String>,
    claims: Map<String, Value>,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`, one or more.
    pub audiences: Vec<String>,
    /// `azp`
    pub authorized_party: Option<String>,
    /// `exp`
    pub expires: Timestamp,
    /// All of them.
    pub all: Map<String, Value>,
}

fn part(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it is no signed token, or its header asks for what is not understood.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let parsed = || {
            let (signed, signature) = text.rsplit_once('.')?;
            let (header, claims) = signed.split_once('.')?;
            let (header, claims) = (part(header)?, part(claims)?);
            let (algorithm, key) = (header.get("alg")?.as_str()?.to_owned(), header.get("kid").map(|key| key.as_str().map(str::to_owned)));
            // Extensions that must be understood are not.
            let plain = !header.contains_key("crit") && key != Some(None);
            plain.then_some(Self { signed, signature: URL_SAFE_NO_PAD.decode(signature).ok()?, algorithm, key: key.flatten(), claims })
        };
        let text = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";
        parsed().ok_or_else(|| Refusal::invalid(text))
    }

    /// Who claims to have issued it.
    ///
    /// # Errors
    /// When nobody does.
    pub fn issuer(&self) -> Result<&str, Refusal> {
        self.text("iss")
    }
    /// The id of the key that signed it, where it says so.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn text(&self, name: &str) -> Result<&str, Refusal> {
        let found = self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        found.ok_or_else(|| missing(name))
    }
    fn time(&self, name: &str) -> Option<Timestamp> {
        let seconds = self.claims.get(name)?.as_f64()?;
        // Past the year 9999 it is no time.
        ((0.0..253_402_300_800.0).contains(&seconds)).then(|| Timestamp::from_secs(seconds as i64))
    }

    /// Verifies signature and times.
    ///
    /// # Errors
    /// In AWS's words where AWS has any.
    pub fn verify(self, keys: &KeySet, now: Timestamp) -> Result<Claims, Refusal> {
        let signature = || Refusal::invalid("Couldn't verify the signature of the token with the keys of your identity provider");
        let scheme = scheme(&self.algorithm).ok_or_else(signature)?;
        let fits = |key: &&Key| {
            let named = self.key.as_ref().is_none_or(|id| key.id.as_ref() == Some(id));
            named && key.algorithm.as_ref().is_none_or(|algorithm| *algorithm == self.algorithm)
        };
        if !keys.0.iter().filter(fits).any(|key| key.key.verifies(scheme, self.signed.as_bytes(), &self.signature)) {
            return Err(signature());
        }
        let (issuer, subject) = (self.text("iss")?.to_owned(), self.text("sub")?.to_owned());
        let audiences = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        if audiences.is_empty() {
            return Err(missing("aud"));
        }
        let expires = self.time("exp").ok_or_else(|| missing("exp"))?;
        let issued = self.time("iat").ok_or_else(|| missing("iat"))?;
        if now >= expires {
            let text =
                format!("Token expired: current date/time {} must be before the expiration date/time {}", now.secs(), expires.secs());
            return Err(Refusal::Expired(text));
        }
        let begins = match self.claims.get("nbf") {
            Some(_) => self.time("nbf").ok_or_else(|| Refusal::invalid("The claim nbf is not a time"))?,
            None => issued,
        };
        if issued.max(begins) > now.plus_secs(SKEW) {
            return Err(Refusal::invalid("The token is not valid yet: iat or nbf is in the future"));
        }
        let authorized_party = match self.claims.get("azp") {
            None | Some(Value::Null) => None,
            Some(Value::String(party)) => Some(party.clone()),
            Some(_) => return Err(Refusal::invalid("The claim azp is not a text")),
        };
        Ok(Claims { issuer, subject, audiences, authorized_party, expires, all: self.claims })
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::Invalid(format!("Missing a required claim: {name}"))
}
