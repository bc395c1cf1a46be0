//! A transform job from its first instance to its last object.
//!
//! The work is a task, because it takes longer than a step; the row says only whether it is to go on. After a
//! restart of the server the job begins again and writes its outputs again: the same objects under the same keys.

use std::{
    collections::{HashMap, VecDeque},
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::json;
use tenantry_compute::{Class, Limits};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile::parse_key};
use tenantry_store::{Batch, CommitError, Row};
use tokio::{
    io::AsyncWriteExt,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    Job, arn,
    joining::Joining,
    split::{Splitter, TooLarge},
};
use crate::{
    Machinery,
    hosting::{
        instance::{BETWEEN_STARTS, Instance, Plan, State},
        variant::Size,
    },
    jobs::{
        admission::{self, Admission, Wish},
        container::{digest, instance_limits},
        data::{Mover, TransferError},
        logs,
        uri::S3Uri,
    },
    names, usage,
};

/// Between looks at a job that runs.
const AGAIN: Duration = Duration::from_secs(2);
/// A source that gives nothing for so long has failed.
const STALL: Duration = Duration::from_secs(120);
/// Bytes that one answer may have.
const MAX_ANSWER: usize = 100 << 20;
/// Bytes of gzip that are unpacked at a time.
const PACKED: usize = 4096;
/// Seconds that a request may take where the job does not say.
const TIMEOUT_SECS: u64 = 600;
/// Seconds for the model's data, and GiB.
const DOWNLOAD: (u64, u64) = (3600, 30);
/// Seconds until the container answers its ping.
const STARTUP_SECS: u64 = 600;

/// The reconciler of transform jobs.
pub(in crate::hosting) struct Transforms {
    machinery: Arc<Machinery>,
    running: Arc<Mutex<HashMap<String, watch::Sender<bool>>>>,
    admission: Arc<Admission>,
}

impl Transforms {
    pub fn new(machinery: &Arc<Machinery>) -> Self {
        Self { machinery: Arc::clone(machinery), running: Arc::default(), admission: Admission::of(machinery) }
    }
}

impl Reconciler for Transforms {
    fn queue(&self) -> &'static str {
        names::TRANSFORM_JOB.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, id)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(names::TRANSFORM_JOB, &scope, id).await? else { return Ok(Next::Done) };
            let stop = match row.status.as_str() {
                "InProgress" => false,
                "Stopping" => true,
                _ => return Ok(Next::Done),
            };
            let known = {
                let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running.get(key).map(|stopping| if stop { stopping.send_replace(true) } else { false }).is_some()
            };
            if !known && stop {
                self.admission.leave(&admission::key_in(self.queue(), key));
                end(kernel, &scope, id, Outcome::Stopped).await?;
                return Ok(Next::Done);
            }
            if !known {
                let job: Job = row.body()?;
                let resources = &job.request["TransformResources"];
                let Some(limits) = instance_limits(&self.machinery, resources["InstanceType"].as_str().unwrap_or_default()) else {
                    end(kernel, &scope, id, Outcome::Failed("ClientError: the instance type is not known here".to_owned())).await?;
                    return Ok(Next::Done);
                };
                let pool_key = admission::key_in(self.queue(), key);
                let wish = Wish {
                    key: pool_key.clone(),
                    account: &scope.account,
                    since: row.created,
                    limits: &limits,
                    count: resources["InstanceCount"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
                    class: Class::Ending,
                    first: false,
                    item: (self.queue(), key.to_owned()),
                };
                if let Err((_, again)) = self.admission.ask(kernel, wish) {
                    return Ok(Next::After(again));
                }
                let place = self.admission.hold(pool_key);
                let (stopping, stopped) = watch::channel(false);
                self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), stopping);
                let task = Task { kernel: kernel.clone(), machinery: Arc::clone(&self.machinery), scope, row, stopped };
                let (running, key) = (Arc::clone(&self.running), key.to_owned());
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = task.run().await {
                        tracing::warn!(%error, "a transform job is begun again");
                    }
                    running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                });
            }
            Ok(Next::After(AGAIN))
        })
    }
}

enum Outcome {
    Completed,
    Failed(String),
    Stopped,
}

/// Writes how a job ended, whatever changed meanwhile.
async fn end(kernel: &Kernel, scope: &Scope, id: &str, outcome: Outcome) -> Result<()> {
    loop {
        let Some(mut row) = kernel.store().get(names::TRANSFORM_JOB, scope, id).await? else { return Ok(()) };
        let mut job: Job = row.body()?;
        let (status, failure) = match &outcome {
            Outcome::Completed => ("Completed", None),
            Outcome::Failed(reason) => ("Failed", Some(reason.chars().take(1024).collect())),
            Outcome::Stopped => ("Stopped", None),
        };
        (job.ended, job.failure) = (Some(kernel.now()), failure);
        row.status = status.to_owned();
        row.set_body(&job)?;
        let mut batch = Batch::new();
        usage::change(&mut batch, scope, &job.uses(&arn(scope, &row.name)), &usage::Uses::new(), kernel.now());
        batch.update(row.at(kernel.now()));
        match kernel.store().commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => return Ok(done?),
        }
    }
}

struct Task {
    kernel: Kernel,
    machinery: Arc<Machinery>,
    scope: Scope,
    row: Row,
    stopped: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) -> Result<()> {
        let mut job: Job = self.row.body()?;
        job.started = Some(self.kernel.now());
        self.row.set_body(&job)?;
        let mut batch = Batch::new();
        batch.update(self.row.clone().at(self.kernel.now()));
        self.kernel.store().commit(batch).await?;
        let mut stopped = self.stopped.clone();
        let instances = self.instances(&job);
        let outcome = tokio::select! {
            done = self.transform(&job, &instances) => match done {
                Ok(()) => Outcome::Completed,
                Err(reason) => Outcome::Failed(reason),
            },
            _ = stopped.wait_for(|stopped| *stopped) => Outcome::Stopped,
        };
        for instance in &instances {
            instance.stop();
        }
        for instance in &instances {
            drop(instance.watch().wait_for(|state| *state == State::Gone).await);
        }
        end(&self.kernel, &self.scope, &self.row.id, outcome).await
    }

    fn log(&self, stream: &str) -> logs::Destination {
        let streams = vec![format!("{}/{stream}", self.row.name)];
        logs::Destination { scope: self.scope.clone(), group: "/aws/sagemaker/TransformJobs".to_owned(), streams }
    }

    fn instances(&self, job: &Job) -> Vec<Arc<Instance>> {
        let resources = &job.request["TransformResources"];
        let size = Size::Instance(resources["InstanceType"].as_str().unwrap_or_default().to_owned());
        let Some(limits) = size.limits(&self.machinery) else { return Vec::new() };
        let limits = Limits { disk_bytes: Some(DOWNLOAD.1 << 30), ..limits };
        let arn = arn(&self.scope, &self.row.name);
        let count = resources["InstanceCount"].as_u64().unwrap_or(1);
        let mut env: Vec<(String, String)> = job.request["Environment"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let strategy = if job.request["BatchStrategy"] == json!("SingleRecord") { "SINGLE_RECORD" } else { "MULTI_RECORD" };
        for (name, value) in [
            ("SAGEMAKER_BATCH", "true".to_owned()),
            ("SAGEMAKER_BATCH_STRATEGY", strategy.to_owned()),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", (job.max_payload() >> 20).to_string()),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", job.at_a_time().to_string()),
            ("SAGEMAKER_MAX_REQUEST_SIZE", job.max_payload().to_string()),
        ] {
            env.push((name.to_owned(), value));
        }
        let start = |index: u64| {
            let id = digest("sagemaker.transform-instance", &format!("{arn}/{index}/{}", self.row.version));
            let plan = Plan {
                scope: self.scope.clone(),
                source: arn.clone(),
                source_identity: job.source_identity.clone(),
                container: job.container.clone(),
                limits: limits.clone(),
                at_a_time: job.at_a_time() + 1,
                log: self.log(&format!("i-{}", &id[..17])),
                env: env.clone(),
                download_secs: DOWNLOAD.0,
                startup_secs: STARTUP_SECS,
                volume_gib: DOWNLOAD.1,
                between_starts: BETWEEN_STARTS,
                unhealthy: "AlgorithmError: the container did not answer GET /ping. See job logs for more information.".to_owned(),
                id,
            };
            Instance::start(&self.kernel, &self.machinery, plan, || {})
        };
        (0..count).map(start).collect()
    }

    async fn transform(&self, job: &Job, instances: &[Arc<Instance>]) -> std::result::Result<(), String> {
        let Some(first) = instances.first() else { return Err("ClientError: the instance type is not known by this instance".to_owned()) };
        let mover = first.mover().await.map_err(|error| format!("ClientError: {}", error.message))?;
        let joining = Arc::new(Joining::read(&job.request).map_err(|error| format!("ClientError: {}", error.message))?);
        let inputs = inputs(job, &mover).await?;
        let mut queues: Vec<VecDeque<(S3Uri, S3Uri)>> = vec![VecDeque::new(); instances.len()];
        for (index, input) in inputs.into_iter().enumerate() {
            queues[index % instances.len()].push_back(input);
        }
        let mut workers = JoinSet::new();
        for (instance, queue) in instances.iter().zip(queues) {
            let worker = Worker {
                instance: Arc::clone(instance),
                mover: mover.clone(),
                job: job.clone(),
                joining: Arc::clone(&joining),
                log: self.log("data-log"),
            };
            let dir = self.machinery.work.join(format!("{}-out", instance.plan.id));
            workers.spawn(async move {
                let done = worker.work(queue, &dir).await;
                drop(tokio::fs::remove_dir_all(&dir).await);
                done
            });
        }
        while let Some(done) = workers.join_next().await {
            done.map_err(|error| format!("InternalServerError: {error}"))??;
        }
        Ok(())
    }
}

/// The objects to transform, and where each answer goes.
async fn inputs(job: &Job, mover: &Mover) -> std::result::Result<Vec<(S3Uri, S3Uri)>, String> {
    let source = &job.request["TransformInput"]["DataSource"]["S3DataSource"];
    let uri = |value: &serde_json::Value| S3Uri::parse(value.as_str().unwrap_or_default()).ok_or("ClientError: not an S3 URI".to_owned());
    let (from, to) = (uri(&source["S3Uri"])?, uri(&job.request["TransformOutput"]["S3OutputPath"])?);
    let failed = |error: TransferError| match error {
        TransferError::Refused { error, .. } => format!("ClientError: Data download failed: {}: {} ({from})", error.code, error.message),
        other => format!("ClientError: Data download failed: {other}"),
    };
    let below = |path: &Path| to.below(&format!("{}.out", path.display()));
    let found = if source["S3DataType"] == json!("ManifestFile") {
        mover.manifest(&from).await.map_err(failed)?.into_iter().map(|(uri, path)| (uri, below(&path))).collect()
    } else {
        let mut found = Vec::new();
        for object in mover.list(&from).await.map_err(failed)? {
            let place = from.place(&object.key).map_err(|error| failed(TransferError::UnsafeKey(error.0.to_owned())))?;
            found.push((S3Uri { bucket: from.bucket.clone(), key: object.key }, below(&place)));
        }
        found
    };
    if found.is_empty() { Err(failed(TransferError::Nothing(from.clone()))) } else { Ok(found) }
}

/// Sends the objects of one instance, one after the other, their records side by side.
struct Worker {
    instance: Arc<Instance>,
    mover: Mover,
    job: Job,
    joining: Arc<Joining>,
    log: logs::Destination,
}

type Sent = JoinHandle<std::result::Result<Bytes, String>>;

impl Worker {
    async fn work(&self, queue: VecDeque<(S3Uri, S3Uri)>, dir: &Path) -> std::result::Result<(), String> {
        let mut state = self.instance.watch();
        let state = state.wait_for(|state| *state != State::Starting).await.map(|state| state.clone());
        match state {
            Ok(State::Ready) => {}
            Ok(State::Failed(reason)) => return Err(reason),
            Ok(State::Starting | State::Gone) | Err(_) => return Err("InternalServerError: the instance is gone".to_owned()),
        }
        let disk = |error: std::io::Error| format!("InternalServerError: {error}");
        tokio::fs::create_dir_all(dir).await.map_err(disk)?;
        for (from, to) in queue {
            let path = dir.join("out");
            let mut out = tokio::fs::File::create(&path).await.map_err(disk)?;
            self.object(&from, &mut out).await?;
            out.flush().await.map_err(disk)?;
            let length = out.metadata().await.map_err(disk)?.len();
            let file = std::fs::File::open(&path).map_err(disk)?;
            self.mover.put(&to, file, length).await.map_err(|error| match error {
                TransferError::Refused { error, at } => {
                    format!("ClientError: Data upload failed: {}: {} ({at})", error.code, error.message)
                }
                other => format!("ClientError: Data upload failed: {other}"),
            })?;
        }
        Ok(())
    }

    async fn object(&self, from: &S3Uri, out: &mut tokio::fs::File) -> std::result::Result<(), String> {
        let request = &self.job.request;
        let (lines, single) = (request["TransformInput"]["SplitType"] == json!("Line"), request["BatchStrategy"] == json!("SingleRecord"));
        let mut splitter = Splitter::new(lines, single, self.job.max_payload());
        let too_large = |_: TooLarge| {
            format!(
                "ClientError: a record of {from} is larger than MaxPayloadInMB ({}). Use a larger MaxPayloadInMB or SplitType Line.",
                self.job.max_payload() >> 20
            )
        };
        let stalled = |why: String| format!("ClientError: Data download failed: {from}: {why}");
        let packed = |error: std::io::Error| format!("ClientError: {from} is not in gzip format: {error}");
        let mut unpack = (request["TransformInput"]["CompressionType"] == json!("Gzip")).then(|| MultiGzDecoder::new(Vec::new()));
        let mut body = self.mover.open(from).await.map_err(|error| stalled(error.to_string()))?;
        let mut sent: VecDeque<Sent> = VecDeque::new();
        while let Some(frame) = tokio::time::timeout(STALL, body.frame()).await.map_err(|error| stalled(error.to_string()))? {
            let Ok(data) = frame.map_err(|error| stalled(error.to_string()))?.into_data() else { continue };
            // Little by little: what is packed well comes out a thousand times as large.
            for part in data.chunks(if unpack.is_some() { PACKED } else { data.len().max(1) }) {
                let plain = match &mut unpack {
                    Some(unpack) => {
                        unpack.write_all(part).and_then(|()| unpack.flush()).map_err(packed)?;
                        std::mem::take(unpack.get_mut())
                    }
                    None => Vec::new(),
                };
                let part = if unpack.is_some() { &plain[..] } else { part };
                for record in splitter.feed(part).map_err(too_large)? {
                    self.submit(from, record, &mut sent, out).await?;
                }
            }
        }
        if let Some(unpack) = unpack {
            for record in splitter.feed(&unpack.finish().map_err(packed)?).map_err(too_large)? {
                self.submit(from, record, &mut sent, out).await?;
            }
        }
        for record in splitter.end() {
            self.submit(from, record, &mut sent, out).await?;
        }
        while let Some(next) = sent.pop_front() {
            self.take(from, next, out).await?;
        }
        Ok(())
    }

    async fn submit(
        &self,
        from: &S3Uri,
        record: Bytes,
        sent: &mut VecDeque<Sent>,
        out: &mut tokio::fs::File,
    ) -> std::result::Result<(), String> {
        if sent.len() >= self.job.at_a_time()
            && let Some(next) = sent.pop_front()
        {
            self.take(from, next, out).await?;
        }
        let (instance, job, joining) = (Arc::clone(&self.instance), self.job.clone(), Arc::clone(&self.joining));
        sent.push_back(tokio::spawn(async move { record_by(&instance, &job, joining, record).await }));
        Ok(())
    }

    /// The answers come in the order of the records.
    async fn take(&self, from: &S3Uri, next: Sent, out: &mut tokio::fs::File) -> std::result::Result<(), String> {
        let answer = match next.await.map_err(|error| format!("InternalServerError: {error}"))? {
            Ok(answer) => answer,
            Err(reason) => {
                logs::say(&self.instance.kernel, &self.log, format!("{from}: {reason}")).await;
                let kind = reason.split(':').next().unwrap_or("AlgorithmError");
                return Err(format!("{kind}: See job logs for more information"));
            }
        };
        let disk = |error: std::io::Error| format!("InternalServerError: {error}");
        out.write_all(&answer).await.map_err(disk)?;
        if self.job.request["TransformOutput"]["AssembleWith"] == json!("Line") && !answer.ends_with(b"\n") {
            out.write_all(b"\n").await.map_err(disk)?;
        }
        Ok(())
    }
}

/// One request and what is kept of its answer. Large batches are filtered beside the tasks that move bytes.
async fn record_by(instance: &Arc<Instance>, job: &Job, joining: Arc<Joining>, record: Bytes) -> std::result::Result<Bytes, String> {
    if joining.is_nothing() {
        return through(instance, job, record).await.map(|(answer, _)| answer);
    }
    let gone = |error: tokio::task::JoinError| format!("InternalServerError: {error}");
    let (filter, whole) = (Arc::clone(&joining), record.clone());
    let request = tokio::task::spawn_blocking(move || filter.request(&whole)).await.map_err(gone)??;
    let (answer, kind) = through(instance, job, request).await?;
    tokio::task::spawn_blocking(move || joining.answer(&record, answer, kind.as_deref())).await.map_err(gone)?
}

type Told = (Bytes, Option<String>);

/// What the containers of an instance make of a request, one after the other, with its content type.
async fn through(instance: &Arc<Instance>, job: &Job, record: Bytes) -> std::result::Result<Told, String> {
    let text = |value: &serde_json::Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let accept = text(&job.request["TransformOutput"]["Accept"]);
    let mut told = (record, text(&job.request["TransformInput"]["ContentType"]));
    let mut containers = instance.containers().peekable();
    while let Some(container) = containers.next() {
        let accept = accept.as_deref().filter(|_| containers.peek().is_none());
        told = invoke(container, job, &told, accept).await?;
    }
    Ok(told)
}

/// An answer; a container that is busy is asked again as often as the job says.
async fn invoke(instance: &Instance, job: &Job, (record, kind): &Told, accept: Option<&str>) -> std::result::Result<Told, String> {
    let settings = &job.request["ModelClientConfig"];
    let retries = settings["InvocationsMaxRetries"].as_u64().unwrap_or(0);
    let timeout = Duration::from_secs(settings["InvocationsTimeoutInSeconds"].as_u64().unwrap_or(TIMEOUT_SECS));
    let mut tries = 0;
    loop {
        let mut request = Request::post("/invocations").header("host", "container");
        for (name, value) in [("content-type", kind.as_deref()), ("accept", accept)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(record.clone())).map_err(|error| format!("ClientError: {error}"))?;
        let failed = match instance.connections.send(&instance.workload(), request, Instant::now() + timeout).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                let kind = answer.header("content-type");
                return answer.read(MAX_ANSWER).await.map(|answer| (answer, kind)).map_err(|error| format!("AlgorithmError: {error}"));
            }
            Ok(answer) => {
                let status = answer.status;
                let kind = if status < 500 { "ClientError" } else { "AlgorithmError" };
                let text = format!("{kind}: {status}: {}", String::from_utf8_lossy(&answer.beginning(2048).await));
                if !matches!(status, 429 | 500..) {
                    return Err(text);
                }
                text
            }
            Err(error) => format!("AlgorithmError: {error}"),
        };
        if tries >= retries {
            return Err(failed);
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(500 * tries)).await;
    }
}
