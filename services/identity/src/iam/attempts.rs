//! Guesses of codes and passwords, counted: after five wrong ones in a row each further try has to wait,
//! a minute at first and twice as long each time, an hour at most.
//!
//! An answer is given only after its count is stored, and of two tries at once one finds that the other was
//! counted: many guesses at the same time are no more than one after the other. The row also holds the last
//! step of one-time codes that was used. Its kind lets nothing be forgotten that is remembered of principals.

use serde::{Deserialize, Serialize};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::Cx;
use tenantry_store::{Batch, CommitError, Expect, Kind, Row};

use super::{entity, error};

/// Tries at something; id = what is tried.
const ATTEMPTS: Kind = Kind::new("auth.attempts");
/// Wrong tries in a row that cost no time.
const FREE: u32 = 5;
/// Seconds of the first wait, and of the longest.
const WAIT: (i64, i64) = (60, 3600);

/// What is known of the tries so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tries {
    /// Wrong ones since the last good one.
    wrong: u32,
    /// When the last wrong one was.
    last_wrong: Timestamp,
    /// The last step of one-time codes that was used.
    pub step: i64,
}

impl Tries {
    fn none() -> Self {
        Self { wrong: 0, last_wrong: Timestamp::from_secs(0), step: i64::MIN }
    }

    /// Seconds until the next try.
    fn wait(&self, now: Timestamp) -> Option<i64> {
        let past = self.wrong.checked_sub(FREE)?;
        let seconds = (WAIT.0 << past.min(10)).min(WAIT.1);
        Some(self.last_wrong.plus_secs(seconds).secs() - now.secs()).filter(|left| *left > 0)
    }
}

/// How a try ended. Its count is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// Right; holds what `judge` answered.
    Good(i64),
    /// Wrong.
    Wrong,
    /// Not judged: so many seconds are to be waited.
    Wait(i64),
}

/// Judges a try by `judge`, which answers the step that is used up where it is good (any number but a lower
/// one than before where there are no steps).
///
/// # Errors
/// `ConcurrentModification` where too many try at once; internal.
pub(crate) async fn attempt(cx: &Cx, scope: &Scope, what: &str, judge: impl Fn(&Tries) -> Option<i64> + Send) -> Result<Tried> {
    for _ in 0..entity::ATTEMPTS {
        let row = cx.kernel.store().get(ATTEMPTS, scope, what).await?;
        let mut tries: Tries = row.as_ref().map(Row::body).transpose()?.unwrap_or_else(Tries::none);
        if let Some(seconds) = tries.wait(cx.now()) {
            return Ok(Tried::Wait(seconds));
        }
        let judged = judge(&tries);
        match judged {
            Some(step) => (tries.wrong, tries.step) = (0, step),
            None => (tries.wrong, tries.last_wrong) = (tries.wrong.saturating_add(1), cx.now()),
        }
        let expect = row.as_ref().map_or(Expect::Absent, |row| Expect::Version(row.version));
        let mut batch = Batch::new();
        batch.put(Row::new(ATTEMPTS, scope, what, cx.now()).with(&tries)?, expect);
        match cx.kernel.store().commit(batch).await {
            Ok(()) => return Ok(judged.map_or(Tried::Wrong, Tried::Good)),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

/// Forgets the tries at something that goes away.
pub(crate) fn forget(batch: &mut Batch, scope: &Scope, what: &str) {
    batch.delete(ATTEMPTS, scope, what, Expect::Any);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_are_free_and_then_it_takes_longer_and_longer() {
        let now = Timestamp::from_secs(1_795_000_000);
        let after = |wrong: u32| Tries { wrong, last_wrong: now, ..Tries::none() }.wait(now);
        assert_eq!([after(0), after(4)], [None, None]);
        assert_eq!([after(5), after(6), after(7)], [Some(60), Some(120), Some(240)]);
        assert_eq!([after(11), after(12), after(u32::MAX)], [Some(3600), Some(3600), Some(3600)]);
        let tries = Tries { wrong: 5, last_wrong: now, ..Tries::none() };
        assert_eq!(tries.wait(now.plus_secs(59)), Some(1));
        assert_eq!(tries.wait(now.plus_secs(60)), None);
    }
}
