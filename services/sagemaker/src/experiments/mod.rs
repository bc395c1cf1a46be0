//! Experiments: experiments, their trials, the components of trials, and Search over these and more.
//!
//! A job that names an experiment leaves a trial component behind ([`record_job`]); it belongs to a trial
//! by an association, of which there may be several. Names are unique without case.
//!
//! Rows: `sagemaker.experiment`, `sagemaker.trial` (parent: the experiment), `sagemaker.trial-component`,
//! and one `sagemaker.trial-association` and `sagemaker.component-trial` per association, one to be found
//! by trial and one by component.

mod associate;
mod change;
mod create;
mod filter;
mod job;
mod read;
mod record;
mod search;
mod suggest;
#[cfg(test)]
mod tests;
mod track;

use tenantry_kernel::OperationRow;

pub use job::record_described;
pub use track::{JobRun, check_config, record_job};

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<create::CreateExperiment>(),
        OperationRow::of::<create::CreateTrial>(),
        OperationRow::of::<create::CreateTrialComponent>(),
        OperationRow::of::<read::DescribeExperiment>(),
        OperationRow::of::<read::DescribeTrial>(),
        OperationRow::of::<read::DescribeTrialComponent>(),
        OperationRow::of::<read::ListExperiments>(),
        OperationRow::of::<read::ListTrials>(),
        OperationRow::of::<read::ListTrialComponents>(),
        OperationRow::of::<change::UpdateExperiment>(),
        OperationRow::of::<change::UpdateTrial>(),
        OperationRow::of::<change::UpdateTrialComponent>(),
        OperationRow::of::<change::DeleteExperiment>(),
        OperationRow::of::<change::DeleteTrial>(),
        OperationRow::of::<change::DeleteTrialComponent>(),
        OperationRow::of::<associate::AssociateTrialComponent>(),
        OperationRow::of::<associate::DisassociateTrialComponent>(),
        OperationRow::of::<search::Search>(),
        OperationRow::of::<suggest::GetSearchSuggestions>(),
    ]
}
