//! One instance that serves a model: its data, its sandbox, its health.
//!
//! A task keeps it. It downloads the model's data once, starts the container, waits for `GET /ping` to answer
//! 200, and starts the container anew when it ends, a bounded number of times. Whoever sends requests sees
//! only whether the instance is ready. Told to stop, it first lets the requests that run be answered.
//!
//! A model of several containers has an instance with companions: one sandbox each, which share what the instance may
//! use. They are ready, and end, together; requests are counted at the first.
//!
//! Nothing of it is stored: after a restart of the server the reconciler makes it again from the row.

use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tenantry_compute::{ComputeError, Host, HostState, Image, Limits, Mount, Workload};
use tenantry_core::{Arn, Scope};
use tenantry_kernel::{Caller, Kernel};
use tokio::{fs, sync::watch, time::Instant};

use super::{
    artifact,
    connection::Connections,
    container::{self, Container},
    multi::Models,
};
use crate::{
    Machinery,
    jobs::{container as plumbing, data::Mover, logs},
};

/// Requests to one instance at a time; more wait.
pub(crate) const AT_A_TIME: usize = 100;
/// The port that containers serve on.
const PORT: u16 = 8080;
/// So many starts of a container that ends before it was ready are one failure.
pub(super) const STARTS: u32 = 3;
/// A container that ends more often than this without having been healthy for [`HEALTHY`] is not started again.
pub(super) const RESTARTS: u32 = 5;
/// A container that served so long has earned new restarts.
const HEALTHY: Duration = Duration::from_secs(600);
/// Between starts of a container, times their number.
pub(crate) const BETWEEN_STARTS: Duration = Duration::from_millis(500);
/// How long preparing the image's environment may take.
const ENVIRONMENT: Duration = Duration::from_secs(3600);
/// A ping is answered within this.
const PING: Duration = Duration::from_secs(2);
/// Between pings while a container starts.
const BETWEEN_PINGS: Duration = Duration::from_millis(250);
/// A stopped instance waits so long for its requests to be answered.
const DRAIN: Duration = Duration::from_secs(65);
/// A container has so long between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// The end of a container is seen within this after its connections broke.
const LOOK: Duration = Duration::from_secs(1);
/// A thousandth of a processor is the unit; one container of several has at least this.
const MIN_CPU_MILLIS: u64 = 100;
/// Refused destinations that a log tells of.
const MAX_REFUSALS: usize = 100;

/// Where model data lies in a container.
const MODEL_DIR: &str = "/opt/ml/model";
/// Where the models of a multi-model container lie.
pub(super) const MODELS_DIR: &str = "/opt/ml/models";

/// What an instance is to be.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Twenty hexadecimal digits, unique over all accounts: names of sandbox and directory.
    pub id: String,
    /// Whose.
    pub scope: Scope,
    /// The endpoint or transform job.
    pub source: Arn,
    /// Of whoever made it.
    pub source_identity: Option<String>,
    /// What it runs.
    pub container: Container,
    /// What it may use.
    pub limits: Limits,
    /// Requests at a time.
    pub at_a_time: usize,
    /// The log.
    pub log: logs::Destination,
    /// Variables over the container's.
    pub env: Vec<(String, String)>,
    /// Seconds for the data.
    pub download_secs: u64,
    /// Seconds until the ping is answered.
    pub startup_secs: u64,
    /// What the data may fill.
    pub volume_gib: u64,
    /// Between starts of the container, times their number.
    pub between_starts: Duration,
    /// What to say when the ping is not answered.
    pub unhealthy: String,
}

impl Plan {
    /// A plan for each of its containers, which have equal shares of the instance.
    fn apart(self) -> Vec<Self> {
        let all: Vec<Container> = self.container.all().cloned().collect();
        let count = all.len() as u64;
        if count == 1 {
            return vec![self];
        }
        let of = |at: usize, container: Container| {
            let name = container.hostname.clone().unwrap_or_else(|| format!("container-{}", at + 1));
            Self {
                id: if at == 0 { self.id.clone() } else { plumbing::digest("sagemaker.container", &format!("{}/{at}", self.id)) },
                limits: Limits {
                    memory_bytes: self.limits.memory_bytes / count,
                    cpu_millis: (self.limits.cpu_millis / count).max(MIN_CPU_MILLIS),
                    tmp_bytes: self.limits.tmp_bytes / count,
                    ..self.limits.clone()
                },
                log: logs::Destination {
                    streams: self.log.streams.iter().map(|stream| format!("{stream}/{name}")).collect(),
                    ..self.log.clone()
                },
                unhealthy: self.unhealthy.replace("primary container", &format!("{name} container")),
                container: Container { after: Vec::new(), ..container },
                ..self.clone()
            }
        };
        all.into_iter().enumerate().map(|(at, container)| of(at, container)).collect()
    }
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not ready (any more, or yet).
    Starting,
    /// Answers requests.
    Ready,
    /// Given up, and why.
    Failed(String),
    /// Nothing of it is left.
    Gone,
}

impl State {
    /// Of several containers, the first of which outlives the others.
    fn together(states: &[Self]) -> Self {
        match states {
            [Self::Gone, ..] => Self::Gone,
            _ => match states.iter().find(|state| matches!(state, Self::Failed(_))) {
                Some(failed) => failed.clone(),
                None if states.iter().all(|state| *state == Self::Ready) => Self::Ready,
                None => Self::Starting,
            },
        }
    }
}

/// An instance, shared by its keeper and those who send requests.
pub(crate) struct Instance {
    pub plan: Plan,
    pub connections: Arc<Connections>,
    /// The models of a multi-model container.
    pub models: Option<Models>,
    pub kernel: Kernel,
    /// Its other containers, in order.
    companions: Vec<Arc<Instance>>,
    machinery: Arc<Machinery>,
    /// How it is without its companions.
    own: watch::Sender<State>,
    /// How all of it is.
    state: watch::Sender<State>,
    stop: watch::Sender<bool>,
    in_flight: AtomicUsize,
    /// Moves whenever [`Self::in_flight`] falls to nothing.
    idle: tokio::sync::Notify,
    /// The sandbox that runs now; each start has a name of its own.
    workload: std::sync::Mutex<String>,
}

/// A request that runs: while it lives its instance is not taken away.
pub(crate) struct InFlight(Arc<Instance>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Instance {
    /// Starts keeping an instance. `changed` is called after each change of its state.
    pub fn start(kernel: &Kernel, machinery: &Arc<Machinery>, plan: Plan, changed: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let mut plans = plan.apart();
        let beside = plans.split_off(1);
        match plans.pop() {
            Some(plan) => Self::begin(kernel, machinery, plan, beside, Arc::new(changed)),
            None => unreachable!("a plan has at least its own container"),
        }
    }

    fn begin(
        kernel: &Kernel,
        machinery: &Arc<Machinery>,
        plan: Plan,
        beside: Vec<Plan>,
        changed: Arc<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        let dir = machinery.work.join(&plan.id);
        let models = plan.container.multi_model().then(|| Models::new(dir.join("models"), &plan));
        let instance = Arc::new_cyclic(|this: &Weak<Self>| {
            let companion = |plan: Plan| {
                let (this, changed) = (this.clone(), Arc::clone(&changed));
                let told = move || {
                    if let Some(this) = this.upgrade() {
                        this.settle();
                        changed();
                    }
                };
                Self::begin(kernel, machinery, plan, Vec::new(), Arc::new(told))
            };
            Self {
                connections: Arc::new(Connections::new(Arc::clone(&machinery.engine), plan.at_a_time)),
                models,
                kernel: kernel.clone(),
                companions: beside.into_iter().map(companion).collect(),
                machinery: Arc::clone(machinery),
                own: watch::Sender::new(State::Starting),
                state: watch::Sender::new(State::Starting),
                stop: watch::Sender::new(false),
                in_flight: AtomicUsize::new(0),
                idle: tokio::sync::Notify::new(),
                workload: std::sync::Mutex::default(),
                plan,
            }
        });
        // A companion may have changed before there was anybody to tell.
        instance.settle();
        let kept = Arc::clone(&instance);
        tokio::spawn(async move { kept.keep(dir, &*changed).await });
        instance
    }

    /// Its containers, in the order in which a request passes them.
    pub fn containers(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(&self.companions)
    }

    /// Whether its containers are asked by their hostnames.
    pub fn direct(&self) -> bool {
        self.plan.container.direct && !self.companions.is_empty()
    }

    /// Says how it is with its companions.
    fn settle(&self) {
        self.state.send_modify(|state| {
            let each = std::iter::once(&self.own).chain(self.companions.iter().map(|companion| &companion.state));
            *state = State::together(&each.map(|state| state.borrow().clone()).collect::<Vec<_>>());
        });
    }

    /// How it is now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }
    /// Follows it.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
    /// After a connection broke: gives the keeper time to see that the container has ended, so that the next
    /// request waits for the new one instead of meeting the old one's closing socket.
    pub async fn look(&self) {
        drop(tokio::time::timeout(LOOK, self.watch().wait_for(|state| *state != State::Ready)).await);
    }
    /// No more requests; then the end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
    /// Requests that run.
    pub fn load(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }
    /// Begins a request, unless the instance is going.
    pub fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let guard = InFlight(Arc::clone(self));
        // Stopping looks at the count after it has set the flag: one of the two sees the other.
        (!*self.stop.borrow()).then_some(guard)
    }
    /// The sandbox to connect to.
    pub fn workload(&self) -> String {
        self.workload.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The role of its model, for its data.
    ///
    /// # Errors
    /// When the role cannot be assumed.
    pub async fn mover(&self) -> tenantry_core::Result<Mover> {
        Ok(Mover::new(self.kernel.clone(), self.caller().await?, self.plan.scope.region.clone()))
    }

    async fn caller(&self) -> tenantry_core::Result<Caller> {
        let plan = &self.plan;
        plumbing::assume(&self.kernel, &plan.container.role, &plan.source, plan.source_identity.as_deref(), &plan.scope.region).await
    }

    async fn keep(self: Arc<Self>, dir: PathBuf, changed: &(dyn Fn() + Send + Sync)) {
        let become_ = |state: State| {
            self.own.send_replace(state);
            self.settle();
            changed();
        };
        let mut stop = self.stop.subscribe();
        // It goes on serving while its last requests are answered: its way out belongs to the future that serves.
        let ended = tokio::select! {
            reason = self.serve(&dir, &become_) => Some(reason),
            () = async {
                drop(self.stop.subscribe().wait_for(|stop| *stop).await);
                self.drain().await;
            } => None,
        };
        self.end(&dir, ended.is_some()).await;
        if let Some(reason) = ended {
            logs::say(&self.kernel, &self.plan.log, &reason).await;
            become_(State::Failed(reason));
            // Known as failed until it is told to go.
            drop(stop.wait_for(|stop| *stop).await);
        }
        for companion in &self.companions {
            companion.stop();
        }
        for companion in &self.companions {
            drop(companion.watch().wait_for(|state| *state == State::Gone).await);
        }
        become_(State::Gone);
    }

    async fn drain(&self) {
        let until = Instant::now() + DRAIN;
        loop {
            let idle = self.idle.notified();
            if self.load() == 0 || tokio::time::timeout_at(until, idle).await.is_err() {
                return;
            }
        }
    }

    /// Removes sandbox and files.
    async fn end(&self, dir: &std::path::Path, at_once: bool) {
        let name = self.workload();
        self.connections.clear();
        if !name.is_empty() {
            if !at_once && self.machinery.engine.stop(&name, GRACE).await.is_ok() {
                self.until_over(&name, Some(GRACE + Duration::from_secs(5))).await;
            }
            self.machinery.engine.forget(&name).await;
        }
        if let Err(error) = fs::remove_dir_all(dir).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "an instance's directory cannot be removed");
        }
    }

    /// Serves until it is to be given up; answers why.
    async fn serve(&self, dir: &std::path::Path, become_: &(dyn Fn(State) + Sync)) -> String {
        let prepared = match self.prepare(dir).await {
            Ok(prepared) => prepared,
            Err(reason) => return reason,
        };
        let (mut starts, mut crashes, mut count) = (0, 0, 0);
        loop {
            let around = match self.launch(dir, &prepared, count).await {
                Ok(around) => around,
                Err(reason) => return reason,
            };
            match self.until_ready().await {
                Ok(()) => {
                    starts = 0;
                    become_(State::Ready);
                    let since = Instant::now();
                    self.until_over(&self.workload(), None).await;
                    become_(State::Starting);
                    crashes = if since.elapsed() > HEALTHY { 1 } else { crashes + 1 };
                    logs::say(&self.kernel, &self.plan.log, "the container ended while it served").await;
                }
                Err(NotReady::Failed(reason)) => return reason,
                Err(NotReady::Late) => return self.plan.unhealthy.clone(),
                Err(NotReady::Ended) => starts += 1,
            }
            self.connections.clear();
            self.machinery.engine.forget(&self.workload()).await;
            drop(around);
            if starts >= STARTS || crashes > RESTARTS {
                return self.plan.unhealthy.clone();
            }
            if let Some(models) = &self.models {
                models.forget_all().await;
            }
            count += 1;
            tokio::time::sleep(self.plan.between_starts * count.min(20)).await;
        }
    }

    /// The image and the role's data.
    async fn prepare(&self, dir: &std::path::Path) -> Result<Prepared, String> {
        let plan = &self.plan;
        let image = container::serving_image(&self.machinery, &plan.container.image, plan.container.multi_model())
            .map_err(|error| error.message)?;
        let caller = self.caller().await.map_err(|error| error.message)?;
        let said = |error: std::io::Error| format!("the model's directory cannot be made: {error}");
        if dir.exists() {
            fs::remove_dir_all(dir).await.map_err(said)?;
        }
        // With the place that the data is mounted at.
        fs::create_dir_all(dir.join("ml").join(self.place())).await.map_err(said)?;
        let place = dir.join(self.place());
        let mover = Mover::new(self.kernel.clone(), caller.clone(), plan.scope.region.clone());
        let data = artifact::place(&mover, &plan.container.source, &place, plan.volume_gib, &plan.scope);
        match tokio::time::timeout(Duration::from_secs(plan.download_secs), data).await {
            Ok(Ok(())) => Ok(Prepared { image, caller }),
            Ok(Err(error)) => Err(container::download_failure(&plan.container, &error)),
            Err(_) => Err(format!(
                "Model data download timed out after {} seconds. Please use a longer ModelDataDownloadTimeoutInSeconds.",
                plan.download_secs
            )),
        }
    }

    async fn launch(&self, dir: &std::path::Path, prepared: &Prepared, start: u32) -> Result<plumbing::Surroundings, String> {
        let plan = &self.plan;
        let wish = plumbing::Wish {
            caller: prepared.caller.clone(),
            region: &plan.scope.region,
            dir,
            isolated: plan.container.isolated,
            vpc: plan.container.vpc,
            hosts: 1,
            refused: self.refusals(),
        };
        let mut around = plumbing::open(&self.kernel, &self.machinery, wish)
            .map_err(|error| format!("the container's way out cannot be made: {error}"))?;
        let name = format!("serve-{}-{start}", plan.id);
        let (log, _writer) = logs::start(self.kernel.clone(), plan.log.clone(), |_| {});
        let workload = Workload {
            name: name.clone(),
            scope: plan.scope.clone(),
            hosts: vec![Host::default()],
            image: Some(prepared.image.clone()),
            command: prepared.image.entry.serve.clone(),
            env: self.variables(std::mem::take(&mut around.env)),
            workdir: "/".to_owned(),
            mounts: self.mounts(dir, std::mem::take(&mut around.mounts)),
            limits: plan.limits.clone(),
            network: std::mem::take(&mut around.network),
            shared_network: false,
            port: Some(PORT),
            timeout: None,
            logs: Some(log),
        };
        *self.workload.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = name;
        match self.machinery.engine.start(workload).await {
            Ok(()) | Err(ComputeError::Exists(_)) => Ok(around),
            Err(error) => Err(error.to_string()),
        }
    }

    fn variables(&self, around: std::collections::BTreeMap<String, String>) -> std::collections::BTreeMap<String, String> {
        let mut env = around;
        env.insert("SAGEMAKER_MAX_REQUEST_SIZE".to_owned(), super::invoke::MAX_PAYLOAD.to_string());
        env.extend(self.plan.container.env.clone());
        env.extend(self.plan.env.iter().cloned());
        env.insert("SAGEMAKER_BIND_TO_PORT".to_owned(), PORT.to_string());
        if self.plan.container.multi_model() {
            env.insert("SAGEMAKER_MULTI_MODEL".to_owned(), "true".to_owned());
        }
        env
    }

    /// /opt/ml is the container's own; the model's data in it is not.
    fn mounts(&self, dir: &std::path::Path, mut mounts: Vec<Mount>) -> Vec<Mount> {
        let inside = if self.plan.container.multi_model() { MODELS_DIR } else { MODEL_DIR };
        mounts.push(Mount { host: dir.join("ml"), target: PathBuf::from("/opt/ml"), writable: true });
        mounts.push(Mount { host: dir.join(self.place()), target: PathBuf::from(inside), writable: false });
        mounts
    }

    /// The directory of the model's data, here and below /opt/ml.
    fn place(&self) -> &'static str {
        if self.plan.container.multi_model() { "models" } else { "model" }
    }

    fn refusals(&self) -> Arc<dyn Fn(String) + Send + Sync> {
        let (kernel, log, told) = (self.kernel.clone(), self.plan.log.clone(), AtomicUsize::new(0));
        Arc::new(move |text| {
            if told.fetch_add(1, Ordering::Relaxed) < MAX_REFUSALS {
                let (kernel, log) = (kernel.clone(), log.clone());
                tokio::spawn(async move { logs::say(&kernel, &log, text).await });
            }
        })
    }

    /// Waits for the first answered ping.
    async fn until_ready(&self) -> Result<(), NotReady> {
        let name = self.workload();
        let mut until = Instant::now() + ENVIRONMENT;
        let mut running = false;
        let mut told = None;
        loop {
            let Some(status) = self.machinery.engine.status(&name).await else { return Err(NotReady::Ended) };
            if status.progress.is_some() && status.progress != told {
                told.clone_from(&status.progress);
                logs::say(&self.kernel, &self.plan.log, status.progress.unwrap_or_default()).await;
            }
            if let Some(failure) = status.failure {
                return Err(NotReady::Failed(failure));
            }
            match status.hosts.first() {
                Some(HostState::Exited { .. }) | None => return Err(NotReady::Ended),
                Some(HostState::Running) if !running => {
                    running = true;
                    until = Instant::now() + Duration::from_secs(self.plan.startup_secs);
                }
                _ => {}
            }
            if running && self.ping(&name).await {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(NotReady::Late);
            }
            tokio::time::sleep(BETWEEN_PINGS).await;
        }
    }

    async fn ping(&self, workload: &str) -> bool {
        let Ok(request) = Request::get("/ping").header("host", "container").body(Full::new(Bytes::new())) else { return false };
        match self.connections.send(workload, request, Instant::now() + PING).await {
            Ok(answer) if answer.status == 200 => answer.read(64 << 10).await.is_ok(),
            _ => false,
        }
    }

    async fn until_over(&self, name: &str, at_most: Option<Duration>) {
        let mut changes = self.machinery.engine.changes();
        let over = async {
            loop {
                changes.mark_unchanged();
                if self.machinery.engine.status(name).await.is_none_or(|status| status.is_over()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        match at_most {
            Some(at_most) => drop(tokio::time::timeout(at_most, over).await),
            None => over.await,
        }
    }
}

struct Prepared {
    image: Image,
    caller: Caller,
}

enum NotReady {
    /// It ended.
    Ended,
    /// It cannot be started at all.
    Failed(String),
    /// It does not answer.
    Late,
}
