//! The reconciler of executions.
//!
//! A round: load the state, do what is outstanding and look after what runs, let the machine take in what
//! came of it, store. The effects of a round are not stored apart: the state itself says what is
//! outstanding, so a crash at any point repeats a round whose calls find their own names taken. Lost races
//! against StopPipelineExecution and its kin are such repetitions too.

use std::time::Duration;

use tenantry_core::{Result, Scope, Timestamp};
use tenantry_flow::pipeline::{Effect, Execution, FileOutcome, Observation, StepKind, StepStatus};
use tenantry_kernel::{Kernel, Next, Reconciler, StepFuture, reconcile};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    calls::Role,
    quota,
    record::{self, CachedRun, Loaded, STEP_CACHE},
};
use crate::names;

/// Rounds in one step: bounds what a step does, not what an execution does.
const ROUNDS: usize = 25;
/// How soon running jobs are looked at again after something happened.
const SOON: Duration = Duration::from_millis(250);
/// How seldom they are looked at while nothing happens.
const SELDOM: Duration = Duration::from_secs(2);

/// Drives executions.
pub(super) struct Driver;

impl Reconciler for Driver {
    fn queue(&self) -> &'static str {
        names::EXECUTION.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(drive(kernel, key))
    }
}

async fn drive(kernel: &Kernel, key: &str) -> Result<Next> {
    let Some((scope, id)) = reconcile::parse_key(key) else { return Ok(Next::Done) };
    for _ in 0..ROUNDS {
        let Some(mut run) = record::load(kernel, &scope, id).await? else { return Ok(Next::Done) };
        if run.state.status().is_final() {
            return Ok(Next::Done);
        }
        let (before, tracked) = (run.state.clone(), run.record.no_experiment);
        let observations = observe(kernel, &scope, &mut run).await?;
        let now = kernel.now();
        let effects = run.state.advance(&run.definition, &observations, now);
        if run.state == before && run.record.no_experiment == tracked {
            return Ok(Next::After(pause(&run, now)));
        }
        let mut batch = Batch::new();
        remember(&mut batch, &scope, &before, &run, now)?;
        run.save(&mut batch, now)?;
        match kernel.store().commit(batch).await {
            Ok(()) => {}
            Err(CommitError::Conflict { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        if run.state.status().is_final() {
            return Ok(Next::Done);
        }
        if effects.is_empty() {
            return Ok(Next::After(pause(&run, now).min(SOON)));
        }
    }
    Ok(Next::After(Duration::ZERO))
}

/// How long until the next look: less often the longer nothing has happened, in time for the next attempt.
fn pause(run: &Loaded, now: Timestamp) -> Duration {
    let millis = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    let quiet = millis(now.millis() - run.state_row.updated.millis());
    let look = (quiet / 16).clamp(SOON, SELDOM);
    run.state.next_wake().map_or(look, |due| look.min(millis(due.millis() - now.millis())))
}

/// Does what is outstanding and looks after what runs.
async fn observe(kernel: &Kernel, scope: &Scope, run: &mut Loaded) -> Result<Vec<Observation>> {
    let effects = run.state.outstanding(&run.definition);
    let running: Vec<_> = run
        .state
        .steps()
        .iter()
        .filter(|step| step.status() == StepStatus::Executing && step.kind != StepKind::Condition)
        .cloned()
        .collect();
    let mut seen = Vec::new();
    if effects.is_empty() && running.is_empty() {
        return Ok(seen);
    }
    let role = match Role::assume(kernel, scope, &run.record).await {
        Ok(role) => Ok(role),
        Err(error) if error.status >= 500 => return Err(error),
        Err(error) => Err(format!("ClientError: {}", error.message)),
    };
    if let Ok(role) = &role
        && effects.iter().any(|effect| matches!(effect, Effect::StartStep { .. }))
        && role.experiment(run).await.is_err()
    {
        run.record.no_experiment = true;
    }
    let mut kept = run.state_row.body_text().len();
    for effect in effects {
        match (effect, &role) {
            (Effect::Finished { .. }, _) => {}
            (Effect::LookupCache { step, attempt, key, expire_after_secs }, _) => {
                seen.push(look_up(kernel, scope, run, step, attempt, &key, expire_after_secs).await?);
            }
            (Effect::ReadPropertyFile { step, file, uri }, role) => {
                let outcome = match role {
                    Ok(role) => role.read(&uri, quota::STATE_BYTES.saturating_sub(kept)).await,
                    Err(reason) => FileOutcome::Error(reason.clone()),
                };
                if let FileOutcome::Content(text) = &outcome {
                    kept += text.len();
                }
                seen.push(Observation::PropertyFileRead { step, file, outcome });
            }
            (Effect::StartStep { step, attempt, .. } | Effect::StopStep { step, attempt, .. }, Err(reason)) => {
                seen.push(Observation::StepFailed { step, attempt, reason: reason.clone(), kind: None });
            }
            (Effect::StartStep { step, kind, attempt, request, .. }, Ok(role)) => {
                seen.extend(role.start(run, step, kind, attempt, request).await);
            }
            (Effect::StopStep { step, kind, attempt, arn }, Ok(role)) => {
                seen.extend(role.stop(run, &step, kind, attempt, arn.is_some()).await);
            }
        }
    }
    for step in running {
        match &role {
            Ok(role) => seen.extend(role.poll(run, &step.name, step.kind, step.attempt).await),
            Err(reason) => {
                seen.push(Observation::StepFailed { step: step.name, attempt: step.attempt, reason: reason.clone(), kind: None })
            }
        }
    }
    Ok(seen)
}

fn cache_id(pipeline: &str, key: &str) -> String {
    format!("{pipeline}/{key}")
}

/// Looks for an earlier run of a step.
async fn look_up(
    kernel: &Kernel,
    scope: &Scope,
    run: &Loaded,
    step: String,
    attempt: u32,
    key: &str,
    expire_after_secs: Option<u64>,
) -> Result<Observation> {
    let row = kernel.store().get(STEP_CACHE, scope, &cache_id(&run.row.parent, key)).await?;
    let Some(found) = row.map(|row| row.body::<CachedRun>()).transpose()? else { return Ok(Observation::CacheMiss { step, attempt }) };
    let age = kernel.now().secs().saturating_sub(found.ended.secs());
    if expire_after_secs.is_some_and(|most| u64::try_from(age).is_ok_and(|age| age > most)) {
        return Ok(Observation::CacheMiss { step, attempt });
    }
    Ok(Observation::CacheHit { step, attempt, outputs: found.outputs, source_execution_arn: found.execution })
}

/// Adds the runs that have just succeeded to the index that [`look_up`] asks.
fn remember(batch: &mut Batch, scope: &Scope, before: &Execution, run: &Loaded, now: Timestamp) -> Result<()> {
    for step in run.state.steps() {
        let (Some(key), Some(outputs)) = (&step.cache_key, &step.outputs) else { continue };
        let reused = step.cache_source.is_some() || step.selective_source.is_some();
        let old = before.step(&step.name).is_some_and(|step| step.status() == StepStatus::Succeeded);
        if step.status() != StepStatus::Succeeded || reused || old {
            continue;
        }
        let ended = CachedRun { execution: run.record.arn.clone(), ended: step.end.unwrap_or(now), outputs: outputs.clone() };
        let row = Row::new(STEP_CACHE, scope, cache_id(&run.row.parent, key), now).parent(&*run.row.parent).with(&ended)?;
        batch.put(row, Expect::Any);
    }
    Ok(())
}
