//! A small instance in memory with something of most kinds in it, whose state stays as it is: commits of what is fuzzed are
//! accepted and dropped, so that one input never decides what the next one finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostCapacity, Images, WorkStatus, Workload};
use tenantry_core::{AccountId, Arn, Region, Scope, Secret, Tag, Timestamp};
use tenantry_kernel::{
    Caller, Kernel, ManualClock, Reconciler,
    directory::{self, AccessKey, Account, Policies, Role, User, kind},
};
use tenantry_sagemaker::Machinery;
use tenantry_store::{
    Batch, ByScope, CommitError, Entry, Event, EventsBy, Expect, Fut, Kind, List, Memory, Read, Row, SeriesRead, SeriesStats, Store,
    Verified, Work,
};
use tokio::runtime::Runtime;

/// 2026-11-22T12:00:00Z.
pub const START: Timestamp = Timestamp::from_secs(1_795_348_800);
/// The account that everything is in.
pub const ACCOUNT: &str = "123456789012";
/// Where.
pub const REGION: &str = "us-east-1";
/// The key of its user `ann`, who may do everything.
pub const ACCESS_KEY: &str = "AKIAFUZZFUZZFUZZFUZZ";
/// Its secret.
pub const SECRET: &str = "a secret of nobody, forty characters long";
const ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// A new directory in memory where the system has one, else in its temporary directory.
pub fn scratch(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = parent.join(format!("tenantry-fuzz-{name}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)));
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    dir
}

/// What is read in place of what is stored.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Rows of this kind.
    pub kind: String,
    /// Have this document.
    pub body: Value,
    /// And this status.
    pub status: Option<String>,
    /// And this parent.
    pub parent: Option<String>,
}

/// The store: in memory, frozen once it is filled.
pub struct Frozen {
    inner: Memory,
    frozen: AtomicBool,
    damage: Mutex<Option<Damage>>,
    /// How often that changed.
    damages: AtomicU64,
    /// Kinds that were read since it was asked last, and rows of them.
    read: Mutex<BTreeMap<&'static str, BTreeSet<String>>>,
}

impl Frozen {
    /// Lets rows read otherwise than they are, or no longer.
    pub fn damage(&self, damage: Option<Damage>) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
        self.damages.fetch_add(1, Relaxed);
    }

    /// The kinds that were read since this was called last, with the rows' documents.
    pub fn take_read(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        std::mem::take(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seen(&self, mut row: Row) -> Row {
        if !self.frozen.load(Relaxed) {
            return row;
        }
        self.read.lock().unwrap_or_else(PoisonError::into_inner).entry(row.kind.as_str()).or_default().insert(row.body_text().to_owned());
        if let Some(damage) =
            self.damage.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(|damage| damage.kind == row.kind.as_str())
        {
            row.set_body(&damage.body).expect("JSON is written as JSON");
            row.status = damage.status.clone().unwrap_or(row.status);
            row.parent = damage.parent.clone().unwrap_or(row.parent);
        }
        row
    }
}

impl Store for Frozen {
    fn get<'a>(&'a self, kind: Kind, scope: &'a Scope, id: &'a str) -> Read<'a, Option<Row>> {
        Box::pin(async move { Ok(self.inner.get(kind, scope, id).await?.map(|row| self.seen(row))) })
    }
    fn list<'a>(&'a self, query: &'a List<'a>) -> Read<'a, Vec<Row>> {
        Box::pin(async move { Ok(self.inner.list(query).await?.into_iter().map(|row| self.seen(row)).collect()) })
    }
    fn count<'a>(&'a self, kind: Kind, scope: ByScope<'a>, parent: Option<&'a str>) -> Read<'a, u64> {
        self.inner.count(kind, scope, parent)
    }
    fn tags<'a>(&'a self, arn: &'a str) -> Read<'a, Vec<Tag>> {
        self.inner.tags(arn)
    }
    fn unique<'a>(&'a self, namespace: &'a str, name: &'a str) -> Read<'a, Option<String>> {
        self.inner.unique(namespace, name)
    }
    fn secret<'a>(&'a self, id: &'a str) -> Read<'a, Option<Secret<String>>> {
        self.inner.secret(id)
    }
    fn series_read<'a>(&'a self, query: &'a SeriesRead<'a>) -> Read<'a, Vec<Entry>> {
        self.inner.series_read(query)
    }
    fn series_stats<'a>(&'a self, series: &'a str) -> Read<'a, Option<SeriesStats>> {
        self.inner.series_stats(series)
    }
    fn events(&self, after: Option<u64>, limit: usize, reverse: bool) -> Read<'_, Vec<Event>> {
        self.inner.events(after, limit, reverse)
    }
    fn events_by<'a>(&'a self, query: &'a EventsBy) -> Read<'a, Vec<Event>> {
        self.inner.events_by(query)
    }
    fn verify_events(&self) -> Read<'_, Verified> {
        self.inner.verify_events()
    }
    fn work_due<'a>(&'a self, queue: &'a str, now: Timestamp, limit: usize) -> Read<'a, Vec<Work>> {
        self.inner.work_due(queue, now, limit)
    }
    fn work_next<'a>(&'a self, queue: &'a str) -> Read<'a, Option<Timestamp>> {
        self.inner.work_next(queue)
    }
    fn work_get<'a>(&'a self, queue: &'a str, key: &'a str) -> Read<'a, Option<Work>> {
        self.inner.work_get(queue, key)
    }
    fn claim<'a>(&'a self, queue: &'a str, now: Timestamp, lease_ms: i64) -> Read<'a, Option<Work>> {
        self.inner.claim(queue, now, lease_ms)
    }
    fn commit(&self, batch: Batch) -> Fut<'_, Result<(), CommitError>> {
        if self.frozen.load(Relaxed) { Box::pin(async { Ok(()) }) } else { self.inner.commit(batch) }
    }
    fn revision(&self) -> u64 {
        // What the kernel remembers of callers is not to outlive a damage.
        self.inner.revision() + self.damages.load(Relaxed)
    }
    fn work_signal(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.work_signal()
    }
}

/// The instance.
pub struct World {
    /// Polls its futures.
    pub runtime: Runtime,
    /// It.
    pub kernel: Kernel,
    /// Its store.
    pub store: Arc<Frozen>,
    /// What works its queues; nothing runs by itself.
    pub reconcilers: Vec<Arc<dyn Reconciler>>,
    /// Its user `ann`.
    pub caller: Caller,
    /// Where its bytes are.
    pub dir: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        // What is left is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

impl World {
    /// Filled and frozen.
    ///
    /// # Panics
    /// Where what fills it is refused.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made");
        let dir = scratch("world");
        let store = Arc::new(Frozen {
            inner: Memory::new(),
            frozen: AtomicBool::new(false),
            damage: Mutex::default(),
            damages: AtomicU64::new(0),
            read: Mutex::default(),
        });
        let machinery = Arc::new(Machinery {
            engine: Arc::new(NoEngine),
            images: Images::builtin().expect("the built-in descriptions are read"),
            host: HostCapacity::read(),
            work: dir.join("work"),
            ca_bundle: dir.join("ca-bundle.pem"),
        });
        let tables = [
            tenantry_accessanalyzer::table(),
            tenantry_identity::table(),
            tenantry_s3::table(),
            tenantry_logs::table(),
            tenantry_sagemaker::table(),
            tenantry_cloudtrail::table(),
            tenantry_servicequotas::table(),
        ];
        let reconcilers = tenantry_sagemaker::reconcilers(&machinery);
        let blobs = Blobs::open(dir.join("blobs")).expect("the scratch directory is writable");
        let (kernel, caller, refused) = runtime.block_on(async {
            let kernel = Kernel::builder(Arc::clone(&store) as Arc<dyn Store>, blobs)
                .clock(Arc::new(ManualClock::new(START)))
                .service(&tables.concat())
                .provide(machinery)
                .managed_policies(tenantry_identity::managed())
                .build();
            people(&kernel).await;
            let caller = kernel.caller_of(&format!("arn:aws:iam::{ACCOUNT}:user/ann")).await.expect("ann is there");
            let refused = things(&kernel, &caller).await;
            (kernel, caller, refused)
        });
        assert!(refused.is_empty(), "{}", refused.join("\n"));
        store.frozen.store(true, Relaxed);
        Self { runtime, kernel, store, reconcilers, caller, dir }
    }
}

/// The first start, and an account with a user and a role.
async fn people(kernel: &Kernel) {
    let first = tenantry_identity::bootstrap(kernel.store(), START).await.expect("a new instance begins").expect("a new instance begins");
    let store = kernel.store();
    let management = store.get(kind::ACCOUNT, &Scope::global(first.account.clone()), first.account.as_str()).await;
    let management: Account = management.ok().flatten().and_then(|row| row.body().ok()).expect("there is a management account");
    let id = AccountId::from(ACCOUNT);
    let scope = Scope::global(id.clone());
    let account =
        Account { id: id.clone(), name: "fuzz".to_owned(), email: "fuzz@example.com".to_owned(), management: false, ..management };
    let mut batch = Batch::new();
    let mut put = |row: Row| {
        batch.put(row, Expect::Absent);
    };
    let policies = || Policies { inline: BTreeMap::from([("all".to_owned(), ALL.to_owned())]), attached: Vec::new() };
    put(Row::new(kind::ACCOUNT, &scope, ACCOUNT, START)
        .name("fuzz")
        .status("ACTIVE")
        .parent(&account.parent)
        .with(&account)
        .expect("it is JSON"));
    let user = User {
        id: "AIDAFUZZFUZZFUZZFUZZF".to_owned(),
        name: "ann".to_owned(),
        path: "/".to_owned(),
        arn: Arn::new("iam", "", ACCOUNT, "user/ann"),
        created: START,
        policies: policies(),
        boundary: None,
        groups: Vec::new(),
        tags: vec![Tag::new("team", "red")],
    };
    put(Row::new(kind::USER, &scope, "ann", START).name("ann").with(&user).expect("it is JSON"));
    let key = AccessKey { id: ACCESS_KEY.to_owned(), user: "ann".to_owned(), status: "Active".to_owned(), created: START };
    put(Row::new(kind::ACCESS_KEY, &scope, ACCESS_KEY, START).parent("ann").with(&key).expect("it is JSON"));
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com", "AWS": ACCOUNT}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]});
    let role = Role {
        id: "AROAFUZZFUZZFUZZFUZZF".to_owned(),
        name: "worker".to_owned(),
        path: "/".to_owned(),
        arn: Arn::new("iam", "", ACCOUNT, "role/worker"),
        created: START,
        description: String::new(),
        trust: trust.to_string(),
        trusted_ids: BTreeMap::new(),
        max_session: 3600,
        policies: policies(),
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: None,
    };
    put(Row::new(kind::ROLE, &scope, "worker", START).name("worker").with(&role).expect("it is JSON"));
    batch.claim_unique(directory::ACCESS_KEY_NAMES, ACCESS_KEY, ACCOUNT);
    batch.put_secret(directory::secret_id(ACCESS_KEY), Secret::new(SECRET.to_owned()));
    store.commit(batch).await.expect("the people are new");
}

/// One of most things; what was refused of them.
async fn things(kernel: &Kernel, caller: &Caller) -> Vec<String> {
    let region = Region::from(REGION);
    let role = format!("arn:aws:iam::{ACCOUNT}:role/worker");
    let bucket = "fuzz-bucket";
    let definition = json!({"Version": "2020-12-01", "Steps": [{"Name": "a", "Type": "Training", "Arguments": {"RoleArn": role}}, {"Name": "b", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]});
    let container = json!({"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "ModelDataUrl": "s3://fuzz-bucket/model.tar.gz"});
    let training = json!({
        "TrainingJobName": "job", "RoleArn": role, "AlgorithmSpecification": {"TrainingImage": container["Image"], "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://fuzz-bucket/out"}, "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60}, "HyperParameters": {"a": "1"},
    });
    let processing = json!({
        "ProcessingJobName": "processing", "RoleArn": role, "AppSpecification": {"ImageUri": container["Image"], "ContainerEntrypoint": ["python"]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
    });
    let service = json!({"Service": "cloudtrail.amazonaws.com"});
    let delivery = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": format!("arn:aws:s3:::{bucket}")},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{bucket}/AWSLogs/{ACCOUNT}/*"),
         "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}},
    ]});
    let calls: Vec<(&'static str, &str, Value)> = vec![
        ("s3", "CreateBucket", json!({"Bucket": bucket})),
        ("s3", "PutBucketTagging", json!({"Bucket": bucket, "Tagging": {"TagSet": [{"Key": "team", "Value": "red"}]}})),
        ("s3", "PutObject", json!({"Bucket": bucket, "Key": "key", "Metadata": {"a": "b"}})),
        ("s3", "PutObject", json!({"Bucket": bucket, "Key": "model.tar.gz"})),
        ("s3", "CreateMultipartUpload", json!({"Bucket": bucket, "Key": "parts"})),
        ("logs", "CreateLogGroup", json!({"logGroupName": "group"})),
        ("logs", "CreateLogStream", json!({"logGroupName": "group", "logStreamName": "stream"})),
        (
            "logs",
            "PutLogEvents",
            json!({"logGroupName": "group", "logStreamName": "stream", "logEvents": [{"timestamp": 1_795_348_800_000_i64, "message": "{\"level\":\"ERROR\",\"n\":3}"}]}),
        ),
        ("iam", "CreateGroup", json!({"GroupName": "group"})),
        ("iam", "CreatePolicy", json!({"PolicyName": "policy", "PolicyDocument": ALL})),
        ("iam", "CreateInstanceProfile", json!({"InstanceProfileName": "profile"})),
        ("iam", "CreateVirtualMFADevice", json!({"VirtualMFADeviceName": "device"})),
        ("iam", "CreateLoginProfile", json!({"UserName": "ann", "Password": "a Password, 17 long!"})),
        (
            "sagemaker",
            "CreatePipeline",
            json!({"PipelineName": "pipeline", "PipelineDefinition": definition.to_string(), "ClientRequestToken": "x".repeat(32), "RoleArn": role}),
        ),
        ("sagemaker", "StartPipelineExecution", json!({"PipelineName": "pipeline", "ClientRequestToken": "x".repeat(32)})),
        ("sagemaker", "CreateModel", json!({"ModelName": "model", "ExecutionRoleArn": role, "PrimaryContainer": container})),
        (
            "sagemaker",
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "config", "ProductionVariants": [{"VariantName": "v", "ModelName": "model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]}),
        ),
        ("sagemaker", "CreateEndpoint", json!({"EndpointName": "endpoint", "EndpointConfigName": "config"})),
        ("sagemaker", "CreateTrainingJob", training),
        ("sagemaker", "CreateProcessingJob", processing),
        ("sagemaker", "CreateModelPackageGroup", json!({"ModelPackageGroupName": "group"})),
        (
            "sagemaker",
            "CreateModelPackage",
            json!({"ModelPackageGroupName": "group", "InferenceSpecification": {"Containers": [container], "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}}),
        ),
        ("sagemaker", "CreateExperiment", json!({"ExperimentName": "experiment"})),
        ("sagemaker", "CreateTrial", json!({"TrialName": "trial", "ExperimentName": "experiment"})),
        ("sagemaker", "CreateTrialComponent", json!({"TrialComponentName": "component", "Parameters": {"a": {"NumberValue": 1.5}}})),
        ("sagemaker", "AssociateTrialComponent", json!({"TrialComponentName": "component", "TrialName": "trial"})),
        ("sagemaker", "CreateImage", json!({"ImageName": "image", "RoleArn": role})),
        ("s3", "PutBucketPolicy", json!({"Bucket": bucket, "Policy": delivery.to_string()})),
        ("cloudtrail", "CreateTrail", json!({"Name": "trail", "S3BucketName": bucket})),
    ];
    let mut refused = Vec::new();
    for (service, name, input) in calls {
        let body = (name == "PutObject").then(|| tenantry_kernel::full("value"));
        if let Err(error) = kernel.call_with(caller, &region, service, name, input, body).await {
            refused.push(format!("{service} {name}: {} {}", error.code, error.message));
        }
    }
    refused
}

/// An engine that runs nothing.
struct NoEngine;

impl Compute for NoEngine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, Result<(), ComputeError>> {
        let name = workload.name;
        Box::pin(async move { Err(ComputeError::Invalid(format!("`{name}` is not run here"))) })
    }
    fn status(&self, _: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        Box::pin(async { None })
    }
    fn stop(&self, _: &str, _: Duration) -> BoxFuture<'_, Result<(), ComputeError>> {
        Box::pin(async { Ok(()) })
    }
    fn connect(&self, name: &str, _: usize) -> BoxFuture<'_, Result<Box<dyn Duplex>, ComputeError>> {
        let name = name.to_owned();
        Box::pin(async move { Err(ComputeError::Unknown(name)) })
    }
    fn forget(&self, _: &str) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn names(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::Sender::new(0).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_filled_and_stays_as_it_is() {
        let world = World::new();
        let count = || world.runtime.block_on(world.kernel.store().count(kind::USER, ByScope::All, None)).unwrap();
        let before = count();
        let region = Region::from(REGION);
        let made = world.kernel.call(&world.caller, &region, "iam", "CreateUser", json!({"UserName": "bob"}));
        assert_eq!(world.runtime.block_on(made).unwrap().output["User"]["UserName"], "bob");
        assert_eq!(count(), before);
    }

    #[test]
    fn damage_is_read_and_undone() {
        let world = World::new();
        let region = Region::from(REGION);
        let read = || {
            world.runtime.block_on(world.kernel.call(
                &world.caller,
                &region,
                "sagemaker",
                "DescribePipeline",
                json!({"PipelineName": "pipeline"}),
            ))
        };
        assert_eq!(read().unwrap().output["PipelineName"], "pipeline");
        world.store.damage(Some(Damage { kind: "sagemaker.pipeline".to_owned(), body: json!([1]), status: None, parent: None }));
        assert_eq!(read().err().map(|error| error.status), Some(500), "cannot read is not unset");
        world.store.damage(None);
        assert!(read().is_ok());
    }
}
