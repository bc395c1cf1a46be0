//! A sandbox's way out: it is known by its socket, and nothing it says of itself counts.

use std::os::unix::fs::PermissionsExt;

use tenantry_front::Egress;
use tokio::net::UnixStream;

use crate::house::{House, connect, exchange, tls, whence};

const CREDENTIALS: &str = "GET /v2/credentials HTTP/1.1\r\nHost: 169.254.170.2\r\nConnection: close\r\n\r\n";
const SPOOFED: &str = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nx-amzn-vpc-id: vpc-2\r\n\
                       x-amz-source-vpc: vpc-2\r\nx-amzn-vpce-id: vpce-2\r\nx-amzn-source-ip: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n";

#[tokio::test]
async fn credentials_come_through_the_broker_only() {
    let house = House::new(Egress::Closed).await;
    let (socket, _open) = house.open("sandbox", false);
    let answer = exchange(UnixStream::connect(&socket).await.unwrap(), CREDENTIALS).await;
    assert_eq!((answer.status, answer.body.contains("planted-secret")), (200, true), "{}", answer.body);
    let absolute = CREDENTIALS.replace("GET /v2", "GET http://169.254.170.2/v2");
    let answer = exchange(UnixStream::connect(&socket).await.unwrap(), &absolute).await;
    assert!(answer.body.contains("planted-secret"), "{}", answer.body);
    for other in ["/", "/v2/credentials/", "/v2/credentials/../credentials", "/v2/credentials/x", "/V2/credentials"] {
        let answer = exchange(UnixStream::connect(&socket).await.unwrap(), &CREDENTIALS.replace("/v2/credentials", other)).await;
        assert_eq!((answer.status, answer.body.contains("planted-secret")), (404, false), "{other}: {}", answer.body);
    }
    for text in [CREDENTIALS, &absolute] {
        let answer = house.ask(text).await;
        assert!(answer.status >= 400 && !answer.body.contains("planted-secret"), "{}", answer.body);
    }
    // Only the owner may come near the socket.
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn sandboxes_in_a_vpc_reach_the_instance_and_nothing_else() {
    let house = House::new(Egress::Open).await;
    let (socket, _open) = house.open("isolated", false);
    let dial = || async { UnixStream::connect(&socket).await.unwrap() };
    let (status, _) = connect(dial().await, "example.com:443").await;
    assert_eq!(status, 403);
    let answer = exchange(dial().await, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 403);
    let told = house.told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| line.contains("example.com") && line.contains("no route")), "{told:?}");
    let answer = exchange(dial().await, &whence("sts.us-east-1.amazonaws.com", "")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn connected_sandboxes_reach_no_neighbours() {
    let house = House::new(Egress::Open).await;
    let (socket, _open) = house.open("connected", true);
    let own = format!("127.0.0.1:{}", house.http.port());
    for (at, to) in ["127.0.0.1:443", "169.254.169.254:80", "localhost:443", own.as_str()].into_iter().enumerate() {
        let (status, _) = connect(UnixStream::connect(&socket).await.unwrap(), to).await;
        assert_eq!(status, 403, "{to}");
        assert_eq!(house.told.lock().unwrap().len(), at + 1, "the job's log is told of {to}");
    }
}

#[tokio::test]
async fn the_kernel_learns_the_network_from_the_socket() {
    let house = House::new(Egress::Closed).await;
    let (socket, _open) = house.open("sandbox", false);
    let name = "sts.us-east-1.amazonaws.com";
    let plain = exchange(UnixStream::connect(&socket).await.unwrap(), &whence(name, SPOOFED)).await;
    assert!(plain.body.contains("ip=none vpc=vpc-1 vpce=vpce-1") && plain.body.contains("secure=false"), "{}", plain.body);
    let (status, stream) = connect(UnixStream::connect(&socket).await.unwrap(), &format!("{name}:443")).await;
    assert_eq!(status, 200);
    let stream = tls(stream, &house.authority.certificate, name).await.unwrap();
    let secure = exchange(stream, &whence(name, SPOOFED)).await;
    assert!(secure.body.contains("ip=none vpc=vpc-1 vpce=vpce-1") && secure.body.contains("secure=true"), "{}", secure.body);
    // A tunnel in a tunnel is still the same sandbox, and still has no more than it.
    let (_, stream) = connect(UnixStream::connect(&socket).await.unwrap(), &format!("{name}:443")).await;
    let stream = tls(stream, &house.authority.certificate, name).await.unwrap();
    let (status, _) = connect(stream, "example.com:443").await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_closed_broker_is_gone() {
    let house = House::new(Egress::Closed).await;
    let (socket, open) = house.open("sandbox", false);
    drop(open);
    assert!(!socket.exists());
    assert!(UnixStream::connect(&socket).await.is_err());
    let (again, _open) = house.open("sandbox", false);
    assert_eq!(exchange(UnixStream::connect(&again).await.unwrap(), CREDENTIALS).await.status, 200, "a stale socket is replaced");
}
