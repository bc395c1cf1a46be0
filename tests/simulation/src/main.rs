//! `tenantry-simulation --seeds N [--first S] [--threads T]`: runs seeds, prints those that fail, and what was exercised.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tenantry_simulation::Report;

/// A seed that takes longer, on the machine's clock, hangs: it takes less than a second of an idle processor.
const HANGS: Duration = Duration::from_secs(1200);

struct Wish {
    seeds: u64,
    first: u64,
    threads: u64,
    times: u64,
}

fn read(arguments: &[String]) -> Option<Wish> {
    let mut wish = Wish { seeds: 300, first: 1, threads: 2, times: 1 };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        let value = value.parse().ok()?;
        match name.as_str() {
            "--seeds" => wish.seeds = value,
            "--first" => wish.first = value,
            "--threads" => wish.threads = value,
            "--times" => wish.times = value,
            _ => return None,
        }
    }
    Some(wish)
}

#[derive(Default)]
struct Total {
    reports: u64,
    failed: Vec<u64>,
    kinds: BTreeMap<&'static str, (u64, u64, u64, u64)>,
    crashes: u64,
    faults: u64,
    starts: u64,
    virtual_secs: u64,
}

impl Total {
    fn add(&mut self, seed: u64, report: &Report) {
        self.reports += 1;
        self.crashes += report.crashes;
        self.faults += report.faults;
        self.starts += report.starts;
        self.virtual_secs += report.virtual_secs;
        for (name, acknowledged, doubted, took) in &report.counts {
            let kind = self.kinds.entry(name).or_default();
            *kind = (kind.0 + 1, kind.1 + acknowledged, kind.2 + doubted, kind.3 + took);
        }
        for failure in &report.failures {
            eprintln!("FAILED seed {seed}: {failure}");
        }
        if !report.failures.is_empty() {
            eprintln!("  again: cargo xtask simulate --seeds 1 --first {seed}");
            self.failed.push(seed);
        }
        if self.reports.is_multiple_of(1000) {
            eprintln!("{} seeds, {} failed", self.reports, self.failed.len());
        }
    }

    fn say(&self, took: Duration) {
        for (name, (clients, acknowledged, doubted, effect)) in &self.kinds {
            eprintln!(
                "  {name:<11} {clients:>6} clients {acknowledged:>7} acknowledged {doubted:>6} in doubt or repeated ({effect} of them took effect)"
            );
        }
        eprintln!(
            "{} seeds in {:.0} s: {} failed; {} crashes, {} faults ordered, {} workloads started, {} h of virtual time",
            self.reports,
            took.as_secs_f64(),
            self.failed.len(),
            self.crashes,
            self.faults,
            self.starts,
            self.virtual_secs / 3600
        );
    }
}

/// Nobody waits for a seed that hangs.
fn watch(running: &Mutex<BTreeMap<u64, (u64, Instant)>>, done: &AtomicU64, threads: u64) {
    while done.load(Ordering::SeqCst) < threads {
        std::thread::sleep(Duration::from_millis(100));
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seed, _)) = running.values().find(|(_, since)| since.elapsed() > HANGS) {
            eprintln!("FAILED seed {seed}: it hangs");
            std::process::exit(1);
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(wish) = read(&arguments) else {
        eprintln!("usage: tenantry-simulation [--seeds N] [--first S] [--threads T] [--times N]");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (total, running) = (Mutex::new(Total::default()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..wish.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= wish.seeds * wish.times {
                        break;
                    }
                    let seed = wish.first + at / wish.times;
                    running.lock().unwrap_or_else(PoisonError::into_inner).insert(at, (seed, Instant::now()));
                    let report = tenantry_simulation::run(seed);
                    running.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(seed, &report);
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        watch(&running, &done, wish.threads);
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.say(began.elapsed());
    if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
