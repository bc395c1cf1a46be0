//! The loop: take an input of the corpus, change it, run it, keep it where it reached something new.

use std::{
    collections::HashSet,
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    corpus,
    counters::{self, Seen},
    mutate::{Grammar, mutate},
    rng::Rng,
    trial::{self, Finding},
};

/// What takes inputs. It panics where the platform breaks its word.
pub type Run = Box<dyn FnMut(&[u8])>;

/// A function that takes any bytes, and what good inputs look like.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also of its corpus.
    pub name: &'static str,
    /// What it holds to what, in a line.
    pub what: &'static str,
    /// What its inputs look like.
    pub grammar: Grammar,
    /// Bytes that one input may hold at once.
    pub memory: u64,
    /// Executions after which [`Target::make`] is called anew; 0 for never.
    pub renew: usize,
    /// Makes what the inputs are given to. It panics where the platform breaks its word.
    pub make: fn() -> Run,
    /// Inputs to begin with, made by code (what is signed, packed, or long).
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many executions beyond the corpus.
    Executions(usize),
    /// After this time.
    Elapsed(Duration),
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Inputs run.
    pub executions: usize,
    /// Edges reached by the corpus as it was found, and at the end. 0 where nothing is instrumented.
    pub edges: (usize, usize),
    /// The corpus in order of discovery, each with how many edges and magnitudes it added.
    pub corpus: Vec<(Vec<u8>, usize)>,
    /// Distinct findings, smallest forms.
    pub findings: Vec<(Finding, Vec<u8>)>,
}

/// The file that holds the input in flight, for whoever sees this process die.
pub struct InFlight(Option<File>);

impl InFlight {
    /// Kept there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        File::create(path).map(|file| Self(Some(file)))
    }

    /// Kept nowhere.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(None)
    }

    fn set(&self, input: &[u8]) {
        if let Some(file) = &self.0 {
            let length = (input.len() as u64).to_le_bytes();
            file.write_all_at(&[&length[..], input].concat(), 0).expect("the file of the input in flight is writable");
        }
    }

    /// The input of a file that [`InFlight::at`] made.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<&[u8]> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
    }
}

/// One target being fuzzed.
pub struct Fuzzer<'a> {
    target: &'a Target,
    run: Run,
    since_made: usize,
    in_flight: InFlight,
    seen: Seen,
    known: HashSet<String>,
    report: Report,
}

impl<'a> Fuzzer<'a> {
    /// Nothing has run.
    #[must_use]
    pub fn new(target: &'a Target, in_flight: InFlight) -> Self {
        let run = (target.make)();
        counters::reset();
        Self { target, run, since_made: 0, in_flight, seen: Seen::new(), known: HashSet::new(), report: Report::default() }
    }

    /// Runs one input; whether it reached something new.
    fn one(&mut self, input: &[u8]) -> bool {
        if self.target.renew > 0 && self.since_made >= self.target.renew {
            self.renew();
        }
        self.since_made += 1;
        self.report.executions += 1;
        self.in_flight.set(input);
        let found = trial::run(&mut *self.run, input, self.target.memory);
        let news = self.seen.harvest();
        if let Some(finding) = found {
            if self.known.insert(trial::alike(&finding.cause)) {
                let small =
                    trial::minimize(&mut *self.run, input, self.target.memory, &finding, if finding.kind == "slow" { 20 } else { 2000 });
                self.report.findings.push((finding, small));
            }
            // What panicked may be half done.
            self.renew();
            return false;
        }
        if news > 0 {
            self.report.corpus.push((input.to_vec(), news));
        }
        news > 0
    }

    /// Makes what inputs are given to anew; what that passes is no input's.
    fn renew(&mut self) {
        self.run = (self.target.make)();
        self.since_made = 0;
        counters::reset();
    }

    /// Runs `corpus`, then inputs made of it.
    #[must_use]
    pub fn fuzz(mut self, corpus: &[Vec<u8>], seed: u64, until: Until) -> Report {
        let begun = Instant::now();
        for input in corpus {
            self.one(input);
        }
        self.report.edges.0 = self.seen.edges;
        // Without counters nothing is ever new, and the corpus is all there is.
        let mut pool: Vec<Vec<u8>> = corpus.to_vec();
        if pool.is_empty() {
            pool.push(Vec::new());
        }
        let (mut rng, mut told) = (Rng::new(seed), Duration::from_secs(10));
        let before = self.report.executions;
        let over = |report: &Report| match until {
            Until::Executions(count) => report.executions - before >= count,
            Until::Elapsed(time) => begun.elapsed() >= time,
        };
        while !over(&self.report) {
            // What was found last has been tried least.
            let recent = pool.len() - rng.below(pool.len().min(32)) - 1;
            let chosen = if rng.one_in(2) { recent } else { rng.below(pool.len()) };
            let other = rng.below(pool.len());
            let input = mutate(&mut rng, &self.target.grammar, &pool[chosen], &pool[other]);
            if self.one(&input) {
                pool.push(input);
            }
            if matches!(until, Until::Elapsed(_)) && begun.elapsed() > told {
                self.tell(begun.elapsed());
                told += Duration::from_secs(10);
            }
        }
        self.report.edges.1 = self.seen.edges;
        self.report
    }

    fn tell(&self, elapsed: Duration) {
        let Report { executions, corpus, findings, .. } = &self.report;
        let line = format!(
            "{}: {} s, {executions} executions, {} edges, {} inputs, {} findings\n",
            self.target.name,
            elapsed.as_secs(),
            self.seen.edges,
            corpus.len(),
            findings.len()
        );
        // Nobody listening is no reason to stop.
        let _unheard = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Writes findings into `dir`, and answers a line about each with how to repeat it.
///
/// # Errors
/// The disk.
pub fn save(target: &Target, report: &Report, dir: &Path) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (finding, input) in &report.findings {
        let path: PathBuf = dir.join(target.name).join(format!("{}-{}", finding.kind, corpus::name(input)));
        corpus::write(&path, input)?;
        let shown: String = String::from_utf8_lossy(&input[..input.len().min(160)]).escape_debug().collect();
        lines.push(format!(
            "{}: {}: {}\n  input of {} bytes: {shown}\n  repeat: cargo xtask fuzz {} --input {}",
            target.name,
            finding.kind,
            finding.cause,
            input.len(),
            target.name,
            path.display()
        ));
    }
    Ok(lines)
}
