//! The proxy: AWS's hosts end here, others are reached or refused.

use tenantry_front::Egress;

use crate::house::{House, connect, exchange, tls, whence};

#[tokio::test]
async fn aws_hosts_end_at_the_instance() {
    let house = House::new(Egress::Closed).await;
    for name in ["sts.us-east-1.amazonaws.com", "sts.amazonaws.com", "STS.us-east-1.amazonaws.com"] {
        let (status, stream) = connect(house.dial().await, &format!("{name}:443")).await;
        assert_eq!(status, 200, "{name}");
        let stream = tls(stream, &house.authority.certificate, &name.to_lowercase()).await.unwrap();
        let answer = exchange(stream, &whence(name, "")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("ip=127.0.0.1 vpc=none") && answer.body.contains("secure=true"), "{}", answer.body);
    }
}

#[tokio::test]
async fn only_those_who_trust_the_ca_are_convinced() {
    let (house, other) = (House::new(Egress::Closed).await, House::new(Egress::Closed).await);
    let name = "sts.us-east-1.amazonaws.com";
    let (_, stream) = connect(house.dial().await, &format!("{name}:443")).await;
    assert!(tls(stream, &other.authority.certificate, name).await.is_err(), "another instance's CA");
    let (_, stream) = connect(house.dial().await, &format!("{name}:443")).await;
    assert!(tls(stream, &house.authority.certificate, "example.com").await.is_err(), "a name that is not ours to have");
    house.alive().await;
}

#[tokio::test]
async fn neighbours_are_not_reached() {
    let house = House::new(Egress::Open).await;
    // Something listens there, and on a port that may pass, if any may.
    for host in [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "169.254.170.2",
        "[fe80::1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        for port in [80, 443] {
            let (status, _) = connect(house.dial().await, &format!("{host}:{port}")).await;
            assert!(matches!(status, 403 | 502), "CONNECT {host}:{port}: {status}");
        }
    }
    for (host, port) in [("example.com", 22), ("example.com", 4566), ("127.0.0.1", house.http.port())] {
        let (status, _) = connect(house.dial().await, &format!("{host}:{port}")).await;
        assert_eq!(status, 403, "CONNECT {host}:{port}");
    }
    house.alive().await;
}

#[tokio::test]
async fn plain_requests_are_not_forwarded_to_neighbours() {
    let house = House::new(Egress::Open).await;
    for url in [
        "http://127.1.2.3/",
        "http://LOCALHOST/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://example.com:22/",
        "http://example.com:4566/",
    ] {
        let answer = house.ask(&format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(matches!(answer.status, 403 | 502), "{url}: {} {}", answer.status, answer.body);
    }
    // Our own names in the request line are the instance itself, whatever the port says.
    for url in ["http://127.0.0.1:22/", "http://localhost/", "http://[::1]/", "http://sts.us-east-1.amazonaws.com/"] {
        let answer = house.ask(&format!("GET {url} HTTP/1.1\r\nHost: sts.us-east-1.amazonaws.com\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.head.contains("x-amzn-requestid"), "{url}: {} {}", answer.status, answer.head);
    }
}

#[tokio::test]
async fn closed_and_listed_egress() {
    for (egress, host) in [(Egress::Closed, "pypi.org"), (Egress::Only(vec!["pypi.org".to_owned()]), "example.com")] {
        let house = House::new(egress).await;
        let (status, _) = connect(house.dial().await, &format!("{host}:443")).await;
        assert_eq!(status, 403);
        let answer = house.ask(&format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        assert!(answer.body.contains(host));
        house.alive().await;
    }
}
