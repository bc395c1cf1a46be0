//! Whatever arrives, decoding answers and does not panic; and what decodes can be validated and redacted.

use proptest::prelude::*;
use tenantry_wire::{Operation, RequestParts, decode, encode, match_rest, match_s3, parse_query, redact, service, services, validate};

fn operations() -> Vec<&'static Operation> {
    services().flat_map(|service| service.operations()).collect()
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof!["[a-zA-Z.0-9-]{0,40}", Just("x-amz-meta-a".to_owned()), Just("max-keys".to_owned()), ".*"];
    proptest::collection::vec((name, ".{0,40}"), 0..8)
}

/// Bytes that look like one of the formats more often than chance would make them.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = r#"(\{|\}|\[|\]|,|:|"Tags"|"Key"|"a"|1e9|-1|null|true|\\u[0-9a-f]{4}){0,30}"#;
    let xml = r#"(<Tagging>|</Tagging>|<TagSet>|<Tag a="b">|</Tag>|<Key/>|&amp;|&#x?[0-9]{1,9};|<!\[CDATA\[|\]\]>|<!--|-->|x|<!DOCTYPE a>){0,20}"#;
    let form = r"(Tags|Filter|member|entry|\.|[0-9]{1,12}|Key|=|&|%[0-9a-f]{0,2}|\+){0,40}";
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        json.prop_map(String::into_bytes),
        xml.prop_map(String::into_bytes),
        form.prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests(pick in any::<prop::sample::Index>(), labels in pairs(), query in pairs(), headers in pairs(), body in body()) {
        let operation = operations()[pick.index(operations().len())];
        let parts = RequestParts { method: "POST", labels: &labels, query: &query, headers: &headers, body: &body };
        match decode(operation, &parts) {
            Ok(input) => {
                prop_assert!(input.is_object());
                if let Err(error) = validate(operation, &input) {
                    prop_assert_eq!(error.status, 400);
                }
                prop_assert!(redact(operation, &input).is_object() || operation.input().is_none());
            }
            Err(error) => prop_assert_eq!(error.status, 400),
        }
    }

    #[test]
    fn request_lines(
        method in "GET|PUT|POST|DELETE|HEAD|[A-Z]{0,5}",
        path in "(/|[a-z]|%[0-9a-f]{0,2}|endpoints|invocations|é){0,12}",
        query in "([a-z=&%+]|tagging|uploads){0,12}",
    ) {
        let query = parse_query(&query).unwrap_or_default();
        let s3 = service("s3").unwrap();
        let found = [
            match_rest(service("sagemaker-runtime").unwrap(), &method, &path, &query),
            match_rest(s3, &method, &path, &query),
            match_s3(s3, &method, Some("b"), Some(&path), &query, &[]),
        ];
        for (operation, labels) in found.into_iter().flatten() {
            prop_assert_eq!(&operation.method, &method);
            prop_assert!(labels.iter().all(|(_, value)| !value.is_empty()));
        }
    }

    /// Outputs come from our own handlers, but parts of them from users.
    #[test]
    fn outputs(pick in any::<prop::sample::Index>(), body in body()) {
        let operation = operations()[pick.index(operations().len())];
        let output = serde_json::from_slice(&body).unwrap_or_default();
        let out = encode(operation, &output, "id", &[]);
        prop_assert!(out.headers.iter().all(|(name, value)| !name.contains(char::is_control) && !value.contains(['\r', '\n', '\0'])));
    }
}
