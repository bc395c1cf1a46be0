//! One document from an issuer: GET over TLS, bounded in time and length.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Arrival, Kernel};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{self, pki_types::ServerName},
};

use super::{Reach, ReachPolicy, no_key, trust, unusable};
use crate::{iam::oidc_providers::OidcProvider, sts::error};

/// For one document, from the name's addresses to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a document.
const MAX_DOCUMENT: usize = 256 * 1024;

pub(super) struct Fetcher<'a> {
    pub kernel: &'a Kernel,
    pub policy: &'a ReachPolicy,
    pub roots: &'a trust::Roots,
    pub provider: &'a OidcProvider,
}

impl Fetcher<'_> {
    /// The document at `url`, which must be `https`.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>> {
        let uri: Uri = url.parse().map_err(|_| unusable(url, "it is no URL"))?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(|| unusable(url, "it is no https URL"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let request = request(&uri).ok_or_else(|| unusable(url, "it is no URL"))?;
        let answer = async {
            if is_instance(&host) {
                let arrival = Arrival { secure: true, ..Arrival::default() };
                return read(self.kernel.serve(request.map(|()| tenantry_kernel::empty()), arrival).await).await;
            }
            self.outside(&host, uri.port_u16().unwrap_or(443), request).await
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(Ok(document)) => Ok(document),
            Ok(Err(fault)) => Err(self.worded(url, &fault)),
            Err(_) => Err(self.worded(url, &io::ErrorKind::TimedOut.into())),
        }
    }

    async fn outside(&self, host: &str, port: u16, request: Request<()>) -> io::Result<Vec<u8>> {
        let stream = TcpStream::connect(self.addresses(host, port).await?.as_slice()).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = trust::client(self.roots, &self.provider.thumbprints)?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        let answer = match sender.send_request(request.map(|()| http_body_util::Empty::<hyper::body::Bytes>::new())).await {
            Ok(response) => read(response).await,
            Err(fault) => Err(io::Error::other(fault)),
        };
        driver.abort();
        answer
    }

    /// Where the host is, as far as it may be reached. What was checked is what is connected to.
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let denied = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let own = self.provider.name.split('/').next().and_then(|authority| authority.parse::<Uri>().ok());
        let own = own.as_ref().and_then(Uri::host).unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let loopback = is_loopback_name(host) && is_loopback_name(&own);
        // Behind loopback are the operator's own programs, and whoever may make a provider could knock on their doors: only where
        // the operator lists the name, then on any port.
        let reach = match (self.policy)(host, if loopback { 443 } else { port }) {
            Reach::Refused(why) => return Err(denied(why)),
            Reach::Public if loopback => return Err(denied(format!("`{host}` is reached only where `--egress` lists it"))),
            reach => reach,
        };
        let fits = |ip: IpAddr| if loopback { ip.is_loopback() } else { is_outside(ip) || (reach == Reach::Listed && is_private(ip)) };
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.filter(|address| fits(address.ip())).collect();
        if found.is_empty() { Err(denied(format!("`{host}` is at no address that may be reached"))) } else { Ok(found) }
    }

    /// What the client is told. That somebody listens at an address is not told.
    fn worded(&self, url: &str, fault: &io::Error) -> AwsError {
        tracing::info!(url, %fault, "an OpenID Connect issuer cannot be asked");
        let certificate = fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (certificate, fault.kind()) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => {
                error::invalid_token("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
            }
            (_, io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused) => {
                error::no_communication("The identity provider did not answer. Try again later.")
            }
            _ => no_key(),
        }
    }
}

fn request(uri: &Uri) -> Option<Request<()>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority()?.as_str().rsplit('@').next()?;
    Request::get(path).header("host", authority).header("accept", "application/json").header("user-agent", "tenantry").body(()).ok()
}

async fn read<B>(response: hyper::Response<B>) -> io::Result<Vec<u8>>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("the answer has status {}", response.status())));
    }
    let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await.map_err(io::Error::other)?;
    Ok(body.to_bytes().to_vec())
}

/// Host names that end at the instance.
fn is_instance(host: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn", ".sagemaker.aws", ".api.aws"].iter().any(|end| host.trim_end_matches('.').ends_with(end))
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(v6.segments()[0] & 0xfe00 == 0xfc00, |v4| is_private(IpAddr::V4(v4))),
    }
}

/// Neither the instance's own addresses, nor its neighbours', nor private ones.
fn is_outside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets()[0] == 0
                || is_private(ip))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_outside(IpAddr::V4(v4)),
            None => {
                // 64:ff9b::/96 is the way to IPv4 addresses through a translator.
                let translated = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
                let own = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.segments()[0] & 0xffc0 == 0xfe80;
                !(own || translated || is_private(ip))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_outside() {
        for ip in ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_outside(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "224.0.0.1",
        ] {
            assert!(!is_outside(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn hosts_that_end_here() {
        assert!(is_instance("oidc.eks.us-east-1.amazonaws.com"));
        assert!(!is_instance("amazonaws.com.example") && !is_instance("xamazonaws.com"));
        assert!(is_loopback_name("localhost") && is_loopback_name("127.0.0.1") && is_loopback_name("::1"));
        assert!(!is_loopback_name("localhost.example.com") && !is_loopback_name("10.0.0.1"));
    }
}
