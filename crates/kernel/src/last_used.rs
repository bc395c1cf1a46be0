//! When credentials were last used: of which service, in which region.
//!
//! Authentication tells it of every use; what is stored is one row per key, role or user, and service, at
//! most once in [`QUIET`], behind the answer. So a time may be that much too early, never too late, and what
//! was told within the last [`QUIET`] before a crash is lost. Attempts that policies refused count, as in AWS.
//! The rows are of kinds of their own: writing them lets nothing be forgotten that is remembered of principals.
//!
//! Source: "IAM and AWS last accessed information", IAM User Guide.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tenantry_core::{Region, Scope, Timestamp};
use tenantry_store::{Batch, Expect, Kind, Row, Store};
use tokio::sync::mpsc;

use crate::{clock::Clock, cx::Caller, directory::SessionKind};

/// The last use of a long-term access key; id = the key's id.
pub const KEY_USED: Kind = Kind::new("used.key");
/// The last use of a role's sessions; id = the role's unique id.
pub const PRINCIPAL_USED: Kind = Kind::new("used.principal");
/// The last use of a service by a user or a role; parent = its unique id, id = that and the service: `AIDA…/s3`.
pub const SERVICE_USED: Kind = Kind::new("used.service");

/// Milliseconds for which credentials do not tell of the same service again.
pub(crate) const TOLD: i64 = 30_000;
/// Milliseconds between two writes of a row.
const QUIET: i64 = 300_000;
/// How often what waits is looked through.
const TICK: Duration = Duration::from_secs(60);
/// Uses that wait for being stored; one more is not recorded.
const WAITING: usize = 4096;
/// Uses that are stored in one commit.
const TOGETHER: usize = 256;
/// Rows whose last write is remembered.
const REMEMBERED: usize = 100_000;

/// A use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// When.
    pub time: Timestamp,
    /// The service as policies name it: `s3`.
    pub service: String,
    /// Where.
    pub region: String,
    /// Who: the ARN of the user or the role.
    pub by: String,
}

/// A use with the rows that tell of it.
struct Use {
    scope: Scope,
    key: Option<String>,
    role: bool,
    principal: String,
    used: Used,
}

/// Where uses are told.
pub(crate) struct Uses(mpsc::Sender<Use>);

impl Uses {
    /// Begins to store uses behind the answers.
    pub(crate) fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Use>(WAITING);
        tokio::spawn(async move {
            let (mut rows, mut uses) = (Rows::default(), Vec::with_capacity(TOGETHER));
            let mut tick = tokio::time::interval(TICK);
            loop {
                let closed = tokio::select! {
                    count = receiver.recv_many(&mut uses, TOGETHER) => count == 0,
                    _ = tick.tick() => false,
                };
                uses.drain(..).for_each(|told| rows.take(told));
                let due = if closed { rows.all() } else { rows.due(clock.now()) };
                let mut batch = Batch::new();
                for row in due {
                    batch.put(row, Expect::Any);
                }
                if !batch.is_empty()
                    && let Err(error) = store.commit(batch).await
                {
                    tracing::error!(%error, "uses of credentials cannot be recorded");
                }
                if closed {
                    break;
                }
            }
        });
        Self(sender)
    }

    /// Tells of a use. Callers that are no users and no sessions have nothing to record.
    pub(crate) fn note(&self, caller: &Caller, service: &str, region: &Region, time: Timestamp) {
        let Some(principal) = caller.principal.unique_id.clone() else { return };
        let role = caller.session.as_ref().is_some_and(|session| matches!(session.kind, SessionKind::Role { .. }));
        let key = (caller.session.is_none() && !caller.access_key.is_empty()).then(|| caller.access_key.clone());
        let by = caller.principal.role_arn.as_deref().or(caller.principal.user_arn.as_deref()).unwrap_or(&caller.arn).to_owned();
        let used = Used { time, service: service.to_owned(), region: region.to_string(), by };
        // Where more is told than can be stored, a use is not recorded: the next one is.
        let _full = self.0.try_send(Use { scope: Scope::global(caller.account.clone()), key, role, principal, used });
    }
}

/// When a row was last written, and what it is to say next.
struct Slot {
    written: Option<Timestamp>,
    waits: Option<Row>,
}

/// The rows that are kept up.
#[derive(Default)]
struct Rows(HashMap<(Kind, String), Slot>);

impl Rows {
    fn take(&mut self, told: Use) {
        let Use { scope, key, role, principal, used } = told;
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, slot| slot.waits.is_some());
        }
        let mut keep = |kind: Kind, id: String, parent: &str| {
            if let Ok(row) = Row::new(kind, &scope, id.clone(), used.time).parent(parent).with(&used) {
                self.0.entry((kind, id)).or_insert(Slot { written: None, waits: None }).waits = Some(row);
            }
        };
        if let Some(key) = key {
            keep(KEY_USED, key, "");
        }
        if role {
            keep(PRINCIPAL_USED, principal.clone(), "");
        }
        keep(SERVICE_USED, format!("{principal}/{}", used.service), &principal);
    }

    /// What may be written now.
    fn due(&mut self, now: Timestamp) -> Vec<Row> {
        let quiet = |slot: &Slot| slot.written.is_none_or(|at| now.millis() - at.millis() >= QUIET);
        let mut rows = Vec::new();
        for slot in self.0.values_mut().filter(|slot| slot.waits.is_some() && quiet(slot)) {
            rows.extend(slot.waits.take());
            slot.written = Some(now);
        }
        rows
    }

    /// Everything that waits.
    fn all(&mut self) -> Vec<Row> {
        self.0.values_mut().filter_map(|slot| slot.waits.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(service: &str, secs: i64) -> Use {
        Use {
            scope: Scope::global("111122223333"),
            key: Some("AKIAEXAMPLE".to_owned()),
            role: false,
            principal: "AIDAEXAMPLE".to_owned(),
            used: Used {
                time: Timestamp::from_secs(secs),
                service: service.to_owned(),
                region: "us-east-1".to_owned(),
                by: "arn:aws:iam::111122223333:user/ann".to_owned(),
            },
        }
    }

    fn ids(rows: &[Row]) -> Vec<&str> {
        let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_row_is_written_once_in_five_minutes_and_the_last_use_is_not_lost() {
        let mut rows = Rows::default();
        rows.take(told("s3", 0));
        assert_eq!(ids(&rows.due(Timestamp::from_secs(0))), ["AIDAEXAMPLE/s3", "AKIAEXAMPLE"]);
        for at in 1..300 {
            rows.take(told("s3", at));
            assert!(rows.due(Timestamp::from_secs(at)).is_empty(), "at {at}");
        }
        // Another service has a row of its own; the key's waits.
        rows.take(told("iam", 299));
        assert_eq!(ids(&rows.due(Timestamp::from_secs(299))), ["AIDAEXAMPLE/iam"]);
        let late = rows.due(Timestamp::from_secs(300));
        assert_eq!(ids(&late), ["AIDAEXAMPLE/s3", "AKIAEXAMPLE"]);
        let key: Used = late.iter().find(|row| row.kind == KEY_USED).unwrap().body().unwrap();
        assert_eq!((key.service.as_str(), key.time), ("iam", Timestamp::from_secs(299)));
        assert!(rows.due(Timestamp::from_secs(900)).is_empty(), "nothing was used since");
    }
}
