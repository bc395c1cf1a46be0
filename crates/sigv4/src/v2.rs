//! Signature version 2 in the query, which S3 alone still takes and which SDKs still presign with for `us-east-1` (AWS page
//! "Signing and authenticating REST requests (AWS signature version 2)").
//!
//! It covers less than version 4: neither the host nor most of the query. What is not covered here is only what narrows or
//! pages a listing; any other parameter must be among those that are signed, or the URL is refused: nobody may turn a URL
//! into one for another operation. The same signature in the `Authorization` header is refused, as are other services.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use tenantry_core::Timestamp;

use crate::{Fault, Parts, Payload, canonical, constant_time_eq};

/// The parameters that are part of the resource that is signed.
const SIGNED: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// The parameters that are not signed and may be there: they choose no operation.
const FREE: [&str; 16] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "x-id",
];

/// A version 2 signature and what it claims. Nothing of it is verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedV2 {
    /// The access key id.
    pub access_key: String,
    /// The last moment that the URL is good for.
    pub expires: Timestamp,
    /// As sent.
    pub signature: String,
    /// The session token. It is signed; **the caller must compare it with the session's**.
    pub token: Option<String>,
    /// Headers that stand in the query (`x-amz-acl`, `content-type`), in lower case. They are signed like headers, so **the
    /// caller must take them as such**. None of them is also a header of another value.
    pub carried: Vec<(String, String)>,
    /// `Signed` or `Unsigned`, for no chunk can be signed.
    pub payload: Payload,
}

/// Without token and signature.
impl fmt::Debug for PresentedV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedV2").field("access_key", &self.access_key).field("expires", &self.expires.basic()).finish_non_exhaustive()
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::IncompleteV2("The query is not valid text.".into()))
}

/// Whether the query presents such a signature, whole or in part.
pub(crate) fn is_presented(query: &str) -> bool {
    canonical::params(query).any(|(name, _)| name.eq_ignore_ascii_case(b"AWSAccessKeyId") || name == b"Signature")
}

/// Reads the query of a request for which [`is_presented`] holds.
pub(crate) fn read(parts: &Parts<'_>) -> Result<PresentedV2, Fault> {
    let (mut key, mut signature, mut expires, mut token) = (None, None, None, None);
    let mut carried: Vec<(String, String)> = Vec::new();
    for (name, value) in canonical::params(parts.query) {
        let (name, value) = (text(name)?, text(value)?);
        let lower = name.to_ascii_lowercase();
        let slot = match (name.as_str(), lower.as_str()) {
            (_, "signatureversion") => return Err(Fault::UnsupportedAlgorithm("AWS".into())),
            (
                _,
                "x-amz-algorithm"
                | "x-amz-credential"
                | "x-amz-date"
                | "x-amz-expires"
                | "x-amz-signedheaders"
                | "x-amz-signature"
                | "x-amz-content-sha256",
            ) => return Err(Fault::Ambiguous),
            ("AWSAccessKeyId", _) => &mut key,
            ("Signature", _) => &mut signature,
            ("Expires", _) => &mut expires,
            ("x-amz-security-token", _) => &mut token,
            (_, "awsaccesskeyid") => return Err(Fault::IncompleteV2(REQUIRES.into())),
            (exact, name) if name.starts_with("x-amz-") || matches!(name, "content-type" | "content-md5") => {
                if exact != name || value.contains(char::is_control) || carried.iter().any(|(n, _)| n == name) {
                    return Err(Fault::IncompleteV2(format!("The {name} parameter must be given once, in lower case, on one line.")));
                }
                carried.push((lower, value));
                continue;
            }
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Fault::IncompleteV2(format!("The {name} parameter must be given once.")));
        }
    }
    let (Some(access_key), Some(signature), Some(expires)) = (key, signature, expires) else {
        return Err(Fault::IncompleteV2(REQUIRES.into()));
    };
    if access_key.is_empty() || access_key.len() > 128 || !access_key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fault::IncompleteV2("AWSAccessKeyId must be an access key id.".into()));
    }
    let header = |name: &str| parts.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect::<Vec<_>>();
    for (name, value) in &carried {
        if header(name).iter().any(|other| *other != value.trim()) {
            return Err(Fault::Ambiguous);
        }
    }
    let token = match (token, header("x-amz-security-token").as_slice()) {
        (token, []) => token,
        (None, [one]) => Some((*one).to_owned()),
        _ => return Err(Fault::Ambiguous),
    };
    let payload = match header("x-amz-content-sha256").as_slice() {
        [] => Payload::Unsigned,
        [one] => match Payload::read(one, true)? {
            payload @ (Payload::Signed(_) | Payload::Unsigned) => payload,
            Payload::Computed | Payload::Streaming { .. } => return Err(Fault::BadContentHash),
        },
        _ => return Err(Fault::Ambiguous),
    };
    Ok(PresentedV2 { access_key, expires: seconds(&expires)?, signature, token: token.filter(|token| !token.is_empty()), carried, payload })
}

const REQUIRES: &str = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters";

/// Seconds of the era, until the year 9999.
fn seconds(text: &str) -> Result<Timestamp, Fault> {
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse::<i64>().ok().filter(|secs| digits && *secs < 253_402_300_800).map(Timestamp::from_secs).ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
        Fault::IncompleteV2(format!("Invalid date (should be seconds since epoch): {shown}"))
    })
}

/// Verifies `presented` (which [`crate::present`] read from the same `parts`) with the secret of its access key. `bucket` is the
/// one in the host's name, if it has one, for it is signed as part of the path. `body_hash` as for [`crate::verify`].
///
/// # Errors
/// The URL has expired, holds a parameter that it should have signed, or the signature is not the secret's.
pub fn verify_v2(
    parts: &Parts<'_>,
    presented: &PresentedV2,
    bucket: Option<&str>,
    secret: &str,
    body_hash: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    if now > presented.expires {
        return Err(Fault::Expired { until: presented.expires, now });
    }
    if !canonical::well_escaped(parts.query) || !canonical::well_escaped(parts.path) {
        return Err(Fault::IncompleteV2("The request's URI holds a '%' that is not followed by two hexadecimal digits.".into()));
    }
    if let (Payload::Signed(client), Some(server)) = (&presented.payload, body_hash)
        && client != server
    {
        return Err(Fault::PayloadMismatch { client: client.clone(), server: server.into() });
    }
    let signed = |text: &str| constant_time_eq(policy_signature(secret, text.as_bytes()).as_bytes(), presented.signature.as_bytes());
    let string_to_sign = string_to_sign(parts, presented, bucket)?;
    if signed(&string_to_sign) {
        return Ok(());
    }
    // A bucket itself may be signed as `/bucket/`, as in a host's name: SDKs do, whatever they send.
    if bucket.is_none() && parts.path.len() > 1 && !parts.path.trim_start_matches('/').contains('/') {
        let path = format!("{}/", parts.path);
        if signed(&self::string_to_sign(&Parts { path: &path, ..*parts }, presented, bucket)?) {
            return Ok(());
        }
    }
    Err(Fault::SignatureMismatch { canonical_request: String::new(), string_to_sign })
}

/// The base64 HMAC-SHA1 of `text`.
pub(crate) fn policy_signature(secret: &str, text: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

fn string_to_sign(parts: &Parts<'_>, presented: &PresentedV2, bucket: Option<&str>) -> Result<String, Fault> {
    let mut headers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in parts.headers {
        headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim());
    }
    let token = presented.token.iter().map(|token| ("x-amz-security-token", token));
    for (name, value) in presented.carried.iter().map(|(name, value)| (name.as_str(), value)).chain(token) {
        headers.entry(name.to_owned()).or_insert_with(|| vec![value.trim()]);
    }
    let one = |name: &str| headers.get(name).map(|values| values.join(",")).unwrap_or_default();
    let amz: String = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-amz-"))
        .map(|(name, values)| format!("{name}:{}\n", values.join(",")))
        .collect();
    let (md5, kind, expires) = (one("content-md5"), one("content-type"), presented.expires.secs());
    Ok(format!("{}\n{md5}\n{kind}\n{expires}\n{amz}{}", parts.method, resource(parts, bucket)?))
}

/// The path as sent, behind the host's bucket, with the parameters that are signed: sorted, decoded.
fn resource(parts: &Parts<'_>, bucket: Option<&str>) -> Result<String, Fault> {
    let mut signed: BTreeMap<String, String> = BTreeMap::new();
    let own = ["AWSAccessKeyId", "Signature", "Expires", "content-type", "content-md5"];
    for (name, value) in canonical::params(parts.query) {
        let (name, value) = (text(name)?, text(value)?);
        if SIGNED.contains(&name.as_str()) {
            let shown = if value.is_empty() { name.clone() } else { format!("{name}={value}") };
            if signed.insert(name.clone(), shown).is_some() {
                return Err(Fault::IncompleteV2(format!("The {name} parameter must be given once.")));
            }
        } else if !FREE.contains(&name.as_str()) && !own.contains(&name.as_str()) && !name.starts_with("x-amz-") {
            return Err(Fault::NotSigned(name.chars().filter(|c| !c.is_control()).take(64).collect()));
        }
    }
    let bucket = bucket.map(|bucket| format!("/{bucket}")).unwrap_or_default();
    let path = if parts.path.is_empty() { "/" } else { parts.path };
    let query: Vec<String> = signed.into_values().collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("{bucket}{path}{mark}{}", query.join("&")))
}
