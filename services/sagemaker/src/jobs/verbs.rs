//! Create and Stop, which both kinds of jobs do alike; what differs is passed in.

use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result, Scope, Tag, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, Reply, reconcile::key_of, tags_of};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    container,
    plan::{self, Plan},
    record::{self, Of, Phase, Record, State},
};
use crate::{
    Machinery, author,
    error::{in_use, limit, throttled, validation},
    experiments,
    names::PRINCIPAL,
    tagging, usage, vpc,
};

/// Checks of a Create call: the action on the job, `iam:PassRole`, and tagging when there are tags.
pub(crate) fn create_checks(
    cx: &Cx,
    of: Of,
    action: &'static str,
    creating: &'static str,
    name: &str,
    request: &Map<String, Value>,
    keys: impl FnOnce(Check) -> Check,
) -> Result<Checks> {
    let arn = of.arn(&cx.scope(), name);
    let whole = plan::view(request);
    let tags = tags_of(&whole, "Tags");
    let role = plan::role(&cx.scope(), plan::text(&whole, "RoleArn"))?;
    let check = keys(Check::on(action, arn.clone()).request_tags(&tags));
    Ok(Checks::from(check).and(Check::pass_role_for(role, PRINCIPAL, &arn)).and_if(tagging::on_create(&arn, &tags, creating)))
}

/// `sagemaker:VpcSubnets` and its kin: present only when the request has them.
pub(crate) fn network_keys(check: Check, network: &Value) -> Check {
    let mut check = vpc::keys(check, &network["VpcConfig"]);
    for (member, key) in [
        ("EnableNetworkIsolation", "sagemaker:NetworkIsolation"),
        ("EnableInterContainerTrafficEncryption", "sagemaker:InterContainerTrafficEncryption"),
    ] {
        check = check.key_if(key, network[member].as_bool().map(|on| on.to_string()));
    }
    check
}

/// A condition key for a member that is text and not empty, or a number.
pub(crate) fn key(check: Check, key: &str, value: &Value) -> Check {
    match value {
        Value::String(text) if !text.is_empty() => check.key(key, text.clone()),
        Value::Number(number) => check.key(key, number.to_string()),
        _ => check,
    }
}

/// Stores a new job and puts it into the queue. `complete` adds what Describe shows and the request did not say.
///
/// # Errors
/// `ValidationException` for what cannot run here, `ResourceInUse` for a name that is taken.
pub(crate) async fn create(
    cx: &Cx,
    scope: &Scope,
    of: Of,
    name: &str,
    request: Map<String, Value>,
    complete: impl FnOnce(&mut Map<String, Value>, &Machinery, &Plan) -> Result<()>,
) -> Result<Reply> {
    let machinery = cx.kernel.provided::<Machinery>().ok_or_else(|| AwsError::internal("the kernel was composed without machinery"))?;
    let now = cx.now();
    let tags = tags_of(&plan::view(&request), "Tags");
    tagging::checked(&tags)?;
    let mut record = Record { request, state: State::new(now, author::source_identity(&cx.caller)), tuning: None };
    let plan = checked(&machinery, scope, of, &mut record, complete)?;
    let arn = of.arn(scope, name);
    container::assume(&cx.kernel, &plan.role, &arn, record.state.source_identity.as_deref(), &scope.region).await?;
    experiments::check_config(&cx.kernel, scope, record.member("ExperimentConfig")).await?;
    let row = record.clone().into_row(Row::new(of.kind(), scope, name, now).name(name), now)?;
    let (before, after) = (usage::Uses::new(), record::uses(of, &row.scope, &row.id, &record.request));
    let turn = usage::turn(scope, &before, &after).await;
    for _ in 0..usage::RACES {
        let mut batch = record::tracked(&cx.kernel, of, &row, &record, &author::of(&cx.caller)).await?;
        usage::admit(&cx.kernel, scope, &mut batch, &before, &after).await?;
        put(&mut batch, of, row.clone(), tags.clone());
        match cx.commit(batch).await {
            Ok(()) => {
                drop(turn);
                return Ok(Reply::new(match of {
                    Of::Training => json!({"TrainingJobArn": arn}),
                    Of::Processing => json!({"ProcessingJobArn": arn}),
                }));
            }
            Err(error) if usage::raced(&error) => {}
            Err(CommitError::Conflict { .. }) => {
                return Err(in_use(format!(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(throttled())
}

/// Whether a job can run here; adds to its record what Describe shows and the request did not say.
///
/// # Errors
/// `ValidationException`, `ResourceLimitExceeded`.
pub(crate) fn checked(
    machinery: &Machinery,
    scope: &Scope,
    of: Of,
    record: &mut Record,
    complete: impl FnOnce(&mut Map<String, Value>, &Machinery, &Plan) -> Result<()>,
) -> Result<Plan> {
    let plan = plan::of(of, scope, record)?;
    if plan.hosts > MAX_HOSTS {
        let what = match of {
            Of::Training => "training",
            Of::Processing => "processing",
        };
        return Err(limit(format!(
            "The account-level service limit 'Number of instances for a {what} job' is {MAX_HOSTS} Instances, with current utilization of 0 \
             Instances and a request delta of {} Instances.",
            plan.hosts
        )));
    }
    let limits = container::instance_limits(machinery, &plan.instance_type);
    limits.ok_or_else(|| validation(format!("Instance type {} is not known here.", plan.instance_type)))?;
    complete(&mut record.request, machinery, &plan)?;
    Ok(plan)
}

/// Adds a new job to a batch: its row, its name, its tags and its first step.
pub(crate) fn put(batch: &mut Batch, of: Of, row: Row, tags: Vec<Tag>) {
    let (scope, name, now) = (row.scope.clone(), row.id.clone(), row.created);
    batch.put(Row::new(of.name_kind(), &scope, name.to_lowercase(), now).name(&*name), Expect::Absent);
    if let Ok(record) = Record::of(&row) {
        usage::change(batch, &scope, &usage::Uses::new(), &record::uses(of, &scope, &name, &record.request), now);
    }
    batch.put(row, Expect::Absent);
    batch.set_tags(of.arn(&scope, &name).as_str(), tags);
    batch.enqueue(of.kind().as_str(), key_of(&scope, &name), now);
}

/// Adds to a batch that a job which is not over is to stop.
///
/// # Errors
/// Internal only.
pub(crate) fn ask_to_stop(batch: &mut Batch, of: Of, row: Row, mut record: Record, now: Timestamp) -> Result<()> {
    record.state.stop_asked = Some(now);
    record.state.enter("Stopping", "Stopping the training job", now);
    batch.enqueue(of.kind().as_str(), key_of(&row.scope, &row.id), now);
    batch.update(record.into_row(row, now)?);
    Ok(())
}

/// Asks a job to stop. A job that stops already is left alone.
///
/// # Errors
/// `missing`; `ValidationException` for a job that is over.
pub(crate) async fn stop(cx: &Cx, scope: &Scope, of: Of, name: &str, missing: AwsError) -> Result<Reply> {
    for _ in 0..CONFLICTS {
        let Some(row) = find(cx, scope, of, name).await? else { return Err(missing) };
        let record = Record::of(&row)?;
        if record.state.phase == Phase::Over {
            let status = record.state.status();
            return Err(validation(format!(
                "The request was rejected because the {} job is in status {status}.",
                match of {
                    Of::Training => "training",
                    Of::Processing => "processing",
                }
            )));
        }
        if record.state.stop_asked.is_some() {
            return Ok(Reply::empty());
        }
        let mut batch = Batch::new();
        ask_to_stop(&mut batch, of, row, record, cx.now())?;
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AwsError::internal(format!("job `{name}` changed {CONFLICTS} times while it was to be stopped")))
}

/// Instances of one job: AWS's quota before it is raised. They all share one machine.
const MAX_HOSTS: usize = 20;
/// A job's row changes a few times in its whole life.
const CONFLICTS: usize = 20;

/// A job by its name.
///
/// # Errors
/// `missing`.
pub(crate) async fn get(cx: &Cx, scope: &Scope, of: Of, name: &str, missing: AwsError) -> Result<(Row, Record)> {
    let row = find(cx, scope, of, name).await?.ok_or(missing)?;
    let record = record::Record::of(&row)?;
    Ok((row, record))
}

/// A job by its name in any case: ARNs are in lower case, and clients cut names out of them.
async fn find(cx: &Cx, scope: &Scope, of: Of, name: &str) -> Result<Option<Row>> {
    let store = cx.kernel.store();
    if let Some(row) = store.get(of.kind(), scope, name).await? {
        return Ok(Some(row));
    }
    let Some(index) = store.get(of.name_kind(), scope, &name.to_lowercase()).await? else { return Ok(None) };
    Ok(store.get(of.kind(), scope, &index.name).await?)
}
