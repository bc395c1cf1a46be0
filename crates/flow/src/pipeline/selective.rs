//! Selective execution ("Selective execution of pipeline steps"): runs some steps of a pipeline and takes
//! what they depend on from an earlier execution.
//!
//! Finding the earlier execution (the latest one, or `SourcePipelineExecutionArn`) is the caller's.

use super::{
    definition::Definition,
    execution::{Execution, ExecutionInfo, Phase, StepRecord},
    parameters::Bound,
};
use std::collections::BTreeSet;

impl Execution {
    /// An execution of only the `selected` steps. Steps they depend on, and the conditions around them, must
    /// be selected too or have succeeded in `source`.
    ///
    /// # Errors
    /// The text of a ValidationException: an unknown step, or a dependency that nothing provides.
    pub fn selecting(
        definition: &Definition,
        parameters: Bound,
        info: ExecutionInfo,
        selected: &[String],
        source: Option<&Self>,
    ) -> Result<Self, String> {
        let selected: BTreeSet<String> = selected.iter().cloned().collect();
        if let Some(unknown) = selected.iter().find(|name| definition.step(name).is_none()) {
            return Err(format!("Invalid SelectiveExecutionConfig: the pipeline has no step [{}]", super::reference::shorten(unknown)));
        }
        let steps = definition.steps.iter().filter(|step| selected.contains(&step.name));
        let needed: BTreeSet<usize> =
            steps.flat_map(|step| step.dependencies.iter().copied().chain(step.scope.iter().map(|&(condition, _)| condition))).collect();
        let names = needed.into_iter().map(|index| definition.steps[index].name.as_str()).filter(|name| !selected.contains(*name));
        let (mut taken, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match source.and_then(|source| Some((source, source.step(name).filter(|record| record.phase == Phase::Succeeded)?))) {
                Some((source, record)) => {
                    taken.push(StepRecord { selective_source: Some(source.info.execution_arn.clone()), ..record.clone() })
                }
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            let arn = source.map_or("null", |source| &source.info.execution_arn);
            let selected: Vec<&str> = selected.iter().map(String::as_str).collect();
            return Err(format!(
                "Invalid SourcePipelineExecutionArn: {arn}. The selected steps [{}] have dependencies on [{}]",
                selected.join(", "),
                missing.join(", ")
            ));
        }
        let mut execution = Self::new(parameters, info);
        (execution.steps, execution.selected) = (taken, Some(selected));
        Ok(execution)
    }
}
