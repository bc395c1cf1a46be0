//! The life of a job: wait, fetch, run, store, over. One step does one of these a little further.
//!
//! The row says where a job is; [`Live`] is what this process has of it. A job that is past waiting and not live
//! was running when the server went down: it begins again, a limited number of times. Whatever ends a job ends it
//! with a reason in its row.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tenantry_compute::{Class, ComputeError, HostState, WorkStatus};
use tenantry_core::{Result, Timestamp};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile::parse_key};
use tokio::sync::Mutex;

use super::{
    admission::{self, Admission, Wish},
    container, live,
    live::{Job, Live},
    logs,
    metrics::Metrics,
    plan::{self, Plan},
    reason,
    record::{self, Of, Outcome, Phase, Record, State},
    training,
};
use crate::Machinery;

/// Between SIGTERM and SIGKILL after a Stop call: what AWS gives a training job.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(120);
/// How often a job is begun before it fails as the server's fault, where it has no RetryStrategy.
pub(crate) const MAX_ATTEMPTS: u32 = 3;
/// A step looks again after this long even if nobody woke it. It does not wait itself: a lease that a killed server
/// held would keep the job from going on.
const LATER: Duration = Duration::from_secs(2);
/// A transfer wakes its job just before it ends.
const NEARLY: Duration = Duration::from_millis(20);

/// Runs the jobs of one kind.
pub(crate) struct Jobs {
    of: Of,
    machinery: Arc<Machinery>,
    admission: Arc<Admission>,
    live: Mutex<HashMap<String, Arc<Mutex<Live>>>>,
}

impl Reconciler for Jobs {
    fn queue(&self) -> &'static str {
        self.of.kind().as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, name)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(self.of.kind(), &scope, name).await? else {
                self.clean(key).await;
                return Ok(Next::Done);
            };
            let record = Record::of(&row)?;
            let digest = container::digest(self.queue(), key);
            let job = Job { of: self.of, scope, name: name.to_owned(), digest, attempt: record.state.attempt, created: row.created };
            Step { jobs: self, kernel, key, job, record }.take().await
        })
    }
}

impl Jobs {
    /// Jobs of a kind; the kinds share the places of this host.
    pub fn new(of: Of, machinery: &Arc<Machinery>, admission: &Arc<Admission>) -> Self {
        Self { of, machinery: Arc::clone(machinery), admission: Arc::clone(admission), live: Mutex::default() }
    }

    /// Removes every trace of a job that is over, or begins again.
    async fn clean(&self, key: &str) {
        let digest = container::digest(self.queue(), key);
        for name in self.machinery.engine.names().await {
            // Attempts differ in their end only.
            if name.rsplit('-').nth(1) == Some(&digest) {
                self.machinery.engine.forget(&name).await;
            }
        }
        drop(self.live.lock().await.remove(key));
        let dir = self.machinery.work.join(&digest);
        let removed = tokio::task::spawn_blocking(move || live::remove(&dir)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::warn!(key, ?removed, "a job's directory is not removed");
        }
        self.admission.leave(&admission::key_in(self.queue(), key));
    }
}

/// One step of one job.
struct Step<'a> {
    jobs: &'a Jobs,
    kernel: &'a Kernel,
    key: &'a str,
    job: Job,
    record: Record,
}

impl Step<'_> {
    async fn take(&self) -> Result<Next> {
        let plan = match plan::of(self.job.of, &self.job.scope, &self.record) {
            Ok(plan) => plan,
            // It was checked when it was made: another version of this program made it.
            Err(error) => return self.finish(Outcome::Failed(reason::clip(&format!("ClientError: {}", error.message)))).await,
        };
        let live = self.jobs.live.lock().await.get(self.key).cloned();
        match (self.record.state.phase, live) {
            (Phase::Over, _) => {
                self.jobs.clean(self.key).await;
                Ok(Next::Done)
            }
            (Phase::Waiting, _) => self.wait(&plan).await,
            (_, Some(live)) => {
                let mut live = live.lock().await;
                if live.attempt != self.job.attempt {
                    drop(live);
                    return self.again(&plan).await;
                }
                match self.record.state.phase {
                    Phase::Fetching => self.fetch(&mut live).await,
                    Phase::Running => self.run(&mut live, &plan).await,
                    _ => self.store(&mut live, &plan).await,
                }
            }
            (_, None) => self.again(&plan).await,
        }
    }

    fn now(&self) -> Timestamp {
        self.kernel.now()
    }

    /// Writes a change, unless the job went on meanwhile.
    async fn change(&self, how: impl Fn(&mut State)) -> Result<()> {
        let (phase, attempt) = (self.record.state.phase, self.record.state.attempt);
        let changed = record::change(self.kernel, self.job.of, &self.job.scope, &self.job.name, |record| {
            let still = record.state.phase == phase && record.state.attempt == attempt;
            if still {
                how(&mut record.state);
            }
            still
        });
        changed.await.map(|_| ())
    }

    async fn finish(&self, outcome: Outcome) -> Result<Next> {
        let now = self.now();
        self.change(|state| state.finish(outcome.clone(), now)).await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// Until this host has room.
    async fn wait(&self, plan: &Plan) -> Result<Next> {
        if self.record.state.stop_asked.is_some() {
            return self.finish(Outcome::Stopped).await;
        }
        if training::out_of_patience(&self.record, self.job.created, self.now()) {
            return self.finish(Outcome::OutOfPatience).await;
        }
        let Some(limits) = container::instance_limits(&self.jobs.machinery, &plan.instance_type) else {
            return self.finish(Outcome::Failed(format!("ClientError: instance type {} is not known here", plan.instance_type))).await;
        };
        let wish = Wish {
            key: admission::key_in(self.jobs.queue(), self.key),
            account: &self.job.scope.account,
            since: self.job.created,
            limits: &limits,
            count: plan.hosts,
            class: Class::Ending,
            first: false,
            item: (self.jobs.queue(), self.key.to_owned()),
        };
        if let Err((why, again)) = self.jobs.admission.ask(self.kernel, wish) {
            let message = why.said();
            if self.record.state.transitions.last().is_some_and(|last| last.status_message != message) {
                let now = self.now();
                self.change(|state| state.enter("Starting", message, now)).await?;
            }
            return Ok(Next::After(again));
        }
        let attempt = self.job.attempt + 1;
        let job = Job { attempt, ..self.job.clone() };
        let arn = job.of.arn(&job.scope, &job.name);
        let identity = self.record.state.source_identity.as_deref();
        let caller = match container::assume(self.kernel, &plan.role, &arn, identity, &job.scope.region).await {
            Ok(caller) => caller,
            Err(error) if error.status >= 500 => return Err(error),
            Err(error) => return self.finish(Outcome::Failed(reason::not_assumed(&error))).await,
        };
        let metrics = Metrics::read(&self.record.member("AlgorithmSpecification")["MetricDefinitions"])?;
        // A step that could not store what it began left one behind.
        drop(self.jobs.live.lock().await.remove(self.key));
        let mut live = match Live::begin(self.kernel, &self.jobs.machinery, &job, plan, caller, metrics).await {
            Ok(live) => live,
            Err(error) => {
                tracing::error!(key = self.key, %error, "a job cannot begin");
                return self.finish(Outcome::Failed(reason::INTERNAL.to_owned())).await;
            }
        };
        live.fetch(self.kernel, &job, plan);
        self.jobs.live.lock().await.insert(self.key.to_owned(), Arc::new(Mutex::new(live)));
        let now = self.now();
        self.change(|state| {
            state.attempt = attempt;
            state.phase = Phase::Fetching;
            state.started.get_or_insert(now);
            state.enter("Starting", "Preparing the instances for training", now);
            state.enter("Downloading", "Downloading input data", now);
        })
        .await?;
        Ok(Next::After(LATER))
    }

    /// Until the inputs are there.
    async fn fetch(&self, live: &mut Live) -> Result<Next> {
        if self.record.state.stop_asked.is_some() {
            live.transfer = None;
            return self.finish(Outcome::Stopped).await;
        }
        match if live.fetched { Some(Ok(())) } else { transferred(live).await } {
            None => Ok(Next::After(LATER)),
            Some(Err(reason)) => self.finish(Outcome::Failed(reason)).await,
            Some(Ok(())) => {
                live.fetched = true;
                let now = self.now();
                self.change(|state| {
                    state.phase = Phase::Running;
                    state.enter("Downloading", "Downloading the training image", now);
                })
                .await?;
                Ok(Next::After(Duration::ZERO))
            }
        }
    }

    /// Until the user's code has ended.
    async fn run(&self, live: &mut Live, plan: &Plan) -> Result<Next> {
        let (engine, name) = (&self.jobs.machinery.engine, self.job.workload());
        let Some(status) = engine.status(&name).await else { return self.start(live, plan).await };
        if status.is_over() && status.ended.is_some() {
            return self.ended(live, &status).await;
        }
        if self.record.state.stop_asked.is_some() && !live.stopping {
            // It can only fail because it is over.
            drop(engine.stop(&name, STOP_GRACE).await);
            live.stopping = true;
        }
        let runs = status.hosts.iter().any(|host| *host != HostState::Starting);
        if runs && !matches!(self.record.state.secondary(), "Training" | "Stopping") {
            live.keep_syncing(plan);
            let now = self.now();
            self.change(|state| {
                if state.stop_asked.is_none() {
                    state.enter("Training", "Training image download completed. Training in progress.", now);
                }
            })
            .await?;
        }
        self.note_progress(live).await?;
        Ok(Next::After(LATER))
    }

    /// Lets the tuning job that may stop this one early see how far it is.
    async fn note_progress(&self, live: &Live) -> Result<()> {
        let Some(objective) = self.record.watched() else { return Ok(()) };
        let progress = live.metrics.history(objective);
        if progress.len() > self.record.state.progress.len() {
            self.change(|state| state.progress.clone_from(&progress)).await?;
        }
        Ok(())
    }

    async fn start(&self, live: &mut Live, plan: &Plan) -> Result<Next> {
        if self.record.state.stop_asked.is_some() {
            return self.finish(Outcome::Stopped).await;
        }
        let machinery = &self.jobs.machinery;
        let image = match machinery.images.resolve(&plan.image) {
            Ok(image) => image,
            Err(error) => return self.finish(Outcome::Failed(reason::clip(&format!("ClientError: {error}")))).await,
        };
        let Some(workload) = live.workload(machinery, &self.job, plan, image) else {
            return self.finish(Outcome::Failed(format!("ClientError: instance type {} is not known here", plan.instance_type))).await;
        };
        match machinery.engine.start(workload).await {
            Ok(()) | Err(ComputeError::Exists(_)) => {
                live.watch(self.kernel, &machinery.engine, &self.job);
                Ok(Next::After(LATER))
            }
            Err(error) => self.finish(Outcome::Failed(reason::clip(&format!("ClientError: cannot start the container: {error}")))).await,
        }
    }

    async fn ended(&self, live: &mut Live, status: &WorkStatus) -> Result<Next> {
        live.quiet().await;
        let outcome = reason::outcome(self.job.of, status, &live.homes);
        let metrics = live.metrics.last();
        let progress = self.record.watched().map(|objective| live.metrics.history(objective)).unwrap_or_default();
        let mut message = match self.job.of {
            Of::Training => None,
            Of::Processing => live.homes.iter().find_map(|home| reason::said(home, "output/message")),
        };
        if outcome == Outcome::OutOfTime && self.job.of == Of::Processing {
            message.get_or_insert_with(|| "Job stopped: the runtime exceeded MaxRuntimeInSeconds".to_owned());
        }
        let now = self.now();
        self.change(|state| {
            state.phase = Phase::Storing;
            state.metrics.clone_from(&metrics);
            state.progress.clone_from(&progress);
            state.exit_message.clone_from(&message);
            state.outcome = Some(outcome.clone());
            state.enter("Uploading", "Uploading generated training model", now);
        })
        .await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// Until the outputs are stored.
    async fn store(&self, live: &mut Live, plan: &Plan) -> Result<Next> {
        let outcome = self.record.state.outcome.clone().unwrap_or(Outcome::Stopped);
        if live.transfer.is_none() {
            // AWS keeps the artifacts of a training job that was stopped, and nothing of what failed.
            let everything = match (&outcome, self.job.of) {
                (Outcome::Completed, _) => true,
                (Outcome::Failed(_), _) => false,
                (Outcome::Stopped | Outcome::OutOfTime | Outcome::OutOfPatience, of) => of == Of::Training,
            };
            live.store(self.kernel, &self.job, plan, everything);
        }
        match transferred(live).await {
            None => Ok(Next::After(LATER)),
            Some(Ok(())) => self.finish(outcome).await,
            Some(Err(reason)) if outcome == Outcome::Completed => self.finish(Outcome::Failed(reason)).await,
            Some(Err(reason)) => {
                logs::say(self.kernel, &self.job.destination(1), format!("[platform] {reason}")).await;
                self.finish(outcome).await
            }
        }
    }

    /// The server went down while the job ran.
    async fn again(&self, plan: &Plan) -> Result<Next> {
        self.jobs.clean(self.key).await;
        let destination = self.job.destination(plan.hosts);
        if self.record.state.stop_asked.is_some() {
            return self.finish(Outcome::Stopped).await;
        }
        let most = training::attempts(&self.record).unwrap_or(MAX_ATTEMPTS);
        if self.job.attempt >= most {
            logs::say(
                self.kernel,
                &destination,
                format!("[platform] the server was restarted during attempt {} of {most}: the job fails", self.job.attempt),
            )
            .await;
            return self.finish(Outcome::Failed(reason::INTERNAL.to_owned())).await;
        }
        let next = self.job.attempt + 1;
        logs::say(
            self.kernel,
            &destination,
            format!("[platform] the server was restarted: the job begins again (attempt {next} of {most})"),
        )
        .await;
        let now = self.now();
        self.change(|state| {
            state.phase = Phase::Waiting;
            state.outcome = None;
            state.enter("Starting", "Preparing the instances for training", now);
        })
        .await?;
        Ok(Next::After(Duration::ZERO))
    }
}

/// How the transfer went, if it has ended. A transfer that panicked has failed.
async fn transferred(live: &mut Live) -> Option<std::result::Result<(), String>> {
    let Some(transfer) = &mut live.transfer else { return Some(Err(reason::INTERNAL.to_owned())) };
    let ended = transfer.within(NEARLY).await?;
    live.transfer = None;
    Some(ended.unwrap_or_else(|error| {
        tracing::error!(%error, "a transfer died");
        Err(reason::INTERNAL.to_owned())
    }))
}
