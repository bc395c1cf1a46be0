//! Runs untrusted programs apart from the host and from each other. Linux only; the only crate with unsafe code.
//!
//! The server's program executes itself as the *jailer* ([`maybe_become_jailer`]), so a fresh machine needs no package
//! for isolation. There are three processes per sandbox: the jailer (keeps it, see `jailer`), init (process 1 inside, see
//! `init`) and the payload. The module comments of `jailer`, `root` and `confine` list what is done in which order.
//!
//! What holds: the payload has its own pids, mounts, host name, IPC and network; sees the host's programs read-only and of
//! everything else only what its [`Spec`] binds; has no capability, no way to new privileges, and a thinned system call table; uses
//! no more than its limits; reaches no network but what the server accepts for it; and dies with the server.
//!
//! What it does not do: decide what traffic may pass (the broker that accepts the connections does), build
//! environments (`tenantry-compute` does), limit disk space of bound directories, or protect from a bug of the kernel.

mod cgroup;
mod confine;
mod fault;
pub mod files;
mod identity;
mod init;
mod jailer;
mod message;
mod net;
mod probe;
mod root;
mod running;
mod seccomp;
mod spec;
#[allow(unsafe_code, reason = "system calls; every other module of the project is safe code")]
mod sys;

pub use identity::host_uids;
pub use probe::{Capabilities, prepare_host};
pub use running::{NetworkHandle, Running, SandboxError, spawn};
pub use spec::{Bind, Exit, Isolation, Limits, Network, Overlay, Spec};

/// Becomes a jailer, and never returns, when the server executed this program as one. Call it first in `main`, while there is
/// one thread; every program that calls [`spawn`] or [`Capabilities::probe`] must.
pub fn maybe_become_jailer() {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == running::MARKER) && arguments.next().is_some_and(|name| name == running::MARKER) {
        sys::exit_now(jailer::run());
    }
}
