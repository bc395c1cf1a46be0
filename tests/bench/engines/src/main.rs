//! The speed of decisions against two other engines, on the same policies and requests in one run.
//!
//! Prints a Markdown table. `--simulate DIRECTORY` adds iam-simulate, whose node modules and script
//! are in that directory. Apart from the workspace because `cedar-policy` is large: only
//! `cargo xtask bench` builds it.

mod cedar;
mod ours;
mod scene;
mod simulate;

use std::time::{Duration, Instant};

use scene::Scene;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Numbers of policies.
const SIZES: [usize; 4] = [1, 10, 100, 1000];

/// For how long every engine decides before it is timed.
const WARM_UP: Duration = Duration::from_millis(300);

/// Times single decisions: `one` makes the decision of a round and says how many nanoseconds it took.
pub(crate) fn timed(rounds: usize, mut one: impl FnMut(usize) -> u64) -> Times {
    let start = Instant::now();
    for round in (0..).take_while(|_| start.elapsed() < WARM_UP) {
        one(round);
    }
    // Written to beforehand: else the kernel would find pages for it between decisions.
    let mut nanoseconds = vec![u64::MAX; rounds];
    nanoseconds.iter_mut().enumerate().for_each(|(round, time)| *time = one(round));
    Times::new(nanoseconds)
}

/// How long single decisions took.
pub(crate) struct Times {
    p50: f64,
    p99: f64,
}

impl Times {
    pub(crate) fn new(mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let at = |part: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * part) as usize] as f64;
        Self { p50: at(0.50), p99: at(0.99) }
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let directory = words.iter().position(|word| word == "--simulate").and_then(|at| words.get(at + 1));
    println!("| engine | policies | p50 | p99 | p50, theirs / ours | p99, theirs / ours |");
    println!("|---|---|---|---|---|---|");
    for size in SIZES {
        let scene = Scene::new(size);
        let (answers, mine) = ours::identity(&scene);
        row("Tenantry, identity policies", size, &mine, None);
        let seven = ours::seven(&scene);
        row("Tenantry, all seven policy types", size, &seven, None);
        let (theirs, times) = cedar::run(&scene)?;
        agree(&answers, &theirs, "cedar-policy")?;
        row("cedar-policy", size, &times, Some(&mine));
        if let Some(directory) = directory {
            let (theirs, times) = simulate::run(&scene, directory)?;
            agree(&answers, &theirs, "iam-simulate")?;
            row("iam-simulate", size, &times, Some(&mine));
        }
    }
    Ok(())
}

/// A comparison of speed means something only between engines that answer alike.
fn agree(ours: &[bool], theirs: &[bool], engine: &str) -> Result<(), Failure> {
    let granted = ours.iter().filter(|answer| **answer).count();
    if ours == theirs && granted > 0 && granted < ours.len() { Ok(()) } else { Err(format!("{engine} decides otherwise").into()) }
}

fn row(engine: &str, size: usize, times: &Times, ours: Option<&Times>) {
    let ratios = ours.map_or("| |".to_owned(), |ours| format!("| {:.1} | {:.1} |", times.p50 / ours.p50, times.p99 / ours.p99));
    println!("| {engine} | {size} | {} | {} {ratios}", shown(times.p50), shown(times.p99));
}

fn shown(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} µs", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}
