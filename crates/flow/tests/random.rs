//! Random pipelines with random outcomes, told in random order, repeatedly and through crashes.
#![allow(clippy::unwrap_used, reason = "the functions that tests share are tests too")]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use tenantry_core::Timestamp;
use tenantry_flow::pipeline::{
    Definition, Effect, Execution, ExecutionInfo, ExecutionStatus, FailureKind, FileOutcome, Observation, StepKind, bind,
};

/// One step: its type, which earlier steps it waits for, and how it ends.
#[derive(Debug, Clone)]
struct Plan {
    kind: u8,
    waits: u16,
    /// Whether it waits by reading a property rather than by `DependsOn`.
    refers: bool,
    /// Which enclosing Condition step and branch, if any.
    parent: Option<(u8, bool)>,
    ending: u8,
    cached: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    (0..5_u8, any::<u16>(), any::<bool>(), proptest::option::of((any::<u8>(), any::<bool>())), 0..8_u8, any::<bool>())
        .prop_map(|(kind, waits, refers, parent, ending, cached)| Plan { kind, waits, refers, parent, ending, cached })
}

/// Steps, and choices of conditions.
type Needs = (Vec<String>, Vec<(String, bool)>);

/// What a random pipeline looks like, beside its text.
struct World {
    definition: Definition,
    /// For every step, the steps that must have succeeded and the choices that must have been made.
    needs: HashMap<String, Needs>,
    endings: HashMap<String, u8>,
}

fn world(plans: &[Plan]) -> World {
    let name = |index: usize| format!("s{index}");
    // Which condition's branch each step is in; conditions stay at the top.
    let is_condition = |index: usize| plans[index].kind == 1;
    let parents: Vec<Option<(usize, bool)>> = (0..plans.len())
        .map(|index| {
            let (parent, branch) = plans[index].parent?;
            let conditions: Vec<usize> = (0..index).filter(|&other| is_condition(other)).collect();
            (!is_condition(index) && !conditions.is_empty()).then(|| (conditions[usize::from(parent) % conditions.len()], branch))
        })
        .collect();
    let mut needs = HashMap::new();
    let mut steps: Vec<Value> = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let waits: Vec<usize> = (0..index)
            .filter(|other| plan.waits >> other & 1 == 1 && (parents[*other].is_none() || parents[*other] == parents[index]))
            .collect();
        let reports: Vec<usize> = waits.iter().copied().filter(|&other| plans[other].kind == 2).collect();
        let mut step = json!({"Name": name(index), "DependsOn": waits.iter().map(|&other| name(other)).collect::<Vec<_>>()});
        let read =
            |other: usize| json!({"Std:JsonGet": {"PropertyFile": {"Get": format!("Steps.{}.PropertyFiles.R", name(other))}, "Path": "v"}});
        (step["Type"], step["Arguments"]) = match plan.kind {
            1 => {
                let left = reports.first().map_or_else(|| json!(i64::from(plan.ending) % 2), |&other| read(other));
                (
                    json!("Condition"),
                    json!({"Conditions": [{"Type": "Equals", "LeftValue": left, "RightValue": 1}], "IfSteps": [], "ElseSteps": []}),
                )
            }
            2 => {
                step["PropertyFiles"] = json!([{"PropertyFileName": "R", "OutputName": "o", "FilePath": "r.json"}]);
                (json!("Processing"), json!({"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o"}]}}))
            }
            3 => (json!("Fail"), json!({"ErrorMessage": "on purpose"})),
            4 => (json!("RegisterModel"), json!({"N": reports.first().map(|&other| read(other))})),
            _ => {
                if plan.cached {
                    step["CacheConfig"] = json!({"Enabled": true});
                }
                (json!("Training"), json!({}))
            }
        };
        if plan.refers && plan.kind != 1 {
            let references: Vec<Value> = waits
                .iter()
                .map(|&other| json!({"Get": format!("Steps.{}.{}", name(other), if is_condition(other) { "Outcome" } else { "Value" })}))
                .collect();
            step["Arguments"]["References"] = json!(references);
            step["DependsOn"] = json!([]);
        }
        needs.insert(
            name(index),
            (
                waits.into_iter().map(name).collect(),
                parents[index].map(|(condition, branch)| (name(condition), branch)).into_iter().collect(),
            ),
        );
        steps.push(step);
    }
    let mut top: Vec<Value> = Vec::new();
    for index in (0..steps.len()).rev() {
        let step = std::mem::take(&mut steps[index]);
        match parents[index] {
            Some((condition, branch)) => {
                steps[condition]["Arguments"][if branch { "IfSteps" } else { "ElseSteps" }].as_array_mut().unwrap().push(step)
            }
            None => top.push(step),
        }
    }
    let text = json!({"Version": "2020-12-01", "Steps": top}).to_string();
    World {
        definition: Definition::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        needs,
        endings: plans.iter().enumerate().map(|(index, plan)| (name(index), plan.ending)).collect(),
    }
}

fn execution(world: &World, max_parallel_steps: Option<u32>) -> Execution {
    let info = ExecutionInfo {
        pipeline_name: "P".into(),
        pipeline_arn: "arn:p".into(),
        execution_id: "abcdefghijkl".into(),
        execution_arn: "arn:p/execution/abcdefghijkl".into(),
        start: Timestamp::from_secs(0),
        max_parallel_steps,
    };
    Execution::new(bind(&world.definition, &[]).unwrap(), info)
}

fn outputs(step: &str) -> Value {
    json!({"Value": step, "Number": 0.1, "ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "S3Output": {"S3Uri": format!("s3://b/{step}")}}]}})
}

/// What the world answers to an effect, soon and later.
fn answers(world: &World, effect: &Effect) -> Vec<Observation> {
    match effect {
        Effect::StartStep { step, attempt, .. } => {
            let (step, attempt) = (step.clone(), *attempt);
            let failed = |kind| Observation::StepFailed { step: step.clone(), attempt, reason: "broke".into(), kind };
            let end = match world.endings[&step] {
                0 => failed(None),
                1 => failed(Some(FailureKind::Throttling)),
                2 if attempt == 1 => failed(Some(FailureKind::ServiceFault)),
                3 => Observation::StepStopped { step: step.clone(), attempt },
                _ => Observation::StepSucceeded { outputs: outputs(&step), step: step.clone(), attempt },
            };
            vec![Observation::StepStarted { arn: format!("arn:{step}"), step, attempt }, end]
        }
        Effect::StopStep { step, attempt, .. } => vec![Observation::StepStopped { step: step.clone(), attempt: *attempt }],
        Effect::ReadPropertyFile { step, file, .. } => {
            let outcome =
                if world.endings[step] == 7 { FileOutcome::Error("gone".into()) } else { FileOutcome::Content("{\"v\": 1}".into()) };
            vec![Observation::PropertyFileRead { step: step.clone(), file: file.clone(), outcome }]
        }
        Effect::LookupCache { step, attempt, .. } => {
            let (step, attempt) = (step.clone(), *attempt);
            vec![match world.endings[&step] {
                4 => Observation::CacheHit { outputs: outputs(&step), step, attempt, source_execution_arn: "arn:old".into() },
                _ => Observation::CacheMiss { step, attempt },
            }]
        }
        Effect::Finished { .. } => vec![],
    }
}

/// Checks what was asked for against what was known before.
fn check(world: &World, execution: &Execution, effects: &[Effect], started: &mut Vec<(String, u32)>) {
    for effect in effects {
        let Effect::StartStep { step, attempt, kind, .. } = effect else { continue };
        assert_ne!(*kind, StepKind::Condition);
        assert!(!started.contains(&(step.clone(), *attempt)), "{step} started twice in attempt {attempt}");
        started.push((step.clone(), *attempt));
        let (waits, choices) = &world.needs[step];
        for other in waits {
            assert!(execution.step(other).is_some_and(|record| record.outputs.is_some()), "{step} started before {other} succeeded");
        }
        for (condition, branch) in choices {
            assert_eq!(execution.step(condition).and_then(|record| record.outcome), Some(*branch), "{step} started in the wrong branch");
        }
    }
}

struct Journey {
    world: World,
    execution: Execution,
    effects: Vec<Effect>,
}

/// Drives an execution to its end. `choices` decides, at every turn, which pending observation comes next
/// and whether the execution is stopped; `crash` writes and reads the state between any two turns.
fn drive(plans: &[Plan], choices: &[u16], stop_at: Option<usize>, max_parallel: Option<u32>, crash: bool, repeat: bool) -> Journey {
    let world = world(plans);
    let mut execution = execution(&world, max_parallel);
    let (mut pending, mut started, mut all) = (Vec::<Observation>::new(), Vec::new(), Vec::new());
    let mut now = 0;
    for turn in 0..2000 {
        now += 1;
        let mut told = Vec::new();
        if stop_at == Some(turn) {
            told.push(Observation::StopRequested);
        } else if turn > 0 && !pending.is_empty() {
            told.push(pending.remove(usize::from(choices[turn % choices.len()]) % pending.len()));
        } else if let Some(wake) = execution.next_wake() {
            now = now.max(wake.secs() + 1);
        }
        if crash {
            let text = serde_json::to_string(&execution).unwrap();
            let read: Execution = serde_json::from_str(&text).unwrap();
            assert_eq!(read, execution, "a state reads back as it was written");
            execution = read;
        }
        let effects = execution.advance(&world.definition, &told, Timestamp::from_secs(now));
        check(&world, &execution, &effects, &mut started);
        if let Some(max) = max_parallel {
            let active = execution.steps().iter().filter(|record| record.end.is_none()).count();
            assert!(active <= usize::try_from(max).unwrap(), "{active} steps at once");
        }
        if repeat {
            let before = execution.clone();
            assert_eq!(execution.advance(&world.definition, &told, Timestamp::from_secs(now)), [], "told twice: {told:?}");
            assert_eq!(execution, before, "told twice: {told:?}");
        }
        for effect in &effects {
            pending.extend(answers(&world, effect));
        }
        all.extend(effects);
        if execution.status().is_final() {
            return Journey { world, execution, effects: all };
        }
    }
    panic!("does not end: {execution:?}");
}

fn choices() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(any::<u16>(), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn executions_end_and_keep_the_order(plans in proptest::collection::vec(plan(), 1..12), choices in choices(), stop_at in proptest::option::of(0..20_usize), max in proptest::option::of(1..4_u32)) {
        let journey = drive(&plans, &choices, stop_at, max, false, true);
        let last = journey.effects.iter().filter(|effect| matches!(effect, Effect::Finished { .. })).count();
        prop_assert_eq!(last, 1, "the end is told once");
        prop_assert!(journey.execution.steps().iter().all(|record| record.end.is_some()));
        if journey.execution.status() == ExecutionStatus::Succeeded {
            // Whatever was not run was in a branch that was not chosen.
            for step in journey.world.definition.steps() {
                let chosen = journey.world.needs[&step.name].1.iter().all(|(condition, branch)| journey.execution.step(condition).unwrap().outcome == Some(*branch));
                prop_assert_eq!(journey.execution.step(&step.name).is_some_and(|record| record.outputs.is_some()), chosen, "{}", &step.name);
            }
        }
    }

    #[test]
    fn a_crash_between_any_two_turns_changes_nothing(plans in proptest::collection::vec(plan(), 1..12), choices in choices(), stop_at in proptest::option::of(0..20_usize)) {
        let calm = drive(&plans, &choices, stop_at, None, false, false);
        let crashed = drive(&plans, &choices, stop_at, None, true, false);
        prop_assert_eq!(calm.execution, crashed.execution);
        prop_assert_eq!(calm.effects, crashed.effects);
    }

    #[test]
    fn an_execution_without_failures_succeeds(mut plans in proptest::collection::vec(plan(), 1..12), choices in choices(), max in proptest::option::of(1..4_u32)) {
        for plan in &mut plans {
            plan.ending = 4 + plan.ending % 3;
            if plan.kind == 3 {
                plan.kind = 0;
            }
        }
        prop_assert_eq!(drive(&plans, &choices, None, max, true, true).execution.status(), ExecutionStatus::Succeeded);
    }

    #[test]
    fn a_retried_execution_ends_too(plans in proptest::collection::vec(plan(), 1..12), choices in choices()) {
        let mut journey = drive(&plans, &choices, None, None, false, false);
        if journey.execution.status() == ExecutionStatus::Failed {
            let succeeded: Vec<String> = journey.execution.steps().iter().filter(|record| record.outputs.is_some()).map(|record| record.name.clone()).collect();
            journey.execution.retry().unwrap();
            // Everything mends.
            for ending in journey.world.endings.values_mut() {
                *ending = 4;
            }
            let (mut effects, mut now) = (Vec::new(), 1_000_000);
            let mut told = Vec::new();
            while !journey.execution.status().is_final() {
                now += 1;
                effects = journey.execution.advance(&journey.world.definition, &told, Timestamp::from_secs(now));
                for effect in &effects {
                    if let Effect::StartStep { step, attempt, .. } = effect {
                        prop_assert!(!succeeded.contains(step), "{} had succeeded", step);
                        let again = journey.effects.iter().any(|earlier| matches!(earlier, Effect::StartStep { step: other, .. } if other == step));
                        prop_assert!(*attempt > 1 || !again, "{} reuses its first attempt", step);
                    }
                }
                told = effects.iter().flat_map(|effect| answers(&journey.world, effect)).collect();
            }
            let on_purpose = journey.execution.steps().iter().any(|record| record.kind == StepKind::Fail);
            let status = if on_purpose { ExecutionStatus::Failed } else { ExecutionStatus::Succeeded };
            prop_assert!(matches!(effects.last(), Some(Effect::Finished { status: ended, .. }) if *ended == status), "{:?}", effects.last());
        }
    }

    #[test]
    fn nonsense_is_refused_not_followed(text in "\\PC{0,200}") {
        prop_assert!(Definition::parse(&text).is_err());
        let _ = tenantry_flow::pipeline::reference::get(&text);
        let _ = tenantry_flow::pipeline::reference::parse_path(&text);
        let _ = tenantry_flow::pipeline::cache::duration(&text);
    }
}
