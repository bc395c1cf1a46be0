//! Finds the Python of a series on this host. None is ever downloaded.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

const ASK_LIMIT: Duration = Duration::from_secs(20);

/// An interpreter that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub program: PathBuf,
    /// `3.11.2`.
    pub version: String,
    /// Where it is installed.
    pub prefix: PathBuf,
}

impl Interpreter {
    /// The prefix, unless every sandbox sees it anyway.
    pub fn outside_usr(&self) -> Option<PathBuf> {
        (!self.prefix.starts_with("/usr")).then(|| self.prefix.clone())
    }
}

/// The first of: /usr/bin, /usr/local/bin, the newest of pyenv, whatever `python<series>` or `python3` is on PATH.
pub(crate) async fn find(series: &str) -> Option<Interpreter> {
    if series.is_empty() || !series.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let name = format!("python{series}");
    let mut candidates = vec![Path::new("/usr/bin").join(&name), Path::new("/usr/local/bin").join(&name)];
    candidates.extend(pyenv(series));
    candidates.extend([name, "python3".to_owned()].map(PathBuf::from));
    for candidate in candidates {
        // A name without a slash is looked up on PATH.
        if (candidate.components().count() == 1 || candidate.exists())
            && let Some(found) = ask(&candidate).await
            && (found.version == series || found.version.starts_with(&format!("{series}.")))
        {
            return Some(found);
        }
    }
    None
}

/// Any Python 3, for tools.
pub(crate) async fn any() -> Option<PathBuf> {
    for candidate in ["/usr/bin/python3", "python3"] {
        if let Some(found) = ask(Path::new(candidate)).await {
            return Some(found.program);
        }
    }
    None
}

fn pyenv(series: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")))?;
    let versions = std::fs::read_dir(root.join("versions")).ok()?;
    let patch = |name: &str| name.strip_prefix(series)?.strip_prefix('.')?.parse::<u32>().ok();
    let names = versions.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = names.filter_map(|name| Some((patch(&name)?, name))).max()?.1;
    Some(root.join("versions").join(newest).join("bin/python3"))
}

/// Runs it: what it says about itself is the only thing that counts.
async fn ask(program: &Path) -> Option<Interpreter> {
    const QUESTION: &str = "import sys, platform; print(sys.executable); print(platform.python_version()); print(sys.base_prefix)";
    let mut command = Command::new(program);
    command.args(["-I", "-c", QUESTION]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ASK_LIMIT, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let [executable, version, prefix] = text.lines().collect::<Vec<_>>()[..] else { return None };
    let absolute = output.status.success() && executable.starts_with('/') && prefix.starts_with('/');
    absolute.then(|| Interpreter { program: executable.into(), version: version.to_owned(), prefix: prefix.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn found_or_not() {
        let any = any().await.expect("the tests need python3");
        let version = ask(&any).await.unwrap().version;
        let series = version.rsplit_once('.').unwrap().0.to_owned();
        let found = find(&series).await.unwrap();
        assert!(found.version.starts_with(&series), "{found:?}");
        for none in ["3.99", "", "3.11; rm", "2"] {
            assert!(find(none).await.is_none_or(|found| found.version.starts_with("2.")), "{none}");
        }
    }
}
