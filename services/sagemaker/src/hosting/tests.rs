//! Hosting over a store in memory, an engine whose containers are functions, and an S3 of a few lines.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostCapacity, HostState, Images, WorkStatus, Workload};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Access, BrokerHandle, BrokerSpec, Brokers, Caller, Checks, Cx, Kernel, Operation, OperationRow, Permit, Reply, collect,
    directory::{Policies, Role, kind},
    full, role_caller,
};
use tenantry_store::{Batch, Expect, Memory, Row, Store};
use tokio::{sync::watch, time::Instant};

mod moving;
mod network;
mod pooled;
mod room;
mod several;

use super::{
    connection::{Connections, Unanswered},
    container::{Container, Source},
    instance::{Instance, Plan, RESTARTS, STARTS, State},
    multi,
};
use crate::{Machinery, jobs::logs::Destination};

const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/execution";
const XGBOOST: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";

/// What a container does with a request.
enum Act {
    Answer(u16, Bytes),
    /// Never answers.
    Hang,
    /// Ends the container.
    Die,
}

fn ok(text: impl Into<Bytes>) -> Act {
    Act::Answer(200, text.into())
}

type Behaviour = Arc<dyn Fn(&str, &str, &[u8]) -> Act + Send + Sync>;

struct Engine {
    behaviour: Mutex<Behaviour>,
    works: Arc<Mutex<BTreeMap<String, (Workload, HostState)>>>,
    changes: Arc<watch::Sender<u64>>,
    starts: AtomicUsize,
    connections: AtomicUsize,
}

impl Engine {
    fn new(behaviour: impl Fn(&str, &str, &[u8]) -> Act + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Mutex::new(Arc::new(behaviour)),
            works: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
            starts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        })
    }
}

fn ended() -> HostState {
    HostState::Exited { code: Some(1), signal: None, oom: false, cpu_millis: 0, max_rss_bytes: 0 }
}

impl Compute for Engine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, std::result::Result<(), ComputeError>> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let dies = matches!(self.behaviour.lock().unwrap()("START", "", b""), Act::Die);
        let state = if dies { ended() } else { HostState::Running };
        self.works.lock().unwrap().insert(workload.name.clone(), (workload, state));
        self.changes.send_modify(|n| *n += 1);
        Box::pin(async { Ok(()) })
    }
    fn status(&self, name: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        let found = self.works.lock().unwrap().get(name).map(|(_, state)| WorkStatus {
            hosts: vec![state.clone()],
            started: Timestamp::default(),
            ended: None,
            timed_out: false,
            stopped: false,
            disk_full: false,
            failure: None,
            progress: None,
        });
        Box::pin(async move { found })
    }
    fn stop(&self, name: &str, _: Duration) -> BoxFuture<'_, std::result::Result<(), ComputeError>> {
        if let Some((_, state)) = self.works.lock().unwrap().get_mut(name) {
            *state = ended();
        }
        self.changes.send_modify(|n| *n += 1);
        Box::pin(async { Ok(()) })
    }
    fn connect(&self, name: &str, _: usize) -> BoxFuture<'_, std::result::Result<Box<dyn Duplex>, ComputeError>> {
        let running = self.works.lock().unwrap().get(name).is_some_and(|(_, state)| *state == HostState::Running);
        let unreachable = ComputeError::Unreachable { name: name.to_owned(), reason: "it does not run".into() };
        if !running {
            return Box::pin(async { Err(unreachable) });
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        // A container with the variable STAGE sees it behind its paths.
        let stage = self.works.lock().unwrap().get(name).and_then(|(work, _)| work.env.get("STAGE").map(|stage| format!("@{stage}")));
        let stage = stage.unwrap_or_default();
        let (behaviour, works, changes, name) =
            (self.behaviour.lock().unwrap().clone(), Arc::clone(&self.works), Arc::clone(&self.changes), name.to_owned());
        tokio::spawn(async move {
            let serve = service_fn(move |request: Request<Incoming>| {
                let (behaviour, works, changes, name) = (behaviour.clone(), Arc::clone(&works), Arc::clone(&changes), name.clone());
                let stage = stage.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                    match behaviour(parts.method.as_str(), &format!("{}{stage}", parts.uri.path()), &body) {
                        Act::Answer(status, bytes) => {
                            let mut response = Response::new(Full::new(bytes));
                            *response.status_mut() = status.try_into().unwrap();
                            if parts.uri.path() == "/close" {
                                response.headers_mut().insert("connection", "close".parse().unwrap());
                            }
                            Ok(response)
                        }
                        Act::Hang => std::future::pending().await,
                        Act::Die => {
                            works.lock().unwrap().get_mut(&name).unwrap().1 = ended();
                            changes.send_modify(|n| *n += 1);
                            Err(std::io::Error::other("the container died"))
                        }
                    }
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(theirs), serve).await);
        });
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn Duplex>) })
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

/// Of every broker that was opened: whether it leads to the internet.
#[derive(Default)]
struct Doors(Mutex<Vec<bool>>);
struct Door;
impl BrokerHandle for Door {}
impl Brokers for Doors {
    fn open(&self, spec: BrokerSpec) -> std::io::Result<Box<dyn BrokerHandle>> {
        self.0.lock().unwrap().push(spec.internet);
        Ok(Box::new(Door))
    }
}

/// Objects by `bucket/key`.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Vec<u8>>>);

macro_rules! s3 {
    ($name:ident, $handle:expr) => {
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
                let objects = cx.kernel.provided::<Objects>().unwrap();
                let name = format!("{}/{}", text("Bucket"), text("Key"));
                let body = match cx.take_body() {
                    Some(body) => collect(body, 1 << 20).await.unwrap().unwrap(),
                    None => Bytes::new(),
                };
                $handle(&objects, name, body)
            }
        }
    };
}

s3!(GetObject, |objects: &Objects, name: String, _: Bytes| {
    let bytes = objects.0.lock().unwrap().get(&name).cloned();
    Ok(Reply::streaming(json!({}), full(bytes.ok_or_else(|| AwsError::new(404, "NoSuchKey", "The specified key does not exist."))?)))
});
s3!(HeadObject, |objects: &Objects, name: String, _: Bytes| {
    let found = objects.0.lock().unwrap().contains_key(&name);
    if found { Ok(Reply::empty()) } else { Err(AwsError::new(404, "NotFound", "Not Found")) }
});
s3!(PutObject, |objects: &Objects, name: String, body: Bytes| {
    objects.0.lock().unwrap().insert(name, body.to_vec());
    Ok(Reply::empty())
});

fn role() -> Role {
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    Role {
        id: "AROAEXAMPLEEXAMPLE000".into(),
        name: "execution".into(),
        path: "/".into(),
        arn: Arn::parse(ROLE).unwrap(),
        created: Timestamp::default(),
        description: String::new(),
        trust: trust.into(),
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

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    builder.append_data(&mut header, "model", &b"x"[..]).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct World {
    kernel: Kernel,
    machinery: Arc<Machinery>,
    engine: Arc<Engine>,
    objects: Arc<Objects>,
    doors: Arc<Doors>,
    dir: PathBuf,
}

impl World {
    async fn new(behaviour: impl Fn(&str, &str, &[u8]) -> Act + Send + Sync + 'static) -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-hosting-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let engine = Engine::new(behaviour);
        let store = Arc::new(Memory::new());
        let mut batch = Batch::new();
        batch.put(Row::new(kind::ROLE, &Scope::global(ACCOUNT), "execution", Timestamp::default()).with(&role()).unwrap(), Expect::Absent);
        store.commit(batch).await.unwrap();
        let objects = Arc::new(Objects::default());
        for name in ["models/m.tar.gz", "models/pool/a", "models/pool/b", "models/pool/c"] {
            objects.0.lock().unwrap().insert(name.into(), archive());
        }
        let machinery = Arc::new(Machinery {
            engine: Arc::clone(&engine) as Arc<dyn Compute>,
            images: Images::builtin().unwrap(),
            host: HostCapacity { memory_bytes: 64 << 30, cpus: 8 },
            work: dir.join("work"),
            ca_bundle: dir.join("ca.pem"),
        });
        let s3 = [OperationRow::of::<GetObject>(), OperationRow::of::<HeadObject>(), OperationRow::of::<PutObject>()];
        let doors = Arc::<Doors>::default();
        let mut builder = Kernel::builder(Arc::clone(&store) as Arc<dyn Store>, Blobs::open(dir.join("blobs")).unwrap())
            .service(&super::table())
            .service(&crate::registry::table())
            .service(&s3)
            .brokers(Arc::clone(&doors) as Arc<dyn Brokers>)
            .provide(Arc::clone(&machinery))
            .provide(Arc::clone(&objects));
        for reconciler in super::reconcilers(&machinery) {
            builder = builder.reconciler(reconciler);
        }
        Self { kernel: builder.build(), machinery, engine, objects, doors, dir }
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(&caller(), &Region::from("us-east-1"), "sagemaker", operation, input).await?;
        let faults = tenantry_wire::check_output(tenantry_wire::service("sagemaker").unwrap().operation(operation).unwrap(), &reply.output);
        assert!(faults.is_empty(), "{faults:?}");
        Ok(reply.output)
    }

    async fn invoke(&self, body: impl Into<Bytes>) -> Result<String> {
        let input = json!({"EndpointName": "E", "Body": "", "ContentType": "text/csv"});
        let region = Region::from("us-east-1");
        let caller = caller();
        let called = self.kernel.call_with(&caller, &region, "sagemaker-runtime", "InvokeEndpoint", input, Some(full(body)));
        let body = called.await?.body.unwrap();
        Ok(String::from_utf8_lossy(&collect(body, 64 << 20).await.unwrap().unwrap()).into_owned())
    }

    async fn make(&self) {
        self.call("CreateModel", json!({"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": XGBOOST, "ModelDataUrl": "s3://models/m.tar.gz"}})).await.unwrap();
        self.config("C", 1).await;
        self.call("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "C"})).await.unwrap();
    }

    async fn config(&self, name: &str, count: u64) {
        let variant = json!({"VariantName": "AllTraffic", "ModelName": "M", "InstanceType": "ml.m5.large", "InitialInstanceCount": count});
        self.call("CreateEndpointConfig", json!({"EndpointConfigName": name, "ProductionVariants": [variant]})).await.unwrap();
    }

    /// Runs steps until the endpoint has a status; the bound is there to fail instead of hanging.
    async fn until(&self, status: &str) -> Value {
        for _ in 0..3000 {
            self.kernel.settle().await.unwrap();
            let found = self.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.unwrap();
            if found["EndpointStatus"] == status {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {status}")
    }

    fn plan(&self, source: Source) -> Plan {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let scope = Scope::new(ACCOUNT, "us-east-1");
        Plan {
            id: format!("instance-{number}"),
            source: Arn::new("sagemaker", "us-east-1", ACCOUNT, "endpoint/e"),
            source_identity: None,
            container: Container {
                model: "m".into(),
                image: XGBOOST.into(),
                source,
                env: BTreeMap::new(),
                role: Arn::parse(ROLE).unwrap(),
                isolated: false,
                vpc: false,
                hostname: None,
                after: Vec::new(),
                direct: false,
            },
            limits: crate::jobs::container::instance_limits(&self.machinery, "ml.m5.large").unwrap(),
            at_a_time: 10,
            log: Destination { scope: scope.clone(), group: "g".into(), streams: vec!["s".into()] },
            scope,
            env: Vec::new(),
            download_secs: 60,
            startup_secs: 60,
            volume_gib: 1,
            between_starts: Duration::from_millis(1),
            unhealthy: "unhealthy".into(),
        }
    }

    async fn instance(&self, source: Source) -> Arc<Instance> {
        let instance = Instance::start(&self.kernel, &self.machinery, self.plan(source), || {});
        instance.watch().wait_for(|state| *state != State::Starting).await.unwrap();
        instance
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "container").body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

/// A workload that runs, for tests of connections alone.
async fn running(engine: &Arc<Engine>, world: &World) -> (Arc<Connections>, String) {
    let instance = world.instance(Source::None).await;
    assert_eq!(instance.state(), State::Ready);
    (Arc::new(Connections::new(Arc::clone(engine) as Arc<dyn Compute>, 2)), instance.workload())
}

#[tokio::test]
async fn connections_are_used_again_and_answers_are_bounded() {
    let world = World::new(|_, path, body| match path {
        "/long" => ok(vec![b'x'; 100]),
        "/hang" => Act::Hang,
        _ => ok(body.to_vec()),
    })
    .await;
    let (connections, name) = running(&world.engine, &world).await;
    let before = world.engine.connections.load(Ordering::Relaxed);
    for _ in 0..5 {
        let answer = connections.send(&name, post("/echo", "hello"), soon()).await.unwrap();
        assert_eq!(answer.read(5).await.unwrap(), "hello");
    }
    assert_eq!(world.engine.connections.load(Ordering::Relaxed), before + 1, "one connection for all");
    let answer = connections.send(&name, post("/long", ""), soon()).await.unwrap();
    assert!(matches!(answer.read(99).await, Err(Unanswered::TooLong(99))));
    let answer = connections.send(&name, post("/long", ""), soon()).await.unwrap();
    assert!(matches!(answer.stream(99, ()).await, Err(Unanswered::TooLong(99))));
    let answer = connections.send(&name, post("/long", ""), soon()).await.unwrap();
    assert_eq!(collect(answer.stream(100, ()).await.unwrap(), 100).await.unwrap().unwrap().len(), 100);
    let late = connections.send(&name, post("/hang", ""), Instant::now() + Duration::from_millis(20)).await;
    assert!(matches!(late, Err(Unanswered::Late)));
}

#[tokio::test]
async fn long_answers_are_streamed() {
    let world = World::new(|_, path, _| if path == "/ping" { ok("") } else { ok(vec![b'x'; 3 << 20]) }).await;
    let (connections, name) = running(&world.engine, &world).await;
    let answer = connections.send(&name, post("/", ""), soon()).await.unwrap();
    let body = answer.stream(3 << 20, ()).await.unwrap();
    assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(3 << 20));
    assert_eq!(collect(body, 4 << 20).await.unwrap().unwrap().len(), 3 << 20);
}

#[tokio::test]
async fn a_connection_that_the_container_closes_costs_no_request() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    let (connections, name) = running(&world.engine, &world).await;
    let before = world.engine.connections.load(Ordering::Relaxed);
    for _ in 0..3 {
        let answer = connections.send(&name, post("/close", "a"), soon()).await.unwrap();
        assert_eq!(answer.read(10).await.unwrap(), "a");
    }
    assert_eq!(world.engine.connections.load(Ordering::Relaxed), before + 3);
    assert!(matches!(connections.send("nothing", post("/", "c"), soon()).await, Err(Unanswered::Unreachable(_))));
}

#[tokio::test]
async fn a_container_that_never_starts_is_given_up() {
    let world = World::new(|method, _, _| if method == "START" { Act::Die } else { ok("") }).await;
    let instance = world.instance(Source::Archive("s3://models/m.tar.gz".into())).await;
    assert_eq!(instance.state(), State::Failed("unhealthy".into()));
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), STARTS as usize);
    assert!(world.engine.names().await.is_empty(), "nothing of it is left");
}

#[tokio::test]
async fn a_container_that_keeps_ending_is_given_up() {
    let world = World::new(|_, path, _| if path == "/die" { Act::Die } else { ok("") }).await;
    let instance = world.instance(Source::None).await;
    let mut state = instance.watch();
    for crash in 0..=RESTARTS {
        assert_eq!(*state.wait_for(|state| *state != State::Starting).await.unwrap(), State::Ready, "crash {crash}");
        let died = instance.connections.send(&instance.workload(), post("/die", ""), soon()).await;
        assert!(matches!(died, Err(Unanswered::Broken(_))));
        state.wait_for(|state| *state != State::Ready).await.unwrap();
    }
    assert_eq!(*state.wait_for(|state| *state != State::Starting).await.unwrap(), State::Failed("unhealthy".into()));
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), RESTARTS as usize + 1);
}

#[tokio::test]
async fn model_data_that_is_not_there() {
    let world = World::new(|_, _, _| ok("")).await;
    let instance = world.instance(Source::Archive("s3://models/none".into())).await;
    let State::Failed(reason) = instance.state() else { panic!("{:?}", instance.state()) };
    assert!(reason.starts_with("Failed to download model data for container \"container_1\" from URL: \"s3://models/none\"."), "{reason}");
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), 0);
    world.objects.0.lock().unwrap().insert("models/none".into(), b"no archive".to_vec());
    let State::Failed(reason) = world.instance(Source::Archive("s3://models/none".into())).await.state() else { panic!() };
    assert!(reason.starts_with("Failed to extract model data archive"), "{reason}");
}

#[tokio::test]
async fn a_stopped_instance_answers_what_it_has_begun() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    let instance = world.instance(Source::None).await;
    let guard = instance.enter().unwrap();
    instance.stop();
    assert!(instance.enter().is_none(), "no new requests");
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(instance.state(), State::Ready);
    assert_eq!(instance.connections.send(&instance.workload(), post("/", "last"), soon()).await.unwrap().read(9).await.unwrap(), "last");
    drop(guard);
    instance.watch().wait_for(|state| *state == State::Gone).await.unwrap();
    assert!(world.engine.names().await.is_empty() && !world.machinery.work.join(&instance.plan.id).exists());
}

#[tokio::test]
async fn an_endpoint_from_its_making_to_its_end() {
    let world = World::new(|_, path, body| match path {
        "/invocations" if body == b"bad" => Act::Answer(400, "bad row".into()),
        "/invocations" => ok(body.to_vec()),
        _ => ok(""),
    })
    .await;
    world.make().await;
    assert_eq!(world.invoke("early").await.unwrap_err().message, "Endpoint E of account 123456789012 not found.");
    let found = world.until("InService").await;
    assert_eq!((&found["EndpointConfigName"], &found["ProductionVariants"][0]["CurrentInstanceCount"]), (&json!("C"), &json!(1)));
    assert_eq!(world.invoke("1,2").await.unwrap(), "1,2");
    assert_eq!(world.invoke("bad").await.unwrap_err().code, "ModelError");
    assert_eq!(world.invoke(vec![b'x'; super::invoke::MAX_PAYLOAD]).await.unwrap().len(), super::invoke::MAX_PAYLOAD);
    assert_eq!(world.invoke(vec![b'x'; super::invoke::MAX_PAYLOAD + 1]).await.unwrap_err().status, 413);
    world.config("Two", 2).await;
    world.call("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "Two"})).await.unwrap();
    assert_eq!(world.until("InService").await["EndpointConfigName"], "Two");
    let wish = json!({"VariantName": "AllTraffic", "DesiredInstanceCount": 1});
    world.call("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": "E", "DesiredWeightsAndCapacities": [wish]})).await.unwrap();
    assert_eq!(world.until("InService").await["ProductionVariants"][0]["CurrentInstanceCount"], 1);
    world.call("DeleteEndpoint", json!({"EndpointName": "E"})).await.unwrap();
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        if world.engine.names().await.is_empty() && world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.is_err() {
            let error = world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.unwrap_err();
            assert_eq!(error.message, "Could not find endpoint \"arn:aws:sagemaker:us-east-1:123456789012:endpoint/e\".");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never deleted: {:?}", world.engine.names().await);
}

#[tokio::test]
async fn the_request_after_a_crash_waits_for_the_new_container() {
    let world = World::new(|_, path, body| match path {
        "/invocations" if body == b"die" => Act::Die,
        _ => ok(body.to_vec()),
    })
    .await;
    world.make().await;
    world.until("InService").await;
    for _ in 0..2 {
        assert_eq!(world.invoke("die").await.unwrap_err().code, "ModelError");
        assert_eq!(world.invoke("next").await.unwrap(), "next");
    }
}

#[tokio::test]
async fn an_update_that_fails_is_rolled_back() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    world.make().await;
    world.until("InService").await;
    *world.engine.behaviour.lock().unwrap() = Arc::new(|method, _, body| if method == "START" { Act::Die } else { ok(body.to_vec()) });
    world.config("Bad", 1).await;
    world.call("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "Bad"})).await.unwrap();
    let again = world.call("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "Bad"})).await.unwrap_err();
    assert_eq!(again.message, "Cannot update in-progress endpoint \"arn:aws:sagemaker:us-east-1:123456789012:endpoint/e\".");
    let found = world.until("InService").await;
    assert_eq!(found["EndpointConfigName"], "C");
    assert!(found["FailureReason"].as_str().unwrap().contains("did not pass the ping health check"), "{found}");
    assert_eq!(world.invoke("still").await.unwrap(), "still");
}
