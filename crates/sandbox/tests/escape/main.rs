//! Ways out of the sandbox, all tried in a real one; and each tried outside as well, where it must work.
//!
//! The control is what makes a refusal mean something: an attempt that fails because of a typing error fails outside too, and that
//! fails the test. Controls run as the user that runs the tests; those that need root are left out, and counted, where that
//! user is not root with all capabilities.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attempts;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tenantry_sandbox::{Bind, Limits, Spec, host_uids, spawn};

/// How an attempt is shown to work outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// As root.
    Root,
    /// As an unprivileged user, through what root has left there.
    Nobody,
    /// As a child that inherits what the server has open and set.
    Inherits,
    /// Without limits.
    Limited,
    /// There is none on an ordinary kernel.
    None,
}

const WORLD: &str = include_str!("world.py");
/// Names the environment variable that holds what all attempts are after.
const BAIT: &str = "TENANTRY_BAIT";
const PYTHON: &str = "/usr/bin/python3";
/// What an attempt or its control may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bait: files, and a process with secrets and sockets.
struct World {
    dir: PathBuf,
    victim: Child,
    description: String,
}

impl World {
    fn new(number: usize, mark: &str) -> Self {
        let name = format!("escape-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        for sub in ["host", "ro", "rw"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        fs::write(dir.join("host/secret"), mark).unwrap();
        fs::write(dir.join("ro/data"), "data").unwrap();
        // Even what everybody may read and write by its mode must be out of reach.
        for (path, mode) in [("host", 0o777), ("host/secret", 0o666), ("ro", 0o777), ("ro/data", 0o666), ("rw", 0o777)] {
            fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::copy("/usr/bin/id", dir.join("ro/setuid")).unwrap();
        fs::set_permissions(dir.join("ro/setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
        let mut victim = Command::new(PYTHON)
            .args(["-c", WORLD, "victim", &text(&dir.join("host")), mark, &name])
            .env("SECRET", mark)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(victim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut description: serde_json::Value = serde_json::from_str(&line).unwrap();
        let backwards = |text: &str| text.chars().rev().collect::<String>();
        description["mark"] = backwards(mark).into();
        description["bytes"] = backwards(&mark[..8]).into();
        description["name"] = name.into();
        for sub in ["host", "ro", "rw"] {
            description[sub] = text(&dir.join(sub)).into();
        }
        description["secret"] = text(&dir.join("host/secret")).into();
        description["setuid"] = text(&dir.join("ro/setuid")).into();
        Self { dir, victim, description: description.to_string() }
    }

    /// Inside.
    fn sandboxed(&self, script: &str) -> String {
        let uid = host_uids().map_or(1000, |range| range.start + 77);
        tenantry_sandbox::files::give_to(&self.dir.join("rw"), uid, uid).unwrap();
        let bind = |sub: &str, writable| Bind { source: self.dir.join(sub), target: self.dir.join(sub), writable };
        let spec = Spec {
            name: format!("escape-{}", self.dir.file_name().unwrap().to_string_lossy()),
            argv: [PYTHON, "-c", &format!("{WORLD}\n{script}")].map(str::to_owned).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("WORLD".into(), self.description.clone())],
            uid,
            gid: uid,
            user: "worker".into(),
            home: "/tmp".into(),
            hostname: "algo-1".into(),
            workdir: text(&self.dir.join("rw")),
            binds: vec![bind("ro", false), bind("rw", true)],
            tmp_bytes: 8 << 20,
            shm_bytes: 1 << 20,
            limits: Limits {
                memory_bytes: Some(64 << 20),
                cpu_millis: Some(1000),
                pids: Some(20),
                open_files: Some(64),
                file_bytes: Some(1 << 20),
            },
            ..Spec::default()
        };
        let running = spawn(&spec, None).unwrap();
        let mut output = String::new();
        running.take_output().unwrap().read_to_string(&mut output).unwrap();
        let _however = running.wait();
        output
    }

    /// Outside.
    fn free(&self, script: &str, control: Control) -> String {
        let program = format!("{WORLD}\n{script}");
        let mut command = match control {
            Control::Nobody => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-c", &program]);
                command
            }
            _ => {
                let mut command = Command::new(PYTHON);
                command.args(["-c", &program]);
                command
            }
        };
        let log = self.dir.join("control.log");
        let output = File::create(&log).unwrap();
        let mut child = command
            .env("WORLD", &self.description)
            .current_dir(self.dir.join("rw"))
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::read_to_string(log).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let ended = Command::new("kill").arg(self.victim.id().to_string()).stderr(Stdio::null()).status();
        let _traced_or_gone = ended;
        std::thread::sleep(Duration::from_millis(20));
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Root with all that root has: a container's root may lack what controls need.
fn omnipotent() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let capable = field("CapEff:").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
    const SYS_ADMIN: u64 = 1 << 21;
    field("Uid:").is_some_and(|uids| uids.starts_with('0')) && capable & SYS_ADMIN != 0
}

/// Executes this program again with a secret in its environment and an open file that children inherit: the library
/// opens none such.
fn with_something_to_inherit() -> ! {
    let mark = format!("bait{:08x}", std::process::id().wrapping_mul(2_654_435_761));
    let file = std::env::temp_dir().join(&mark);
    fs::write(&file, &mark).unwrap();
    let open = format!("exec \"$0\" \"$@\" 9< {}", file.display());
    let error = Command::new("sh").args(["-c", &open]).args(std::env::args_os()).env(BAIT, &mark).exec();
    panic!("sh: {error}");
}

fn main() {
    tenantry_sandbox::maybe_become_jailer();
    let Ok(mark) = std::env::var(BAIT) else { with_something_to_inherit() };
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let attempts = attempts::all();
    let (mut failed, mut controls) = (0, 0);
    let root = omnipotent();
    for (number, (name, control, script)) in attempts.iter().enumerate().filter(|(_, (name, ..))| name.contains(&filter)) {
        // A world for each: one attempt that works must not spoil the bait of the next.
        let inside = World::new(2 * number, &mark).sandboxed(script);
        let escaped = inside.contains("ESCAPED");
        let controlled = match control {
            Control::None => false,
            Control::Limited | Control::Inherits => true,
            Control::Root | Control::Nobody => root,
        };
        let outside = if controlled { World::new(2 * number + 1, &mark).free(script, *control) } else { String::new() };
        let proven = !controlled || outside.contains("ESCAPED");
        controls += usize::from(controlled && proven);
        let verdict = match (escaped, proven) {
            (true, _) => "ESCAPED",
            (false, false) => "WORKS NOWHERE",
            (false, true) if !controlled => "refused (no control here)",
            (false, true) => "refused",
        };
        eprintln!("test {name} ... {verdict}");
        if escaped || !proven {
            failed += 1;
            eprintln!("  inside: {}\n  outside: {}", inside.trim(), outside.trim());
        }
    }
    fs::remove_file(std::env::temp_dir().join(&mark)).unwrap();
    eprintln!("{} attempts, {controls} with a control that works, {failed} failed", attempts.len());
    // Fewer would mean that the suite was thinned out.
    let enough = !filter.is_empty() || (attempts.len() >= 60 && (!root || controls >= 60));
    if !enough {
        eprintln!("fewer than 60 attempts with controls");
    }
    std::process::exit(i32::from(failed > 0 || !enough));
}
