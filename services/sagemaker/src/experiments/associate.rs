//! AssociateTrialComponent, DisassociateTrialComponent.

use serde_json::{Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};
use tenantry_store::{Batch, ByScope, CommitError, Expect};

use super::{
    create::text,
    record::{Association, Noun, OF_TRIAL, associations},
};
use crate::{
    error::{limit, not_found},
    operation::operation,
};

/// Components of a trial ("Amazon SageMaker endpoints and quotas").
const MAX_COMPONENTS: u64 = 300;

operation!(AssociateTrialComponent, ["experiment-trial", "experiment-trial-component"], Value, resolve, associate);
operation!(DisassociateTrialComponent, ["experiment-trial", "experiment-trial-component"], Value, resolve, disassociate);

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    let trial = Noun::Trial.arn(&cx.scope(), text(input, "TrialName"));
    let component = Noun::Component.arn(&cx.scope(), text(input, "TrialComponentName"));
    Ok(Checks::from(Check::on(action, trial)).and(Check::on(action, component)))
}

async fn named(cx: &Cx, scope: &Scope, input: &Value) -> Result<(Association, String, String)> {
    let trial = Noun::Trial.require(&cx.kernel, scope, text(input, "TrialName")).await?;
    let component = Noun::Component.require(&cx.kernel, scope, text(input, "TrialComponentName")).await?;
    let entity: super::record::Entity = trial.body()?;
    let association = Association { component: component.name, trial: trial.name, experiment: entity.experiment.unwrap_or_default() };
    Ok((association, trial.id, component.id))
}

fn reply(scope: &Scope, association: &Association) -> Reply {
    let (trial, component) = (Noun::Trial.arn(scope, &association.trial), Noun::Component.arn(scope, &association.component));
    Reply::new(json!({"TrialComponentArn": component, "TrialArn": trial}))
}

async fn associate(cx: &Cx, permit: Permit<AssociateTrialComponent>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let (association, trial, component) = named(cx, scope, &input).await?;
    if cx.kernel.store().count(OF_TRIAL, ByScope::Exact(scope), Some(&trial)).await? >= MAX_COMPONENTS {
        return Err(limit(format!("A trial has at most {MAX_COMPONENTS} trial components.")));
    }
    let mut batch = Batch::new();
    batch.require(Noun::Trial.kind(), scope, trial, Expect::Present);
    batch.require(Noun::Component.kind(), scope, component, Expect::Present);
    association.put(&mut batch, scope, cx.now())?;
    match cx.commit(batch).await {
        Err(CommitError::NotFound { .. }) => Err(not_found("The trial or the trial component was deleted by another request.")),
        done => done.map(|()| reply(scope, &association)).map_err(Into::into),
    }
}

async fn disassociate(cx: &Cx, permit: Permit<DisassociateTrialComponent>, input: Value) -> Result<Reply> {
    let scope = permit.scope();
    let (association, trial, component) = named(cx, scope, &input).await?;
    if !associations(&cx.kernel, scope, OF_TRIAL, &trial).await?.iter().any(|one| one.component.to_lowercase() == component) {
        return Err(not_found(format!(
            "Trial component '{}' is not associated with trial '{}'.",
            association.component, association.trial
        )));
    }
    let mut batch = Batch::new();
    association.delete(&mut batch, scope);
    cx.commit(batch).await?;
    Ok(reply(scope, &association))
}
