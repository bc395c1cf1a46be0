//! The engine of this host: one sandbox per host of a workload, one task per workload.
//!
//! It keeps nothing on disk but scratch directories. When the server ends, however it ends, every sandbox ends with it (its jailer
//! sees the server's socket close), and a new engine knows no workload.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tenantry_core::Timestamp;
use tenantry_sandbox::{Isolation, Running};
use tokio::{net::TcpSocket, sync::watch};

pub use crate::launch::uid_of;
use crate::{
    environment::Environments,
    launch,
    supervise::supervise,
    workload::{BoxFuture, Compute, ComputeError, Duplex, HostState, Network, WorkStatus, Workload, host_address},
};

/// A connection is made inside this host's memory: longer means that nobody accepts.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long `forget` waits for what it kills.
const FORGET_LIMIT: Duration = Duration::from_secs(10);

/// How the local engine works.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Private directory for what hosts write over their environment. Emptied when the engine starts.
    pub scratch: PathBuf,
    /// `None` only where the operator said so.
    pub isolation: Isolation,
}

/// Runs workloads in sandboxes of this host. Must be used inside a tokio runtime. Dropping it kills everything it runs.
#[derive(Debug)]
pub struct LocalEngine {
    pub(crate) config: LocalConfig,
    pub(crate) environments: Arc<Environments>,
    works: Mutex<BTreeMap<String, Arc<Work>>>,
    changes: Arc<watch::Sender<u64>>,
    /// Tells apart the directories and control groups of workloads that had the same name.
    sequence: AtomicU64,
}

/// A workload that was taken.
#[derive(Debug)]
pub(crate) struct Work {
    pub status: Mutex<WorkStatus>,
    pub running: Mutex<Vec<Arc<Running>>>,
    /// The grace of the last `stop`.
    pub stop: watch::Sender<Option<Duration>>,
    /// Becomes true when nothing of it is left.
    pub over: watch::Sender<bool>,
    changes: Arc<watch::Sender<u64>>,
    port: Option<u16>,
    own_loopback: bool,
}

impl Work {
    /// Changes the status and says so to whoever waits for it.
    pub fn change(&self, how: impl FnOnce(&mut WorkStatus)) {
        how(&mut lock(&self.status));
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// No code panics while it holds one of these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl LocalEngine {
    /// An engine that knows no workload. The program must call [`crate::maybe_become_jailer`] first in `main`.
    ///
    /// # Errors
    /// When the scratch directory cannot be made.
    pub fn new(config: LocalConfig, environments: Arc<Environments>) -> io::Result<Self> {
        if config.scratch.exists() {
            // What a crashed server's sandboxes left; the sandboxes are gone.
            fs::remove_dir_all(&config.scratch)?;
        }
        fs::create_dir_all(&config.scratch)?;
        let scratch = fs::canonicalize(&config.scratch)?;
        let config = LocalConfig { scratch, ..config };
        Ok(Self { config, environments, works: Mutex::default(), changes: Arc::default(), sequence: AtomicU64::new(0) })
    }

    fn work(&self, name: &str) -> Option<Arc<Work>> {
        lock(&self.works).get(name).cloned()
    }

    fn take(&self, workload: Workload) -> Result<(), ComputeError> {
        launch::check(&workload)?;
        if self.config.isolation == Isolation::None && matches!(workload.network, Network::Brokered(_)) {
            let text = "this server runs without isolation (`--isolation none`): a workload's traffic cannot be brokered";
            return Err(ComputeError::Invalid(text.into()));
        }
        if self.config.isolation == Isolation::None && workload.image.is_some() && tenantry_sandbox::host_uids().is_some() {
            let text = "this server runs as root and without isolation: its jobs cannot see the environments of images; start it as an ordinary user";
            return Err(ComputeError::Invalid(text.into()));
        }
        let work = Arc::new(Work {
            status: Mutex::new(WorkStatus {
                hosts: vec![HostState::Starting; workload.hosts.len()],
                started: now(),
                ended: None,
                timed_out: false,
                stopped: false,
                disk_full: false,
                failure: None,
                progress: None,
            }),
            running: Mutex::default(),
            stop: watch::Sender::new(None),
            over: watch::Sender::new(false),
            changes: self.changes.clone(),
            port: workload.port,
            own_loopback: !workload.shared_network || workload.hosts.len() == 1,
        });
        {
            let mut works = lock(&self.works);
            if works.contains_key(&workload.name) {
                return Err(ComputeError::Exists(workload.name));
            }
            works.insert(workload.name.clone(), work.clone());
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(supervise(self.config.clone(), self.environments.clone(), work, workload, sequence));
        Ok(())
    }

    async fn open(&self, name: &str, host: usize) -> Result<Box<dyn Duplex>, ComputeError> {
        let work = self.work(name).ok_or_else(|| ComputeError::Unknown(name.to_owned()))?;
        let unreachable = |reason: String| ComputeError::Unreachable { name: name.to_owned(), reason };
        let port = work.port.ok_or_else(|| unreachable("it serves no port".into()))?;
        let running = lock(&work.running).get(host).cloned().ok_or_else(|| unreachable("it does not run".into()))?;
        // The jailer answers in microseconds, but it is another process.
        let socket = tokio::task::spawn_blocking(move || running.socket(false)).await;
        let socket = socket.map_err(|error| unreachable(error.to_string()))?.map_err(|error| unreachable(error.to_string()))?;
        let address = if work.own_loopback || self.config.isolation == Isolation::None { Ipv4Addr::LOCALHOST } else { host_address(host) };
        let connecting = TcpSocket::from_std_stream(TcpStream::from(socket)).connect(SocketAddr::new(IpAddr::V4(address), port));
        match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_LIMIT.as_secs()))),
        }
    }

    async fn drop_work(&self, name: &str) {
        let Some(work) = lock(&self.works).remove(name) else { return };
        work.stop.send_replace(Some(Duration::ZERO));
        let mut over = work.over.subscribe();
        if tokio::time::timeout(FORGET_LIMIT, over.wait_for(|over| *over)).await.is_err() {
            tracing::warn!(name, "a forgotten workload is still being ended");
        }
    }
}

impl Drop for LocalEngine {
    fn drop(&mut self) {
        for work in lock(&self.works).values() {
            work.stop.send_replace(Some(Duration::ZERO));
        }
    }
}

impl Compute for LocalEngine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, Result<(), ComputeError>> {
        Box::pin(async move { self.take(workload) })
    }

    fn status(&self, name: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        let status = self.work(name).map(|work| lock(&work.status).clone());
        Box::pin(async move { status })
    }

    fn stop(&self, name: &str, grace: Duration) -> BoxFuture<'_, Result<(), ComputeError>> {
        let result = self.work(name).ok_or_else(|| ComputeError::Unknown(name.to_owned())).map(|work| {
            let mut status = lock(&work.status);
            if !status.is_over() {
                status.stopped = true;
                drop(status);
                work.stop.send_replace(Some(grace));
            }
        });
        Box::pin(async move { result })
    }

    fn connect(&self, name: &str, host: usize) -> BoxFuture<'_, Result<Box<dyn Duplex>, ComputeError>> {
        let name = name.to_owned();
        Box::pin(async move { self.open(&name, host).await })
    }

    fn forget(&self, name: &str) -> BoxFuture<'_, ()> {
        let name = name.to_owned();
        Box::pin(async move { self.drop_work(&name).await })
    }

    fn names(&self) -> BoxFuture<'_, Vec<String>> {
        let names = lock(&self.works).keys().cloned().collect();
        Box::pin(async move { names })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
