//! One statement against one request, part by part.
//!
//! Walks statements one after another and asks each the questions that the evaluator asks through its
//! index, so that it can say which of them was answered with no.

use crate::action::ActionName;
use crate::condition::Clause;
use crate::context::Context;
use crate::decide::{Subject, resource_cause};
use crate::decision::Cause;
use crate::layers::{Attached, Layers, Request};
use crate::resource::Target;
use crate::statement::{Effect, Statement};

use super::resolve::resolved;
use super::{Compared, Stage};

/// A request as statements are held against it.
pub(crate) struct Lens<'a> {
    pub request: Request<'a>,
    action: ActionName<'a>,
    target: Target<'a>,
    /// The caller has a permissions boundary.
    bounded: bool,
}

/// How a statement fits.
pub(crate) struct Fit<'p> {
    pub attached: &'p Attached,
    pub index: usize,
    pub statement: &'p Statement,
    /// The first thing that does not fit; `None` when the statement applies.
    pub stage: Option<Stage>,
    /// How many conditions do not hold.
    pub failing: usize,
}

impl<'a> Lens<'a> {
    pub(crate) fn new(request: &Request<'a>, bounded: bool) -> Self {
        Self { request: *request, action: ActionName::new(request.action), target: Target::new(request.resource), bounded }
    }

    /// The same caller and resource with other condition keys.
    pub(crate) fn within<'b>(&'b self, context: &'b Context) -> Lens<'b> {
        Lens::new(&Request { context, ..self.request }, self.bounded)
    }

    pub(crate) fn covers_action(&self, statement: &Statement) -> bool {
        statement.action.matches(self.action)
    }

    pub(crate) fn covers_resource(&self, statement: &Statement) -> bool {
        statement.resource.matches(&self.target, self.request.context)
    }

    fn covers_principal(&self, statement: &Statement, named: bool) -> bool {
        let principal = self.request.principal;
        !named
            || match statement.effect {
                Effect::Allow => statement.principal.allow_reach(principal).is_some(),
                Effect::Deny => statement.principal.denies(principal, self.bounded),
            }
    }

    /// Holds one statement against the request; `named` where statements have principals.
    pub(crate) fn fit<'p>(&self, attached: &'p Attached, index: usize, named: bool) -> Option<Fit<'p>> {
        let statement = attached.policy.statements.get(index)?;
        let failing = statement.conditions.iter().filter(|clause| !clause.holds(self.request.context, statement.effect)).count();
        let stage = if !self.covers_action(statement) {
            Some(Stage::Action)
        } else if !self.covers_resource(statement) {
            Some(Stage::Resource)
        } else if !self.covers_principal(statement, named) {
            Some(Stage::Principal)
        } else {
            (failing > 0).then_some(Stage::Condition)
        };
        Some(Fit { attached, index, statement, stage, failing })
    }

    /// All statements of one effect.
    pub(crate) fn fits<'p>(&self, policies: &'p [Attached], effect: Effect, named: bool) -> Vec<Fit<'p>> {
        let all = policies.iter().flat_map(|attached| (0..attached.policy.statements.len()).map(move |index| (attached, index)));
        all.filter_map(|(attached, index)| self.fit(attached, index, named)).filter(|fit| fit.statement.effect == effect).collect()
    }

    /// A condition with both sides.
    pub(crate) fn compared(&self, clause: &Clause, effect: Effect, variables: bool) -> Compared {
        let context = self.request.context;
        let actual = clause.actual(context);
        Compared {
            operator: clause.operator_text.to_string(),
            key: clause.key_text.to_string(),
            holds: clause.holds(context, effect),
            expected: clause.texts.iter().map(ToString::to_string).collect(),
            resolved: clause.texts.iter().map(|text| resolved(text, variables, context)).collect(),
            actual: actual.map(|value| value.as_slice().to_vec()),
        }
    }
}

/// One layer, or one level of it.
pub(crate) struct Layer<'a> {
    pub cause: Cause,
    pub level: Option<usize>,
    /// Whether the caller is subject to it.
    pub applies: bool,
    /// Whether its statements name principals.
    pub named: bool,
    pub policies: &'a [Attached],
}

/// The layers in the order in which they are judged.
pub(crate) fn layers<'a>(request: &Request<'_>, layers: &Layers<'a>) -> Vec<Layer<'a>> {
    let subject = Subject::new(request.principal);
    let federated = request.principal.kind == crate::caller::PrincipalKind::FederatedUser;
    let mut out = Vec::new();
    let mut levels = |cause, applies: bool, sets: &'a [crate::set::PolicySet], named| {
        if !applies || sets.is_empty() {
            out.push(Layer { cause, level: None, applies: false, named, policies: &[] });
            return;
        }
        out.extend(sets.iter().enumerate().map(|(level, set)| Layer { cause, level: Some(level), applies, named, policies: set }));
    };
    levels(Cause::ResourceControl, subject.resource_control, layers.resource_control, true);
    levels(Cause::ServiceControl, subject.service_control, layers.service_control, false);
    let one = |attached: Option<&'a Attached>| attached.map_or(&[][..], std::slice::from_ref);
    let mut push = |cause, applies, policies, named| out.push(Layer { cause, level: None, applies, named, policies });
    push(Cause::Endpoint, layers.endpoint.is_some(), one(layers.endpoint), true);
    push(Cause::Identity, subject.identity, layers.identity, false);
    push(resource_cause(layers), layers.resource.is_some(), one(layers.resource), true);
    push(Cause::Boundary, subject.boundary && layers.boundary.is_some(), one(layers.boundary), false);
    let session = layers.session.map_or(&[][..], |set| set);
    push(Cause::Session, subject.session && (layers.session.is_some() || federated), session, false);
    out
}
