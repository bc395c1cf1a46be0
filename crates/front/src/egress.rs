//! What may leave: which hosts end at the instance, and which others a tunnel may reach.
//!
//! A tunnel resolves the name once, checks the addresses, and connects to what it checked, so a name
//! that changes its mind in between gains nothing. Loopback, link-local and unspecified addresses
//! are never reached: behind them are the instance itself and its neighbours. Private addresses are
//! reached only where the operator has listed the host.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether a host name ends at the instance: AWS's API, S3, registry and Studio names.
#[must_use]
pub fn is_aws_host(host: &str) -> bool {
    const ENDS: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".sagemaker.aws", ".api.aws"];
    let host = host.trim_end_matches('.');
    ENDS.iter().any(|end| host.len() > end.len() && host[host.len().saturating_sub(end.len())..].eq_ignore_ascii_case(end))
}

/// What other hosts may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// Nothing but the instance.
    Closed,
    /// The same, of a sandbox in a VPC: a subnet without routes.
    Vpc,
    /// Any public host, on ports 80 and 443.
    Open,
    /// These hosts and what is below them (`pypi.org` also means `files.pypi.org`), on ports 80 and 443.
    Only(Vec<String>),
}

impl Egress {
    /// Why `host:port` may not be reached, if it may not.
    #[must_use]
    pub fn refusal(&self, host: &str, port: u16) -> Option<String> {
        if !matches!(port, 80 | 443) {
            return Some(format!("port {port} of `{host}` is not reachable: egress passes ports 80 and 443"));
        }
        match self {
            Self::Open => None,
            Self::Closed => Some(format!("`{host}` is not reachable: the egress setting of this instance is closed")),
            Self::Vpc => Some(format!("`{host}` is not reachable: a VPC has no route to the internet here, only to the instance")),
            Self::Only(allowed) => {
                let inside = |zone: &String| {
                    host.eq_ignore_ascii_case(zone)
                        || (host.len() > zone.len()
                            && host.is_char_boundary(host.len() - zone.len())
                            && host[host.len() - zone.len()..].eq_ignore_ascii_case(zone)
                            && host.as_bytes()[host.len() - zone.len() - 1] == b'.')
                };
                if allowed.iter().any(inside) { None } else { Some(format!("`{host}` is not on the egress list of this instance")) }
            }
        }
    }

    fn may_reach(&self, ip: IpAddr) -> bool {
        !is_own_or_neighbour(ip) && (matches!(self, Self::Only(_)) || !is_private(ip))
    }

    /// Connects to `host:port` if policy and address allow.
    ///
    /// # Errors
    /// `PermissionDenied` with the refusal, or what resolving and connecting say.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if let Some(refusal) = self.refusal(host, port) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal));
        }
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.filter(|a| self.may_reach(a.ip())).collect();
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("`{host}` resolves to no address that a tunnel may reach"),
            ));
        }
        tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addresses.as_slice()))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn is_own_or_neighbour(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_own_or_neighbour(IpAddr::V4(v4)),
            None => v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.segments()[0] & 0xffc0 == 0xfe80,
        },
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        // 100.64.0.0/10 is shared address space: carriers' and clouds' insides.
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(v6.segments()[0] & 0xfe00 == 0xfc00, |v4| is_private(IpAddr::V4(v4))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in ["sts.us-east-1.amazonaws.com", "S3.AMAZONAWS.COM", "d-x.studio.us-east-1.sagemaker.aws", "sts.amazonaws.com."] {
            assert!(is_aws_host(host), "{host}");
        }
        for host in ["amazonaws.com", "example.com", "sts.amazonaws.com.example.com", "xamazonaws.com"] {
            assert!(!is_aws_host(host), "{host}");
        }
    }

    #[test]
    fn refusals() {
        let only = Egress::Only(vec!["pypi.org".into()]);
        assert!(only.refusal("pypi.org", 443).is_none() && only.refusal("a.PyPI.org", 443).is_none());
        assert!(only.refusal("notpypi.org", 443).is_some() && only.refusal("pypi.org.evil.example", 443).is_some());
        assert!(only.refusal("pypi.org", 22).is_some());
        assert!(Egress::Closed.refusal("pypi.org", 443).is_some());
        assert!(Egress::Vpc.refusal("pypi.org", 443).unwrap().contains("a VPC has no route"));
    }

    #[test]
    fn private_addresses_only_where_listed() {
        let only = Egress::Only(vec!["mirror.example".into()]);
        for ip in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(only.may_reach(ip) && !Egress::Open.may_reach(ip), "{ip}");
        }
        for ip in ["127.0.0.1", "169.254.169.254", "fe80::1", "::1"] {
            assert!(!only.may_reach(ip.parse().unwrap()), "{ip}");
        }
        assert!(Egress::Open.may_reach("203.0.113.80".parse().unwrap()));
    }

    #[tokio::test]
    async fn loopback_is_never_reached() {
        for host in ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "::ffff:127.0.0.1", "localhost"] {
            let error = Egress::Open.connect(host, 80).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{host}");
        }
    }
}
