//! What of a running job is in memory only: its directories, its way out, its log, its transfers.
//!
//! All of it may vanish with the server. A step that finds nothing here begins the job again.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tenantry_compute::{Compute, Host, Limits, LogLine, Workload};
use tenantry_core::{Scope, Timestamp};
use tenantry_kernel::{Caller, Kernel, reconcile::key_of};
use tenantry_store::Batch;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    container::{self, Surroundings, Wish},
    data::{Mover, TransferError},
    home::{self, Home},
    logs::{self, Destination},
    metrics::Metrics,
    plan::{Plan, SYNC_EVERY},
    reason,
    record::Of,
    transfer::{self, Uploaded},
};
use crate::Machinery;

/// Inputs and outputs that take longer have failed.
const TRANSFER_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How long the last lines of a log are waited for.
const LAST_LINES: Duration = Duration::from_secs(10);

/// A task that ends with its owner.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts it.
    pub fn start(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
    /// Waits for its end, so long. `None`: it is still at it; `Some(Err)`: it panicked.
    pub async fn within(&mut self, time: Duration) -> Option<Result<T, tokio::task::JoinError>> {
        tokio::time::timeout(time, &mut self.0).await.ok()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which attempt of which job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its kind.
    pub of: Of,
    /// Whose it is.
    pub scope: Scope,
    /// Its name.
    pub name: String,
    /// Names its directory and workload.
    pub digest: String,
    /// Counts from 1.
    pub attempt: u32,
    /// Names its log streams.
    pub created: Timestamp,
}

impl Job {
    /// The engine's name for it: the same after a crash of a step, another for another attempt.
    pub fn workload(&self) -> String {
        format!("{}-{}-{}", self.name, self.digest, self.attempt)
    }

    /// Has its next step taken now: something happened.
    async fn wake(&self, kernel: &Kernel) {
        let mut batch = Batch::new();
        batch.enqueue(self.of.kind().as_str(), key_of(&self.scope, &self.name), kernel.now());
        if let Err(error) = kernel.store().commit(batch).await {
            // The step comes anyhow, a little later.
            tracing::warn!(job = self.name, %error, "a job cannot be woken");
        }
    }

    /// Where its output goes.
    pub fn destination(&self, hosts: usize) -> Destination {
        let stream = |host| format!("{}/{}-{}", self.name, tenantry_compute::host_name(host), self.created.secs());
        Destination { scope: self.scope.clone(), group: self.of.log_group().to_owned(), streams: (0..hosts).map(stream).collect() }
    }
}

/// A job that was begun in this process.
pub(crate) struct Live {
    /// Of which attempt.
    pub attempt: u32,
    /// The hosts' files.
    pub homes: Vec<Home>,
    /// A directory of ours, removed at the end.
    pub dir: PathBuf,
    /// What it prints that counts.
    pub metrics: Metrics,
    /// Data on its way in or out.
    pub transfer: Option<Task<Result<(), String>>>,
    /// Whether the inputs are there.
    pub fetched: bool,
    /// Whether the engine was told to stop it.
    pub stopping: bool,
    mover: Mover,
    surroundings: Surroundings,
    log: mpsc::Sender<LogLine>,
    writer: JoinHandle<()>,
    uploaded: Arc<Uploaded>,
    syncing: Option<Task<()>>,
    watching: Option<Task<()>>,
}

impl Live {
    /// Makes directories, log and way out.
    ///
    /// # Errors
    /// The disk, in words.
    pub async fn begin(
        kernel: &Kernel,
        machinery: &Machinery,
        job: &Job,
        plan: &Plan,
        caller: Caller,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let dir = machinery.work.join(&job.digest);
        let homes: Vec<_> = (0..plan.hosts).map(|host| Home::of(plan, &dir.join(host.to_string()))).collect();
        let (laid_out, at, files) = (homes.clone(), dir.clone(), plan.clone());
        let lay_out = move || {
            remove(&at)?;
            fs::create_dir_all(&at)?;
            laid_out.iter().zip(&files.files).try_for_each(|(home, content)| home.lay_out(&files, content))
        };
        tokio::task::spawn_blocking(lay_out).await.map_err(std::io::Error::other)??;
        let seen = metrics.clone();
        let (log, writer) = logs::start(kernel.clone(), job.destination(plan.hosts), move |line| seen.see(&line.text, line.time));
        // The broker must not keep the log open.
        let (told, workload, clock) = (log.downgrade(), job.workload(), kernel.clone());
        let refused = move |text: String| {
            if let Some(log) = told.upgrade() {
                // A job that floods its own log with refusals loses some of them.
                drop(log.try_send(LogLine { workload: workload.clone(), host: 0, time: clock.now(), text: format!("[network] {text}") }));
            }
        };
        let region = &job.scope.region;
        let wish = Wish {
            caller: caller.clone(),
            region,
            dir: &dir,
            isolated: plan.isolated,
            vpc: plan.vpc,
            hosts: plan.hosts,
            refused: Arc::new(refused),
        };
        let surroundings = container::open(kernel, machinery, wish)?;
        Ok(Self {
            attempt: job.attempt,
            homes,
            dir,
            metrics,
            transfer: None,
            fetched: false,
            stopping: false,
            mover: Mover::new(kernel.clone(), caller, region.clone()),
            surroundings,
            log,
            writer,
            uploaded: Arc::default(),
            syncing: None,
            watching: None,
        })
    }

    /// The workload of a plan. `entrypoint` is what the image says.
    pub fn workload(&self, machinery: &Machinery, job: &Job, plan: &Plan, image: tenantry_compute::Image) -> Option<Workload> {
        let entry = match job.of {
            Of::Training => &image.entry.train,
            Of::Processing => &image.entry.processing,
        };
        let command = plan.entrypoint.as_ref().unwrap_or(entry).iter().chain(&plan.arguments).cloned().collect();
        let host = |home: &Home| Host { mounts: home.mounts(), ..Host::default() };
        let mut env = self.surroundings.env.clone();
        env.extend(plan.env.clone());
        Some(Workload {
            name: job.workload(),
            scope: job.scope.clone(),
            hosts: self.homes.iter().map(host).collect(),
            image: Some(image),
            command,
            env,
            workdir: if job.of == Of::Training { "/opt/ml/code".to_owned() } else { home::WORK.to_owned() },
            mounts: self.surroundings.mounts.clone(),
            limits: Limits {
                disk_bytes: Some(plan.volume_gib.saturating_mul(1 << 30)),
                ..container::instance_limits(machinery, &plan.instance_type)?
            },
            network: self.surroundings.network.clone(),
            shared_network: true,
            port: None,
            timeout: Some(plan.max_runtime),
            logs: Some(self.log.clone()),
        })
    }

    /// Has steps taken whenever a host of the workload changes its state.
    pub fn watch(&mut self, kernel: &Kernel, engine: &Arc<dyn Compute>, job: &Job) {
        let (kernel, engine, job) = (kernel.clone(), Arc::clone(engine), job.clone());
        self.watching = Some(Task::start(async move {
            let mut changes = engine.changes();
            let mut last = None;
            loop {
                let now = engine.status(&job.workload()).await.map(|status| (status.hosts, status.ended));
                if now != last {
                    last = now;
                    job.wake(&kernel).await;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Uploads continuous outputs from time to time until the user's code has ended.
    pub fn keep_syncing(&mut self, plan: &Plan) {
        if self.syncing.is_some() || !plan.outputs.iter().any(|output| output.continuous) {
            return;
        }
        let (mover, outputs, homes, uploaded) = (self.mover.clone(), plan.outputs.clone(), self.homes.clone(), Arc::clone(&self.uploaded));
        self.syncing = Some(Task::start(async move {
            loop {
                tokio::time::sleep(SYNC_EVERY).await;
                if let Err(error) = transfer::sync(&mover, &outputs, &homes, &uploaded, true).await {
                    // The last time, after the end, is the one that counts.
                    tracing::info!(%error, "a continuous output is not uploaded yet");
                }
            }
        }));
    }

    /// Nothing runs any more: closes the way out and waits for the log to be stored.
    pub async fn quiet(&mut self) {
        self.syncing = None;
        self.watching = None;
        self.surroundings.broker = None;
        // The engine's sender is gone already.
        let (closed, _) = mpsc::channel(1);
        self.log = closed;
        if !self.writer.is_finished() && tokio::time::timeout(LAST_LINES, &mut self.writer).await.is_err() {
            tracing::warn!(dir = %self.dir.display(), "the end of a job's log is late");
        }
    }

    /// Begins to download the inputs.
    pub fn fetch(&mut self, kernel: &Kernel, job: &Job, plan: &Plan) {
        let (mover, homes, plan, job, kernel) = (self.mover.clone(), self.homes.clone(), plan.clone(), job.clone(), kernel.clone());
        self.transfer = Some(Task::start(async move {
            let fetched = tokio::time::timeout(TRANSFER_LIMIT, transfer::fetch(&mover, &plan, &homes)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
            job.wake(&kernel).await;
            fetched.map_err(|error| reason::not_downloaded(&error, job.scope.region.as_str(), plan.role.as_str()))
        }));
    }

    /// Begins to upload what the outcome leaves: everything, or what was uploaded all along.
    pub fn store(&mut self, kernel: &Kernel, job: &Job, plan: &Plan, everything: bool) {
        let (mover, homes, aside, uploaded) = (self.mover.clone(), self.homes.clone(), self.dir.clone(), Arc::clone(&self.uploaded));
        let (plan, job, kernel) = (plan.clone(), job.clone(), kernel.clone());
        self.transfer = Some(Task::start(async move {
            let upload = async {
                transfer::sync(&mover, &plan.outputs, &homes, &uploaded, !everything).await?;
                for archive in plan.archives.iter().filter(|_| everything) {
                    transfer::store_archive(&mover, archive, &homes, &aside).await?;
                }
                Ok(())
            };
            let stored = tokio::time::timeout(TRANSFER_LIMIT, upload).await;
            let stored = stored.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
            job.wake(&kernel).await;
            stored.map_err(|error: TransferError| reason::not_uploaded(&error))
        }));
    }
}

/// Removes a directory if it is there, also one whose permissions a job took away. Blocking.
///
/// # Errors
/// The disk.
pub(crate) fn remove(dir: &Path) -> std::io::Result<()> {
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if gone(fs::remove_dir_all(dir)).is_ok() {
        return Ok(());
    }
    open_up(dir)?;
    gone(fs::remove_dir_all(dir))
}

/// Nothing of the job runs any more, so nothing changes meanwhile.
fn open_up(dir: &Path) -> std::io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
