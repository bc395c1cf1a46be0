//! Control groups, version 1 and version 2, whichever the host has for each controller.
//!
//! Every sandbox gets the group `tenantry/<name>.<jailer>` below the controller's mount (v1) or below the group that
//! was prepared for the server (v2). The payload joins by itself through descriptors that were opened for it,
//! before it becomes unprivileged. Groups of others are never touched. Where a controller cannot be
//! written, there is no group for it and rlimits have to do.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::spec::{Exit, Limits};

const CONTROLLERS: [&str; 4] = ["memory", "cpu", "pids", "cpuacct"];
const PARENT: &str = "tenantry";
/// Where the server itself moves in a delegated v2 tree, because only leaves may hold processes.
const SERVER_LEAF: &str = "tenantry-server";
/// The kernel's customary period of processor quotas, in microseconds.
const CPU_PERIOD: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Where a controller's groups can be made.
#[derive(Debug, Clone)]
struct Place {
    controller: &'static str,
    version: Version,
    parent: PathBuf,
}

/// The controllers this process can use.
#[derive(Debug, Clone, Default)]
pub struct Places(Vec<Place>);

impl Places {
    /// Looks at the mounts and makes the parent groups where that is allowed.
    pub fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut places = Vec::new();
        for (kind, mount, options) in mounts.lines().filter_map(cgroup_mount) {
            let (version, parent, offered) = if kind == "cgroup" {
                (Version::V1, mount.join(PARENT), options.split(',').map(str::to_owned).collect::<Vec<_>>())
            } else {
                match v2_parent(&mount, &own) {
                    Some((parent, offered)) => (Version::V2, parent, offered),
                    None => continue,
                }
            };
            for controller in CONTROLLERS {
                let wanted =
                    offered.iter().any(|name| name == controller || (version == Version::V2 && controller == "cpuacct" && name == "cpu"));
                if wanted && !places.iter().any(|p: &Place| p.controller == controller) && make_dir(&parent).is_ok() {
                    places.push(Place { controller, version, parent: parent.clone() });
                }
            }
        }
        Self(places)
    }

    /// Whether `memory`, `cpu` or `pids` can be limited.
    pub fn has(&self, controller: &str) -> bool {
        self.0.iter().any(|place| place.controller == controller && writable(&place.parent))
    }

    /// Removes groups that were left behind: those of jailers that are gone and without processes.
    pub fn sweep(&self) {
        for place in &self.0 {
            for entry in fs::read_dir(&place.parent).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let jailer = name.rsplit_once('.').filter(|(_, pid)| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
                if jailer.is_some_and(|(_, pid)| !Path::new("/proc").join(pid).exists()) {
                    let _busy = fs::remove_dir(entry.path());
                }
            }
        }
    }

    /// Makes the groups of one sandbox, named also after this process, and sets their limits. A controller in which this process may
    /// make no groups is left out.
    ///
    /// # Errors
    /// When a group was made and refuses a limit: a limit that is not in force must not be believed.
    pub fn create(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        let mut group = Group { parts: Vec::new() };
        for place in &self.0 {
            let dir = place.parent.join(format!("{name}.{}", std::process::id()));
            match make_dir(&dir) {
                Ok(()) => group.parts.push(Place { parent: dir, ..place.clone() }),
                Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {}
                Err(error) => return Err(error),
            }
        }
        group.set(limits)?;
        Ok(group)
    }
}

/// `(file system, mount point, super options)` of a mountinfo line, if it is a control group file system.
fn cgroup_mount(line: &str) -> Option<(String, PathBuf, String)> {
    let (left, right) = line.split_once(" - ")?;
    let mount = left.split(' ').nth(4)?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    (kind == "cgroup" || kind == "cgroup2").then(|| (kind.to_owned(), PathBuf::from(mount), options.to_owned()))
}

/// The v2 group below which sandboxes can be made, and the controllers it hands down: the whole tree's root where that is ours
/// (root on a host, or in a container with a tree of its own), otherwise the server's own group where that was delegated to it.
fn v2_parent(mount: &Path, own: &str) -> Option<(PathBuf, Vec<String>)> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    let mut base = mount.join(path);
    if base.file_name().is_some_and(|name| name == SERVER_LEAF) {
        base.pop();
    }
    hand_down(mount).or_else(|| hand_down(&base)).or_else(|| {
        // Only a leaf may hold processes: move this one out of the way, and try again.
        let leaf = base.join(SERVER_LEAF);
        make_dir(&leaf).ok()?;
        fs::write(leaf.join("cgroup.procs"), "0").ok()?;
        hand_down(&base)
    })
}

/// Switches on what `base` offers, for its children and for the children of `base/tenantry`.
fn hand_down(base: &Path) -> Option<(PathBuf, Vec<String>)> {
    let offered = fs::read_to_string(base.join("cgroup.controllers")).ok()?;
    let wanted: Vec<String> = offered.split_whitespace().filter(|name| CONTROLLERS.contains(name)).map(str::to_owned).collect();
    let switch_on = |dir: &Path| wanted.iter().try_for_each(|name| fs::write(dir.join("cgroup.subtree_control"), format!("+{name}")));
    if wanted.is_empty() {
        return None;
    }
    switch_on(base).ok()?;
    let parent = base.join(PARENT);
    make_dir(&parent).ok()?;
    switch_on(&parent).ok()?;
    Some((parent, wanted))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Whether groups can be made in `dir`. Asking the kernel by doing is the only answer that counts.
fn writable(dir: &Path) -> bool {
    let probe = dir.join(format!("probe-{}", std::process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// The groups of one sandbox.
#[derive(Debug, Default)]
pub struct Group {
    parts: Vec<Place>,
}

impl Group {
    fn part(&self, controller: &str) -> Option<&Place> {
        self.parts.iter().find(|part| part.controller == controller)
    }

    /// Whether this controller is in force here.
    pub fn has(&self, controller: &str) -> bool {
        self.part(controller).is_some()
    }

    fn set(&self, limits: &Limits) -> io::Result<()> {
        if let (Some(part), Some(bytes)) = (self.part("memory"), limits.memory_bytes) {
            let write = |file: &str, value: u64| fs::write(part.parent.join(file), value.to_string());
            if part.version == Version::V1 {
                // A group of the same name that was left over may have a swap limit below the new one.
                let _absent_without_swap = fs::write(part.parent.join("memory.memsw.limit_in_bytes"), "-1");
                write("memory.limit_in_bytes", bytes)?;
                let _absent_without_swap = write("memory.memsw.limit_in_bytes", bytes);
            } else {
                write("memory.max", bytes)?;
                let _absent_without_swap = write("memory.swap.max", 0);
                let _before_linux_4_19 = write("memory.oom.group", 1);
            }
        }
        if let (Some(part), Some(millis)) = (self.part("cpu"), limits.cpu_millis) {
            let quota = (CPU_PERIOD * millis / 1000).max(1000);
            if part.version == Version::V1 {
                fs::write(part.parent.join("cpu.cfs_period_us"), CPU_PERIOD.to_string())?;
                fs::write(part.parent.join("cpu.cfs_quota_us"), quota.to_string())?;
            } else {
                fs::write(part.parent.join("cpu.max"), format!("{quota} {CPU_PERIOD}"))?;
            }
        }
        if let (Some(part), Some(pids)) = (self.part("pids"), limits.pids) {
            fs::write(part.parent.join("pids.max"), pids.to_string())?;
        }
        Ok(())
    }

    /// Descriptors through which a process joins by writing `0`.
    pub fn doors(&self) -> io::Result<Vec<File>> {
        let mut dirs: Vec<_> = self.parts.iter().map(|part| &part.parent).collect();
        dirs.sort();
        dirs.dedup();
        dirs.into_iter().map(|dir| OpenOptions::new().write(true).open(dir.join("cgroup.procs"))).collect()
    }

    /// Fills in what the kernel counted: kills for want of memory, processor time, memory peak.
    pub fn account(&self, exit: &mut Exit) {
        let field = |part: &Place, file: &str, name: &str| {
            let text = fs::read_to_string(part.parent.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        if let Some(part) = self.part("memory") {
            let (events, peak) = match part.version {
                Version::V1 => ("memory.oom_control", "memory.max_usage_in_bytes"),
                Version::V2 => ("memory.events", "memory.peak"),
            };
            exit.oom |= field(part, events, "oom_kill ").is_some_and(|count| count > 0);
            if let Some(bytes) = field(part, peak, "") {
                exit.max_rss_bytes = bytes;
            }
        }
        if let Some(part) = self.part("cpuacct") {
            let micros = match part.version {
                Version::V1 => field(part, "cpuacct.usage", "").map(|nanos| nanos / 1000),
                Version::V2 => field(part, "cpu.stat", "usage_usec "),
            };
            exit.cpu_millis = micros.map_or(exit.cpu_millis, |micros| micros / 1000);
        }
    }

    /// Removes the groups. The kernel may need a moment after the last process is gone.
    pub fn remove(self) {
        for part in &self.parts {
            for _attempt in 0..100 {
                match fs::remove_dir(&part.parent) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => thread::sleep(Duration::from_millis(10)),
                    _ => break,
                }
            }
        }
    }
}

/// Moves the calling process into the group of each door.
///
/// # Errors
/// When a group refuses; then the limits would not hold.
pub fn enter(doors: &[File]) -> io::Result<()> {
    for mut door in doors {
        door.write_all(b"0")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines() {
        let v1 = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let v2 = "42 32 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let (kind, mount, options) = cgroup_mount(v1).unwrap();
        assert_eq!(
            (kind.as_str(), mount.as_path(), options.as_str()),
            ("cgroup", Path::new("/sys/fs/cgroup/cpu,cpuacct"), "rw,cpu,cpuacct")
        );
        assert_eq!(cgroup_mount(v2).unwrap().0, "cgroup2");
        assert!(cgroup_mount("1 0 8:1 / / rw - ext4 /dev/vda rw").is_none());
    }

    /// Version 2's tree, on ordinary directories: the root is not ours, the server's own group is.
    #[test]
    fn version_two_delegation() {
        let mount = std::env::temp_dir().join(format!("tenantry-cgroup-tree-{}", std::process::id()));
        let own = mount.join("user/service");
        fs::create_dir_all(own.join(SERVER_LEAF)).unwrap();
        fs::write(mount.join("cgroup.controllers"), "hugetlb\n").unwrap();
        fs::write(own.join("cgroup.controllers"), "cpu memory pids hugetlb\n").unwrap();
        let (parent, offered) = v2_parent(&mount, "1:cpu:/x\n0::/user/service/tenantry-server\n").unwrap();
        assert_eq!((parent, offered.join(" ").as_str()), (own.join(PARENT), "cpu memory pids"));
        assert!(!mount.join(PARENT).exists());
        assert!(v2_parent(&mount, "0::/elsewhere").is_none());
        fs::remove_dir_all(&mount).unwrap();
    }

    /// Version 2's files, on an ordinary directory: what would be written where.
    #[test]
    fn version_two_files() {
        let dir = std::env::temp_dir().join(format!("tenantry-cgroup-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let place = |controller| Place { controller, version: Version::V2, parent: dir.clone() };
        let places = Places(vec![place("memory"), place("cpu"), place("pids"), place("cpuacct")]);
        let limits = Limits { memory_bytes: Some(1 << 20), cpu_millis: Some(1500), pids: Some(7), ..Limits::default() };
        let group = places.create("a", &limits).unwrap();
        let name = format!("a.{}", std::process::id());
        let read = |file: &str| fs::read_to_string(dir.join(&name).join(file)).unwrap();
        assert_eq!((read("memory.max"), read("memory.swap.max"), read("pids.max")), ("1048576".into(), "0".into(), "7".into()));
        assert_eq!(read("cpu.max"), "150000 100000");
        for (file, text) in [("memory.events", "low 0\noom 1\noom_kill 2\n"), ("memory.peak", "99\n"), ("cpu.stat", "usage_usec 5000\n")] {
            fs::write(dir.join(&name).join(file), text).unwrap();
        }
        let mut exit = Exit::default();
        group.account(&mut exit);
        assert_eq!((exit.oom, exit.max_rss_bytes, exit.cpu_millis), (true, 99, 5));
        // Of these only one is of a jailer that is gone (no process has the id 0).
        for group in ["gone.0", "foreign", "not-ours.x"] {
            fs::create_dir(dir.join(group)).unwrap();
        }
        places.sweep();
        let left = |group: &str| dir.join(group).exists();
        assert!(!left("gone.0") && left("foreign") && left("not-ours.x") && left(&name));
        fs::remove_dir_all(&dir).unwrap();
    }
}
