//! The server's side: start a sandbox, hold it, hear how it ended.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, PipeReader},
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    message::{self, Order, Report},
    spec::{Exit, Network, Spec},
};

/// The argument that turns the server's program into a jailer.
pub(crate) const MARKER: &str = "tenantry-jailer";
/// Setting up takes milliseconds; copying a large directory where the host has no overlay takes longer.
const START_LIMIT: Duration = Duration::from_secs(300);
const SOCKET_LIMIT: Duration = Duration::from_secs(5);

/// Why a sandbox could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The jailer refused or failed; nothing runs.
    #[error("the sandbox could not {step}: {error}")]
    Refused {
        /// What was tried.
        step: String,
        /// Why it failed.
        error: String,
    },
    /// Something between server and jailer.
    #[error("the sandbox's jailer cannot be reached: {0}")]
    Io(#[from] io::Error),
}

/// The network of a running (or ended) sandbox, for [`Network::Joined`]. It lives as long as a handle or a sandbox does.
#[derive(Debug, Clone)]
pub struct NetworkHandle(Arc<[OwnedFd; 2]>);

/// A sandbox that was started. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    orders: Mutex<UnixStream>,
    shared: Arc<Shared>,
    network: Option<NetworkHandle>,
    listeners: Mutex<Vec<TcpListener>>,
    output: Mutex<Option<PipeReader>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    exit: Option<Exit>,
    sockets: VecDeque<Result<OwnedFd, String>>,
    watchers: Vec<Box<dyn FnOnce(Exit) + Send>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("exit", &self.exit).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a sandbox and waits until its payload has become its program (milliseconds). `join` is needed with
/// [`Network::Joined`]. Blocking: call it where blocking is allowed.
///
/// # Errors
/// [`SandboxError::Refused`] names the step that the host refused, or the program that could not be executed; nothing is left then.
pub fn spawn(spec: &Spec, join: Option<&NetworkHandle>) -> Result<Running, SandboxError> {
    let (orders, theirs) = UnixStream::pair()?;
    let (output, output_end) = io::pipe()?;
    let mut child = Command::new("/proc/self/exe")
        .arg0(MARKER)
        .arg(MARKER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(output_end.try_clone()?)
        .stderr(output_end)
        .spawn()?;
    let started = start(spec, join, &orders);
    if started.is_err() {
        // The jailer ends when its socket closes.
        drop(orders.shutdown(std::net::Shutdown::Both));
        drop(child.wait());
    }
    let mut fds = started?.into_iter();
    let network = match (fds.next(), fds.next()) {
        (Some(network), Some(user)) => Some(NetworkHandle(Arc::new([network, user]))),
        _ => None,
    };
    let shared = Arc::new(Shared::default());
    let pid = child.id();
    listen(child, orders.try_clone()?, shared.clone())?;
    let listeners = fds.map(TcpListener::from).collect();
    Ok(Running { pid, orders: orders.into(), shared, network, listeners: Mutex::new(listeners), output: Mutex::new(Some(output)) })
}

fn start(spec: &Spec, join: Option<&NetworkHandle>, orders: &UnixStream) -> Result<Vec<OwnedFd>, SandboxError> {
    let handed = match (&spec.network, join) {
        (Network::Joined, Some(handle)) => handle.0.iter().map(AsFd::as_fd).collect(),
        _ => Vec::new(),
    };
    message::send(orders, &Order::Start(Box::new(spec.clone())), &handed)?;
    orders.set_read_timeout(Some(START_LIMIT))?;
    let answer = message::receive::<Report>(orders)?;
    orders.set_read_timeout(None)?;
    match answer {
        Some((Report::Started, fds)) => Ok(fds),
        Some((Report::Failed { step, error }, _)) => Err(SandboxError::Refused { step, error }),
        _ => Err(SandboxError::Refused { step: "start".into(), error: "its jailer ended without a word".into() }),
    }
}

/// One thread per sandbox hears its reports and reaps its jailer.
fn listen(mut child: Child, reports: UnixStream, shared: Arc<Shared>) -> io::Result<()> {
    let hear = move || {
        let mut exit = None;
        while let Ok(Some((report, mut fds))) = message::receive::<Report>(&reports) {
            match report {
                Report::Ended(ended) => exit = Some(ended),
                Report::Socket { error } => {
                    let socket = fds.pop().ok_or_else(|| error.unwrap_or_else(|| "no socket came".into()));
                    shared.lock().sockets.push_back(socket);
                    shared.changed.notify_all();
                }
                Report::Started | Report::Failed { .. } => {}
            }
        }
        drop(child.wait());
        // A jailer that was killed takes its sandbox with it and says nothing.
        let exit = exit.unwrap_or(Exit { signal: Some(libc::SIGKILL), ..Exit::default() });
        let watchers = {
            let mut state = shared.lock();
            state.exit = Some(exit.clone());
            std::mem::take(&mut state.watchers)
        };
        shared.changed.notify_all();
        for watcher in watchers {
            watcher(exit.clone());
        }
    };
    thread::Builder::new().name("sandbox".into()).stack_size(128 << 10).spawn(hear).map(drop)
}

impl Running {
    /// The jailer's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// SIGTERM to the payload. It may ignore that; does nothing when it has ended.
    pub fn terminate(&self) {
        self.order(&Order::Terminate);
    }

    /// SIGKILL to everything inside. Does nothing when it has ended.
    pub fn kill(&self) {
        self.order(&Order::Kill);
    }

    fn order(&self, order: &Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // A jailer that is gone needs no orders.
        drop(message::send(&orders, order, &[]));
    }

    /// Waits until the payload has ended and everything inside is gone. Blocking; may be called often.
    #[must_use]
    pub fn wait(&self) -> Exit {
        let mut state = self.shared.lock();
        loop {
            match &state.exit {
                Some(exit) => return exit.clone(),
                None => state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Calls `watcher` once, on another thread, when the payload has ended and everything inside is gone; at once if that is so
    /// already. It must not block.
    pub fn on_exit(&self, watcher: impl FnOnce(Exit) + Send + 'static) {
        let mut state = self.shared.lock();
        match state.exit.clone() {
            None => state.watchers.push(Box::new(watcher)),
            Some(exit) => {
                drop(state);
                watcher(exit);
            }
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.shared.lock().exit.clone()
    }

    /// The network namespace, for further hosts of the same job. `None` without isolation.
    #[must_use]
    pub fn network(&self) -> Option<NetworkHandle> {
        self.network.clone()
    }

    /// The sockets of [`Network::Served`], in its order; once. What they accept was sent from inside.
    #[must_use]
    pub fn take_listeners(&self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Standard output and error of the payload, in one pipe; once. A reader that stops reading stops the payload.
    #[must_use]
    pub fn take_output(&self) -> Option<PipeReader> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A TCP socket, non-blocking and not connected, whose `connect` happens in the sandbox's network (the host's without isolation).
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub fn socket(&self, v6: bool) -> Result<OwnedFd, SandboxError> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        message::send(&orders, &Order::Socket { v6 }, &[])?;
        let waiting = |state: &mut State| state.sockets.is_empty() && state.exit.is_none();
        let (mut state, _) =
            self.shared.changed.wait_timeout_while(self.shared.lock(), SOCKET_LIMIT, waiting).unwrap_or_else(PoisonError::into_inner);
        match state.sockets.pop_front() {
            Some(Ok(socket)) => Ok(socket),
            Some(Err(error)) => Err(SandboxError::Refused { step: "make a socket".into(), error }),
            None => Err(SandboxError::Refused { step: "make a socket".into(), error: "it has ended".into() }),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
