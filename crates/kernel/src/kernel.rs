//! The kernel's parts in one place, cheap to clone; and calls of one operation by another.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, AwsError, Region, Result, Timestamp};
use tenantry_policy::Policy;
use tenantry_store::Store;

use crate::{
    audit::Recorder,
    authenticate::IdentityCache,
    body::Body,
    clock::Clock,
    cx::{Caller, Cx, NetworkOrigin, RequestInfo},
    last_used::Uses,
    operation::{OperationRow, Reply},
    policies::PolicyCache,
    reconcile::Reconciler,
    site::Site,
};

/// A handle on the kernel. Clones share everything.
#[derive(Clone)]
pub struct Kernel(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    blobs: Option<Blobs>,
    pub(crate) clock: Arc<dyn Clock>,
    operations: HashMap<&'static str, HashMap<&'static str, OperationRow>>,
    pub(crate) managed: HashMap<String, Arc<Policy>>,
    pub(crate) brokers: Arc<dyn Brokers>,
    pub(crate) policies: PolicyCache,
    pub(crate) identities: IdentityCache,
    pub(crate) reconcilers: Vec<Arc<dyn Reconciler>>,
    pub(crate) sites: Vec<Arc<dyn Site>>,
    pub(crate) recorder: Recorder,
    pub(crate) uses: Uses,
    provided: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) in_flight: AtomicUsize,
    management: Mutex<Option<AccountId>>,
}

/// Puts a kernel together.
pub struct KernelBuilder {
    store: Arc<dyn Store>,
    blobs: Option<Blobs>,
    clock: Arc<dyn Clock>,
    operations: HashMap<&'static str, HashMap<&'static str, OperationRow>>,
    managed: HashMap<String, Arc<Policy>>,
    brokers: Arc<dyn Brokers>,
    reconcilers: Vec<Arc<dyn Reconciler>>,
    sites: Vec<Arc<dyn Site>>,
    provided: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl KernelBuilder {
    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
    /// A service's table. An operation that is there twice is a mistake of the build.
    ///
    /// # Panics
    /// When a row is there already.
    #[must_use]
    pub fn service(mut self, table: &[OperationRow]) -> Self {
        for row in table {
            let before = self.operations.entry(row.service).or_default().insert(row.name, *row);
            assert!(before.is_none(), "{}:{} stands in two tables", row.service, row.name);
        }
        self
    }
    /// The policies that AWS manages, by ARN.
    #[must_use]
    pub fn managed_policies(mut self, policies: HashMap<String, Arc<Policy>>) -> Self {
        self.managed = policies;
        self
    }
    /// Who opens brokers for sandboxes.
    #[must_use]
    pub fn brokers(mut self, brokers: Arc<dyn Brokers>) -> Self {
        self.brokers = brokers;
        self
    }
    /// A reconciler; its queue is worked once [`Kernel::run`] is called.
    #[must_use]
    pub fn reconciler(mut self, reconciler: Arc<dyn Reconciler>) -> Self {
        self.reconcilers.push(reconciler);
        self
    }
    /// Pages on hosts that are no API's.
    #[must_use]
    pub fn site(mut self, site: Arc<dyn Site>) -> Self {
        self.sites.push(site);
        self
    }
    /// Something that a service's operations need besides the kernel: an engine that runs servers. One of a type.
    #[must_use]
    pub fn provide<T: Any + Send + Sync>(mut self, thing: Arc<T>) -> Self {
        self.provided.insert(TypeId::of::<T>(), thing);
        self
    }
    /// The kernel. Must be called inside a tokio runtime (the recorder is a task).
    #[must_use]
    pub fn build(self) -> Kernel {
        Kernel(Arc::new(Inner {
            recorder: Recorder::start(Arc::clone(&self.store)),
            uses: Uses::start(Arc::clone(&self.store), Arc::clone(&self.clock)),
            store: self.store,
            blobs: self.blobs,
            clock: self.clock,
            operations: self.operations,
            managed: self.managed,
            brokers: self.brokers,
            policies: PolicyCache::default(),
            identities: IdentityCache::default(),
            reconcilers: self.reconcilers,
            sites: self.sites,
            provided: self.provided,
            in_flight: AtomicUsize::new(0),
            management: Mutex::new(None),
        }))
    }
}

impl Kernel {
    /// Begins a kernel over a store and blobs.
    #[must_use]
    pub fn builder(store: Arc<dyn Store>, blobs: Blobs) -> KernelBuilder {
        KernelBuilder { blobs: Some(blobs), ..Self::reader(store) }
    }
    /// Begins a kernel that serves no operation: for commands that look at state and decisions.
    #[must_use]
    pub fn reader(store: Arc<dyn Store>) -> KernelBuilder {
        KernelBuilder {
            store,
            blobs: None,
            clock: Arc::new(crate::clock::SystemClock),
            operations: HashMap::new(),
            managed: HashMap::new(),
            brokers: Arc::new(NoBrokers),
            reconcilers: vec![Arc::new(crate::sessions::SessionExpiry), Arc::new(crate::audit::Retention::default())],
            sites: Vec::new(),
            provided: HashMap::new(),
        }
    }
    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
    /// Stored state.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.0.store
    }
    /// Object bytes.
    ///
    /// # Panics
    /// On a kernel made by [`Kernel::reader`], which has no operation that could ask.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        self.0.blobs.as_ref().expect("a kernel with operations is built with blobs")
    }
    /// This instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
    /// All operations that are served, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &OperationRow> {
        self.0.operations.values().flat_map(HashMap::values)
    }
    /// One operation's row.
    #[must_use]
    pub fn operation(&self, service: &str, name: &str) -> Option<&OperationRow> {
        self.0.operations.get(service)?.get(name)
    }
    /// What was provided at composition.
    #[must_use]
    pub fn provided<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.provided.get(&TypeId::of::<T>())?).downcast().ok()
    }
    /// Returns when every event of a call that has ended is stored. Events of changes are with their changes.
    pub async fn flush_audit(&self) {
        self.0.recorder.flush().await;
    }
    /// How much waits to be recorded.
    #[must_use]
    pub fn audit_waiting(&self) -> crate::audit::Waiting {
        self.0.recorder.waiting()
    }
    /// Requests that are being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// The organization's management account: made at first start.
    ///
    /// # Errors
    /// When the store cannot be read, or holds no organization yet.
    pub async fn management_account(&self) -> Result<AccountId> {
        if let Some(account) = self.0.management.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone() {
            return Ok(account);
        }
        let owner = self.store().unique("instance", "management-account").await?;
        let account = AccountId::from(owner.ok_or_else(|| AwsError::internal("the instance has no management account"))?);
        *self.0.management.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(account.clone());
        Ok(account)
    }

    /// Calls an operation as `caller`: how pipelines, templates and jobs act. The same path as a
    /// request's from `decode` on; nothing is skipped.
    ///
    /// # Errors
    /// What the operation answers; `UnknownOperationException` where it is not served.
    pub async fn call(&self, caller: &Caller, region: &Region, service: &'static str, name: &str, input: Value) -> Result<Reply> {
        self.call_with(caller, region, service, name, input, None).await
    }

    /// The same, with a streaming payload.
    ///
    /// # Errors
    /// As [`Kernel::call`].
    pub async fn call_with(
        &self,
        caller: &Caller,
        region: &Region,
        service: &'static str,
        name: &str,
        input: Value,
        body: Option<Body>,
    ) -> Result<Reply> {
        let row = self.operation(service, name).ok_or_else(|| crate::door::unknown_operation(service, name))?;
        let agent = caller.via.last().map_or("AWS Internal", String::as_str);
        let request = RequestInfo::internal(self.now(), agent);
        let trail = Arc::new(crate::audit::Trail::begin(&request.id, request.time, true));
        if let Some(shape) = tenantry_wire::service(service) {
            self.inner().uses.note(caller, &shape.signing_name, region, request.time);
        }
        let cx = Cx {
            kernel: self.clone(),
            caller: Arc::new(caller.clone()),
            region: region.clone(),
            request,
            operation: (row.service, row.name),
            body: Mutex::new(body),
            claims: None,
            trail,
        };
        crate::audit::recorded(&cx, async {
            if let Some(shape) = tenantry_wire::service(service).and_then(|s| s.operation(name)) {
                cx.trail.asked(shape, &input);
                tenantry_wire::validate(shape, &input)?;
            }
            (row.call)(&cx, input).await
        })
        .await
    }

    /// Opens a sandbox's way out.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open_broker(&self, spec: BrokerSpec) -> io::Result<Box<dyn BrokerHandle>> {
        self.0.brokers.open(spec)
    }
}

/// Gives the JSON document of a container credentials endpoint: `AccessKeyId`, `SecretAccessKey`, `Token`, `Expiration`, `RoleArn`.
pub type CredentialsSource = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Value>> + Send>> + Send + Sync>;

/// A sandbox's way out, as its settings have it.
pub struct BrokerSpec {
    /// Where the socket is made; its directory is the server's.
    pub socket: PathBuf,
    /// Who owns the socket, where it is not the server.
    pub uid: Option<u32>,
    /// What the network model knows of the sandbox.
    pub network: NetworkOrigin,
    /// Whether hosts outside the instance may be reached at all.
    pub internet: bool,
    /// The role's credentials, and the only path that they are answered on: it has a secret part, so that a program in the sandbox
    /// that can be talked into fetching a URL does not give them away.
    pub credentials: (String, CredentialsSource),
    /// Told of every refused destination: the job's log.
    pub refused: Arc<dyn Fn(String) + Send + Sync>,
}

/// An open broker; dropping it closes the socket.
pub trait BrokerHandle: Send + Sync {}

/// Opens brokers. The front does; a kernel without one refuses.
pub trait Brokers: Send + Sync {
    /// Opens one.
    ///
    /// # Errors
    /// When the socket cannot be made.
    fn open(&self, spec: BrokerSpec) -> io::Result<Box<dyn BrokerHandle>>;
}

struct NoBrokers;

impl Brokers for NoBrokers {
    fn open(&self, _: BrokerSpec) -> io::Result<Box<dyn BrokerHandle>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel has no brokers"))
    }
}
