//! Why a request's signature was not accepted, in AWS's words.
//!
//! AWS has three dialects ([`Dialect`]; AWS page "Common Error Types", and S3's "Error responses"). [`Fault::answer`] speaks the one
//! that is asked for; [`Fault::message`] is what all but S3 say.

use tenantry_core::{AwsError, Timestamp};

/// Which codes a service's clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// S3: `SignatureDoesNotMatch`, `RequestTimeTooSkewed`, `AuthorizationHeaderMalformed`, …
    S3,
    /// Services of the query protocols (IAM, STS, EC2, CloudFormation): `SignatureDoesNotMatch`, `IncompleteSignature`.
    Query,
    /// Services of the JSON protocols: `InvalidSignatureException`, `IncompleteSignatureException`.
    Json,
}

/// A signature that is missing a part, is malformed, is not in force, or is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The credentials cannot be read: a part is missing, doubled or badly formed. The text says which.
    Incomplete(String),
    /// The same of a presigned URL.
    IncompleteQuery(String),
    /// The same of a URL that was presigned with signature version 2.
    IncompleteV2(String),
    /// Another scheme than `AWS4-HMAC-SHA256` (SigV2, SigV4a, Bearer, Basic, …). Holds the scheme's name, never its value.
    UnsupportedAlgorithm(String),
    /// Credentials in more than one place: header and query, or several `Authorization` headers.
    Ambiguous,
    /// The credential scope's terminator is not `aws4_request`, or its date is not the request's. The text says which.
    Scope(String),
    /// A header that had to be signed was not.
    NotSigned(String),
    /// The signature is another's: the wrong secret, or the request was changed.
    SignatureMismatch {
        /// What the client should have hashed.
        canonical_request: String,
        /// What the client should have signed.
        string_to_sign: String,
    },
    /// The request was signed more than 15 minutes before or after the server's time.
    Skewed {
        /// When it was signed.
        signed: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// The presigned URL is no longer in force.
    Expired {
        /// The last moment it was.
        until: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// The presigned URL begins more than 15 minutes in the server's future.
    NotYetValid {
        /// When it begins.
        from: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// `X-Amz-Expires` is not a number from 1 to 604800. The text says how.
    BadExpires(String),
    /// `x-amz-content-sha256` is not a hash or one of the words the service takes.
    BadContentHash,
    /// The body is not the one whose hash was signed.
    PayloadMismatch {
        /// What the client said.
        client: String,
        /// What arrived.
        server: String,
    },
    /// A chunk's signature (or the trailer's) is wrong.
    ChunkMismatch,
    /// The `aws-chunked` framing cannot be read. The text says why.
    BadChunk(&'static str),
    /// The decoded body is not as long as `x-amz-decoded-content-length` said, or ended early.
    IncompleteBody,
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const MISMATCH_S3: &str =
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.";

impl Fault {
    /// What every service but S3 says.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Incomplete(text) | Self::IncompleteQuery(text) | Self::Scope(text) | Self::BadExpires(text) => text.clone(),
            // Only S3 takes it at all.
            Self::IncompleteV2(_) => "Unsupported AWS 'algorithm': 'AWS'.".into(),
            Self::UnsupportedAlgorithm(name) => format!("Unsupported AWS 'algorithm': '{name}'."),
            Self::Ambiguous => "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified".into(),
            Self::NotSigned(header) if header == "host" => "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into(),
            Self::NotSigned(header) => format!("'{header}' must be a 'SignedHeader' in the AWS Authorization."),
            Self::SignatureMismatch { canonical_request, string_to_sign } => {
                format!("{MISMATCH}\n\nThe Canonical String for this request should have been\n'{canonical_request}'\n\nThe String-to-Sign should have been\n'{string_to_sign}'\n")
            }
            Self::Skewed { signed, now } if signed < now => {
                format!("Signature expired: {} is now earlier than {} ({} - 15 min.)", signed.basic(), now.plus_secs(-900).basic(), now.basic())
            }
            Self::Skewed { signed: from, now } | Self::NotYetValid { from, now } => {
                format!("Signature not yet current: {} is still later than {} ({} + 15 min.)", from.basic(), now.plus_secs(900).basic(), now.basic())
            }
            Self::Expired { until, now } => format!("Signature expired: {} is now earlier than {}", until.basic(), now.basic()),
            Self::BadContentHash => "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.".into(),
            Self::PayloadMismatch { .. } => "The provided 'x-amz-content-sha256' header does not match what was computed.".into(),
            Self::ChunkMismatch => MISMATCH_S3.into(),
            Self::BadChunk(text) => (*text).into(),
            Self::IncompleteBody => "You did not provide the number of bytes specified by the Content-Length HTTP header".into(),
        }
    }

    /// The error that the client is to see.
    #[must_use]
    pub fn answer(&self, dialect: Dialect) -> AwsError {
        let (status, query, json) = match self {
            Self::Scope(_)
            | Self::NotSigned(_)
            | Self::SignatureMismatch { .. }
            | Self::Skewed { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::PayloadMismatch { .. }
            | Self::ChunkMismatch => (403, "SignatureDoesNotMatch", "InvalidSignatureException"),
            _ => (400, "IncompleteSignature", "IncompleteSignatureException"),
        };
        match dialect {
            Dialect::S3 => self.answer_s3(),
            Dialect::Query => AwsError::new(status, query, self.message()),
            Dialect::Json => AwsError::new(400, json, self.message()),
        }
    }

    fn answer_s3(&self) -> AwsError {
        match self {
            Self::IncompleteQuery(text) | Self::BadExpires(text) => AwsError::new(400, "AuthorizationQueryParametersError", text.clone()),
            Self::IncompleteV2(text) => AwsError::new(403, "AccessDenied", text.clone()),
            Self::Incomplete(text) | Self::Scope(text) => AwsError::new(400, "AuthorizationHeaderMalformed", text.clone()),
            Self::UnsupportedAlgorithm(_) => AwsError::new(
                400,
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ),
            Self::Ambiguous => AwsError::new(400, "InvalidArgument", self.message()),
            Self::NotSigned(header) => {
                AwsError::new(403, "AccessDenied", "There were headers present in the request which were not signed")
                    .with("HeadersNotSigned", header.clone())
            }
            Self::SignatureMismatch { canonical_request, string_to_sign } => {
                let error = AwsError::new(403, "SignatureDoesNotMatch", MISMATCH_S3).with("StringToSign", string_to_sign.clone());
                // Version 2 and forms have none.
                if canonical_request.is_empty() { error } else { error.with("CanonicalRequest", canonical_request.clone()) }
            }
            Self::Expired { until, now } => AwsError::new(403, "AccessDenied", "Request has expired")
                .with("Expires", until.iso8601(false))
                .with("ServerTime", now.iso8601(false)),
            Self::NotYetValid { .. } => AwsError::new(403, "AccessDenied", "Request is not valid yet"),
            Self::Skewed { signed, now } => {
                AwsError::new(403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.")
                    .with("RequestTime", signed.basic())
                    .with("ServerTime", now.iso8601(false))
                    .with("MaxAllowedSkewMilliseconds", "900000")
            }
            Self::BadContentHash => AwsError::new(400, "InvalidArgument", self.message()),
            Self::PayloadMismatch { client, server } => AwsError::new(400, "XAmzContentSHA256Mismatch", self.message())
                .with("ClientComputedContentSHA256", client.clone())
                .with("S3ComputedContentSHA256", server.clone()),
            Self::ChunkMismatch => AwsError::new(403, "SignatureDoesNotMatch", MISMATCH_S3),
            Self::BadChunk(_) => AwsError::new(400, "InvalidRequest", self.message()),
            Self::IncompleteBody => AwsError::new(400, "IncompleteBody", self.message()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Fault {}
