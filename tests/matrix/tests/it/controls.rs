//! The columns' requests fail for the one reason that each has: without it they are answered, and with
//! the clock moved they no longer are.

use crate::{
    matrix::prepare,
    send::{Signing, send},
    world::{REGION, START},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_are_good_until_their_time() {
    let (world, cast, asked) = prepare().await;
    let plain = |service: &str, name: &str| &asked.iter().find(|one| one.row.service == service && one.row.name == name).unwrap().plain;
    let good = Signing { key: &cast.administrator, region: REGION, service: None, at: START };
    let session = Signing { key: &cast.session, ..good.clone() };
    let who = plain("sts", "GetCallerIdentity");
    let object = plain("s3", "GetObject");
    let requests = [
        ("user", who.signed(&good), 15 * 60, "SignatureDoesNotMatch"),
        ("session", who.signed(&session), 15 * 60, "SignatureDoesNotMatch"),
        ("object", object.signed(&good), 15 * 60, "RequestTimeTooSkewed"),
        ("presigned", object.presigned(&good, 1000), 1000, "AccessDenied"),
        ("presigned by a session", object.presigned(&session, 1000), 1000, "AccessDenied"),
    ];
    for (what, request, _, _) in &requests {
        let answer = send(&world.kernel, request).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    }
    let mut now = 0;
    for seconds in [15 * 60, 15 * 60 + 1, 1000, 1001] {
        world.clock.advance_secs(seconds - now);
        now = seconds;
        for (what, request, until, code) in &requests {
            let answer = send(&world.kernel, request).await;
            let expected = if now <= *until { "" } else { code };
            assert_eq!(answer.code, expected, "{what} after {now} seconds: {}", answer.text);
        }
    }
}

/// A request that was signed for one thing is good for nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_of_a_request_is_signed() {
    let (world, cast, asked) = prepare().await;
    let good = Signing { key: &cast.administrator, region: REGION, service: None, at: START };
    for one in asked.iter().filter(|one| matches!(one.row.name, "GetObject" | "CreateLogGroup" | "ListUsers" | "InvokeEndpoint")) {
        let signed = one.plain.signed(&good);
        let mut changed = vec![("path", crate::send::Plain { path: format!("{}x", signed.path), ..signed.clone() })];
        changed.push(("host", signed.clone().header("host", "127.0.0.1")));
        changed.push((
            "method",
            crate::send::Plain { method: if signed.method == "GET" { "DELETE" } else { "PUT" }.to_owned(), ..signed.clone() },
        ));
        changed.push(("date", signed.clone().header("x-amz-date", "20261122T120001Z")));
        changed.push(("new header", signed.clone().header("x-amz-meta-new", "1")));
        if !signed.body.is_empty() {
            let mut body = signed.body.clone();
            body[0] ^= 1;
            changed.push(("body", crate::send::Plain { body, ..signed.clone() }));
        }
        let before = world.witness.count();
        for (what, request) in &changed {
            let answer = send(&world.kernel, request).await;
            assert!(
                (400..500).contains(&answer.status) || answer.status == 501,
                "{} with another {what}: {} {}",
                one.name(),
                answer.status,
                answer.text
            );
        }
        assert_eq!(world.witness.since(before), Vec::<String>::new(), "{}", one.name());
    }
}

/// The column of strangers is not empty where it matters: every operation on a bucket is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_asked_for_across_accounts() {
    let (_, _, asked) = prepare().await;
    for one in asked.iter().filter(|one| one.row.service == "s3") {
        assert_eq!(one.crosses, !matches!(one.row.name, "ListBuckets" | "CreateBucket"), "{}", one.name());
    }
}
