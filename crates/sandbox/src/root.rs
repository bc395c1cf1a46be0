//! The file system a payload sees, built from nothing on a tmpfs.
//!
//! In order: a private mount namespace; a scratch tmpfs that holds the host's root as `/oldroot` and the new one
//! as `/newroot`; the host's programs read-only; a tiny `/etc`; overlays; binds; `/proc`, `/dev`, `/tmp`; the new root
//! read-only; pivot; the host's root is detached. What was not put in does not exist inside.
//!
//! Mount points are walked component by component without following links: a directory that an earlier
//! payload could write may hold a link that points out of the new root, and the walk runs privileged.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::symlink,
    },
    path::{Component, Path, PathBuf},
};

use libc::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, c_ulong};

use crate::{
    fault::{Fault, Step},
    spec::{Overlay, Spec},
    sys,
};

const OLD: &str = "/oldroot";
const NEW: &str = "/newroot";
/// The new root itself only holds mount points and a few small files.
const ROOT_BYTES: u64 = 4 << 20;
/// Links on hosts with a merged /usr, directories elsewhere.
const TOP: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What programs below /usr expect of /etc, where the host has it. None of it is secret.
const ETC: [&str; 11] = [
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/ca-trust",
    "mime.types",
    "protocols",
    "services",
];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Parts of /proc that describe or steer the host. Directories become empty, files become /dev/null.
const MASKED: [&str; 9] = ["acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "sysrq-trigger", "timer_list", "timer_stats"];
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "asound"];

/// Builds the root and makes it `/`.
pub fn enter(spec: &Spec) -> Result<(), Fault> {
    let sources = Sources::resolve(spec)?;
    sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC).step("new mount, uts and ipc namespaces")?;
    sys::set_hostname(&spec.hostname).step("set the host name")?;
    sys::mount("", Path::new("/"), "", MS_REC | MS_PRIVATE, "").step("make the mounts private")?;
    scratch()?;

    let root = Root::open()?;
    root.programs()?;
    root.etc(spec)?;
    root.kernel(spec)?;
    for (overlay, lower, upper, work) in &sources.overlays {
        root.overlay(overlay, lower, upper, work).step_with(|| format!("overlay `{}`", overlay.target.display()))?;
    }
    for (bind, source) in spec.binds.iter().zip(&sources.binds) {
        root.bind(source, &bind.target, bind.writable)
            .step_with(|| format!("bind `{}` at `{}`", bind.source.display(), bind.target.display()))?;
    }
    drop(root);
    let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    sys::mount("", Path::new(NEW), "", flags, "").step("make the root read-only")?;
    // Without root the payload's user owns it. Device files work on a read-only file system.
    let dev = Path::new(NEW).join("dev");
    sys::mount("", &dev, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, "").step("make /dev read-only")?;

    std::env::set_current_dir(NEW).step("enter the new root")?;
    sys::pivot_root(Path::new("."), Path::new(".")).step("pivot to the new root")?;
    sys::detach(Path::new(".")).step("detach the host's root")?;
    std::env::set_current_dir("/").step("enter the new root")
}

/// A tmpfs that becomes the root for the time of building, with the host below it.
fn scratch() -> Result<(), Fault> {
    let base = Path::new("/tmp");
    sys::mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=65536").step("mount a scratch tmpfs on /tmp")?;
    fs::create_dir(base.join(&OLD[1..])).step("make the scratch root")?;
    fs::create_dir(base.join(&NEW[1..])).step("make the scratch root")?;
    sys::pivot_root(base, &base.join(&OLD[1..])).step("pivot to the scratch root")?;
    std::env::set_current_dir("/").step("enter the scratch root")?;
    let data = format!("mode=755,size={ROOT_BYTES}");
    sys::mount("tmpfs", Path::new(NEW), "tmpfs", MS_NOSUID | MS_NODEV, &data).step("mount the new root")
}

/// Real paths of what the host gives, found while its root is still `/`.
struct Sources<'a> {
    binds: Vec<PathBuf>,
    overlays: Vec<(&'a Overlay, PathBuf, PathBuf, PathBuf)>,
}

impl<'a> Sources<'a> {
    fn resolve(spec: &'a Spec) -> Result<Self, Fault> {
        let real = |path: &Path| {
            let real = fs::canonicalize(path).step_with(|| format!("find `{}` on the host", path.display()))?;
            Ok::<_, Fault>(old(&real))
        };
        let binds = spec.binds.iter().map(|bind| real(&bind.source)).collect::<Result<_, _>>()?;
        let overlays = spec.overlays.iter().map(|o| Ok((o, real(&o.lower)?, real(&o.upper)?, real(&o.work)?)));
        Ok(Self { binds, overlays: overlays.collect::<Result<_, Fault>>()? })
    }
}

/// Where a path of the host is while the root is built.
fn old(path: &Path) -> PathBuf {
    Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path))
}

/// The new root, held open.
struct Root(OwnedFd);

impl Root {
    fn open() -> Result<Self, Fault> {
        Ok(Self(File::open(NEW).step("open the new root")?.into()))
    }

    /// The mount point at `target`: made where it is missing, never through a link.
    fn point(&self, target: &Path, directory: bool) -> io::Result<OwnedFd> {
        let names = components(target)?;
        let mut at = self.0.try_clone()?;
        for (index, name) in names.iter().enumerate() {
            let last = index + 1 == names.len();
            let as_directory = directory || !last;
            let flags = libc::O_PATH | if as_directory { libc::O_DIRECTORY } else { 0 };
            at = match sys::open_at(at.as_fd(), name, flags) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if as_directory {
                        sys::make_dir_at(at.as_fd(), name, 0o755)?;
                    } else {
                        sys::make_file_at(at.as_fd(), name)?;
                    }
                    sys::open_at(at.as_fd(), name, flags)?
                }
                other => other?,
            };
        }
        Ok(at)
    }

    /// Mounts `source` at `target` and restricts it.
    fn bind(&self, source: &Path, target: &Path, writable: bool) -> io::Result<()> {
        self.attach(source, target)?;
        // Opened again: the first descriptor is below the mount, this one is on it.
        let point = self.point(target, source.is_dir())?;
        restrict(&proc_path(point.as_fd()), !writable)
    }

    fn attach(&self, source: &Path, target: &Path) -> io::Result<()> {
        let point = self.point(target, fs::metadata(source)?.is_dir())?;
        sys::mount(source, &proc_path(point.as_fd()), "", MS_BIND | MS_REC, "")
    }

    /// Mounts a new file system at `target`.
    fn fresh(&self, kind: &str, target: &str, flags: c_ulong, data: &str) -> Result<(), Fault> {
        let point = self.point(Path::new(target), true).step_with(|| format!("make `{target}`"))?;
        sys::mount(kind, &proc_path(point.as_fd()), kind, MS_NOSUID | flags, data).step_with(|| format!("mount {kind} at `{target}`"))
    }

    fn write(&self, target: &str, text: &str) -> Result<(), Fault> {
        let point = self.point(Path::new(target), false).step_with(|| format!("make `{target}`"))?;
        fs::write(proc_path(point.as_fd()), text).step_with(|| format!("write `{target}`"))
    }

    fn programs(&self) -> Result<(), Fault> {
        self.bind(&old(Path::new("/usr")), Path::new("/usr"), false).step("bind /usr")?;
        for name in TOP {
            let host = old(&Path::new("/").join(name));
            if let Ok(link) = fs::read_link(&host) {
                symlink(link, Path::new(NEW).join(name)).step_with(|| format!("link /{name}"))?;
            } else if host.is_dir() {
                self.bind(&host, &Path::new("/").join(name), false).step_with(|| format!("bind /{name}"))?;
            }
        }
        Ok(())
    }

    fn etc(&self, spec: &Spec) -> Result<(), Fault> {
        let (user, uid, gid, home) = (&spec.user, spec.uid, spec.gid, &spec.home);
        self.write(
            "/etc/passwd",
            &format!("root:x:0:0:root:/root:/usr/sbin/nologin\n{user}:x:{uid}:{gid}::{home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"),
        )?;
        self.write("/etc/group", &format!("root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n"))?;
        let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for (name, address) in &spec.hosts {
            hosts.push_str(&format!("{address} {name}\n"));
        }
        if !spec.hosts.iter().any(|(name, _)| *name == spec.hostname) {
            hosts.push_str(&format!("127.0.0.1 {}\n", spec.hostname));
        }
        self.write("/etc/hosts", &hosts)?;
        self.write("/etc/hostname", &format!("{}\n", spec.hostname))?;
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n")?;
        self.write("/etc/resolv.conf", "")?;
        let java = fs::read_dir(old(Path::new("/etc"))).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let java = java.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("java-"));
        for name in ETC.into_iter().map(str::to_owned).chain(java) {
            let host = old(&Path::new("/etc").join(&name));
            // Links lead to /usr, or out of what the payload may see.
            if fs::symlink_metadata(&host).is_ok_and(|found| found.is_dir() || found.is_file()) {
                self.bind(&host, &Path::new("/etc").join(&name), false).step_with(|| format!("bind /etc/{name}"))?;
            }
        }
        if let Ok(link) = fs::read_link(old(Path::new("/etc/localtime"))) {
            symlink(link, Path::new(NEW).join("etc/localtime")).step("link /etc/localtime")?;
        }
        Ok(())
    }

    /// /proc, /dev and the writable scratch directories.
    fn kernel(&self, spec: &Spec) -> Result<(), Fault> {
        self.fresh("proc", "/proc", MS_NODEV | MS_NOEXEC, "")?;
        self.fresh("tmpfs", "/dev", 0, "mode=755,size=65536")?;
        for name in DEVICES {
            let device = Path::new("/dev").join(name);
            self.attach(&old(&device), &device).step_with(|| format!("bind /dev/{name}"))?;
        }
        let dev = Path::new(NEW).join("dev");
        for (name, link) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlink(link, dev.join(name)).step("make links in /dev")?;
        }
        self.fresh("devpts", "/dev/pts", MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")?;
        self.fresh("tmpfs", "/dev/shm", MS_NODEV | MS_NOEXEC, &format!("mode=1777,size={}", spec.shm_bytes))?;
        self.fresh("tmpfs", "/tmp", MS_NODEV, &format!("mode=1777,size={}", spec.tmp_bytes))?;
        for dir in ["/run", "/var"] {
            self.point(Path::new(dir), true).step_with(|| format!("make `{dir}`"))?;
        }
        symlink("/tmp", Path::new(NEW).join("var/tmp")).step("link /var/tmp")?;
        self.mask()
    }

    fn mask(&self) -> Result<(), Fault> {
        let proc = Path::new(NEW).join("proc");
        for name in MASKED {
            let path = proc.join(name);
            if path.is_dir() {
                sys::mount("tmpfs", &path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4096")
                    .step_with(|| format!("hide /proc/{name}"))?;
            } else if path.exists() {
                sys::mount(old(Path::new("/dev/null")), &path, "", MS_BIND, "").step_with(|| format!("hide /proc/{name}"))?;
            }
        }
        for name in READ_ONLY {
            let path = proc.join(name);
            if path.is_dir() {
                sys::mount(&path, &path, "", MS_BIND | MS_REC, "").step_with(|| format!("guard /proc/{name}"))?;
                restrict(&path, true).step_with(|| format!("guard /proc/{name}"))?;
            }
        }
        Ok(())
    }

    /// Overlayfs, or where the host refuses it a copy in the upper directory.
    fn overlay(&self, overlay: &Overlay, lower: &Path, upper: &Path, work: &Path) -> io::Result<()> {
        let texts: Vec<_> = [lower, upper, work].into_iter().filter_map(|path| path.to_str()).collect();
        let [lower_text, upper_text, work_text] = texts[..] else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path is not UTF-8"));
        };
        if texts.iter().any(|text| text.contains([',', ':', '\\'])) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "overlay paths must not hold `,`, `:` or a backslash"));
        }
        let point = self.point(&overlay.target, true)?;
        let at = proc_path(point.as_fd());
        let data = format!("lowerdir={lower_text},upperdir={upper_text},workdir={work_text}");
        for data in [data.clone(), format!("{data},userxattr")] {
            if sys::mount("overlay", &at, "overlay", MS_NOSUID | MS_NODEV, &data).is_ok() {
                return Ok(());
            }
        }
        copy_tree(lower, upper)?;
        self.bind(upper, &overlay.target, true)
    }
}

/// The names of an absolute path.
fn components(target: &Path) -> io::Result<Vec<&OsStr>> {
    let wrong = || {
        io::Error::new(io::ErrorKind::InvalidInput, format!("target `{}` must be absolute, without `..`, and not `/`", target.display()))
    };
    let mut parts = target.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(wrong());
    }
    let names: Vec<_> =
        parts.map(|part| if let Component::Normal(name) = part { Ok(name) } else { Err(wrong()) }).collect::<Result<_, _>>()?;
    if names.is_empty() { Err(wrong()) } else { Ok(names) }
}

/// A descriptor as a path that `mount` takes and that nobody can redirect.
fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("{OLD}/proc/self/fd/{}", fd.as_raw_fd()))
}

/// No devices and no set-user-id below a mount, and perhaps no writing.
fn restrict(at: &Path, read_only: bool) -> io::Result<()> {
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | if read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    match sys::mount_attributes(at, attributes) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            // Before Linux 5.12: the top mount only. In a user namespace flags that are set must stay set.
            let kept = sys::mount_flags(at)? & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | libc::MS_NOATIME | libc::MS_NODIRATIME);
            let wanted = MS_NOSUID | MS_NODEV | if read_only { MS_RDONLY } else { 0 };
            sys::mount("", at, "", MS_REMOUNT | MS_BIND | kept | wanted, "")
        }
        other => other,
    }
}

/// Copies directories, files and links; anything else is left out.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&target)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(components(Path::new("/opt/ml")).unwrap(), ["opt", "ml"]);
        for wrong in ["", "/", "opt/ml", "/opt/../etc", "./x"] {
            assert!(components(Path::new(wrong)).is_err(), "{wrong}");
        }
    }

    /// What stands in for an overlay on hosts without one.
    #[test]
    fn copies() {
        let dir = std::env::temp_dir().join(format!("tenantry-copy-{}", std::process::id()));
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        symlink("sub/file", from.join("link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "text");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/file"));
        fs::write(to.join("sub/file"), "other").unwrap();
        assert_eq!(fs::read_to_string(from.join("sub/file")).unwrap(), "text");
        fs::remove_dir_all(&dir).unwrap();
    }
}
