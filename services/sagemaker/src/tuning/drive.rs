//! The reconciler of tuning jobs.
//!
//! A step looks at all training jobs of a search, decides whether it goes on, makes the training jobs that there is room
//! for, and stores all that in one commit: either the new jobs are there and counted, or neither. A training job that
//! ends wakes its tuning job.

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile::parse_key};
use tenantry_store::{Batch, CommitError, Row};

use super::{
    record::{Counters, Ending, Record, arn},
    request::{Definition, Wishes},
    search::{self, Known},
    stopping,
};
use crate::{
    Machinery,
    jobs::trial::{self, Search, Standing, Trial, Tuning},
    names,
};

/// How often a search is looked at while nobody wakes it.
const SELDOM: Duration = Duration::from_secs(30);
/// While training jobs may have to be stopped early.
const OFTEN: Duration = Duration::from_secs(3);
/// After so many training jobs without one that is of use, the others are spared.
const HOPELESS: usize = 5;

/// Names that are tried for a training job: of the first another job would have to be there already.
const NAMES: u32 = 100;

/// Drives tuning jobs.
pub(super) struct Driver;

impl Reconciler for Driver {
    fn queue(&self) -> &'static str {
        names::TUNING_JOB.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, id)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(row) = kernel.store().get(names::TUNING_JOB, &scope, id).await? else { return Ok(Next::Done) };
            let record = Record::of(&row)?;
            if record.state.ended.is_some() {
                return Ok(Next::Done);
            }
            let trials = trial::all(kernel, &scope, &record.state.search).await?;
            Step { kernel, scope, row, record, trials }.take().await
        })
    }
}

/// One step of one tuning job.
struct Step<'a> {
    kernel: &'a Kernel,
    scope: Scope,
    row: Row,
    record: Record,
    trials: Vec<Trial>,
}

impl Step<'_> {
    async fn take(mut self) -> Result<Next> {
        let now = self.kernel.now();
        let before = self.record.clone();
        let mut batch = Batch::new();
        let wishes = match Wishes::read(&self.record.view()) {
            Ok(wishes) => wishes,
            // It was checked when it was made: another version of this program made it.
            Err(error) => {
                self.record.state.ending = Some(Ending::Failed(format!("ClientError: {}", error.message)));
                self.stop_all(&mut batch, now)?;
                return self.store(before, batch, now, SELDOM).await;
            }
        };
        self.look(&wishes);
        if self.record.state.ending.is_none() {
            self.record.state.ending = self.ending(&wishes, now);
        }
        if self.record.state.ending.is_some() {
            self.stop_all(&mut batch, now)?;
        } else {
            if wishes.early_stopping {
                for trial in stopping::hopeless(&self.trials, &wishes.definitions) {
                    trial.stop(&mut batch, now)?;
                }
            }
            if let Err(error) = self.make(&wishes, &mut batch, now).await {
                if error.status >= 500 {
                    return Err(error);
                }
                self.record.state.ending = Some(Ending::Failed(format!("ClientError: {}", error.message)));
                batch = Batch::new();
                self.stop_all(&mut batch, now)?;
            }
        }
        // What is to end is woken by its training jobs.
        let due = if self.record.state.ending.is_some() { SELDOM } else { left(&wishes, &self.row, now) };
        let wait = if wishes.early_stopping { OFTEN } else { SELDOM }.min(due);
        self.store(before, batch, now, wait).await
    }

    /// Counts what there is.
    fn look(&mut self, wishes: &Wishes) {
        let objective = |trial: &Trial| {
            let definition = wishes.definitions.get(trial.definition())?;
            trial.metric(&definition.objective.metric).map(|value| definition.objective.less(value))
        };
        let state = &mut self.record.state;
        state.counters = Counters::of(self.trials.iter().map(|trial| (trial, objective(trial))));
        let mut ended: Vec<_> = self.trials.iter().filter(|trial| trial.standing() != Standing::Running).collect();
        ended.sort_by_key(|trial| (trial.ended(), trial.number()));
        let mut best: Option<(f64, &str)> = None;
        state.not_improving = 0;
        for trial in ended {
            match objective(trial) {
                Some(value) if best.is_none_or(|(least, _)| value < least) => {
                    best = Some((value, trial.job()));
                    state.not_improving = 0;
                }
                _ => state.not_improving += 1,
            }
        }
        state.best = best.map(|(_, name)| name.to_owned());
    }

    fn running(&self) -> usize {
        self.trials.iter().filter(|trial| trial.standing() == Standing::Running).count()
    }

    /// Whether nothing more is to be tried.
    fn ending(&self, wishes: &Wishes, now: Timestamp) -> Option<Ending> {
        let state = &self.record.state;
        let scored = state.best.as_ref().and_then(|best| self.trials.iter().find(|trial| trial.job() == best));
        if scored.is_none() && self.trials.len() - self.running() >= HOPELESS.min(wishes.jobs) {
            return Some(Ending::Failed(self.nothing_of_use()));
        }
        let reached = scored.is_some_and(|best| {
            let objective = wishes.definitions.get(best.definition()).map(|definition| &definition.objective);
            let value = objective.and_then(|objective| Some(objective.less(best.metric(&objective.metric)?)));
            let target = objective.and_then(|objective| Some(objective.less(wishes.target?)));
            value.zip(target).is_some_and(|(value, target)| value <= target)
        });
        let enough = wishes.not_improving.is_some_and(|most| scored.is_some() && state.not_improving >= most);
        let all = state.made >= wishes.jobs && self.running() == 0;
        (reached || enough || all || left(wishes, &self.row, now).is_zero()).then_some(Ending::Completed)
    }

    fn nothing_of_use(&self) -> String {
        let over = self.trials.len() - self.running();
        if self.trials.iter().any(|trial| trial.standing() == Standing::Completed) {
            format!(
                "ClientError: No objective metrics found after running {over} training jobs. Please ensure that the custom algorithm is emitting \
                 the objective metric as defined by the regular expression provided."
            )
        } else {
            format!(
                "No training job succeeded after {over} attempts. For additional details, please take a look at the training job failures by \
                 listing training jobs for the hyperparameter tuning job."
            )
        }
    }

    fn stop_all(&self, batch: &mut Batch, now: Timestamp) -> Result<()> {
        self.trials.iter().try_for_each(|trial| trial.stop(batch, now))
    }

    /// Makes the training jobs that there is room for.
    async fn make(&mut self, wishes: &Wishes, batch: &mut Batch, now: Timestamp) -> Result<()> {
        let room = wishes.parallel.saturating_sub(self.running()).min(wishes.jobs.saturating_sub(self.record.state.made));
        if room == 0 {
            return Ok(());
        }
        let machinery = self.kernel.provided::<Machinery>();
        let machinery = machinery.ok_or_else(|| tenantry_core::AwsError::internal("the kernel was composed without machinery"))?;
        let tuning = arn(&self.scope, &self.row.name);
        let tags = self.kernel.store().tags(tuning.as_str()).await?;
        let identity = self.record.state.source_identity.clone();
        let mut new: Vec<(usize, Map<String, Value>)> = Vec::new();
        for _ in 0..room {
            let number = self.record.state.made;
            let (definition, turn) = turn(wishes, number);
            let Some(made) = wishes.definitions.get(definition) else { break };
            let values = {
                let known = self.known(made, definition, &new);
                search::next(wishes.strategy, &made.space, self.record.state.seed, number, turn, &known)
            };
            let name = self.name(number).await?;
            let request = trial::checked(&machinery, &self.scope, made.training(&name, &values))?;
            let watched = wishes.early_stopping.then(|| made.objective.metric.clone());
            let place = Tuning { arn: tuning.clone(), id: self.row.id.clone(), number, definition, watched, values: values.clone() };
            let search = Search { scope: &self.scope, id: &self.record.state.search, identity: identity.as_deref(), tags: &tags };
            trial::put(batch, &search, request, place, now)?;
            new.push((definition, values));
            self.record.state.made += 1;
        }
        self.record.state.counters.begun(new.len());
        Ok(())
    }

    /// What was tried of a definition, and what is being tried; `new` are not stored yet.
    fn known<'a>(&'a self, made: &Definition, definition: usize, new: &'a [(usize, Map<String, Value>)]) -> Known<'a> {
        let mut known = Known::default();
        for trial in self.trials.iter().filter(|trial| trial.definition() == definition) {
            match trial.metric(&made.objective.metric) {
                Some(value) => known.seen.push((trial.values(), made.objective.less(value))),
                None if trial.standing() == Standing::Running => known.pending.push(trial.values()),
                None => {}
            }
        }
        known.pending.extend(new.iter().filter(|(of, _)| *of == definition).map(|(_, values)| values));
        known
    }

    /// `<tuning job>-001-<8 hex>`: of this search only, and of no other job's that is there.
    async fn name(&self, number: usize) -> Result<String> {
        for salt in 0..NAMES {
            let digest = Sha256::digest(format!("{}\n{number}\n{salt}", self.record.state.search).as_bytes());
            let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let name = format!("{}-{:03}-{hex}", self.row.name, number + 1);
            if !trial::taken(self.kernel, &self.scope, &name).await? {
                return Ok(name);
            }
        }
        Err(tenantry_core::AwsError::internal("no name is free"))
    }

    /// Stores what has changed; over is a search that ends and of which nothing runs.
    async fn store(mut self, before: Record, mut batch: Batch, now: Timestamp, wait: Duration) -> Result<Next> {
        if self.record.state.ending.is_some() && self.running() == 0 {
            self.record.state.ended = Some(now);
        }
        let over = self.record.state.ended.is_some();
        if self.record == before && batch.is_empty() {
            return Ok(Next::After(wait));
        }
        batch.update(self.record.into_row(self.row, now)?);
        match self.kernel.store().commit(batch).await {
            Ok(()) if over => Ok(Next::Done),
            Ok(()) => Ok(Next::After(wait)),
            // Somebody stopped it, or one of its training jobs went on.
            Err(CommitError::Conflict { .. }) => Ok(Next::After(Duration::ZERO)),
            Err(error) => Err(error.into()),
        }
    }
}

/// How much time a search has left.
fn left(wishes: &Wishes, row: &Row, now: Timestamp) -> Duration {
    let millis = row.created.plus_secs(wishes.runtime).millis() - now.millis();
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Which definition training job `number` is of, and how many of that definition were made before: they take turns, those
/// whose grids are exhausted step aside.
fn turn(wishes: &Wishes, number: usize) -> (usize, usize) {
    let definitions = wishes.definitions.len();
    if wishes.strategy != search::Strategy::Grid {
        return (number % definitions, number / definitions);
    }
    let sizes: Vec<usize> = wishes.definitions.iter().map(|definition| definition.space.combinations().unwrap_or(0)).collect();
    let mut rest = number;
    for round in 0.. {
        let having: Vec<usize> = (0..definitions).filter(|at| sizes[*at] > round).collect();
        match having.get(rest) {
            Some(definition) => return (*definition, round),
            None if having.is_empty() => break,
            None => rest -= having.len(),
        }
    }
    (definitions, 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn definitions_take_turns() {
        let definition = |name: &str, values: &[&str]| {
            json!({"DefinitionName": name, "TuningObjective": {"Type": "Minimize", "MetricName": "m"},
                "HyperParameterRanges": {"CategoricalParameterRanges": [{"Name": "x", "Values": values}]}})
        };
        let request = |strategy: &str, jobs: Value| {
            json!({"HyperParameterTuningJobConfig": {"Strategy": strategy, "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": jobs}},
                "TrainingJobDefinitions": [definition("a", &["1"]), definition("b", &["1", "2", "3"]), definition("c", &["1", "2"])]})
        };
        let turns = |wishes: &Wishes| (0..6).map(|number| turn(wishes, number)).collect::<Vec<_>>();
        let grid = Wishes::read(&request("Grid", Value::Null)).unwrap();
        assert_eq!((grid.jobs, turns(&grid)), (6, vec![(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (1, 2)]));
        let random = Wishes::read(&request("Random", json!(6))).unwrap();
        assert_eq!(turns(&random), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
        assert!(Wishes::read(&request("Grid", json!(5))).is_err());
    }
}
