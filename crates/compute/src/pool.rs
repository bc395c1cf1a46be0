//! Who may run on this host now, and whose turn is next: one pool of memory and processors for all accounts.
//!
//! Instances are reckoned by [`Demand`], a fraction of what their type offers, because hardly any uses all of it at all
//! times. Whoever does not fit waits. The turn is the account's that has least of its class running, and within an account
//! the oldest's, so that an account that asks for five hundred places stands behind one that asks for its first. Nobody
//! overtakes the first in turn, not even one that would fit: large jobs do not starve either.
//!
//! Work that ends by itself ([`Class::Ending`]) and work that does not ([`Class::Standing`]) have turns of their own, and
//! standing work never fills the host, neither one account's nor all accounts'. All of this is in memory: after a restart
//! whoever is not over asks again. What instances really use is the sandbox's business, not the pool's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tenantry_core::{AccountId, Timestamp};

use crate::{instance::HostCapacity, workload::Limits};

/// A host of a job is reckoned with this part of the memory and processors that it may use.
pub const ENDING_OVERCOMMIT: u64 = 4;
/// An instance of an endpoint with this part of its memory: most of the time it waits for requests.
pub const STANDING_MEMORY_OVERCOMMIT: u64 = 16;
/// And with this part of its processors.
pub const STANDING_CPU_OVERCOMMIT: u64 = 32;
/// Standing work of all accounts together may take this part of the host (numerator, denominator).
pub const STANDING_SHARE: (u64, u64) = (3, 4);
/// Standing work of one account may take this part of the host.
pub const STANDING_ACCOUNT_SHARE: (u64, u64) = (1, 2);
/// Who waits and has not asked again for so long, or was let in and did not come, is forgotten.
pub const FORGOTTEN: Duration = Duration::from_secs(120);
/// Between looks for the forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// What something is reckoned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Bytes.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u64,
}

/// Whether work ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Jobs.
    Ending,
    /// Instances of endpoints.
    Standing,
}

impl Demand {
    /// What `count` instances with these limits are reckoned with.
    #[must_use]
    pub fn of(limits: &Limits, count: usize, class: Class) -> Self {
        let (memory, cpu) = match class {
            Class::Ending => (ENDING_OVERCOMMIT, ENDING_OVERCOMMIT),
            Class::Standing => (STANDING_MEMORY_OVERCOMMIT, STANDING_CPU_OVERCOMMIT),
        };
        let times = |amount: u64, part: u64| (amount / part).max(1).saturating_mul(count as u64);
        Self { memory_bytes: times(limits.memory_bytes, memory), cpu_millis: times(limits.cpu_millis, cpu) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
        }
    }
    fn minus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
        }
    }
    fn within(self, other: Self) -> bool {
        self.memory_bytes <= other.memory_bytes && self.cpu_millis <= other.cpu_millis
    }
    fn at_most(self, other: Self) -> Self {
        Self { memory_bytes: self.memory_bytes.min(other.memory_bytes), cpu_millis: self.cpu_millis.min(other.cpu_millis) }
    }
    fn part(self, (of, all): (u64, u64)) -> Self {
        Self { memory_bytes: self.memory_bytes / all * of, cpu_millis: self.cpu_millis * of / all }
    }
    /// Millionths of `whole`, of what it takes more of.
    fn share(self, whole: Self) -> u64 {
        let millionths = |part: u64, whole: u64| u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole.max(1))).unwrap_or(u64::MAX);
        millionths(self.memory_bytes, whole.memory_bytes).max(millionths(self.cpu_millis, whole.cpu_millis))
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Names it; unique over all accounts and kinds of work.
    pub key: String,
    /// Whose it is.
    pub account: AccountId,
    /// Since when it has wanted to run: the older comes first within its account.
    pub since: Timestamp,
    /// What it is reckoned with. More than the whole host counts as the whole host: it runs alone.
    pub demand: Demand,
    /// Which kind of turn it takes.
    pub class: Class,
    /// Before all others: it ran until the server went down, and somebody uses it.
    pub first: bool,
}

/// How many come before somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Of its own account.
    pub account: usize,
    /// Of all accounts.
    pub all: usize,
    /// Its account has as much standing work as an account may have.
    pub capped: bool,
}

/// Told when somebody who waited may come in. Called without any lock; it must not block.
pub type Wake = Box<dyn FnOnce() + Send>;

/// The memory and processors of a host, shared by all accounts.
#[derive(Debug)]
pub struct Pool {
    capacity: Demand,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seats: HashMap<String, Seat>,
    used: Demand,
    standing: Demand,
    accounts: HashMap<(AccountId, Class), Demand>,
    swept: Option<Instant>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("seats", &self.seats.len()).field("used", &self.used).finish_non_exhaustive()
    }
}

struct Seat {
    ask: Ask,
    state: State,
    asked: Instant,
    wake: Option<Wake>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    /// Counts as running; has not come yet.
    LetIn,
    Runs,
}

impl Pool {
    /// A pool of so much.
    #[must_use]
    pub fn new(capacity: Demand) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    /// What a host offers: 80 % of its memory, and its processors.
    #[must_use]
    pub fn on(host: HostCapacity) -> Self {
        Self::new(Demand { memory_bytes: host.memory_bytes / 5 * 4, cpu_millis: u64::from(host.cpus.max(1)) * 1000 })
    }

    /// What it was made with.
    #[must_use]
    pub fn capacity(&self) -> Demand {
        self.capacity
    }

    /// What is taken.
    #[must_use]
    pub fn used(&self) -> Demand {
        self.lock().used
    }

    /// Asks to run; `true`: it may, until [`Pool::leave`]. `false`: it waits, `wake` is called when it may come, and it then
    /// asks again. It also asks again at least every [`FORGOTTEN`], or its turn is lost. Asking while it runs changes nothing.
    pub fn ask(&self, ask: Ask, wake: Wake) -> bool {
        self.ask_at(ask, wake, Instant::now())
    }

    fn ask_at(&self, mut ask: Ask, wake: Wake, now: Instant) -> bool {
        ask.demand = ask.demand.at_most(self.capacity);
        let key = ask.key.clone();
        let (may, woken) = {
            let mut inner = self.lock();
            inner.sweep(now);
            if let Some(seat) = inner.seats.get_mut(&key) {
                seat.asked = now;
                if seat.state == State::Waits {
                    seat.wake = Some(wake);
                } else {
                    seat.state = State::Runs;
                }
            } else {
                inner.seats.insert(key.clone(), Seat { ask, state: State::Waits, asked: now, wake: Some(wake) });
            }
            let woken = inner.let_in(self.capacity, now, &key);
            let seat = inner.seats.get_mut(&key);
            let may = seat.is_some_and(|seat| {
                if seat.state == State::LetIn {
                    seat.state = State::Runs;
                }
                seat.state == State::Runs
            });
            (may, woken)
        };
        woken.into_iter().for_each(|wake| wake());
        may
    }

    /// Gives back what somebody has, or ends their waiting. Leaving twice is leaving once.
    pub fn leave(&self, key: &str) {
        let woken = {
            let mut inner = self.lock();
            inner.remove(key);
            inner.let_in(self.capacity, Instant::now(), "")
        };
        woken.into_iter().for_each(|wake| wake());
    }

    /// Leaves when it is dropped. For whoever was let in.
    #[must_use]
    pub fn hold(self: &Arc<Self>, key: impl Into<String>) -> Place {
        Place { pool: Arc::clone(self), key: key.into() }
    }

    /// How many come before; `None` for whoever does not wait. Looks at all who wait.
    #[must_use]
    pub fn waiting(&self, key: &str) -> Option<Waiting> {
        let inner = self.lock();
        let seat = inner.seats.get(key).filter(|seat| seat.state == State::Waits)?;
        let mine = inner.rank(&seat.ask, self.capacity);
        let before = |other: &&Seat| other.state == State::Waits && other.ask.key != key && inner.rank(&other.ask, self.capacity) < mine;
        let (mut account, mut all) = (0, 0);
        for other in inner.seats.values().filter(before) {
            all += 1;
            account += usize::from(other.ask.account == seat.ask.account && other.ask.class == seat.ask.class);
        }
        Some(Waiting { account, all, capped: inner.capped(&seat.ask, self.capacity) })
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn of(&self, account: &AccountId, class: Class) -> Demand {
        self.accounts.get(&(account.clone(), class)).copied().unwrap_or_default()
    }

    /// The smallest comes first.
    fn rank<'a>(&self, ask: &'a Ask, capacity: Demand) -> (bool, u64, Timestamp, &'a str) {
        (!ask.first, self.of(&ask.account, ask.class).share(capacity), ask.since, &ask.key)
    }

    /// Whether standing work has to wait for standing work, however much room there is.
    fn capped(&self, ask: &Ask, capacity: Demand) -> bool {
        ask.class == Class::Standing
            && !(self.standing.plus(ask.demand).within(capacity.part(STANDING_SHARE))
                && self.of(&ask.account, Class::Standing).plus(ask.demand).within(capacity.part(STANDING_ACCOUNT_SHARE)))
    }

    fn take(&mut self, ask: &Ask) {
        self.used = self.used.plus(ask.demand);
        if ask.class == Class::Standing {
            self.standing = self.standing.plus(ask.demand);
        }
        let of = self.accounts.entry((ask.account.clone(), ask.class)).or_default();
        *of = of.plus(ask.demand);
    }

    fn remove(&mut self, key: &str) {
        let Some(seat) = self.seats.remove(key) else { return };
        if seat.state == State::Waits {
            return;
        }
        let ask = seat.ask;
        self.used = self.used.minus(ask.demand);
        if ask.class == Class::Standing {
            self.standing = self.standing.minus(ask.demand);
        }
        let of = (ask.account, ask.class);
        if let Some(demand) = self.accounts.get_mut(&of) {
            *demand = demand.minus(ask.demand);
            if *demand == Demand::default() {
                self.accounts.remove(&of);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        let gone = |seat: &Seat| seat.state != State::Runs && now.saturating_duration_since(seat.asked) > FORGOTTEN;
        let forgotten: Vec<String> = self.seats.iter().filter(|(_, seat)| gone(seat)).map(|(key, _)| key.clone()).collect();
        forgotten.iter().for_each(|key| self.remove(key));
    }

    /// Lets in whoever's turn it is as long as they fit. `asker` need not be woken: it is asking.
    fn let_in(&mut self, capacity: Demand, now: Instant, asker: &str) -> Vec<Wake> {
        let mut woken = Vec::new();
        loop {
            let waits = self.seats.values().filter(|seat| seat.state == State::Waits && !self.capped(&seat.ask, capacity));
            let Some(next) = waits.min_by(|a, b| self.rank(&a.ask, capacity).cmp(&self.rank(&b.ask, capacity))) else { return woken };
            if !self.used.plus(next.ask.demand).within(capacity) {
                return woken;
            }
            let ask = next.ask.clone();
            self.take(&ask);
            if let Some(seat) = self.seats.get_mut(&ask.key) {
                seat.state = State::LetIn;
                seat.asked = now;
                woken.extend(seat.wake.take().filter(|_| ask.key != asker));
            }
        }
    }
}

/// Somebody who was let in.
#[derive(Debug)]
pub struct Place {
    pool: Arc<Pool>,
    key: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.leave(&self.key);
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
