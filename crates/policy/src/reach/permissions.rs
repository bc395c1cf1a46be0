//! What a principal may do: the Allows of its identity policies, less what the other layers leave of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::caller::Principal;
use crate::context::Context;
use crate::decision::Cause;
use crate::explain::Stage;
use crate::explain::lens::{Lens, layers as all_layers};
use crate::explain::place::Outline;
use crate::explain::resolve::resolved;
use crate::layers::{Layers, Request};
use crate::resource::ResourceMatch;
use crate::statement::Effect;

use super::overlap::overlap;
use super::reduce::widest;
use super::{Answer, Both, Depends, Reducer, Unknown};

/// Patterns of one statement that are looked at.
const PATTERNS: usize = 64;
/// Permissions that are told of one principal.
const MOST: usize = 5_000;

/// Something a principal may do.
#[derive(Debug, Clone, Serialize)]
pub struct Permission {
    /// `prefix:Name`.
    pub actions: Vec<String>,
    /// Resource patterns; variables whose value is not known stay as they are.
    pub resources: Vec<String>,
    /// Whether the resources are all but these.
    pub except_listed: bool,
    /// Allowed or conditional.
    pub answer: Answer,
    /// What it hangs on.
    pub depends: Vec<Depends>,
    /// Denies that take a part of the resources away.
    pub except: Vec<Exception>,
    /// The policy that allows.
    pub policy: String,
    /// The statement's `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: usize,
}

/// A Deny that reaches some of the resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Exception {
    /// The type of policy.
    pub layer: &'static str,
    /// ARN or name of the policy.
    pub policy: String,
    /// The statement's `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: usize,
    /// What it denies.
    pub resources: Vec<String>,
}

/// What permissions that are told together have in common.
type Alike = (Answer, Vec<Depends>, Vec<Exception>);

/// What `principal` may do of `actions`, by its identity policies and all that limits them. What a resource's own
/// policy grants beyond is not known here.
#[must_use]
pub fn permissions(
    reducer: &mut Reducer,
    principal: &Principal,
    context: &Context,
    layers: &Layers<'_>,
    actions: &[&str],
) -> Vec<Permission> {
    let unknown = Unknown { session: principal.role_arn.is_some(), resource: true };
    let both = Both::new(reducer, layers, unknown);
    let mut found: Vec<Permission> = Vec::new();
    for attached in layers.identity {
        let variables = Outline::of(attached.policy.text()).variables;
        for (index, statement) in attached.policy.statements.iter().enumerate().filter(|(_, statement)| statement.effect == Effect::Allow) {
            let negated = is_negated(&statement.resource);
            // By answer and by what is left out: actions that read alike are told together.
            let mut groups: BTreeMap<(Alike, Vec<String>), Vec<String>> = BTreeMap::new();
            for action in actions {
                let ask = |resource: &str| {
                    let account = Some(principal.account.as_str());
                    let request = Request { action, resource, resource_account: account, principal, context };
                    let lens = Lens::new(&request, layers.boundary.is_some());
                    lens.covers_action(statement).then(|| (both.judge(reducer, &request), exceptions(&request, layers)))
                };
                let mut by_answer: BTreeMap<Alike, Vec<String>> = BTreeMap::new();
                let patterns: Vec<&str> = if negated { vec!["*"] } else { statement.resources.iter().map(|text| &**text).collect() };
                for pattern in patterns.into_iter().take(PATTERNS) {
                    let wide = if variables { widest(pattern, unknown) } else { pattern.to_owned() };
                    let resource = resolved(&wide, variables, context).unwrap_or(wide);
                    let Some((possible, except)) = ask(&resource) else { break };
                    if possible.answer != Answer::Denied {
                        let shown = resolved(pattern, variables, context).unwrap_or_else(|| pattern.to_owned());
                        by_answer.entry((possible.answer, possible.depends, except)).or_default().push(shown);
                    }
                }
                for ((answer, depends, except), resources) in by_answer {
                    groups.entry(((answer, depends, except), resources)).or_default().push((*action).to_owned());
                }
            }
            for (((answer, depends, except), resources), actions) in groups {
                if found.len() >= MOST {
                    return found;
                }
                let resources = if negated { statement.resources.iter().map(ToString::to_string).collect() } else { resources };
                let sid = statement.sid.as_deref().map(str::to_owned);
                let policy = attached.id.to_string();
                found.push(Permission { actions, resources, except_listed: negated, answer, depends, except, policy, sid, index });
            }
        }
    }
    found
}

fn is_negated(resource: &ResourceMatch) -> bool {
    matches!(resource, ResourceMatch::NotIn(_))
}

/// Denies of the action that reach a part of a pattern and not all of it.
fn exceptions(request: &Request<'_>, layers: &Layers<'_>) -> Vec<Exception> {
    let lens = Lens::new(request, layers.boundary.is_some());
    let mut found = Vec::new();
    for layer in all_layers(request, layers).iter().filter(|layer| layer.applies) {
        for fit in lens.fits(layer.policies, Effect::Deny, layer.named) {
            let partly = fit.stage == Some(Stage::Resource)
                && (is_negated(&fit.statement.resource)
                    || fit.statement.resources.iter().any(|pattern| overlap(pattern, request.resource)));
            if partly {
                found.push(Exception {
                    layer: Cause::noun(layer.cause),
                    policy: fit.attached.id.to_string(),
                    sid: fit.statement.sid.as_deref().map(str::to_owned),
                    index: fit.index,
                    resources: fit.statement.resources.iter().map(ToString::to_string).collect(),
                });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
