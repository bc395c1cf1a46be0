//! Which instances run for which endpoint: what the reconciler wants, and what invocations find.
//!
//! It lives in memory only. After a restart of the server it is empty, and the reconciler fills it again from
//! the rows.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use tenantry_compute::{Class, Limits, Place};
use tenantry_core::{Scope, Timestamp};
use tenantry_kernel::{Ids, Kernel, reconcile::key_of};
use tenantry_store::Batch;
use tokio::sync::watch;

use super::{
    instance::{AT_A_TIME, BETWEEN_STARTS, InFlight, Instance, Plan, State},
    record::{Endpoint, Fleet},
    variant::{Size, Variant},
};
use crate::{
    Machinery, error,
    jobs::{
        admission::{self, Admission, Wait, Wish},
        container::digest,
        logs::Destination,
    },
    names,
};

/// An instance of an endpoint: fleet, variant, index.
type Slot = (String, String, u64);
type Instances = BTreeMap<Slot, Arc<Instance>>;
/// Instances that wait for room: their ids, and how long the line is.
type Line = BTreeMap<Slot, (String, Wait)>;
/// Whose items are woken when there is room.
const QUEUE: &str = names::ENDPOINT.as_str();

/// The instances of all endpoints of one server.
pub(crate) struct Serving {
    machinery: Arc<Machinery>,
    /// Locked before `going` where both are.
    endpoints: Mutex<HashMap<String, Instances>>,
    /// Those that are told to stop and are not gone yet.
    going: Mutex<HashMap<String, Vec<Arc<Instance>>>>,
    /// Those for which there is no room yet, by the ids that they will have. Locked behind the others.
    waiting: Mutex<HashMap<String, Line>>,
    admission: Arc<Admission>,
    changed: watch::Sender<u64>,
}

/// Servers of this process by their work directory, which no two share. Operations find the instances that
/// the reconciler keeps through it.
static SERVERS: LazyLock<Mutex<HashMap<PathBuf, Weak<Serving>>>> = LazyLock::new(Mutex::default);

/// How the instances of a fleet are.
pub(crate) enum Readiness {
    /// All serve.
    Ready,
    /// Some do not yet.
    Pending,
    /// Of some variant none will, for this reason.
    Failed(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Serving {
    /// The one of this machinery.
    pub fn of(machinery: &Arc<Machinery>) -> Arc<Self> {
        let mut servers = lock(&SERVERS);
        if let Some(known) = servers.get(&machinery.work).and_then(Weak::upgrade)
            && Arc::ptr_eq(&known.machinery, machinery)
        {
            return known;
        }
        let machinery = Arc::clone(machinery);
        let work = machinery.work.clone();
        let made = Arc::new(Self {
            admission: Admission::of(&machinery),
            machinery,
            endpoints: Mutex::default(),
            going: Mutex::default(),
            waiting: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        servers.retain(|_, serving| serving.strong_count() > 0);
        servers.insert(work, Arc::downgrade(&made));
        made
    }

    /// What runs them.
    pub fn machinery(&self) -> &Machinery {
        &self.machinery
    }

    /// Moves when an instance changes its state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Starts what is wanted and not there, and stops what is there and not wanted.
    pub fn want(self: &Arc<Self>, kernel: &Kernel, scope: &Scope, endpoint: &Endpoint, fleets: &[&Fleet]) {
        let key = key_of(scope, &endpoint.name.to_lowercase());
        let mut wanted = BTreeMap::new();
        for fleet in fleets {
            for variant in &fleet.variants {
                // Instances beyond the desired stop once the row says that it has them no more.
                for index in 0..variant.desired.max(variant.current) {
                    // Those that serve, or served until the server went down, are not to wait behind what is new.
                    let first = index < variant.current && endpoint.fleet.as_ref().is_some_and(|serving| serving.id == fleet.id);
                    wanted.insert((fleet.id.clone(), variant.name.clone(), index), (variant, fleet.since, first));
                }
            }
        }
        let mut endpoints = lock(&self.endpoints);
        let here = endpoints.entry(key.clone()).or_default();
        let unwanted: Vec<Slot> = here.keys().filter(|slot| !wanted.contains_key(*slot)).cloned().collect();
        self.release(&key, here, &unwanted);
        self.give_up(&key, |slot| !wanted.contains_key(slot));
        for (slot, (variant, since, first)) in wanted {
            if !here.contains_key(&slot) {
                let instance = self.begin(kernel, scope, endpoint, &slot, variant, (since, first));
                here.extend(instance.map(|instance| (slot, instance)));
            }
        }
        if here.is_empty() {
            endpoints.remove(&key);
        }
    }

    /// Ends the waiting of slots.
    fn give_up(&self, key: &str, which: impl Fn(&Slot) -> bool) {
        let mut waiting = lock(&self.waiting);
        let Some(here) = waiting.get_mut(key) else { return };
        here.retain(|slot, (id, _)| {
            let over = which(slot);
            if over {
                self.admission.leave(&admission::key_in(QUEUE, id));
            }
            !over
        });
        if here.is_empty() {
            waiting.remove(key);
        }
    }

    /// Whether instances of a fleet wait for room; why.
    pub fn waits(&self, scope: &Scope, endpoint: &Endpoint, fleet: &Fleet) -> Option<Wait> {
        let waiting = lock(&self.waiting);
        let here = waiting.get(&key_of(scope, &endpoint.name.to_lowercase()))?;
        here.iter().find(|((id, ..), _)| *id == fleet.id).map(|(_, (_, wait))| *wait)
    }

    /// Tells instances to stop.
    fn release(&self, key: &str, here: &mut Instances, slots: &[Slot]) {
        let mut going = lock(&self.going);
        let leaving = going.entry(key.to_owned()).or_default();
        leaving.retain(|instance| instance.state() != State::Gone);
        for instance in slots.iter().filter_map(|slot| here.remove(slot)) {
            instance.stop();
            leaving.push(instance);
        }
        if leaving.is_empty() {
            going.remove(key);
        }
    }

    /// Lets go of instances that have failed while others of the fleet serve, so that new ones take their places.
    pub fn release_failed(&self, scope: &Scope, endpoint: &Endpoint) {
        let key = key_of(scope, &endpoint.name.to_lowercase());
        if let Some(here) = lock(&self.endpoints).get_mut(&key) {
            let failed = here.iter().filter(|(_, instance)| matches!(instance.state(), State::Failed(_)));
            let failed: Vec<Slot> = failed.map(|(slot, _)| slot.clone()).collect();
            self.release(&key, here, &failed);
        }
    }

    fn begin(
        self: &Arc<Self>,
        kernel: &Kernel,
        scope: &Scope,
        endpoint: &Endpoint,
        slot: &Slot,
        variant: &Variant,
        turn: (Timestamp, bool),
    ) -> Option<Arc<Instance>> {
        let disk_bytes = Some(variant.volume_gib.saturating_mul(1 << 30));
        let limits = Limits { disk_bytes, ..variant.size.limits(&self.machinery)? };
        let (id, place) = self.admit(kernel, scope, endpoint, slot, &limits, turn)?;
        let plan = Plan {
            scope: scope.clone(),
            source: endpoint.arn.clone(),
            source_identity: endpoint.source_identity.clone(),
            container: variant.container.clone(),
            limits,
            at_a_time: match variant.size {
                Size::Serverless { concurrency, .. } => usize::try_from(concurrency).unwrap_or(AT_A_TIME),
                Size::Instance(_) => AT_A_TIME,
            },
            log: Destination {
                scope: scope.clone(),
                group: log_group(&endpoint.name),
                streams: vec![format!("{}/i-{}", variant.name, &id[..17])],
            },
            env: Vec::new(),
            download_secs: variant.download_secs,
            startup_secs: variant.startup_secs,
            volume_gib: variant.volume_gib,
            between_starts: BETWEEN_STARTS,
            unhealthy: format!(
                "The primary container for production variant {} did not pass the ping health check. Please check CloudWatch logs for this endpoint.",
                variant.name
            ),
            id,
        };
        let (kernel_, serving, key) = (kernel.clone(), Arc::downgrade(self), key_of(scope, &endpoint.name.to_lowercase()));
        let changed = move || {
            // The keeper lets go of this when nothing of the instance is left, and its place is free.
            let _held = &place;
            if let Some(serving) = serving.upgrade() {
                serving.changed.send_modify(|count| *count = count.wrapping_add(1));
            }
            look_again(&kernel_, &key);
        };
        Some(Instance::start(kernel, &self.machinery, plan, changed))
    }

    /// The id of an instance for which there is room, and its place; `None` while there is none.
    fn admit(
        &self,
        kernel: &Kernel,
        scope: &Scope,
        endpoint: &Endpoint,
        slot: &Slot,
        limits: &Limits,
        (since, first): (Timestamp, bool),
    ) -> Option<(String, Place)> {
        let endpoint_key = key_of(scope, &endpoint.name.to_lowercase());
        let mut waiting = lock(&self.waiting);
        let here = waiting.entry(endpoint_key.clone()).or_default();
        // Never that of an instance which had the same place and is still answering its last requests.
        let made = || digest("sagemaker.endpoint-instance", &format!("{}/{slot:?}/{}", endpoint.arn, Ids::token(16)));
        let id = here.get(slot).map_or_else(made, |(id, _)| id.clone());
        let key = admission::key_in(QUEUE, &id);
        let wish = Wish {
            key: key.clone(),
            account: &scope.account,
            since,
            limits,
            count: 1,
            class: Class::Standing,
            first,
            item: (QUEUE, endpoint_key.clone()),
        };
        let asked = self.admission.ask(kernel, wish);
        match asked {
            Ok(()) => drop(here.remove(slot)),
            Err((why, _)) => drop(here.insert(slot.clone(), (id.clone(), why))),
        }
        if here.is_empty() {
            waiting.remove(&endpoint_key);
        }
        asked.is_ok().then(|| (id, self.admission.hold(key)))
    }

    /// How a fleet is.
    pub fn readiness(&self, scope: &Scope, endpoint: &Endpoint, fleet: &Fleet) -> Readiness {
        let endpoints = lock(&self.endpoints);
        let none = BTreeMap::new();
        let here = endpoints.get(&key_of(scope, &endpoint.name.to_lowercase())).unwrap_or(&none);
        let mut all = true;
        for variant in &fleet.variants {
            let states = (0..variant.desired).map(|index| {
                here.get(&(fleet.id.clone(), variant.name.clone(), index)).map_or(State::Starting, |instance| instance.state())
            });
            let states: Vec<State> = states.collect();
            all &= states.iter().all(|state| *state == State::Ready);
            if let (true, Some(State::Failed(reason))) = (states.iter().all(|state| matches!(state, State::Failed(_))), states.first()) {
                return Readiness::Failed(reason.clone());
            }
        }
        if all { Readiness::Ready } else { Readiness::Pending }
    }

    /// Whether one instance of the fleet has failed; why.
    pub fn any_failure(&self, scope: &Scope, endpoint: &Endpoint, fleet: &Fleet) -> Option<String> {
        let endpoints = lock(&self.endpoints);
        let here = endpoints.get(&key_of(scope, &endpoint.name.to_lowercase()))?;
        here.iter().filter(|((id, ..), _)| *id == fleet.id).find_map(|(_, instance)| match instance.state() {
            State::Failed(reason) => Some(reason),
            _ => None,
        })
    }

    /// Whether nothing of an endpoint runs any more.
    pub fn is_gone(&self, scope: &Scope, id: &str) -> bool {
        let key = key_of(scope, id);
        if lock(&self.endpoints).contains_key(&key) {
            return false;
        }
        let mut going = lock(&self.going);
        if let Some(instances) = going.get_mut(&key) {
            instances.retain(|instance| instance.state() != State::Gone);
            if instances.is_empty() {
                going.remove(&key);
            }
        }
        !going.contains_key(&key)
    }

    /// The ready instance of a variant with the fewest requests, with the request entered.
    pub fn pick(&self, scope: &Scope, endpoint: &str, fleet: &str, variant: &str) -> Option<(Arc<Instance>, InFlight)> {
        let endpoints = lock(&self.endpoints);
        let here = endpoints.get(&key_of(scope, &endpoint.to_lowercase()))?;
        let mut ready: Vec<&Arc<Instance>> = here
            .range((fleet.to_owned(), variant.to_owned(), 0)..=(fleet.to_owned(), variant.to_owned(), u64::MAX))
            .map(|(_, instance)| instance)
            .filter(|instance| instance.state() == State::Ready)
            .collect();
        ready.sort_by_key(|instance| instance.load());
        ready.into_iter().find_map(|instance| Some((Arc::clone(instance), instance.enter()?)))
    }
}

/// `/aws/sagemaker/Endpoints/<name>`.
pub(crate) fn log_group(endpoint: &str) -> String {
    format!("/aws/sagemaker/Endpoints/{endpoint}")
}

/// Makes the reconciler look at an endpoint now.
pub(crate) fn look_again(kernel: &Kernel, key: &str) {
    let (kernel, key) = (kernel.clone(), key.to_owned());
    tokio::spawn(async move {
        let mut batch = Batch::new();
        batch.enqueue(names::ENDPOINT.as_str(), key, kernel.now());
        if let Err(error) = kernel.store().commit(batch).await {
            tracing::warn!(%error, "an endpoint is looked at later than it could be");
        }
    });
}

/// Why a variant cannot run here.
pub(crate) fn unknown_size(variant: &Variant) -> tenantry_core::AwsError {
    error::validation(format!("variant {} has an instance type that this instance does not know", variant.name))
}
