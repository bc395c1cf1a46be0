//! How the parts of a definition relate: names are unique, references have targets, no step waits for itself.
//!
//! A step may wait for steps beside it or around it, never for one inside a branch it is not in: that one
//! may never run.

use super::{
    definition::{Definition, Step},
    reference::{Reference, shorten, walk},
};
use serde_json::Value;
use std::collections::HashMap;

/// Fills in the dependencies of every step; the second part is what is wrong, empty if nothing.
#[must_use]
pub fn link(mut definition: Definition) -> (Definition, Vec<String>) {
    let mut problems = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for (position, step) in definition.steps.iter().enumerate() {
        if index.insert(step.name.clone(), position).is_some() {
            problems.push(format!("step names must be unique: [{}] appears more than once", step.name));
        }
    }
    if !problems.is_empty() {
        return (definition, problems);
    }
    let mut linked = Vec::with_capacity(definition.steps.len());
    for step in &definition.steps {
        linked.push(dependencies(&definition, &index, step, &mut problems));
        property_files(step, &mut problems);
    }
    for (step, dependencies) in definition.steps.iter_mut().zip(linked) {
        step.dependencies = dependencies;
    }
    experiment(&definition, &mut problems);
    if problems.is_empty()
        && let Some(cycle) = cycle(&definition.steps)
    {
        let names: Vec<&str> = cycle.iter().map(|&step| definition.steps[step].name.as_str()).collect();
        problems.push(format!("steps depend on each other in a cycle: [{}]", names.join(" -> ")));
    }
    (definition, problems)
}

fn dependencies(definition: &Definition, index: &HashMap<String, usize>, step: &Step, problems: &mut Vec<String>) -> Vec<usize> {
    let mut found = Vec::new();
    let mut depend = |name: &str, how: &str, problems: &mut Vec<String>| match index.get(name) {
        None => problems.push(format!("step [{}]: {how} [{}] does not exist", step.name, shorten(name))),
        Some(&target) if !step.scope.starts_with(&definition.steps[target].scope) => {
            problems.push(format!("step [{}] cannot depend on step [{name}], which is inside a branch of a condition", step.name));
        }
        Some(&target) => found.push(target),
    };
    for name in &step.depends_on {
        depend(name, "the step in [DependsOn]", problems);
    }
    for reference in &step.references {
        match reference {
            Reference::Parameter(name) => parameter(definition, name, &format!("step [{}]", step.name), problems),
            Reference::Execution(_) => {}
            Reference::Step { step: name, .. } => depend(name, "the referenced step", problems),
            Reference::PropertyFile { step: name, file } => {
                depend(name, "the referenced step", problems);
                let target = index.get(name).map(|&target| &definition.steps[target]);
                if target.is_some_and(|target| target.property_files.iter().all(|known| known.name != *file)) {
                    problems.push(format!("step [{}]: step [{name}] has no property file [{}]", step.name, shorten(file)));
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn parameter(definition: &Definition, name: &str, place: &str, problems: &mut Vec<String>) {
    if definition.parameters.iter().all(|parameter| parameter.name != name) {
        problems.push(format!("{place}: parameter [{}] is not defined in the pipeline", shorten(name)));
    }
}

fn property_files(step: &Step, problems: &mut Vec<String>) {
    for (position, file) in step.property_files.iter().enumerate() {
        if step.property_files[..position].iter().any(|other| other.name == file.name) {
            problems.push(format!("step [{}]: property file [{}] appears more than once", step.name, shorten(&file.name)));
        }
        let outputs = step.arguments.pointer("/ProcessingOutputConfig/Outputs").and_then(Value::as_array);
        if !outputs
            .is_some_and(|outputs| outputs.iter().any(|output| output.get("OutputName").and_then(Value::as_str) == Some(&file.output)))
        {
            problems.push(format!(
                "step [{}]: property file [{}] names output [{}], which the step does not have",
                step.name,
                shorten(&file.name),
                shorten(&file.output)
            ));
        }
    }
}

fn experiment(definition: &Definition, problems: &mut Vec<String>) {
    let Some((experiment, trial)) = &definition.experiment else { return };
    let (mut references, mut wrong) = (Vec::new(), Vec::new());
    for value in [experiment, trial] {
        walk(value, &mut |reference| references.push(reference), &mut |problem| wrong.push(problem));
    }
    problems.extend(wrong.into_iter().map(|problem| format!("PipelineExperimentConfig: {problem}")));
    for reference in references {
        match reference {
            Reference::Parameter(name) => parameter(definition, &name, "PipelineExperimentConfig", problems),
            Reference::Execution(_) => {}
            Reference::Step { step, .. } | Reference::PropertyFile { step, .. } => {
                problems.push(format!("PipelineExperimentConfig cannot refer to step [{}]", shorten(&step)));
            }
        }
    }
}

/// A cycle among dependencies, its first step repeated at the end.
fn cycle(steps: &[Step]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    // At most MAX_STEPS deep.
    fn visit(steps: &[Step], at: usize, marks: &mut [Mark], path: &mut Vec<usize>) -> Option<Vec<usize>> {
        match marks[at] {
            Mark::Done => return None,
            Mark::Open => {
                let start = path.iter().position(|&step| step == at).unwrap_or(0);
                return Some(path[start..].iter().copied().chain([at]).collect());
            }
            Mark::New => {}
        }
        marks[at] = Mark::Open;
        path.push(at);
        // A step of a branch also waits for the condition that chooses it.
        let parent = steps[at].scope.last().map(|&(condition, _)| condition);
        for &next in steps[at].dependencies.iter().chain(parent.as_ref()) {
            if let Some(cycle) = visit(steps, next, marks, path) {
                return Some(cycle);
            }
        }
        path.pop();
        marks[at] = Mark::Done;
        None
    }
    let mut marks = vec![Mark::New; steps.len()];
    (0..steps.len()).find_map(|step| visit(steps, step, &mut marks, &mut Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, StepKind};
    use serde_json::{Value, json};

    fn step(name: &str, arguments: Value) -> Value {
        json!({"Name": name, "Type": "Training", "Arguments": arguments})
    }

    fn after(name: &str, others: &[&str]) -> Value {
        json!({"Name": name, "Type": "Training", "Arguments": {}, "DependsOn": others})
    }

    fn choice(name: &str, left: Value, then: Value, otherwise: Value) -> Value {
        json!({"Name": name, "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Equals", "LeftValue": left, "RightValue": 1}], "IfSteps": then, "ElseSteps": otherwise}})
    }

    fn evaluation() -> Value {
        json!({"Name": "eval", "Type": "Processing", "Arguments": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o"}]}},
            "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "o", "FilePath": "r.json"}]})
    }

    fn json_get(step: &str, file: &str) -> Value {
        json!({"Std:JsonGet": {"PropertyFile": {"Get": format!("Steps.{step}.PropertyFiles.{file}")}, "Path": "a.b"}})
    }

    fn parse(steps: Value) -> Result<Definition, String> {
        Definition::parse(&json!({"Version": "2020-12-01", "Metadata": {}, "Parameters": [{"Name": "p"}], "Steps": steps}).to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn dependencies_come_from_depends_on_and_from_references() {
        let definition = parse(json!([
            choice("c", json_get("eval", "Report"), json!([after("in", &["t"]), after("in2", &["in", "c"])]), json!([])),
            step("use", json!({"A": [{"Std:Join": {"Values": [{"Get": "Steps.t.X"}, {"Get": "Parameters.p"}]}}]})),
            after("t", &[]),
            evaluation(),
        ]))
        .unwrap();
        let waits = |name: &str| -> Vec<&str> {
            definition.step(name).unwrap().dependencies.iter().map(|&index| definition.steps()[index].name.as_str()).collect()
        };
        assert_eq!(waits("use"), ["t"]);
        assert_eq!(waits("c"), ["eval"]);
        assert_eq!(waits("in"), ["t"]);
        assert_eq!(waits("in2"), ["c", "in"]);
        assert_eq!(definition.step("in").unwrap().scope, [(0, true)]);
        assert_eq!(definition.step("c").unwrap().kind, StepKind::Condition);
    }

    #[test]
    fn relations_that_cannot_hold_are_refused() {
        for (steps, wanted) in [
            (json!([after("a", &[]), after("a", &[])]), "[a] appears more than once"),
            (json!([after("a", &[]), choice("c", json!(1), json!([after("a", &[])]), json!([]))]), "[a] appears more than once"),
            (json!([choice("c", json!(1), json!([after("a", &[])]), json!([after("a", &[])]))]), "[a] appears more than once"),
            (json!([after("a", &["b"])]), "step [a]: the step in [DependsOn] [b] does not exist"),
            (json!([step("a", json!({"X": {"Get": "Steps.b.Y"}}))]), "step [a]: the referenced step [b] does not exist"),
            (json!([step("a", json!({"X": {"Get": "Parameters.q"}}))]), "step [a]: parameter [q] is not defined"),
            (json!([after("a", &["a"])]), "cycle: [a -> a]"),
            (json!([after("a", &["b"]), after("b", &["c"]), step("c", json!({"X": {"Get": "Steps.a.Y"}}))]), "cycle: [a -> b -> c -> a]"),
            (
                json!([choice("c", json!(1), json!([after("in", &[])]), json!([])), after("out", &["in"])]),
                "step [out] cannot depend on step [in]",
            ),
            (
                json!([choice("c", json!(1), json!([after("yes", &[])]), json!([after("no", &["yes"])]))]),
                "step [no] cannot depend on step [yes]",
            ),
            (
                json!([choice("c", json!({"Get": "Steps.in.X"}), json!([after("in", &[])]), json!([]))]),
                "step [c] cannot depend on step [in]",
            ),
            (
                json!([evaluation(), choice("c", json_get("eval", "Other"), json!([]), json!([]))]),
                "step [eval] has no property file [Other]",
            ),
            (
                json!([after("t", &[]), choice("c", json_get("t", "Report"), json!([]), json!([]))]),
                "step [t] has no property file [Report]",
            ),
            (
                json!([evaluation(), step("a", json!({"X": {"Get": "Steps.eval.PropertyFiles.Report"}}))]),
                "can only be read by [Std:JsonGet]",
            ),
            (
                json!([{"Name": "p", "Type": "Processing", "Arguments": {}, "PropertyFiles": [{"PropertyFileName": "R", "OutputName": "o", "FilePath": "r"}]}]),
                "names output [o], which the step does not have",
            ),
        ] {
            let error = parse(steps.clone()).unwrap_err();
            assert!(error.contains(wanted), "{steps}: {error}");
        }
    }
}
