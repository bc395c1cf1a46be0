//! A sandbox's only way out: a Unix socket of its own, which knows whose sandbox it is.
//!
//! Inside the sandbox, `AWS_ENDPOINT_URL`, `HTTPS_PROXY` and the credentials address are sockets that the
//! engine leads to this one. What passes is decided here from the sandbox's settings,
//! never from what the request says of itself. A sandbox with network isolation gets no broker at all.

use std::{io, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use tenantry_kernel::{BrokerHandle, BrokerSpec, Brokers, Kernel};
use tokio::{
    net::UnixListener,
    sync::{OnceCell, Semaphore},
};

use crate::{authority::Authority, connection::Gate, egress::Egress};

/// Connections of one sandbox at a time; more wait.
const MAX_CONNECTIONS: usize = 256;

/// Opens brokers for the services that run user code.
pub struct Broker {
    kernel: OnceCell<Kernel>,
    authority: Arc<Authority>,
    egress: Egress,
}

impl Broker {
    /// Brokers whose sandboxes may reach `egress` where their own settings allow the internet.
    #[must_use]
    pub fn new(authority: Arc<Authority>, egress: Egress) -> Self {
        Self { kernel: OnceCell::new(), authority, egress }
    }

    /// The kernel is built with its brokers, so it arrives after them. Only the first counts.
    pub fn serve(&self, kernel: Kernel) {
        let _already = self.kernel.set(kernel);
    }
}

struct Open {
    socket: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl BrokerHandle for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
        let _gone = std::fs::remove_file(&self.socket);
    }
}

impl Brokers for Broker {
    fn open(&self, spec: BrokerSpec) -> io::Result<Box<dyn BrokerHandle>> {
        let kernel = self.kernel.get().ok_or_else(|| io::Error::other("the broker has no kernel yet"))?.clone();
        let _stale = std::fs::remove_file(&spec.socket);
        let listener = UnixListener::bind(&spec.socket)?;
        // The directory is the server's own; user code never sees the socket.
        std::fs::set_permissions(&spec.socket, std::fs::Permissions::from_mode(0o600))?;
        if let Some(uid) = spec.uid {
            std::os::unix::fs::chown(&spec.socket, Some(uid), None)?;
        }
        let gate = Arc::new(Gate {
            kernel,
            authority: Arc::clone(&self.authority),
            egress: if spec.internet { self.egress.clone() } else { Egress::Vpc },
            network: Some(spec.network),
            credentials: Some(spec.credentials),
            refused: spec.refused,
        });
        let task = tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let gate = Arc::clone(&gate);
                        tokio::spawn(async move {
                            gate.serve(stream, None, None).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a broker cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        });
        Ok(Box::new(Open { socket: spec.socket, task }))
    }
}
