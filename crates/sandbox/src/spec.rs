//! What a sandbox is to be: plain data that the server writes and the jailer reads.
//!
//! A `Spec` decides everything; the jailer takes nothing from its environment. Paths of `source`,
//! `lower`, `upper` and `work` are the host's, paths called `target` are the sandbox's.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// How much stands between the payload and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Isolation {
    /// Namespaces, own root, no capabilities, seccomp, limits. Refused where the host has no way to it.
    #[default]
    Full,
    /// A plain child with limits: the operator's explicit choice (`serve --isolation none`). Binds whose target
    /// differs from their source, overlays and own networks cannot be provided and are refused.
    None,
}

/// One sandbox.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spec {
    /// Names the control group: letters, digits, `.`, `_`, `-`; at most 128 bytes.
    pub name: String,
    /// Namespaces or none.
    pub isolation: Isolation,
    /// The program (looked up in the `PATH` of `env` when it has no slash) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment of the payload.
    pub env: Vec<(String, String)>,
    /// Where the payload starts; `/` when empty.
    pub workdir: String,
    /// The payload's user id: one of [`crate::host_uids`] where there are any, otherwise what the server's own uid is called inside.
    pub uid: u32,
    /// The payload's group id; the same rules.
    pub gid: u32,
    /// The user's name in the sandbox's `/etc/passwd`.
    pub user: String,
    /// The user's home there. Not created: bind something or use `/tmp`.
    pub home: String,
    /// The name that `hostname` answers.
    pub hostname: String,
    /// Further lines of the sandbox's `/etc/hosts`.
    pub hosts: Vec<(String, IpAddr)>,
    /// Host directories or files seen inside, in this order.
    pub binds: Vec<Bind>,
    /// Read-only host directories that look writable inside.
    pub overlays: Vec<Overlay>,
    /// Capacity of `/tmp`, in bytes.
    pub tmp_bytes: u64,
    /// Capacity of `/dev/shm`, in bytes.
    pub shm_bytes: u64,
    /// What the payload can reach.
    pub network: Network,
    /// What it may use.
    pub limits: Limits,
}

/// A host path at a path of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// A directory or file of the host.
    pub source: PathBuf,
    /// Absolute, without `..`; parents are made. It must not lead through a symbolic link.
    pub target: PathBuf,
    /// Whether the payload may write (as far as its uid may).
    pub writable: bool,
}

/// A read-only host directory under a writable layer of the sandbox's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Never changed.
    pub lower: PathBuf,
    /// As for [`Bind::target`].
    pub target: PathBuf,
    /// Receives the changes. An existing empty directory; the caller deletes it afterwards.
    pub upper: PathBuf,
    /// Overlayfs's scratch, an existing empty directory on the same file system as `upper`.
    pub work: PathBuf,
}

/// What the payload can reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Network {
    /// A namespace of its own with nothing but `lo`.
    #[default]
    Loopback,
    /// As `Loopback`, with more addresses on `lo` and sockets that the *server* accepts on
    /// ([`crate::Running::take_listeners`], in this order): the payload's only way out.
    Served {
        /// Addresses added to `lo` as /32.
        addresses: Vec<Ipv4Addr>,
        /// Where the server listens inside, before the payload starts.
        listen: Vec<SocketAddr>,
    },
    /// The namespace of an earlier sandbox ([`crate::NetworkHandle`]).
    Joined,
    /// The host's own network. Only with [`Isolation::None`].
    Host,
}

/// What a sandbox may use. `None`: no limit of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory and swap of all its processes, in bytes (per process where there is no memory controller).
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor. Not enforced where there is no cpu controller.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Open files per process.
    pub open_files: Option<u64>,
    /// Largest file it may write, in bytes.
    pub file_bytes: Option<u64>,
}

/// How the payload ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed something in it for want of memory.
    pub oom: bool,
    /// Processor time of all its processes, in milliseconds.
    pub cpu_millis: u64,
    /// Most memory used at once, in bytes (of the largest process where there is no memory controller).
    pub max_rss_bytes: u64,
}
