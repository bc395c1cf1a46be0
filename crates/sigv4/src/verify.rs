//! Whether a presented signature is in force, covers what it must, and is right.

use tenantry_core::Timestamp;

use crate::{Fault, Form, Parts, Payload, Presented, SigningKey, canonical, is_s3};

/// How far a client's clock may be off, and how long a header signature lasts.
pub(crate) const SKEW_SECS: i64 = 900;

/// Verifies `presented` (which [`crate::present`] read from the same `parts`) with the key of its access key's secret.
///
/// `body_hash` is the hexadecimal SHA-256 of the body: needed for [`Payload::Computed`]; given for [`Payload::Signed`], it must be the
/// hash the client gave; without it the caller compares later. Unused for the others.
///
/// # Errors
/// The request is not in force at `now`, leaves a header unsigned that must be signed, or the signature is not the key's.
pub fn verify(parts: &Parts<'_>, presented: &Presented, key: &SigningKey, body_hash: Option<&str>, now: Timestamp) -> Result<(), Fault> {
    in_force(presented, now)?;
    covered(parts, presented)?;
    if !canonical::well_escaped(parts.query) || (is_s3(&presented.service) && !canonical::well_escaped(parts.path)) {
        return Err(Fault::Incomplete("The request's URI holds a '%' that is not followed by two hexadecimal digits.".into()));
    }
    let payload = match (presented.payload.text(), body_hash) {
        (Some(client), Some(server)) if matches!(presented.payload, Payload::Signed(_)) && client != server => {
            return Err(Fault::PayloadMismatch { client: client.into(), server: server.into() });
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(Fault::BadContentHash),
    };
    let complete = complete(parts, presented);
    let mut first = None;
    for &(normal, token) in variants(presented) {
        let canonical_request = canonical_request(parts, presented, payload, normal, token);
        let string_to_sign = canonical::string_to_sign(&presented.date.basic(), &presented.scope(), &canonical_request);
        if complete && key.signed(string_to_sign.as_bytes(), &presented.signature) {
            return Ok(());
        }
        first.get_or_insert((canonical_request, string_to_sign));
    }
    let (canonical_request, string_to_sign) = first.unwrap_or_default();
    Err(Fault::SignatureMismatch { canonical_request, string_to_sign })
}

/// Both ends of a time frame belong to it.
fn in_force(presented: &Presented, now: Timestamp) -> Result<(), Fault> {
    let from = presented.date;
    match presented.form {
        Form::Header => skewed(from, now),
        Form::Presigned { .. } if from > now.plus_secs(SKEW_SECS) => Err(Fault::NotYetValid { from, now }),
        Form::Presigned { expires_secs } => {
            let until = from.plus_secs(i64::from(expires_secs));
            if now > until { Err(Fault::Expired { until, now }) } else { Ok(()) }
        }
    }
}

/// Refuses what was signed more than 15 minutes before or after `now`.
pub(crate) fn skewed(signed: Timestamp, now: Timestamp) -> Result<(), Fault> {
    let near = signed <= now.plus_secs(SKEW_SECS) && now <= signed.plus_secs(SKEW_SECS);
    if near { Ok(()) } else { Err(Fault::Skewed { signed, now }) }
}

/// `host` and all `x-amz-*` headers are signed. Services differ on whether a session token is: S3 demands it, others let it be
/// added after signing. It is safe to leave out, because it counts for nothing without its session's secret.
fn covered(parts: &Parts<'_>, presented: &Presented) -> Result<(), Fault> {
    let signed = |name: &str| presented.signed_headers.iter().any(|signed| signed.eq_ignore_ascii_case(name));
    if !signed("host") {
        return Err(Fault::NotSigned("host".into()));
    }
    let amz = |name: &str| name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    let loose = |name: &str| name.eq_ignore_ascii_case("x-amz-security-token") && !is_s3(&presented.service);
    match parts.headers.iter().find(|(name, _)| amz(name) && !signed(name) && !loose(name)) {
        Some((name, _)) => Err(Fault::NotSigned((*name).into())),
        None => Ok(()),
    }
}

/// Whether each signed header is there: one that was taken away must not pass for one that is empty.
fn complete(parts: &Parts<'_>, presented: &Presented) -> bool {
    presented.signed_headers.iter().all(|signed| parts.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(signed)))
}

/// The ways SDKs make the canonical request, the documented one first: whether the path is normalised, and whether a
/// presigned URL's token is in it. S3 has one way only.
fn variants(presented: &Presented) -> &'static [(bool, bool)] {
    match (is_s3(&presented.service), presented.form, &presented.token) {
        (true, _, _) => &[(false, true)],
        (false, Form::Presigned { .. }, Some(_)) => &[(true, true), (false, true), (true, false), (false, false)],
        (false, _, _) => &[(true, true), (false, true)],
    }
}

fn canonical_request(parts: &Parts<'_>, presented: &Presented, payload: &str, normal: bool, token: bool) -> String {
    let presigned = presented.form != Form::Header;
    let keep = |name: &[u8]| !presigned || (name != b"X-Amz-Signature" && (token || name != b"X-Amz-Security-Token"));
    let path = canonical::path(parts.path, &presented.service, normal);
    canonical::request(parts.method, &path, &canonical::query(parts.query, keep), parts.headers, &presented.signed_headers, payload)
}
