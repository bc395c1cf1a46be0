//! Leads what a workload connects to inside to the server's Unix sockets.

use std::{net::TcpListener as StdListener, path::PathBuf, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};

/// Connections of one workload at a time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 256;

/// Accepts until aborted. The listener belongs to the sandbox's network, so whatever it accepts came from inside.
pub(crate) async fn serve(listener: StdListener, host_socket: PathBuf) {
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot accept from a sandbox"),
    };
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let mut inside = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept from a sandbox");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let path = host_socket.clone();
        connections.spawn(async move {
            let _slot = slot;
            match UnixStream::connect(&path).await {
                // Resets are the peers' business.
                Ok(mut outside) => drop(copy_bidirectional(&mut inside, &mut outside).await),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a sandbox's connection leads nowhere"),
            }
        });
    }
}
