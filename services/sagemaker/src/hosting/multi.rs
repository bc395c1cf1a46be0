//! The models of a multi-model container: loaded when they are first asked for, unloaded when there is no room.
//!
//! A target model is the object at the model's prefix followed by the name that the request gives, byte for
//! byte: a name is never a path and is not normalised, so that a policy on `sagemaker:TargetModel` means the
//! object that is read. On disk and in the container a model has a hash for a name. As on AWS a loaded
//! model is not loaded anew when its object changes.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex as Lock, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use tenantry_core::{AwsError, Scope};
use tokio::{
    fs,
    sync::{Mutex, Semaphore},
    time::Instant,
};

use super::{
    artifact,
    instance::{Instance, MODELS_DIR, Plan},
    invoke,
};
use crate::jobs::{
    container::digest,
    data::{Budget, TransferError},
    uri::S3Uri,
};

/// Models loaded in one instance.
pub(crate) const MAX_LOADED: usize = 100;
/// Models that one instance downloads at a time.
const DOWNLOADS: usize = 4;
/// How long a request waits for its model; the loading goes on after that.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long a container may take to load a model.
const LOADING: Duration = Duration::from_secs(600);

/// The models of one instance.
pub(crate) struct Models {
    /// Seen by the container as [`MODELS_DIR`].
    dir: PathBuf,
    prefix: Option<S3Uri>,
    scope: Scope,
    gib: u64,
    download: Duration,
    known: Lock<HashMap<String, Arc<Model>>>,
    downloads: Semaphore,
    /// Counts uses; the least recently used model has the smallest number.
    uses: AtomicU64,
}

/// A model that was asked for.
struct Model {
    hash: String,
    loaded: Mutex<bool>,
    last: AtomicU64,
    users: AtomicUsize,
}

/// A loaded model that is not unloaded while this lives.
pub(crate) struct Loaded(Arc<Model>);

impl Loaded {
    /// What the container calls it.
    pub fn name(&self) -> &str {
        &self.0.hash
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Models {
    pub fn new(dir: PathBuf, plan: &Plan) -> Self {
        Self {
            dir,
            prefix: S3Uri::parse(plan.container.source.uri()),
            scope: plan.scope.clone(),
            gib: plan.volume_gib,
            download: Duration::from_secs(plan.download_secs),
            known: Lock::default(),
            downloads: Semaphore::new(DOWNLOADS),
            uses: AtomicU64::new(0),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Model>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container is a new one: it has no models.
    pub async fn forget_all(&self) {
        let gone: Vec<String> = self.known().drain().map(|(_, model)| model.hash.clone()).collect();
        for hash in gone {
            self.remove_files(&hash).await;
        }
    }

    async fn remove_files(&self, hash: &str) {
        if let Err(error) = fs::remove_dir_all(self.dir.join(hash)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(hash, %error, "an unloaded model's files cannot be removed");
        }
    }

    /// Takes hold of a model, known or not.
    fn hold(&self, target: &str) -> Loaded {
        let mut known = self.known();
        let use_ = self.uses.fetch_add(1, Ordering::Relaxed);
        let model = known.entry(target.to_owned()).or_insert_with(|| {
            // With the number, what was unloaded and what is loaded again never meet under one name.
            let hash = digest("sagemaker.target-model", &format!("{target}\0{use_}"));
            Arc::new(Model { hash, loaded: Mutex::new(false), last: AtomicU64::new(0), users: AtomicUsize::new(0) })
        });
        model.users.fetch_add(1, Ordering::AcqRel);
        model.last.store(use_, Ordering::Relaxed);
        Loaded(Arc::clone(model))
    }

    /// Forgets the least recently used model that nobody uses. Answers its hash.
    fn least_used(&self) -> Option<String> {
        let mut known = self.known();
        let idle = known.iter().filter(|(_, model)| model.users.load(Ordering::Acquire) == 0);
        let (target, hash) =
            idle.min_by_key(|(_, model)| model.last.load(Ordering::Relaxed)).map(|(target, model)| (target.clone(), model.hash.clone()))?;
        known.remove(&target);
        Some(hash)
    }
}

/// Has `target` loaded in the container of `instance`.
///
/// # Errors
/// `ValidationError` when there is no such object or the role may not read it, `ModelError` when the container
/// does not take it, `ModelNotReadyException` when it takes longer than a request waits.
pub(crate) async fn load(instance: &Arc<Instance>, endpoint: &str, target: &str) -> Result<Loaded, AwsError> {
    let models = instance.models.as_ref().ok_or_else(|| AwsError::internal("not a multi-model instance"))?;
    let held = models.hold(target);
    // The loading must not end with the request that began it: others wait for the same model.
    let task = {
        let (instance, endpoint, target) = (Arc::clone(instance), endpoint.to_owned(), target.to_owned());
        tokio::spawn(async move { load_held(&instance, &endpoint, &target, held).await })
    };
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(panicked)) => Err(AwsError::internal(panicked)),
        Err(_) => Err(AwsError::new(429, "ModelNotReadyException", format!("Model {target} is being loaded. Please try again."))),
    }
}

async fn load_held(instance: &Arc<Instance>, endpoint: &str, target: &str, held: Loaded) -> Result<Loaded, AwsError> {
    let Some(models) = &instance.models else { return Ok(held) };
    let model = Arc::clone(&held.0);
    let mut loaded = model.loaded.lock().await;
    if *loaded {
        drop(loaded);
        return Ok(held);
    }
    match bring(instance, models, endpoint, target, &model.hash).await {
        Ok(()) => {
            *loaded = true;
            drop(loaded);
            Ok(held)
        }
        Err(error) => {
            // Whoever waits for the lock tries again; nobody finds what is not there.
            models.remove_files(&model.hash).await;
            let mut known = models.known();
            if model.users.load(Ordering::Acquire) == 1 && known.get(target).is_some_and(|known| Arc::ptr_eq(known, &model)) {
                known.remove(target);
            }
            Err(error)
        }
    }
}

async fn bring(instance: &Arc<Instance>, models: &Models, endpoint: &str, target: &str, hash: &str) -> Result<(), AwsError> {
    while models.known().len() > MAX_LOADED {
        let Some(least) = models.least_used() else { break };
        unload(instance, models, &least).await;
    }
    download(instance, models, target, hash).await?;
    loop {
        let body = json!({"model_name": hash, "url": format!("{MODELS_DIR}/{hash}/model")}).to_string();
        let request = Request::post("/models").header("host", "container").header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body))).map_err(AwsError::internal)?;
        let answered = instance.connections.send(&instance.workload(), request, Instant::now() + LOADING).await;
        let answer = answered.map_err(|error| invoke::unanswered(&instance.plan.scope, endpoint, &error))?;
        match answer.status {
            // 409: a load whose answer was lost had gone through.
            200..=299 | 409 => {
                return answer.read(64 << 10).await.map(drop).map_err(|error| invoke::unanswered(&instance.plan.scope, endpoint, &error));
            }
            507 => match models.least_used() {
                Some(least) => {
                    drop(answer.beginning(64 << 10).await);
                    unload(instance, models, &least).await;
                }
                None => return Err(invoke::model_error(&instance.plan.scope, endpoint, answer).await),
            },
            _ => return Err(invoke::model_error(&instance.plan.scope, endpoint, answer).await),
        }
    }
}

async fn download(instance: &Instance, models: &Models, target: &str, hash: &str) -> Result<(), AwsError> {
    let _turn = models.downloads.acquire().await.map_err(AwsError::internal)?;
    let prefix = models.prefix.as_ref().ok_or_else(|| AwsError::internal("the model's prefix is no S3 URI"))?;
    let slash = if prefix.key.is_empty() || prefix.key.ends_with('/') { "" } else { "/" };
    let uri = S3Uri { bucket: prefix.bucket.clone(), key: format!("{}{slash}{target}", prefix.key) };
    let refused = |why: &str| {
        AwsError::new(400, "ValidationError", format!("Failed to download model data(bucket: {}, key: {}). {why}", uri.bucket, uri.key))
    };
    let absent = "Please ensure that there is an object located at the URL and that the role passed to CreateModel has permissions to download the model.";
    let mover = instance.mover().await.map_err(|_| refused(absent))?;
    let place = models.dir.join(hash).join("model");
    models.remove_files(hash).await;
    let budget = Budget::of_gib(models.gib);
    let work = async {
        fs::create_dir_all(&place).await?;
        artifact::unpack(&mover, &uri, &place, models.gib, &budget).await?;
        artifact::give(&models.dir.join(hash), &models.scope).await
    };
    match tokio::time::timeout(models.download, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(TransferError::Refused { error, .. })) if error.status < 500 => Err(refused(absent)),
        Ok(Err(other)) => Err(refused(&format!("Please ensure that the object is a tar.gz archive: {other}."))),
        Err(_) => Err(refused("The download took too long.")),
    }
}

async fn unload(instance: &Instance, models: &Models, hash: &str) {
    let request = Request::delete(format!("/models/{hash}")).header("host", "container").body(Full::new(Bytes::new()));
    if let Ok(request) = request
        && let Ok(answer) = instance.connections.send(&instance.workload(), request, Instant::now() + LOADING).await
    {
        drop(answer.beginning(64 << 10).await);
    }
    models.remove_files(hash).await;
}
