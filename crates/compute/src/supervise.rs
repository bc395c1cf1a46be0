//! The life of one workload: prepare, launch, watch, end, clean up.

use std::{sync::Arc, time::Duration};

use tenantry_sandbox::{Exit, NetworkHandle, Running, spawn};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    disk,
    environment::{Environment, Environments},
    launch::{Plan, Scratch},
    local::{LocalConfig, Work, lock, now},
    logs, pump,
    workload::{HostState, Network, Workload},
};

/// Between SIGTERM and SIGKILL where the engine itself stops a workload: what SageMaker gives a training job.
const STOP_GRACE: Duration = Duration::from_secs(120);
/// The same for the hosts that are left when one of a group has failed.
const PEER_GRACE: Duration = Duration::from_secs(10);
/// How long the last lines are waited for after the end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Runs a workload to its end. Never fails: what goes wrong is in the status.
pub(crate) async fn supervise(config: LocalConfig, environments: Arc<Environments>, work: Arc<Work>, workload: Workload, sequence: u64) {
    let mut stop = work.stop.subscribe();
    let mut scratches = Vec::new();
    // Dropping these ends the pumps; the logs end by themselves.
    let mut pumps = JoinSet::new();
    let mut hosts = JoinSet::new();
    let mut watchers = JoinSet::new();
    let prepared = tokio::select! {
        prepared = prepare(&config, &environments, &work, &workload) => prepared,
        () = stopped(&mut stop) => Err("it was stopped before it started".to_owned()),
    };
    let launched = match prepared {
        Ok(environment) => {
            let launcher =
                Launcher { config: &config, environments: &environments, environment, work: &work, workload: &workload, sequence };
            launcher.launch(&mut scratches, &mut pumps, &mut hosts, &mut watchers).await
        }
        Err(failure) => Err(failure),
    };
    match launched {
        Ok(()) => watch_hosts(&work, &workload, &mut stop, &mut hosts, &mut watchers).await,
        Err(failure) => {
            let started = std::mem::take(&mut *lock(&work.running));
            started.iter().for_each(|running| running.kill());
            while hosts.join_next().await.is_some() {}
            let nothing = HostState::Exited { code: None, signal: None, oom: false, cpu_millis: 0, max_rss_bytes: 0 };
            work.change(|status| {
                status.hosts.fill(nothing);
                status.failure = Some(failure);
            });
        }
    }
    watchers.shutdown().await;
    finish(&work, pumps, scratches).await;
}

async fn finish(work: &Work, mut pumps: JoinSet<()>, scratches: Vec<Scratch>) {
    pumps.shutdown().await;
    lock(&work.running).clear();
    let removed = tokio::task::spawn_blocking(move || scratches.into_iter().try_for_each(Scratch::remove)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "cannot remove a scratch directory");
    }
    work.change(|status| {
        status.ended = Some(now());
        status.progress = None;
    });
    work.over.send_replace(true);
}

/// Ends when a stop is asked for.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) {
    // The sender lives in the `Work` that the caller holds.
    drop(stop.wait_for(Option::is_some).await);
}

async fn prepare(
    config: &LocalConfig,
    environments: &Environments,
    work: &Work,
    workload: &Workload,
) -> Result<Option<Environment>, String> {
    let progress = |line: &str| lock(&work.status).progress = Some(line.to_owned());
    let environment = match &workload.image {
        Some(image) => Some(environments.ensure(image, progress).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let (workload, isolation, runtime) = (workload.clone(), config.isolation, environments.runtime());
    let give = move || Plan { workload: &workload, isolation, environment: None, runtime: &runtime }.give_mounts();
    let given = tokio::task::spawn_blocking(give).await.map_err(|error| error.to_string())?;
    given.map_err(|error| format!("cannot mount into the workload: {error}"))?;
    Ok(environment)
}

struct Launcher<'a> {
    config: &'a LocalConfig,
    environments: &'a Environments,
    environment: Option<Environment>,
    work: &'a Arc<Work>,
    workload: &'a Workload,
    sequence: u64,
}

impl Launcher<'_> {
    async fn launch(
        &self,
        scratches: &mut Vec<Scratch>,
        pumps: &mut JoinSet<()>,
        hosts: &mut JoinSet<Exit>,
        watchers: &mut JoinSet<()>,
    ) -> Result<(), String> {
        let runtime = self.environments.runtime();
        let plan =
            Plan { workload: self.workload, isolation: self.config.isolation, environment: self.environment.as_ref(), runtime: &runtime };
        let mut network: Option<NetworkHandle> = None;
        for index in 0..self.workload.hosts.len() {
            let unique = format!("{}-{index}-{}-{}", self.workload.name, std::process::id(), self.sequence);
            let scratch =
                Scratch::make(&self.config.scratch, &unique).map_err(|error| format!("cannot make a scratch directory: {error}"))?;
            let spec = plan.spec(index, &unique, &scratch);
            if let Some(limit) = self.workload.limits.disk_bytes {
                watchers.spawn(disk::until_over(plan.fillable(index, &scratch), limit));
            }
            scratches.push(scratch);
            let join = network.clone();
            let spawned = tokio::task::spawn_blocking(move || spawn(&spec, join.as_ref())).await.map_err(|error| error.to_string())?;
            let running = Arc::new(spawned.map_err(|error| error.to_string())?);
            if index == 0 && self.workload.shared_network {
                network = running.network();
            }
            self.attach(index, &running, pumps, hosts);
            lock(&self.work.running).push(running);
            self.work.change(|status| {
                // It may have ended already.
                if status.hosts[index] == HostState::Starting {
                    status.hosts[index] = HostState::Running;
                }
                status.progress = None;
            });
        }
        Ok(())
    }

    /// Connects a host that was started: what goes out, what it prints, how it ends.
    fn attach(&self, index: usize, running: &Running, pumps: &mut JoinSet<()>, hosts: &mut JoinSet<Exit>) {
        if let Network::Brokered(outbound) = &self.workload.network {
            for (listener, out) in running.take_listeners().into_iter().zip(outbound) {
                pumps.spawn(pump::serve(listener, out.host_socket.clone()));
            }
        }
        let (name, sink) = (self.workload.name.clone(), self.workload.logs.clone());
        let output = running.take_output().map(|output| tokio::spawn(logs::deliver(output.into(), name, index, sink)));
        let (tell, told) = oneshot::channel();
        running.on_exit(move |exit| drop(tell.send(exit)));
        let work = self.work.clone();
        hosts.spawn(async move {
            let exit = told.await.unwrap_or_default();
            if let Some(output) = output {
                // A receiver of lines that stopped receiving must not keep a workload alive.
                drop(timeout(LAST_LINES, output).await);
            }
            let Exit { code, signal, oom, cpu_millis, max_rss_bytes } = exit.clone();
            work.change(|status| status.hosts[index] = HostState::Exited { code, signal, oom, cpu_millis, max_rss_bytes });
            exit
        });
    }
}

/// Until every host has ended: stops them when asked to, when their time is up, when one of a group has failed, or when a disk is full.
async fn watch_hosts(
    work: &Work,
    workload: &Workload,
    stop: &mut watch::Receiver<Option<Duration>>,
    hosts: &mut JoinSet<Exit>,
    watchers: &mut JoinSet<()>,
) {
    let mut deadline = workload.timeout.map(|limit| Instant::now() + limit);
    let mut kill_at: Option<Instant> = None;
    let far = Instant::now() + Duration::from_secs(86_400 * 365);
    let each = |act: fn(&Running)| lock(&work.running).iter().for_each(|running| act(running));
    let terminate = |grace: Duration, kill_at: &mut Option<Instant>| {
        each(Running::terminate);
        let at = Instant::now() + grace;
        *kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
    };
    loop {
        tokio::select! {
            ended = hosts.join_next() => match ended {
                None => return,
                Some(Ok(exit)) if exit.code == Some(0) => {}
                Some(_) if workload.shared_network => terminate(PEER_GRACE, &mut kill_at),
                Some(_) => {}
            },
            Ok(()) = stop.changed() => {
                let grace = *stop.borrow_and_update();
                terminate(grace.unwrap_or(STOP_GRACE), &mut kill_at);
            }
            () = sleep_until(deadline.unwrap_or(far)), if deadline.is_some() => {
                deadline = None;
                work.change(|status| status.timed_out = true);
                terminate(STOP_GRACE, &mut kill_at);
            }
            Some(_) = watchers.join_next() => {
                work.change(|status| status.disk_full = true);
                // It would go on writing through any grace.
                each(Running::kill);
            }
            () = sleep_until(kill_at.unwrap_or(far)), if kill_at.is_some() => {
                kill_at = None;
                each(Running::kill);
            }
        }
    }
}
