//! The instance put together: store, blobs, compute, services, kernel, front.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use tenantry_blob::Blobs;
use tenantry_compute::{Environments, HostCapacity, Images, LocalConfig, LocalEngine};
use tenantry_front::{Authority, Broker, Egress};
use tenantry_kernel::{Kernel, OperationRow, Reconciler};
use tenantry_store::{Sqlite, Store};

use crate::{args::Isolation, environment, failure::Failure};

/// How an instance is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory.
    pub data: PathBuf,
    /// Names besides AWS's that the certificate covers.
    pub names: Vec<String>,
    /// What clients and jobs may reach.
    pub egress: Egress,
    /// How user code is kept apart.
    pub isolation: Isolation,
    /// Where Python environments are kept.
    pub environments: PathBuf,
    /// Descriptions of further images.
    pub images: Option<PathBuf>,
}

/// An opened instance. Holds the data directory's lock.
pub struct Instance {
    /// The one request path.
    pub kernel: Kernel,
    /// The instance's CA.
    pub authority: Arc<Authority>,
    _lock: File,
}

/// Makes the data directory (mode 0700) and takes its lock.
fn lock(data: &Path) -> Result<File, Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(Failure::file(data))?;
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(Failure::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Unavailable(format!("`{}` is in use by another server", data.display()))),
        Err(TryLockError::Error(error)) => Err(Failure::file(path)(error)),
    }
}

/// Removes a directory of jobs. Without root's rights a job may have closed its own directories: they are opened first.
fn clear(dir: &Path) -> io::Result<()> {
    fn open(dir: &Path) -> io::Result<()> {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // The type is the entry's own: a link is not followed.
            if entry.file_type()?.is_dir() {
                open(&entry.path())?;
            }
        }
        Ok(())
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(dir).and_then(|()| fs::remove_dir_all(dir)),
        done => done,
    }
}

/// A kernel over the data directory for commands that only look: it serves nothing and runs nothing.
pub fn kernel_for_reading(data: &Path) -> Result<Kernel, Failure> {
    if !data.join("store").exists() {
        return Err(Failure::Unavailable(format!("`{}` holds no instance", data.display())));
    }
    let store: Arc<dyn Store> = Arc::new(Sqlite::open_for_reading(data.join("store"))?);
    Ok(Kernel::reader(store).managed_policies(tenantry_identity::managed()).build())
}

/// Every operation of every service.
pub fn tables() -> Vec<OperationRow> {
    [
        tenantry_identity::table(),
        tenantry_s3::table(),
        tenantry_logs::table(),
        tenantry_sagemaker::table(),
        tenantry_accessanalyzer::table(),
        tenantry_cloudtrail::table(),
        tenantry_servicequotas::table(),
    ]
    .concat()
}

/// Identity providers are reached as sandboxes reach the world: private addresses only where the host is listed.
fn issuers(egress: Egress) -> tenantry_identity::ReachPolicy {
    use tenantry_identity::Reach;
    Box::new(move |host, port| match (egress.refusal(host, port), &egress) {
        (Some(why), _) => Reach::Refused(why),
        (None, Egress::Only(_)) => Reach::Listed,
        (None, _) => Reach::Public,
    })
}

/// Opens the instance; makes it on first use.
pub async fn open(settings: &Settings) -> Result<Instance, Failure> {
    let data = &settings.data;
    let lock = lock(data)?;
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(data.join("store"))?);
    let blobs = Blobs::open(data.join("blobs")).map_err(|e| Failure::Unavailable(e.to_string()))?;
    let authority = Authority::open(data, settings.names.clone()).map_err(|e| Failure::Unavailable(e.to_string()))?;
    let authority = Arc::new(authority);
    let bundle = environment::bundle_file(data);
    fs::write(&bundle, authority.bundle().map_err(Failure::file(&bundle))?).map_err(Failure::file(&bundle))?;
    let unavailable = |error: &dyn std::fmt::Display| Failure::Unavailable(error.to_string());
    tenantry_compute::prepare_host();
    let environments = Environments::open(&settings.environments).map_err(Failure::file(&settings.environments))?;
    let isolation = match settings.isolation {
        Isolation::Sandbox => tenantry_compute::Isolation::Full,
        Isolation::None => tenantry_compute::Isolation::None,
    };
    let config = LocalConfig { scratch: data.join("scratch"), isolation };
    let engine = LocalEngine::new(config, Arc::new(environments)).map_err(Failure::file(data.join("scratch")))?;
    let work = data.join("work");
    if work.exists() {
        // What ran is dead; what was acknowledged lies in the store.
        clear(&work).map_err(Failure::file(&work))?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&work).map_err(Failure::file(&work))?;
    let work = fs::canonicalize(&work).map_err(Failure::file(&work))?;
    let mut images = Images::builtin().map_err(|e| unavailable(&e))?;
    if let Some(dir) = &settings.images {
        images.load_over(dir).map_err(|e| unavailable(&e))?;
    }
    let broker = Arc::new(Broker::new(Arc::clone(&authority), settings.egress.clone()));
    let bundle = fs::canonicalize(&bundle).map_err(Failure::file(&bundle))?;
    let machinery =
        Arc::new(tenantry_sagemaker::Machinery { engine: Arc::new(engine), images, host: HostCapacity::read(), work, ca_bundle: bundle });
    let mut kernel = Kernel::builder(store, blobs)
        .service(&tables())
        .provide(Arc::clone(&machinery))
        .provide(Arc::new(tenantry_identity::Issuers::new(issuers(settings.egress.clone()))))
        .managed_policies(tenantry_identity::managed())
        .brokers(Arc::clone(&broker) as Arc<dyn tenantry_kernel::Brokers>)
        .site(Arc::new(tenantry_sagemaker::studio::Studio));
    let own: Vec<Arc<dyn Reconciler>> = vec![
        Arc::new(tenantry_identity::CreateAccounts),
        Arc::new(tenantry_identity::UsedAssertions),
        Arc::new(tenantry_cloudtrail::Delivery),
    ];
    for reconciler in own.into_iter().chain(tenantry_s3::reconcilers()).chain(tenantry_sagemaker::reconcilers(&machinery)) {
        kernel = kernel.reconciler(reconciler);
    }
    let kernel = kernel.build();
    broker.serve(kernel.clone());
    if let Some(first) = tenantry_identity::bootstrap(kernel.store(), kernel.now()).await? {
        let keys = environment::Administrator {
            account: first.account.to_string(),
            access_key_id: first.access_key,
            secret_access_key: first.secret.into_exposed(),
        };
        let path = environment::administrator_file(data);
        let text = serde_json::to_string_pretty(&keys).map_err(|e| Failure::Unavailable(e.to_string()))?;
        environment::write_private(&path, &text).map_err(Failure::file(&path))?;
    }
    Ok(Instance { kernel, authority, _lock: lock })
}
