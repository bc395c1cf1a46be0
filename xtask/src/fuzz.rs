//! `fuzz [TARGET] [--seconds N] [--seed S] [--keep]`: the fuzz targets of `tests/fuzz`, built with counters, for a minute each.
//!
//! The build has a directory and a profile of its own, and rustc goes through a script that instruments the platform's crates
//! alone. Targets run two beside each other, each in a process of bounded memory: one that dies leaves the input it died of, and
//! is begun again for the time that is left. The corpus grows in `target/fuzz/work`; `--keep` adds the inputs that reach most for
//! their length to `tests/fuzz/corpus`. `--input FILE` runs one input.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::shell::{root, run};

/// Address space of a target's process, in KiB: memory beyond it ends the process, not the machine.
const SPACE: u64 = 8 << 20;
/// Processes of one target that may die before it is given up.
const DEATHS: usize = 5;
/// Targets beside each other.
const BESIDE: usize = 2;

/// What the words ask for.
struct Wish {
    target: Option<String>,
    seconds: u64,
    /// Handed on as they are.
    rest: Vec<String>,
}

/// Runs it.
pub fn fuzz(words: &[String]) -> Result<(), String> {
    let wish = wish(words)?;
    let binary = build()?;
    let listed = Command::new(&binary).arg("--list").output().map_err(|error| error.to_string())?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = listed.lines().filter_map(|line| line.split_once('\t')).map(|(name, _)| name);
    let mut names: Vec<&str> = names.filter(|name| wish.target.as_deref().is_none_or(|wanted| wanted == *name)).collect();
    if names.is_empty() {
        return Err(format!("no such target; there are:\n{listed}"));
    }
    names.reverse();
    let (waiting, failed) = (Mutex::new(names), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..BESIDE {
            scope.spawn(|| {
                while let Some(name) = pop(&waiting) {
                    if let Err(why) = one(&binary, name, &wish) {
                        eprintln!("{why}");
                        push(&failed, name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() { Ok(()) } else { Err(format!("findings in: {}", failed.join(", "))) }
}

fn pop<'a>(waiting: &Mutex<Vec<&'a str>>) -> Option<&'a str> {
    waiting.lock().ok()?.pop()
}

fn push<'a>(failed: &Mutex<Vec<&'a str>>, name: &'a str) {
    if let Ok(mut failed) = failed.lock() {
        failed.push(name);
    }
}

fn wish(words: &[String]) -> Result<Wish, String> {
    const USAGE: &str = "usage: cargo xtask fuzz [TARGET] [--seconds N] [--seed S] [--keep] [--input FILE]";
    let mut wish = Wish { target: None, seconds: 60, rest: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => wish.seconds = words.next().and_then(|value| value.parse().ok()).ok_or(USAGE)?,
            "--seed" | "--input" => wish.rest.extend([word.clone(), words.next().ok_or(USAGE)?.clone()]),
            "--keep" => wish.rest.push(word.clone()),
            name if !name.starts_with('-') && wish.target.is_none() => wish.target = Some(name.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(wish)
}

/// The directory of everything that is made here.
fn made() -> PathBuf {
    std::env::var_os("TENANTRY_FUZZ_TARGET").map_or_else(|| root().join("target/fuzz"), PathBuf::from)
}

fn build() -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(["build", "--profile", "fuzz", "--package", "tenantry-fuzz", "--target-dir"]).arg(made());
    run(cargo.env("RUSTC_WORKSPACE_WRAPPER", root().join("tests/fuzz/instrument.sh")))?;
    Ok(made().join("fuzz/tenantry-fuzz"))
}

/// One target for its time, begun again where it dies.
fn one(binary: &Path, name: &str, wish: &Wish) -> Result<(), String> {
    let work = made().join("work");
    let (begun, time) = (Instant::now(), Duration::from_secs(wish.seconds));
    let mut deaths = Vec::new();
    loop {
        let left = time.saturating_sub(begun.elapsed()).as_secs().max(1);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {SPACE}; ulimit -c 0; exec \"$@\""), "sh"]).arg(binary).arg(name);
        command.args(["--seconds", &left.to_string(), "--work"]).arg(&work).args(&wish.rest);
        let status = command.current_dir(root()).status().map_err(|error| format!("{}: {error}", binary.display()))?;
        match status.code() {
            Some(0) if deaths.is_empty() => return Ok(()),
            Some(0 | 1) => return Err(format!("{name}: findings, see above\n{}", deaths.join("\n"))),
            Some(2) => return Err(format!("{name}: the fuzzer itself failed")),
            _ => deaths.push(died(&work, name, &status.to_string(), deaths.len())?),
        }
        if deaths.len() == DEATHS || begun.elapsed() >= time {
            return Err(deaths.join("\n"));
        }
    }
}

/// Keeps the input that a process died of.
fn died(work: &Path, name: &str, status: &str, number: usize) -> Result<String, String> {
    let in_flight =
        fs::read(work.join(format!("{name}.in-flight"))).map_err(|error| format!("{name}: {status}, before its first input: {error}"))?;
    // The first eight bytes are the length.
    let (length, rest) = in_flight.split_first_chunk::<8>().ok_or_else(|| format!("{name}: {status}, before its first input"))?;
    let input = rest.get(..usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX)).unwrap_or(rest);
    let dir = work.join("findings").join(name);
    let path = dir.join(format!("died-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).and_then(|()| fs::write(&path, input)).map_err(|error| format!("{}: {error}", path.display()))?;
    let bytes = input.len();
    Ok(format!("{name}: {status} on an input of {bytes} bytes\n  repeat: cargo xtask fuzz {name} --input {}", path.display()))
}
