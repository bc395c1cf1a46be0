//! One connection, whatever it came in by: HTTP/1.1 whose requests go to the kernel, and `CONNECT`
//! or absolute-form requests, which are a proxy's.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tenantry_kernel::{Arrival, Body, Kernel, NetworkOrigin, full};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    egress::{Egress, is_aws_host},
    patience::{Timer, patient},
    steady::Steady,
};

/// A client that sends its header more slowly than this is hung up on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that sends nothing more of a body for this long loses its request.
const BODY_IDLE: Duration = Duration::from_secs(60);
/// A client that takes nothing more of its answer for this long loses its connection. Long: a program may stop reading a
/// file while it works on what it has.
const WRITE_IDLE: Duration = Duration::from_secs(300);
/// A TLS handshake inside a tunnel takes no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Request line and headers together; AWS refuses past 8 KiB of headers, presigned URLs are longer than some.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Idle tunnels end.
const TUNNEL_IDLE: Duration = Duration::from_secs(600);

/// Answers a sandbox's credentials endpoint; the boxed future gives the JSON document.
pub(crate) type Credentials = tenantry_kernel::CredentialsSource;

/// What a connection may do and what is known of it.
pub(crate) struct Gate {
    pub kernel: Kernel,
    pub authority: Arc<Authority>,
    pub egress: Egress,
    /// Set by brokers only.
    pub network: Option<NetworkOrigin>,
    /// Set by brokers only: answered on 169.254.170.2, on this path.
    pub credentials: Option<(String, Credentials)>,
    /// Told of every refused destination.
    pub refused: Arc<dyn Fn(String) + Send + Sync>,
}

/// The version that a handshake has agreed on, as condition keys write it.
pub(crate) fn tls_version<S>(stream: &tokio_rustls::server::TlsStream<S>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    }
}

impl Gate {
    /// Serves HTTP on a byte stream until it ends.
    pub(crate) async fn serve<S>(self: Arc<Self>, stream: S, peer: Option<IpAddr>, tls: Option<&'static str>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (gate, timer) = (Arc::clone(&self), Arc::new(Timer::default()));
        let service = service_fn(move |request| {
            let (gate, timer) = (Arc::clone(&gate), Arc::clone(&timer));
            async move { Ok::<_, Infallible>(gate.answer(request, peer, tls, &timer).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Steady::new(stream, WRITE_IDLE)), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
        tls: Option<&'static str>,
        timer: &Arc<Timer>,
    ) -> Response<Body> {
        if request.method() == Method::CONNECT {
            return self.connect(request, peer).await;
        }
        match request.uri().authority().map(|a| (bare(a.host()), a.port_u16().unwrap_or(80))) {
            Some((host, port)) if !is_aws_host(&host) && !self.is_own_name(&host) => self.forward(request, peer, &host, port).await,
            _ => self.own(request, peer, tls, timer).await,
        }
    }

    fn is_own_name(&self, host: &str) -> bool {
        matches!(host, "localhost" | "127.0.0.1" | "::1" | "169.254.170.2") || host.ends_with(".localhost")
    }

    async fn own(&self, request: Request<Incoming>, peer: Option<IpAddr>, tls: Option<&'static str>, timer: &Arc<Timer>) -> Response<Body> {
        if let Some((path, credentials)) = &self.credentials {
            let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
            if host == "169.254.170.2" || host == "169.254.170.2:80" {
                if request.uri().path() != path {
                    return plain(StatusCode::NOT_FOUND, "text/plain", "credentials are at AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
                }
                return match credentials().await {
                    Ok(document) => plain(StatusCode::OK, "application/json", document.to_string()),
                    Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", error.message),
                };
            }
        }
        let (parts, body) = request.into_parts();
        let waits = parts.headers.contains_key("expect");
        let (body, asked) = patient(body, BODY_IDLE, timer);
        let arrival = Arrival { peer, secure: tls.is_some(), tls, network: self.network.clone() };
        let mut response = self.kernel.serve(Request::from_parts(parts, body), arrival).await;
        // A client that waits for "100 Continue" and gets an answer instead sends no body: what it sends next on
        // this connection would be taken for it.
        if waits && !asked.load(Ordering::Relaxed) {
            response.headers_mut().insert("connection", hyper::header::HeaderValue::from_static("close"));
        }
        response
    }

    /// `CONNECT`: AWS's hosts end here under our own certificate; others are tunnelled or refused. A
    /// tunnel is there before it is promised, so that a refusal has a status.
    async fn connect(self: Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>) -> Response<Body> {
        let Some((host, port)) = request.uri().authority().map(|a| (bare(a.host()), a.port_u16().unwrap_or(443))) else {
            return plain(StatusCode::BAD_REQUEST, "text/plain", "CONNECT takes host:port");
        };
        let upstream = if is_aws_host(&host) {
            None
        } else {
            match self.reach(peer, &host, port).await {
                Ok(upstream) => Some(upstream),
                Err(refusal) => return refusal,
            }
        };
        self.hand_over(request, peer, upstream);
        Response::new(tenantry_kernel::empty())
    }

    /// Takes the connection out of HTTP once the answer is written. No `async fn`: what is spawned may
    /// serve a `CONNECT` again, and only a plain function ends that circle of types.
    fn hand_over(self: Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>, upstream: Option<TcpStream>) {
        tokio::spawn(async move {
            match (hyper::upgrade::on(request).await, upstream) {
                (Ok(upgraded), None) => self.terminate(upgraded, peer).await,
                (Ok(upgraded), Some(upstream)) => tunnel(upgraded, upstream).await,
                (Err(error), _) => tracing::debug!(%error, "the tunnel's client went away"),
            }
        });
    }

    /// A connection to another host, or the answer that tells why there is none.
    async fn reach(&self, peer: Option<IpAddr>, host: &str, port: u16) -> Result<TcpStream, Response<Body>> {
        // Other machines may be served, but not brought elsewhere: an instance is no open proxy.
        if self.network.is_none() && !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
            return Err(self.refuse(format!("`{host}` is reachable through this instance from its own machine and its sandboxes only")));
        }
        self.egress.connect(host, port).await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => self.refuse(error.to_string()),
            _ => plain(StatusCode::BAD_GATEWAY, "text/plain", format!("`{host}` does not answer: {error}")),
        })
    }

    async fn terminate(self: Arc<Self>, upgraded: Upgraded, peer: Option<IpAddr>) {
        let acceptor = TlsAcceptor::from(self.authority.server_config());
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(TokioIo::new(upgraded))).await {
            // Boxed: a tunnel may in principle hold another, so the future's type would contain itself.
            Ok(Ok(stream)) => {
                let version = tls_version(&stream);
                Box::pin(self.serve(stream, peer, Some(version))).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
            Err(_) => tracing::debug!("handshake timed out"),
        }
    }

    /// A plain `http://` request for another host.
    async fn forward(&self, request: Request<Incoming>, peer: Option<IpAddr>, host: &str, port: u16) -> Response<Body> {
        let upstream = match self.reach(peer, host, port).await {
            Ok(upstream) => upstream,
            Err(refusal) => return refusal,
        };
        match forward_on(upstream, request).await {
            Ok(response) => response,
            Err(error) => plain(StatusCode::BAD_GATEWAY, "text/plain", format!("`{host}` does not answer: {error}")),
        }
    }

    fn refuse(&self, refusal: String) -> Response<Body> {
        (self.refused)(refusal.clone());
        plain(StatusCode::FORBIDDEN, "text/plain", refusal)
    }
}

async fn tunnel(upgraded: Upgraded, mut upstream: TcpStream) {
    let mut client = TokioIo::new(upgraded);
    let _ended = tokio::time::timeout(TUNNEL_IDLE, tokio::io::copy_bidirectional(&mut client, &mut upstream)).await;
}

/// An authority's host; an IPv6 address without its brackets.
fn bare(host: &str) -> String {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned()
}

async fn forward_on(upstream: TcpStream, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(upstream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    // Origin form for the server; hop-by-hop headers stay here.
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    parts.uri = path.parse().unwrap_or_default();
    for header in ["proxy-connection", "proxy-authorization", "connection", "keep-alive", "te", "upgrade"] {
        parts.headers.remove(header);
    }
    let response = sender.send_request(Request::from_parts(parts, body)).await?;
    Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()))
}

fn plain(status: StatusCode, content_type: &'static str, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    response
}
