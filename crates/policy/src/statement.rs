//! One statement, compiled.

use std::sync::Arc;

use crate::action::{ActionMatch, ActionName};
use crate::check;
use crate::condition::{self, Clause};
use crate::context::Context;
use crate::index::Filing;
use crate::json::Node;
use crate::malformed::Malformed;
use crate::named::{PrincipalMatch, PrincipalName};
use crate::policy::PolicyKind;
use crate::resource::{ResourceMatch, ResourcePattern, ShortArn, Target};

/// `Allow` or `Deny`, in exactly that case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub sid: Option<Arc<str>>,
    pub effect: Effect,
    pub action: ActionMatch,
    pub resource: ResourceMatch,
    pub principal: PrincipalMatch,
    pub conditions: Box<[Clause]>,
    /// True when a `Resource` or `NotResource` element is written.
    pub has_resource: bool,
    /// The texts of `Resource` or `NotResource`, for services that keep resource policies.
    pub resources: Box<[Box<str>]>,
}

const ELEMENTS: [&str; 9] = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// The elements of a statement by name; unknown ones are a fault.
struct Elements<'a>(&'a [(String, Node)]);

impl<'a> Elements<'a> {
    fn new(node: &'a Node) -> Result<Self, Malformed> {
        let Node::Map(members) = node else { return Err(Malformed::syntax()) };
        if members.iter().any(|(name, _)| !ELEMENTS.contains(&name.as_str())) {
            return Err(Malformed::syntax());
        }
        Ok(Self(members))
    }

    fn get(&self, name: &str) -> Option<&'a Node> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// `name` or `Not`+`name`, never both.
    fn either(&self, name: &str) -> Result<Option<(&'a Node, bool)>, Malformed> {
        match (self.get(name), self.get(&format!("Not{name}"))) {
            (Some(_), Some(_)) => Err(Malformed::syntax()),
            (Some(node), None) => Ok(Some((node, false))),
            (None, Some(node)) => Ok(Some((node, true))),
            (None, None) => Ok(None),
        }
    }
}

impl Statement {
    pub(crate) fn compile(node: &Node, kind: PolicyKind, variables: bool) -> Result<Self, Malformed> {
        let elements = Elements::new(node)?;
        let effect = match elements.get("Effect").and_then(Node::text) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            Some(other) if other.eq_ignore_ascii_case("allow") || other.eq_ignore_ascii_case("deny") => {
                return Err(Malformed::new(check::LEGACY));
            }
            _ => return Err(Malformed::syntax()),
        };
        let sid = match elements.get("Sid") {
            None => None,
            Some(node) => Some(sid(node.text().ok_or_else(Malformed::syntax)?, kind)?),
        };
        let conditions = match elements.get("Condition") {
            None => Box::default(),
            Some(node) => condition::compile(node, variables)?,
        };
        let principal = principal(&elements, kind)?;
        let action = action(&elements, kind)?;
        let (resource, resources) = resource(&elements, kind, variables)?;
        let has_resource = !matches!(resource, ResourceMatch::Own);
        Ok(Self { sid, effect, action, resource, principal, conditions, has_resource, resources })
    }

    /// Where to find it.
    pub(crate) fn filing(&self) -> Filing {
        let mut filing = Filing::default();
        self.action.file(&mut filing);
        self.resource.file(&mut filing);
        filing
    }

    /// The conditions alone.
    pub(crate) fn conditions_hold(&self, context: &Context) -> bool {
        self.conditions.iter().all(|clause| clause.holds(context, self.effect))
    }

    /// Action, resource and conditions; the principal is judged by the layer.
    pub(crate) fn covers(&self, action: ActionName<'_>, target: &Target<'_>, context: &Context) -> bool {
        self.action.matches(action) && self.resource.matches(target, context) && self.conditions_hold(context)
    }
}

fn sid(text: &str, kind: PolicyKind) -> Result<Arc<str>, Malformed> {
    let free = matches!(kind, PolicyKind::Resource | PolicyKind::Endpoint);
    if !free && !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed::new(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ));
    }
    Ok(text.into())
}

fn principal(elements: &Elements<'_>, kind: PolicyKind) -> Result<PrincipalMatch, Malformed> {
    let element = elements.either("Principal")?;
    match (kind, element) {
        (PolicyKind::Identity | PolicyKind::Session | PolicyKind::Boundary, Some(_)) => {
            Err(Malformed::new("Policy document should not specify a principal."))
        }
        (PolicyKind::ServiceControl, Some(_)) => Err(Malformed::new(check::CONTROL)),
        (PolicyKind::Trust, Some((_, true))) => Err(Malformed::new("Has prohibited field NotPrincipal")),
        (PolicyKind::Trust | PolicyKind::Resource | PolicyKind::ResourceControl, None) => {
            Err(Malformed::new("Missing required field Principal"))
        }
        (PolicyKind::ResourceControl, Some((node, negated))) => {
            let compiled = PrincipalMatch::compile(node, negated)?;
            let everyone = compiled.entries().iter().all(|entry| entry.name == PrincipalName::Everyone);
            if negated || !everyone { Err(Malformed::new(check::CONTROL)) } else { Ok(compiled) }
        }
        (_, Some((node, negated))) => PrincipalMatch::compile(node, negated),
        (_, None) => Ok(PrincipalMatch::Absent),
    }
}

fn action(elements: &Elements<'_>, kind: PolicyKind) -> Result<ActionMatch, Malformed> {
    let missing = || Malformed::new("Policy statement must contain actions.");
    let (node, negated) = elements.either("Action")?.ok_or_else(missing)?;
    let texts = node.texts().ok_or_else(Malformed::syntax)?;
    if texts.is_empty() {
        return Err(missing());
    }
    for text in &texts {
        if kind == PolicyKind::Trust { check::trust_action(text)? } else { check::action(text)? }
    }
    Ok(ActionMatch::compile(&texts, negated))
}

type Resources = (ResourceMatch, Box<[Box<str>]>);

fn resource(elements: &Elements<'_>, kind: PolicyKind, variables: bool) -> Result<Resources, Malformed> {
    let element = elements.either("Resource")?;
    if kind == PolicyKind::Trust {
        return match element {
            Some((_, true)) => Err(Malformed::new("Has prohibited field NotResource")),
            Some(_) => Err(Malformed::new("Has prohibited field Resource")),
            None => Ok((ResourceMatch::Own, Box::default())),
        };
    }
    let Some((node, negated)) = element else {
        if matches!(kind, PolicyKind::Resource) {
            return Ok((ResourceMatch::Own, Box::default()));
        }
        return Err(Malformed::new("Policy statement must contain resources."));
    };
    let texts = node.texts().ok_or_else(Malformed::syntax)?;
    if texts.is_empty() {
        return Err(Malformed::new("Policy statement must contain resources."));
    }
    for text in &texts {
        check::resource(text, kind, variables)?;
    }
    let short = match kind {
        PolicyKind::Identity | PolicyKind::Session | PolicyKind::Boundary => ShortArn::Pad,
        _ => ShortArn::PadTrailingStar,
    };
    let patterns: Box<[ResourcePattern]> = texts.iter().map(|text| ResourcePattern::compile(text, variables, short)).collect();
    let resources = texts.iter().map(|text| Box::from(*text)).collect();
    Ok((ResourceMatch::new(patterns, negated), resources))
}
