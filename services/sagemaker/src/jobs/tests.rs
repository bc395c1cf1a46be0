//! Jobs from Create to their end, over a store in memory, an engine that follows a script, and an S3 of a few lines.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostCapacity, HostState, Images, LogLine, Network, WorkStatus, Workload};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Access, BrokerHandle, BrokerSpec, Brokers, Caller, Checks, Cx, Kernel, Operation, OperationRow, Permit, Reply, collect,
    directory::{Policies, Role, kind},
    full, role_caller,
};
use tenantry_store::{Batch, Expect, Memory, Row, SeriesRead, Store};
use tokio::sync::watch;

use crate::Machinery;

const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/execution";

/// Objects by `bucket/key`.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Vec<u8>>>);

/// What the next workloads do.
#[derive(Clone)]
struct Script {
    exit: i32,
    oom: bool,
    /// Waits to be stopped.
    endless: bool,
    /// Written below the mounts: path inside, content.
    writes: Vec<(&'static str, &'static str)>,
    prints: Vec<&'static str>,
}

impl Script {
    fn exits(exit: i32) -> Self {
        Self { exit, oom: false, endless: false, writes: Vec::new(), prints: Vec::new() }
    }
}

struct Engine {
    script: Mutex<Script>,
    works: Mutex<BTreeMap<String, (Workload, WorkStatus)>>,
    /// What was found in the mounts when each workload started: path inside to content.
    seen: Mutex<Vec<BTreeMap<String, String>>>,
    changes: watch::Sender<u64>,
    starts: AtomicUsize,
}

fn ended(code: Option<i32>, oom: bool) -> HostState {
    HostState::Exited { code, signal: if code.is_none() { Some(15) } else { None }, oom, cpu_millis: 0, max_rss_bytes: 0 }
}

fn gather(host: &Path, inside: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(host).unwrap().flatten() {
        let path = inside.join(entry.file_name());
        if entry.path().is_dir() {
            gather(&entry.path(), &path, into);
        } else {
            into.insert(path.display().to_string(), String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned());
        }
    }
}

impl Compute for Engine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, std::result::Result<(), ComputeError>> {
        Box::pin(async move {
            let script = self.script.lock().unwrap().clone();
            self.starts.fetch_add(1, Ordering::Relaxed);
            let mut seen = BTreeMap::new();
            for mount in workload.hosts.iter().flat_map(|host| &host.mounts) {
                gather(&mount.host, &mount.target, &mut seen);
            }
            self.seen.lock().unwrap().push(seen);
            for (path, content) in script.writes {
                let mounts = &workload.hosts[0].mounts;
                let mount = mounts
                    .iter()
                    .filter(|mount| Path::new(path).starts_with(&mount.target))
                    .max_by_key(|m| m.target.as_os_str().len())
                    .unwrap();
                let at = mount.host.join(Path::new(path).strip_prefix(&mount.target).unwrap());
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, content).unwrap();
            }
            for text in script.prints {
                let line = LogLine { workload: workload.name.clone(), host: 0, time: Timestamp::from_secs(1), text: text.into() };
                workload.logs.as_ref().unwrap().send(line).await.unwrap();
            }
            let state = if script.endless { HostState::Running } else { ended(Some(script.exit), script.oom) };
            let status = WorkStatus {
                hosts: vec![state; workload.hosts.len()],
                started: Timestamp::from_secs(1),
                ended: (!script.endless).then_some(Timestamp::from_secs(2)),
                timed_out: false,
                stopped: false,
                failure: None,
                progress: None,
            };
            let name = workload.name.clone();
            // The engine lets go of the log at the end.
            let kept = Workload { logs: workload.logs.clone().filter(|_| script.endless), ..workload };
            self.works.lock().unwrap().insert(name, (kept, status));
            self.changes.send_modify(|n| *n += 1);
            Ok(())
        })
    }
    fn status(&self, name: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        let found = self.works.lock().unwrap().get(name).map(|(_, status)| status.clone());
        Box::pin(async move { found })
    }
    fn stop(&self, name: &str, _: Duration) -> BoxFuture<'_, std::result::Result<(), ComputeError>> {
        self.end(name, |status| status.stopped = true);
        Box::pin(async { Ok(()) })
    }
    fn connect(&self, name: &str, _: usize) -> BoxFuture<'_, std::result::Result<Box<dyn Duplex>, ComputeError>> {
        let name = name.to_owned();
        Box::pin(async move { Err(ComputeError::Unknown(name)) })
    }
    fn forget(&self, name: &str) -> BoxFuture<'_, ()> {
        self.works.lock().unwrap().remove(name);
        Box::pin(async {})
    }
    fn names(&self) -> BoxFuture<'_, Vec<String>> {
        let names = self.works.lock().unwrap().keys().cloned().collect();
        Box::pin(async move { names })
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Engine {
    fn end(&self, name: &str, how: impl FnOnce(&mut WorkStatus)) {
        if let Some((workload, status)) = self.works.lock().unwrap().get_mut(name) {
            status.hosts.fill(ended(None, false));
            status.ended = Some(Timestamp::from_secs(3));
            workload.logs = None;
            how(status);
        }
        self.changes.send_modify(|n| *n += 1);
    }
}

struct Doors;
struct Door;
impl BrokerHandle for Door {}
impl Brokers for Doors {
    fn open(&self, _: BrokerSpec) -> std::io::Result<Box<dyn BrokerHandle>> {
        Ok(Box::new(Door))
    }
}

/// An operation of a test's S3.
macro_rules! s3 {
    ($name:ident, $handle:ident) => {
        struct $name;
        impl Operation for $name {
            const SERVICE: &'static str = "s3";
            const NAME: &'static str = stringify!($name);
            const ACCESS: Access = Access::CallerOnly("a test's S3");
            type Input = Map<String, Value>;
            async fn resolve(_: &Cx, _: &Map<String, Value>) -> Result<Checks> {
                Ok(Checks::none())
            }
            async fn handle(cx: &Cx, _: Permit<Self>, input: Map<String, Value>) -> Result<Reply> {
                assert_eq!(cx.caller.principal.role_arn.as_deref(), Some(ROLE), "data moves as the execution role");
                let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                if text("Bucket") == "denied" {
                    return Err(AwsError::new(403, "AccessDenied", "Access Denied"));
                }
                let objects = cx.kernel.provided::<Objects>().unwrap();
                $handle(cx, &objects, text("Bucket"), text("Key"), text("Prefix")).await
            }
        }
    };
}
s3!(ListObjectsV2, list);
s3!(GetObject, get);
s3!(PutObject, put);

async fn list(_: &Cx, objects: &Objects, bucket: String, _: String, prefix: String) -> Result<Reply> {
    let objects = objects.0.lock().unwrap();
    let found = objects.iter().filter(|(name, _)| name.starts_with(&format!("{bucket}/{prefix}")));
    let contents: Vec<_> = found.map(|(name, bytes)| json!({"Key": &name[bucket.len() + 1..], "Size": bytes.len()})).collect();
    Ok(Reply::new(json!({"Contents": contents, "IsTruncated": false})))
}

async fn get(_: &Cx, objects: &Objects, bucket: String, key: String, _: String) -> Result<Reply> {
    let bytes = objects.0.lock().unwrap().get(&format!("{bucket}/{key}")).cloned();
    Ok(Reply::streaming(json!({}), full(bytes.ok_or_else(|| AwsError::new(404, "NoSuchKey", "The specified key does not exist."))?)))
}

async fn put(cx: &Cx, objects: &Objects, bucket: String, key: String, _: String) -> Result<Reply> {
    let bytes = collect(cx.take_body().unwrap(), 1 << 20).await.unwrap().unwrap();
    objects.0.lock().unwrap().insert(format!("{bucket}/{key}"), bytes.to_vec());
    Ok(Reply::new(json!({"ETag": "x"})))
}

/// Tells directories apart. The former kernel of a restart holds its blobs still; nothing is in them.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A kernel with all that, and a role that may do everything.
struct World {
    kernel: Kernel,
    engine: Arc<Engine>,
    objects: Arc<Objects>,
    store: Arc<Memory>,
    dir: std::path::PathBuf,
}

impl World {
    async fn new(script: Script) -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-jobs-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let engine = Arc::new(Engine {
            script: Mutex::new(script),
            works: Mutex::default(),
            seen: Mutex::default(),
            changes: watch::Sender::new(0),
            starts: AtomicUsize::new(0),
        });
        let store = Arc::new(Memory::new());
        let mut batch = Batch::new();
        let scope = Scope::global(ACCOUNT);
        batch.put(Row::new(kind::ROLE, &scope, "execution", Timestamp::default()).with(&role()).unwrap(), Expect::Absent);
        store.commit(batch).await.unwrap();
        let objects = Arc::new(Objects::default());
        for (name, content) in [
            ("data/train/a.csv", "1,2"),
            ("data/train/deep/b.csv", "3,4"),
            ("data/code/script.py", "print()"),
            ("data/ck/old", "checkpoint"),
        ] {
            objects.0.lock().unwrap().insert(name.into(), content.into());
        }
        let kernel = Self::compose(&dir, &store, &engine, &objects);
        Self { kernel, engine, objects, store, dir }
    }

    /// As a server does when it starts: nothing of a former process is left.
    fn compose(dir: &Path, store: &Arc<Memory>, engine: &Arc<Engine>, objects: &Arc<Objects>) -> Kernel {
        drop(std::fs::remove_dir_all(dir.join("work")));
        engine.works.lock().unwrap().clear();
        let machinery = Arc::new(Machinery {
            engine: Arc::clone(engine) as Arc<dyn Compute>,
            images: Images::builtin().unwrap(),
            host: HostCapacity { memory_bytes: 64 << 30, cpus: 8 },
            work: dir.join("work"),
            ca_bundle: dir.join("ca.pem"),
        });
        let s3 = [OperationRow::of::<ListObjectsV2>(), OperationRow::of::<GetObject>(), OperationRow::of::<PutObject>()];
        let mut builder = Kernel::builder(
            Arc::clone(store) as Arc<dyn Store>,
            Blobs::open(dir.join(format!("blobs-{}", COUNT.fetch_add(1, Ordering::Relaxed)))).unwrap(),
        )
        .service(&super::table())
        .service(&s3)
        .brokers(Arc::new(Doors))
        .provide(Arc::clone(&machinery))
        .provide(Arc::clone(objects));
        for reconciler in super::reconcilers(&machinery) {
            builder = builder.reconciler(reconciler);
        }
        builder.build()
    }

    fn restart(&mut self) {
        self.kernel = Self::compose(&self.dir, &self.store, &self.engine, &self.objects);
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(&caller(), &Region::from("us-east-1"), "sagemaker", operation, input).await?;
        let faults = tenantry_wire::check_output(tenantry_wire::service("sagemaker").unwrap().operation(operation).unwrap(), &reply.output);
        assert!(faults.is_empty(), "{faults:?}");
        Ok(reply.output)
    }

    async fn describe(&self, training: bool) -> Value {
        let (operation, name) =
            if training { ("DescribeTrainingJob", "TrainingJobName") } else { ("DescribeProcessingJob", "ProcessingJobName") };
        self.call(operation, json!({name: "Job-1"})).await.unwrap()
    }

    /// Runs steps until the description satisfies; the bound is there to fail instead of hanging.
    async fn until(&self, training: bool, satisfied: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3000 {
            self.kernel.settle().await.unwrap();
            let found = self.describe(training).await;
            if satisfied(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {}", self.describe(training).await)
    }

    async fn over(&self, training: bool) -> Value {
        let status = if training { "TrainingJobStatus" } else { "ProcessingJobStatus" };
        let found = self.until(training, |found| matches!(found[status].as_str(), Some("Completed" | "Failed" | "Stopped"))).await;
        // Cleaning up follows.
        self.kernel.settle().await.unwrap();
        found
    }

    fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.objects.0.lock().unwrap().get(name).cloned()
    }

    async fn log(&self, group: &str, created: &Value) -> Vec<String> {
        let stream = format!("Job-1/algo-1-{}", created.as_f64().unwrap().floor() as i64);
        let series = format!("logs/{ACCOUNT}/us-east-1/{group}\0{stream}");
        let lines = self.store.series_read(&SeriesRead::behind(&series, 0, 100)).await.unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn role() -> Role {
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    Role {
        id: "AROAEXAMPLEEXAMPLE000".into(),
        name: "execution".into(),
        path: "/".into(),
        arn: Arn::parse(ROLE).unwrap(),
        created: Timestamp::default(),
        description: String::new(),
        trust: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#.into(),
        trusted_ids: BTreeMap::new(),
        max_session: 3600,
        policies: Policies { inline: BTreeMap::from([("all".to_owned(), allow.to_owned())]), attached: Vec::new() },
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: None,
    }
}

fn caller() -> Caller {
    role_caller(&role(), &AccountId::from(ACCOUNT), "tester")
}

fn training() -> Value {
    json!({
        "TrainingJobName": "Job-1",
        "AlgorithmSpecification": {"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"num_round": "5"},
        "InputDataConfig": [{
            "ChannelName": "train",
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train", "S3DataDistributionType": "FullyReplicated"}},
        }],
        "OutputDataConfig": {"S3OutputPath": "s3://results/models/", "KmsKeyId": ""},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    })
}

fn processing() -> Value {
    json!({
        "ProcessingJobName": "Job-1",
        "AppSpecification": {"ImageUri": "x/sagemaker-base-python:1.0", "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"], "ContainerArguments": ["--a", "b"]},
        "RoleArn": ROLE,
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        "ProcessingInputs": [{
            "InputName": "code",
            "S3Input": {"S3Uri": "s3://data/code/script.py", "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File"},
        }],
        "ProcessingOutputConfig": {"Outputs": [{
            "OutputName": "out",
            "S3Output": {"S3Uri": "s3://results/out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"},
        }]},
        "Environment": {"MODE": "test"},
    })
}

fn with(mut request: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[last] = value;
    request
}

#[tokio::test]
async fn a_training_job_completes() {
    let writes = vec![("/opt/ml/model/xgboost-model", "weights"), ("/opt/ml/output/data/plot.txt", "plot")];
    let prints = vec!["hello", "[4]#011train-rmse:0.5"];
    let world = World::new(Script { writes, prints, ..Script::exits(0) }).await;
    let made = world.call("CreateTrainingJob", training()).await.unwrap();
    assert_eq!(made["TrainingJobArn"], "arn:aws:sagemaker:us-east-1:123456789012:training-job/job-1");
    assert_eq!(world.describe(true).await["SecondaryStatus"], "Starting");
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Completed"), &json!("Completed")), "{found}");
    let steps: Vec<_> = found["SecondaryStatusTransitions"].as_array().unwrap().iter().map(|t| t["Status"].as_str().unwrap()).collect();
    assert!(steps.starts_with(&["Starting", "Downloading"]) && steps.ends_with(&["Uploading", "Completed"]), "{steps:?}");
    assert_eq!(found["ModelArtifacts"]["S3ModelArtifacts"], "s3://results/models/Job-1/output/model.tar.gz");
    assert_eq!(found["FinalMetricDataList"], json!([{"MetricName": "train:rmse", "Value": 0.5, "Timestamp": 1}]));
    assert_eq!((&found["HyperParameters"], &found["OutputDataConfig"]), (&training()["HyperParameters"], &training()["OutputDataConfig"]));
    assert!(found["BillableTimeInSeconds"].as_i64().unwrap() >= 1 && found["TrainingEndTime"].is_number());
    assert!(
        world.object("results/models/Job-1/output/model.tar.gz").is_some()
            && world.object("results/models/Job-1/output/output.tar.gz").is_some()
    );
    let seen = world.engine.seen.lock().unwrap()[0].clone();
    assert_eq!((seen["/opt/ml/input/data/train/a.csv"].as_str(), seen["/opt/ml/input/data/train/deep/b.csv"].as_str()), ("1,2", "3,4"));
    assert_eq!(seen["/opt/ml/input/config/hyperparameters.json"], r#"{"num_round":"5"}"#);
    assert!(seen["/opt/ml/input/config/resourceconfig.json"].contains(r#""hosts":["algo-1"]"#));
    assert_eq!(world.log("/aws/sagemaker/TrainingJobs", &found["CreationTime"]).await, ["hello", "[4]#011train-rmse:0.5"]);
    assert!(world.engine.works.lock().unwrap().is_empty(), "forgotten");
    assert_eq!(std::fs::read_dir(world.dir.join("work")).unwrap().count(), 0, "removed");
    let listed = world.call("ListTrainingJobs", json!({"StatusEquals": "Completed"})).await.unwrap();
    assert_eq!(listed["TrainingJobSummaries"][0]["TrainingJobName"], "Job-1");
}

#[tokio::test]
async fn what_a_workload_is_given() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    let request = with(training(), "/ResourceConfig/InstanceCount", json!(2));
    let request = with(request, "/InputDataConfig/0/DataSource/S3DataSource/S3DataDistributionType", json!("ShardedByS3Key"));
    let request = with(request, "/Environment", json!({"AWS_REGION": "mine", "A": "b"}));
    world.call("CreateTrainingJob", request).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let works = world.engine.works.lock().unwrap();
    let (workload, _) = works.values().next().unwrap();
    assert_eq!(workload.command, ["python", "-m", "tenantry_runtime.xgboost_train"]);
    assert_eq!(
        (workload.env["A"].as_str(), workload.env["AWS_REGION"].as_str(), workload.env["AWS_DEFAULT_REGION"].as_str()),
        ("b", "mine", "us-east-1")
    );
    assert!(workload.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].starts_with("/v2/credentials/"));
    assert_eq!(workload.env["NO_PROXY"], "127.0.0.1,169.254.170.2,localhost,algo-1,algo-2");
    assert!(workload.shared_network && matches!(&workload.network, Network::Brokered(out) if out.len() == 2));
    assert_eq!(workload.timeout, Some(Duration::from_secs(600)));
    let files = |host: usize| {
        let mut found = BTreeMap::new();
        workload.hosts[host].mounts.iter().for_each(|mount| gather(&mount.host, &mount.target, &mut found));
        found.into_keys().filter(|path| path.starts_with("/opt/ml/input/data")).collect::<Vec<_>>()
    };
    assert_eq!(
        (files(0), files(1)),
        (vec!["/opt/ml/input/data/train/a.csv".to_owned()], vec!["/opt/ml/input/data/train/deep/b.csv".to_owned()])
    );
}

#[tokio::test]
async fn isolation_means_no_way_out() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", with(training(), "/EnableNetworkIsolation", json!(true))).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let works = world.engine.works.lock().unwrap();
    let (workload, _) = works.values().next().unwrap();
    assert!(matches!(workload.network, Network::Isolated));
    assert!(
        !workload.env.keys().any(|name| name.contains("PROXY") || name.contains("CREDENTIALS") || name.contains("ENDPOINT")),
        "{:?}",
        workload.env
    );
}

#[tokio::test]
async fn a_processing_job_completes_and_leaves_a_message() {
    let writes = vec![("/opt/ml/processing/out/deep/result.json", "{}"), ("/opt/ml/output/message", "all good")];
    let world = World::new(Script { writes, ..Script::exits(0) }).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    let found = world.over(false).await;
    assert_eq!((&found["ProcessingJobStatus"], &found["ExitMessage"]), (&json!("Completed"), &json!("all good")), "{found}");
    assert_eq!(world.object("results/out/deep/result.json").as_deref(), Some(&b"{}"[..]));
    let seen = world.engine.seen.lock().unwrap()[0].clone();
    assert_eq!(seen["/opt/ml/processing/input/code/script.py"], "print()");
    assert!(
        seen["/opt/ml/config/processingjobconfig.json"].contains("processing-job/job-1")
            && seen.contains_key("/opt/ml/config/resourceconfig.json")
    );
}

#[tokio::test]
async fn failures_have_reasons() {
    let failing = Script { writes: vec![("/opt/ml/output/failure", "bad labels")], ..Script::exits(3) };
    for (script, request, reason) in [
        (failing.clone(), training(), "AlgorithmError: bad labels, exit code: 3"),
        (
            Script { oom: true, ..Script::exits(137) },
            training(),
            "AlgorithmError: OutOfMemory: Please use an instance type with more memory",
        ),
        (
            Script::exits(0),
            with(training(), "/InputDataConfig/0/DataSource/S3DataSource/S3Uri", json!("s3://data/nowhere")),
            "ClientError: Data download failed:No S3 objects found under S3 URL \"s3://data/nowhere\"",
        ),
        (
            Script::exits(0),
            with(training(), "/InputDataConfig/0/DataSource/S3DataSource/S3Uri", json!("s3://denied/x")),
            "ClientError: Data download failed:",
        ),
        (
            Script::exits(0),
            with(training(), "/OutputDataConfig/S3OutputPath", json!("s3://denied/x")),
            "ClientError: Artifact upload failed:AccessDenied",
        ),
    ] {
        let world = World::new(script).await;
        world.call("CreateTrainingJob", request).await.unwrap();
        let found = world.over(true).await;
        assert_eq!(found["TrainingJobStatus"], "Failed", "{found}");
        assert!(found["FailureReason"].as_str().unwrap().starts_with(reason), "{found}");
    }
    let world = World::new(failing).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    assert_eq!(world.over(false).await["FailureReason"], "AlgorithmError: See job logs for more information, exit code: 3");
    assert!(world.object("results/out/deep/result.json").is_none());
}

#[tokio::test]
async fn keys_are_never_paths() {
    let world = World::new(Script::exits(0)).await;
    world.objects.0.lock().unwrap().insert("data/train/../../escaped".into(), b"x".to_vec());
    world.call("CreateTrainingJob", training()).await.unwrap();
    let found = world.over(true).await;
    assert!(found["FailureReason"].as_str().unwrap().contains("cannot be the name of a file"), "{found}");
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn stopping_keeps_the_model() {
    let world = World::new(Script { endless: true, writes: vec![("/opt/ml/model/m", "half")], ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap();
    assert_eq!(world.describe(true).await["TrainingJobStatus"], "Stopping");
    world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap();
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Stopped"), &json!("Stopped")));
    assert!(world.object("results/models/Job-1/output/model.tar.gz").is_some());
    let error = world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap_err();
    assert_eq!(error.message, "The request was rejected because the training job is in status Stopped.");
}

#[tokio::test]
async fn out_of_time_is_stopped() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let name = world.engine.names().await.remove(0);
    world.engine.end(&name, |status| status.timed_out = true);
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Stopped"), &json!("MaxRuntimeExceeded")));
}

#[tokio::test]
async fn checkpoints_come_and_go() {
    let writes = vec![("/opt/ml/checkpoints/new", "n")];
    let world = World::new(Script { writes, ..Script::exits(1) }).await;
    world.call("CreateTrainingJob", with(training(), "/CheckpointConfig", json!({"S3Uri": "s3://data/ck"}))).await.unwrap();
    world.over(true).await;
    assert_eq!(world.engine.seen.lock().unwrap()[0]["/opt/ml/checkpoints/old"], "checkpoint");
    assert_eq!(world.object("data/ck/new").as_deref(), Some(&b"n"[..]), "also when the job fails");
}

#[tokio::test]
async fn a_restart_begins_again_and_not_for_ever() {
    let mut world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    for attempt in 1..=super::step::MAX_ATTEMPTS {
        world.until(true, |found| found["SecondaryStatus"] == "Training").await;
        assert_eq!(world.engine.starts.load(Ordering::Relaxed), attempt as usize);
        world.restart();
        if attempt < super::step::MAX_ATTEMPTS {
            world.until(true, |found| found["SecondaryStatus"] != "Training").await;
        }
    }
    let found = world.over(true).await;
    assert_eq!(found["FailureReason"], super::reason::INTERNAL);
    let log = world.log("/aws/sagemaker/TrainingJobs", &found["CreationTime"]).await;
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains("begins again (attempt 2 of 3)"), "{log:?}");
}

#[tokio::test]
async fn a_restart_after_stop_is_stopped() {
    let mut world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    world.until(false, |_| world.engine.starts.load(Ordering::Relaxed) == 1).await;
    world.call("StopProcessingJob", json!({"ProcessingJobName": "Job-1"})).await.unwrap();
    world.restart();
    assert_eq!(world.over(false).await["ProcessingJobStatus"], "Stopped");
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn refused_at_create() {
    let world = World::new(Script::exits(0)).await;
    let vpc = json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]});
    let second = training()["InputDataConfig"][0].clone();
    for (request, part) in [
        (with(training(), "/VpcConfig", vpc.clone()), "VpcConfig is not available here"),
        (with(training(), "/OutputDataConfig/KmsKeyId", json!("alias/x")), "KmsKeyId is not available here"),
        (with(training(), "/ResourceConfig/VolumeKmsKeyId", json!("alias/x")), "VolumeKmsKeyId is not available here"),
        (
            with(training(), "/SessionChainingConfig", json!({"EnableSessionTagChaining": true})),
            "EnableSessionTagChaining is not available",
        ),
        (with(training(), "/AlgorithmSpecification/TrainingInputMode", json!("Pipe")), "Pipe is not available here"),
        (
            with(training(), "/AlgorithmSpecification/TrainingImage", json!("x/unknown:1")),
            "image `x/unknown:1` is not known here: known are",
        ),
        (with(training(), "/AlgorithmSpecification/TrainingImage", json!("x/sagemaker-tritonserver:1")), "has no training program"),
        (with(training(), "/OutputDataConfig/S3OutputPath", json!("https://x/y")), "is not a valid S3 URI"),
        (with(training(), "/InputDataConfig", json!([second, second])), "Channel names must be unique"),
        (with(training(), "/InputDataConfig/0/ChannelName", json!("..")), "cannot be a directory"),
        (
            with(training(), "/RoleArn", json!("arn:aws:iam::123456789012:role/unknown")),
            "Could not assume role arn:aws:iam::123456789012:role/unknown",
        ),
        (with(training(), "/RoleArn", json!("arn:aws:iam::999999999999:role/execution")), "Cross-account pass role is not allowed"),
        (with(training(), "/ResourceConfig/InstanceCount", json!(0)), "InstanceCount"),
        (with(training(), "/EnableManagedSpotTraining", json!(true)), "MaxWaitTimeInSeconds"),
        (with(training(), "/AlgorithmSpecification/MetricDefinitions", json!([{"Name": "m", "Regex": "("}])), "Invalid regex"),
        (with(training(), "/CheckpointConfig", json!({"S3Uri": "s3://data/x", "LocalPath": "/etc"})), "must be a directory below /opt/ml"),
    ] {
        let error = world.call("CreateTrainingJob", request).await.unwrap_err();
        assert_eq!(error.code, "ValidationException", "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    for (request, part) in [
        (with(processing(), "/NetworkConfig", json!({"VpcConfig": vpc})), "VpcConfig is not available here"),
        (with(processing(), "/ProcessingOutputConfig/KmsKeyId", json!("alias/x")), "KmsKeyId is not available here"),
        (with(processing(), "/ProcessingInputs/0/S3Input/LocalPath", json!("/opt/ml/../../etc")), "must be a directory below /opt/ml"),
        (with(processing(), "/ProcessingInputs/0/S3Input/S3InputMode", json!("Pipe")), "Pipe"),
    ] {
        let error = world.call("CreateProcessingJob", request).await.unwrap_err();
        assert!(error.code == "ValidationException" && error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_job_has_at_most_twenty_hosts() {
    let world = World::new(Script::exits(0)).await;
    let error = world.call("CreateTrainingJob", with(training(), "/ResourceConfig/InstanceCount", json!(21))).await.unwrap_err();
    assert_eq!(error.code, "ResourceLimitExceeded", "{error}");
    world.call("CreateTrainingJob", with(training(), "/ResourceConfig/InstanceCount", json!(20))).await.unwrap();
}

#[tokio::test]
async fn names_are_unique_without_case() {
    let world = World::new(Script::exits(0)).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    for name in ["Job-1", "job-1"] {
        let error = world.call("CreateTrainingJob", with(training(), "/TrainingJobName", json!(name))).await.unwrap_err();
        assert_eq!(error.code, "ResourceInUse");
        assert!(
            error
                .message
                .starts_with("Job name must be unique within an AWS account and region, and a job with this name already exists (arn:")
        );
    }
    let missing = world.call("DescribeTrainingJob", json!({"TrainingJobName": "none"})).await.unwrap_err();
    assert_eq!((missing.code.as_ref(), missing.message.as_str()), ("ValidationException", "Requested resource not found."));
    let missing = world.call("DescribeProcessingJob", json!({"ProcessingJobName": "none"})).await.unwrap_err();
    assert_eq!(missing.message, "Could not find requested job with name: none");
}
