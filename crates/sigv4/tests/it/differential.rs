//! What AWS's own Rust signer signs, we accept.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use aws_smithy_runtime_api::client::identity::Identity;
use proptest::prelude::*;
use tenantry_core::Timestamp;

use crate::{
    Request,
    roundtrip::{NOW, requests},
};

pub fn identity(token: Option<&str>) -> Identity {
    Credentials::new("AKIDEXAMPLE", "secret", token.map(Into::into), None, "test").into()
}

pub fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.secs()).unwrap())
}

/// `request` with the signature of AWS's signer, in the settings that its SDK has for S3 or for the others.
fn signed_by_aws(request: &Request, s3: bool, token: Option<&str>, expires: Option<u32>) -> Request {
    let mut settings = SigningSettings::default();
    if s3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if let Some(secs) = expires {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(u64::from(secs)));
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    }
    let identity = identity(token);
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name(if s3 { "s3" } else { "lambda" })
        .time(system_time(NOW))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("https://h.example{}{}{}", request.path, if request.query.is_empty() { "" } else { "?" }, request.query);
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = match (s3, expires) {
        (true, Some(_)) => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(&request.body),
    };
    let (instructions, _) = sign(SignableRequest::new(&request.method, uri, headers, body).unwrap(), &params).unwrap().into_parts();
    let mut out = request.clone();
    let (headers, pairs) = instructions.into_parts();
    out.headers.extend(headers.iter().map(|header| (header.name().to_owned(), header.value().to_owned())));
    for (name, value) in pairs {
        let value: String = value
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        out.query = format!("{}{}{name}={value}", out.query, if out.query.is_empty() { "" } else { "&" });
    }
    out
}

/// A request as an SDK makes it: everything but the unreserved characters is escaped, and a path's only literal slashes separate.
fn sdk_requests() -> impl Strategy<Value = Request> {
    (
        requests(),
        "(/([a-zA-Z0-9_~-]|%20|%2B|%3A|%C3%A9|\\.){0,6}){1,4}",
        "([a-zA-Z0-9_.~-]|%20|%2B|%2F){1,6}=([a-zA-Z0-9_.~-]|%20|%2B|%2F){0,6}",
    )
        .prop_map(|(mut request, path, query)| {
            // botocore folds tabs as we do; this signer leaves them.
            request.headers.iter_mut().for_each(|(_, value)| *value = value.replace('\t', " "));
            Request { path, query, ..request }
        })
}

proptest! {
    #[test]
    fn header(request in sdk_requests(), s3: bool, token in prop::option::of("[A-Za-z0-9/+=]{1,9}")) {
        let signed = signed_by_aws(&request, s3, token.as_deref(), None);
        prop_assert_eq!(signed.check("secret", NOW), Ok(()));
        prop_assert!(signed.check("other", NOW).is_err());
    }

    #[test]
    fn presigned(request in sdk_requests(), s3: bool, token in prop::option::of("[A-Za-z0-9/+=]{1,9}"), expires in 1_u32..=604_800) {
        let signed = signed_by_aws(&request, s3, token.as_deref(), Some(expires));
        prop_assert_eq!(signed.check("secret", NOW.plus_secs(i64::from(expires))), Ok(()));
        prop_assert!(signed.check("other", NOW).is_err());
    }
}
