//! Python environments of images, each built once and shared by every job that names it.
//!
//! An environment is a directory under `<environments>/<hash>`, where the hash covers the interpreter and the packages. It is built
//! aside and renamed when it is complete, under a file lock, so several servers and test runs can share one place
//! ([`Environments::location`]). Packages come through `uv`, whose cache lies beside, so that environments share their files by hard links.
//! Jobs see an environment under a writable layer of their own and can `pip install` into it without changing it.
//!
//! It does not verify packages beyond what the index does, and builds source distributions as the server's user: which
//! packages are installed is the operator's decision (`images/*.toml`), never a job's.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    image::Image,
    interpreter::{self, Interpreter},
    runtime,
};

/// The variable that moves environments out of the data directory.
pub const LOCATION_VARIABLE: &str = "TENANTRY_ENVIRONMENTS";
/// Changes when what is built from the same description changes.
const RECIPE: &str = "1";
/// Present in a complete environment.
const MARK: &str = "tenantry-environment.json";
/// Building takes minutes with the largest frameworks; longer means that something hangs.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);
/// Lines of an installer's output kept for an error.
const KEPT_LINES: usize = 30;
/// Variables of the server that an installer sees: where to look for packages and how to get there.
const PASSED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
const PASSED_PREFIXES: [&str; 3] = ["PIP_", "UV_", "SSL_CERT_"];
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"];
/// What pip's settings are called by uv.
const PIP_AS_UV: [(&str, &str); 5] = [
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ("PIP_CERT", "SSL_CERT_FILE"),
    ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
];

/// Where environments are kept and made.
#[derive(Debug)]
pub struct Environments {
    root: PathBuf,
    /// By series. Asking takes a tenth of a second, and every start of a workload asks.
    interpreters: Mutex<BTreeMap<String, Interpreter>>,
}

/// A complete environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The environment; its programs are in `bin`.
    pub dir: PathBuf,
    /// Where the interpreter is installed, unless below /usr. Must be visible at the same path.
    pub interpreter: Option<PathBuf>,
    /// For `PYTHONPATH`: the package `tenantry_runtime` lies here.
    pub runtime: PathBuf,
}

/// Why an environment could not be made. Shown to the user whose job wanted it.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The interpreter is missing.
    #[error("image `{image}` needs python {series}, which this host does not have: install it as /usr/bin/python{series} or with pyenv")]
    NoInterpreter {
        /// The image's URI.
        image: String,
        /// `3.11`.
        series: String,
    },
    /// The installer is missing and cannot be fetched.
    #[error("cannot install uv, which builds environments: {0}")]
    NoInstaller(String),
    /// A package cannot be installed.
    #[error("cannot install `{package}` for image `{image}`: {output}")]
    Package {
        /// The image's URI.
        image: String,
        /// The line of the image's description that failed, or all of them where the installer names none.
        package: String,
        /// The end of the installer's output.
        output: String,
    },
    /// The host's disk.
    #[error("cannot make an environment in `{path}`: {error}")]
    Io {
        /// Where.
        path: String,
        /// Why.
        error: io::Error,
    },
}

impl Environments {
    /// The place that [`LOCATION_VARIABLE`] names, or `<data>/environments`.
    #[must_use]
    pub fn location(data: &Path) -> PathBuf {
        std::env::var_os(LOCATION_VARIABLE).filter(|value| !value.is_empty()).map_or_else(|| data.join("environments"), PathBuf::from)
    }

    /// Uses `root`, which is made if it is missing and closed to other users, and lays out the runtime package there.
    ///
    /// # Errors
    /// When it cannot be written, or belongs to another user.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        // Directories of environments are open to all users (see `open_directories`): this one must not be.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
        let root = fs::canonicalize(root)?;
        runtime::lay_out(&root)?;
        Ok(Self { root, interpreters: Mutex::default() })
    }

    /// For `PYTHONPATH`.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        runtime::place(&self.root)
    }

    /// The environment of an image, built if it is missing. `progress` hears what is being done, a line at a time.
    ///
    /// # Errors
    /// [`EnvironmentError`]; nothing is left of a failed attempt but the cache, and the next call tries again.
    pub async fn ensure(&self, image: &Image, progress: impl Fn(&str) + Send + Sync) -> Result<Environment, EnvironmentError> {
        let missing = || EnvironmentError::NoInterpreter { image: image.uri.clone(), series: image.python.clone() };
        let interpreter = self.interpreter(&image.python).await.ok_or_else(missing)?;
        let name = identity(&interpreter, &image.packages);
        let environment = Environment { dir: self.root.join(&name), interpreter: interpreter.outside_usr(), runtime: self.runtime() };
        if environment.dir.join(MARK).exists() {
            return Ok(environment);
        }
        progress("waiting for the environment's lock");
        let _lock = self.lock(&name).await?;
        if !environment.dir.join(MARK).exists() {
            let aside = environment.dir.with_extension("building");
            if let Err(error) = self.build(image, &interpreter, &environment.dir, &aside, &progress).await {
                // Whatever cannot be removed is removed by the next attempt.
                drop(fs::remove_dir_all(&aside));
                return Err(error);
            }
        }
        Ok(environment)
    }

    async fn interpreter(&self, series: &str) -> Option<Interpreter> {
        let cache = || self.interpreters.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache().get(series).cloned();
        match known {
            // It may have been uninstalled since.
            Some(known) if known.program.exists() => Some(known),
            _ => {
                let found = interpreter::find(series).await?;
                cache().insert(series.to_owned(), found.clone());
                Some(found)
            }
        }
    }

    /// Held until it is dropped, over all processes that share this place.
    async fn lock(&self, name: &str) -> Result<fs::File, EnvironmentError> {
        let path = self.root.join(format!("{name}.lock"));
        let shown = path.display().to_string();
        let locked = tokio::task::spawn_blocking(move || {
            let file = fs::File::create(path)?;
            file.lock()?;
            Ok(file)
        });
        locked.await.map_err(io::Error::other).and_then(|lock| lock).map_err(|error| EnvironmentError::Io { path: shown, error })
    }

    async fn build(
        &self,
        image: &Image,
        interpreter: &Interpreter,
        dir: &Path,
        aside: &Path,
        progress: &(impl Fn(&str) + Send + Sync),
    ) -> Result<(), EnvironmentError> {
        let on = |path: &Path| {
            let path = path.display().to_string();
            move |error| EnvironmentError::Io { path, error }
        };
        if aside.exists() {
            fs::remove_dir_all(aside).map_err(on(aside))?;
        }
        let uv = self.installer(progress).await?;
        let failed =
            |package: &str, output: String| EnvironmentError::Package { image: image.uri.clone(), package: package.to_owned(), output };
        let mut venv = self.command(&uv);
        venv.args(["venv", "--relocatable", "--no-project", "--python"]).arg(&interpreter.program).arg(aside);
        run(venv, progress).await.map_err(|output| failed("the environment itself", output))?;
        if !image.packages.is_empty() {
            progress(&format!("installing {}", image.packages.join(" ")));
            let mut install = self.command(&uv);
            install.args(["pip", "install", "--python"]).arg(aside.join("bin/python")).arg("--").args(&image.packages);
            run(install, progress).await.map_err(|output| failed(&culprit(&image.packages, &output), output))?;
        }
        open_directories(aside).map_err(on(aside))?;
        let mark = serde_json::to_vec_pretty(image).map_err(|error| on(aside)(error.into()))?;
        fs::write(aside.join(MARK), mark).map_err(on(aside))?;
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(on(dir))?;
        }
        fs::rename(aside, dir).map_err(on(dir))
    }

    /// `uv` of the host, or one of our own that is fetched once.
    async fn installer(&self, progress: &(impl Fn(&str) + Send + Sync)) -> Result<PathBuf, EnvironmentError> {
        let home = self.root.join("uv");
        let own = [home.join("venv/bin/uv"), home.join("target/bin/uv")];
        for candidate in [PathBuf::from("uv")].into_iter().chain(own.clone()) {
            let mut version = self.command(&candidate);
            version.arg("--version");
            if run(version, &|_: &str| ()).await.is_ok() {
                return Ok(candidate);
            }
        }
        progress("installing uv");
        let _lock = self.lock("uv").await?;
        let python = interpreter::any().await.ok_or_else(|| EnvironmentError::NoInstaller("this host has no python3".into()))?;
        let mut venv = self.command(&python);
        venv.args(["-m", "venv", "--clear"]).arg(home.join("venv"));
        let with_venv = match run(venv, progress).await {
            Ok(()) => {
                let mut pip = self.command(&home.join("venv/bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "uv"]);
                run(pip, progress).await
            }
            error => error,
        };
        if with_venv.is_err() {
            // Debian's python3 comes without ensurepip.
            let mut pip = self.command(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(home.join("target")).arg("uv");
            run(pip, progress).await.map_err(EnvironmentError::NoInstaller)?;
        }
        own.into_iter().find(|path| path.exists()).ok_or_else(|| EnvironmentError::NoInstaller("pip installed no program".into()))
    }

    /// A command with an environment of its own: no secret of the server reaches an installer.
    fn command(&self, program: &Path) -> Command {
        // Whatever the server's umask is, jobs of other users must be able to read what is installed.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 022; exec \"$0\" \"$@\""]).arg(program).env_clear();
        let passed = |name: &str| {
            PASSED.contains(&name)
                || PASSED_PREFIXES.iter().any(|p| name.starts_with(p))
                || PROXIES.contains(&name.to_ascii_lowercase().as_str())
        };
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)));
        for (pip, uv) in PIP_AS_UV {
            if let (Some(value), None) = (std::env::var_os(pip), std::env::var_os(uv)) {
                command.env(uv, value);
            }
        }
        command
            .env("UV_CACHE_DIR", self.root.join("cache"))
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_NO_CONFIG", "1")
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// What an environment depends on. The order of packages does not matter.
fn identity(interpreter: &Interpreter, packages: &[String]) -> String {
    let mut sorted: Vec<_> = packages.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for part in [RECIPE, &interpreter.program.to_string_lossy(), &interpreter.version].into_iter().chain(sorted) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a command to its end; its error output goes to `progress`, and the end of it into the error.
async fn run(mut command: Command, progress: &(impl Fn(&str) + Send + Sync)) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut kept = std::collections::VecDeque::new();
    let work = async {
        if let Some(errors) = child.stderr.take() {
            let mut lines = BufReader::new(errors).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                progress(&line);
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        }
        child.wait().await
    };
    match tokio::time::timeout(BUILD_LIMIT, work).await {
        Err(_) => Err(format!("it took longer than {} minutes", BUILD_LIMIT.as_secs() / 60)),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) if kept.is_empty() => Err(format!("the installer ended with {status}")),
        Ok(Ok(_)) => Err(kept.make_contiguous().join("\n")),
    }
}

/// The requirements that an installer's output names, or all of them.
fn culprit(packages: &[String], output: &str) -> String {
    let normal = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
    let output = normal(output);
    let name = |requirement: &str| normal(requirement.split(['=', '<', '>', '!', '~', '[', ';', ' ', '@']).next().unwrap_or(requirement));
    let is_word = |at: usize, length: usize| {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        !part(output[..at].chars().next_back()) && !part(output[at + length..].chars().next())
    };
    let named = |package: &&String| {
        let name = name(package);
        !name.is_empty() && output.match_indices(&name).any(|(at, found)| is_word(at, found.len()))
    };
    let found: Vec<_> = packages.iter().filter(named).cloned().collect();
    if found.is_empty() { packages.join(" ") } else { found.join(" ") }
}

/// Lets every user make files in every directory: jobs run under uids of their own, and what they write goes to a layer of
/// their own, for which overlayfs asks the modes of this tree. Nobody reaches the tree itself: its
/// root is closed, and a sandbox sees it under a layer.
fn open_directories(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_directories(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn culprits() {
        let packages = ["xgboost==9.9".to_owned(), "Scikit_Learn>=1".to_owned(), "six".to_owned()];
        assert_eq!(culprit(&packages, "Because there is no version of xgboost==9.9"), "xgboost==9.9");
        assert_eq!(culprit(&packages, "Failed to build `scikit-learn`"), "Scikit_Learn>=1");
        assert_eq!(culprit(&packages, "sixty xgboost-cpu"), packages.join(" "));
    }

    #[test]
    fn identity_ignores_order_only() {
        let python = Interpreter { program: "/usr/bin/python3".into(), version: "3.11.2".into(), prefix: "/usr".into() };
        let of = |packages: &[&str]| identity(&python, &packages.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a"]), of(&["b"]));
    }
}
