//! The engine with real sandboxes. A harness of its own: the sandbox executes this program again.
//!
//! An argument selects the tests whose name contains it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tenantry_compute::{
    Compute, ComputeError, Environments, Host, HostState, Images, Isolation, Limits, LocalConfig, LocalEngine, LogLine, Mount, Network,
    Outbound, WorkStatus, Workload,
};
use tenantry_core::Scope;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::mpsc,
};

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), || Box::pin($name()))),*] };
}

const TESTS: &[Test] = tests![
    two_hosts_talk,
    brokered_and_connected,
    mounts_belong_to_the_workload,
    stopping,
    timing_out,
    one_failure_ends_the_group,
    failures_are_told,
    names_and_forgetting,
    floods_are_cut,
    environment_is_built_once,
    unbuildable_environment,
];

fn main() {
    tenantry_compute::maybe_become_jailer();
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let passed = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(test()))).is_ok();
        eprintln!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += i32::from(!passed);
    }
    eprintln!("{} tests, {failed} failed", TESTS.len());
    std::process::exit(failed.min(1));
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An engine with directories of its own.
struct Bench {
    engine: LocalEngine,
    dir: PathBuf,
    lines: mpsc::Receiver<LogLine>,
    sink: mpsc::Sender<LogLine>,
}

/// Where the variable says, otherwise kept between runs, otherwise (another user's run) made anew.
fn environments(dir: &Path) -> Environments {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Environments::open(&Environments::location(kept)).or_else(|_| Environments::open(&dir.join("environments"))).unwrap()
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-engine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&dir).unwrap();
        let environments = Arc::new(environments(&dir));
        let config = LocalConfig { scratch: dir.join("scratch"), isolation: Isolation::Full };
        let (sink, lines) = mpsc::channel(64);
        Self { engine: LocalEngine::new(config, environments).unwrap(), dir, lines, sink }
    }

    fn sub(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn workload(&self, hosts: usize, command: &[&str]) -> Workload {
        Workload {
            name: format!("w-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)),
            scope: Scope::new("123456789012", "us-east-1"),
            hosts: vec![Host::default(); hosts],
            image: None,
            command: command.iter().map(|text| (*text).to_owned()).collect(),
            env: BTreeMap::new(),
            workdir: String::new(),
            mounts: Vec::new(),
            limits: Limits { memory_bytes: 512 << 20, cpu_millis: 2000, pids: 64, tmp_bytes: 8 << 20, disk_bytes: None },
            network: Network::Isolated,
            shared_network: true,
            port: None,
            timeout: None,
            logs: Some(self.sink.clone()),
        }
    }

    async fn start(&self, workload: Workload) -> String {
        let name = workload.name.clone();
        self.engine.start(workload).await.unwrap();
        name
    }

    async fn until(&self, name: &str, when: impl Fn(&WorkStatus) -> bool) -> WorkStatus {
        let mut changes = self.engine.changes();
        loop {
            let status = self.engine.status(name).await.unwrap();
            if when(&status) {
                return status;
            }
            if tokio::time::timeout(Duration::from_secs(120), changes.changed()).await.is_err() {
                panic!("{name} never got there: {:?}", self.engine.status(name).await);
            }
        }
    }

    async fn end(&self, name: &str) -> WorkStatus {
        self.until(name, |status| status.ended.is_some()).await
    }

    async fn line(&mut self) -> String {
        self.lines.recv().await.unwrap().text
    }

    /// What is waiting, as `<host>: <text>`.
    fn waiting(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.try_recv() {
            lines.push(format!("{}: {}", line.host, line.text));
        }
        lines.sort();
        lines
    }
}

fn code(status: &WorkStatus, host: usize) -> Option<i32> {
    match &status.hosts[host] {
        HostState::Exited { code, .. } => *code,
        other => panic!("{other:?}"),
    }
}

async fn two_hosts_talk() {
    let mut bench = Bench::new();
    let script = r#"
import os, socket, time
me = socket.gethostname()
print("I am", me)
if me == "algo-1":
    s = socket.create_server(("algo-1", 9099)); c, peer = s.accept()
    print("heard", c.recv(100).decode(), "from", peer[0])
else:
    for _ in range(600):
        s = socket.socket(); s.bind((me, 0))
        if s.connect_ex(("algo-1", 9099)) == 0: break
        s.close(); time.sleep(0.05)
    s.sendall(os.environ["WORD"].encode())
"#;
    let mut workload = bench.workload(2, &["python3", "-c", script]);
    workload.env.insert("WORD".into(), "common".into());
    workload.hosts[1].env.insert("WORD".into(), "particular".into());
    let name = bench.start(workload).await;
    let status = bench.end(&name).await;
    assert!(status.succeeded() && status.failure.is_none(), "{status:?}");
    assert!(bench.engine.changes().borrow().ge(&5), "two starts, two ends, and the whole");
    assert_eq!(bench.waiting(), ["0: I am algo-1", "0: heard particular from 127.0.1.2", "1: I am algo-2"]);
    assert_eq!(fs::read_dir(bench.dir.join("scratch")).unwrap().count(), 0);
}

/// A server of ours that answers every connection with `text`.
fn answering(path: &Path, text: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
}

async fn brokered_and_connected() {
    let mut bench = Bench::new();
    let (broker, credentials) = (bench.dir.join("broker"), bench.dir.join("credentials"));
    answering(&broker, "broker");
    answering(&credentials, "credentials");
    let script = r#"
import socket
for address in (("127.0.0.1", 4600), ("169.254.170.2", 80)):
    s = socket.create_connection(address); s.sendall(b"ask!"); print(s.makefile().read())
s = socket.create_server(("0.0.0.0", 8080)); print("serving")
while True:
    c, _ = s.accept(); c.sendall(c.recv(100)[::-1] + socket.gethostname().encode()); c.close()
"#;
    let mut workload = bench.workload(2, &["python3", "-c", script]);
    workload.network = Network::Brokered(vec![
        Outbound { listen: "127.0.0.1:4600".parse().unwrap(), host_socket: broker },
        Outbound { listen: "169.254.170.2:80".parse().unwrap(), host_socket: credentials },
    ]);
    (workload.port, workload.shared_network) = (Some(8080), false);
    let name = bench.start(workload).await;
    let mut lines = Vec::new();
    while lines.len() < 6 {
        lines.push(bench.line().await);
    }
    lines.sort();
    assert_eq!(lines, ["broker", "broker", "credentials", "credentials", "serving", "serving"]);
    for (host, expected) in [(0, "cbaalgo-1"), (1, "cbaalgo-2")] {
        let mut stream = bench.engine.connect(&name, host).await.unwrap();
        stream.write_all(b"abc").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
    }
    assert!(matches!(bench.engine.connect(&name, 2).await, Err(ComputeError::Unreachable { .. })));
    bench.engine.stop(&name, Duration::from_secs(10)).await.unwrap();
    let status = bench.end(&name).await;
    assert!(status.stopped && !status.timed_out, "{status:?}");
    assert!(matches!(bench.engine.connect(&name, 0).await, Err(ComputeError::Unreachable { .. })));
}

async fn mounts_belong_to_the_workload() {
    let bench = Bench::new();
    let (first, second, data) = (bench.sub("first"), bench.sub("second"), bench.sub("data"));
    fs::write(data.join("x"), "shared").unwrap();
    let script = "cp /opt/ml/input/data/x /opt/ml/model; echo $HOME; python3 -c 'import tenantry_runtime'; ! touch /opt/ml/input/data/y";
    let mut workload = bench.workload(2, &["sh", "-ec", script]);
    workload.workdir = "/opt/ml".into();
    for (index, dir) in [&first, &second].into_iter().enumerate() {
        workload.hosts[index].mounts.push(Mount { host: dir.clone(), target: "/opt/ml".into(), writable: true });
        workload.hosts[index].mounts.push(Mount { host: data.clone(), target: "/opt/ml/input/data".into(), writable: false });
    }
    let name = bench.start(workload).await;
    let status = bench.end(&name).await;
    assert!(status.succeeded(), "{status:?}");
    for dir in [first, second] {
        assert_eq!(fs::read_to_string(dir.join("model")).unwrap(), "shared");
    }
    assert!(!data.join("y").exists());
}

async fn stopping() {
    let mut bench = Bench::new();
    let script = "trap 'echo saving; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let name = bench.start(bench.workload(1, &["sh", "-c", script])).await;
    assert_eq!(bench.line().await, "ready");
    bench.engine.stop(&name, Duration::from_secs(60)).await.unwrap();
    let status = bench.end(&name).await;
    assert!(status.stopped && status.succeeded(), "{status:?}");
    assert_eq!(bench.line().await, "saving");
    bench.engine.stop(&name, Duration::ZERO).await.unwrap();

    let name = bench.start(bench.workload(1, &["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])).await;
    assert_eq!(bench.line().await, "ready");
    bench.engine.stop(&name, Duration::from_millis(100)).await.unwrap();
    let status = bench.end(&name).await;
    assert!(matches!(status.hosts[0], HostState::Exited { signal: Some(9), code: None, .. }), "{status:?}");
}

async fn timing_out() {
    let bench = Bench::new();
    let workload = Workload { timeout: Some(Duration::from_millis(300)), ..bench.workload(1, &["sleep", "1000"]) };
    let name = bench.start(workload).await;
    let status = bench.end(&name).await;
    assert!(status.timed_out && !status.stopped, "{status:?}");
    assert!(matches!(status.hosts[0], HostState::Exited { signal: Some(15), .. }), "{status:?}");
}

async fn one_failure_ends_the_group() {
    let bench = Bench::new();
    let name = bench.start(bench.workload(2, &["sh", "-c", "test $(hostname) = algo-1 || exit 3; exec sleep 1000"])).await;
    let status = bench.end(&name).await;
    assert_eq!(code(&status, 1), Some(3));
    assert!(matches!(status.hosts[0], HostState::Exited { signal: Some(15), .. }), "{status:?}");
}

async fn failures_are_told() {
    let bench = Bench::new();
    let name = bench.start(bench.workload(2, &["no-such-program"])).await;
    let status = bench.end(&name).await;
    assert!(status.is_over() && status.failure.as_ref().is_some_and(|text| text.contains("no-such-program")), "{status:?}");
    // What an earlier workload may have left where a directory is expected.
    let trap = bench.dir.join("trap");
    std::os::unix::fs::symlink("/etc", &trap).unwrap();
    for host in [trap, bench.dir.join("absent")] {
        let mounts = vec![Mount { host, target: "/opt/ml".into(), writable: true }];
        let name = bench.start(Workload { mounts, ..bench.workload(1, &["true"]) }).await;
        assert!(bench.end(&name).await.failure.is_some_and(|text| text.starts_with("cannot mount")));
    }
    for wrong in [
        Workload { name: "../x".into(), ..bench.workload(1, &["true"]) },
        Workload { hosts: Vec::new(), ..bench.workload(1, &["true"]) },
        bench.workload(1, &[]),
    ] {
        assert!(matches!(bench.engine.start(wrong).await, Err(ComputeError::Invalid(_))));
    }
}

async fn names_and_forgetting() {
    let bench = Bench::new();
    let workload = bench.workload(1, &["sleep", "1000"]);
    let name = bench.start(workload.clone()).await;
    assert!(matches!(bench.engine.start(workload.clone()).await, Err(ComputeError::Exists(known)) if known == name));
    assert_eq!(bench.engine.names().await.join(" "), name);
    bench.engine.forget(&name).await;
    assert_eq!((bench.engine.names().await.len(), bench.engine.status(&name).await), (0, None));
    assert_eq!(fs::read_dir(bench.dir.join("scratch")).unwrap().count(), 0);
    bench.engine.forget(&name).await;
    assert!(matches!(bench.engine.stop(&name, Duration::ZERO).await, Err(ComputeError::Unknown(_))));
    // The name is free again.
    let name = bench.start(workload).await;
    bench.until(&name, |status| status.hosts[0] == HostState::Running).await;
    bench.engine.forget(&name).await;
}

async fn floods_are_cut() {
    let mut bench = Bench::new();
    // One line too long, bytes that are no text, and no line end at the end.
    let script = "head -c 300000 /dev/zero | tr '\\0' x; printf '\\nok\\n\\377\\nlast'";
    let name = bench.start(bench.workload(1, &["sh", "-c", script])).await;
    bench.end(&name).await;
    let lengths: Vec<_> = bench.waiting().iter().map(|line| line.len() - "0: ".len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 300_000 + "ok\u{fffd}last".len());
    assert!(lengths.contains(&(256 * 1024)), "{lengths:?}");
    // A receiver that is gone does not stop a workload.
    let (sink, gone) = mpsc::channel(1);
    drop(gone);
    let workload = Workload { logs: Some(sink), ..bench.workload(1, &["sh", "-c", "yes | head -100000"]) };
    let name = bench.start(workload).await;
    assert!(bench.end(&name).await.succeeded());
}

fn images(packages: &str) -> Images {
    let series =
        std::process::Command::new("/usr/bin/python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output().unwrap();
    let series = String::from_utf8(series.stdout).unwrap();
    let mut images = Images::default();
    let text = format!(
        "repository = ['tiny']\n[environment]\nFROM_IMAGE = 'yes'\n[[version]]\ntags = ['1']\npython = '{}'\npackages = [{packages}]",
        series.trim()
    );
    images.add("tiny", &text).unwrap();
    images
}

async fn environment_is_built_once() {
    let mut bench = Bench::new();
    let image = images("'six==1.16.0'").resolve("123456789012.dkr.ecr.us-east-1.amazonaws.com/tiny:1").unwrap();
    let script = r#"
import os, six, sys, tenantry_runtime
print(six.__version__, os.environ["FROM_IMAGE"])
where = os.path.dirname(six.__file__)
open(os.path.join(where, "added.py"), "w").write("x = 1")
os.remove(six.__file__)
import added
print(sorted(name for name in os.listdir(where) if name in ("six.py", "added.py")))
"#;
    // The second finds what the first left: the environment, but none of the first one's changes.
    for _ in 0..2 {
        let workload = Workload { image: Some(image.clone()), ..bench.workload(1, &["python", "-c", script]) };
        let name = bench.start(workload).await;
        let status = bench.end(&name).await;
        let lines = bench.waiting();
        assert!(status.succeeded(), "{status:?} {lines:?}");
        assert_eq!(lines, ["0: 1.16.0 yes", "0: ['added.py']"]);
    }
    let environments = environments(&bench.dir);
    let steps = std::sync::Mutex::new(Vec::new());
    environments.ensure(&image, |step| steps.lock().unwrap().push(step.to_owned())).await.unwrap();
    assert_eq!(steps.into_inner().unwrap(), Vec::<String>::new(), "it is there: nothing to do");
    assert_eq!(fs::read_dir(bench.dir.join("scratch")).unwrap().count(), 0);
}

async fn unbuildable_environment() {
    let bench = Bench::new();
    let image = images("'six==1.16.0', 'six-nonsense-version @ file:///absent.whl'").resolve("tiny:1").unwrap();
    let name = bench.start(Workload { image: Some(image), ..bench.workload(1, &["true"]) }).await;
    let status = bench.end(&name).await;
    let failure = status.failure.unwrap();
    assert!(failure.contains("six-nonsense-version @ file:///absent.whl") && failure.contains("cannot install"), "{failure}");
    let mut none = images("").resolve("tiny:1").unwrap();
    none.python = "3.99".into();
    let name = bench.start(Workload { image: Some(none), ..bench.workload(1, &["true"]) }).await;
    assert!(bench.end(&name).await.failure.unwrap().contains("python 3.99"));
}
