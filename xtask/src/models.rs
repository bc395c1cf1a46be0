//! `cargo xtask models [--check]`: the wire models, from the `botocore` package on PyPI.
//!
//! The package is pinned and lives in a virtual environment under `target/`; none of its files is kept. Raising
//! the version is a change of [`BOTOCORE`] and a run without `--check`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::shell;

/// The version whose facts `models/` holds.
const BOTOCORE: &str = "1.44.5";
/// The model of the operations that are nobody's but ours: written by hand.
const OWN: &str = "tenantry.json";

/// Writes the models, or with `--check` compares them and fails where they differ.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask models [--check]".to_owned()),
    };
    let root = shell::root();
    let python = environment(&root.join("target/xtask-venv"))?;
    let fresh = root.join("target/xtask-models");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|error| format!("cannot empty {}: {error}", fresh.display()))?;
    }
    let reader = root.join("xtask/models.py");
    shell::run(Command::new(python).arg(reader).arg(root.join("models/operations.toml")).arg(&fresh))?;
    let (wanted, kept) = (read(&fresh)?, read(&root.join("models"))?);
    if wanted == kept {
        return Ok(());
    }
    if !check {
        return replace(&root.join("models"), &wanted, &kept);
    }
    let names: Vec<&str> =
        wanted.keys().chain(kept.keys()).filter(|name| wanted.get(*name) != kept.get(*name)).map(String::as_str).collect();
    Err(format!("models differ from botocore {BOTOCORE}: {}; run `cargo xtask models`", names.join(", ")))
}

/// The interpreter of an environment with the pinned package, made where there is none.
pub fn environment(directory: &Path) -> Result<PathBuf, String> {
    let python = directory.join("bin/python");
    let version = Command::new(&python).args(["-c", "import botocore; print(botocore.__version__)"]).output();
    if version.is_ok_and(|output| output.status.success() && output.stdout.trim_ascii() == BOTOCORE.as_bytes()) {
        return Ok(python);
    }
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    shell::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).arg(format!("botocore=={BOTOCORE}")))?;
    Ok(python)
}

/// The models of a directory by file name.
fn read(directory: &Path) -> Result<BTreeMap<String, String>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", directory.display());
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") && !path.ends_with(OWN) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            out.insert(name, fs::read_to_string(&path).map_err(failed)?);
        }
    }
    Ok(out)
}

fn replace(directory: &Path, wanted: &BTreeMap<String, String>, kept: &BTreeMap<String, String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", directory.display());
    for name in kept.keys().filter(|name| !wanted.contains_key(*name)) {
        fs::remove_file(directory.join(name)).map_err(failed)?;
    }
    for (name, text) in wanted.iter().filter(|(name, text)| kept.get(*name) != Some(text)) {
        fs::write(directory.join(name), text).map_err(failed)?;
    }
    Ok(())
}
