//! One seed: clients, lives of the server with faults in them, a last life in which nothing fails, and what must hold then.
//!
//! A life is a tokio runtime whose clock stands still until everything waits: time is virtual, and an hour is nothing.
//! When the server crashes (at a commit, before or after it took effect, or at any instant), the runtime is dropped with
//! every task in it, as SIGKILL would have it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenantry_store::Fault;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::sleep,
};

use crate::{
    chance::Chance,
    clients::{self, Client},
    ledger::Halt,
    truth,
    world::{Place, World},
};

/// In the last life everything must have ended within this, in virtual time.
const DRAIN: Duration = Duration::from_secs(3600);

/// What a seed came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What does not hold; empty where all does.
    pub failures: Vec<String>,
    /// Of each kind of client: name, changes acknowledged, those in doubt, and of these those that took effect.
    pub counts: Vec<(&'static str, u64, u64, u64)>,
    /// Lives that ended by a crash.
    pub crashes: u64,
    /// Faults that were ordered.
    pub faults: u64,
    /// Workloads that were started.
    pub starts: u64,
    /// Seconds of virtual time.
    pub virtual_secs: u64,
}

struct Actor {
    client: Box<dyn Client>,
    chance: Chance,
    left: u64,
    broken: bool,
}

type Actors = Vec<Arc<AsyncMutex<Actor>>>;

/// How a life is to end, and what goes wrong in it.
struct Plan {
    faults: Vec<(u64, Fault)>,
    reads: Vec<u64>,
    length: Duration,
}

impl Plan {
    fn draw(chance: &mut Chance) -> Self {
        let mut plan = Self { faults: Vec::new(), reads: Vec::new(), length: Duration::from_millis(chance.between(1, 40_000)) };
        let (commits, reads) = (*chance.pick(&[0, 0, 3, 10]), *chance.pick(&[0, 0, 3, 12]));
        for _ in 0..commits {
            let fault = match chance.below(5) {
                0 | 1 => Fault::Before,
                2 | 3 => Fault::After,
                _ => Fault::Delay(Duration::from_millis(chance.between(1, 5000))),
            };
            plan.faults.push((chance.between(1, 60), fault));
        }
        for _ in 0..reads {
            plan.reads.push(chance.between(1, 600));
        }
        // Most lives end at a commit: between commits little can be lost.
        if !chance.one_in(4) {
            let end = if chance.one_in(2) { Fault::CrashBefore } else { Fault::CrashAfter };
            let most = *chance.pick(&[10, 40, 100]);
            plan.faults.push((chance.between(1, most), end));
        }
        plan
    }

    fn is_calm(&self) -> bool {
        self.reads.is_empty() && self.faults.iter().all(|(_, fault)| matches!(fault, Fault::CrashBefore | Fault::CrashAfter))
    }
}

/// Works on one seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    let mut chance = Chance::new(seed);
    let mut report = Report::default();
    let actors: Actors = clients::draw(&mut chance)
        .into_iter()
        .map(|client| Actor { client, chance: chance.fork(), left: chance.between(2, 8), broken: false })
        .map(|actor| Arc::new(AsyncMutex::new(actor)))
        .collect();
    let mut world = runtime().block_on(World::new(&mut chance));
    let mut calm = world.fates.failing == 0;
    for _ in 0..chance.below(4) {
        let plan = Plan::draw(&mut chance);
        calm &= plan.is_calm();
        report.faults += plan.faults.len() as u64 + plan.reads.len() as u64;
        let runtime = runtime();
        let lived = runtime.block_on(live(&world, &actors, &mut chance, &plan));
        // Whatever of it still wants to do something gets no answer.
        world.store.crash();
        drop(runtime);
        world.store.heal();
        world.now = world.now.plus_millis(i64::try_from(lived.as_millis()).unwrap_or(0) + 1);
        report.virtual_secs += lived.as_secs();
        report.crashes += 1;
        if broken(&world) {
            break;
        }
    }
    let runtime = runtime();
    let lived = runtime.block_on(last(&world, &actors, &mut chance, calm && report.crashes < 3));
    world.store.crash();
    drop(runtime);
    report.virtual_secs += lived.as_secs();
    report.starts = lock(&world.starts).values().map(|n| u64::from(*n)).sum();
    for actor in &actors {
        if let Ok(actor) = actor.try_lock() {
            let (acknowledged, doubted, took) = actor.client.count();
            report.counts.push((actor.client.name(), acknowledged, doubted, took));
        }
    }
    report.failures.append(&mut lock(&world.failures));
    report
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(world: &World) -> bool {
    !lock(&world.failures).is_empty()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a thread can have a runtime")
}

/// A life with faults; answers how long it was.
async fn live(world: &World, actors: &Actors, chance: &mut Chance, plan: &Plan) -> Duration {
    let place = Arc::new(world.open(chance));
    for (nth, fault) in &plan.faults {
        world.store.inject(*nth, *fault);
    }
    for nth in &plan.reads {
        world.store.inject_read(*nth);
    }
    let (_close, closing) = watch::channel(false);
    let kernel = place.kernel.clone();
    tokio::spawn(async move { kernel.run(closing).await });
    for actor in actors {
        tokio::spawn(act(Arc::clone(actor), Arc::clone(&place), Arc::clone(&world.failures)));
    }
    let mut crashes = world.store.crashes();
    tokio::select! {
        biased;
        _ = crashes.wait_for(|crashed| *crashed) => {}
        () = sleep(plan.length) => {}
    }
    place.age()
}

/// One client while its server lives.
async fn act(actor: Arc<AsyncMutex<Actor>>, place: Arc<Place>, failures: Arc<Mutex<Vec<String>>>) {
    let mut actor = actor.lock().await;
    while actor.left > 0 && !actor.broken {
        let pause = Duration::from_millis(actor.chance.between(1, 4000));
        match actor.client.step(&place).await {
            Ok(()) => actor.left -= 1,
            Err(Halt::Unavailable) => {}
            Err(Halt::Broken(why)) => {
                actor.broken = true;
                let name = actor.client.name();
                lock(&failures).push(format!("{name}: {why}"));
            }
        }
        sleep(pause).await;
    }
}

/// The last life: nothing fails, everything ends.
async fn last(world: &World, actors: &Actors, chance: &mut Chance, calm: bool) -> Duration {
    let place = Arc::new(world.open(chance));
    let (close, closing) = watch::channel(false);
    let kernel = place.kernel.clone();
    let running = tokio::spawn(async move { kernel.run(closing).await });
    for actor in actors {
        act(Arc::clone(actor), Arc::clone(&place), Arc::clone(&world.failures)).await;
    }
    for actor in actors {
        let mut actor = actor.lock().await;
        let name = actor.client.name();
        let said = |halt: Halt, when: &str| match halt {
            Halt::Unavailable => world.broken(format!("{name}: {when} the server was unavailable without a fault")),
            Halt::Broken(why) => world.broken(format!("{name}: {why}")),
        };
        loop {
            match actor.client.ended(&place).await {
                Ok(true) => break,
                Ok(false) if place.age() > DRAIN => {
                    world.broken(format!("{name}: something did not end within {} s", DRAIN.as_secs()));
                    break;
                }
                Ok(false) => sleep(Duration::from_secs(2)).await,
                Err(halt) => {
                    said(halt, "before the end");
                    break;
                }
            }
        }
        if broken(world) {
            break;
        }
        if let Err(halt) = actor.client.check(&place, calm).await {
            said(halt, "in the end");
        }
    }
    if !broken(world) {
        truth::hold(world, &place, DRAIN).await;
    }
    close.send_replace(true);
    // Steps that run end first: what they did is looked at.
    let _ended = tokio::time::timeout(DRAIN, running).await;
    place.age()
}
