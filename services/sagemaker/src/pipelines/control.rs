//! StopPipelineExecution, RetryPipelineExecution, UpdatePipelineExecution.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Scope};
use tenantry_flow::pipeline::{ExecutionStatus, Observation};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply, reconcile};
use tenantry_store::{Batch, CommitError};

use super::{
    change::changed,
    record::{self, Loaded, Parallelism},
};
use crate::{
    author,
    error::{not_found, validation},
    names,
    operation::operation,
};

/// A lost race against the reconciler is run again so often.
const RACES: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExecutionInput {
    pub pipeline_execution_arn: String,
    parallelism_configuration: Option<Parallelism>,
    pipeline_execution_display_name: Option<String>,
    pipeline_execution_description: Option<String>,
}

operation!(StopPipelineExecution, ["pipeline-execution"], ExecutionInput, resolve, stop);
operation!(RetryPipelineExecution, ["pipeline-execution"], ExecutionInput, resolve, retry);
operation!(UpdatePipelineExecution, ["pipeline-execution"], ExecutionInput, resolve, update);

async fn resolve(cx: &Cx, action: &'static str, input: &ExecutionInput) -> Result<Checks> {
    Ok(Check::on(action, record::execution_arn(cx, &input.pipeline_execution_arn)?).into())
}

async fn stop(cx: &Cx, permit: Permit<StopPipelineExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    change(cx, permit.scope(), &arn, |run| match run.state.status() {
        ExecutionStatus::Executing => {
            // What is to be stopped stands in the state; the reconciler does it.
            let _outstanding = run.state.advance(&run.definition, &[Observation::StopRequested], cx.now());
            Ok(())
        }
        ExecutionStatus::Stopping => Ok(()),
        status => Err(validation(format!("Pipeline execution with ARN {arn} is in status {status:?} and cannot be stopped. Only executions in status Executing can be stopped."))),
    })
    .await
}

async fn retry(cx: &Cx, permit: Permit<RetryPipelineExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    change(cx, permit.scope(), &arn, |run| {
        run.state.retry().map_err(|problem| validation(format!("{problem}: {arn}")))?;
        parallel(run, input.parallelism_configuration);
        Ok(())
    })
    .await
}

async fn update(cx: &Cx, permit: Permit<UpdatePipelineExecution>, input: ExecutionInput) -> Result<Reply> {
    let arn = record::execution_arn(cx, &input.pipeline_execution_arn)?;
    change(cx, permit.scope(), &arn, |run| {
        if input.pipeline_execution_display_name.is_some() {
            run.record.display_name.clone_from(&input.pipeline_execution_display_name);
        }
        if input.pipeline_execution_description.is_some() {
            run.record.description.clone_from(&input.pipeline_execution_description);
        }
        parallel(run, input.parallelism_configuration);
        Ok(())
    })
    .await
}

fn parallel(run: &mut Loaded, configuration: Option<Parallelism>) {
    if let Some(max) = configuration.map(|p| p.max_parallel_execution_steps) {
        run.record.parallelism = Some(max);
        run.state.set_max_parallel_steps(Some(max));
    }
}

/// Changes an execution and wakes its reconciler.
async fn change(cx: &Cx, scope: &Scope, arn: &Arn, change: impl Fn(&mut Loaded) -> Result<()>) -> Result<Reply> {
    let (id, _) = record::execution_id(arn);
    for _ in 0..RACES {
        let run = record::load(&cx.kernel, scope, &id).await?;
        let mut run = run.ok_or_else(|| not_found(format!("PipelineExecution '{arn}' does not exist.")))?;
        change(&mut run)?;
        run.record.modified_by = author::of(&cx.caller);
        let mut batch = Batch::new();
        run.save(&mut batch, cx.now())?;
        batch.enqueue(names::EXECUTION.as_str(), reconcile::key_of(scope, &id), cx.now());
        match cx.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => return done.map(|()| Reply::new(json!({"PipelineExecutionArn": arn}))).map_err(changed),
        }
    }
    Err(crate::error::conflict("The pipeline execution is being changed. Try again."))
}
