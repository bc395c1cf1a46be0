//! `cargo xtask bench`: ratios measured in one run, each against something real on the same machine.
//!
//! Prints one section's Markdown table: `--requests` against a bare hyper handler in a process of its own, and moto's server where its
//! Python environment is given (`--moto PYTHON`); `--objects PROGRAM` against plain files and the S3 server at that path; `--work
//! DIRECTORY` with the images' own programs in that directory; `--scale`. Absolute times are noise on shared machines; the ratios
//! are what the page is for.

mod calls;
mod load;
mod objects;
mod scale;
mod server;
mod start;
mod work;

use std::{path::Path, time::Duration};

use load::Sample;
use server::{Instance, Moto};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| words.iter().position(|w| w == flag).and_then(|at| words.get(at + 1)).cloned();
    if words.iter().any(|word| word == "--bare") {
        return calls::serve_bare().await;
    }
    let binary = after("--binary").ok_or("--binary PATH of the release build is needed")?;
    if words.iter().any(|word| word == "--scale") {
        let mut rows = scale::rows(&binary).await?;
        rows.extend(start::full(&binary).await?);
        Table::print_scale(&rows);
        return Ok(());
    }
    if let Some(other) = after("--objects") {
        let mut table = Table::default();
        // The client of that section is not asynchronous.
        let (table, below) =
            tokio::task::spawn_blocking(move || objects::rows(&mut table, &binary, &other).map(|below| (table, below))).await??;
        table.print();
        Table::print_text(&below);
        return Ok(());
    }
    if let Some(runtime) = after("--work") {
        Table::print_work(&work::rows(&binary, Path::new(&runtime)).await?);
        return Ok(());
    }
    let mut instance = Instance::start(&binary).await?;
    let moto = match after("--moto") {
        Some(python) => Some(Moto::start(&python).await?),
        None => None,
    };
    let mut table = Table::default();
    calls::rows(&mut table, &instance, moto.as_ref()).await?;
    start::rows(&mut table, &mut instance, &binary).await?;
    table.print();
    Ok(())
}

/// The middle one of some times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn rate(&mut self, what: &str, ours: &Sample, other: &str, theirs: &Sample) {
        self.0.push(format!(
            "| {what} | {other} | {:.2} | {:.2} | {:.2} |",
            ours.per_second / theirs.per_second,
            ours.p50.as_secs_f64() / theirs.p50.as_secs_f64(),
            ours.p99.as_secs_f64() / theirs.p99.as_secs_f64()
        ));
    }
    fn times(&mut self, what: &str, ours: Duration, other: &str, theirs: Duration) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.0.push(format!("| {what} | {other} | {:.2} | {ratio:.2} | |", 1.0 / ratio));
    }
    fn part(&mut self, what: &str, ours: f64, other: &str, theirs: f64) {
        self.0.push(format!("| {what} | {other} | | {:.2} | |", ours / theirs));
    }
    #[expect(clippy::print_stdout, reason = "the table is the program's data")]
    fn print_scale(rows: &[String]) {
        println!("| what | full, in hundredths full |\n|---|---|\n{}", rows.join("\n"));
    }
    #[expect(clippy::print_stdout, reason = "the table is the program's data")]
    fn print_work(rows: &[String]) {
        println!("| what | without the platform | through it | added |\n|---|---|---|---|\n{}", rows.join("\n"));
    }
    #[expect(clippy::print_stdout, reason = "the text is the program's data")]
    fn print_text(below: &str) {
        println!("\n{below}");
    }
    #[expect(clippy::print_stdout, reason = "the table is the program's data")]
    fn print(&self) {
        println!("| what | against | throughput, ours / theirs | p50, ours / theirs | p99, ours / theirs |");
        println!("|---|---|---|---|---|");
        for row in &self.0 {
            println!("{row}");
        }
    }
}
