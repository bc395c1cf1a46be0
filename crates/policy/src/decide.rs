//! The decision: every layer is asked, any Deny ends it, the gates must be open, somebody must grant.
//!
//! Order and exceptions follow "Policy evaluation logic" and "Evaluating policies within a single
//! account" / "Cross-account policy evaluation logic" of the IAM User Guide. Explicit denials are
//! looked for in all layers, of both accounts, before anything is granted.

use crate::action::ActionName;
use crate::caller::{Principal, PrincipalKind};
use crate::context::Context;
use crate::decision::{Cause, Decision, Outcome, StatementRef};
use crate::index::Place;
use crate::layers::{Attached, Layers, Request, ResourcePolicyMode};
use crate::named::{PrincipalMatch, Reach};
use crate::policy::PolicyKind;
use crate::resource::Target;
use crate::set::PolicySet;
use crate::statement::{Effect, Statement};

/// Decides one authorization request. Allocates nothing when it allows.
pub fn evaluate(request: &Request<'_>, layers: &Layers<'_>) -> Decision {
    Gathered::new(request, layers).conclude(request, layers)
}

/// The request in the form statements are held against.
struct Probe<'a> {
    action: ActionName<'a>,
    resource: &'a str,
    pub target: Target<'a>,
    pub principal: &'a Principal,
    pub context: &'a Context,
    /// The caller has a permissions boundary.
    pub bounded: bool,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(request: &Request<'a>, layers: &Layers<'_>) -> Self {
        Self {
            action: ActionName::new(request.action),
            resource: request.resource,
            target: Target::new(request.resource),
            principal: request.principal,
            context: request.context,
            bounded: layers.boundary.is_some(),
        }
    }

    /// Whether a statement applies, and for an Allow how far it reaches. Only where statements are
    /// `named` do they have principals.
    #[inline]
    fn applies(&self, statement: &Statement, named: bool) -> Option<Reach> {
        let reach = match (&statement.principal, statement.effect) {
            _ if !named => Reach::Direct,
            (PrincipalMatch::Everyone(_), _) => Reach::Direct,
            (principal, Effect::Allow) => principal.allow_reach(self.principal)?,
            (principal, Effect::Deny) => principal.denies(self.principal, self.bounded).then_some(Reach::Direct)?,
        };
        statement.covers(self.action, &self.target, self.context).then_some(reach)
    }
}

/// A statement that applies.
#[derive(Debug, Clone, Copy)]
struct Hit<'a> {
    pub attached: &'a Attached,
    place: Place,
    pub reach: Reach,
}

impl Hit<'_> {
    fn statement(&self) -> StatementRef {
        StatementRef {
            policy: self.attached.id.clone(),
            attachment: self.attached.what,
            sid: self.attached.policy.statements[self.place.1 as usize].sid.clone(),
            index: self.place.1 as usize,
        }
    }
}

/// What one layer, or one level of it, says.
#[derive(Debug, Default)]
struct Scan<'a> {
    pub deny: Option<Hit<'a>>,
    /// The Allow that reaches furthest.
    pub allow: Option<Hit<'a>>,
}

impl<'a> Scan<'a> {
    /// Holds the request against the statements that could apply; `named` where statements have
    /// principals.
    fn set(&mut self, set: &'a PolicySet, probe: &Probe<'_>, named: bool) {
        let policies: &'a [Attached] = set;
        set.each(probe.action.keys, probe.resource, |place| self.consider(&policies[place.0 as usize], place, probe, named));
    }

    fn one(&mut self, attached: &'a Attached, probe: &Probe<'_>, named: bool) {
        attached.policy.index.each(probe.action.keys, probe.resource, |place| self.consider(attached, place, probe, named));
    }

    /// Keeps the first Deny, and the first of the Allows that reach furthest, in whatever order
    /// they are found.
    fn consider(&mut self, attached: &'a Attached, place: Place, probe: &Probe<'_>, named: bool) {
        let statement = &attached.policy.statements[place.1 as usize];
        let held = match statement.effect {
            Effect::Deny => &mut self.deny,
            Effect::Allow => &mut self.allow,
        };
        if held.is_some_and(|held| held.reach == Reach::Direct && held.place <= place) {
            return;
        }
        let Some(reach) = probe.applies(statement, named) else { return };
        if held.is_none_or(|held| reach > held.reach || (reach == held.reach && place < held.place)) {
            *held = Some(Hit { attached, place, reach });
        }
    }
}

/// A gate that needs an Allow at each of its levels.
#[derive(Debug)]
struct Gate<'a> {
    deny: Option<Hit<'a>>,
    open: bool,
}

impl<'a> Gate<'a> {
    const OPEN: Self = Self { deny: None, open: true };

    fn levels(levels: &'a [PolicySet], probe: &Probe<'_>, named: bool) -> Self {
        let mut gate = Self::OPEN;
        for level in levels {
            gate.pass(|scan| scan.set(level, probe, named));
        }
        gate
    }

    fn one(attached: Option<&'a Attached>, probe: &Probe<'_>, named: bool) -> Self {
        let mut gate = Self::OPEN;
        if let Some(attached) = attached {
            gate.pass(|scan| scan.one(attached, probe, named));
        }
        gate
    }

    /// One more level.
    fn pass(&mut self, look: impl FnOnce(&mut Scan<'a>)) {
        let mut scan = Scan::default();
        look(&mut scan);
        self.open &= scan.allow.is_some();
        if self.deny.is_none() {
            self.deny = scan.deny;
        }
    }
}

/// Which layers a caller is subject to at all.
pub(crate) struct Subject {
    pub resource_control: bool,
    pub service_control: bool,
    pub identity: bool,
    pub boundary: bool,
    pub session: bool,
}

impl Subject {
    pub(crate) fn new(principal: &Principal) -> Self {
        use PrincipalKind::{AssumedRole, FederatedUser, User};
        let linked = principal.is_service_linked();
        let identity = matches!(principal.kind, User | AssumedRole | FederatedUser);
        Self {
            resource_control: !linked,
            service_control: principal.has_account() && !linked,
            identity,
            boundary: identity && !linked,
            session: identity,
        }
    }
}

/// What every layer says.
struct Gathered<'a> {
    resource_control: Gate<'a>,
    service_control: Gate<'a>,
    endpoint: Gate<'a>,
    boundary: Gate<'a>,
    session: Gate<'a>,
    identity: Scan<'a>,
    resource: Scan<'a>,
}

impl<'a> Gathered<'a> {
    fn new(request: &Request<'_>, layers: &Layers<'a>) -> Self {
        let probe = &Probe::new(request, layers);
        let subject = Subject::new(request.principal);
        let levels = |applies: bool, levels: &'a [PolicySet]| if applies { levels } else { &[] };
        let session = match layers.session {
            _ if !subject.session => Gate::OPEN,
            Some(policies) => Gate::levels(std::slice::from_ref(policies), probe, false),
            // Without a session policy a federated user has none of its user's permissions.
            None => Gate { deny: None, open: request.principal.kind != PrincipalKind::FederatedUser },
        };
        let mut gathered = Self {
            resource_control: Gate::levels(levels(subject.resource_control, layers.resource_control), probe, true),
            service_control: Gate::levels(levels(subject.service_control, layers.service_control), probe, false),
            endpoint: Gate::one(layers.endpoint, probe, true),
            boundary: Gate::one(layers.boundary.filter(|_| subject.boundary), probe, false),
            session,
            identity: Scan::default(),
            resource: Scan::default(),
        };
        if subject.identity {
            gathered.identity.set(layers.identity, probe, false);
        }
        if let Some(attached) = layers.resource {
            gathered.resource.one(attached, probe, true);
        }
        gathered
    }

    fn conclude(&self, request: &Request<'_>, layers: &Layers<'_>) -> Decision {
        if request.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
            // "No permissions are required", and no policy can take it away (GetCallerIdentity, STS API).
            return Decision { outcome: Outcome::Allow, cause: Cause::Identity, statement: None };
        }
        let resource_cause = resource_cause(layers);
        let denials = [
            (Cause::ResourceControl, &self.resource_control.deny),
            (Cause::ServiceControl, &self.service_control.deny),
            (Cause::Endpoint, &self.endpoint.deny),
            (Cause::Identity, &self.identity.deny),
            (resource_cause, &self.resource.deny),
            (Cause::Boundary, &self.boundary.deny),
            (Cause::Session, &self.session.deny),
        ];
        for (cause, hit) in denials {
            if let Some(hit) = hit {
                return Decision { outcome: Outcome::ExplicitDeny, cause, statement: Some(hit.statement()) };
            }
        }
        let gates = [
            (Cause::ResourceControl, &self.resource_control),
            (Cause::ServiceControl, &self.service_control),
            (Cause::Endpoint, &self.endpoint),
        ];
        if let Some((cause, _)) = gates.into_iter().find(|(_, gate)| !gate.open) {
            return implicit(cause);
        }
        self.grant(request, layers.resource_mode, resource_cause)
    }

    /// Nothing denies and the gates are open: does somebody allow?
    fn grant(&self, request: &Request<'_>, mode: ResourcePolicyMode, resource_cause: Cause) -> Decision {
        let principal = request.principal;
        let by_resource = |hit: &Hit<'_>| allow(resource_cause, Some(hit));
        let named = self.resource.allow.as_ref();
        if !principal.has_account() {
            return named.map_or_else(|| implicit(resource_cause), by_resource);
        }
        let same_account = request.resource_account.is_none_or(|account| account == principal.account);
        if !same_account {
            return match (self.caller_side(principal, None), named) {
                (Err(cause), _) => implicit(cause),
                (Ok(_), None) => implicit(resource_cause),
                (Ok(_), Some(hit)) => by_resource(hit),
            };
        }
        if mode == ResourcePolicyMode::MustAllow && named.is_none() {
            return implicit(resource_cause);
        }
        match self.caller_side(principal, named.map(|hit| hit.reach)) {
            Err(cause) => implicit(cause),
            Ok(Some(hit)) => allow(Cause::Identity, Some(hit)),
            Ok(None) => named.map_or_else(|| allow(Cause::Identity, None), by_resource),
        }
    }

    /// Identity, boundary and session policies of the caller, less what the resource policy's
    /// naming makes unnecessary. `Ok` holds the identity statement that grants, if one had to.
    fn caller_side(&self, principal: &Principal, reach: Option<Reach>) -> Result<Option<&Hit<'a>>, Cause> {
        let reaches = |least: Reach| reach.is_some_and(|reach| reach >= least);
        let root = principal.kind == PrincipalKind::Root;
        let hit = match &self.identity.allow {
            _ if root || reaches(Reach::Role) => None,
            Some(hit) => Some(hit),
            None => return Err(Cause::Identity),
        };
        if !self.boundary.open && !reaches(Reach::User) {
            return Err(Cause::Boundary);
        }
        if !self.session.open && !reaches(Reach::Direct) {
            return Err(Cause::Session);
        }
        Ok(hit)
    }
}

pub(crate) fn resource_cause(layers: &Layers<'_>) -> Cause {
    match layers.resource.map(|attached| attached.policy.kind()) {
        Some(PolicyKind::Trust) => Cause::Trust,
        _ => Cause::Resource,
    }
}

fn implicit(cause: Cause) -> Decision {
    Decision { outcome: Outcome::ImplicitDeny, cause, statement: None }
}

fn allow(cause: Cause, hit: Option<&Hit<'_>>) -> Decision {
    Decision { outcome: Outcome::Allow, cause, statement: hit.map(Hit::statement) }
}
