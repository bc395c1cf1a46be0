//! One target, run for a time or on one input. `cargo xtask fuzz` builds this with counters and starts it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tenantry_fuzz::{
    corpus,
    engine::{Fuzzer, InFlight, Target, Until, save},
    targets, trial,
};

/// As much stack as a worker of tokio's has: what overflows it there is to overflow it here.
const STACK: usize = 2 << 20;
/// Bytes of one target's inputs that are kept in the repository.
const KEPT: usize = 24 << 10;

const USAGE: &str = "usage: tenantry-fuzz --list | TARGET [--seconds N] [--seed S] [--work DIR] [--keep] [--input FILE]";

#[derive(Default)]
struct Options {
    seconds: Option<u64>,
    seed: u64,
    work: Option<PathBuf>,
    keep: bool,
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(code) => code,
        Err(why) => {
            say(&format!("{why}\n"));
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    // Nobody listening is no reason to fail.
    let _unheard = std::io::stderr().write_all(text.as_bytes());
}

fn run(words: &[String]) -> Result<ExitCode, String> {
    let (first, rest) = words.split_first().ok_or(USAGE)?;
    if first == "--list" {
        let lines: String = targets::all().iter().map(|target| format!("{}\t{}\n", target.name, target.what)).collect();
        std::io::stdout().write_all(lines.as_bytes()).map_err(|error| error.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = options(rest)?;
    let target =
        targets::all().into_iter().find(|target| target.name == first).ok_or_else(|| format!("no target `{first}`; --list names them"))?;
    let thread = std::thread::Builder::new().name("fuzz".to_owned()).stack_size(STACK);
    let work = move || match &options.input {
        Some(path) => repeat(&target, path),
        None => fuzz(&target, &options),
    };
    let ended = thread.spawn(work).map_err(|error| error.to_string())?.join();
    ended.map_err(|_| "the engine itself panicked".to_owned())?.map_err(|error| error.to_string())
}

fn options(words: &[String]) -> Result<Options, String> {
    let mut options = Options { seed: 1, ..Options::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or(USAGE);
        match word.as_str() {
            "--seconds" => options.seconds = Some(value()?.parse().map_err(|_| USAGE)?),
            "--seed" => options.seed = value()?.parse().map_err(|_| USAGE)?,
            "--work" => options.work = Some(value()?.into()),
            "--input" => options.input = Some(value()?.into()),
            "--keep" => options.keep = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// One input, as often as it takes to see what it does.
fn repeat(target: &Target, path: &Path) -> std::io::Result<ExitCode> {
    let input = std::fs::read(path)?;
    match trial::run(&mut *(target.make)(), &input, target.memory) {
        None => {
            say(&format!("{}: nothing is wrong with {}\n", target.name, path.display()));
            Ok(ExitCode::SUCCESS)
        }
        Some(finding) => {
            say(&format!("{}: {}: {}\n", target.name, finding.kind, finding.cause));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn fuzz(target: &Target, options: &Options) -> std::io::Result<ExitCode> {
    let kept = corpus::kept(target.name);
    let mut inputs = corpus::read(&kept)?;
    inputs.extend((target.seeds)());
    let in_flight = match &options.work {
        Some(dir) => {
            inputs.extend(corpus::read(&dir.join("corpus").join(target.name))?);
            std::fs::create_dir_all(dir)?;
            InFlight::at(&dir.join(format!("{}.in-flight", target.name)))?
        }
        None => InFlight::nowhere(),
    };
    let found_before = inputs.len();
    let until = Until::Elapsed(Duration::from_secs(options.seconds.unwrap_or(60)));
    let report = Fuzzer::new(target, in_flight).fuzz(&inputs, options.seed, until);
    say(&format!(
        "{}: {} executions, {} edges of the corpus' {} inputs, {} edges at the end, {} findings\n",
        target.name,
        report.executions,
        report.edges.0,
        found_before,
        report.edges.1,
        report.findings.len()
    ));
    if let Some(dir) = &options.work {
        for (input, _) in &report.corpus {
            corpus::write(&dir.join("corpus").join(target.name).join(corpus::name(input)), input)?;
        }
        for line in save(target, &report, &dir.join("findings"))? {
            say(&format!("{line}\n"));
        }
    }
    if options.keep {
        for input in corpus::distil(&report.corpus, KEPT) {
            corpus::write(&kept.join(corpus::name(input)), input)?;
        }
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
