//! The codecs of all protocols: any operation, any request.
//!
//! Held: what decodes is an object, errors are AWS's 400s, and whatever a value is, it is checked, redacted and encoded.

use serde_json::Value;
use tenantry_wire::{Operation, Protocol, RequestParts};

use super::{MEMORY, http::Plain, seeds};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar, split_line},
};

pub(super) fn targets() -> Vec<Target> {
    let target = |name, what, form, tokens, make: fn() -> Run, seeds| Target {
        name,
        what,
        grammar: Grammar { head: form != Form::Http, form, tokens, longest: 64 << 10 },
        memory: MEMORY,
        renew: 0,
        make,
        seeds,
    };
    vec![
        target(
            "aws-json",
            "aws-json documents of any operation: decoded, validated, redacted, encoded",
            Form::Json,
            JSON,
            || Box::new(json),
            json_seeds,
        ),
        target(
            "aws-query",
            "query forms of any operation",
            Form::Query,
            QUERY,
            || Box::new(query),
            || {
                seeds(&[
                    "iam.CreateRole\nAction=CreateRole&Version=2010-05-08&RoleName=r&Path=%2Fa%2F&Tags.member.1.Key=k&Tags.member.1.Value=v&MaxSessionDuration=3600",
                    "sts.AssumeRole\nRoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=s&PolicyArns.member.1.arn=x&TransitiveTagKeys.member.1=a",
                    "iam.SimulateCustomPolicy\nPolicyInputList.member.1=%7B%7D&ActionNames.member.1=a&ContextEntries.member.1.ContextKeyName=k&ContextEntries.member.1.ContextKeyValues.member.1=v",
                ])
            },
        ),
        target(
            "rest-json",
            "REST requests with JSON: routed, decoded, validated",
            Form::Http,
            REST,
            || Box::new(rest_json),
            || {
                seeds(&[
                    "POST /endpoints/e/invocations?x=1 HTTP/1.1\nx-amzn-sagemaker-target-variant: a\ncontent-type: application/json\n\n{\"a\":1}",
                    "POST /endpoints/e/async-invocations HTTP/1.1\nx-amzn-sagemaker-inputlocation: s3://b/k\nx-amzn-sagemaker-requestttlseconds: 60\n\n",
                    "POST /policy/validation?maxResults=3&nextToken=t HTTP/1.1\n\n{\"policyDocument\":\"{}\",\"policyType\":\"IDENTITY_POLICY\",\"locale\":\"EN\"}",
                ])
            },
        ),
        target(
            "rest-xml",
            "S3's requests: routed, decoded (multipart lists, tags, policies, lifecycles), validated",
            Form::Http,
            S3,
            || Box::new(s3),
            || {
                seeds(&[
                    "POST /b/k?uploadId=u HTTP/1.1\n\n<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber><ETag>\"e\"</ETag></Part></CompleteMultipartUpload>",
                    "POST /b?delete HTTP/1.1\ncontent-md5: x\n\n<Delete><Object><Key>a</Key><VersionId>v</VersionId></Object><Quiet>true</Quiet></Delete>",
                    "PUT /b?lifecycle HTTP/1.1\n\n<LifecycleConfiguration><Rule><ID>r</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>",
                    "GET /b/k%2Fl?versionId=v&response-expires=Thu,%2001%20Dec%202026%2016:00:00%20GMT HTTP/1.1\nrange: bytes=0-5,7-\nif-modified-since: Thu, 01 Dec 2026 16:00:00 GMT\nif-match: \"e\"\n\n",
                    "PUT /b/k HTTP/1.1\nx-amz-copy-source: /b/k%3FversionId=v?versionId=w\nx-amz-meta-a: b\nx-amz-tagging: a=b&c=d\nx-amz-copy-source-range: bytes=1-2\n\n",
                    "PUT /b?acl HTTP/1.1\nx-amz-grant-read: id=\"1\"\n\n<AccessControlPolicy><Owner><ID>1</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>1</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>",
                    "PUT /b HTTP/1.1\n\n<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
                    "GET /b?list-type=2&max-keys=10&prefix=a&delimiter=%2F&continuation-token=x&encoding-type=url HTTP/1.1\n\n",
                ])
            },
        ),
    ]
}

const JSON: &[&str] = &[
    "sagemaker.CreateTrainingJob",
    "sagemaker.CreatePipeline",
    "sagemaker.Search",
    "logs.PutLogEvents",
    "logs.FilterLogEvents",
    "cloudtrail.LookupEvents",
    "organizations.CreatePolicy",
    "Tags",
    "Key",
    "Value",
    "__type",
    "HyperParameters",
    "ResourceConfig",
    "arn:aws:iam::123456789012:role/r",
    "1.7E9",
    "NextToken",
    "MaxResults",
    "CreationTimeAfter",
    "2026-11-22T12:00:00Z",
];
const QUERY: &[&str] = &[
    "iam.GetUser",
    "iam.CreatePolicy",
    "sts.GetFederationToken",
    "member.1",
    "entry.1",
    "Tags.member.1.Key=a",
    ".member.",
    "member.999999999",
    "member.0",
    "member.01",
    "=&",
    "%",
    "%ZZ",
    "+",
    "Action=",
    "Version=",
    "MaxItems=1",
    "PolicyDocument=%7B%7D",
    "2026-11-22T12%3A00%3A00Z",
    "true",
];
const REST: &[&str] = &[
    "POST",
    "GET",
    "/endpoints/",
    "/invocations",
    "/invocations-response-stream",
    "/policy/validation",
    "content-type: application/json",
    "{\"",
    "%2F",
    "%",
    "x-amzn-sagemaker-custom-attributes: a",
    "x-amzn-sagemaker-inference-id: i",
    "maxResults=",
    "&",
    "?",
];
const S3: &[&str] = &[
    "?uploads",
    "?tagging",
    "?policy",
    "?versioning",
    "?acl",
    "?cors",
    "?notification",
    "?logging",
    "?encryption",
    "?publicAccessBlock",
    "?ownershipControls",
    "?versions",
    "partNumber=1",
    "uploadId=u",
    "versionId=null",
    "x-amz-acl: private",
    "x-amz-date: 0",
    "range: bytes=-1",
    "range: bytes=18446744073709551615-",
    "if-none-match: *",
    "if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT",
    "x-amz-checksum-crc32: AAAAAA==",
    "x-amz-sdk-checksum-algorithm: SHA256",
    "content-length: 9",
    "x-amz-meta-\u{e9}: a",
    "x-amz-server-side-encryption: aws:kms",
    "x-amz-object-attributes: ETag,Checksum",
    "expires: 0",
    "<Tag>",
    "</Tag>",
    "<Part>",
    "<![CDATA[",
    "xmlns=\"",
    "&#0;",
    "GET",
    "PUT",
    "POST",
    "DELETE",
    "HEAD",
];

fn json_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "sagemaker.CreateModel\n{\"ModelName\":\"m\",\"ExecutionRoleArn\":\"arn:aws:iam::123456789012:role/r\",\"PrimaryContainer\":{\"Image\":\"i\",\"Environment\":{\"a\":\"b\"}},\"Tags\":[{\"Key\":\"k\",\"Value\":\"v\"}]}",
        "sagemaker.ListTrainingJobs\n{\"MaxResults\":5,\"CreationTimeAfter\":1.7e9,\"SortBy\":\"Name\"}",
        "sagemaker.BatchPutMetrics\n{\"TrialComponentName\":\"t\",\"MetricData\":[{\"MetricName\":\"m\",\"Timestamp\":1,\"Step\":1,\"Value\":0.5}]}",
        "sagemaker.Search\n{\"Resource\":\"TrainingJob\",\"SearchExpression\":{\"Filters\":[{\"Name\":\"a\",\"Operator\":\"Equals\",\"Value\":\"b\"}],\"SubExpressions\":[{\"Operator\":\"Or\"}]}}",
        "logs.PutLogEvents\n{\"logGroupName\":\"g\",\"logStreamName\":\"s\",\"logEvents\":[{\"timestamp\":1,\"message\":\"m\"}]}",
        "organizations.CreatePolicy\n{\"Content\":\"{}\",\"Description\":\"\",\"Name\":\"n\",\"Type\":\"SERVICE_CONTROL_POLICY\"}",
    ])
}

fn json(input: &[u8]) {
    let (head, body) = split_line(input);
    let Some(operation) = named(head, Protocol::AwsJson) else { return };
    check(operation, &RequestParts { method: "POST", body, ..RequestParts::default() });
}

fn query(input: &[u8]) {
    let (head, body) = split_line(input);
    let Some(operation) = named(head, Protocol::AwsQuery) else { return };
    let headers = [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    if let Ok(text) = std::str::from_utf8(body)
        && let Ok(pairs) = tenantry_wire::parse_query(text)
    {
        // Its own way to the operation.
        drop(tenantry_wire::operation_from_params(tenantry_wire::service("iam").expect("iam is served"), &pairs));
        check(operation, &RequestParts { method: "POST", query: &pairs, headers: &headers, ..RequestParts::default() });
    }
    check(operation, &RequestParts { method: "POST", headers: &headers, body, ..RequestParts::default() });
}

/// `service.Operation` in the first line.
fn named(head: &[u8], protocol: Protocol) -> Option<&'static Operation> {
    let text = std::str::from_utf8(head).ok()?.trim_end();
    let (service, name) = text.split_once('.')?;
    tenantry_wire::service(service)?.operation(name).filter(|operation| operation.service.protocol == protocol)
}

fn rest_json(input: &[u8]) {
    let plain = Plain::read(input);
    let Ok(query) = tenantry_wire::parse_query(&plain.query) else { return };
    for service in tenantry_wire::services().filter(|service| service.metadata().protocol == Protocol::RestJson) {
        if let Some((operation, labels)) = tenantry_wire::match_rest(service, &plain.method, &plain.path, &query) {
            check(
                operation,
                &RequestParts { method: &plain.method, labels: &labels, query: &query, headers: &plain.headers, body: &plain.body },
            );
        }
    }
}

fn s3(input: &[u8]) {
    let plain = Plain::read(input);
    let (Ok(query), Some(path)) = (tenantry_wire::parse_query(&plain.query), tenantry_wire::percent_decode(&plain.path)) else { return };
    let mut names = path.trim_start_matches('/').splitn(2, '/');
    let (bucket, key) = (names.next(), names.next());
    let service = tenantry_wire::service("s3").expect("s3 is served");
    if let Some((operation, labels)) = tenantry_wire::match_s3(service, &plain.method, bucket, key, &query, &plain.headers) {
        check(
            operation,
            &RequestParts { method: &plain.method, labels: &labels, query: &query, headers: &plain.headers, body: &plain.body },
        );
    }
}

fn check(operation: &'static Operation, parts: &RequestParts<'_>) {
    let value = match tenantry_wire::decode(operation, parts) {
        Ok(value) => value,
        Err(error) => {
            assert!((400..500).contains(&error.status) && !error.code.is_empty(), "{}: {error:?}", operation.name);
            let encoded = tenantry_wire::encode_error(operation.service, &error, "id", "host");
            assert!(encoded.body.len() < 64 << 10, "{}: an error of {} bytes", operation.name, encoded.body.len());
            return;
        }
    };
    assert!(value.is_object(), "{}: decoded to {value}", operation.name);
    if let Err(error) = tenantry_wire::validate(operation, &value) {
        assert!((400..500).contains(&error.status), "{}: {error:?}", operation.name);
        assert!(error.message.len() < 128 << 10, "{}: a message of {} bytes", operation.name, error.message.len());
    }
    let _shown = tenantry_wire::redact(operation, &value);
    let _faults = tenantry_wire::check_output(operation, &value);
    // What a client sent stands in for what a handler says: an encoder has no right to trust either.
    let encoded = tenantry_wire::encode(operation, &value, "id", &[]);
    let plain = |(name, value): &(String, String)| !name.contains(char::is_control) && !value.contains(char::is_control);
    assert!(encoded.headers.iter().all(plain), "{}: {:?}", operation.name, encoded.headers);
    if operation.service.protocol == Protocol::AwsJson && !encoded.body.is_empty() {
        assert!(serde_json::from_slice::<Value>(&encoded.body).is_ok(), "{}: not JSON: {:?}", operation.name, encoded.body);
    }
}
