//! The attempts: a name, what the control needs of the host, and Python that prints `ESCAPED` when it got out.
//!
//! Inside and outside the same text runs (see `main.rs`), with `W` telling where the bait is. None of them harms the host
//! when it works: it opens, maps, connects or signals something that the test made, or changes a thing to what it is.

use crate::Control::{self, Limited, Nobody, Root};

/// Name, control, script.
pub type Attempt = (&'static str, Control, &'static str);

/// Files of the host and of the server.
const FILES: &[Attempt] = &[
    ("read a file of the server", Root, "bait(open(W['secret']).read())"),
    ("list the server's directory", Root, "won('secret' in os.listdir(W['host']))"),
    ("read through the server's root", Root, "bait(open(f'/proc/{W[\"pid\"]}/root' + W['secret']).read())"),
    ("read through any process's root", Root, "each('/proc/*/root' + W['secret'], lambda p: bait(open(p).read()))"),
    ("read through any process's working directory", Root, "each('/proc/*/cwd/secret', lambda p: bait(open(p).read()))"),
    (
        "read through any open descriptor",
        Root,
        "each('/proc/*/fd/*', lambda p: bait(os.pread(os.open(p, os.O_RDONLY | os.O_NONBLOCK), 4096, 0).decode('latin1')))",
    ),
    ("climb with dots", Root, "bait(open(os.getcwd() + '/..' * 30 + W['secret']).read())"),
    ("follow a symbolic link", Root, "os.symlink(W['secret'], W['rw'] + '/link'); bait(open(W['rw'] + '/link').read())"),
    (
        "open by handle",
        Root,
        r"
handle = ctypes.create_string_buffer(struct.pack('Ii', 8, 1) + struct.pack('II', 2, 0) + bytes(128), 256)
mount = ctypes.c_int()
size = struct.pack_into('I', handle, 0, 128)
if libc.name_to_handle_at(-100, W['ro'].encode(), handle, ctypes.byref(mount), 0) != 0: fail('name_to_handle_at')
fd = os.open(W['ro'], os.O_RDONLY)
won(libc.open_by_handle_at(fd, handle, os.O_RDONLY) >= 0)",
    ),
    ("read the host's password hashes", Root, "won(len(open('/etc/shadow').read()) > 0)"),
    ("see the host's users", Root, "won(len(open('/etc/passwd').readlines()) > 8)"),
    ("see root's home", Root, "won(os.listdir('/root') is not None)"),
    ("write a read-only input", Root, "open(W['ro'] + '/data', 'r+').write('changed'); won(True)"),
    (
        "link a read-only input into the output and write it",
        Root,
        "os.link(W['ro'] + '/data', W['rw'] + '/data'); open(W['rw'] + '/data', 'w').write('x'); won(True)",
    ),
    ("rename a read-only input into the output", Root, "os.rename(W['ro'] + '/data', W['rw'] + '/data'); won(True)"),
    ("write to the host's programs", Root, "name = '/usr/lib/' + W['name']; open(name, 'w').close(); os.unlink(name); won(True)"),
    ("write to the host's settings", Root, "name = '/etc/' + W['name']; open(name, 'w').close(); os.unlink(name); won(True)"),
    (
        "leave a file of root in the output",
        Root,
        "open(W['rw'] + '/f', 'w').close(); os.chown(W['rw'] + '/f', 0, 0); os.chmod(W['rw'] + '/f', 0o4755); won(os.stat(W['rw'] + '/f').st_uid == 0)",
    ),
    ("leave a device in the output", Root, "os.mknod(W['rw'] + '/null', 0o20666, os.makedev(1, 3)); won(True)"),
    (
        "make a device in /tmp",
        Root,
        "os.mknod('/tmp/dev' + W['name'], 0o20666, os.makedev(1, 5)); os.unlink('/tmp/dev' + W['name']); won(True)",
    ),
    (
        "open a device of the host",
        Root,
        "each('/dev/[a-z]*', lambda p: won(os.path.basename(p) not in ('null', 'zero', 'full', 'random', 'urandom', 'tty') and stat.S_ISCHR(os.stat(p).st_mode) and os.open(p, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) >= 0) if p in ('/dev/kmsg', '/dev/mem', '/dev/fuse', '/dev/kvm', '/dev/loop-control', '/dev/console', '/dev/tty0') else None)",
    ),
    (
        "read physical memory's layout",
        Root,
        "each('/proc/k[cp]*', lambda p: won(p in ('/proc/kcore', '/proc/kpageflags', '/proc/kpagecount') and len(open(p, 'rb').read(8)) == 8))",
    ),
    ("learn kernel addresses", Root, "won(any(int(line.split()[0], 16) for line in list(open('/proc/kallsyms'))[:50]))"),
];

/// Mounts and roots.
const MOUNTS: &[Attempt] = &[
    (
        "mount a file system",
        Root,
        "os.mkdir(W['rw'] + '/m'); d = (W['rw'] + '/m').encode(); r = libc.mount(b'tmpfs', d, b'tmpfs', 0, None); libc.umount2(d, 2); won(r == 0)",
    ),
    (
        "bind a directory elsewhere",
        Root,
        "os.mkdir(W['rw'] + '/m'); d = (W['rw'] + '/m').encode(); r = libc.mount(b'/', d, None, 4096, None); libc.umount2(d, 2); won(r == 0)",
    ),
    (
        "mount proc again",
        Root,
        "os.mkdir(W['rw'] + '/m'); d = (W['rw'] + '/m').encode(); r = libc.mount(b'proc', d, b'proc', 0, None); libc.umount2(d, 2); won(r == 0)",
    ),
    (
        "make a read-only bind writable",
        Root,
        r"
d = W['ro'].encode()
outside = not os.path.ismount(W['ro'])
if outside: libc.mount(d, d, None, 4096, None)
r = libc.mount(None, d, None, 4096 | 32, None)
if outside: libc.umount2(d, 2)
won(r == 0)",
    ),
    (
        "take a mount away",
        Root,
        r"
d = W['ro'].encode()
if not os.path.ismount(W['ro']): libc.mount(d, d, None, 4096, None)
won(libc.umount2(d, 2) == 0)",
    ),
    ("mount by the newer calls", Root, "won(call(430, b'tmpfs', 0) >= 0)"),
    ("copy a mount tree", Root, "won(call(428, -100, b'/', 1) >= 0)"),
    ("pick a superblock", Root, "won(call(433, -100, b'/', 0) >= 0)"),
    (
        "change a mount's attributes",
        Root,
        r"
d = W['ro'].encode()
outside = not os.path.ismount(W['ro'])
if outside: libc.mount(d, d, None, 4096, None)
r = call(442, -100, d, 0, struct.pack('QQQQ', 0, 1, 0, 0), 32)
if outside: libc.umount2(d, 2)
won(r == 0)",
    ),
    ("change the root", Root, "os.chroot(W['rw']); won(True)"),
    ("enter the host's mounts", Root, "enter('mnt')"),
    ("enter the host's processes", Root, "enter('pid')"),
    ("enter the host's network", Root, "enter('net')"),
    ("make a user namespace", Root, "won(call(272, 0x10000000) == 0)"),
    ("make a mount namespace", Root, "won(call(272, 0x20000) == 0)"),
    ("make a network namespace", Root, "won(call(272, 0x40000000) == 0)"),
    ("clone into a user namespace", Root, "pid = call(56, 0x10000000 | 17, 0, 0, 0, 0); os._exit(0) if pid == 0 else won(pid > 0)"),
    (
        "clone by the call whose flags no filter sees",
        Root,
        "pid = call(435, struct.pack('QQQQQQQQ', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64); os._exit(0) if pid == 0 else won(pid > 0)",
    ),
    (
        "unshare by 32-bit calls",
        Root,
        r"
import mmap
code = bytes.fromhex('53' 'b836010000' 'bb00000010' 'cd80' '5b' 'c3')  # eax = unshare, ebx = CLONE_NEWUSER
page = mmap.mmap(-1, 4096, prot=7); page.write(code)
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
won(ctypes.CFUNCTYPE(ctypes.c_int)(at)() == 0)",
    ),
    ("unshare by x32 calls", Control::None, "won(call(0x40000000 + 272, 0x10000000) == 0)"),
];

/// Privileges.
const PRIVILEGES: &[Attempt] = &[
    ("become root", Root, "os.setuid(0); won(os.getuid() == 0)"),
    ("become root's group", Root, "os.setgid(0); won(os.getgid() == 0)"),
    ("join groups", Root, "os.setgroups([0, 6]); won(True)"),
    ("run a program that changes the user", Nobody, "won(b'euid=0' in subprocess.run([W['setuid']], capture_output=True).stdout)"),
    ("have a capability", Root, "won(int([l for l in open('/proc/self/status') if l.startswith('CapEff')][0].split()[1], 16) != 0)"),
    (
        "have a capability to inherit",
        Root,
        "won(int([l for l in open('/proc/self/status') if l.startswith('CapBnd')][0].split()[1], 16) != 0)",
    ),
    (
        "raise a hard limit",
        Control::None,
        "import resource; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1)); won(True)",
    ),
    (
        "escape the killer of want of memory",
        Control::None,
        "f = open('/proc/self/oom_score_adj', 'w'); f.write('-1000'); f.flush(); won(True)",
    ),
    ("be preferred by the scheduler", Root, "os.setpriority(os.PRIO_PROCESS, 0, -10); won(True)"),
    ("run at real-time priority", Root, "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); won(True)"),
    ("set the clock", Root, "time.clock_settime(time.CLOCK_REALTIME, time.time()); won(True)"),
    ("name the host", Root, "socket.sethostname(socket.gethostname()); won(True)"),
    ("read the kernel's log", Root, "won(libc.klogctl(10, None, 0) >= 0)"),
    ("open a kernel setting for writing", Root, "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY); won(True)"),
    ("open a memory setting for writing", Root, "os.open('/proc/sys/vm/drop_caches', os.O_WRONLY); won(True)"),
    (
        "open a device setting",
        Root,
        "each('/sys/kernel/uevent_helper', lambda p: won(os.open(p, os.O_WRONLY) >= 0)); each('/sys/module/*/parameters/*', lambda p: won(os.open(p, os.O_RDONLY) >= 0)); each('/sys/kernel/*', lambda p: won(True))",
    ),
    ("see the control groups", Root, "each('/sys/fs/cgroup/**/cgroup.procs', lambda p: won(os.open(p, os.O_WRONLY) >= 0))"),
    (
        "load a program into the kernel",
        Root,
        "won(call(321, 0, ctypes.create_string_buffer(struct.pack('IIIII', 2, 4, 4, 1, 0) + bytes(128)), 72) >= 0)",
    ),
    ("watch all files", Root, "won(call(300, 0, 0) >= 0)"),
    (
        "watch the processor",
        Root,
        "won(call(298, ctypes.create_string_buffer(struct.pack('IIQ', 1, 120, 0) + bytes(112)), os.getpid(), -1, -1, 0) >= 0)",
    ),
    ("handle page faults", Root, "won(call(323, 0) >= 0)"),
    ("keep a key in the kernel", Root, "won(call(248, b'user', W['name'].encode(), b'x', 1, -2) > 0)"),
];

/// Other processes.
const PROCESSES: &[Attempt] = &[
    (
        "see the server's processes",
        Root,
        "won(any(W['name'] in open(p).read() for p in glob.glob('/proc/[0-9]*/cmdline') if p != f'/proc/{os.getpid()}/cmdline'))",
    ),
    ("read a process's environment", Root, "each('/proc/[0-9]*/environ', lambda p: bait(open(p).read()))"),
    (
        "read a process's memory",
        Root,
        "each(f'/proc/{W[\"pid\"]}/mem', lambda p: won(os.pread(os.open(p, os.O_RDONLY), 8, W['address']) == W['bytes'][::-1].encode()))",
    ),
    (
        "read a process's memory by call",
        Root,
        "local = ctypes.create_string_buffer(8); won(libc.process_vm_readv(W['pid'], struct.pack('QQ', ctypes.addressof(local), 8), 1, struct.pack('QQ', W['address'], 8), 1, 0) == 8 and local.raw == W['bytes'][::-1].encode())",
    ),
    ("trace a process", Root, "won(libc.ptrace(16, W['pid'], 0, 0) == 0)"),
    ("end a process", Root, "os.kill(W['pid'], 0); os.kill(W['pid'], signal.SIGTERM); won(True)"),
    ("limit a process", Root, "import resource; resource.prlimit(W['pid'], resource.RLIMIT_NOFILE); won(True)"),
    ("pin a process", Root, "os.sched_setaffinity(W['pid'], os.sched_getaffinity(W['pid'])); won(True)"),
    ("take a process's descriptor", Root, "fd = os.pidfd_open(W['pid']); won(call(438, fd, W['held'], 0) >= 0)"),
    ("share memory by key", Root, "won(libc.shmget(W['key'], 0, 0) >= 0)"),
    ("share a message queue by key", Root, "won(libc.msgget(W['key'], 0) >= 0)"),
    ("share semaphores by key", Root, "won(libc.semget(W['key'], 0, 0) >= 0)"),
    ("share memory by name", Root, "bait(open('/dev/shm/' + W['name']).read())"),
    (
        "find an inherited descriptor",
        Control::Inherits,
        "[bait(os.pread(fd, 4096, 0).decode('latin1')) for fd in range(3, 200) if is_file(fd)]",
    ),
    ("find the server's environment", Control::Inherits, "bait(' '.join(os.environ.values()))"),
];

/// Networks.
const NETWORKS: &[Attempt] = &[
    ("connect to the server's port", Root, "connect(socket.AF_INET, ('127.0.0.1', W['tcp']))"),
    (
        "connect to the server's port by another loopback address",
        Root,
        "connect(socket.AF_INET, ('127.0.0.1', W['tcp']), ('127.0.0.77', 0))",
    ),
    ("connect over IPv6", Root, "connect(socket.AF_INET6, ('::1', W['tcp6']))"),
    ("connect to an IPv4 address written as IPv6", Root, "connect(socket.AF_INET6, ('::ffff:127.0.0.1', W['tcp']))"),
    ("connect to the address that means this host", Root, "connect(socket.AF_INET, ('0.0.0.0', W['tcp']))"),
    (
        "ask over UDP",
        Root,
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.sendto(b'?', ('127.0.0.1', W['udp'])); won(s.recv(10) == b'!')",
    ),
    ("connect to an abstract socket", Root, "connect(socket.AF_UNIX, '\\0' + W['name'])"),
    ("connect to a socket in the server's directory", Root, "connect(socket.AF_UNIX, W['host'] + '/socket')"),
    ("open a raw socket", Root, "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); won(True)"),
    ("listen to the wire", Root, "socket.socket(17, socket.SOCK_RAW, 0x0300); won(True)"),
    ("call the hypervisor", Root, "socket.socket(40, socket.SOCK_STREAM); won(True)"),
    ("bypass the network stack", Root, "socket.socket(44, socket.SOCK_RAW); won(True)"),
    ("use the kernel's crypto sockets", Control::None, "socket.socket(38, socket.SOCK_SEQPACKET); won(True)"),
    (
        "make a network device",
        Root,
        r"
s = socket.socket(16, socket.SOCK_RAW, 0); s.bind((0, 0))
name = b'esc' + str(os.getpid() % 99999).encode() + b'\0'
attribute = lambda kind, data: struct.pack('HH', 4 + len(data), kind) + data + bytes(-len(data) % 4)
def ask(kind, flags, body):
    s.send(struct.pack('IHHII', 16 + len(body), kind, 0x5 | flags, 1, 0) + body)
    return struct.unpack_from('i', s.recv(4096), 16)[0]
head = struct.pack('BxHiII', 0, 0, 0, 0, 0)
made = ask(16, 0x600, head + attribute(3, name) + attribute(18, attribute(1, b'bridge\0')))
if made == 0: ask(17, 0, head + attribute(3, name))
won(made == 0)",
    ),
    (
        "see the host's interfaces",
        Root,
        "won(any(name not in ('lo',) and not name.startswith(('sit', 'tunl', 'ip6', 'gre', 'erspan', 'ip_vti', 'teql')) for _, name in socket.if_nameindex()))",
    ),
];

/// More than its share. Inside they end at the limit of the sandbox (20 processes, 64 MiB, 8 MiB of /tmp, 1 MiB of shared memory,
/// 1 MiB a file, 64 open files).
const SHARE: &[Attempt] = &[
    (
        "start more processes",
        Limited,
        r"
pids = []
try:
    for _ in range(60):
        pid = os.fork()
        if pid == 0: time.sleep(20); os._exit(0)
        pids.append(pid)
    done = True
except OSError: done = False
for pid in pids: os.kill(pid, 9)
won(done)",
    ),
    (
        "start more threads",
        Limited,
        r"
import threading
stop = threading.Event()
try:
    for _ in range(60): threading.Thread(target=stop.wait, daemon=True).start()
    done = True
except RuntimeError: done = False
stop.set()
won(done)",
    ),
    ("use more memory", Limited, "won(len(bytearray(200 << 20)) > 0)"),
    (
        "use more memory in many processes",
        Limited,
        r"
pids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        try: held = bytearray(40 << 20)
        except MemoryError: os._exit(1)
        time.sleep(1); os._exit(0)
    pids.append(pid)
won(all(os.waitpid(pid, 0)[1] == 0 for pid in pids))",
    ),
    (
        "fill the scratch space",
        Limited,
        "name = '/tmp/fill' + W['name']; f = open(name, 'wb'); n = sum(f.write(bytes(1 << 20)) for _ in range(12)); f.flush(); os.unlink(name); won(n == 12 << 20)",
    ),
    (
        "fill the shared memory",
        Limited,
        "name = '/dev/shm/x' + W['name']; f = open(name, 'wb'); n = sum(f.write(bytes(1 << 20)) for _ in range(4)); f.flush(); os.unlink(name); won(n == 4 << 20)",
    ),
    (
        "write a larger file",
        Limited,
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); f = open(W['rw'] + '/big', 'wb'); n = sum(f.write(bytes(1 << 20)) for _ in range(3)); f.flush(); won(n == 3 << 20)",
    ),
    ("open more files", Limited, "held = [os.open('/dev/null', os.O_RDONLY) for _ in range(200)]; won(True)"),
];

/// All of them.
pub fn all() -> Vec<Attempt> {
    [FILES, MOUNTS, PRIVILEGES, PROCESSES, NETWORKS, SHARE].concat()
}
