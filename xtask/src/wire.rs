//! `cargo xtask wire`: our decoding and encoding against botocore's serializers and parsers, every served
//! operation filled at random from its model. One half is an example of `crates/wire`, the other `wire.py`.

use std::{fs, process::Command};

use crate::{models::environment, shell};

/// Runs both halves; fails where the two read anything differently.
pub fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask wire".to_owned());
    }
    let root = shell::root();
    let python = environment(&root.join("target/xtask-venv"))?;
    let directory = root.join("target/xtask-wire");
    fs::create_dir_all(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let (cases, requests) = (directory.join("cases.jsonl"), directory.join("requests.jsonl"));
    let example = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["run", "--quiet", "--package", "tenantry-wire", "--example", "differential", "--"]);
        cargo
    };
    let file = fs::File::create(&cases).map_err(|error| format!("cannot write {}: {error}", cases.display()))?;
    shell::run(example().arg("cases").stdout(file))?;
    shell::run(Command::new(python).arg(root.join("xtask/wire.py")).arg(&cases).arg(&requests))?;
    shell::run(example().arg("check").arg(&cases).arg(&requests))
}
