//! StopHyperParameterTuningJob and DeleteHyperParameterTuningJob.

use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Cx, OperationRow, Permit, Reply, reconcile::key_of};
use tenantry_store::{Batch, CommitError, Expect};

use super::{
    read::{Named, get, on_job},
    record::{Ending, arn},
};
use crate::{error::validation, names, operation::operation};

pub(super) fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<StopHyperParameterTuningJob>(), OperationRow::of::<DeleteHyperParameterTuningJob>()]
}

/// A tuning job's row changes with each of its training jobs.
const CONFLICTS: usize = 20;

operation!(StopHyperParameterTuningJob, ["hyper-parameter-tuning-job"], Named, on_job, stop);

async fn stop(cx: &Cx, permit: Permit<StopHyperParameterTuningJob>, input: Named) -> Result<Reply> {
    let scope = permit.scope();
    for _ in 0..CONFLICTS {
        let (row, mut record) = get(cx, scope, &input.hyper_parameter_tuning_job_name).await?;
        if record.state.ended.is_some() {
            let status = record.state.status();
            return Err(validation(format!("The request was rejected because the hyperparameter tuning job is in status {status}.")));
        }
        if record.state.ending == Some(Ending::Stopped) {
            return Ok(Reply::empty());
        }
        record.state.ending = Some(Ending::Stopped);
        let mut batch = Batch::new();
        batch.enqueue(names::TUNING_JOB.as_str(), key_of(scope, &row.id), cx.now());
        batch.update(record.into_row(row, cx.now())?);
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AwsError::internal(format!("the tuning job changed {CONFLICTS} times while it was to be stopped")))
}

operation!(DeleteHyperParameterTuningJob, ["hyper-parameter-tuning-job"], Named, on_job, delete);

/// Its training jobs and what they left stay, as on AWS. One that is not there is deleted already.
async fn delete(cx: &Cx, permit: Permit<DeleteHyperParameterTuningJob>, input: Named) -> Result<Reply> {
    let scope = permit.scope();
    let (row, record) = match get(cx, scope, &input.hyper_parameter_tuning_job_name).await {
        Ok(found) => found,
        Err(error) if error.code == "ResourceNotFound" => return Ok(Reply::empty()),
        Err(error) => return Err(error),
    };
    if record.state.ended.is_none() {
        let status = record.state.status();
        return Err(validation(format!(
            "The request was rejected because the hyperparameter tuning job is in status {status}: stop it, and wait until it has stopped."
        )));
    }
    let mut batch = Batch::new();
    batch.set_tags(arn(scope, &row.name).as_str(), Vec::new());
    batch.cancel_work(names::TUNING_JOB.as_str(), key_of(scope, &row.id));
    batch.delete(names::TUNING_JOB, scope, &*row.id, Expect::Version(row.version));
    cx.commit(batch).await?;
    Ok(Reply::empty())
}
