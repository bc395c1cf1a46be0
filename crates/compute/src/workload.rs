//! What an engine is asked to run, and what it answers: the vocabulary of `trait Compute`.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, path::PathBuf, pin::Pin, time::Duration};

use tenantry_core::{Scope, Timestamp};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
};

use crate::image::Image;

/// A future that an object-safe trait can answer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A job, an app or the instances of an endpoint: one command on one or several hosts.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Deterministic, so that a reconciler that crashed after `start` asks for the same thing again.
    /// Letters, digits, `.`, `_`, `-`; at most 100 bytes; unique over all accounts and regions.
    pub name: String,
    /// Whose it is; decides the uid it runs under.
    pub scope: Scope,
    /// One entry per host; the n-th is called `algo-<n>` (from 1) and has the address [`host_address`].
    pub hosts: Vec<Host>,
    /// The environment it runs in, prepared by the engine when it is missing (that can take minutes, during which the hosts are
    /// [`HostState::Starting`]). `None`: the host's own /usr only.
    pub image: Option<Image>,
    /// Program and arguments. A program without a slash is looked up in the environment, then in /usr.
    pub command: Vec<String>,
    /// Variables of every host. `PATH`, `HOME`, `PYTHONPATH` and the image's own variables are set by the engine unless they are here.
    pub env: BTreeMap<String, String>,
    /// Where the command starts; `/` when empty.
    pub workdir: String,
    /// Directories of every host. The writable ones are given to the workload's uid.
    pub mounts: Vec<Mount>,
    /// What each host may use; see [`crate::limits_on`].
    pub limits: Limits,
    /// What it can reach.
    pub network: Network,
    /// Whether the hosts share one loopback network, on which they reach each other by name (training, processing). Otherwise each has
    /// its own (the instances of an endpoint, which all listen on the same port).
    pub shared_network: bool,
    /// The port on which it serves, for [`Compute::connect`].
    pub port: Option<u16>,
    /// After this time it is stopped as by [`Compute::stop`], and [`WorkStatus::timed_out`] says so.
    pub timeout: Option<Duration>,
    /// Receives every line of output. When it is full the workload waits; when it is closed lines are dropped.
    pub logs: Option<mpsc::Sender<LogLine>>,
}

/// What is particular to one host of a workload.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Added to the workload's variables.
    pub env: BTreeMap<String, String>,
    /// Added to the workload's mounts.
    pub mounts: Vec<Mount>,
}

/// A directory or file of the server's host, seen inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// It must exist when the workload starts and not be a symbolic link; the directories above it must be the server's own.
    pub host: PathBuf,
    /// Absolute path inside.
    pub target: PathBuf,
    /// Whether the workload may write.
    pub writable: bool,
}

/// What one host may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Capacity of `/tmp`, in bytes. It counts as memory.
    pub tmp_bytes: u64,
    /// What its writable directories may take on the server's disk together, in bytes; what lies there at the beginning counts.
    /// Watched, so it can be passed for a moment; then the workload is killed ([`WorkStatus::disk_full`]).
    pub disk_bytes: Option<u64>,
}

/// What a workload can reach besides its own hosts.
#[derive(Debug, Clone, Default)]
pub enum Network {
    /// Nothing.
    #[default]
    Isolated,
    /// The given addresses inside, each of which leads to a Unix socket of the server. Addresses outside 127.0.0.0/8
    /// (such as the credentials endpoint's 169.254.170.2) are added to the loopback interface.
    Brokered(Vec<Outbound>),
}

/// An address inside that leads to a socket of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Where the workload connects to.
    pub listen: SocketAddr,
    /// The Unix socket the server listens on. The workload never sees it.
    pub host_socket: PathBuf,
}

/// One line of a workload's output, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The workload's name.
    pub workload: String,
    /// Index of the host, from 0.
    pub host: usize,
    /// When it was read.
    pub time: Timestamp,
    /// At most 256 KiB; longer lines come in pieces. What is not UTF-8 is replaced.
    pub text: String,
}

/// A workload as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkStatus {
    /// In the order of [`Workload::hosts`].
    pub hosts: Vec<HostState>,
    /// When the engine took it.
    pub started: Timestamp,
    /// When the last host ended.
    pub ended: Option<Timestamp>,
    /// Whether [`Workload::timeout`] ended it.
    pub timed_out: bool,
    /// Whether [`Compute::stop`] was called.
    pub stopped: bool,
    /// Whether it was killed because it wrote more than [`Limits::disk_bytes`].
    pub disk_full: bool,
    /// Why it could not be started, in words for the user: the environment that could not be built, the program
    /// that does not exist. All hosts are then `Exited` without code and signal.
    pub failure: Option<String>,
    /// What the engine is doing before the hosts run (`installing xgboost==3.2.0 …`).
    pub progress: Option<String>,
}

/// One host of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostState {
    /// Being prepared.
    Starting,
    /// Its command runs.
    Running,
    /// Its command has ended, and nothing of it is left.
    Exited {
        /// Exit code, unless a signal ended it.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
        /// Whether the kernel killed something in it for want of memory.
        oom: bool,
        /// Processor time used, in milliseconds.
        cpu_millis: u64,
        /// Most memory used at once, in bytes.
        max_rss_bytes: u64,
    },
}

impl WorkStatus {
    /// Whether every host has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.hosts.iter().all(|host| matches!(host, HostState::Exited { .. }))
    }

    /// Whether every host ended with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.hosts.iter().all(|host| matches!(host, HostState::Exited { code: Some(0), .. }))
    }
}

/// `algo-1`, `algo-2`, … for index 0, 1, …: what SageMaker calls the hosts of a job.
#[must_use]
pub fn host_name(index: usize) -> String {
    format!("algo-{}", index + 1)
}

/// The loopback address of a host in its workload's shared network: 127.0.1.1, 127.0.1.2, …
#[must_use]
pub fn host_address(index: usize) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(127, 0, 1 + (index / 250) as u8, 1 + (index % 250) as u8)
}

/// A byte stream to a port of a workload.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// Another workload of this name is known: `forget` it first.
    #[error("a workload named `{0}` is known already")]
    Exists(String),
    /// No workload of this name (any more): after a restart of the server none is.
    #[error("no workload named `{0}` runs here")]
    Unknown(String),
    /// The workload cannot be run as described.
    #[error("{0}")]
    Invalid(String),
    /// The workload does not accept connections (yet).
    #[error("cannot connect to `{name}`: {reason}")]
    Unreachable {
        /// The workload.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Something that runs workloads: this host, later a container engine or a cluster.
///
/// After the server's end (or crash) nothing that the local engine ran is left, by construction, and a new engine knows no
/// names: a reconciler that finds its workload [`ComputeError::Unknown`] starts it again, or reports it as lost.
pub trait Compute: Send + Sync {
    /// Takes a workload and answers at once; follow it with `status`. Asking again for a workload of the same name is
    /// [`ComputeError::Exists`], which a reconciler takes for success.
    fn start(&self, workload: Workload) -> BoxFuture<'_, Result<(), ComputeError>>;

    /// How it is; `None` when there is none of this name.
    fn status(&self, name: &str) -> BoxFuture<'_, Option<WorkStatus>>;

    /// SIGTERM to every host, SIGKILL after `grace`. Answers at once. Stopping what has ended is no error.
    fn stop(&self, name: &str, grace: Duration) -> BoxFuture<'_, Result<(), ComputeError>>;

    /// A stream to [`Workload::port`] of a host (by index).
    fn connect(&self, name: &str, host: usize) -> BoxFuture<'_, Result<Box<dyn Duplex>, ComputeError>>;

    /// Removes every trace; kills it first if it still runs. Forgetting the unknown is no error.
    fn forget(&self, name: &str) -> BoxFuture<'_, ()>;

    /// The workloads that are known, sorted.
    fn names(&self) -> BoxFuture<'_, Vec<String>>;

    /// A counter that moves whenever a host of any workload changes its state: a reconciler that waits for it need not poll often.
    fn changes(&self) -> watch::Receiver<u64>;
}
