//! Selective execution ("Selective execution of pipeline steps"): runs some steps of a pipeline and takes
//! what they depend on from an earlier execution.
//!
//! Finding the earlier execution (`SourcePipelineExecutionArn`) is the caller's. A step between two selected ones must be
//! selected too: what an earlier execution made of it would not be what the first of the two makes now.

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
        if let Some(between) = left_out_between(definition, &selected) {
            return Err(format!(
                "Invalid SelectiveExecutionConfig: step [{between}] stands between selected steps and must be selected too"
            ));
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

/// A step that is not selected, depends on a selected one and is one that a selected one depends on.
fn left_out_between<'a>(definition: &'a Definition, selected: &BTreeSet<String>) -> Option<&'a str> {
    let chosen: Vec<bool> = definition.steps.iter().map(|step| selected.contains(&step.name)).collect();
    let before = |index: usize| {
        let step = &definition.steps[index];
        step.dependencies.iter().copied().chain(step.scope.iter().map(|&(condition, _)| condition))
    };
    // Whoever is reached from a selected step going backwards, and whether a selected step is reached from it in turn.
    let reach = |from: usize| {
        let (mut seen, mut open) = (vec![false; chosen.len()], vec![from]);
        while let Some(at) = open.pop() {
            for next in before(at) {
                if !std::mem::replace(&mut seen[next], true) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let needed: Vec<Vec<bool>> = (0..chosen.len()).map(reach).collect();
    let between = (0..chosen.len()).find(|&step| {
        let rests_on_chosen = needed[step].iter().zip(&chosen).any(|(reached, chosen)| *reached && *chosen);
        let chosen_rests_on = (0..chosen.len()).any(|other| chosen[other] && needed[other][step]);
        !chosen[step] && rests_on_chosen && chosen_rests_on
    });
    between.map(|step| definition.steps[step].name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_stands_between_selected_steps_is_selected_too() {
        let step = |name: &str, after: &[&str]| json!({"Name": name, "Type": "Training", "Arguments": {}, "DependsOn": after});
        let inside = json!({"Name": "gate", "Type": "Condition", "DependsOn": ["b"], "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], "IfSteps": [step("in", &[])], "ElseSteps": []}});
        let steps: Vec<Value> = vec![step("a", &[]), step("b", &["a"]), step("c", &["b"]), step("other", &[]), inside];
        let definition = Definition::parse(&json!({"Version": "2020-12-01", "Steps": steps}).to_string()).unwrap();
        let between = |names: &[&str]| left_out_between(&definition, &names.iter().map(|name| (*name).to_owned()).collect());
        for (selected, wanted) in [
            (&["a", "c"][..], Some("b")),
            (&["a", "b", "c"], None),
            (&["b", "c"], None),
            (&["a", "other"], None),
            (&["c"], None),
            (&["a", "b", "in"], Some("gate")),
            (&["in", "gate", "b"], None),
        ] {
            assert_eq!(between(selected), wanted, "{selected:?}");
        }
    }
}
