//! What arrives at the door is hostile: whatever it is, the answer has AWS's form, is short, changes
//! nothing, and the next caller is served.

use bytes::Bytes;
use hyper::Request;
use tenantry_kernel::{Arrival, MAX_BUFFERED, MAX_DOCUMENT};
use tenantry_wire::Protocol;

use crate::{
    columns::{Asked, Cast},
    matrix::prepare,
    send::{Answer, Plain, Signing, answer, send},
    world::{REGION, START, World},
};

/// The longest answer to a bad request.
const LONGEST: usize = 128 * 1024;

/// What every answer to bad input must be.
fn proper(what: &str, got: &Answer) {
    assert!((400..500).contains(&got.status) || got.status == 501, "{what}: {} {} {}", got.status, got.code, got.text);
    assert!(!got.code.is_empty(), "{what}: no code in {}", got.text);
    assert!(got.text.len() < LONGEST, "{what}: {} bytes", got.text.len());
    let id = got.headers.iter().find(|(name, _)| matches!(name.as_str(), "x-amzn-requestid" | "x-amz-request-id"));
    assert!(id.is_some_and(|(_, value)| value.len() == 36), "{what}: no request id in {:?}", got.headers);
}

fn how(cast: &Cast) -> Signing<'_> {
    Signing { key: &cast.administrator, region: REGION, service: None, at: START }
}

fn find<'a>(asked: &'a [Asked], service: &str, name: &str) -> &'a Plain {
    &asked.iter().find(|one| one.row.service == service && one.row.name == name).unwrap().plain
}

/// The server goes on.
async fn alive(world: &World, cast: &Cast, asked: &[Asked]) {
    let good = send(&world.kernel, &find(asked, "sts", "GetCallerIdentity").signed(&how(cast))).await;
    assert_eq!(good.status, 200, "{}", good.text);
    assert_eq!(world.kernel.in_flight(), 0);
}

fn with_body(plain: &Plain, body: impl Into<Vec<u8>>) -> Plain {
    Plain { body: body.into(), ..plain.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_documents_for_every_operation() {
    let (world, cast, asked) = prepare().await;
    let before = world.witness.count();
    let bodies: [(&str, Vec<u8>); 9] = [
        ("not utf-8", b"\xff\xfe{\"a\":1}<a>&Action=%ff".to_vec()),
        ("deep json", [b"{\"a\":".repeat(100_000), b"1".to_vec()].concat()),
        ("deep lists", b"[".repeat(100_000)),
        ("deep xml", b"<a>".repeat(100_000)),
        ("entities", b"<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><l>&b;</l>".to_vec()),
        ("huge number", b"{\"MaxResults\":1e999999}".to_vec()),
        ("half a document", b"{\"Tags\":[{\"Key\":\"".to_vec()),
        ("nul", b"\0\0\0\0".to_vec()),
        ("many parameters", b"a=&".repeat(50_000)),
    ];
    for one in &asked {
        // Where the body is no document it is the caller's business, and where there is none it is not read.
        let document = match one.operation.service.protocol {
            Protocol::AwsJson => one.operation.input().is_some(),
            Protocol::AwsQuery | Protocol::Ec2Query => true,
            Protocol::RestJson | Protocol::RestXml => one.operation.input().and_then(|s| s.structure()?.payload()).is_some(),
        };
        if !document || one.operation.streaming_input() {
            continue;
        }
        for (what, body) in &bodies {
            let mut hostile = with_body(&one.plain, body.clone());
            if matches!(one.operation.service.protocol, Protocol::AwsQuery) {
                // The operation is known and its parameters are the bad ones.
                let action = format!("Action={}&Version={}&", one.operation.name, one.operation.service.api_version);
                hostile.body = [action.as_bytes(), body].concat();
                if !matches!(*what, "not utf-8" | "many parameters") {
                    continue;
                }
            }
            let got = send(&world.kernel, &hostile.signed(&how(&cast))).await;
            proper(&format!("{} with {what}", one.name()), &got);
        }
    }
    assert_eq!(world.witness.since(before), Vec::<String>::new());
    alive(&world, &cast, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_an_end() {
    let (world, cast, asked) = prepare().await;
    let json = find(&asked, "logs", "CreateLogGroup");
    let query = find(&asked, "iam", "ListUsers");
    for (plain, what) in [(json, "json"), (query, "query")] {
        let got = send(&world.kernel, &with_body(plain, vec![b' '; MAX_DOCUMENT + 1]).signed(&how(&cast))).await;
        proper(what, &got);
        assert_eq!(got.status, 413, "{what}: {}", got.text);
    }
    let invoke = find(&asked, "sagemaker-runtime", "InvokeEndpoint");
    let got = send(&world.kernel, &with_body(invoke, vec![0; MAX_BUFFERED + 1]).signed(&how(&cast))).await;
    proper("payload", &got);
    assert_eq!(got.status, 413, "{}", got.text);
    // One that announces little and goes on, one that announces much and stops, one whose client goes away.
    for (length, pieces, fails) in [(None, usize::MAX, false), (Some(1 << 20), 1, false), (None, 1, true)] {
        let (sender, body) = tenantry_kernel::channel(length);
        let feeding = tokio::spawn(async move {
            for _ in 0..pieces {
                if sender.send(Ok(Bytes::from(vec![b' '; 1 << 16]))).await.is_err() {
                    return;
                }
            }
            if fails {
                let _gone = sender.send(Err(std::io::Error::other("the client went away"))).await;
            }
        });
        let signed = json.signed(&how(&cast));
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let got = answer(world.kernel.serve(request.body(body).unwrap(), Arrival::default()).await).await;
        proper(&format!("{length:?} {pieces} {fails}"), &got);
        feeding.await.unwrap();
    }
    alive(&world, &cast, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_nothing_that_is_served() {
    let (world, cast, asked) = prepare().await;
    let before = world.witness.count();
    let logs = find(&asked, "logs", "DescribeLogGroups");
    let sts = find(&asked, "sts", "GetCallerIdentity");
    let form = |text: &str| with_body(sts, text.as_bytes().to_vec());
    let local = |plain: &Plain| plain.clone().header("host", "127.0.0.1:4566");
    for (what, plain, codes) in [
        ("unknown target", logs.clone().header("x-amz-target", "Logs_20140328.Nothing"), &["UnknownOperationException"][..]),
        (
            "target of a long name",
            logs.clone().header("x-amz-target", &format!("Logs_20140328.{}", "x".repeat(60_000))),
            &["UnknownOperationException"],
        ),
        ("no target", logs.clone().without("x-amz-target"), &["UnknownOperationException"]),
        ("target of nobody", local(logs).header("x-amz-target", "Nobody.Nothing"), &["UnknownOperationException"]),
        ("unknown action", form("Action=Nothing&Version=2011-06-15"), &["InvalidAction"]),
        ("unknown version", form("Action=GetCallerIdentity&Version=1999-01-01"), &["InvalidAction"]),
        ("no action", form("Version=2011-06-15"), &["MissingAction"]),
        ("unknown service", sts.clone().header("host", "nothing.us-east-1.amazonaws.com"), &["UnknownOperationException"]),
        ("unknown service, json", logs.clone().header("host", "nothing.us-east-1.amazonaws.com"), &["UnknownOperationException"]),
        ("strange host", logs.clone().header("host", "..amazonaws.com"), &["UnknownOperationException"]),
    ] {
        let got = send(&world.kernel, &plain.signed(&how(&cast))).await;
        proper(what, &got);
        assert!(codes.contains(&got.code.as_str()), "{what}: {} {}", got.code, got.text);
        assert!(got.text.len() < 1000, "{what}: {} bytes", got.text.len());
        let unsigned = send(&world.kernel, &plain).await;
        proper(what, &unsigned);
    }
    assert_eq!(world.witness.since(before), Vec::<String>::new());
    alive(&world, &cast, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_wrong() {
    let (world, cast, asked) = prepare().await;
    let logs = find(&asked, "logs", "DescribeLogGroups");
    let signed = logs.signed(&how(&cast));
    let twice = |name: &str| {
        let mut twice = signed.clone();
        twice.headers.push((name.to_owned(), signed.value(name).to_owned()));
        twice
    };
    let both = logs.presigned(&how(&cast), 60).signed(&how(&cast));
    let no_host = signed.clone().without("host");
    let scheme = |value: &str| signed.clone().header("authorization", value);
    let query = |query: &str| Plain { query: query.to_owned(), ..logs.clone() }.signed(&how(&cast));
    for (what, plain) in [
        ("authorization twice", twice("authorization")),
        ("date twice", twice("x-amz-date")),
        ("host twice", twice("host")),
        ("header and query", both),
        ("no host", no_host),
        ("basic", scheme("Basic YWxhZGRpbjpvcGVuc2VzYW1l")),
        ("bearer", scheme("Bearer abc")),
        ("sigv4a", scheme(&signed.value("authorization").replace("AWS4-HMAC", "AWS4-ECDSA-P256"))),
        ("sigv2", scheme("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=")),
        ("empty", scheme("")),
        ("only a name", scheme("AWS4-HMAC-SHA256")),
        ("no signature", scheme(signed.value("authorization").split(", Signature").next().unwrap())),
        ("token without credentials", logs.clone().header("x-amz-security-token", "abc")),
        ("broken escape", query("a=%zz")),
        ("not utf-8", query("a=%ff")),
        ("many parameters", query(&"a&".repeat(10_001))),
        ("sigv2 in the query", Plain { query: "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=x&Expires=1".to_owned(), ..logs.clone() }),
        ("half a presigned query", Plain { query: "X-Amz-Algorithm=AWS4-HMAC-SHA256".to_owned(), ..logs.clone() }),
        ("long header", signed.clone().header("x-amz-long", &"x".repeat(60_000))),
        ("many headers", (0..500).fold(signed.clone(), |plain, at| plain.header(&format!("x-amz-h{at}"), "x"))),
        ("unsigned amz header", signed.clone().header("x-amz-extra", "1")),
    ] {
        let got = send(&world.kernel, &plain).await;
        proper(what, &got);
        assert!(!got.text.contains("YWxhZGRpbjpvcGVuc2VzYW1l"), "{what}: a credential is repeated");
    }
    alive(&world, &cast, &asked).await;
}

/// What a header says of the caller reaches no condition key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_do_not_say_where_a_request_comes_from() {
    use crate::world::{NewUser, document};
    use serde_json::json;

    let (world, _, asked) = prepare().await;
    let logs = find(&asked, "logs", "DescribeLogGroups");
    let mut batch = tenantry_store::Batch::new();
    let allow = |condition: serde_json::Value| document(json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}));
    let cases = [
        ("peer", json!({"IpAddress": {"aws:SourceIp": "192.0.2.1/32"}}), true),
        ("spoofed", json!({"IpAddress": {"aws:SourceIp": "10.0.0.1/32"}}), false),
        ("vpc", json!({"StringEquals": {"aws:SourceVpc": "vpc-1"}}), false),
        ("vpce", json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}}), false),
        ("vpc-ip", json!({"IpAddress": {"aws:VpcSourceIp": "10.0.0.1/32"}}), false),
        ("via", json!({"Bool": {"aws:ViaAWSService": "true"}}), false),
        ("called-via", json!({"ForAnyValue:StringEquals": {"aws:CalledVia": "sagemaker.amazonaws.com"}}), false),
        ("plain-http", json!({"Bool": {"aws:SecureTransport": "false"}}), false),
        ("mfa", json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}}), false),
        ("principal-tag", json!({"StringEquals": {"aws:PrincipalTag/Team": "x"}}), false),
        ("other-account", json!({"StringEquals": {"aws:PrincipalAccount": "222222222222"}}), false),
        ("later", json!({"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}), false),
        ("agent", json!({"StringEquals": {"aws:UserAgent": "told"}}), true),
    ];
    let keys: Vec<_> = cases
        .iter()
        .map(|(name, condition, _)| NewUser::new(&world.own, &format!("spoof-{name}"), &[&allow(condition.clone())]).add(&mut batch))
        .collect();
    world.commit(batch).await;
    let spoofed = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1;proto=http"),
        ("x-forwarded-proto", "http"),
        ("x-amzn-source-ip", "10.0.0.1"),
        ("x-amz-source-ip", "10.0.0.1"),
        ("x-amzn-vpc-id", "vpc-1"),
        ("x-amz-source-vpc", "vpc-1"),
        ("x-amzn-vpce-id", "vpce-1"),
        ("aws-source-vpc", "vpc-1"),
        ("aws:sourcevpc", "vpc-1"),
        ("x-amz-called-via", "sagemaker.amazonaws.com"),
        ("x-amzn-requestid", "spoofed"),
        ("x-amz-date-override", "20310101T000000Z"),
        ("user-agent", "told"),
    ];
    let mut plain = logs.clone();
    for (name, value) in spoofed.iter().filter(|(name, _)| !name.contains(':')) {
        plain = plain.header(name, value);
    }
    for ((name, _, allowed), key) in cases.iter().zip(&keys) {
        let got = send(&world.kernel, &plain.signed(&Signing { key, region: REGION, service: None, at: START })).await;
        assert_eq!(got.status == 200, *allowed, "{name}: {} {}", got.code, got.text);
        assert!(got.headers.iter().all(|(_, value)| value != "spoofed"), "the request's id is ours");
    }
}

/// A body whose signature covers only what the client said of it is never taken for proven.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_what_was_signed() {
    let (world, cast, asked) = prepare().await;
    let (before, blobs) = (world.witness.count(), world.blobs());
    let other = "0".repeat(64);
    for one in asked.iter().filter(|one| !one.plain.body.is_empty() && one.row.service == "s3") {
        for (payload, what) in [
            (other.as_str(), "another body's hash"),
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "chunks that it is not"),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "unsigned chunks that it is not"),
            ("STREAMING-NOTHING", "an unknown word"),
        ] {
            let claims = one.plain.clone().header("x-amz-decoded-content-length", &one.plain.body.len().to_string());
            let got = send(&world.kernel, &claims.signed_as(&how(&cast), payload)).await;
            proper(&format!("{} with {what}", one.name()), &got);
        }
    }
    assert_eq!(world.witness.since(before), Vec::<String>::new());
    assert_eq!(world.blobs(), blobs, "a body that is not what was signed leaves no bytes");
    alive(&world, &cast, &asked).await;
}
