//! SageMaker Pipelines: definitions, their executions, and the work of driving these.
//!
//! What a pipeline means is the flow crate's; here are the operations, the rows, and the reconciler that
//! carries out what an execution asks for: it reads the stored state, does what is outstanding **as the
//! pipeline's role**, and stores what came of it. Nothing is remembered between two steps, so an execution
//! goes on after a crash as if nothing had happened.
//!
//! Rows: `sagemaker.pipeline` and `sagemaker.execution` hold what listings show, `sagemaker.definition` the
//! texts, `sagemaker.execution-state` the machine's state, `sagemaker.step-cache` the newest run of a step
//! by its cache key, `sagemaker.pipeline-version` what definitions were before. What it does not do: events.

mod calls;
mod change;
mod control;
mod describe;
mod drive;
mod list;
mod quota;
mod record;
mod start;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

pub(crate) use record::{ExecutionRecord, PipelineRecord, execution_document, last_run, members, pipeline_document};

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<change::CreatePipeline>(),
        OperationRow::of::<change::UpdatePipeline>(),
        OperationRow::of::<change::DeletePipeline>(),
        OperationRow::of::<describe::DescribePipeline>(),
        OperationRow::of::<describe::DescribePipelineExecution>(),
        OperationRow::of::<describe::DescribePipelineDefinitionForExecution>(),
        OperationRow::of::<list::ListPipelines>(),
        OperationRow::of::<list::ListPipelineExecutions>(),
        OperationRow::of::<list::ListPipelineExecutionSteps>(),
        OperationRow::of::<list::ListPipelineParametersForExecution>(),
        OperationRow::of::<start::StartPipelineExecution>(),
        OperationRow::of::<control::StopPipelineExecution>(),
        OperationRow::of::<control::RetryPipelineExecution>(),
        OperationRow::of::<control::UpdatePipelineExecution>(),
        OperationRow::of::<versions::UpdatePipelineVersion>(),
        OperationRow::of::<versions::ListPipelineVersions>(),
    ]
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers() -> Vec<Arc<dyn Reconciler>> {
    vec![Arc::new(drive::Driver)]
}
