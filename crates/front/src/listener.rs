//! The instance's own addresses: one HTTP port, which is also the proxy, and an HTTPS port if asked.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tenantry_kernel::Kernel;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    connection::{Gate, tls_version},
    egress::Egress,
    places::Places,
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What the listeners serve.
#[derive(Clone)]
pub struct Front {
    gate: Arc<Gate>,
    places: Arc<Places>,
}

/// A bound listener.
pub struct Listening {
    /// Where it listens, with the port that was picked.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// Stops accepting. Connections that are open go on until [`Front::drain`].
    pub fn close(&self) {
        self.task.abort();
    }
}

impl Front {
    /// Serves `kernel`; `egress` says what the proxy lets through to other hosts.
    #[must_use]
    pub fn new(kernel: Kernel, authority: Arc<Authority>, egress: Egress) -> Self {
        let refused = Arc::new(|refusal: String| tracing::info!(%refusal, "egress refused"));
        let gate = Arc::new(Gate { kernel, authority, egress, network: None, credentials: None, refused });
        Self { gate, places: Arc::default() }
    }

    /// Binds `address` for HTTP, or HTTPS with `tls`.
    ///
    /// # Errors
    /// When the address is taken or may not be bound.
    pub async fn listen(&self, address: SocketAddr, tls: bool, closing: watch::Receiver<bool>) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let acceptor = tls.then(|| TlsAcceptor::from(self.gate.authority.server_config()));
        let task = tokio::spawn(self.clone().accept(listener, acceptor, closing));
        Ok(Listening { address, task })
    }

    /// Serves one connection over any stream of bytes until it ends: what every accepted connection gets, without TLS.
    pub async fn serve<S>(self, stream: S, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.gate.serve(stream, peer, None).await;
    }

    async fn accept(self, listener: TcpListener, acceptor: Option<TlsAcceptor>, closing: watch::Receiver<bool>) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: give open connections time to end.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            while self.places.full() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let Some(place) = self.places.take(peer.ip()) else {
                // Whoever has as many as it may is hung up on, rather than kept waiting in front of others.
                tracing::debug!(%peer, "a peer has too many connections");
                continue;
            };
            let _nodelay = stream.set_nodelay(true);
            let (gate, acceptor, mut closing) = (Arc::clone(&self.gate), acceptor.clone(), closing.clone());
            tokio::spawn(async move {
                let _place = place;
                let serve = async {
                    match acceptor {
                        None => gate.serve(stream, Some(peer.ip()), None).await,
                        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => {
                                let version = tls_version(&stream);
                                gate.serve(stream, Some(peer.ip()), Some(version)).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                            Err(_) => tracing::debug!("handshake timed out"),
                        },
                    }
                };
                tokio::select! {
                    () = serve => {}
                    _ = closing.wait_for(|closed| *closed) => {}
                }
            });
        }
    }

    /// Waits until no request runs, at most `limit`. Idle keep-alive connections do not count as running.
    pub async fn drain(&self, limit: Duration) {
        let end = tokio::time::Instant::now() + limit;
        while self.gate.kernel.in_flight() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
