//! What stays when the server goes, and a server's life on it.

use std::{
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicIsize, AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::{Compute, HostCapacity, Images};
use tenantry_core::{AccountId, Arn, AwsError, Region, Scope, Timestamp};
use tenantry_kernel::{
    BrokerHandle, BrokerSpec, Brokers, Caller, Clock, Kernel, Reconciler, StepFuture,
    directory::{Account, Policies, Role, kind},
    role_caller,
};
use tenantry_sagemaker::Machinery;
use tenantry_store::{Batch, Expect, Memory, Row, Store};
use tokio::time::Instant;

use crate::{
    chance::Chance,
    compute::{Engine, Fates, Starts},
    ledger::{Halt, Turn},
};

/// Two tenants.
pub const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
/// Everything happens here.
pub const REGION: &str = "us-east-1";
const ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// The first instant of every world: 2026-11-22T12:00:00Z.
const BEGIN: Timestamp = Timestamp::from_secs(1_795_348_800);

static IMAGES: LazyLock<Images> = LazyLock::new(|| Images::builtin().expect("a test of the compute crate reads them all"));

/// The clock of one life: tokio's paused one, from where the last life ended.
struct LifeClock {
    from: Timestamp,
    began: Instant,
}

impl Clock for LifeClock {
    fn now(&self) -> Timestamp {
        self.from.plus_millis(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// Open ways out: each must be closed when its sandbox is gone.
#[derive(Default)]
struct Doors(Arc<AtomicIsize>);
struct Door(Arc<AtomicIsize>);
impl BrokerHandle for Door {}
impl Drop for Door {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
impl Brokers for Doors {
    fn open(&self, _: BrokerSpec) -> std::io::Result<Box<dyn BrokerHandle>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Door(Arc::clone(&self.0))))
    }
}

/// A reconciler that can be let go of. Reconcilers hold what runs, which holds the kernel, which holds the reconcilers:
/// in a server that ends with the process, here it must end with the life.
struct Detachable {
    queue: &'static str,
    inner: Mutex<Option<Arc<dyn Reconciler>>>,
}

impl Detachable {
    fn of(reconciler: Arc<dyn Reconciler>) -> Arc<Self> {
        Arc::new(Self { queue: reconciler.queue(), inner: Mutex::new(Some(reconciler)) })
    }
}

impl Reconciler for Detachable {
    fn queue(&self) -> &'static str {
        self.queue
    }
    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match inner {
                Some(inner) => inner.step(kernel, key).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// What stays.
pub struct World {
    /// The rows.
    pub store: Arc<Memory>,
    /// How often each name was started.
    pub starts: Starts,
    /// What workloads come to.
    pub fates: Fates,
    /// What this host has room for.
    pub host: HostCapacity,
    /// The virtual instant at which the last life ended.
    pub now: Timestamp,
    /// Blobs and work directories.
    pub dir: PathBuf,
    /// What was broken.
    pub failures: Arc<Mutex<Vec<String>>>,
}

impl Drop for World {
    fn drop(&mut self) {
        // What is left behind is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

/// A life of the server, and what its clients need of it.
pub struct Place {
    /// The server.
    pub kernel: Kernel,
    /// What it runs jobs with.
    pub engine: Arc<Engine>,
    /// Open ways out.
    pub doors: Arc<AtomicIsize>,
    /// Where jobs have their files.
    pub work: PathBuf,
    callers: [Caller; 2],
    began: Instant,
    reconcilers: Vec<Arc<Detachable>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for reconciler in &self.reconcilers {
            let gone = reconciler.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(gone);
        }
    }
}

fn role(account: &str) -> Role {
    Role {
        id: format!("AROA{account}00000"),
        name: "execution".to_owned(),
        path: "/".to_owned(),
        arn: Arn::new("iam", "", account, "role/execution"),
        created: BEGIN,
        description: String::new(),
        trust: TRUST.to_owned(),
        trusted_ids: Default::default(),
        max_session: 3600,
        policies: Policies { inline: [("all".to_owned(), ALL.to_owned())].into(), attached: Vec::new() },
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: None,
    }
}

/// The role that jobs, pipelines and models of an account work as.
#[must_use]
pub fn role_arn(account: usize) -> String {
    format!("arn:aws:iam::{}:role/execution", ACCOUNTS[account])
}

impl World {
    /// Two accounts, each with a role that may do everything.
    pub async fn new(chance: &mut Chance) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // In memory where there is such a place: every object is synced to its disk.
        let base = PathBuf::from("/dev/shm");
        let base = if base.is_dir() { base } else { std::env::temp_dir() };
        let dir = base.join(format!("tenantry-simulation-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let store = Arc::new(Memory::new());
        let mut batch = Batch::new();
        for id in ACCOUNTS {
            let account = Account {
                id: id.into(),
                name: id.into(),
                email: format!("{id}@example.com"),
                status: "ACTIVE".into(),
                joined: BEGIN,
                organization: String::new(),
                management: false,
                managed_by: AccountId::default(),
                parent: String::new(),
                policies: Vec::new(),
            };
            let row = |kind, name: &str| Row::new(kind, &Scope::global(id), name, BEGIN);
            batch.put(row(kind::ACCOUNT, id).with(&account).expect("an account is JSON"), Expect::Absent);
            batch.put(row(kind::ROLE, "execution").with(&role(id)).expect("a role is JSON"), Expect::Absent);
        }
        store.commit(batch).await.expect("the store has no faults yet");
        let calm = chance.one_in(4);
        let fates =
            if calm { Fates { failing: 0, dying: 0 } } else { Fates { failing: chance.between(3, 12), dying: chance.between(2, 12) } };
        let cpus = u32::try_from(*chance.pick(&[1, 1, 8])).unwrap_or(1);
        let host = HostCapacity { memory_bytes: if cpus == 1 { 4 << 30 } else { 64 << 30 }, cpus };
        Self { store, starts: Starts::default(), fates, host, now: BEGIN, dir, failures: Arc::default() }
    }

    /// A server begins, as `serve` has it: nothing of a former one runs, and its work directory is empty.
    pub fn open(&self, chance: &mut Chance) -> Place {
        self.store.restart();
        let work = self.dir.join("work");
        if work.exists() {
            std::fs::remove_dir_all(&work).expect("nobody uses it");
        }
        std::fs::create_dir_all(&work).expect("the temporary directory is writable");
        let began = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(LifeClock { from: self.now, began });
        let engine = Engine::new(&self.starts, self.fates, chance.fork(), Arc::clone(&clock));
        let machinery = Arc::new(Machinery {
            engine: Arc::clone(&engine) as Arc<dyn Compute>,
            images: IMAGES.clone(),
            host: self.host,
            work: work.clone(),
            ca_bundle: self.dir.join("ca.pem"),
        });
        let doors = Doors::default();
        let open = Arc::clone(&doors.0);
        let blobs = Blobs::open(self.dir.join("blobs")).expect("the former life has let go of it");
        let mut builder = Kernel::builder(Arc::clone(&self.store) as Arc<dyn Store>, blobs)
            .clock(clock)
            .service(&tenantry_sagemaker::table())
            .service(&tenantry_s3::table())
            .brokers(Arc::new(doors))
            .provide(Arc::clone(&machinery));
        let all = tenantry_sagemaker::reconcilers(&machinery).into_iter().chain(tenantry_s3::reconcilers());
        let reconcilers: Vec<_> = all.map(Detachable::of).collect();
        for reconciler in &reconcilers {
            builder = builder.reconciler(Arc::clone(reconciler) as Arc<dyn Reconciler>);
        }
        let callers = ACCOUNTS.map(|id| role_caller(&role(id), &AccountId::from(id), "client"));
        Place { kernel: builder.build(), engine, doors: open, work, callers, began, reconcilers }
    }

    /// Something does not hold.
    pub fn broken(&self, what: impl Into<String>) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }
}

impl Place {
    /// Virtual time since this life began.
    #[must_use]
    pub fn age(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    /// Calls an operation as a client of an account, and holds the answer to the model.
    ///
    /// # Errors
    /// What the operation answers.
    pub async fn ask(&self, account: usize, service: &'static str, name: &str, input: Value) -> Result<Value, AwsError> {
        self.send(account, service, name, input, None).await.map(|(output, _)| output)
    }

    /// The same with a payload; answers the payload, too.
    ///
    /// # Errors
    /// What the operation answers.
    pub async fn send(
        &self,
        account: usize,
        service: &'static str,
        name: &str,
        input: Value,
        body: Option<Vec<u8>>,
    ) -> Result<(Value, Vec<u8>), AwsError> {
        let body = body.map(tenantry_kernel::full);
        let reply = self.kernel.call_with(&self.callers[account], &Region::from(REGION), service, name, input, body).await?;
        if let Some(shape) = tenantry_wire::service(service).and_then(|service| service.operation(name)) {
            let faults = tenantry_wire::check_output(shape, &reply.output);
            if !faults.is_empty() {
                return Err(AwsError::new(400, "Misfit", format!("{name} answered what the model does not have: {faults:?}")));
            }
        }
        let bytes = match reply.body {
            Some(body) => match tenantry_kernel::collect(body, 64 << 20).await {
                Ok(bytes) => bytes.unwrap_or_default().to_vec(),
                Err(error) => return Err(AwsError::internal(error)),
            },
            None => Vec::new(),
        };
        Ok((reply.output, bytes))
    }

    /// Calls what must not be refused.
    ///
    /// # Errors
    /// [`Halt`]: not now, or not as it should be.
    pub async fn call(&self, account: usize, service: &'static str, name: &str, input: Value) -> Turn<Value> {
        self.ask(account, service, name, input).await.map_err(|error| Halt::of(name, error))
    }

    /// Calls what may say that there is no such thing.
    ///
    /// # Errors
    /// As [`Place::call`].
    pub async fn look(&self, account: usize, service: &'static str, name: &str, input: Value) -> Turn<Option<Value>> {
        match self.ask(account, service, name, input).await {
            Ok(output) => Ok(Some(output)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Halt::of(name, error)),
        }
    }

    /// Makes what may be there already.
    ///
    /// # Errors
    /// As [`Place::call`].
    pub async fn make(&self, account: usize, service: &'static str, name: &str, input: Value) -> Turn {
        match self.ask(account, service, name, input).await {
            Err(error) if !is_taken(&error) => Err(Halt::of(name, error)),
            _ => Ok(()),
        }
    }

    /// The account's bucket for a purpose.
    ///
    /// # Errors
    /// As [`Place::call`].
    pub async fn bucket(&self, account: usize, name: &str) -> Turn {
        self.make(account, "s3", "CreateBucket", json!({"Bucket": name})).await
    }
}

/// There is no such thing.
fn is_missing(error: &AwsError) -> bool {
    let text = error.message.to_lowercase();
    error.status == 404
        || matches!(error.code.as_ref(), "ResourceNotFound" | "NoSuchKey" | "NoSuchUpload")
        || (error.status == 400 && ["could not find", "does not exist", "not found", "cannot find"].iter().any(|said| text.contains(said)))
}

/// There is such a thing already.
fn is_taken(error: &AwsError) -> bool {
    let text = error.message.to_lowercase();
    matches!(error.code.as_ref(), "ResourceInUse" | "BucketAlreadyOwnedByYou")
        || (error.status == 400 && ["already exist", "already existing", "must be unique"].iter().any(|said| text.contains(said)))
}
