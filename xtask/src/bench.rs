//! `bench`: ratios against real things on this machine, kept in `docs/performance.md`.

use std::process::Command;

use crate::shell::{cargo, root, run};

/// The package that the request rates are compared with.
const MOTO: &str = "moto[server]==5.2.5";

/// Builds in release mode, measures, writes the page. `--no-moto` leaves moto out.
pub fn bench(words: &[String]) -> Result<(), String> {
    cargo(&["build", "--release", "--package", "tenantry", "--package", "tenantry-bench"])?;
    let release = root().join("target/release");
    let mut command = Command::new(release.join("tenantry-bench"));
    command.arg("--binary").arg(release.join("tenantry"));
    if !words.iter().any(|word| word == "--no-moto") {
        let environment = root().join("target/bench-venv");
        let python = environment.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", MOTO]))?;
        }
        command.arg("--moto").arg(python);
    }
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let page = format!(
        "# Performance\n\nMade by `cargo xtask bench`: ratios of one run on one machine, whose absolute times mean nothing elsewhere. A throughput \
         above 1 and a latency below 1 are in our favour. The client, the servers and whatever else the machine does share its cores.\n\n{table}"
    );
    let path = root().join("docs/performance.md");
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    eprint!("{table}");
    Ok(())
}
