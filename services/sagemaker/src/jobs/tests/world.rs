//! A small world for jobs: a store in memory, an engine that follows a script, an S3 of a few lines, brokers that lead nowhere.

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
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostCapacity, HostState, Images, LogLine, WorkStatus, Workload};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Access, BrokerHandle, BrokerSpec, Brokers, Caller, Checks, Cx, Kernel, Operation, OperationRow, Permit, Reply, collect,
    directory::{Policies, Role, kind},
    full, role_caller,
};
use tenantry_store::{Batch, Expect, Memory, Row, SeriesRead, Store};
use tokio::sync::watch;

use crate::Machinery;

pub const ACCOUNT: &str = "123456789012";
pub const LIMITED: &str = "arn:aws:iam::123456789012:role/limited";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/execution";

/// Objects by `bucket/key`.
#[derive(Default)]
pub struct Objects(pub Mutex<BTreeMap<String, Vec<u8>>>);

/// What the next workloads do.
#[derive(Clone)]
pub struct Script {
    pub exit: i32,
    pub oom: bool,
    /// Waits to be stopped.
    pub endless: bool,
    /// Written below the mounts: path inside, content.
    pub writes: Vec<(&'static str, &'static str)>,
    pub prints: Vec<&'static str>,
    /// Printed after that, out of hyperparameters.json.
    pub respond: Option<fn(&Value) -> Vec<String>>,
}

impl Script {
    pub fn exits(exit: i32) -> Self {
        Self { exit, oom: false, endless: false, writes: Vec::new(), prints: Vec::new(), respond: None }
    }
}

pub struct Engine {
    pub script: Mutex<Script>,
    pub works: Mutex<BTreeMap<String, (Workload, WorkStatus)>>,
    /// What was found in the mounts when each workload started: path inside to content.
    pub seen: Mutex<Vec<BTreeMap<String, String>>>,
    pub changes: watch::Sender<u64>,
    pub starts: AtomicUsize,
}

fn ended(code: Option<i32>, oom: bool) -> HostState {
    HostState::Exited { code, signal: if code.is_none() { Some(15) } else { None }, oom, cpu_millis: 0, max_rss_bytes: 0 }
}

pub fn gather(host: &Path, inside: &Path, into: &mut BTreeMap<String, String>) {
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
            let parameters = seen.get("/opt/ml/input/config/hyperparameters.json").map(|text| serde_json::from_str(text).unwrap());
            let answers = script.respond.zip(parameters).map(|(respond, parameters)| respond(&parameters)).unwrap_or_default();
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
            for text in script.prints.into_iter().map(str::to_owned).chain(answers) {
                let line = LogLine { workload: workload.name.clone(), host: 0, time: Timestamp::from_secs(1), text };
                workload.logs.as_ref().unwrap().send(line).await.unwrap();
            }
            let state = if script.endless { HostState::Running } else { ended(Some(script.exit), script.oom) };
            let status = WorkStatus {
                hosts: vec![state; workload.hosts.len()],
                started: Timestamp::from_secs(1),
                ended: (!script.endless).then_some(Timestamp::from_secs(2)),
                timed_out: false,
                stopped: false,
                disk_full: false,
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
    pub fn end(&self, name: &str, how: impl FnOnce(&mut WorkStatus)) {
        if let Some((workload, status)) = self.works.lock().unwrap().get_mut(name) {
            status.hosts.fill(ended(None, false));
            status.ended = Some(Timestamp::from_secs(3));
            workload.logs = None;
            how(status);
        }
        self.changes.send_modify(|n| *n += 1);
    }
}

/// Of every broker that was opened: whether it leads to the internet.
#[derive(Default)]
pub struct Doors(pub Mutex<Vec<bool>>);
struct Door;
impl BrokerHandle for Door {}
impl Brokers for Doors {
    fn open(&self, spec: BrokerSpec) -> std::io::Result<Box<dyn BrokerHandle>> {
        self.0.lock().unwrap().push(spec.internet);
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
                $handle(cx, &objects, &input, text("Bucket"), text("Key")).await
            }
        }
    };
}
s3!(ListObjectsV2, list);
s3!(GetObject, get);
s3!(PutObject, put);
s3!(CreateMultipartUpload, begin);
s3!(UploadPart, part);
s3!(CompleteMultipartUpload, complete);
s3!(AbortMultipartUpload, abort);

type Given = Map<String, Value>;

async fn list(_: &Cx, objects: &Objects, input: &Given, bucket: String, _: String) -> Result<Reply> {
    let objects = objects.0.lock().unwrap();
    let from = format!("{bucket}/{}", input["Prefix"].as_str().unwrap());
    // Two a page, so that pages are followed.
    let after = input.get("ContinuationToken").and_then(Value::as_str).unwrap_or_default();
    let found: Vec<_> = objects.iter().filter(|(name, _)| name.starts_with(&from) && name.as_str() > after).take(3).collect();
    let contents: Vec<_> =
        found.iter().take(2).map(|(name, bytes)| json!({"Key": &name[bucket.len() + 1..], "Size": bytes.len()})).collect();
    let mut output = json!({"Contents": contents, "IsTruncated": found.len() > 2});
    if found.len() > 2 {
        output["NextContinuationToken"] = json!(found[1].0);
    }
    Ok(Reply::new(output))
}

async fn get(_: &Cx, objects: &Objects, _: &Given, bucket: String, key: String) -> Result<Reply> {
    let bytes = objects.0.lock().unwrap().get(&format!("{bucket}/{key}")).cloned();
    Ok(Reply::streaming(json!({}), full(bytes.ok_or_else(|| AwsError::new(404, "NoSuchKey", "The specified key does not exist."))?)))
}

async fn put(cx: &Cx, objects: &Objects, input: &Given, bucket: String, key: String) -> Result<Reply> {
    let bytes = collect(cx.take_body().unwrap(), 1 << 20).await.unwrap().unwrap();
    assert_eq!(input["ContentLength"], json!(bytes.len()));
    objects.0.lock().unwrap().insert(format!("{bucket}/{key}"), bytes.to_vec());
    Ok(Reply::new(json!({"ETag": "x"})))
}

async fn begin(_: &Cx, _: &Objects, _: &Given, _: String, _: String) -> Result<Reply> {
    Ok(Reply::new(json!({"UploadId": "u1"})))
}

async fn part(cx: &Cx, objects: &Objects, input: &Given, bucket: String, key: String) -> Result<Reply> {
    if key == "fails" && input["PartNumber"] == 2 {
        return Err(AwsError::new(500, "InternalError", "no luck"));
    }
    let tag = format!("tag-{}", input["PartNumber"]);
    put(cx, objects, input, format!("{bucket}:{}", input["UploadId"].as_str().unwrap()), format!("{key}:{tag}")).await?;
    Ok(Reply::new(json!({"ETag": tag})))
}

async fn complete(_: &Cx, objects: &Objects, input: &Given, bucket: String, key: String) -> Result<Reply> {
    let mut objects = objects.0.lock().unwrap();
    let whole = input["MultipartUpload"]["Parts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|part| objects.remove(&format!("{bucket}:u1/{key}:{}", part["ETag"].as_str().unwrap())).unwrap());
    let whole: Vec<u8> = whole.collect();
    objects.insert(format!("{bucket}/{key}"), whole);
    Ok(Reply::new(json!({})))
}

async fn abort(_: &Cx, objects: &Objects, _: &Given, bucket: String, key: String) -> Result<Reply> {
    objects.0.lock().unwrap().retain(|name, _| !name.starts_with(&format!("{bucket}:u1/{key}")));
    Ok(Reply::empty())
}

/// Tells directories apart. The former kernel of a restart holds its blobs still; nothing is in them.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A kernel with all that, and a role that may do everything.
pub struct World {
    pub kernel: Kernel,
    pub engine: Arc<Engine>,
    pub objects: Arc<Objects>,
    pub store: Arc<Memory>,
    pub doors: Arc<Doors>,
    pub dir: std::path::PathBuf,
}

impl World {
    pub async fn new(script: Script) -> Self {
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
        let doors = Arc::default();
        let kernel = Self::compose(&dir, &store, &engine, &objects, &doors);
        Self { kernel, engine, objects, store, doors, dir }
    }

    /// As a server does when it starts: nothing of a former process is left.
    pub fn compose(dir: &Path, store: &Arc<Memory>, engine: &Arc<Engine>, objects: &Arc<Objects>, doors: &Arc<Doors>) -> Kernel {
        drop(std::fs::remove_dir_all(dir.join("work")));
        engine.works.lock().unwrap().clear();
        let machinery = Arc::new(Machinery {
            engine: Arc::clone(engine) as Arc<dyn Compute>,
            images: Images::builtin().unwrap(),
            host: HostCapacity { memory_bytes: 64 << 30, cpus: 8 },
            work: dir.join("work"),
            ca_bundle: dir.join("ca.pem"),
        });
        let s3 = [
            OperationRow::of::<ListObjectsV2>(),
            OperationRow::of::<GetObject>(),
            OperationRow::of::<PutObject>(),
            OperationRow::of::<CreateMultipartUpload>(),
            OperationRow::of::<UploadPart>(),
            OperationRow::of::<CompleteMultipartUpload>(),
            OperationRow::of::<AbortMultipartUpload>(),
        ];
        let mut builder = Kernel::builder(
            Arc::clone(store) as Arc<dyn Store>,
            Blobs::open(dir.join(format!("blobs-{}", COUNT.fetch_add(1, Ordering::Relaxed)))).unwrap(),
        )
        .service(&crate::jobs::table())
        .service(&crate::tuning::table())
        .service(&crate::tagging::table())
        .service(&s3)
        .brokers(Arc::clone(doors) as Arc<dyn Brokers>)
        .provide(Arc::clone(&machinery))
        .provide(Arc::clone(objects));
        for reconciler in crate::jobs::reconcilers(&machinery).into_iter().chain(crate::tuning::reconcilers()) {
            builder = builder.reconciler(reconciler);
        }
        builder.build()
    }

    pub fn restart(&mut self) {
        self.kernel = Self::compose(&self.dir, &self.store, &self.engine, &self.objects, &self.doors);
    }

    pub async fn call(&self, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(&caller(), &Region::from("us-east-1"), "sagemaker", operation, input).await?;
        let faults = tenantry_wire::check_output(tenantry_wire::service("sagemaker").unwrap().operation(operation).unwrap(), &reply.output);
        assert!(faults.is_empty(), "{faults:?}");
        Ok(reply.output)
    }

    /// The same as somebody whose policy has these statements besides one that allows everything.
    pub async fn call_denied(&self, statements: &str, operation: &str, input: Value) -> AwsError {
        self.call_limited(statements, operation, input).await.unwrap_err()
    }

    /// The same, however it ends.
    pub async fn call_limited(&self, statements: &str, operation: &str, input: Value) -> Result<Value> {
        let scope = Scope::global(ACCOUNT);
        let mut limited = Role { id: "AROALIMITED0000000000".into(), name: "limited".into(), arn: Arn::parse(LIMITED).unwrap(), ..role() };
        limited.policies.inline.insert("limits".into(), format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#));
        let mut batch = Batch::new();
        batch.put(Row::new(kind::ROLE, &scope, "limited", Timestamp::default()).with(&limited).unwrap(), Expect::Any);
        self.store.commit(batch).await.unwrap();
        let caller = role_caller(&limited, &AccountId::from(ACCOUNT), "tester");
        let called = self.kernel.call(&caller, &Region::from("us-east-1"), "sagemaker", operation, input).await;
        called.map(|reply| reply.output)
    }

    /// Lets the execution role be assumed under a condition only.
    pub async fn trust_under(&self, condition: &str) {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"sagemaker.amazonaws.com"}},"Action":"sts:AssumeRole","Condition":{{{condition}}}}}]}}"#
        );
        let mut batch = Batch::new();
        let row = Row::new(kind::ROLE, &Scope::global(ACCOUNT), "execution", Timestamp::default());
        batch.put(row.with(&Role { trust, ..role() }).unwrap(), Expect::Any);
        self.store.commit(batch).await.unwrap();
    }

    pub async fn describe(&self, training: bool) -> Value {
        let (operation, name) =
            if training { ("DescribeTrainingJob", "TrainingJobName") } else { ("DescribeProcessingJob", "ProcessingJobName") };
        self.call(operation, json!({name: "Job-1"})).await.unwrap()
    }

    /// Runs steps until the description satisfies; the bound is there to fail instead of hanging.
    pub async fn until(&self, training: bool, satisfied: impl Fn(&Value) -> bool) -> Value {
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

    pub async fn over(&self, training: bool) -> Value {
        let status = if training { "TrainingJobStatus" } else { "ProcessingJobStatus" };
        let found = self.until(training, |found| matches!(found[status].as_str(), Some("Completed" | "Failed" | "Stopped"))).await;
        // Cleaning up follows.
        self.kernel.settle().await.unwrap();
        found
    }

    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.objects.0.lock().unwrap().get(name).cloned()
    }

    pub async fn log(&self, group: &str, created: &Value) -> Vec<String> {
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

pub fn role() -> Role {
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

pub fn caller() -> Caller {
    role_caller(&role(), &AccountId::from(ACCOUNT), "tester")
}
