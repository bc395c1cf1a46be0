//! What the host offers, found by trying: for `doctor`, and for `serve` to say what isolation is left.

use std::fs;

use crate::{
    cgroup::Places,
    identity, running,
    spec::{Limits, Network, Spec},
};

/// The host's answer to each thing a sandbox is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Started with root's powers: each account's jobs get a host uid of their own. Otherwise they share the server's.
    pub root: bool,
    /// A sandbox was started and ended well. Otherwise the reason; then only `--isolation none` is possible.
    pub sandbox: Result<(), String>,
    /// Overlay file systems; without them shared environments are copied for each job.
    pub overlay: bool,
    /// Seccomp filters.
    pub seccomp: bool,
    /// The Landlock module. Not used yet; reported for the operator.
    pub landlock: bool,
    /// The memory of a sandbox can be limited as a whole (otherwise per process).
    pub memory: bool,
    /// Its processor time can be limited (otherwise it cannot).
    pub cpu: bool,
    /// The number of its processes can be limited (otherwise per uid).
    pub pids: bool,
}

impl Capabilities {
    /// Tries everything; takes some 20 milliseconds. The program must call [`crate::maybe_become_jailer`] in `main`.
    #[must_use]
    pub fn probe() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let places = Places::find();
        Self {
            root: identity::host_uids().is_some(),
            sandbox: try_sandbox(),
            overlay: read("/proc/filesystems").lines().any(|line| line.ends_with("\toverlay")),
            seccomp: read("/proc/sys/kernel/seccomp/actions_avail").contains("errno"),
            landlock: read("/sys/kernel/security/lsm").split(',').any(|name| name.trim() == "landlock"),
            memory: places.has("memory"),
            cpu: places.has("cpu"),
            pids: places.has("pids"),
        }
    }

    /// What is missing, a line each, in words for the operator. Empty on a host that offers everything.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(reason) = &self.sandbox {
            lines.push(format!("jobs cannot be isolated ({reason}): they are refused unless `serve --isolation none` is given"));
        }
        let mut note = |there: bool, line: &str| {
            if !there {
                lines.push(line.to_owned());
            }
        };
        note(self.root, "not root: jobs of all accounts share the server's uid, apart only by namespaces");
        note(self.overlay, "no overlay file system: shared environments are copied for each job");
        note(self.seccomp, "no seccomp filters: system calls are not filtered");
        note(self.memory, "no memory controller: memory is limited per process, and exhaustion is not reported as such");
        note(self.cpu, "no cpu controller: processor time is not limited");
        note(self.pids, "no pids controller: processes are counted per user, not per job");
        lines
    }
}

/// Removes control groups that a crashed server left behind, and moves this process to a leaf where version 2 wants that.
/// Call it once when the server starts. The processes of a crashed server's sandboxes are dead already.
pub fn prepare_host() {
    Places::find().sweep();
}

fn try_sandbox() -> Result<(), String> {
    let uid = identity::host_uids().map_or(1000, |range| range.start);
    let spec = Spec {
        name: format!("probe-{}", std::process::id()),
        argv: vec!["/bin/sh".into(), "-c".into(), "exit 0".into()],
        uid,
        gid: uid,
        user: "probe".into(),
        home: "/".into(),
        hostname: "probe".into(),
        tmp_bytes: 1 << 20,
        shm_bytes: 1 << 20,
        network: Network::Loopback,
        limits: Limits { pids: Some(32), ..Limits::default() },
        ..Spec::default()
    };
    let exit = running::spawn(&spec, None).map_err(|error| error.to_string())?.wait();
    if exit.code == Some(0) { Ok(()) } else { Err(format!("a trial program ended with {exit:?}")) }
}
