//! System calls, each behind a function that cannot be misused: the only unsafe code of the project.
//!
//! Nothing here decides anything. `fork` is sound because only the jailer calls it, and the jailer is a
//! freshly executed program with one thread.

use std::{
    ffi::{CString, OsStr},
    io,
    mem::{self, MaybeUninit},
    net::Ipv4Addr,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use libc::{c_char, c_int, c_ulong};

/// At most this many descriptors travel with one message.
pub const MAX_FDS: usize = 32;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn c_text(text: impl AsRef<OsStr>) -> io::Result<CString> {
    CString::new(text.as_ref().as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "text holds a zero byte"))
}

/// Which side of a fork this is.
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(i32),
}

pub fn fork() -> io::Result<Fork> {
    // SAFETY: the jailer has one thread, so the child's copy of every lock and allocator is consistent.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the process at once, running no destructors: for children that share them with their parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

pub fn euid() -> u32 {
    // SAFETY: no preconditions, cannot fail.
    unsafe { libc::geteuid() }
}

pub fn egid() -> u32 {
    // SAFETY: no preconditions, cannot fail.
    unsafe { libc::getegid() }
}

pub fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: plain integers.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

pub fn setns(fd: BorrowedFd<'_>, kind: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call.
    check(unsafe { libc::setns(fd.as_raw_fd(), kind) }).map(drop)
}

/// `mount(2)`; empty texts become null pointers.
pub fn mount(source: impl AsRef<OsStr>, target: &Path, kind: &str, flags: c_ulong, data: &str) -> io::Result<()> {
    let (source, target, kind, data) = (c_text(source)?, c_text(target)?, c_text(kind)?, c_text(data)?);
    let or_null = |text: &CString| if text.as_bytes().is_empty() { ptr::null() } else { text.as_ptr() };
    // SAFETY: every pointer is null or a zero-terminated text that outlives the call.
    check(unsafe { libc::mount(or_null(&source), target.as_ptr(), or_null(&kind), flags, or_null(&data).cast()) }).map(drop)
}

pub fn detach(target: &Path) -> io::Result<()> {
    let target = c_text(target)?;
    // SAFETY: a zero-terminated text that outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

pub fn pivot_root(new_root: &Path, put_old: &Path) -> io::Result<()> {
    let (new_root, put_old) = (c_text(new_root)?, c_text(put_old)?);
    // SAFETY: zero-terminated texts that outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_pivot_root, new_root.as_ptr(), put_old.as_ptr()) }).map(drop)
}

/// Adds attributes (`MOUNT_ATTR_*`) to a mount and all below it. Linux 5.12.
pub fn mount_attributes(target: &Path, add: u64) -> io::Result<()> {
    let target = c_text(target)?;
    let attributes = libc::mount_attr { attr_set: add, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the text and the structure outlive the call, and the size is the structure's.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            mem::size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// The flags (`ST_*`) of the file system at `path`.
pub fn mount_flags(path: &Path) -> io::Result<c_ulong> {
    let path = c_text(path)?;
    let mut found = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the text outlives the call and the kernel fills the structure on success.
    check(unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) })?;
    // SAFETY: filled above, and all-zero is valid anyway.
    Ok(unsafe { found.assume_init() }.f_flag)
}

/// Bytes of the file system at `path`: those an ordinary user may still fill, and all.
pub fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = c_text(path)?;
    let mut found = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the text outlives the call and the kernel fills the structure on success.
    check(unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) })?;
    // SAFETY: filled above, and all-zero is valid anyway.
    let found = unsafe { found.assume_init() };
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Opens `name` in `dir` without following a link at its end.
pub fn open_at(dir: BorrowedFd<'_>, name: &OsStr, flags: c_int) -> io::Result<OwnedFd> {
    let name = c_text(name)?;
    // SAFETY: the descriptor is borrowed for the call, the text outlives it, and a new descriptor is owned by nobody else.
    unsafe {
        let fd = check(libc::openat(dir.as_raw_fd(), name.as_ptr(), flags | libc::O_NOFOLLOW | libc::O_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Opens `path` below `dir`: no `..`, no symbolic link anywhere on the way. Linux 5.6.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path, flags: c_int) -> io::Result<OwnedFd> {
    let path = c_text(path)?;
    // SAFETY: all-zero is a valid `open_how`.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: text and structure outlive the call, the size is the structure's, and the new descriptor is owned by nobody else.
    unsafe {
        let fd =
            check_long(libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &raw const how, mem::size_of::<libc::open_how>()))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

pub fn make_dir_at(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    let name = c_text(name)?;
    // SAFETY: the descriptor is borrowed for the call and the text outlives it.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// Makes an empty file in `dir`; it must not exist.
pub fn make_file_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let name = c_text(name)?;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: as above; the new descriptor is owned by nobody else and closed at once.
    unsafe {
        let fd = check(libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, 0o644))?;
        drop(OwnedFd::from_raw_fd(fd));
    }
    Ok(())
}

/// Gives `name` in `dir` (the directory itself when empty) to a user, following no link.
pub fn chown_at(dir: BorrowedFd<'_>, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    let name = c_text(name)?;
    // SAFETY: the descriptor is borrowed for the call and the text outlives it.
    check(unsafe { libc::fchownat(dir.as_raw_fd(), name.as_ptr(), uid, gid, flags) }).map(drop)
}

pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

pub fn new_session() {
    // SAFETY: no preconditions; failing (already a leader) is harmless.
    unsafe { libc::setsid() };
}

pub fn umask(mode: u32) {
    // SAFETY: no preconditions, cannot fail.
    unsafe { libc::umask(mode) };
}

pub fn prctl(option: c_int, argument: c_ulong) -> io::Result<()> {
    // SAFETY: only options whose arguments are integers are used in this crate.
    check(unsafe { libc::prctl(option, argument, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) }).map(drop)
}

pub fn clear_ambient() -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) })
        .map(drop)
}

/// Leaves the capabilities of `mask` effective and permitted, and none inheritable.
pub fn set_capabilities(mask: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |bits: u64| Data { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let data = [half(mask), half(mask >> 32)];
    // SAFETY: version 3 reads one header and two data structures, which outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

pub fn clear_groups() -> io::Result<()> {
    // SAFETY: zero groups are read.
    check(unsafe { libc::setgroups(0, ptr::null()) }).map(drop)
}

pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: plain integers.
    unsafe {
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid)).map(drop)
    }
}

/// Lowers a resource limit (never above the present hard limit).
pub fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives both calls.
    unsafe {
        check(libc::getrlimit(resource, &raw mut limit))?;
        let value = value.min(limit.rlim_max);
        limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        check(libc::setrlimit(resource, &raw const limit)).map(drop)
    }
}

/// Closes every descriptor from `first` on, but `keep`, at the next exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only sets a flag on descriptors.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Makes `to` a copy of `from` that stays open over exec.
pub fn copy_onto(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: both are integers; `to` is one of the standard descriptors, which nothing in the jailer owns.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// Blocks the given signals and answers a descriptor that reads them.
pub fn signal_fd(signals: &[c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set; the new descriptor is owned by nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The next signal of a [`signal_fd`], if one waits.
pub fn next_signal(fd: BorrowedFd<'_>) -> Option<c_int> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = mem::size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has `size` bytes.
    let read = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    // SAFETY: all-zero is valid, and a full read filled it.
    (read == size as isize).then(|| unsafe { info.assume_init() }.ssi_signo as c_int)
}

/// Default dispositions and nothing blocked, as a program expects after exec (Rust ignores SIGPIPE).
pub fn reset_signals() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the default disposition is always valid; errors for KILL and STOP are expected.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut());
    }
}

pub fn kill(pid: i32, signal: c_int) -> io::Result<()> {
    // SAFETY: plain integers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// A child that ended: its id and wait status.
pub fn reap(block: bool) -> io::Result<Option<(i32, c_int)>> {
    let mut status = 0;
    loop {
        // SAFETY: the status outlives the call.
        match check(unsafe { libc::waitpid(-1, &raw mut status, if block { 0 } else { libc::WNOHANG }) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some((pid, status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Exit code or signal of a wait status.
pub fn decode_status(status: c_int) -> (Option<i32>, Option<i32>) {
    if libc::WIFSIGNALED(status) { (None, Some(libc::WTERMSIG(status))) } else { (Some(libc::WEXITSTATUS(status)), None) }
}

/// Processor milliseconds of all reaped children, and the bytes of the largest.
pub fn children_usage() -> (u64, u64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure outlives the call; all-zero is valid should it fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let millis = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
    (millis(usage.ru_utime) + millis(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}

/// Waits until one of the descriptors can be read or has hung up; which ones.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout_millis: c_int) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    loop {
        // SAFETY: pointer and length describe `polled`.
        match check(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout_millis) }) {
            Ok(_) => return Ok(polled.iter().map(|p| p.revents != 0).collect()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Replaces the program; answers only with an error.
pub fn exec(program: &OsStr, argv: &[String], env: &[(String, String)]) -> io::Error {
    let texts = |items: Vec<String>| items.into_iter().map(c_text).collect::<io::Result<Vec<_>>>();
    let prepared = (c_text(program), texts(argv.to_vec()), texts(env.iter().map(|(name, value)| format!("{name}={value}")).collect()));
    let (program, argv, env) = match prepared {
        (Ok(program), Ok(argv), Ok(env)) => (program, argv, env),
        _ => return io::Error::new(io::ErrorKind::InvalidInput, "an argument or variable holds a zero byte"),
    };
    let pointers = |texts: &[CString]| texts.iter().map(|t| t.as_ptr()).chain([ptr::null::<c_char>()]).collect::<Vec<_>>();
    let (argv_pointers, env_pointers) = (pointers(&argv), pointers(&env));
    // SAFETY: zero-terminated texts in null-terminated arrays, all alive during the call.
    unsafe { libc::execve(program.as_ptr(), argv_pointers.as_ptr(), env_pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Sends bytes with descriptors attached to the first of them.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > MAX_FDS || bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0u64; 32];
    // SAFETY: `control` is aligned for `cmsghdr` and 256 bytes hold MAX_FDS descriptors and the header; every
    // pointer in the message outlives the call.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !raw.is_empty() {
            let length = mem::size_of_val(raw.as_slice()) as u32;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
            ptr::copy_nonoverlapping(raw.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length as usize);
        }
        let sent = libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL);
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

/// Receives bytes and the descriptors that came with them.
pub fn receive_with_fds(socket: BorrowedFd<'_>, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = [0u64; 32];
    // SAFETY: as in `send_with_fds`; received descriptors are new and owned by nobody else.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = mem::size_of_val(&control);
        let read = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        if read < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*header).cmsg_len - libc::CMSG_LEN(0) as usize) / mem::size_of::<RawFd>();
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..count {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(read as usize)
    }
}

/// A new TCP socket, not connected, in this process's network namespace.
pub fn tcp_socket(v6: bool) -> io::Result<OwnedFd> {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: the new descriptor is owned by nobody else.
    unsafe {
        let fd = check(libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: all-zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as c_char;
    }
    request
}

fn interface_ioctl(socket: BorrowedFd<'_>, call: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the interface calls used here read and write one `ifreq`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), call, ptr::from_mut(request)) }).map(drop)
}

/// Brings an interface up.
pub fn interface_up(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut request = interface_request(name);
    interface_ioctl(socket, libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)?;
    // SAFETY: the call above filled the flags.
    unsafe { request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as i16 };
    interface_ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl, &mut request)
}

/// Gives an interface alias (`lo:0`) one IPv4 address as /32.
pub fn interface_address(socket: BorrowedFd<'_>, alias: &str, address: Ipv4Addr) -> io::Result<()> {
    let set = |call, address: Ipv4Addr| {
        let mut request = interface_request(alias);
        let inet = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
            sin_zero: [0; 8],
        };
        // SAFETY: `sockaddr_in` and `sockaddr` have the same size and are plain data.
        request.ifr_ifru.ifru_addr = unsafe { mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet) };
        interface_ioctl(socket, call, &mut request)
    };
    set(libc::SIOCSIFADDR as libc::Ioctl, address)?;
    set(libc::SIOCSIFNETMASK as libc::Ioctl, Ipv4Addr::BROADCAST)
}
