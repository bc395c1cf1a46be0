//! From a workload to the specification of a sandbox: what each host sees, runs as, and may use.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use tenantry_core::Scope;
use tenantry_sandbox::{Bind, Isolation, Limits, Network as SandboxNetwork, Overlay, Spec, files, host_uids};

use crate::{
    environment::Environment,
    workload::{ComputeError, Mount, Network, Workload, host_address, host_name},
};

/// What the server's own uid is called inside where it is not root.
const MAPPED_UID: u32 = 1000;
const USER: &str = "sagemaker-user";
const HOME: &str = "/tmp";
const MAX_NAME: usize = 100;
const MAX_HOSTS: usize = 100;
/// Files a process may have open.
const OPEN_FILES: u64 = 65_536;

/// The uid (and gid) of an account's workloads: on the host where it has uids to give, otherwise only inside. Two
/// accounts may share one: what keeps workloads apart is their namespaces, the uid is a second wall.
#[must_use]
pub fn uid_of(scope: &Scope) -> u32 {
    host_uids().map_or(MAPPED_UID, |range| {
        let number: u64 = scope.account.as_str().bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
        range.start + (number % u64::from(range.end - range.start)) as u32
    })
}

/// Refuses what no host could run.
pub(crate) fn check(workload: &Workload) -> Result<(), ComputeError> {
    let invalid = |text: String| Err(ComputeError::Invalid(text));
    let plain =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && !name.starts_with('.');
    if !plain(&workload.name) || workload.name.len() > MAX_NAME {
        return invalid(format!("`{}` is not a workload name: letters, digits, `.`, `_`, `-`, at most {MAX_NAME}", workload.name));
    }
    if workload.hosts.is_empty() || workload.hosts.len() > MAX_HOSTS {
        return invalid(format!("a workload has 1 to {MAX_HOSTS} hosts, not {}", workload.hosts.len()));
    }
    if workload.command.is_empty() {
        return invalid("the command is empty".into());
    }
    Ok(())
}

/// A host's private directories, removed when it has ended.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub fn make(root: &Path, name: &str) -> io::Result<Self> {
        let dir = root.join(name);
        fs::create_dir_all(&dir)?;
        for part in ["upper", "work"] {
            fs::create_dir(dir.join(part))?;
        }
        // The root of the layer: as open as the environment below it.
        fs::set_permissions(dir.join("upper"), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        Ok(Self(dir))
    }

    /// What a host wrote over its environment.
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// Removes everything; a payload may have taken permissions away from its own directories.
    pub fn remove(self) -> io::Result<()> {
        if fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
            return Ok(());
        }
        open_up(&self.0)?;
        fs::remove_dir_all(&self.0)
    }
}

fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Everything that all hosts of a workload have in common.
pub(crate) struct Plan<'a> {
    pub workload: &'a Workload,
    pub isolation: Isolation,
    pub environment: Option<&'a Environment>,
    /// For `PYTHONPATH`.
    pub runtime: &'a Path,
}

impl Plan<'_> {
    /// Checks the mounts and gives the writable directories to the workload's user. Blocking.
    ///
    /// # Errors
    /// When one is missing or a link: what an earlier workload left in its place must not be followed.
    pub fn give_mounts(&self) -> io::Result<()> {
        let uid = uid_of(&self.workload.scope);
        let all = self.workload.mounts.iter().chain(self.workload.hosts.iter().flat_map(|host| &host.mounts));
        for mount in all {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", mount.host.display()));
            let kind = fs::symlink_metadata(&mount.host).map_err(named)?.file_type();
            if kind.is_symlink() {
                return Err(named(io::Error::other("it is a symbolic link")));
            }
            if mount.writable && kind.is_dir() {
                files::give_to(&mount.host, uid, uid).map_err(named)?;
            }
        }
        Ok(())
    }

    /// The directories of a host that its payload can fill.
    pub fn fillable(&self, index: usize, scratch: &Scratch) -> Vec<PathBuf> {
        let mounts = self.workload.mounts.iter().chain(&self.workload.hosts[index].mounts);
        let writable = mounts.filter(|mount| mount.writable && mount.host.is_dir()).map(|mount| mount.host.clone());
        std::iter::once(scratch.upper()).chain(writable).collect()
    }

    /// The addresses beyond loopback and the listeners of the broker.
    fn network(&self, index: usize) -> SandboxNetwork {
        if self.isolation == Isolation::None {
            return SandboxNetwork::Host;
        }
        if self.workload.shared_network && index > 0 {
            return SandboxNetwork::Joined;
        }
        match &self.workload.network {
            Network::Isolated => SandboxNetwork::Loopback,
            Network::Brokered(outbound) => {
                let mut addresses: Vec<Ipv4Addr> = Vec::new();
                for out in outbound {
                    if let IpAddr::V4(address) = out.listen.ip()
                        && !address.is_loopback()
                        && !addresses.contains(&address)
                    {
                        addresses.push(address);
                    }
                }
                SandboxNetwork::Served { addresses, listen: outbound.iter().map(|out| out.listen).collect() }
            }
        }
    }

    /// One host's sandbox. `unique` names its control group.
    pub fn spec(&self, index: usize, unique: &str, scratch: &Scratch) -> Spec {
        let workload = self.workload;
        let uid = uid_of(&workload.scope);
        let isolated = self.isolation == Isolation::Full;
        let mounts = workload.mounts.iter().chain(&workload.hosts[index].mounts);
        let bind = |mount: &Mount| Bind { source: mount.host.clone(), target: mount.target.clone(), writable: mount.writable };
        let same = |path: &Path| Bind { source: path.to_owned(), target: path.to_owned(), writable: false };
        let mut binds = vec![same(self.runtime)];
        binds.extend(self.environment.and_then(|environment| environment.interpreter.as_deref()).map(same));
        binds.extend(mounts.map(bind));
        let overlay = |environment: &Environment| Overlay {
            lower: environment.dir.clone(),
            target: environment.dir.clone(),
            upper: scratch.0.join("upper"),
            work: scratch.0.join("work"),
        };
        let hosts = if workload.shared_network {
            (0..workload.hosts.len()).map(|host| (host_name(host), host_address(host).into())).collect()
        } else {
            vec![(host_name(index), Ipv4Addr::LOCALHOST.into())]
        };
        let limits = &workload.limits;
        Spec {
            name: unique.to_owned(),
            isolation: self.isolation,
            argv: workload.command.clone(),
            env: self.variables(index),
            workdir: workload.workdir.clone(),
            uid,
            gid: uid,
            user: USER.into(),
            home: HOME.into(),
            hostname: host_name(index),
            hosts,
            binds,
            overlays: self.environment.filter(|_| isolated).map(overlay).into_iter().collect(),
            tmp_bytes: limits.tmp_bytes,
            shm_bytes: limits.tmp_bytes,
            network: self.network(index),
            limits: Limits {
                memory_bytes: Some(limits.memory_bytes),
                cpu_millis: Some(limits.cpu_millis),
                pids: Some(limits.pids),
                open_files: Some(OPEN_FILES),
                // A single file that is larger fails at once, before anybody has looked.
                file_bytes: limits.disk_bytes,
            },
        }
    }

    /// Ours, then the image's, then the workload's, then the host's; later ones win. Our package stays importable in any case.
    fn variables(&self, index: usize) -> Vec<(String, String)> {
        let mut path = "/usr/local/bin:/usr/bin:/bin".to_owned();
        let mut all = BTreeMap::from([
            ("HOME".to_owned(), HOME.to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            // Otherwise what a program prints comes in blocks, and is lost when it is killed.
            ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
        ]);
        if let Some(environment) = self.environment {
            path = format!("{}/bin:{path}", environment.dir.display());
            all.insert("VIRTUAL_ENV".to_owned(), environment.dir.display().to_string());
        }
        all.insert("PATH".to_owned(), path);
        all.extend(self.workload.image.iter().flat_map(|image| image.environment.clone()));
        all.extend(self.workload.env.clone());
        all.extend(self.workload.hosts[index].env.clone());
        let runtime = self.runtime.display();
        let python_path = all.get("PYTHONPATH").map_or_else(|| runtime.to_string(), |given| format!("{given}:{runtime}"));
        all.insert("PYTHONPATH".to_owned(), python_path);
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_uids_of_their_own() {
        let of = |account: &str| uid_of(&Scope::new(account, "us-east-1"));
        assert_eq!(of("123456789012"), uid_of(&Scope::new("123456789012", "eu-west-1")));
        match host_uids() {
            Some(range) => {
                assert_ne!(of("123456789012"), of("123456789013"));
                assert!(["", "000000000000", "999999999999"].into_iter().all(|account| range.contains(&of(account))));
            }
            None => assert_eq!(of("123456789012"), MAPPED_UID),
        }
    }
}
