//! Why: every layer's answer to a request, and for a refusal how close it came.
//!
//! The slow twin of [`evaluate`]. Its decision is `evaluate`'s own, so the two cannot disagree.

pub(crate) mod lens;
pub(crate) mod place;
pub(crate) mod resolve;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::context::Value;
use crate::decide::evaluate;
use crate::decision::{Cause, Decision};
use crate::layers::{Attachment, Layers, Request};
use crate::policy::Policy;
use crate::statement::{Effect, Statement};

use lens::{Fit, Layer, Lens};
use place::{Outline, position};

pub use place::Position;

/// Near misses that are told of one layer.
const MISSES: usize = 8;

/// An account of a decision, to be stored and shown.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The answer.
    pub decision: Decision,
    /// The caller's ARN.
    pub principal: String,
    /// The action asked for.
    pub action: String,
    /// The resource asked for.
    pub resource: String,
    /// The condition keys, in lower case.
    pub context: BTreeMap<String, Value>,
    /// The layers in the order in which they are judged.
    pub layers: Vec<LayerOutcome>,
}

/// What a layer says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A statement allows.
    Allow,
    /// No statement applies.
    ImplicitDeny,
    /// A statement denies.
    ExplicitDeny,
    /// There is no such policy, or the caller is not subject to it.
    NotApplicable,
}

/// One layer, or one level of an organization.
#[derive(Debug, Clone, Serialize)]
pub struct LayerOutcome {
    /// The type of policy.
    pub layer: Cause,
    /// For control policies: the level, root first, from zero.
    pub level: Option<usize>,
    /// What it says.
    pub verdict: Verdict,
    /// The policy of the statement that decided the layer.
    pub policy: Option<String>,
    /// How that policy is attached.
    pub attachment: Option<Attachment>,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: Option<usize>,
    /// The same as a JSON Pointer (`/Statement/1`).
    pub pointer: Option<String>,
    /// The same as a line and column of the document's text.
    pub position: Option<Position>,
    /// The statement itself.
    pub statement: Option<serde_json::Value>,
    /// Its conditions, all of which hold.
    pub conditions: Vec<Compared>,
    /// When no statement applies: the Allow that came closest.
    pub nearest: Option<NearMiss>,
    /// When no statement applies: every Allow that covers the action, the closest first, at most eight.
    pub misses: Vec<NearMiss>,
}

/// Where a statement stopped applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is about other actions.
    Action,
    /// It is about other resources.
    Resource,
    /// It is about other principals.
    Principal,
    /// A condition does not hold.
    Condition,
}

/// A condition, with what the statement asks for and what the request holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// As written.
    pub operator: String,
    /// As written.
    pub key: String,
    /// Whether it holds.
    pub holds: bool,
    /// The operands as written.
    pub expected: Vec<String>,
    /// The operands with their variables filled in; `None` where a variable has no value.
    pub resolved: Vec<Option<String>>,
    /// What the request holds; `None` when the key is absent.
    pub actual: Option<Vec<String>>,
}

/// An Allow that did not apply, and why not.
#[derive(Debug, Clone, Serialize)]
pub struct NearMiss {
    /// ARN or name of the policy.
    pub policy: String,
    /// The statement's `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: usize,
    /// The first thing that did not fit.
    pub stage: Stage,
    /// The condition operator, for a condition.
    pub operator: Option<String>,
    /// The condition key, for a condition.
    pub key: Option<String>,
    /// What the statement asks for: condition operands or resource patterns.
    pub expected: Vec<String>,
    /// The same with variables filled in; `None` where a variable has no value.
    pub resolved: Vec<Option<String>>,
    /// What the request holds; empty when the condition key is absent.
    pub actual: Vec<String>,
    /// Every condition that does not hold.
    pub conditions: Vec<Compared>,
    /// The statement's place as a JSON Pointer.
    pub pointer: String,
    /// The same as a line and column.
    pub position: Option<Position>,
}

/// Decides like [`evaluate`] and says why.
#[must_use]
pub fn explain(request: &Request<'_>, layers: &Layers<'_>) -> Explanation {
    let lens = Lens::new(request, layers.boundary.is_some());
    Explanation {
        decision: evaluate(request, layers),
        principal: request.principal.arn.clone(),
        action: request.action.to_owned(),
        resource: request.resource.to_owned(),
        context: request.context.iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        layers: lens::layers(request, layers).iter().map(|layer| outcome(&lens, layer)).collect(),
    }
}

fn outcome(lens: &Lens<'_>, layer: &Layer<'_>) -> LayerOutcome {
    let first = |effect: Effect| lens.fits(layer.policies, effect, layer.named).into_iter().find(|fit| fit.stage.is_none());
    let (verdict, hit) = match layer.applies {
        false => (Verdict::NotApplicable, None),
        true => match (first(Effect::Deny), furthest(lens, layer)) {
            (Some(hit), _) => (Verdict::ExplicitDeny, Some(hit)),
            (None, Some(hit)) => (Verdict::Allow, Some(hit)),
            (None, None) => (Verdict::ImplicitDeny, None),
        },
    };
    let misses = if verdict == Verdict::ImplicitDeny { misses(lens, layer) } else { Vec::new() };
    let mut told = LayerOutcome {
        layer: layer.cause,
        level: layer.level,
        verdict,
        policy: None,
        attachment: None,
        sid: None,
        index: None,
        pointer: None,
        position: None,
        statement: None,
        conditions: Vec::new(),
        nearest: misses.first().cloned(),
        misses: misses.into_iter().filter(|miss| miss.stage > Stage::Action).collect(),
    };
    if let Some(hit) = hit {
        let place = Place::of(&hit.attached.policy, hit.index);
        told.policy = Some(hit.attached.id.to_string());
        told.attachment = Some(hit.attached.what);
        told.sid = hit.statement.sid.as_deref().map(str::to_owned);
        told.index = Some(hit.index);
        told.statement = hit.attached.policy.statement_json(hit.index);
        told.conditions =
            hit.statement.conditions.iter().map(|clause| lens.compared(clause, hit.statement.effect, place.variables)).collect();
        told.pointer = Some(place.pointer);
        told.position = place.position;
    }
    told
}

/// The Allow that reaches furthest; of several the first.
fn furthest<'p>(lens: &Lens<'_>, layer: &Layer<'p>) -> Option<Fit<'p>> {
    let applying = lens.fits(layer.policies, Effect::Allow, layer.named).into_iter().filter(|fit| fit.stage.is_none());
    let reach = |fit: &Fit<'_>| layer.named.then(|| fit.statement.principal.allow_reach(lens.request.principal)).flatten();
    applying.reduce(|best, fit| if reach(&best) < reach(&fit) { fit } else { best })
}

/// Allows that do not apply, the closest first. One about other actions is told only where there is nothing closer.
fn misses(lens: &Lens<'_>, layer: &Layer<'_>) -> Vec<NearMiss> {
    let mut fits = lens.fits(layer.policies, Effect::Allow, layer.named);
    fits.sort_by_key(|fit| (std::cmp::Reverse(fit.stage), fit.failing));
    let about = fits.iter().filter(|fit| fit.stage > Some(Stage::Action)).count();
    fits.into_iter().take(about.clamp(1, MISSES)).filter_map(|fit| miss(lens, &fit)).collect()
}

fn miss(lens: &Lens<'_>, fit: &Fit<'_>) -> Option<NearMiss> {
    let stage = fit.stage?;
    let Place { variables, pointer, position } = Place::of(&fit.attached.policy, fit.index);
    let failing = fit.statement.conditions.iter().map(|clause| lens.compared(clause, fit.statement.effect, variables));
    let conditions: Vec<Compared> = if stage == Stage::Action { Vec::new() } else { failing.filter(|clause| !clause.holds).collect() };
    let request = &lens.request;
    let first = conditions.first().filter(|_| stage == Stage::Condition);
    let (expected, resolved, actual) = match stage {
        Stage::Action => (Vec::new(), Vec::new(), vec![request.action.to_owned()]),
        Stage::Resource => resources(fit.statement, request, variables),
        Stage::Principal => (Vec::new(), Vec::new(), vec![request.principal.arn.clone()]),
        Stage::Condition => {
            first.map(|told| (told.expected.clone(), told.resolved.clone(), told.actual.clone().unwrap_or_default())).unwrap_or_default()
        }
    };
    Some(NearMiss {
        policy: fit.attached.id.to_string(),
        sid: fit.statement.sid.as_deref().map(str::to_owned),
        index: fit.index,
        stage,
        operator: first.map(|told| told.operator.clone()),
        key: first.map(|told| told.key.clone()),
        expected,
        resolved,
        actual,
        conditions,
        pointer,
        position,
    })
}

type Sides = (Vec<String>, Vec<Option<String>>, Vec<String>);

fn resources(statement: &Statement, request: &Request<'_>, variables: bool) -> Sides {
    let expected: Vec<String> = statement.resources.iter().map(ToString::to_string).collect();
    let resolved = expected.iter().map(|text| resolve::resolved(text, variables, request.context)).collect();
    (expected, resolved, vec![request.resource.to_owned()])
}

/// Where a statement stands.
pub(crate) struct Place {
    pub variables: bool,
    pub pointer: String,
    pub position: Option<Position>,
}

impl Place {
    pub(crate) fn of(policy: &Policy, index: usize) -> Self {
        let outline = Outline::of(policy.text());
        Self {
            variables: outline.variables,
            pointer: outline.pointer(index),
            position: outline.statements.get(index).map(|range| position(policy.text(), range.start)),
        }
    }
}

impl Policy {
    /// Where a statement begins and ends in the document's text, as simulations tell it: the position behind the bracket,
    /// comma or colon before it, and the one behind its last character.
    #[must_use]
    pub fn statement_positions(&self, index: usize) -> Option<(Position, Position)> {
        let text = self.text();
        let outline = Outline::of(text);
        let range = outline.statements.get(index)?;
        let before = text[..range.start].trim_end().len();
        Some((position(text, before), position(text, range.end)))
    }
}
