//! Who may run on this host now: training, processing and transform jobs, trials of tuning jobs, instances of endpoints.
//!
//! The turns are those of [`tenantry_compute::Pool`], one for all kinds of work of a server. Here is what surrounds it: what
//! a request is reckoned with, how a reconciler's item is woken when its turn has come, what is said while it waits, and that
//! nobody is let in while the disk is nearly full. Nothing is stored: after a restart whoever is not over asks again.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use tenantry_compute::{Ask, Class, Demand, FORGOTTEN, Limits, Place, Pool, Waiting, files};
use tenantry_core::{AccountId, Timestamp};
use tenantry_kernel::Kernel;
use tenantry_store::Batch;

use crate::Machinery;

/// Who waits asks again after this long, so as not to be forgotten; it is woken when its turn has come.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(FORGOTTEN.as_secs() / 4);
/// While the disk is nearly full it is looked at this often.
const DISK_AGAIN: Duration = Duration::from_secs(5);
/// How long the last look at the disk counts.
const DISK_LOOK: Duration = Duration::from_secs(1);
/// Of a disk this part stays free (as one in so many), at least and at most so many bytes.
const FLOOR: (u64, u64, u64) = (50, 512 << 20, 5 << 30);

/// The gate of one server.
pub(crate) struct Admission {
    pool: Arc<Pool>,
    machinery: Weak<Machinery>,
    work: PathBuf,
    disk: Mutex<Option<(Instant, bool)>>,
}

/// Why somebody does not run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Others come before.
    Turn,
    /// The server's disk is nearly full.
    Disk,
}

impl Wait {
    /// In words for whoever waits.
    pub fn said(self) -> &'static str {
        match self {
            Self::Turn => "Waiting for capacity on this host: it starts when others have ended.",
            Self::Disk => "The disk of this host is nearly full: it starts when there is room.",
        }
    }
}

/// What somebody asks for who is woken as an item of a work queue.
pub(crate) struct Wish<'a> {
    /// Unique over all accounts and kinds.
    pub key: String,
    /// Whose.
    pub account: &'a AccountId,
    /// Since when it has wanted to run.
    pub since: Timestamp,
    /// Of each instance.
    pub limits: &'a Limits,
    /// How many instances.
    pub count: usize,
    /// Whether it ends by itself.
    pub class: Class,
    /// It ran before the server went down, and somebody uses it.
    pub first: bool,
    /// The queue and the key of the item that is woken.
    pub item: (&'static str, String),
}

/// Gates of this process by their work directory, which no two servers share.
static GATES: LazyLock<Mutex<HashMap<PathBuf, Weak<Admission>>>> = LazyLock::new(Mutex::default);

impl Admission {
    /// The one of this machinery.
    pub fn of(machinery: &Arc<Machinery>) -> Arc<Self> {
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        let known = gates.get(&machinery.work).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| std::ptr::eq(known.machinery.as_ptr(), Arc::as_ptr(machinery))) {
            return known;
        }
        let made = Arc::new(Self {
            pool: Arc::new(Pool::on(machinery.host)),
            machinery: Arc::downgrade(machinery),
            work: machinery.work.clone(),
            disk: Mutex::default(),
        });
        gates.retain(|_, gate| gate.strong_count() > 0);
        gates.insert(machinery.work.clone(), Arc::downgrade(&made));
        made
    }

    /// Asks to run. Asking again is how one waits; asking while one runs changes nothing.
    ///
    /// # Errors
    /// Why it waits, and after which time to ask again at the latest.
    pub fn ask(&self, kernel: &Kernel, wish: Wish<'_>) -> Result<(), (Wait, Duration)> {
        // Who stands in line keeps its place there; nobody new runs.
        if !self.disk_has_room() {
            return Err((Wait::Disk, DISK_AGAIN));
        }
        let (kernel, (queue, item)) = (kernel.clone(), wish.item);
        // A place may be given back outside of any runtime, when a server ends: then nobody is to be woken.
        let wake = move || {
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { wake(&kernel, queue, item).await });
            }
        };
        let demand = Demand::of(wish.limits, wish.count, wish.class);
        let (account, since, class, first) = (wish.account.clone(), wish.since, wish.class, wish.first);
        let may = self.pool.ask(Ask { key: wish.key, account, since, demand, class, first }, Box::new(wake));
        if may { Ok(()) } else { Err((Wait::Turn, ASK_AGAIN)) }
    }

    /// Gives back what somebody has, or ends their waiting.
    pub fn leave(&self, key: &str) {
        self.pool.leave(key);
    }

    /// Leaves when it is dropped.
    pub fn hold(&self, key: String) -> Place {
        self.pool.hold(key)
    }

    /// What is said of a job that waits; `None` for one that does not.
    pub fn said(&self, key: &str) -> Option<String> {
        let before = |Waiting { account, all, .. }| {
            format!("Waiting for capacity on this host: {account} before it in this account, {} of other accounts.", all - account)
        };
        self.pool.waiting(key).map(before)
    }

    fn disk_has_room(&self) -> bool {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((looked, room)) = *disk
            && looked.elapsed() < DISK_LOOK
        {
            return room;
        }
        // The directory is made with the first job. "Cannot look" is not "has room", but for that.
        let existing = self.work.ancestors().find(|dir| dir.exists());
        let room = existing.and_then(|dir| files::space(dir).ok()).is_some_and(|(free, all)| free >= floor(all));
        if !room {
            tracing::warn!(dir = %self.work.display(), "the disk is nearly full: nothing new is started");
        }
        *disk = Some((Instant::now(), room));
        room
    }
}

/// The bytes of a disk that jobs do not begin to fill.
fn floor(all: u64) -> u64 {
    let (part, least, most) = FLOOR;
    (all / part).clamp(least, most)
}

/// The key under which a job, transform job or trial asks.
pub(crate) fn key_in(queue: &str, key: &str) -> String {
    format!("{queue}/{key}")
}

async fn wake(kernel: &Kernel, queue: &'static str, key: String) {
    let mut batch = Batch::new();
    batch.enqueue(queue, key, kernel.now());
    if let Err(error) = kernel.store().commit(batch).await {
        // It asks again by itself, a little later.
        tracing::warn!(queue, %error, "whose turn it is cannot be woken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_a_disk() {
        assert_eq!(floor(10 << 30), 512 << 20);
        assert_eq!(floor(100 << 30), 2 << 30);
        assert_eq!(floor(10 << 40), 5 << 30);
    }
}
