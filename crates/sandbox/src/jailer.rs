//! The server's program, executed again as the keeper of one sandbox.
//!
//! The jailer stays outside of the pid and mount namespaces and inside of the network namespace, speaks with the server over
//! standard input, and ends with it: the server's death closes that socket. In order, it
//! 1. reads the [`Spec`] and checks it;
//! 2. makes the control groups and opens their doors;
//! 3. unless it may use host uids (see `identity`), enters a user namespace of its own (or, for a further host of a job, the first host's);
//! 4. makes or joins the network namespace and opens the server's sockets in it;
//! 5. forks init into a new pid namespace, which builds the root (see `root`), forks the payload (see `confine`) and waits;
//! 6. relays orders and reports; when init is gone it reads the counters, removes the groups, reports, ends.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use crate::{
    cgroup::{Group, Places},
    fault::{Fault, Step},
    identity, init, message,
    message::{Order, Report},
    net,
    spec::{Exit, Isolation, Network, Spec},
    sys::{self, Fork},
};

/// They travel in one message, with the two namespaces.
const MAX_LISTENERS: usize = sys::MAX_FDS - 2;

/// Keeps one sandbox; answers the exit code of this process.
pub fn run() -> i32 {
    let Ok(control) = take_control() else { return 1 };
    sys::new_session();
    sys::umask(0o022);
    let Ok(Some((Order::Start(spec), fds))) = message::receive::<Order>(&control) else { return 1 };
    match keep(*spec, fds, &control) {
        Ok(()) => 0,
        Err(fault) => {
            let _server_is_gone = message::send(&control, &Report::Failed { step: fault.step, error: fault.error }, &[]);
            1
        }
    }
}

/// The server's socket arrives as standard input and must not stay there.
fn take_control() -> io::Result<UnixStream> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    sys::copy_onto(File::open("/dev/null")?.as_fd(), libc::STDIN_FILENO)?;
    Ok(control)
}

fn keep(spec: Spec, joined: Vec<OwnedFd>, control: &UnixStream) -> Result<(), Fault> {
    let privileged = identity::host_uids().is_some();
    check(&spec, privileged)?;
    let group = Places::find().create(&spec.name, &spec.limits).step("make the control groups")?;
    let outcome = hold(spec, joined, control, privileged, &group);
    let report = outcome.map(|mut exit| {
        group.account(&mut exit);
        Report::Ended(exit)
    });
    group.remove();
    message::send(control, &report?, &[]).step("report to the server")
}

/// What no sandbox may be. The server should not ask for it; the jailer does not trust that.
fn check(spec: &Spec, privileged: bool) -> Result<(), Fault> {
    let refuse = |error: String| Err(Fault::new("check the specification", error));
    let plain =
        |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain(&spec.name) || spec.name.starts_with('.') {
        return refuse(format!("`{}` is not a sandbox name", spec.name));
    }
    if privileged && !identity::host_uids().is_some_and(|range| range.contains(&spec.uid) && range.contains(&spec.gid)) {
        return refuse(format!("uid {} and gid {} are not ones that this host gives to payloads", spec.uid, spec.gid));
    }
    if !privileged && sys::euid() == 0 && spec.isolation == Isolation::None {
        return refuse("the payload would run as root: start the server as an ordinary user to run without isolation here".into());
    }
    if [&spec.user, &spec.home].iter().any(|text| text.contains([':', '\n'])) || spec.hosts.iter().any(|(name, _)| !plain(name)) {
        return refuse("user, home and host names must be plain text".into());
    }
    if matches!(&spec.network, Network::Served { listen, .. } if listen.len() > MAX_LISTENERS) {
        return refuse(format!("more than {MAX_LISTENERS} addresses to listen on"));
    }
    if spec.isolation == Isolation::None {
        if !spec.overlays.is_empty() {
            return refuse("overlays need isolation, which this server runs without (`--isolation none`)".into());
        }
        if let Some(bind) = spec.binds.iter().find(|bind| bind.source != bind.target) {
            return refuse(format!(
                "`{}` cannot be placed at `{}` without isolation (`--isolation none`)",
                bind.source.display(),
                bind.target.display()
            ));
        }
        if spec.network != Network::Host {
            return refuse("a network of its own needs isolation, which this server runs without (`--isolation none`)".into());
        }
    } else if spec.network == Network::Host {
        return refuse("the host's network is only given without isolation".into());
    }
    Ok(())
}

fn hold(spec: Spec, joined: Vec<OwnedFd>, control: &UnixStream, privileged: bool, group: &Group) -> Result<Exit, Fault> {
    let doors = group.doors().step("open the control groups")?;
    let mut gifts = Vec::new();
    if spec.isolation == Isolation::Full {
        gifts = namespaces(&spec, &joined, privileged)?;
    }
    drop(joined);
    let (own, init_end) = UnixStream::pair().step("make a socket pair")?;
    let job = init::Job { privileged, doors, memory_group: group.has("memory"), pids_group: group.has("pids"), jailer: init_end, spec };
    let isolated = job.spec.isolation == Isolation::Full;
    match sys::fork().step("fork init")? {
        Fork::Child => {
            drop((own, gifts));
            sys::exit_now(init::run(job))
        }
        Fork::Parent(init) => {
            drop(job);
            relay(control, &own, init, isolated, gifts)
        }
    }
}

/// Enters the namespaces that are made before init; answers what the server gets of them.
fn namespaces(spec: &Spec, joined: &[OwnedFd], privileged: bool) -> Result<Vec<OwnedFd>, Fault> {
    if spec.network == Network::Joined {
        let [network, user] = joined else {
            return Err(Fault::new("join the network", "the first host's namespaces were not handed over"));
        };
        if !privileged {
            sys::setns(user.as_fd(), libc::CLONE_NEWUSER).step("join the user namespace")?;
        }
        sys::setns(network.as_fd(), libc::CLONE_NEWNET).step("join the network namespace")?;
    } else if !privileged {
        user_namespace(spec)?;
    }
    let mut gifts = Vec::new();
    let (addresses, listen) = match &spec.network {
        Network::Served { addresses, listen } => (addresses.as_slice(), listen.as_slice()),
        _ => (&[][..], &[][..]),
    };
    if spec.network == Network::Joined {
        gifts.push(File::open("/proc/self/ns/net").step("open the network namespace")?.into());
    } else {
        let made = net::make(addresses, listen).step("make the network namespace")?;
        gifts.push(made.namespace);
        gifts.extend(made.listeners);
    }
    gifts.insert(1, File::open("/proc/self/ns/user").step("open the user namespace")?.into());
    sys::unshare(libc::CLONE_NEWPID).step("make the pid namespace")?;
    Ok(gifts)
}

/// A user namespace in which the server's user is called `spec.uid`, and no other user exists.
fn user_namespace(spec: &Spec) -> Result<(), Fault> {
    let (uid, gid) = (sys::euid(), sys::egid());
    sys::unshare(libc::CLONE_NEWUSER).step("make a user namespace (the host may forbid it to unprivileged users)")?;
    fs::write("/proc/self/setgroups", "deny").step("fix the groups of the user namespace")?;
    fs::write("/proc/self/uid_map", format!("{} {uid} 1", spec.uid)).step("map the user")?;
    fs::write("/proc/self/gid_map", format!("{} {gid} 1", spec.gid)).step("map the group")
}

/// Passes orders in and reports out until init is gone.
fn relay(control: &UnixStream, init_socket: &UnixStream, init: i32, isolated: bool, gifts: Vec<OwnedFd>) -> Result<Exit, Fault> {
    let outcome = pass(control, init_socket, init, isolated, gifts);
    if outcome.is_err() {
        // Not reaped yet, so the id is still init's. Without namespaces it kills what it started when this socket closes.
        drop(init_socket.shutdown(std::net::Shutdown::Both));
        if isolated {
            drop(sys::kill(init, libc::SIGKILL));
        }
    }
    let status = sys::reap(true).step("reap init")?;
    outcome?.unwrap_or_else(|| {
        let (code, signal) = status.map_or((None, Some(libc::SIGKILL)), |(_, status)| sys::decode_status(status));
        let (cpu_millis, max_rss_bytes) = sys::children_usage();
        Ok(Exit { code, signal, oom: false, cpu_millis, max_rss_bytes })
    })
}

/// What init reported before it went, if anything.
type Outcome = Option<Result<Exit, Fault>>;

fn pass(control: &UnixStream, init_socket: &UnixStream, init: i32, isolated: bool, gifts: Vec<OwnedFd>) -> Result<Outcome, Fault> {
    let mut outcome = None;
    let mut server = true;
    let mut gifts = Some(gifts);
    loop {
        let sources = [init_socket.as_fd(), control.as_fd()];
        let ready = sys::wait_readable(&sources[..if server { 2 } else { 1 }], -1).step("wait")?;
        if ready[0] {
            match message::receive::<Report>(init_socket) {
                Ok(Some((Report::Ended(exit), _))) => outcome = Some(Ok(exit)),
                Ok(Some((Report::Failed { step, error }, _))) => outcome = Some(Err(Fault { step, error })),
                Ok(Some((report, _))) => {
                    let fds = gifts.take().unwrap_or_default();
                    message::send(control, &report, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).step("report to the server")?;
                }
                Ok(None) | Err(_) => return Ok(outcome),
            }
        }
        if server && ready[1] {
            match message::receive::<Order>(control) {
                Ok(Some((Order::Kill, _))) if isolated => drop(sys::kill(init, libc::SIGKILL)),
                Ok(Some((order @ (Order::Kill | Order::Terminate), _))) => drop(message::send(init_socket, &order, &[])),
                Ok(Some((Order::Socket { v6 }, _))) => lend_socket(control, v6),
                Ok(Some((Order::Start(_), _))) => {}
                Ok(None) | Err(_) => {
                    // The server is gone: so is the sandbox. Without namespaces init has to do the killing.
                    server = false;
                    if isolated {
                        drop(sys::kill(init, libc::SIGKILL));
                    } else {
                        drop(init_socket.shutdown(std::net::Shutdown::Write));
                    }
                }
            }
        }
    }
}

/// Makes a socket here, in the sandbox's network, for the server to connect with.
fn lend_socket(control: &UnixStream, v6: bool) {
    let sent = match sys::tcp_socket(v6) {
        Ok(socket) => message::send(control, &Report::Socket { error: None }, &[socket.as_fd()]),
        Err(error) => message::send(control, &Report::Socket { error: Some(error.to_string()) }, &[]),
    };
    // A server that is gone is noticed by the next wait.
    drop(sent);
}
