//! What could be allowed, where not everything of a request is known.
//!
//! "Who can do this on that" and "what can this principal do" ask about requests that nobody has sent: the
//! time, the address, the tags of the request and of the session are not known. The evaluator is asked twice:
//! once with every statement that hangs on something unknown taken for the caller, once against the caller.
//! What is allowed both times is allowed; what is refused both times is denied; the rest depends.

mod overlap;
mod permissions;
mod reduce;

use serde::Serialize;

use crate::decide::evaluate;
use crate::decision::Cause;
use crate::explain::lens::{Lens, layers as all_layers};
use crate::layers::{Attached, Layers, Request};
use crate::set::PolicySet;
use crate::statement::Effect;

pub use permissions::{Exception, Permission, permissions};
pub use reduce::Reducer;

/// Which condition keys are not known. What is known and has no value is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// The principal is a role: its sessions' tags, names and source identities are not known.
    pub session: bool,
    /// No particular resource is asked about: its tags are not known.
    pub resource: bool,
}

impl Unknown {
    pub(crate) fn holds(self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        let Some((prefix, name)) = key.split_once(':') else { return true };
        if name.starts_with("resourcetag/") {
            return self.resource;
        }
        if prefix != "aws" {
            return true;
        }
        match name {
            "principalarn"
            | "principalaccount"
            | "principaltype"
            | "principalorgid"
            | "principalorgpaths"
            | "principalisawsservice"
            | "viaawsservice"
            | "calledvia"
            | "calledviafirst"
            | "calledvialast"
            | "username" => false,
            "userid" | "sourceidentity" | "federatedprovider" => self.session,
            "resourceaccount" | "resourceorgid" | "resourceorgpaths" => self.resource,
            tag if tag.starts_with("principaltag/") => self.session,
            _ => true,
        }
    }
}

/// Whether it could be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Whatever is not known.
    Allowed,
    /// It depends on what is not known.
    Conditional,
    /// Whatever is not known.
    Denied,
}

/// Something unknown that the answer hangs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Depends {
    /// `allow-if` or `deny-if`.
    pub effect: &'static str,
    /// ARN or name of the policy.
    pub policy: String,
    /// The statement's `Sid`.
    pub sid: Option<String>,
    /// Its place in the document, from zero.
    pub index: usize,
    /// The condition operator; `Resource` or `NotResource` where a variable in it is not known.
    pub operator: String,
    /// The condition key, or the variable's.
    pub key: String,
    /// The operands, or the pattern.
    pub values: Vec<String>,
}

/// The answer for one request of which not everything is known.
#[derive(Debug, Clone, Serialize)]
pub struct Possible {
    /// Whether it could be allowed.
    pub answer: Answer,
    /// For a denial the type of policy that decides.
    pub cause: Option<Cause>,
    /// What the answer hangs on, where it does.
    pub depends: Vec<Depends>,
}

/// Layers made over for one of the two questions.
struct Made {
    identity: PolicySet,
    boundary: Option<Attached>,
    session: Option<PolicySet>,
    service_control: Vec<PolicySet>,
    resource_control: Vec<PolicySet>,
    resource: Option<Attached>,
    endpoint: Option<Attached>,
}

impl Made {
    fn new(reducer: &mut Reducer, layers: &Layers<'_>, unknown: Unknown, hopeful: bool) -> Self {
        let mut one = |attached: &Attached| reducer.reduced(attached, unknown, hopeful);
        let mut set = |set: &PolicySet| set.iter().map(&mut one).collect::<PolicySet>();
        let (identity, session) = (set(layers.identity), layers.session.map(&mut set));
        let service_control = layers.service_control.iter().map(&mut set).collect();
        let resource_control = layers.resource_control.iter().map(&mut set).collect();
        let (boundary, resource, endpoint) = (layers.boundary.map(&mut one), layers.resource.map(&mut one), layers.endpoint.map(&mut one));
        Self { identity, boundary, session, service_control, resource_control, resource, endpoint }
    }

    fn layers<'a>(&'a self, from: &Layers<'_>) -> Layers<'a> {
        Layers {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: self.session.as_ref(),
            service_control: &self.service_control,
            resource_control: &self.resource_control,
            resource: self.resource.as_ref(),
            resource_mode: from.resource_mode,
            endpoint: self.endpoint.as_ref(),
        }
    }
}

/// The layers for both questions: made over once for many requests of one principal.
struct Both<'l> {
    from: Layers<'l>,
    hopeful: Made,
    fearful: Made,
}

impl<'l> Both<'l> {
    fn new(reducer: &mut Reducer, layers: &Layers<'l>, unknown: Unknown) -> Self {
        Self { from: *layers, hopeful: Made::new(reducer, layers, unknown, true), fearful: Made::new(reducer, layers, unknown, false) }
    }

    fn judge(&self, reducer: &Reducer, request: &Request<'_>) -> Possible {
        let (hopeful, fearful) = (self.hopeful.layers(&self.from), self.fearful.layers(&self.from));
        let decision = evaluate(request, &hopeful);
        if !decision.allowed() {
            return Possible { answer: Answer::Denied, cause: Some(decision.cause), depends: Vec::new() };
        }
        if evaluate(request, &fearful).allowed() {
            return Possible { answer: Answer::Allowed, cause: None, depends: Vec::new() };
        }
        let mut depends = Vec::new();
        let lens = Lens::new(request, self.from.boundary.is_some());
        let (all, sure) = (all_layers(request, &hopeful), all_layers(request, &fearful));
        for (layer, sure) in all.iter().zip(&sure).filter(|(layer, _)| layer.applies) {
            let applying = |policies, effect| lens.fits(policies, effect, layer.named).into_iter().filter(|fit| fit.stage.is_none());
            // An Allow that hangs on nothing makes the others of its layer matter no more.
            if applying(sure.policies, Effect::Allow).next().is_none() {
                depends.extend(applying(layer.policies, Effect::Allow).flat_map(|fit| reducer.depends(fit.attached, fit.index)));
            }
            depends.extend(applying(sure.policies, Effect::Deny).flat_map(|fit| reducer.depends(fit.attached, fit.index)));
        }
        depends.sort();
        depends.dedup();
        Possible { answer: Answer::Conditional, cause: None, depends }
    }
}

/// Judges a request of which not everything is known.
pub fn possible(reducer: &mut Reducer, request: &Request<'_>, layers: &Layers<'_>, unknown: Unknown) -> Possible {
    let both = Both::new(reducer, layers, unknown);
    both.judge(reducer, request)
}

#[cfg(test)]
mod tests;
