//! `cargo xtask bench`: ratios measured in one run, each against something real on the same machine.
//!
//! Prints a Markdown table. The other sides: a bare hyper handler in this process, plain file writes
//! with fsync, and moto's server where its Python environment is given (`--moto PYTHON`). Absolute
//! times are noise on shared machines; the ratios are what the page is for.

mod load;
mod scale;
mod server;

use std::{fs, io::Write, time::Instant};

use load::{Load, Sample};
use server::{Instance, Moto, bare};

const REQUESTS: usize = 4000;
const MOTO_REQUESTS: usize = 200;
const MIB: usize = 1024 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| words.iter().position(|w| w == flag).and_then(|at| words.get(at + 1)).cloned();
    let binary = after("--binary").ok_or("--binary PATH of the release build is needed")?;
    if words.iter().any(|word| word == "--scale") {
        Table::print_scale(&scale::rows(&binary).await?);
        return Ok(());
    }
    let instance = Instance::start(&binary).await?;
    let bare = bare().await?;
    let moto = match after("--moto") {
        Some(python) => Some(Moto::start(&python).await?),
        None => None,
    };
    let mut table = Table::default();
    calls(&mut table, &instance, bare, moto.as_ref()).await?;
    objects(&mut table, &instance).await?;
    table.print();
    Ok(())
}

/// Signed GetCallerIdentity and DescribePipeline, on 1 and 16 connections.
async fn calls(table: &mut Table, instance: &Instance, bare: String, moto: Option<&Moto>) -> Result<(), Failure> {
    for connections in [1, 16] {
        let plain = Load::plain(&bare).run(REQUESTS, connections).await?;
        let identity = instance.caller_identity();
        let ours = identity.run(REQUESTS, connections).await?;
        table.rate(&format!("GetCallerIdentity, signed, {connections} connections"), &ours, "a bare hyper handler", &plain);
        if let Some(moto) = moto {
            let theirs = identity.at(&moto.address).run(MOTO_REQUESTS, connections).await?;
            table.rate(&format!("GetCallerIdentity, signed, {connections} connections"), &ours, "moto's server", &theirs);
        }
        let described = instance.describe_pipeline().await?.run(REQUESTS, connections).await?;
        table.rate(&format!("DescribePipeline, signed, {connections} connections"), &described, "a bare hyper handler", &plain);
    }
    Ok(())
}

/// S3 PUT and GET against a plain file.
async fn objects(table: &mut Table, instance: &Instance) -> Result<(), Failure> {
    instance.create_bucket().await?;
    for (name, size, rounds) in [("1 KiB", 1024, 200), ("64 MiB", 64 * MIB, 4)] {
        let bytes = vec![7u8; size];
        let path = std::env::temp_dir().join(format!("tenantry-bench-{}", std::process::id()));
        let start = Instant::now();
        for _ in 0..rounds {
            let mut file = fs::File::create(&path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
        }
        let plain_write = start.elapsed() / rounds;
        let start = Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(fs::read(&path)?);
        }
        let plain_read = start.elapsed() / rounds;
        fs::remove_file(&path)?;
        let (put, get) = instance.put_and_get(&bytes, rounds).await?;
        table.times(&format!("S3 PutObject of {name}"), put, "write and fsync of a file", plain_write);
        table.times(&format!("S3 GetObject of {name}"), get, "read of a file (cached)", plain_read);
    }
    Ok(())
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
    fn times(&mut self, what: &str, ours: std::time::Duration, other: &str, theirs: std::time::Duration) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.0.push(format!("| {what} | {other} | {:.2} | {ratio:.2} | |", 1.0 / ratio));
    }
    #[expect(clippy::print_stdout, reason = "the table is the program's data")]
    fn print_scale(rows: &[String]) {
        println!("| what | full, in hundredths full |\n|---|---|\n{}", rows.join("\n"));
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
