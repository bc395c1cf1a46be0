//! The first process inside: starts the payload, reaps what it leaves behind, and takes everything with it.
//!
//! Process 1 of the pid namespace (or, without isolation, a child subreaper): when the payload ends, all
//! that it started ends; when the jailer ends, so does this process, and the kernel kills the namespace.
//! It is not in the payload's control groups (so a payload without memory cannot take it down), not dumpable, and keeps
//! no capability but the right to signal.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use crate::{
    confine,
    fault::{Fault, Step},
    message::{self, Order, Report},
    root,
    spec::{Exit, Isolation, Spec},
    sys::{self, Fork},
};

const CAP_KILL: u64 = 1 << 5;

/// What the jailer prepared for init.
pub struct Job {
    pub spec: Spec,
    /// Whether the jailer is the host's root.
    pub privileged: bool,
    pub doors: Vec<File>,
    pub memory_group: bool,
    pub pids_group: bool,
    pub jailer: UnixStream,
}

/// Runs to the end of the payload and answers the exit code of this process.
pub fn run(job: Job) -> i32 {
    let report = match start(&job).and_then(|running| attend(&job, running)) {
        Ok(exit) => Report::Ended(exit),
        Err(fault) => Report::Failed { step: fault.step, error: fault.error },
    };
    match message::send(&job.jailer, &report, &[]) {
        Ok(()) => 0,
        Err(_jailer_is_gone) => 1,
    }
}

struct Running {
    payload: i32,
    signals: OwnedFd,
}

fn start(job: &Job) -> Result<Running, Fault> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).step("die with the jailer")?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0).step("become undumpable")?;
    // The jailer may have died before the line above.
    if hung_up(&job.jailer) {
        sys::exit_now(1);
    }
    let full = job.spec.isolation == Isolation::Full;
    if full {
        give_upper_layers(job)?;
        root::enter(&job.spec)?;
    } else {
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).step("become a subreaper")?;
    }
    let signals = sys::signal_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP]).step("take over signals")?;
    let payload = launch(job)?;
    if full {
        sys::set_capabilities(CAP_KILL).step("drop init's capabilities")?;
    }
    message::send(&job.jailer, &Report::Started, &[]).step("report")?;
    Ok(Running { payload, signals })
}

/// The root of an overlay looks like its upper directory: it has to be the payload's.
fn give_upper_layers(job: &Job) -> Result<(), Fault> {
    if job.privileged {
        for overlay in &job.spec.overlays {
            let upper = File::open(&overlay.upper).step_with(|| format!("open `{}`", overlay.upper.display()))?;
            sys::chown_at(upper.as_fd(), "".as_ref(), job.spec.uid, job.spec.gid).step("give the upper directory to the user")?;
        }
    }
    Ok(())
}

fn hung_up(socket: &UnixStream) -> bool {
    let peeked = socket.set_nonblocking(true).and_then(|()| {
        let mut one = [0];
        let mut stream = socket;
        stream.read(&mut one)
    });
    // Nothing was sent yet, so nothing can be lost by reading.
    let gone = matches!(peeked, Ok(0));
    gone || socket.set_nonblocking(false).is_err()
}

/// Forks the payload and waits until it has become its program: the pipe closes at exec, or says why not.
fn launch(job: &Job) -> Result<i32, Fault> {
    let (mut told, mut tell) = UnixStream::pair().step("make a pipe")?;
    match sys::fork().step("fork the payload")? {
        Fork::Child => {
            let fault = confine::become_payload(&job.spec, job.privileged, &job.doors, job.memory_group, job.pids_group);
            let _parent_is_gone = tell.write_all(format!("{}\n{}", fault.step, fault.error).as_bytes());
            sys::exit_now(127)
        }
        Fork::Parent(payload) => {
            drop(tell);
            let mut answer = String::new();
            told.read_to_string(&mut answer).step("wait for the payload to start")?;
            match answer.split_once('\n') {
                None => Ok(payload),
                Some((step, error)) => Err(Fault::new(step, error)),
            }
        }
    }
}

/// Reaps, forwards, and cleans up when the payload has ended.
fn attend(job: &Job, running: Running) -> Result<Exit, Fault> {
    let Running { payload, signals } = running;
    loop {
        let ready = sys::wait_readable(&[signals.as_fd(), job.jailer.as_fd()], -1).step("wait")?;
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            if signal != libc::SIGCHLD {
                let _already_gone = sys::kill(payload, signal);
            }
        }
        if ready[1] {
            match message::receive::<Order>(&job.jailer) {
                Ok(Some((Order::Terminate, _))) => drop(sys::kill(payload, libc::SIGTERM)),
                Ok(Some((Order::Kill, _))) => drop(sys::kill(payload, libc::SIGKILL)),
                Ok(Some(_)) => {}
                // The jailer is gone: leave nothing behind.
                Ok(None) | Err(_) => {
                    kill_rest(job, Some(payload));
                    sys::exit_now(1);
                }
            }
        }
        while let Ok(Some((pid, status))) = sys::reap(false) {
            if pid == payload {
                kill_rest(job, None);
                let (code, signal) = sys::decode_status(status);
                let (cpu_millis, max_rss_bytes) = sys::children_usage();
                return Ok(Exit { code, signal, oom: false, cpu_millis, max_rss_bytes });
            }
        }
    }
}

/// Kills every process that is left, and waits until none is.
fn kill_rest(job: &Job, payload: Option<i32>) {
    if job.spec.isolation == Isolation::Full {
        let _nobody_left = sys::kill(-1, libc::SIGKILL);
        while let Ok(Some(_)) = sys::reap(true) {}
        return;
    }
    if let Some(payload) = payload {
        let _already_gone = sys::kill(payload, libc::SIGKILL);
    }
    // Orphans become this process's children: kill them until there are none.
    loop {
        for child in children() {
            let _already_gone = sys::kill(child, libc::SIGKILL);
        }
        match sys::reap(true) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// The ids of this process's children, as the kernel lists them.
fn children() -> Vec<i32> {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let text = std::fs::read_to_string(path).or_else(|_| scan_children()).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The same from /proc, for kernels built without the list.
fn scan_children() -> io::Result<String> {
    let own = std::process::id().to_string();
    let mut found = String::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The command in brackets may hold anything; the parent follows the last bracket and the state.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        if parent == Some(own.as_str()) {
            found.push_str(&entry.file_name().to_string_lossy());
            found.push(' ');
        }
    }
    Ok(found)
}
