//! What an instance costs before anybody asks it anything: time until it is ready, and memory.

use std::time::Duration;

use tenantry_core::{Scope, Timestamp};
use tenantry_store::{Batch, EventKey, Expect, Kind, Row, Sqlite, Store};

use crate::{Failure, Table, server::Instance};

/// Starts that the middle one of counts.
const STARTS: usize = 5;
/// What is meant to be enough.
const READY: Duration = Duration::from_millis(300);
const IDLE_BYTES: u64 = 60 * 1024 * 1024;
/// How long an instance is left alone before its memory is read.
const ALONE: Duration = Duration::from_secs(2);

/// The large store.
const ROWS: usize = 100_000;
const EVENTS: usize = 1_000_000;
/// Of those in one commit.
const TOGETHER: usize = 5_000;
const FILLING: Kind = Kind::new("bench.filling");

/// Time until an instance is ready on its own directory, and its memory when it has been left alone.
async fn measured(instance: &mut Instance, binary: &str) -> Result<(Duration, u64), Failure> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(instance.restart(binary).await?);
    }
    times.sort();
    tokio::time::sleep(ALONE).await;
    Ok((times[STARTS / 2], instance.resident_bytes()?))
}

/// Adds the rows of an instance that holds next to nothing, against what is meant to be enough.
///
/// # Errors
/// When the server does not start.
pub async fn rows(table: &mut Table, instance: &mut Instance, binary: &str) -> Result<(), Failure> {
    let (ready, memory) = measured(instance, binary).await?;
    table.times("start to ready, on an existing directory", ready, "300 ms", READY);
    table.part("idle memory", memory as f64, "60 MiB", IDLE_BYTES as f64);
    eprintln!("start to ready {ready:?}, idle memory {} MiB", memory >> 20);
    Ok(())
}

/// What 100,000 rows and 1,000,000 events make of that: rows for the table of what a full instance costs.
///
/// # Errors
/// When the server does not start, or its store cannot be filled.
pub async fn full(binary: &str) -> Result<Vec<String>, Failure> {
    let mut instance = Instance::start(binary).await?;
    let (ready, memory) = measured(&mut instance, binary).await?;
    instance.stop()?;
    fill(&instance).await?;
    let (full_ready, full_memory) = measured(&mut instance, binary).await?;
    eprintln!(
        "with {ROWS} rows and {EVENTS} events: ready {full_ready:?} (empty {ready:?}), memory {} MiB (empty {} MiB)",
        full_memory >> 20,
        memory >> 20
    );
    let row = |what: &str, ratio: f64| format!("| {what}: {ROWS} rows and {EVENTS} events, against none | {ratio:.2} |");
    Ok(vec![row("start to ready", full_ready.as_secs_f64() / ready.as_secs_f64()), row("idle memory", full_memory as f64 / memory as f64)])
}

/// Fills the store of an instance that is stopped, with rows and events of the size that they have.
async fn fill(instance: &Instance) -> Result<(), Failure> {
    let store = Sqlite::open(instance.data())?;
    let scope = Scope::new("111122223333", "us-east-1");
    let now = Timestamp::from_secs(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().try_into()?);
    for from in (0..ROWS).step_by(TOGETHER) {
        let mut batch = Batch::new();
        for at in from..from + TOGETHER {
            let row = Row::new(FILLING, &scope, format!("row-{at:08}"), now).with(&serde_json::json!({ "text": "x".repeat(400) }))?;
            batch.put(row, Expect::Any);
        }
        store.commit(batch).await?;
    }
    let filler = "x".repeat(800);
    for from in (0..EVENTS).step_by(TOGETHER) {
        let mut batch = Batch::new();
        for at in from..from + TOGETHER {
            let keys = (0..5).map(|nth| EventKey::of(&["bench", &(at % 100).to_string(), &nth.to_string()])).collect();
            batch.event_under(now, format!(r#"{{"at":{at},"filler":"{filler}"}}"#), keys);
        }
        store.commit(batch).await?;
    }
    Ok(())
}
