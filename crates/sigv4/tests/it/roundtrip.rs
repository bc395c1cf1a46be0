//! Our signer against our verifier.

use proptest::prelude::*;
use tenantry_core::Timestamp;
use tenantry_sigv4::{Form, Signer, presign, sha256_hex, sign};

use crate::{Request, present};

/// Requests as a client may send them: any path and query that is validly escaped, odd header values, any body.
pub fn requests() -> impl Strategy<Value = Request> {
    let path = "(/([a-zA-Z0-9._~:@!$'()*+,;=-]|%[0-9A-F]{2}|\\.\\.|é){0,6}){1,4}";
    let pair = "([a-zA-Z0-9_.~/:+-]|%[0-9A-F]{2}|ö){1,6}(=([a-zA-Z0-9_.~/:+-]|%[0-9a-f]{2}){0,6})?";
    let headers = prop::collection::vec(("x-(amz-)?meta-[a-z]{1,3}", "[ -~\t]{0,12}"), 0..4);
    (
        prop::sample::select(vec!["GET", "PUT", "POST"]),
        path,
        prop::collection::vec(pair, 0..4),
        headers,
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(method, path, query, headers, body)| {
            let mut request = Request::new(method, &path, &query.join("&"), &[("host", "h.example")]);
            request.headers.extend(headers);
            request.body = body;
            request
        })
}

pub const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

pub fn signer(s3: bool, token: Option<&str>) -> Signer<'_> {
    Signer { access_key: "AKIDEXAMPLE", secret: "secret", token, region: "eu-west-1", service: if s3 { "s3" } else { "lambda" } }
}

proptest! {
    #[test]
    fn header(request in requests(), s3: bool, token in prop::option::of("[A-Za-z0-9/+=]{1,9}"), secs in -900_i64..=900) {
        let hash = sha256_hex(&request.body);
        let added = request.with(|parts| sign(parts, &hash, &signer(s3, token.as_deref()), NOW));
        let mut signed = request.clone();
        signed.headers.extend(added);
        prop_assert_eq!(signed.check("secret", NOW.plus_secs(secs)), Ok(()));
        prop_assert_eq!(signed.with(present).unwrap().unwrap().token, token);
        prop_assert!(signed.check("other", NOW).is_err());
        signed.body.push(0);
        prop_assert!(signed.check("secret", NOW).is_err());
    }

    #[test]
    fn presigned(request in requests(), s3: bool, token in prop::option::of("[A-Za-z0-9/+=]{1,9}"), expires in 1_u32..=604_800) {
        let query = request.with(|parts| presign(parts, expires, &signer(s3, token.as_deref()), NOW));
        let mut signed = Request { query, body: Vec::new(), ..request };
        prop_assert_eq!(signed.with(present).unwrap().unwrap().form, Form::Presigned { expires_secs: expires });
        prop_assert_eq!(signed.check("secret", NOW.plus_secs(i64::from(expires))), Ok(()));
        prop_assert!(signed.check("other", NOW).is_err());
        signed.method = "HEAD".into();
        prop_assert!(signed.check("secret", NOW).is_err());
    }
}
