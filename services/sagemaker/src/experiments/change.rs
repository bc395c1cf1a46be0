//! UpdateExperiment, UpdateTrial, UpdateTrialComponent, and their deletion.

use serde_json::{Map, Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Cx, Permit, Reply};
use tenantry_store::{Batch, CommitError, Expect, Kind};

use super::{
    create::echoed,
    read::{arn, resolve_component, resolve_experiment, resolve_trial},
    record::{Entity, Noun, OF_COMPONENT, OF_TRIAL},
};
use crate::{
    author,
    error::{conflict, validation},
    operation::operation,
};

/// Parameters of a trial component ("TrialComponentParameters").
const MAX_PARAMETERS: usize = 300;
/// Input or output artifacts of a trial component.
const MAX_ARTIFACTS: usize = 60;

operation!(UpdateExperiment, ["experiment"], Value, resolve_experiment, update_experiment);
operation!(UpdateTrial, ["experiment-trial"], Value, resolve_trial, update_trial);
operation!(UpdateTrialComponent, ["experiment-trial-component"], Value, resolve_component, update_component);
operation!(DeleteExperiment, ["experiment"], Value, resolve_experiment, delete_experiment);
operation!(DeleteTrial, ["experiment-trial"], Value, resolve_trial, delete_trial);
operation!(DeleteTrialComponent, ["experiment-trial-component"], Value, resolve_component, delete_component);

async fn update_experiment(cx: &Cx, permit: Permit<UpdateExperiment>, input: Value) -> Result<Reply> {
    update(cx, permit.scope(), Noun::Experiment, &input).await
}

async fn update_trial(cx: &Cx, permit: Permit<UpdateTrial>, input: Value) -> Result<Reply> {
    update(cx, permit.scope(), Noun::Trial, &input).await
}

async fn update_component(cx: &Cx, permit: Permit<UpdateTrialComponent>, input: Value) -> Result<Reply> {
    update(cx, permit.scope(), Noun::Component, &input).await
}

async fn update(cx: &Cx, scope: &Scope, noun: Noun, input: &Value) -> Result<Reply> {
    let arn = arn(cx, noun, input)?;
    let row = noun.require(&cx.kernel, scope, arn.resource_type_and_id().1).await?;
    let mut entity: Entity = row.body()?;
    if let Some(display) = input.get("DisplayName").and_then(Value::as_str) {
        display.clone_into(&mut entity.display_name);
    }
    for (member, most) in [("Parameters", MAX_PARAMETERS), ("InputArtifacts", MAX_ARTIFACTS), ("OutputArtifacts", MAX_ARTIFACTS)] {
        merge(&mut entity.document, input, member, most)?;
    }
    for (member, value) in echoed(input) {
        if !member.ends_with("ToRemove") && !matches!(member.as_str(), "Parameters" | "InputArtifacts" | "OutputArtifacts") {
            entity.document.insert(member, value);
        }
    }
    entity.modified_by = author::of(&cx.caller);
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()).with(&entity)?);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(conflict("The resource was changed by another request at the same time. Try again.")),
        done => done.map(|()| Reply::new(json!({noun.arn_member(): entity.arn}))).map_err(Into::into),
    }
}

/// Adds the entries of a map, removes those that are to go.
fn merge(document: &mut Map<String, Value>, input: &Value, member: &str, most: usize) -> Result<()> {
    let added = input.get(member).and_then(Value::as_object);
    let removed = input.get(format!("{member}ToRemove")).and_then(Value::as_array);
    if added.is_none() && removed.is_none() {
        return Ok(());
    }
    let entries = document.entry(member).or_insert_with(|| json!({}));
    let Some(entries) = entries.as_object_mut() else { return Ok(()) };
    for key in removed.into_iter().flatten().filter_map(Value::as_str) {
        entries.shift_remove(key);
    }
    entries.extend(added.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    if entries.len() > most {
        return Err(validation(format!("{member} of a trial component has at most {most} entries.")));
    }
    Ok(())
}

async fn delete_experiment(cx: &Cx, permit: Permit<DeleteExperiment>, input: Value) -> Result<Reply> {
    delete(cx, permit.scope(), Noun::Experiment, &input, Noun::Trial.kind(), "Delete all trials associated with the experiment first.")
        .await
}

async fn delete_trial(cx: &Cx, permit: Permit<DeleteTrial>, input: Value) -> Result<Reply> {
    delete(cx, permit.scope(), Noun::Trial, &input, OF_TRIAL, "Disassociate all trial components from the trial first.").await
}

async fn delete_component(cx: &Cx, permit: Permit<DeleteTrialComponent>, input: Value) -> Result<Reply> {
    delete(cx, permit.scope(), Noun::Component, &input, OF_COMPONENT, "Disassociate the trial component from all trials first.").await
}

/// Deletes what has no `children`.
async fn delete(cx: &Cx, scope: &Scope, noun: Noun, input: &Value, children: Kind, first: &str) -> Result<Reply> {
    let arn = arn(cx, noun, input)?;
    let row = noun.require(&cx.kernel, scope, arn.resource_type_and_id().1).await?;
    let mut batch = Batch::new();
    batch.require_none(children, scope, &*row.id);
    batch.delete(noun.kind(), scope, &*row.id, Expect::Present);
    batch.set_tags(arn.as_str(), Vec::new());
    match cx.commit(batch).await {
        Err(CommitError::NotEmpty { .. }) => Err(validation(format!("{arn} cannot be deleted. {first}"))),
        Err(CommitError::NotFound { .. }) => Err(noun.missing(&arn)),
        done => done.map(|()| Reply::new(json!({noun.arn_member(): arn}))).map_err(Into::into),
    }
}
