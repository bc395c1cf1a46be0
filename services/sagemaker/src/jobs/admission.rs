//! How many hosts of jobs run at a time, and whose turn it is.
//!
//! A place is a host of a job. Who uses the fewest places comes first, among those the oldest job. It is in memory
//! only: after a restart every job that is not over asks again. It does not look at what the jobs really use.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tenantry_compute::HostCapacity;
use tenantry_core::{AccountId, Timestamp};

/// Memory that a host of a job is reckoned with.
const BYTES_PER_PLACE: u64 = 2 << 30;
/// More hosts than this per processor only slow each other down.
const PLACES_PER_CPU: usize = 4;
/// Who has not asked again for so long does not hold up the others.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The places of this server.
#[derive(Debug)]
pub(crate) struct Admission {
    places: usize,
    jobs: Mutex<HashMap<String, Job>>,
}

#[derive(Debug, Clone)]
struct Job {
    account: AccountId,
    created: Timestamp,
    hosts: usize,
    running: bool,
    asked: Instant,
}

impl Admission {
    /// As many places as this host has memory and processors for, at least two.
    pub fn on(host: HostCapacity) -> Self {
        let by_memory = usize::try_from(host.memory_bytes / BYTES_PER_PLACE).unwrap_or(usize::MAX);
        Self { places: by_memory.min(host.cpus as usize * PLACES_PER_CPU).max(2), jobs: Mutex::default() }
    }

    /// Asks for a place. `Err` is how many wait before. Asking again is how one waits; asking while one runs changes nothing.
    ///
    /// # Errors
    /// How many jobs come first (at least one).
    pub fn ask(&self, key: &str, account: &AccountId, created: Timestamp, hosts: usize) -> Result<(), usize> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        jobs.retain(|_, job| job.running || now.duration_since(job.asked) < FORGOTTEN);
        let asking =
            jobs.entry(key.to_owned()).or_insert_with(|| Job { account: account.clone(), created, hosts, running: false, asked: now });
        if asking.running {
            return Ok(());
        }
        asking.asked = now;
        let used = |of: Option<&AccountId>| -> usize {
            jobs.values().filter(|j| j.running && of.is_none_or(|of| j.account == *of)).map(|j| j.hosts).sum()
        };
        let rank = |key: &str, job: &Job| (used(Some(&job.account)), job.created, key.to_owned());
        let mine = (used(Some(account)), created, key.to_owned());
        let before = jobs.iter().filter(|(other, job)| !job.running && rank(other, job) < mine).count();
        let busy = used(None);
        // A job that is larger than the host runs alone.
        if before == 0 && (busy + hosts <= self.places || busy == 0) {
            if let Some(job) = jobs.get_mut(key) {
                job.running = true;
            }
            return Ok(());
        }
        Err(before.max(1))
    }

    /// Gives the place back, or stops waiting for one.
    pub fn leave(&self, key: &str) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fair_by_account_then_by_age() {
        let admission = Admission::on(HostCapacity { memory_bytes: 1 << 30, cpus: 1 });
        let (greedy, modest) = (AccountId::from("111111111111"), AccountId::from("222222222222"));
        let at = Timestamp::from_secs;
        assert_eq!(admission.ask("g1", &greedy, at(1), 1), Ok(()));
        assert_eq!(admission.ask("g2", &greedy, at(2), 1), Ok(()));
        assert_eq!(admission.ask("g2", &greedy, at(2), 1), Ok(()), "asking while it runs");
        assert!(admission.ask("g3", &greedy, at(3), 1).is_err());
        assert!(admission.ask("m1", &modest, at(4), 1).is_err());
        admission.leave("g1");
        assert_eq!(admission.ask("g3", &greedy, at(3), 1), Err(1), "the other account has none");
        assert_eq!(admission.ask("m1", &modest, at(4), 1), Ok(()));
        admission.leave("m1");
        assert_eq!(admission.ask("g3", &greedy, at(3), 1), Ok(()));
        assert!(admission.ask("large", &modest, at(5), 9).is_err());
        for key in ["g2", "g3"] {
            admission.leave(key);
        }
        assert_eq!(admission.ask("large", &modest, at(5), 9), Ok(()), "larger than the host: alone");
        assert!(admission.ask("m2", &modest, at(6), 1).is_err());
    }
}
