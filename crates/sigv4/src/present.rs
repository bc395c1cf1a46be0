//! What a request presents: nothing, a signature, or something that is refused.
//!
//! This is one exhaustive function so that no scheme can fall through to "anonymous". It reads and checks form; whether
//! the signature is right is [`crate::verify`]'s.

use std::fmt;

use tenantry_core::Timestamp;

use crate::{ALGORITHM, Fault, PresentedV2, UNSIGNED_PAYLOAD, canonical, is_s3, key::is_hex64, v2};

/// A request as it was received. No `Debug`: a header or the query may hold a token.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// As sent, in its case.
    pub method: &'a str,
    /// The raw path, still percent-encoded.
    pub path: &'a str,
    /// The raw query, without the `?`.
    pub query: &'a str,
    /// Lower-cased names with their values, a doubled header as often as it came. HTTP/2's `:authority` is to be `host`. A
    /// request with a value that is not UTF-8 is to be refused before.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What the signature says of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The hash the client gave in `x-amz-content-sha256`, in hexadecimal. The signature covers this text only: **the caller must
    /// compare it with the body** (or hand the body's hash to [`crate::verify`], which does).
    Signed(String),
    /// No hash was given: the caller hands the body's own hash to [`crate::verify`].
    Computed,
    /// The body is not signed (S3 only).
    Unsigned,
    /// The body is `aws-chunked`; read it through [`crate::ChunkDecoder`].
    Streaming {
        /// Whether each chunk carries a signature.
        signed_chunks: bool,
        /// Whether headers follow the body.
        trailer: bool,
    },
}

impl Payload {
    /// What stands in the canonical request's last line, unless the caller has to compute it.
    pub(crate) fn text(&self) -> Option<&str> {
        Some(match self {
            Self::Signed(hash) => hash,
            Self::Computed => return None,
            Self::Unsigned => UNSIGNED_PAYLOAD,
            Self::Streaming { signed_chunks: true, trailer: false } => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::Streaming { signed_chunks: true, trailer: true } => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Self::Streaming { signed_chunks: false, .. } => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        })
    }

    /// Reads `x-amz-content-sha256`. Services other than S3 hash the body themselves, so they take only a hash.
    pub(crate) fn read(text: &str, s3: bool) -> Result<Self, Fault> {
        match text {
            _ if is_hex64(text) => Ok(Self::Signed(text.into())),
            UNSIGNED_PAYLOAD if s3 => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if s3 => Ok(Self::Streaming { signed_chunks: true, trailer: false }),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" if s3 => Ok(Self::Streaming { signed_chunks: true, trailer: true }),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" if s3 => Ok(Self::Streaming { signed_chunks: false, trailer: true }),
            _ => Err(Fault::BadContentHash),
        }
    }
}

/// Where the signature was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the `Authorization` header: good for 15 minutes either way.
    Header,
    /// In the query: good from its date for this long.
    Presigned {
        /// 1 to 604800 seconds.
        expires_secs: u32,
    },
}

/// A signature and all it claims. Nothing of it is verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    /// The access key id.
    pub access_key: String,
    /// `x-amz-date` (or the `Date` header): when the request was signed.
    pub date: Timestamp,
    /// The credential scope's day, `YYYYMMDD`.
    pub scope_date: String,
    /// The credential scope's region. The caller checks it against the endpoint.
    pub region: String,
    /// The credential scope's service (signing name). The caller checks it against the endpoint.
    pub service: String,
    /// Lower-cased, sorted, without repetition.
    pub signed_headers: Vec<String>,
    /// 64 lower-case hexadecimal digits.
    pub signature: String,
    /// The session token. Outside S3 it may be unsigned, so **the caller must compare it with the session's** in every case.
    pub token: Option<String>,
    /// Header or query.
    pub form: Form,
    /// What is said of the body.
    pub payload: Payload,
}

impl Presented {
    /// `date/region/service/aws4_request`.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.scope_date, self.region, self.service)
    }
}

/// Without the token, and without the signature, which is as good as a password while it is in force.
impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("access_key", &self.access_key)
            .field("date", &self.date.basic())
            .field("scope", &self.scope())
            .field("signed_headers", &self.signed_headers)
            .field("form", &self.form)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// The schemes that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Version 4, of any service: for [`crate::verify`].
    V4(Presented),
    /// Version 2 in the query: for [`crate::verify_v2`]. **The caller must refuse it for all services but S3.**
    V2(PresentedV2),
}

/// Reads what `parts` presents; `None` is an anonymous request.
///
/// # Errors
/// Every scheme but `AWS4-HMAC-SHA256` and S3's version 2 query, credentials in more than one place, and credentials that
/// cannot be read in full.
pub fn present(parts: &Parts<'_>) -> Result<Option<Credentials>, Fault> {
    if v2::is_presented(parts.query) {
        return match values(parts, "authorization").next() {
            Some(_) => Err(Fault::Ambiguous),
            None => v2::read(parts).map(|read| Some(Credentials::V2(read))),
        };
    }
    Ok(present_v4(parts)?.map(Credentials::V4))
}

fn present_v4(parts: &Parts<'_>) -> Result<Option<Presented>, Fault> {
    let query = QueryAuth::collect(parts.query)?;
    let mut authorizations = values(parts, "authorization");
    match (authorizations.next(), query) {
        (None, None) if values(parts, "x-amz-security-token").next().is_some() => {
            Err(Fault::Incomplete("Request is missing Authentication Token".into()))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Fault::Ambiguous),
        (Some(_), None) if authorizations.next().is_some() => Err(Fault::Ambiguous),
        (Some(value), None) => from_header(parts, value).map(Some),
        (None, Some(query)) => from_query(parts, query).map(Some).map_err(|fault| match fault {
            Fault::Incomplete(text) => Fault::IncompleteQuery(text),
            other => other,
        }),
    }
}

fn values<'a>(parts: &Parts<'a>, name: &'a str) -> impl Iterator<Item = &'a str> {
    parts.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The only value of a header; two are a fault, because readers would differ on which one counts.
fn single<'a>(parts: &Parts<'a>, name: &'a str) -> Result<Option<&'a str>, Fault> {
    let mut all = values(parts, name);
    let first = all.next();
    if all.next().is_some() {
        return Err(Fault::Incomplete(format!("Request must have only one '{name}' header.")));
    }
    Ok(first.map(str::trim))
}

fn from_header(parts: &Parts<'_>, value: &str) -> Result<Presented, Fault> {
    let value = value.trim();
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if scheme != ALGORITHM {
        // Only a word is repeated to the client: the rest may be a secret in a scheme we do not know.
        let name: String = scheme.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
        return Err(Fault::UnsupportedAlgorithm(name));
    }
    let fields = Fields::read(rest)?;
    let date = match single(parts, "x-amz-date")? {
        Some(text) => Some(basic_date(text)?),
        None => match single(parts, "date")? {
            Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
                Fault::Incomplete(format!(
                    "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
                ))
            })?),
            None => None,
        },
    };
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (fields.credential, fields.signed_headers, fields.signature, date)
    else {
        return Err(fields.missing(date.is_some()));
    };
    let scope = Scope::read(credential)?;
    let payload = match single(parts, "x-amz-content-sha256")? {
        Some(text) => Payload::read(text, is_s3(&scope.service))?,
        None => Payload::Computed,
    };
    scope.presented(date, signed_headers, signature, single(parts, "x-amz-security-token")?.map(Into::into), Form::Header, payload)
}

/// The `name=value` list of the `Authorization` header.
#[derive(Default)]
struct Fields<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut fields = Self::default();
        for field in text.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let Some((name, value)) = field.split_once('=') else {
                return Err(Fault::Incomplete("Authorization header must be a list of key=value pairs separated by commas.".into()));
            };
            let slot =
                match name.trim_end() {
                    "Credential" => &mut fields.credential,
                    "SignedHeaders" => &mut fields.signed_headers,
                    "Signature" => &mut fields.signature,
                    _ => return Err(Fault::Incomplete(
                        "Authorization header has an unknown parameter; only 'Credential', 'SignedHeaders' and 'Signature' are allowed."
                            .into(),
                    )),
                };
            if slot.replace(value.trim()).is_some() {
                return Err(Fault::Incomplete(format!("Authorization header has more than one '{}' parameter.", name.trim_end())));
            }
        }
        Ok(fields)
    }

    fn missing(&self, dated: bool) -> Fault {
        let mut text = String::new();
        for (name, value) in [("Credential", self.credential), ("Signature", self.signature), ("SignedHeaders", self.signed_headers)] {
            if value.is_none() {
                text += &format!("Authorization header requires '{name}' parameter. ");
            }
        }
        if !dated {
            text += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        }
        Fault::Incomplete(format!("{text}Authorization={ALGORITHM}"))
    }
}

/// The query's parameters that make a presigned URL.
#[derive(Default)]
struct QueryAuth {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
    token: Option<String>,
    content_hash: Option<String>,
}

impl QueryAuth {
    /// `None` if the query presents no credentials at all. A name in another case is refused rather than overlooked.
    fn collect(raw: &str) -> Result<Option<Self>, Fault> {
        let mut auth = Self::default();
        let mut found = false;
        for (name, value) in canonical::params(raw) {
            let name = String::from_utf8_lossy(&name);
            let lower = name.to_ascii_lowercase();
            if lower == "signatureversion" {
                return Err(Fault::UnsupportedAlgorithm("AWS".into()));
            }
            let (exact, slot) = match lower.as_str() {
                "x-amz-algorithm" => ("X-Amz-Algorithm", &mut auth.algorithm),
                "x-amz-credential" => ("X-Amz-Credential", &mut auth.credential),
                "x-amz-date" => ("X-Amz-Date", &mut auth.date),
                "x-amz-expires" => ("X-Amz-Expires", &mut auth.expires),
                "x-amz-signedheaders" => ("X-Amz-SignedHeaders", &mut auth.signed_headers),
                "x-amz-signature" => ("X-Amz-Signature", &mut auth.signature),
                "x-amz-security-token" => ("X-Amz-Security-Token", &mut auth.token),
                "x-amz-content-sha256" => ("X-Amz-Content-Sha256", &mut auth.content_hash),
                _ => continue,
            };
            found = true;
            let value =
                String::from_utf8(value).map_err(|_| Fault::IncompleteQuery(format!("The {exact} parameter is not valid text.")))?;
            if name != exact || slot.replace(value).is_some() {
                return Err(Fault::IncompleteQuery(format!("The {exact} parameter must be given once, and in this case.")));
            }
        }
        Ok(found.then_some(auth))
    }
}

fn from_query(parts: &Parts<'_>, query: QueryAuth) -> Result<Presented, Fault> {
    match query.algorithm.as_deref() {
        Some(ALGORITHM) | None => {}
        Some(other) => {
            return Err(Fault::UnsupportedAlgorithm(other.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect()));
        }
    }
    let (Some(_), Some(credential), Some(date), Some(expires), Some(signed_headers), Some(signature)) =
        (query.algorithm, query.credential, query.date, query.expires, query.signed_headers, query.signature)
    else {
        return Err(Fault::Incomplete("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.".into()));
    };
    let date = basic_date(&date)?;
    let form = Form::Presigned { expires_secs: expires_secs(&expires)? };
    let scope = Scope::read(&credential)?;
    let s3 = is_s3(&scope.service);
    // A header counts for the body's hash only if it is signed; an unsigned one is refused with the other x-amz-* headers.
    let header = signed_headers
        .split(';')
        .any(|name| name == "x-amz-content-sha256")
        .then(|| single(parts, "x-amz-content-sha256"))
        .transpose()?
        .flatten();
    let payload = match (header, query.content_hash.as_deref()) {
        (Some(_), Some(_)) => return Err(Fault::Ambiguous),
        (Some(text), None) | (None, Some(text)) => Payload::read(text, s3)?,
        (None, None) if s3 => Payload::Unsigned,
        (None, None) => Payload::Computed,
    };
    if query.token.is_some() && values(parts, "x-amz-security-token").next().is_some() {
        return Err(Fault::Ambiguous);
    }
    scope.presented(date, &signed_headers, &signature, query.token, form, payload)
}

fn expires_secs(text: &str) -> Result<u32, Fault> {
    let fault = |text: &str| Err(Fault::BadExpires(text.into()));
    match text.parse::<i64>() {
        _ if !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => fault("X-Amz-Expires should be a number"),
        Ok(secs @ 1..=604_800) => u32::try_from(secs).or_else(|_| fault("X-Amz-Expires should be a number")),
        Ok(..=-1) => fault("X-Amz-Expires must be non-negative"),
        Ok(0) => fault("X-Amz-Expires must be at least 1 second"),
        Ok(_) => {
            fault("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
        }
        Err(_) => fault("X-Amz-Expires should be a number"),
    }
}

/// `YYYYMMDDTHHMMSSZ` and nothing else: the text is part of what is signed, so it must be what we would write.
pub(crate) fn basic_date(text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse(text).filter(|date| date.basic() == text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Fault::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{shown}'. See http://en.wikipedia.org/wiki/ISO_8601"))
    })
}

/// A credential taken apart.
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    pub(crate) fn read(credential: &str) -> Result<Self, Fault> {
        let elements: Vec<_> = credential.splitn(6, '/').collect();
        let &[access_key, date, region, service, terminator] = elements.as_slice() else {
            let shown: String = credential.chars().take(256).collect();
            return Err(Fault::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{shown}'"
            )));
        };
        if terminator != "aws4_request" {
            let shown: String = terminator.chars().take(64).collect();
            return Err(Fault::Scope(format!("Credential should be scoped with a valid terminator: 'aws4_request', not '{shown}'.")));
        }
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Scope("Date in Credential scope must be in the form YYYYMMDD.".into()));
        }
        if access_key.is_empty() || !access_key.bytes().all(|b| b.is_ascii_alphanumeric()) || access_key.len() > 128 {
            return Err(Fault::Incomplete("Credential must start with an access key id.".into()));
        }
        if [region, service].iter().any(|text| {
            text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        }) {
            return Err(Fault::Scope("Credential should be scoped to a valid region and service.".into()));
        }
        Ok(Self { access_key: access_key.into(), date: date.into(), region: region.into(), service: service.into() })
    }

    fn presented(
        self,
        date: Timestamp,
        signed_headers: &str,
        signature: &str,
        token: Option<String>,
        form: Form,
        payload: Payload,
    ) -> Result<Presented, Fault> {
        let basic = date.basic();
        if !basic.starts_with(&self.date) {
            return Err(Fault::Scope(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{basic}'.",
                self.date,
                basic.get(..8).unwrap_or_default()
            )));
        }
        let signed_headers: Vec<String> = signed_headers.split(';').map(Into::into).collect();
        let well_formed = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && !matches!(b, b':' | b';' | b','))
        };
        if !signed_headers.iter().all(well_formed) || !signed_headers.is_sorted_by(|a, b| a < b) {
            return Err(Fault::Incomplete(
                "SignedHeaders must be lower-case header names, sorted, each once, separated by semicolons.".into(),
            ));
        }
        if !is_hex64(signature) {
            return Err(Fault::Incomplete("Signature must be 64 lower-case hexadecimal digits.".into()));
        }
        Ok(Presented {
            access_key: self.access_key,
            date,
            scope_date: self.date,
            region: self.region,
            service: self.service,
            signed_headers,
            signature: signature.into(),
            token: token.filter(|text| !text.is_empty()),
            form,
            payload,
        })
    }
}
