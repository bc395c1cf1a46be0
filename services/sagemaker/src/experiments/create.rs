//! CreateExperiment, CreateTrial, CreateTrialComponent.

use serde_json::{Map, Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply, tags_of};
use tenantry_store::{Batch, CommitError, Expect};

use super::record::{Entity, Noun};
use crate::{author, operation::operation, tagging};

/// Members of the Create operations that Describe does not echo as they are.
const OWN: [&str; 6] = ["ExperimentName", "TrialName", "TrialComponentName", "DisplayName", "Tags", "ClientToken"];

operation!(CreateExperiment, ["experiment"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], Value, resolve_experiment, experiment);
operation!(CreateTrial, ["experiment-trial", "experiment"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], Value, resolve_trial, trial);
operation!(CreateTrialComponent, ["experiment-trial-component"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sagemaker:AddTags"], Value, resolve_component, component);

pub(super) fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn checks(cx: &Cx, noun: Noun, action: &'static str, creating: &'static str, input: &Value) -> Checks {
    let arn = noun.arn(&cx.scope(), text(input, &noun.name_member()));
    let tags = tags_of(input, "Tags");
    let tag = tagging::on_create(&arn, &tags, creating);
    Checks::from(Check::on(action, arn).request_tags(&tags)).and_if(tag)
}

async fn resolve_experiment(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(checks(cx, Noun::Experiment, action, "CreateExperiment", input))
}

async fn resolve_trial(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let experiment = Noun::Experiment.arn(&cx.scope(), text(input, "ExperimentName"));
    Ok(checks(cx, Noun::Trial, action, "CreateTrial", input).and(Check::on(action, experiment).request_tags(&tags_of(input, "Tags"))))
}

async fn resolve_component(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(checks(cx, Noun::Component, action, "CreateTrialComponent", input))
}

async fn experiment(cx: &Cx, permit: Permit<CreateExperiment>, input: Value) -> Result<Reply> {
    create(cx, permit.scope(), Noun::Experiment, &input, Batch::new(), None).await
}

async fn trial(cx: &Cx, permit: Permit<CreateTrial>, input: Value) -> Result<Reply> {
    let experiment = Noun::Experiment.require(&cx.kernel, permit.scope(), text(&input, "ExperimentName")).await?;
    let mut batch = Batch::new();
    batch.require(Noun::Experiment.kind(), permit.scope(), &*experiment.id, Expect::Present);
    create(cx, permit.scope(), Noun::Trial, &input, batch, Some(experiment.name)).await
}

async fn component(cx: &Cx, permit: Permit<CreateTrialComponent>, input: Value) -> Result<Reply> {
    create(cx, permit.scope(), Noun::Component, &input, Batch::new(), None).await
}

async fn create(
    cx: &Cx,
    scope: &tenantry_core::Scope,
    noun: Noun,
    input: &Value,
    mut batch: Batch,
    experiment: Option<String>,
) -> Result<Reply> {
    let tags = tags_of(input, "Tags");
    tagging::checked(&tags)?;
    let name = text(input, &noun.name_member());
    let mut entity = Entity::new(noun, scope, name, &author::of(&cx.caller));
    if let Some(display) = input.get("DisplayName").and_then(Value::as_str) {
        display.clone_into(&mut entity.display_name);
    }
    entity.document = echoed(input);
    entity.experiment = experiment;
    batch.put(entity.row(noun, scope, cx.now())?, Expect::Absent);
    batch.set_tags(&*entity.arn, tags);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(noun.taken(name)),
        Err(CommitError::NotFound { .. }) => Err(Noun::Experiment.missing(&Noun::Experiment.arn(scope, text(input, "ExperimentName")))),
        done => done.map(|()| Reply::new(json!({noun.arn_member(): entity.arn}))).map_err(Into::into),
    }
}

/// What Describe echoes of a Create or Update request.
pub(super) fn echoed(input: &Value) -> Map<String, Value> {
    let all = input.as_object().into_iter().flatten();
    all.filter(|(member, value)| !OWN.contains(&member.as_str()) && !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
}
