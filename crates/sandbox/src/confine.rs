//! What the payload's process does to itself just before it becomes the payload: everything is given up here.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
};

use crate::{
    cgroup,
    fault::{Fault, Step},
    seccomp,
    spec::{Isolation, Limits, Spec},
    sys,
};

/// Highest capability number tried; the kernel says where its own end.
const CAPABILITIES: u64 = 64;
/// What is left where no pids controller is: counts all processes of the uid.
const DEFAULT_FILES: u64 = 65_536;

/// Becomes the payload; answers only with why not. In order:
/// 1. own session, standard input from /dev/null;
/// 2. join the control groups, hide their paths (cgroup namespace), be the first to die of want of memory;
/// 3. rlimits: no core files, open files, file size, and processes and memory where there is no controller;
/// 4. close all other descriptors at exec;
/// 5. clear supplementary groups, become the user, drop every capability incl. the bounding set, no new privileges;
/// 6. seccomp;
/// 7. exec.
pub fn become_payload(spec: &Spec, privileged: bool, doors: &[File], memory_group: bool, pids_group: bool) -> Fault {
    match prepare(spec, privileged, doors, memory_group, pids_group) {
        Ok(()) => exec(spec),
        Err(fault) => fault,
    }
}

fn prepare(spec: &Spec, privileged: bool, doors: &[File], memory_group: bool, pids_group: bool) -> Result<(), Fault> {
    let full = spec.isolation == Isolation::Full;
    sys::new_session();
    let null = File::open("/dev/null").step("open /dev/null")?;
    sys::copy_onto(null.as_fd(), libc::STDIN_FILENO).step("close standard input")?;
    cgroup::enter(doors).step("join the control groups")?;
    if full {
        let _older_kernels_lack_it = sys::unshare(libc::CLONE_NEWCGROUP);
    }
    let _only_a_preference = fs::write("/proc/self/oom_score_adj", "500");
    rlimits(&spec.limits, memory_group, pids_group).step("set resource limits")?;
    sys::close_on_exec_from(3).step("close descriptors")?;
    let workdir = if spec.workdir.is_empty() { "/" } else { &spec.workdir };
    if privileged {
        sys::clear_groups().step("clear supplementary groups")?;
    }
    if full {
        // While still capable: the bounding set can only be lowered by the capable.
        for capability in 0..CAPABILITIES {
            let _beyond_the_last = sys::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong);
        }
    }
    if privileged || full {
        sys::become_user(spec.uid, spec.gid).step_with(|| format!("become user {}", spec.uid))?;
    }
    if full {
        sys::clear_ambient().step("drop ambient capabilities")?;
        sys::set_capabilities(0).step("drop capabilities")?;
    }
    // As the user: a directory it may not enter is refused here, and not opened by privilege.
    std::env::set_current_dir(workdir).step_with(|| format!("enter the working directory `{workdir}`"))?;
    // Forgotten whenever the user changes, so only now. In a pid namespace the kernel does this anyway.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).step("die with init")?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).step("forbid new privileges")?;
    sys::prctl(libc::PR_SET_DUMPABLE, 1).step("reset dumpable")?;
    sys::umask(0o022);
    sys::reset_signals();
    if full {
        seccomp::install().map_err(|error| Fault::new("install the seccomp filter", error))?;
    }
    Ok(())
}

fn rlimits(limits: &Limits, memory_group: bool, pids_group: bool) -> io::Result<()> {
    sys::limit(libc::RLIMIT_CORE, 0)?;
    sys::limit(libc::RLIMIT_NOFILE, limits.open_files.unwrap_or(DEFAULT_FILES))?;
    if let Some(bytes) = limits.file_bytes {
        sys::limit(libc::RLIMIT_FSIZE, bytes)?;
    }
    if let (Some(pids), false) = (limits.pids, pids_group) {
        sys::limit(libc::RLIMIT_NPROC, pids)?;
    }
    if let (Some(bytes), false) = (limits.memory_bytes, memory_group) {
        // Not the address space: runtimes reserve far more of that than they use.
        sys::limit(libc::RLIMIT_DATA, bytes)?;
    }
    Ok(())
}

fn exec(spec: &Spec) -> Fault {
    let Some(program) = spec.argv.first() else {
        return Fault::new("start the program", "the command is empty");
    };
    let candidates: Vec<OsString> = if program.contains('/') {
        vec![program.into()]
    } else {
        let path = spec.env.iter().find(|(name, _)| name == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value);
        path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(program).into_os_string()).collect()
    };
    let mut answer = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates {
        let error = sys::exec(&candidate, &spec.argv, &spec.env);
        // As shells do: "not permitted" says more than the "not found" of the next directory.
        if error.kind() != io::ErrorKind::NotFound {
            answer = error;
        }
    }
    Fault::new(format!("start the program `{program}`"), answer)
}
