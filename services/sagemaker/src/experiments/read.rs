//! DescribeExperiment, DescribeTrial, DescribeTrialComponent, and their lists.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::Row;

use super::{
    create::text,
    record::{Entity, Noun, OF_COMPONENT, OF_TRIAL, associations},
};
use crate::{
    listing::{self, Filter, Shape},
    operation::operation,
    pipelines::members,
};

operation!(DescribeExperiment, ["experiment"], Value, resolve_experiment, experiment);
operation!(DescribeTrial, ["experiment-trial"], Value, resolve_trial, trial);
operation!(DescribeTrialComponent, ["experiment-trial-component"], Value, resolve_component, component);

/// The ARN that a request names.
pub(super) fn arn(cx: &Cx, noun: Noun, input: &Value) -> Result<Arn> {
    noun.named(cx, text(input, &noun.name_member()))
}

pub(super) async fn resolve_experiment(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(cx, Noun::Experiment, input)?).into())
}

pub(super) async fn resolve_trial(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(cx, Noun::Trial, input)?).into())
}

pub(super) async fn resolve_component(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(Check::on(action, arn(cx, Noun::Component, input)?).into())
}

async fn experiment(cx: &Cx, permit: Permit<DescribeExperiment>, input: Value) -> Result<Reply> {
    describe(cx, permit.scope(), Noun::Experiment, &input).await
}

async fn trial(cx: &Cx, permit: Permit<DescribeTrial>, input: Value) -> Result<Reply> {
    describe(cx, permit.scope(), Noun::Trial, &input).await
}

async fn component(cx: &Cx, permit: Permit<DescribeTrialComponent>, input: Value) -> Result<Reply> {
    describe(cx, permit.scope(), Noun::Component, &input).await
}

async fn describe(cx: &Cx, scope: &Scope, noun: Noun, input: &Value) -> Result<Reply> {
    let arn = arn(cx, noun, input)?;
    let row = noun.require(&cx.kernel, scope, arn.resource_type_and_id().1).await?;
    let entity: Entity = row.body()?;
    Ok(Reply::new(entity.document(noun, &row).into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    experiment_name: Option<String>,
    trial_name: Option<String>,
    trial_component_name: Option<String>,
    source_arn: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

operation!(ListExperiments, ["*"], ListInput, resolve_list, experiments);
operation!(ListTrials, ["*"], ListInput, resolve_list, trials);
operation!(ListTrialComponents, ["*"], ListInput, resolve_list, components);

async fn resolve_list(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn experiments(cx: &Cx, permit: Permit<ListExperiments>, input: ListInput) -> Result<Reply> {
    list(cx, permit.scope(), Noun::Experiment, "ExperimentSummaries", &input.filter, |_| true).await
}

async fn trials(cx: &Cx, permit: Permit<ListTrials>, input: ListInput) -> Result<Reply> {
    let (kernel, scope) = (&cx.kernel, permit.scope());
    let experiment = match &input.experiment_name {
        Some(name) => Some(Noun::Experiment.require(kernel, scope, name).await?.id),
        None => None,
    };
    let of = match &input.trial_component_name {
        Some(name) => {
            let component = Noun::Component.require(kernel, scope, name).await?;
            let all = associations(kernel, scope, OF_COMPONENT, &component.id).await?;
            Some(all.into_iter().map(|one| one.trial.to_lowercase()).collect::<HashSet<_>>())
        }
        None => None,
    };
    let kept = |row: &Row| experiment.as_ref().is_none_or(|id| row.parent == *id) && of.as_ref().is_none_or(|ids| ids.contains(&row.id));
    list(cx, scope, Noun::Trial, "TrialSummaries", &input.filter, kept).await
}

async fn components(cx: &Cx, permit: Permit<ListTrialComponents>, input: ListInput) -> Result<Reply> {
    let (kernel, scope) = (&cx.kernel, permit.scope());
    let mut of: Option<HashSet<String>> = None;
    if let Some(name) = &input.trial_name {
        let trial = Noun::Trial.require(kernel, scope, name).await?;
        of = Some(associations(kernel, scope, OF_TRIAL, &trial.id).await?.into_iter().map(|one| one.component.to_lowercase()).collect());
    }
    if let Some(name) = &input.experiment_name {
        let experiment = Noun::Experiment.require(kernel, scope, name).await?;
        let mut of_experiment = HashSet::new();
        for trial in kernel.store().list(&tenantry_store::List::of(Noun::Trial.kind(), scope).parent(&experiment.id)).await? {
            of_experiment
                .extend(associations(kernel, scope, OF_TRIAL, &trial.id).await?.into_iter().map(|one| one.component.to_lowercase()));
        }
        of = Some(match of {
            Some(of_trial) => of_trial.intersection(&of_experiment).cloned().collect(),
            None => of_experiment,
        });
    }
    let source = |row: &Row| -> Option<String> { Some(row.body::<Entity>().ok()?.source?.get("SourceArn")?.as_str()?.to_owned()) };
    let kept = |row: &Row| {
        of.as_ref().is_none_or(|ids| ids.contains(&row.id))
            && input.source_arn.as_ref().is_none_or(|wanted| source(row).is_some_and(|arn| arn == *wanted))
    };
    list(cx, scope, Noun::Component, "TrialComponentSummaries", &input.filter, kept).await
}

async fn list(cx: &Cx, scope: &Scope, noun: Noun, member: &str, filter: &Filter, kept: impl Fn(&Row) -> bool) -> Result<Reply> {
    let page = listing::page(cx, scope, Shape::of(noun.kind()), filter, kept).await?;
    let mut summaries = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        summaries.push(Value::from(row.body::<Entity>()?.summary(noun, row)));
    }
    Ok(Reply::new(members([(member, Some(summaries.into())), ("NextToken", page.next_token.map(Value::from))]).into()))
}
