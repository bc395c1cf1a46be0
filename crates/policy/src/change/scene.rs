//! A copy of what was judged, to try changes on.

use std::sync::Arc;

use crate::caller::Principal;
use crate::context::Context;
use crate::decide::{evaluate, resource_cause};
use crate::decision::{Cause, Decision};
use crate::explain::lens::{Layer, Lens, layers};
use crate::layers::{Attached, Layers, Request, ResourcePolicyMode};
use crate::named::PrincipalName;
use crate::policy::{Policy, PolicyKind};
use crate::set::PolicySet;

/// What a change makes of policies; `None` where a text may not stand there.
type Tried<T> = Option<T>;
/// What a change makes of a set; the outer `None` where it is not about the set.
type Many<'f> = &'f dyn Fn(&[Attached]) -> Option<Tried<Vec<Attached>>>;

/// The request and the policies, to be changed.
#[derive(Clone)]
pub(super) struct Scene<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    account: Option<&'a str>,
    pub principal: &'a Principal,
    pub context: Context,
    // Shared, because copies are many and what differs is little.
    identity: Arc<PolicySet>,
    boundary: Option<Attached>,
    session: Option<Arc<PolicySet>>,
    service_control: Arc<[PolicySet]>,
    resource_control: Arc<[PolicySet]>,
    resource_policy: Option<Attached>,
    mode: ResourcePolicyMode,
    endpoint: Option<Attached>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(request: &Request<'a>, layers: &Layers<'_>) -> Self {
        // A policy that says nothing of the action decides nothing, and need not be judged over and over.
        let lens = Lens::new(request, false);
        let about = |set: &PolicySet| -> PolicySet {
            let speaks = |attached: &&Attached| attached.policy.statements.iter().any(|statement| lens.covers_action(statement));
            set.iter().filter(|attached| speaks(attached) || editable(&attached.id)).cloned().collect()
        };
        Self {
            action: request.action,
            resource: request.resource,
            account: request.resource_account,
            principal: request.principal,
            context: request.context.clone(),
            identity: Arc::new(about(layers.identity)),
            boundary: layers.boundary.cloned(),
            session: layers.session.map(|set| Arc::new(about(set))),
            service_control: layers.service_control.iter().map(about).collect(),
            resource_control: layers.resource_control.iter().map(about).collect(),
            resource_policy: layers.resource.cloned(),
            mode: layers.resource_mode,
            endpoint: layers.endpoint.cloned(),
        }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            action: self.action,
            resource: self.resource,
            resource_account: self.account,
            principal: self.principal,
            context: &self.context,
        }
    }

    pub(super) fn layers(&self) -> Layers<'_> {
        Layers {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: self.session.as_deref(),
            service_control: &self.service_control,
            resource_control: &self.resource_control,
            resource: self.resource_policy.as_ref(),
            resource_mode: self.mode,
            endpoint: self.endpoint.as_ref(),
        }
    }

    pub(super) fn lens(&self) -> Lens<'_> {
        Lens::new(&self.request(), self.boundary.is_some())
    }

    pub(super) fn decide(&self) -> Decision {
        evaluate(&self.request(), &self.layers())
    }

    /// The layers, or levels, of one type.
    pub(super) fn of(&self, cause: Cause) -> Vec<Layer<'_>> {
        layers(&self.request(), &self.layers()).into_iter().filter(|layer| layer.cause == cause && layer.applies).collect()
    }

    /// The cause that stands for the resource's own policy.
    pub(super) fn resource_cause(&self) -> Cause {
        if self.resource_policy.is_some() { resource_cause(&self.layers()) } else { Cause::Resource }
    }

    pub(super) fn same_account(&self) -> bool {
        self.account.is_none_or(|account| account == self.principal.account)
    }

    /// With another text of a policy, wherever it is attached. `None` where the text may not stand there.
    pub(super) fn with_text(&self, old: &Attached, text: &str) -> Option<Self> {
        let same = |attached: &Attached| attached.id == old.id && attached.what == old.what;
        let new = |attached: &Attached| if same(attached) { reworded(attached, text) } else { Some(attached.clone()) };
        self.each(&|policies| policies.iter().any(same).then(|| policies.iter().map(new).collect::<Option<Vec<_>>>()), &|one| {
            new(one).map(Some)
        })
    }

    /// Without a policy, wherever it is attached.
    pub(super) fn without(&self, old: &Attached) -> Option<Self> {
        let same = |attached: &Attached| attached.id == old.id && attached.what == old.what;
        let rest = |policies: &[Attached]| policies.iter().filter(|attached| !same(attached)).cloned().collect();
        self.each(&|policies| policies.iter().any(same).then(|| Some(rest(policies))), &|one| Some((!same(one)).then(|| one.clone())))
    }

    /// A copy with every set and every single policy put through a function. A set for which `many` has no answer stays.
    fn each(&self, many: Many<'_>, one: &dyn Fn(&Attached) -> Tried<Option<Attached>>) -> Option<Self> {
        let set = |set: &Arc<PolicySet>| many(set).map_or(Some(Arc::clone(set)), |new| new.map(|new| Arc::new(new.into())));
        let levels = |levels: &Arc<[PolicySet]>| -> Option<Arc<[PolicySet]>> {
            if levels.iter().all(|level| many(level).is_none()) {
                return Some(Arc::clone(levels));
            }
            levels.iter().map(|level| many(level).map_or(Some(level.clone()), |new| new.map(PolicySet::from))).collect()
        };
        let single = |single: &Option<Attached>| single.as_ref().map_or(Some(None), one);
        Some(Self {
            context: self.context.clone(),
            identity: set(&self.identity)?,
            boundary: single(&self.boundary)?,
            session: self.session.as_ref().map_or(Some(None), |session| set(session).map(Some))?,
            service_control: levels(&self.service_control)?,
            resource_control: levels(&self.resource_control)?,
            resource_policy: single(&self.resource_policy)?,
            endpoint: single(&self.endpoint)?,
            ..*self
        })
    }

    /// With other condition keys.
    pub(super) fn with_context(&self, context: Context) -> Self {
        Self { context, ..self.clone() }
    }

    /// With one policy more; a boundary and a resource's policy are replaced.
    pub(super) fn with_policy(&self, cause: Cause, level: Option<usize>, added: Attached) -> Option<Self> {
        let mut changed = self.clone();
        let more = |set: &PolicySet| -> PolicySet { set.iter().cloned().chain([added.clone()]).collect() };
        match cause {
            Cause::Resource | Cause::Trust => changed.resource_policy = Some(added),
            Cause::Boundary => changed.boundary = Some(added),
            Cause::Endpoint => return None,
            Cause::Identity => changed.identity = Arc::new(more(&self.identity)),
            Cause::Session => changed.session = Some(Arc::new(more(self.session.as_deref().unwrap_or(PolicySet::EMPTY)))),
            Cause::ServiceControl | Cause::ResourceControl => {
                let slot = if cause == Cause::ServiceControl { &mut changed.service_control } else { &mut changed.resource_control };
                let mut levels = slot.to_vec();
                let level = levels.get_mut(level?)?;
                *level = more(level);
                *slot = levels.into();
            }
        }
        Some(changed)
    }
}

/// The same policy with another text; names stay bound to the ids they were bound to.
pub(crate) fn reworded(attached: &Attached, text: &str) -> Option<Attached> {
    let mut policy = Policy::parse(text, attached.policy.kind()).ok()?;
    let bound: Vec<(String, String)> = attached
        .policy
        .statements
        .iter()
        .flat_map(|statement| statement.principal.entries())
        .filter_map(|entry| match &entry.name {
            PrincipalName::User(arn) | PrincipalName::Role(arn) => Some((arn.clone(), entry.unique_id.as_deref()?.to_owned())),
            _ => None,
        })
        .collect();
    policy.resolve_principals(&|arn| bound.iter().find(|(bound, _)| bound == arn).map(|(_, id)| id.clone()));
    Some(Attached { policy: Arc::new(policy), id: Arc::clone(&attached.id), what: attached.what })
}

/// AWS's own policies cannot be changed by anybody.
pub(super) fn editable(id: &str) -> bool {
    !id.starts_with("arn:aws:iam::aws:") && !matches!(id, "p-FullAWSAccess" | "p-RCPFullAWSAccess")
}

/// The kind of document that a layer holds.
pub(super) fn kind_of(cause: Cause) -> PolicyKind {
    match cause {
        Cause::Identity => PolicyKind::Identity,
        Cause::Resource => PolicyKind::Resource,
        Cause::Boundary => PolicyKind::Boundary,
        Cause::Session => PolicyKind::Session,
        Cause::Endpoint => PolicyKind::Endpoint,
        Cause::ServiceControl => PolicyKind::ServiceControl,
        Cause::ResourceControl => PolicyKind::ResourceControl,
        Cause::Trust => PolicyKind::Trust,
    }
}
