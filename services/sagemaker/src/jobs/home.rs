//! A host's /opt/ml: a directory of the server, and in it volumes of their own for what is uploaded.
//!
//! What the server reads while user code runs must not be reached through a path that the code can change: a
//! link in place of `/opt/ml/output` would lead to the server's own files. A volume is mounted, so the code can
//! neither rename nor replace it, and the server finds it under a path that only the server writes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tenantry_compute::Mount;

use super::plan::Plan;

const OPT_ML: &str = "/opt/ml";
/// Where processing code starts: scripts write relative to it, as to the root of a container, which here is read-only.
pub(crate) const WORK: &str = "/home/job";

/// Where a host's files lie.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
    work: PathBuf,
    /// Paths below /opt/ml and their directories, parents first.
    volumes: Vec<(PathBuf, PathBuf)>,
}

impl Home {
    /// The home of a host below a directory of the server's own; makes nothing.
    pub fn of(plan: &Plan, base: &Path) -> Self {
        let outputs = plan.outputs.iter().map(|output| &output.dir);
        let mut dirs: Vec<_> = outputs.chain(plan.archives.iter().map(|archive| &archive.dir)).cloned().collect();
        dirs.sort();
        dirs.dedup();
        let volumes = dirs.into_iter().enumerate().map(|(index, dir)| (dir, base.join(format!("volume-{index}")))).collect();
        Self { root: base.join("ml"), work: base.join("work"), volumes }
    }

    /// The directory of ours that holds a path below /opt/ml, and the path in it: the pair that `files::open` takes.
    pub fn locate(&self, path: &Path) -> (&Path, PathBuf) {
        let holding = self.volumes.iter().rev().find_map(|(dir, at)| Some((at.as_path(), path.strip_prefix(dir).ok()?)));
        let (base, rest) = holding.unwrap_or((&self.root, path));
        (base, rest.to_owned())
    }

    /// The path on this host. Only before user code has run, or for a volume itself.
    pub fn path(&self, path: &Path) -> PathBuf {
        let (base, rest) = self.locate(path);
        // Joining nothing would append a slash.
        if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
    }

    /// Makes what a job finds, but for its data. Blocking.
    ///
    /// # Errors
    /// The disk.
    pub fn lay_out(&self, plan: &Plan, files: &[(PathBuf, Value)]) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        fs::create_dir_all(&self.work)?;
        for (index, (dir, at)) in self.volumes.iter().enumerate() {
            fs::create_dir_all(at)?;
            // Where it is mounted: in the root, or in the volume around it.
            let around = Self { root: self.root.clone(), work: self.work.clone(), volumes: self.volumes[..index].to_vec() };
            fs::create_dir_all(around.path(dir))?;
        }
        for dir in plan.dirs.iter().chain(plan.inputs.iter().map(|input| &input.dir)) {
            fs::create_dir_all(self.path(dir))?;
        }
        for (path, content) in files {
            let path = self.path(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, serde_json::to_vec(content)?)?;
        }
        Ok(())
    }

    /// For the workload's host.
    pub fn mounts(&self) -> Vec<Mount> {
        let mount = |host: &Path, target: PathBuf| Mount { host: host.to_owned(), target, writable: true };
        let volumes = self.volumes.iter().map(|(dir, at)| mount(at, Path::new(OPT_ML).join(dir)));
        [mount(&self.root, OPT_ML.into()), mount(&self.work, WORK.into())].into_iter().chain(volumes).collect()
    }
}

#[cfg(test)]
impl Home {
    /// A home that is one directory.
    pub fn plain(root: &Path) -> Self {
        Self { root: root.to_owned(), work: root.join("work"), volumes: Vec::new() }
    }
    /// With a volume.
    pub fn volume(mut self, dir: &str, at: &Path) -> Self {
        self.volumes.push((dir.into(), at.to_owned()));
        self.volumes.sort();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn located() {
        let home = Home::plain(Path::new("/h/ml")).volume("output/data", Path::new("/h/v1")).volume("output", Path::new("/h/v0"));
        for (path, base, rest) in [
            ("output/data", "/h/v1", ""),
            ("output/data/a/b", "/h/v1", "a/b"),
            ("output/failure", "/h/v0", "failure"),
            ("outputs/x", "/h/ml", "outputs/x"),
        ] {
            assert_eq!(home.locate(Path::new(path)), (Path::new(base), rest.into()), "{path}");
        }
        assert_eq!(home.path(Path::new("output/data")), Path::new("/h/v1"));
        let targets: Vec<_> = home.mounts().into_iter().map(|mount| mount.target.display().to_string()).collect();
        assert_eq!(targets, ["/opt/ml", WORK, "/opt/ml/output", "/opt/ml/output/data"], "parents first");
    }
}
