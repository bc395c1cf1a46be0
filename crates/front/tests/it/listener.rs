//! The instance's own addresses.

use tenantry_front::Egress;
use tokio::net::TcpStream;

use crate::house::{House, exchange, tls, whence};

#[tokio::test]
async fn headers_do_not_say_where_a_request_comes_from() {
    let house = House::new(Egress::Closed).await;
    let spoofed = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1;proto=https\r\nX-Forwarded-Proto: https\r\n\
                   x-amzn-vpc-id: vpc-2\r\nx-amz-source-vpc: vpc-2\r\nx-amzn-vpce-id: vpce-2\r\nVia: 1.1 10.0.0.1\r\n";
    let answer = house.ask(&whence("sts.us-east-1.amazonaws.com", spoofed)).await;
    assert!(answer.body.contains("ip=127.0.0.1 vpc=none vpce=none"), "{}", answer.body);
    assert!(answer.body.contains("secure=false"), "{}", answer.body);
}

#[tokio::test]
async fn tls_by_name() {
    let house = House::new(Egress::Closed).await;
    for name in ["localhost", "sts.us-east-1.amazonaws.com", "127.0.0.1"] {
        let stream = TcpStream::connect(house.https).await.unwrap();
        let stream = tls(stream, &house.authority.certificate, name).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let answer = exchange(stream, &whence("sts.us-east-1.amazonaws.com", "")).await;
        assert!(answer.body.contains("secure=true"), "{name}: {}", answer.body);
    }
    for name in ["example.com", "amazonaws.com"] {
        let stream = TcpStream::connect(house.https).await.unwrap();
        assert!(tls(stream, &house.authority.certificate, name).await.is_err(), "{name}");
    }
    // Plain HTTP on the TLS port is hung up on.
    let answer = exchange(TcpStream::connect(house.https).await.unwrap(), &whence("localhost", "")).await;
    assert_ne!(answer.status, 200);
    house.alive().await;
}

#[tokio::test]
async fn many_requests_on_one_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let house = House::new(Egress::Closed).await;
    let mut stream = house.dial().await;
    let one = whence("sts.us-east-1.amazonaws.com", "").replace("Connection: close\r\n", "");
    stream.write_all(format!("{one}{one}{}", whence("sts.us-east-1.amazonaws.com", "")).as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
}
