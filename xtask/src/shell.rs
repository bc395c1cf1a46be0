//! Running other programs, and the Python environment that the journeys run in.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The repository's root: where the workspace's manifest lies.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Runs a command, its output shown, in the repository's root.
pub fn run(command: &mut Command) -> Result<(), String> {
    let line = format!("{command:?}").replace('"', "");
    eprintln!("+ {}", line.chars().take(160).collect::<String>());
    let status = command.current_dir(root()).status().map_err(|error| format!("{line}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{line}: {status}")) }
}

/// `cargo` with these words.
pub fn cargo(words: &[&str]) -> Result<(), String> {
    run(Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())).args(words))
}

/// The interpreter of the journeys' environment, made on first use from `tests/requirements.txt`
/// and again whenever that file changes.
pub fn python() -> Result<PathBuf, String> {
    let wanted = root().join("tests/requirements.txt");
    let wanted = std::fs::read_to_string(&wanted).map_err(|error| format!("{}: {error}", wanted.display()))?;
    let environment = root().join("target/journeys");
    let interpreter = environment.join("bin/python");
    let stamp = environment.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) && interpreter.exists() {
        return Ok(interpreter);
    }
    let _old = std::fs::remove_dir_all(&environment);
    eprintln!("preparing the journeys' Python environment");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))
        .map_err(|error| format!("{error}\nPython's venv module is missing: install the package python3-venv"))?;
    let pip = |words: &[&str]| {
        run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(words))
    };
    pip(&["uv"])?;
    let list = root().join("tests/requirements.txt");
    run(Command::new(environment.join("bin/uv")).args(["pip", "install", "--quiet", "--python"]).arg(&interpreter).arg("-r").arg(list))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(interpreter)
}
