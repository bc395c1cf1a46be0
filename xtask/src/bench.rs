//! `bench`: ratios against real things on this machine, kept in `docs/performance.md`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::shell::{cargo, root, run};

/// The package that the request rates are compared with.
const MOTO: &str = "moto[server]==5.2.5";
/// The S3 server that objects are compared with: the crate of that name.
const S3S: &str = "0.14.1";

const INTRODUCTION: &str = "# Performance\n\nMade by `cargo xtask bench`: ratios of one run on one machine, whose absolute times mean nothing \
     elsewhere. The client, the servers and whatever else the machine does share its cores.\n\n";
const REQUESTS: &str = "## Requests";
const OBJECTS: &str = "## Objects";
const WORK: &str = "## Jobs and endpoints";
const POLICY: &str = "## Policy decisions";
const SCALE: &str = "## Full and empty";
/// What the first two were once.
const FORMER: &str = "## Requests and objects";

/// Builds in release mode, measures, writes the page's sections. `--requests`, `--objects`, `--work`, `--scale` and `--policy` choose sections,
/// and the others stay as they are; without any of them all are measured. `--no-moto` leaves moto out of the requests.
pub fn bench(words: &[String]) -> Result<(), String> {
    let given = |flag: &str| words.iter().any(|word| word == flag);
    let all = !["--requests", "--objects", "--work", "--scale", "--policy"].into_iter().any(given);
    if all || given("--requests") {
        section(REQUESTS, &requests(given("--no-moto"))?)?;
    }
    if all || given("--objects") {
        section(OBJECTS, &objects()?)?;
    }
    if all || given("--work") {
        section(WORK, &work()?)?;
    }
    if all || given("--scale") {
        section(SCALE, &scale()?)?;
    }
    if all || given("--policy") {
        section(POLICY, &policy()?)?;
    }
    Ok(())
}

/// The bench's program, told which release build of the server to start.
fn measuring() -> Result<Command, String> {
    cargo(&["build", "--release", "--package", "tenantry", "--package", "tenantry-bench"])?;
    let release = root().join("target/release");
    let mut command = Command::new(release.join("tenantry-bench"));
    command.arg("--binary").arg(release.join("tenantry"));
    Ok(command)
}

fn requests(no_moto: bool) -> Result<String, String> {
    let mut command = measuring()?;
    if !no_moto {
        let environment = root().join("target/bench-venv");
        let python = environment.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", MOTO]))?;
        }
        command.arg("--moto").arg(python);
    }
    let table = output(&mut command)?;
    Ok(format!("A throughput above 1 and a latency below 1 are in our favour.\n\n{table}"))
}

/// Objects against files and another S3 server, which is built once and kept.
fn objects() -> Result<String, String> {
    let home = root().join("target/bench-s3");
    let program = home.join("bin/s3s-fs");
    if !program.exists() {
        let build = home.join("build");
        eprintln!("s3s-fs {S3S} is built once, which takes some minutes");
        let mut install = Command::new("cargo");
        install.args(["install", "s3s-fs", "--version", S3S, "--features", "binary", "--locked", "--root"]).arg(&home);
        run(install.env("CARGO_TARGET_DIR", &build)).map_err(|error| format!("s3s-fs {S3S} cannot be installed: {error}"))?;
    }
    let table = output(measuring()?.arg("--objects").arg(program))?;
    Ok(format!(
        "Medians of turns; a throughput above 1 and a time below 1 are in our favour. A PUT's answer means that the object is on disk, synced, and \
         that its row is committed; it holds the MD5 of the body, the body is encrypted, and where it is signed its SHA-256 is checked. The file has \
         none of that but the sync. The client reads answers into memory, as the file is read; it shares the cores. Against s3s-fs {S3S}, a server \
         of plain files.\n\n{table}"
    ))
}

/// Jobs and endpoints against their programs without the platform.
fn work() -> Result<String, String> {
    let mut command = measuring()?;
    command.arg("--work").arg(root().join("images/runtime")).env("TENANTRY_ENVIRONMENTS", root().join("target/environments"));
    let table = output(&mut command)?;
    Ok(format!(
        "What the platform adds to user code. The job's time is from CreateTrainingJob to the answer of DescribeTrainingJob that says Completed; its \
         script is `pass`. The model's server is the image's own, called by the same client directly and through InvokeEndpoint, signed.\n\n{table}"
    ))
}

/// A full instance against one a hundredth as full.
fn scale() -> Result<String, String> {
    let table = output(measuring()?.arg("--scale"))?;
    Ok(format!(
        "The same requests to a full instance and to one a hundredth as full. Full: 20 accounts of 50 tenants with 10 pipelines each, 100,000 executions, \
         4,000 of them of the pipeline that is asked about. Beside it: one account of 10 tenants, 1,000 executions, 800 of that pipeline.\n\n{table}"
    ))
}

/// Decisions against two other engines. `cedar-policy` is large, so its side is a package apart that
/// nothing but this builds; iam-simulate is a node package, installed from its lock file.
fn policy() -> Result<String, String> {
    let (source, target) = (root().join("tests/bench/engines"), root().join("target/engines"));
    let manifest = source.join("Cargo.toml");
    run(Command::new("cargo").args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest).env("CARGO_TARGET_DIR", &target))?;
    let node = target.join("node");
    fs::create_dir_all(&node).map_err(|error| failed(&node, &error))?;
    for file in ["package.json", "package-lock.json", "simulate.mjs"] {
        fs::copy(source.join(file), node.join(file)).map_err(|error| failed(&source.join(file), &error))?;
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&node))?;
    let table = output(Command::new(target.join("release/tenantry-engines")).arg("--simulate").arg(&node))?;
    Ok(format!(
        "Each policy lets a team use the endpoints that begin with its name, where the tags of principal and resource agree; half of the requests \
         are granted, and all engines must answer alike. Single decisions are timed, the clock's own time included; a ratio above 1 is in our \
         favour. Parsed policies, requests and entities are made before the clock starts; iam-simulate has no form for parsed policies and reads \
         them each time. All seven policy types: the identity policies below two levels of service control policies and two of resource control \
         policies, with an endpoint's, a resource's and a session's policy and a boundary, most with a guard of two conditions.\n\n{table}"
    ))
}

fn output(command: &mut Command) -> Result<String, String> {
    // Progress goes to the terminal as it is.
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(format!("{command:?}: {}", output.status)) }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Replaces one section of the page and leaves the others.
fn section(title: &str, body: &str) -> Result<(), String> {
    let path = root().join("docs/performance.md");
    let page = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, with_section(&page, title, body)).map_err(|error| failed(&path, &error))?;
    eprint!("{body}");
    Ok(())
}

fn with_section(page: &str, title: &str, body: &str) -> String {
    let mut sections: Vec<(&str, &str)> = Vec::new();
    for text in page.split("\n## ").skip(1) {
        let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
        if name == FORMER.trim_start_matches("## ") {
            continue;
        }
        sections.push((name, rest.trim()));
    }
    let title = title.trim_start_matches("## ");
    match sections.iter_mut().find(|(name, _)| *name == title) {
        Some((_, held)) => *held = body.trim(),
        None => sections.push((title, body.trim())),
    }
    let sections: Vec<String> = sections.iter().map(|(name, text)| format!("## {name}\n\n{text}\n")).collect();
    format!("{INTRODUCTION}{}", sections.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let one = with_section("", REQUESTS, "a\n");
        let two = with_section(&one, POLICY, "b\n");
        assert_eq!(two, format!("{INTRODUCTION}{REQUESTS}\n\na\n\n{POLICY}\n\nb\n"));
        assert_eq!(with_section(&two, REQUESTS, "c"), two.replace("\na\n", "\nc\n"));
        assert_eq!(with_section(&two, POLICY, "b"), two);
        let former = format!("{one}\n{FORMER}\n\nold\n");
        assert_eq!(with_section(&former, POLICY, "b\n"), two, "what is now in sections of other names goes");
    }
}
