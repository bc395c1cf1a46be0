//! Small signed calls: throughput, latency and processor time, against a bare handler and against moto's server.
//!
//! All sides get the same signed requests from the same client on the same number of connections, each from a process of
//! its own, so that what differs is what a server does with them. The bare handler reads the request and answers two bytes.
//! Processor time is what the kernel counts for the server's process, what it does behind the answers included.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Failure, Table,
    load::{Load, Sample},
    server::{Instance, Moto, bare},
};

const REQUESTS: usize = 8000;
const MOTO_REQUESTS: usize = 200;
/// What a server does behind its answers is done by then.
const BEHIND: Duration = Duration::from_millis(300);

/// The bare handler in a process of its own.
pub struct Bare {
    process: Child,
    address: String,
}

impl Bare {
    /// Starts this program once more.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?).arg("--bare").stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_owned() })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// What [`Bare::start`] runs: serves until it is killed.
///
/// # Errors
/// When it cannot listen.
#[expect(clippy::print_stdout, reason = "the address is what the parent waits for")]
pub async fn serve_bare() -> Result<(), Failure> {
    println!("{}", bare().await?);
    std::future::pending().await
}

/// A server to measure.
struct Side<'a> {
    name: &'a str,
    address: &'a str,
    process: u32,
    requests: usize,
}

/// Processor time of a process so far.
fn processor_time(process: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; `utime` and `stime` are the twelfth and thirteenth behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no process name")?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11..13).ok_or("too few fields")?.iter().map(|field| field.parse::<u64>()).sum::<Result<_, _>>()?;
    // A tick is a hundredth of a second wherever Linux shows them to programs.
    Ok(Duration::from_millis(ticks * 10))
}

/// Runs a load and tells processor time per request as well.
async fn measured(load: &Load, side: &Side<'_>, connections: usize) -> Result<(Sample, Duration), Failure> {
    let load = load.at(side.address);
    // What is made when it is first needed is made before.
    load.run(side.requests / 10, connections).await?;
    tokio::time::sleep(BEHIND).await;
    let before = processor_time(side.process)?;
    let sample = load.run(side.requests, connections).await?;
    tokio::time::sleep(BEHIND).await;
    let spent = processor_time(side.process)?.saturating_sub(before);
    // `run` warms up with at most a hundred requests of its own.
    Ok((sample, spent / u32::try_from(side.requests + (side.requests / 10).min(100))?))
}

/// Adds the rows of GetCallerIdentity and DescribePipeline, on 1 and 16 connections.
///
/// # Errors
/// When a server does not answer as it should.
pub async fn rows(table: &mut Table, instance: &Instance, moto: Option<&Moto>) -> Result<(), Failure> {
    let bare = Bare::start()?;
    let identity = instance.caller_identity();
    let ours = Side { name: "this", address: &identity.address, process: instance.process(), requests: REQUESTS };
    let plain = Side { name: "a bare hyper handler", address: &bare.address, process: bare.process.id(), requests: REQUESTS };
    let moto = moto.map(|moto| Side { name: "moto's server", address: &moto.address, process: moto.process(), requests: MOTO_REQUESTS });
    for (name, load) in [("GetCallerIdentity", identity.clone()), ("DescribePipeline", instance.describe_pipeline().await?)] {
        for connections in [1, 16] {
            let (sample, spent) = measured(&load, &ours, connections).await?;
            // moto has no pipeline that it could describe.
            let sides = [Some(&plain), moto.as_ref().filter(|_| name == "GetCallerIdentity")];
            for side in sides.into_iter().flatten() {
                let (theirs, their_spent) = measured(&load, side, connections).await?;
                let what = format!("{name}, signed, {connections} connection{}", if connections == 1 { "" } else { "s" });
                table.rate(&what, &sample, side.name, &theirs);
                table.times(&format!("{what}: processor time"), spent, side.name, their_spent);
                let micros = |time: Duration| time.as_secs_f64() * 1e6;
                eprintln!("{what}: {:.0} µs of processor, {} {:.0} µs", micros(spent), side.name, micros(their_spent));
                eprintln!(
                    "    {:.0}/s p50 {:.0} µs p99 {:.0} µs, {:.0}/s {:.0} µs {:.0} µs",
                    sample.per_second,
                    micros(sample.p50),
                    micros(sample.p99),
                    theirs.per_second,
                    micros(theirs.p50),
                    micros(theirs.p99)
                );
            }
        }
    }
    Ok(())
}
