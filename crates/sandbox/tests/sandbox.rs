//! Real sandboxes on this host. A harness of its own, because the sandbox executes the program that uses it again.
//!
//! Runs as root (then with host uids and control groups) and as any user on hosts with user namespaces.
//! An argument selects the tests whose name contains it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use tenantry_sandbox::{Bind, Capabilities, Exit, Isolation, Limits, Network, Overlay, Running, SandboxError, Spec, host_uids, spawn};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("identity", identity),
    ("nothing_of_the_host", nothing_of_the_host),
    ("privileges_are_gone", privileges_are_gone),
    ("binds", binds),
    ("links_in_binds_lead_nowhere", links_in_binds_lead_nowhere),
    ("scratch_space_is_capped", scratch_space_is_capped),
    ("overlay_leaves_lower_alone", overlay_leaves_lower_alone),
    ("network_is_loopback", network_is_loopback),
    ("served_addresses", served_addresses),
    ("connecting_inside", connecting_inside),
    ("two_hosts_one_network", two_hosts_one_network),
    ("memory_is_limited", memory_is_limited),
    ("processes_are_limited", processes_are_limited),
    ("denied_calls", denied_calls),
    ("exit_codes_and_signals", exit_codes_and_signals),
    ("terminate_then_kill", terminate_then_kill),
    ("nothing_is_left", nothing_is_left),
    ("dropping_kills", dropping_kills),
    ("a_dead_server_leaves_nothing", a_dead_server_leaves_nothing),
    ("refusals", refusals),
    ("without_isolation", without_isolation),
    ("capabilities", capabilities),
];

fn main() {
    tenantry_sandbox::maybe_become_jailer();
    if let (Some("victim"), Some(mark)) = (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        return victim(&mark);
    }
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        eprintln!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += i32::from(!passed);
    }
    eprintln!("{} tests, {failed} failed", TESTS.len());
    std::process::exit(failed.min(1));
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn unique(what: &str) -> String {
    format!("test-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A directory that is removed again.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(unique("dir"));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
    fn sub(&self, name: &str) -> PathBuf {
        let dir = self.0.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _open = fs::set_permissions(self.0.join("work/work"), fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The uid a payload has inside.
fn uid() -> u32 {
    host_uids().map_or(1000, |range| range.start + 234)
}

fn spec(argv: &[&str]) -> Spec {
    Spec {
        name: unique("box"),
        argv: argv.iter().map(|text| (*text).to_owned()).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("GREETING".into(), "hello".into())],
        uid: uid(),
        gid: uid(),
        user: "worker".into(),
        home: "/tmp".into(),
        hostname: "algo-1".into(),
        tmp_bytes: 8 << 20,
        shm_bytes: 1 << 20,
        limits: Limits { memory_bytes: Some(512 << 20), cpu_millis: Some(2000), pids: Some(64), ..Limits::default() },
        ..Spec::default()
    }
}

fn sh(script: &str) -> Spec {
    spec(&["sh", "-c", script])
}

fn python(script: &str) -> Spec {
    spec(&["/usr/bin/python3", "-c", script])
}

fn output(running: &Running) -> String {
    let mut text = String::new();
    running.take_output().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn run(spec: &Spec) -> (String, Exit) {
    let running = spawn(spec, None).unwrap();
    let text = output(&running);
    (text, running.wait())
}

/// Runs to success and answers what it printed.
fn says(spec: &Spec) -> String {
    let (text, exit) = run(spec);
    assert_eq!(exit.code, Some(0), "{exit:?}: {text}");
    text
}

fn bind(source: &Path, target: &str, writable: bool) -> Bind {
    Bind { source: source.to_owned(), target: target.into(), writable }
}

fn give(dir: &Path) {
    tenantry_sandbox::files::give_to(dir, uid(), uid()).unwrap();
}

fn identity() {
    let text = says(&sh("id -u; id -g; id -un; hostname; pwd; echo $$; echo $GREETING; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm"));
    let lines: Vec<_> = text.lines().collect();
    let name = uid().to_string();
    // Process 1 is init, the payload is process 2; `ls` and `grep` may or may not be gone.
    assert_eq!(lines[..5], [name.as_str(), &name, "worker", "algo-1", "/"]);
    assert_eq!((lines[5], lines[6]), ("2", "hello"));
    assert!(lines[7].parse::<u32>().unwrap() <= 4, "{text}");
    if host_uids().is_some() {
        let dir = Dir::new();
        give(&dir.0);
        says(&Spec { binds: vec![bind(&dir.0, "/out", true)], ..sh("touch /out/file") });
        assert_eq!(fs::metadata(dir.0.join("file")).unwrap().uid(), uid());
    }
}

fn nothing_of_the_host() {
    let secret = Dir::new();
    fs::write(secret.0.join("secret"), "x").unwrap();
    let path = secret.0.join("secret");
    let text = says(&sh(&format!("test -e {} && echo visible; ls -A / /etc; ls -A /tmp; grep -c . /etc/passwd", path.display())));
    assert!(!text.contains("visible"), "{text}");
    for absent in ["shadow", "ssh", "root", "home", "oldroot", "newroot", "sys"] {
        assert!(!text.lines().any(|line| line == absent), "{absent}: {text}");
    }
    for place in ["/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/hostname", "/usr/bin/env"] {
        let (_, exit) = run(&sh(&format!("echo x > {place}")));
        assert_ne!(exit.code, Some(0), "{place} can be written");
    }
    assert_eq!(says(&sh("cat /proc/self/mountinfo | grep -c oldroot || true")).trim(), "0");
}

fn privileges_are_gone() {
    let text = says(&sh("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; ls -l /proc/self/fd; ulimit -c"));
    for line in text.lines().filter(|line| line.starts_with("Cap")) {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
    if host_uids().is_some() {
        assert!(text.contains("Groups:\t \n") || text.contains("Groups:\t\n"), "{text}");
    }
    // Standard input, output, error, and the listing itself.
    assert_eq!(text.matches(" -> ").count(), 4, "{text}");
    // Nothing of init can be read or signalled to death.
    let (text, _) = run(&sh("cat /proc/1/environ /proc/1/maps; ls /proc/1/root /proc/1/fd; kill -9 1; echo alive"));
    assert!(text.ends_with("alive\n") && text.matches("denied").count() >= 3, "{text}");
}

fn binds() {
    let dir = Dir::new();
    let (read, write) = (dir.sub("read"), dir.sub("write"));
    fs::write(read.join("data"), "data").unwrap();
    give(&write);
    let spec = Spec {
        binds: vec![
            bind(&write, "/opt/ml", true),
            bind(&read, "/opt/ml/input/data", false),
            bind(&read.join("data"), "/deep/er/file", false),
        ],
        workdir: "/opt/ml".into(),
        ..sh("cat input/data/data /deep/er/file; echo out > model; echo x > input/data/x; echo x > /deep/er/file; echo x > /opt/x; true")
    };
    let text = says(&spec);
    assert!(text.starts_with("datadata"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
    assert_eq!(fs::read_to_string(write.join("model")).unwrap(), "out\n");
    assert_eq!(fs::read_to_string(read.join("data")).unwrap(), "data");
    assert!(!read.join("x").exists());
}

fn links_in_binds_lead_nowhere() {
    let dir = Dir::new();
    let (home, data, victim) = (dir.sub("home"), dir.sub("data"), dir.sub("victim"));
    std::os::unix::fs::symlink(Path::new("/oldroot").join(victim.strip_prefix("/").unwrap()), home.join("link")).unwrap();
    for target in ["/home/link", "/home/link/deeper"] {
        let spec = Spec { binds: vec![bind(&home, "/home", true), bind(&data, target, true)], ..sh("true") };
        assert!(matches!(spawn(&spec, None), Err(SandboxError::Refused { step, .. }) if step.starts_with("bind")), "{target}");
    }
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

fn scratch_space_is_capped() {
    let text = says(&sh(
        "dd if=/dev/zero of=/tmp/x bs=1M count=7 2>&1 && dd if=/dev/zero of=/tmp/y bs=1M count=7 2>&1; dd if=/dev/zero of=/dev/shm/x bs=1M count=2 2>&1; true",
    ));
    assert_eq!(text.matches("No space left").count(), 2, "{text}");
}

fn overlay_leaves_lower_alone() {
    let dir = Dir::new();
    let (lower, upper, work) = (dir.sub("lower"), dir.sub("upper"), dir.sub("work"));
    fs::write(lower.join("kept"), "old").unwrap();
    fs::create_dir(lower.join("sub")).unwrap();
    fs::write(lower.join("sub/gone"), "old").unwrap();
    for dir in [&lower, &lower.join("sub"), &upper] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let target = lower.clone();
    let script =
        format!("cd {} && cat kept && rm kept sub/gone && echo new > kept && echo more > sub/more && cat kept sub/more", target.display());
    let text = says(&Spec { overlays: vec![Overlay { lower: lower.clone(), target, upper: upper.clone(), work }], ..sh(&script) });
    assert_eq!(text, "oldnew\nmore\n");
    assert_eq!(fs::read_to_string(lower.join("kept")).unwrap(), "old");
    assert!(lower.join("sub/gone").exists() && !lower.join("sub/more").exists());
    assert_eq!(fs::read_to_string(upper.join("kept")).unwrap(), "new\n");
}

fn network_is_loopback() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let text = says(&python(&format!(
        r#"
import socket
print(sorted(name for _, name in socket.if_nameindex()))
for address in (("127.0.0.1", {port}), ("1.1.1.1", 53), ("169.254.170.2", 80)):
    s = socket.socket(); s.settimeout(5)
    print(s.connect_ex(address) != 0)
print(socket.gethostbyname("algo-1"))
s = socket.socket(); s.bind(("127.0.0.9", 0)); s.listen(); c = socket.create_connection(s.getsockname()); print("loopback")
"#
    )));
    // Kernels with tunnels built in put their (unconnected) devices into every new namespace.
    assert!(text.contains("'lo'") && !text.contains("eth"), "{text}");
    assert!(text.ends_with("True\nTrue\nTrue\n127.0.0.1\nloopback\n"), "{text}");
}

const ASK: &str = r#"
import socket, sys
for address in (("127.0.0.1", 4600), ("169.254.170.2", 80)):
    s = socket.create_connection(address)
    s.sendall(b"ping\n")
    print(s.makefile().readline().strip())
"#;

fn served_addresses() {
    let listen: Vec<SocketAddr> = vec!["127.0.0.1:4600".parse().unwrap(), "169.254.170.2:80".parse().unwrap()];
    let network = Network::Served { addresses: vec!["169.254.170.2".parse().unwrap()], listen };
    // Two at once: the same address leads each to its own server.
    let boxes: Vec<_> = (0..2).map(|_| spawn(&Spec { network: network.clone(), ..python(ASK) }, None).unwrap()).collect();
    for (index, running) in boxes.iter().enumerate() {
        for (number, listener) in running.take_listeners().into_iter().enumerate() {
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(format!("{} {index} {number}\n", line.trim()).as_bytes()).unwrap();
            });
        }
    }
    for (index, running) in boxes.iter().enumerate() {
        assert_eq!(output(running), format!("ping {index} 0\nping {index} 1\n"));
        assert_eq!(running.wait().code, Some(0));
    }
}

fn connecting_inside() {
    let server = r#"
import socket
s = socket.create_server(("127.0.0.1", 8080))
print("ready", flush=True)
c, _ = s.accept()
c.sendall(c.recv(100).upper())
"#;
    let running = spawn(&python(server), None).unwrap();
    let mut lines = BufReader::new(running.take_output().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let mut stream = connect(running.socket(false).unwrap(), "127.0.0.1:8080");
    stream.write_all(b"inference").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "INFERENCE");
    assert_eq!(running.wait().code, Some(0));
    assert!(running.socket(false).is_err());
}

/// Connects a socket that was handed over. The standard library cannot; tokio can.
fn connect(socket: std::os::fd::OwnedFd, address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(tokio::net::TcpSocket::from_std_stream(TcpStream::from(socket)).connect(address)).unwrap();
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

fn two_hosts_one_network() {
    let hosts = vec![("algo-1".to_owned(), "127.0.1.1".parse().unwrap()), ("algo-2".to_owned(), "127.0.1.2".parse().unwrap())];
    let first = r#"
import socket
s = socket.create_server(("algo-1", 7777))
print("ready", flush=True)
c, peer = s.accept()
print(c.recv(100).decode(), peer[0])
"#;
    let second = r#"
import os, socket
s = socket.socket(); s.bind(("algo-2", 0)); s.connect(("algo-1", 7777))
s.sendall(socket.gethostname().encode())
print(len([p for p in os.listdir("/proc") if p.isdigit()]))
"#;
    let one = spawn(&Spec { hosts: hosts.clone(), ..python(first) }, None).unwrap();
    let mut lines = BufReader::new(one.take_output().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let joined = Spec { hosts, hostname: "algo-2".into(), network: Network::Joined, ..python(second) };
    assert!(spawn(&joined, None).is_err());
    let two = spawn(&joined, one.network().as_ref()).unwrap();
    assert_eq!(output(&two).trim(), "2", "the hosts must not see each other's processes");
    assert_eq!(lines.next().unwrap().unwrap(), "algo-2 127.0.1.2");
    assert_eq!((one.wait().code, two.wait().code), (Some(0), Some(0)));
}

fn memory_is_limited() {
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let bomb = Spec { limits: limits.clone(), ..python("x = bytearray(300 << 20); print(len(x))") };
    let (text, exit) = run(&bomb);
    assert_ne!(exit.code, Some(0), "{text}");
    if Capabilities::probe().memory {
        assert!(exit.oom && exit.signal == Some(9), "{exit:?}");
        assert!((32 << 20..=65 << 20).contains(&exit.max_rss_bytes), "{exit:?}");
    } else {
        assert!(text.contains("MemoryError"), "{text}");
    }
    // In a child: the payload goes on, and the kill is still reported.
    let (_, exit) = run(&Spec { limits, ..sh("python3 -c 'x = bytearray(300 << 20)'; exit 3") });
    assert_eq!(exit.code, Some(3));
    assert_eq!(exit.oom, Capabilities::probe().memory);
}

fn processes_are_limited() {
    let limits = Limits { pids: Some(20), ..Limits::default() };
    let forks = r#"
import os, time
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        n += 1
except OSError as error:
    print("stopped", n < 25)
"#;
    assert_eq!(says(&Spec { limits, ..python(forks) }), "stopped True\n");
}

fn denied_calls() {
    let script = r#"
import ctypes, errno, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    print(name, errno.errorcode.get(ctypes.get_errno(), "none") if result == -1 else "done")
if platform.machine() == "x86_64":
    call("ptrace", 101, 0, 0, 0, 0)
    call("mount", 165, b"tmpfs", b"/tmp", b"tmpfs", 0, 0)
    call("umount2", 166, b"/tmp", 2)
    call("unshare-user", 272, 0x10000000)
    call("unshare-net", 272, 0x40000000)
    call("unshare-files", 272, 0x400)
    call("setns", 308, 0, 0)
    call("bpf", 321, 0, 0, 0)
    call("clone3", 435, 0, 0)
    call("clone-user", 56, 0x10000000 | 17, 0, 0, 0, 0)
    call("keyctl", 250, 0, 0)
    call("io_uring", 425, 1, 0)
    call("userfaultfd", 323, 0)
    call("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
    call("x32-getpid", 0x40000000 + 39)
    call("chroot", 161, b"/tmp")
for family in (40, 17, 38):
    try:
        socket.socket(family, socket.SOCK_DGRAM if family != 38 else socket.SOCK_SEQPACKET)
        print("family", family, "done")
    except OSError as error:
        print("family", family, errno.errorcode[error.errno])
import threading
t = threading.Thread(target=lambda: print("threads work")); t.start(); t.join()
"#;
    let text = says(&python(script));
    let wanted = [("unshare-files", "done"), ("clone3", "ENOSYS"), ("x32-getpid", "ENOSYS"), ("threads", "work")];
    for line in text.lines() {
        let (name, result) = line.rsplit_once(' ').unwrap();
        let wanted = wanted.iter().find(|(call, _)| name.starts_with(call)).map_or("EPERM", |(_, result)| result);
        assert_eq!(result, wanted, "{line}");
    }
    assert!(text.contains("threads work"));
}

fn exit_codes_and_signals() {
    assert_eq!(run(&sh("exit 7")).1.code, Some(7));
    assert_eq!(run(&sh("kill -SEGV $$")).1.signal, Some(11));
    let exit = run(&python("sum(range(20_000_000))")).1;
    assert!(exit.cpu_millis > 0 && exit.max_rss_bytes > 1 << 20, "{exit:?}");
    // A pipe without reader ends a program quietly, as on any host.
    assert_eq!(says(&sh("yes | head -1")), "y\n");
}

fn terminate_then_kill() {
    let kind = spawn(&sh("trap 'echo stopping; exit 5' TERM; echo ready; while :; do sleep 0.05; done"), None).unwrap();
    let mut lines = BufReader::new(kind.take_output().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kind.terminate();
    assert_eq!(lines.next().unwrap().unwrap(), "stopping");
    assert_eq!(kind.wait().code, Some(5));

    let stubborn = spawn(&sh("trap '' TERM; echo ready; while :; do sleep 0.05; done"), None).unwrap();
    let mut lines = BufReader::new(stubborn.take_output().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    stubborn.terminate();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(stubborn.exit(), None);
    stubborn.kill();
    assert_eq!(stubborn.wait().signal, Some(9));
    stubborn.kill();
}

/// Ids of host processes whose command line holds `mark`.
fn processes(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    pids.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))).collect()
}

fn groups(name: &str) -> Vec<PathBuf> {
    let children = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let all = children(Path::new("/sys/fs/cgroup")).into_iter().flat_map(|mount| children(&mount.join("tenantry")));
    all.filter(|group| group.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&format!("{name}.")))).collect()
}

/// The payload starts daemons that leave its session and ignore signals; all of it must go.
fn leaves_nothing(isolation: Isolation, end: fn(Running)) {
    let mark = unique("mark");
    let script = format!(
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.2; done; : {mark}' & done; echo ready; sleep 1000; : {mark}"
    );
    let network = if isolation == Isolation::Full { Network::Loopback } else { Network::Host };
    let spec = Spec { isolation, network, ..sh(&script) };
    let running = spawn(&spec, None).unwrap();
    let mut lines = BufReader::new(running.take_output().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    assert!(processes(&mark).len() >= 2, "the test must see what it starts");
    let (pid, name) = (running.pid(), spec.name.clone());
    if Capabilities::probe().memory {
        assert!(!groups(&name).is_empty(), "the test must see the groups");
    }
    end(running);
    // The output ends when the last holder of its pipe, the jailer, has ended.
    while lines.next().is_some() {}
    assert_eq!(processes(&mark), Vec::<String>::new());
    assert_eq!(groups(&name), Vec::<PathBuf>::new());
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
}

fn nothing_is_left() {
    for isolation in if powerless_root() { vec![Isolation::Full] } else { vec![Isolation::Full, Isolation::None] } {
        leaves_nothing(isolation, |running| {
            running.kill();
            assert_eq!(running.wait().signal, Some(9));
        });
    }
}

fn dropping_kills() {
    leaves_nothing(Isolation::Full, drop);
}

/// What [`a_dead_server_leaves_nothing`] kills: a server with a sandbox of each kind.
fn victim(mark: &str) {
    let script = format!("setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.2; done; : {mark}' & echo ready; sleep 1000; : {mark}");
    let mut kept = Vec::new();
    for (isolation, network) in [(Isolation::Full, Network::Loopback), (Isolation::None, Network::Host)] {
        if isolation == Isolation::None && powerless_root() {
            continue;
        }
        let running = spawn(&Spec { name: format!("{mark}-{isolation:?}"), isolation, network, ..sh(&script) }, None).unwrap();
        let mut lines = BufReader::new(running.take_output().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        kept.push((running, lines));
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(b"running\n").unwrap();
    thread::sleep(Duration::from_secs(1000));
}

fn a_dead_server_leaves_nothing() {
    let mark = unique("mark");
    let mut server = Command::new(std::env::current_exe().unwrap()).args(["victim", &mark]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "running");
    assert!(processes(&mark).len() >= 3, "the test must see what it starts");
    server.kill().unwrap();
    server.wait().unwrap();
    let left = || {
        [
            processes(&mark),
            ["Full", "None"].iter().flat_map(|kind| groups(&format!("{mark}-{kind}"))).map(|g| g.display().to_string()).collect(),
        ]
        .concat()
    };
    for _attempt in 0..500 {
        if left().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("left after the server's death: {:?}", left());
}

fn refusals() {
    let refused = |spec: &Spec, part: &str| match spawn(spec, None) {
        Err(SandboxError::Refused { step, error }) => assert!(format!("{step}: {error}").contains(part), "{step}: {error}"),
        other => panic!("{part}: {other:?}"),
    };
    refused(&spec(&["no-such-program"]), "no-such-program");
    refused(&spec(&["/etc/passwd"]), "ermission");
    refused(&Spec { argv: vec![], ..sh("") }, "empty");
    refused(&Spec { name: "../x".into(), ..sh("") }, "name");
    refused(&Spec { workdir: "/absent".into(), ..sh("") }, "/absent");
    refused(&Spec { user: "a:b".into(), ..sh("") }, "plain text");
    refused(&Spec { binds: vec![bind(Path::new("/absent"), "/x", false)], ..sh("") }, "/absent");
    for target in ["x", "/", "/a/../b"] {
        refused(&Spec { binds: vec![bind(Path::new("/usr"), target, false)], ..sh("") }, "absolute");
    }
    refused(&Spec { network: Network::Host, ..sh("") }, "host's network");
    let many = |count: u16| Network::Served { addresses: vec![], listen: (1..=count).map(|port| ([127, 0, 0, 1], port).into()).collect() };
    refused(&Spec { network: many(31), ..sh("") }, "30 addresses");
    assert_eq!(run(&Spec { network: many(30), ..sh("true") }).1.code, Some(0));
    let twice = vec!["127.0.0.1:80".parse().unwrap(); 2];
    refused(&Spec { network: Network::Served { addresses: vec![], listen: twice }, ..sh("") }, "127.0.0.1:80");
    if host_uids().is_some() {
        refused(&Spec { uid: 0, ..sh("") }, "uid 0");
        refused(&Spec { gid: 0, ..sh("") }, "gid 0");
    }
}

/// Root that cannot give a payload another uid: nothing runs without isolation then.
fn powerless_root() -> bool {
    host_uids().is_none() && fs::metadata("/proc/self").unwrap().uid() == 0
}

fn without_isolation() {
    let plain = |script: &str| Spec { isolation: Isolation::None, network: Network::Host, ..sh(script) };
    if powerless_root() {
        assert!(matches!(spawn(&plain(""), None), Err(SandboxError::Refused { error, .. }) if error.contains("ordinary user")));
        return;
    }
    let (text, exit) = run(&plain("id -u; grep NoNewPrivs /proc/self/status"));
    assert_eq!(exit.code, Some(0));
    let expected = if host_uids().is_some() { uid() } else { fs::metadata("/proc/self").unwrap().uid() };
    assert_eq!(text, format!("{expected}\nNoNewPrivs:\t1\n"));
    let dir = Dir::new();
    for wrong in [
        Spec { binds: vec![bind(&dir.0, "/opt/ml", true)], ..plain("") },
        Spec { network: Network::Loopback, ..plain("") },
        Spec {
            overlays: vec![Overlay { lower: dir.0.clone(), target: dir.0.clone(), upper: dir.0.clone(), work: dir.0.clone() }],
            ..plain("")
        },
    ] {
        assert!(matches!(spawn(&wrong, None), Err(SandboxError::Refused { error, .. }) if error.contains("--isolation none")));
    }
}

fn capabilities() {
    let found = Capabilities::probe();
    assert_eq!(found.sandbox, Ok(()));
    assert_eq!(found.root, host_uids().is_some());
    let missing = [found.root, found.overlay, found.seccomp, found.memory, found.cpu, found.pids].iter().filter(|there| !**there).count();
    assert_eq!(found.shortcomings().len(), missing, "{found:?}");
}
