//! `tidy`, `test` and `ci`: what every change has to pass.

use std::process::Command;

use crate::shell::{cargo, python, root, run};

/// Files longer than this are a room with two uses: listed, and refused past twice that.
const LONG: usize = 600;

/// Formatting, lints, file sizes, and promises without a test.
pub fn tidy(_: &[String]) -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    sizes()?;
    crate::promises::run(&[])
}

fn sizes() -> Result<(), String> {
    let listed = Command::new("git").args(["ls-files", "*.rs", "*.py"]).current_dir(root()).output().map_err(|e| format!("git: {e}"))?;
    let mut refused = Vec::new();
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let lines = std::fs::read_to_string(root().join(file)).map(|text| text.lines().count()).unwrap_or(0);
        if lines > 2 * LONG {
            refused.push(format!("{file}: {lines} lines"));
        } else if lines > LONG {
            eprintln!("long: {file}: {lines} lines");
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(format!("split these files:\n{}", refused.join("\n"))) }
}

/// Unit tests, then the journeys against the real binary with real clients. Words are handed to pytest.
pub fn test(words: &[String]) -> Result<(), String> {
    if words.is_empty() {
        cargo(&["test", "--workspace", "--quiet"])?;
        crate::models::run(&["--check".to_owned()])?;
        crate::facts::run(&["--check".to_owned()])?;
        coverage(&["--check".to_owned()])?;
    }
    journeys(words)?;
    if words.is_empty() {
        // The runtime of images, as far as it needs no more than Python.
        let mut runtime = Command::new(python()?);
        run(runtime.args(["-B", "-m", "unittest", "discover", "-q", "-s", "images/runtime/tests"]))?;
        crash(&["--kills".to_owned(), "200".to_owned()])?;
    }
    Ok(())
}

/// The journeys alone.
pub fn journeys(words: &[String]) -> Result<(), String> {
    run(against_the_binary()?.args(["-m", "pytest", "-q", "tests"]).args(words))
}

/// Kills the real binary at random instants and checks what it kept. Words go to `tests/crash/crash.py`.
pub fn crash(words: &[String]) -> Result<(), String> {
    run(against_the_binary()?.arg("tests/crash/crash.py").args(words))
}

/// Whole servers in a simulated world, each by a seed: `--seeds N`, `--first S`. Words go to `tests/simulation`.
pub fn simulate(words: &[String]) -> Result<(), String> {
    // Every check of a debug build, at a speed that allows for thousands.
    let mut arguments = vec!["run", "--quiet", "--profile", "fuzz", "--package", "tenantry-simulation", "--"];
    arguments.extend(words.iter().map(String::as_str));
    cargo(&arguments)
}

/// The journeys' interpreter, with the binary built and Python environments kept between runs.
fn against_the_binary() -> Result<Command, String> {
    cargo(&["build", "--package", "tenantry"])?;
    let mut command = Command::new(python()?);
    let environments = std::env::var_os("TENANTRY_ENVIRONMENTS").unwrap_or_else(|| root().join("target/environments").into());
    command.env("TENANTRY_ENVIRONMENTS", environments);
    Ok(command)
}

/// `tidy` and `test`.
pub fn ci(words: &[String]) -> Result<(), String> {
    tidy(words)?;
    test(&[])
}

/// Writes `docs/coverage.md`; with `--check` only compares.
pub fn coverage(words: &[String]) -> Result<(), String> {
    cargo(&["build", "--quiet", "--package", "tenantry"])?;
    let printed =
        Command::new(root().join("target/debug/tenantry")).arg("coverage").output().map_err(|e| format!("tenantry coverage: {e}"))?;
    let page = root().join("docs/coverage.md");
    if words.iter().any(|word| word == "--check") {
        let had = std::fs::read(&page).unwrap_or_default();
        return if had == printed.stdout {
            Ok(())
        } else {
            Err("docs/coverage.md is not up to date: run `cargo xtask coverage`".to_owned())
        };
    }
    std::fs::write(&page, printed.stdout).map_err(|e| format!("{}: {e}", page.display()))
}
