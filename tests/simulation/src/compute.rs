//! An engine that runs nothing and is honest about it: workloads take virtual time, some fail, servers answer pings,
//! and every start is counted by its name.
//!
//! Nothing of it outlives its server: each life has an engine of its own. Only the counts go on, because a name that
//! was started in one life must not be started in the next.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostState, LogLine, WorkStatus, Workload};
use tenantry_kernel::Clock;
use tokio::sync::{Notify, watch};

use crate::chance::Chance;

/// How often each name was started, over all lives.
pub type Starts = Arc<Mutex<BTreeMap<String, u32>>>;

/// What workloads come to.
#[derive(Debug, Clone, Copy)]
pub struct Fates {
    /// One job in so many fails; 0: none does.
    pub failing: u64,
    /// One server in so many ends by itself, or never serves; 0: none does.
    pub dying: u64,
}

struct Work {
    status: WorkStatus,
    stop: Arc<Notify>,
    serves: bool,
    mute: bool,
}

type Works = Arc<Mutex<BTreeMap<String, Work>>>;

/// The engine of one life.
pub struct Engine {
    works: Works,
    starts: Starts,
    fates: Fates,
    chance: Mutex<Chance>,
    clock: Arc<dyn Clock>,
    changes: Arc<watch::Sender<u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one workload does.
struct Script {
    prepares: Duration,
    runs: Option<Duration>,
    exits: HostState,
    /// Between SIGTERM and its end.
    lingers: Duration,
    mute: bool,
}

fn exited(code: Option<i32>, oom: bool) -> HostState {
    let signal = if code.is_none() { Some(9) } else { None };
    HostState::Exited { code, signal, oom, cpu_millis: 1, max_rss_bytes: 1 }
}

impl Engine {
    /// An engine that runs nothing yet.
    pub fn new(starts: &Starts, fates: Fates, chance: Chance, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            works: Arc::default(),
            starts: Arc::clone(starts),
            fates,
            chance: Mutex::new(chance),
            clock,
            changes: Arc::new(watch::Sender::new(0)),
        })
    }

    /// Names of what it knows.
    pub fn known(&self) -> Vec<String> {
        lock(&self.works).keys().cloned().collect()
    }

    fn script(&self, serves: bool) -> Script {
        let mut chance = lock(&self.chance);
        let millis = |chance: &mut Chance, low, high| Duration::from_millis(chance.between(low, high));
        let prepares = millis(&mut chance, 1, 400);
        let lingers = millis(&mut chance, 1, 3000);
        let mut script = Script { prepares, runs: None, exits: exited(Some(0), false), lingers, mute: false };
        if serves {
            if self.fates.dying > 0 && chance.one_in(self.fates.dying) {
                script.exits = exited(Some(1), false);
                match chance.below(8) {
                    0 => script.mute = true,
                    1..4 => script.runs = Some(millis(&mut chance, 1, 50)),
                    _ => script.runs = Some(millis(&mut chance, 500, 30_000)),
                }
            }
            return script;
        }
        // Now and then one runs until it is stopped or its time is over.
        script.runs = (self.fates.failing == 0 || !chance.one_in(20)).then(|| millis(&mut chance, 20, 15_000));
        if self.fates.failing > 0 && chance.one_in(self.fates.failing) {
            script.exits = if chance.one_in(3) { exited(None, true) } else { exited(Some(3), false) };
        }
        script
    }

    async fn run(
        works: Works,
        changes: Arc<watch::Sender<u64>>,
        clock: Arc<dyn Clock>,
        workload: Workload,
        script: Script,
        stop: Arc<Notify>,
    ) {
        let change = |how: &dyn Fn(&mut WorkStatus)| {
            if let Some(work) = lock(&works).get_mut(&workload.name) {
                how(&mut work.status);
            }
            changes.send_modify(|n| *n += 1);
        };
        let end = |state: HostState, timed_out: bool| {
            let now = clock.now();
            change(&|status| {
                status.hosts.fill(state.clone());
                (status.ended, status.timed_out) = (Some(now), timed_out);
            });
        };
        tokio::select! {
            biased;
            () = stop.notified() => return end(exited(None, false), false),
            () = tokio::time::sleep(script.prepares) => {}
        }
        change(&|status| status.hosts.fill(HostState::Running));
        if let Some(logs) = &workload.logs {
            let line = LogLine { workload: workload.name.clone(), host: 0, time: clock.now(), text: "hello".to_owned() };
            let _full = logs.try_send(line);
        }
        let runs = async {
            match script.runs {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let late = async {
            match workload.timeout {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.notified() => {
                tokio::time::sleep(script.lingers).await;
                end(exited(None, false), false);
            }
            () = runs => {
                if matches!(script.exits, HostState::Exited { code: Some(0), .. }) {
                    leave(&workload);
                }
                end(script.exits.clone(), false);
            }
            () = late => end(exited(None, false), true),
        }
        // The log's sender goes here, with the workload.
    }
}

/// What a job leaves in the directories that are uploaded.
fn leave(workload: &Workload) {
    for mount in workload.hosts.first().into_iter().flat_map(|host| &host.mounts) {
        if mount.writable && (mount.target.ends_with("processing/out") || mount.target == Path::new("/opt/ml/model")) {
            // A directory that is gone means that the job was given up meanwhile; the job's end tells.
            let _gone = std::fs::write(mount.host.join("done"), &workload.name);
        }
    }
}

impl Compute for Engine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, Result<(), ComputeError>> {
        let mut works = lock(&self.works);
        let name = workload.name.clone();
        if works.contains_key(&name) {
            return Box::pin(async { Err(ComputeError::Exists(name)) });
        }
        *lock(&self.starts).entry(name.clone()).or_default() += 1;
        let serves = workload.port.is_some();
        let script = self.script(serves);
        let status = WorkStatus {
            hosts: vec![HostState::Starting; workload.hosts.len()],
            started: self.clock.now(),
            ended: None,
            timed_out: false,
            stopped: false,
            disk_full: false,
            failure: None,
            progress: None,
        };
        let stop = Arc::new(Notify::new());
        works.insert(name, Work { status, stop: Arc::clone(&stop), serves, mute: script.mute });
        let (known, changes, clock) = (Arc::clone(&self.works), Arc::clone(&self.changes), Arc::clone(&self.clock));
        tokio::spawn(Self::run(known, changes, clock, workload, script, stop));
        Box::pin(async { Ok(()) })
    }

    fn status(&self, name: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        let found = lock(&self.works).get(name).map(|work| work.status.clone());
        Box::pin(async move { found })
    }

    fn stop(&self, name: &str, _: Duration) -> BoxFuture<'_, Result<(), ComputeError>> {
        if let Some(work) = lock(&self.works).get_mut(name) {
            work.status.stopped = true;
            work.stop.notify_one();
        }
        Box::pin(async { Ok(()) })
    }

    fn connect(&self, name: &str, _: usize) -> BoxFuture<'_, Result<Box<dyn Duplex>, ComputeError>> {
        let running = |work: &Work| work.serves && !work.mute && work.status.hosts.iter().all(|host| *host == HostState::Running);
        if !lock(&self.works).get(name).is_some_and(running) {
            let error = ComputeError::Unreachable { name: name.to_owned(), reason: "it does not serve".to_owned() };
            return Box::pin(async { Err(error) });
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (works, name) = (Arc::clone(&self.works), name.to_owned());
        tokio::spawn(async move {
            let serve = service_fn(move |request: Request<Incoming>| {
                let alive = lock(&works).get(&name).is_some_and(running);
                async move {
                    if !alive {
                        return Err(std::io::Error::other("it has ended"));
                    }
                    // What comes is what goes: transforms and invocations are held against that.
                    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
                    Ok(Response::new(Full::new(body)))
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(theirs), serve).await);
        });
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn Duplex>) })
    }

    fn forget(&self, name: &str) -> BoxFuture<'_, ()> {
        if let Some(work) = lock(&self.works).remove(name) {
            work.stop.notify_one();
        }
        Box::pin(async {})
    }

    fn names(&self) -> BoxFuture<'_, Vec<String>> {
        let names = self.known();
        Box::pin(async move { names })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
