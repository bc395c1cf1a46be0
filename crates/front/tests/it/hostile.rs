//! Bytes that are no good request: an answer or a hang-up, and the instance goes on.

use tenantry_front::Egress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, exchange, whence};

#[tokio::test]
async fn heads_that_are_wrong() {
    let house = House::new(Egress::Closed).await;
    let name = "sts.us-east-1.amazonaws.com";
    // Twice what one read may add to what is held already.
    let long = "x".repeat(300 * 1024);
    let many: String = (0..2000).map(|at| format!("h{at}: x\r\n")).collect();
    for (what, text) in [
        ("long header", whence(name, &format!("x-long: {long}\r\n"))),
        ("many headers", whence(name, &many)),
        ("long path", format!("GET /{long} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")),
        ("no http", "\x16\x03\x01\x02\x00\x01\r\n\r\n".to_owned()),
        ("other version", format!("GET / HTTP/3.0\r\nHost: {name}\r\n\r\n")),
        ("bad header name", whence(name, "bad name: x\r\n")),
        ("folded header", whence(name, "a: b\r\n c\r\n")),
        ("two lengths", whence(name, "Content-Length: 1\r\nContent-Length: 2\r\n")),
        ("bad length", whence(name, "Content-Length: -1\r\n")),
        ("bad encoding", whence(name, "Transfer-Encoding: chunky\r\n")),
        ("connect to nothing", "CONNECT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
        ("connect to bad port", "CONNECT example.com:99999 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
    ] {
        let answer = exchange(house.dial().await, &text).await;
        assert!(answer.status == 0 || (400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
        assert!(answer.body.len() < 4096, "{what}");
        house.alive().await;
    }
}

#[tokio::test]
async fn requests_that_the_kernel_answers() {
    let house = House::new(Egress::Closed).await;
    for (what, text, status) in [
        ("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("http/1.0 without host", "GET / HTTP/1.0\r\n\r\n".to_owned(), 400),
        ("bad escape", "GET /?a=%zz HTTP/1.1\r\nHost: sts.amazonaws.com\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("unknown service", "GET / HTTP/1.1\r\nHost: nothing.us-east-1.amazonaws.com\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("unserved operation", "GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("strange method", "BREW / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\n\r\n".to_owned(), 501),
    ] {
        let answer = house.ask(&text).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert!(
            answer.body.contains("<Code>") && answer.head.contains("request-id") || answer.head.contains("requestid"),
            "{what}: {answer:?}"
        );
    }
    let head = house.ask("HEAD /bucket HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\n\r\n").await;
    assert!(head.status >= 400 && head.body.is_empty(), "{head:?}");
    house.alive().await;
}

#[tokio::test]
async fn bodies_that_end_early() {
    let house = House::new(Egress::Closed).await;
    let head = "POST / HTTP/1.1\r\nHost: sts.us-east-1.amazonaws.com\r\n";
    for text in [
        format!("{head}Content-Length: 1000\r\n\r\nAction=Get"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nff\r\nAction"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nnot-a-size\r\n"),
        head.to_owned(),
    ] {
        let mut stream = house.dial().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        let _reset = stream.read_to_end(&mut bytes).await;
        assert!(!String::from_utf8_lossy(&bytes).starts_with("HTTP/1.1 200"), "{text}");
        house.alive().await;
    }
    while house.kernel.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}
