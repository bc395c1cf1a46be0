//! Why: every layer's answer to a request, and for a refusal how close it came.
//!
//! The slow twin of [`evaluate`]. Its decision is `evaluate`'s own, so the two cannot disagree.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::caller::PrincipalKind;
use crate::context::Value;
use crate::decide::{Hit, Probe, Scan, Subject, evaluate, resource_cause};
use crate::decision::{Cause, Decision};
use crate::layers::{Attached, Layers, Request};
use crate::statement::{Effect, Statement};

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
    /// Its `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: Option<usize>,
    /// The statement itself.
    pub statement: Option<serde_json::Value>,
    /// When no statement applies: the Allow that came closest.
    pub nearest: Option<NearMiss>,
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
    /// What the request holds; empty when the condition key is absent.
    pub actual: Vec<String>,
}

/// Decides like [`evaluate`] and says why.
#[must_use]
pub fn explain(request: &Request<'_>, layers: &Layers<'_>) -> Explanation {
    let probe = Probe::new(request, layers);
    let subject = Subject::new(request.principal);
    let teller = Teller { probe: &probe, request };
    let mut told = Vec::new();
    teller.levels(&mut told, Cause::ResourceControl, subject.resource_control, layers.resource_control, true);
    teller.levels(&mut told, Cause::ServiceControl, subject.service_control, layers.service_control, false);
    told.push(teller.layer(Cause::Endpoint, layers.endpoint.is_some(), None, layers.endpoint, true));
    told.push(teller.layer(Cause::Identity, subject.identity, None, layers.identity, false));
    told.push(teller.layer(resource_cause(layers), layers.resource.is_some(), None, layers.resource, true));
    told.push(teller.layer(Cause::Boundary, subject.boundary && layers.boundary.is_some(), None, layers.boundary, false));
    let missing_counts = request.principal.kind == PrincipalKind::FederatedUser;
    let session = subject.session && (layers.session.is_some() || missing_counts);
    told.push(teller.layer(Cause::Session, session, None, layers.session.unwrap_or_default(), false));
    Explanation {
        decision: evaluate(request, layers),
        principal: request.principal.arn.clone(),
        action: request.action.to_owned(),
        resource: request.resource.to_owned(),
        context: request.context.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        layers: told,
    }
}

struct Teller<'a> {
    probe: &'a Probe<'a>,
    request: &'a Request<'a>,
}

impl Teller<'_> {
    fn levels(&self, told: &mut Vec<LayerOutcome>, layer: Cause, applies: bool, levels: &[Vec<Attached>], named: bool) {
        if !applies || levels.is_empty() {
            told.push(self.layer(layer, false, None, [], named));
            return;
        }
        told.extend(levels.iter().enumerate().map(|(level, policies)| self.layer(layer, true, Some(level), policies, named)));
    }

    fn layer<'p>(
        &self,
        layer: Cause,
        applies: bool,
        level: Option<usize>,
        policies: impl IntoIterator<Item = &'p Attached> + Clone,
        named: bool,
    ) -> LayerOutcome {
        let scan = if applies { Scan::new(policies.clone(), self.probe, named) } else { Scan::default() };
        let (verdict, hit) = match (applies, scan.deny, scan.allow) {
            (false, ..) => (Verdict::NotApplicable, None),
            (true, Some(hit), _) => (Verdict::ExplicitDeny, Some(hit)),
            (true, None, Some(hit)) => (Verdict::Allow, Some(hit)),
            (true, None, None) => (Verdict::ImplicitDeny, None),
        };
        let sid = |hit: Hit<'_>| hit.attached.policy.statements[hit.index].sid.as_deref().map(str::to_owned);
        LayerOutcome {
            layer,
            level,
            verdict,
            policy: hit.map(|hit| hit.attached.id.to_string()),
            sid: hit.and_then(sid),
            index: hit.map(|hit| hit.index),
            statement: hit.and_then(|hit| hit.attached.policy.statement_json(hit.index)),
            nearest: if verdict == Verdict::ImplicitDeny { self.nearest(policies, named) } else { None },
        }
    }

    /// The Allow that got furthest; of several the first.
    fn nearest<'p>(&self, policies: impl IntoIterator<Item = &'p Attached>, named: bool) -> Option<NearMiss> {
        let mut best: Option<NearMiss> = None;
        for attached in policies {
            for (index, statement) in attached.policy.statements.iter().enumerate() {
                if statement.effect != Effect::Allow {
                    continue;
                }
                let Some(mut miss) = self.miss(statement, named) else { continue };
                if best.as_ref().is_none_or(|best| best.stage < miss.stage) {
                    miss.policy = attached.id.to_string();
                    miss.index = index;
                    best = Some(miss);
                }
            }
        }
        best
    }

    fn miss(&self, statement: &Statement, named: bool) -> Option<NearMiss> {
        let probe = self.probe;
        let miss = |stage: Stage, expected: Vec<String>, actual: Vec<String>| NearMiss {
            policy: String::new(),
            sid: statement.sid.as_deref().map(str::to_owned),
            index: 0,
            stage,
            operator: None,
            key: None,
            expected,
            actual,
        };
        if !statement.action.matches(probe.action) {
            return Some(miss(Stage::Action, Vec::new(), vec![self.request.action.to_owned()]));
        }
        if !statement.resource.matches(&probe.target, probe.context) {
            let expected = statement.resources.iter().map(ToString::to_string).collect();
            return Some(miss(Stage::Resource, expected, vec![self.request.resource.to_owned()]));
        }
        if named && statement.principal.allow_reach(probe.principal).is_none() {
            return Some(miss(Stage::Principal, Vec::new(), vec![probe.principal.arn.clone()]));
        }
        let clause = statement.conditions.iter().find(|clause| !clause.holds(probe.context, statement.effect))?;
        let expected = clause.texts.iter().map(ToString::to_string).collect();
        let actual = clause.actual(probe.context).map_or_else(Vec::new, |value| value.as_slice().to_vec());
        Some(NearMiss {
            operator: Some(clause.operator_text.to_string()),
            key: Some(clause.key_text.to_string()),
            ..miss(Stage::Condition, expected, actual)
        })
    }
}
