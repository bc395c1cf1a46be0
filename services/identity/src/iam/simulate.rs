//! SimulatePrincipalPolicy and SimulateCustomPolicy: what would be decided, without doing it.
//!
//! The decision is the one that requests get: the same evaluator over the same policies. As in AWS the
//! condition keys are those that the caller gives, none is made up; keys that policies ask for and
//! that were not given are named in `MissingContextValues`.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, Result};
use tenantry_kernel::{
    Check, Checks, Cx, OperationRow, Permit, Reply,
    directory::{Group, Role, User},
};
use tenantry_policy::{
    Attached, Attachment, Cause, Context, Decision, Explanation, LayerOutcome, Layers, Outcome, Policy, PolicyKind, PolicySet, Principal,
    Request, Verdict,
};

use super::{entity, error};
use tenantry_kernel::operation;

/// Actions times resources in one call.
const MAX_PAIRS: usize = 10_000;
/// Context keys of a call. AWS names no limit; keys can be chosen so that each takes longer to place than the one before.
const MAX_CONTEXT_ENTRIES: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEntry {
    #[serde(default)]
    context_key_name: String,
    #[serde(default)]
    context_key_values: Vec<String>,
    #[serde(default)]
    context_key_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Level {
    #[serde(default)]
    service_control_policy_input_list: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    policy_source_arn: Option<String>,
    #[serde(default)]
    policy_input_list: Vec<String>,
    #[serde(default)]
    permissions_boundary_policy_input_list: Vec<String>,
    #[serde(default)]
    ordered_organization_policy_input_list: Vec<Level>,
    #[serde(default)]
    policy_exclusion_list: Vec<Exclusion>,
    action_names: Vec<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
    resource_policy: Option<String>,
    resource_owner: Option<String>,
    caller_arn: Option<String>,
    #[serde(default)]
    context_entries: Vec<ContextEntry>,
    marker: Option<String>,
    max_items: Option<usize>,
}

/// A policy that is to be left out ("PolicyIdentifier", IAM API).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exclusion {
    policy_type: Option<String>,
    policy_arn: Option<String>,
    inline_policy_identifier: Option<Value>,
}

/// Everything that is judged.
struct Simulation {
    principal: Principal,
    identity: PolicySet,
    boundary: Option<Attached>,
    service_control: Vec<PolicySet>,
    resource: Option<Attached>,
    owner: Option<String>,
    context: Context,
}

fn parse(text: &str, kind: PolicyKind, name: &str) -> Result<Attached> {
    let policy = Policy::parse(text, kind).map_err(|fault| error::invalid_input(fault.message))?;
    Ok(Attached::inline(name, Arc::new(policy)))
}

/// `arn:aws:iam::…:user/x` and whose it is; what it names need not be there.
fn identity_arn(text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).ok().filter(|arn| arn.service() == "iam" || arn.service() == "sts");
    arn.ok_or_else(|| error::invalid_input(format!("Invalid Entity Arn: {text} does not clearly define entity type and name.")))
}

/// A principal of the caller's own account: others are not told apart.
async fn own_caller(cx: &Cx, account: &AccountId, arn: &str) -> Result<Principal> {
    let arn = identity_arn(arn)?;
    if arn.account() != account.as_str() {
        return Err(error::invalid_input(format!("CallerArn {arn} is not of this account.")));
    }
    Ok(cx.kernel.caller_of(arn.as_str()).await?.principal)
}

impl Simulation {
    /// What both operations take: given policies, resource policy, context.
    fn new(principal: Principal, input: &Input) -> Result<Self> {
        let mut identity = Vec::new();
        for (at, text) in input.policy_input_list.iter().enumerate() {
            identity.push(parse(text, PolicyKind::Identity, &format!("PolicyInputList.{}", at + 1))?);
        }
        let boundary = match input.permissions_boundary_policy_input_list.as_slice() {
            [] => None,
            [one] => Some(parse(one, PolicyKind::Boundary, "PermissionsBoundaryPolicyInputList.1")?),
            _ => return Err(error::invalid_input("PermissionsBoundaryPolicyInputList can hold one policy.")),
        };
        let mut service_control = Vec::new();
        for (level, policies) in input.ordered_organization_policy_input_list.iter().enumerate() {
            let name = format!("OrderedOrganizationPolicyInputList.{}", level + 1);
            let policies = policies.service_control_policy_input_list.iter().map(|text| parse(text, PolicyKind::ServiceControl, &name));
            service_control.push(policies.collect::<Result<PolicySet>>()?);
        }
        let resource = input.resource_policy.as_deref().map(|text| parse(text, PolicyKind::Resource, "ResourcePolicy")).transpose()?;
        if resource.is_some() && input.caller_arn.is_none() && input.policy_source_arn.is_none() {
            return Err(error::invalid_input("CallerArn must be specified when ResourcePolicy is."));
        }
        let owner = input.resource_owner.as_deref().map(|text| match AccountId::is_valid(text) {
            true => text.to_owned(),
            false => Arn::parse(text).map(|arn| arn.account().to_owned()).unwrap_or_default(),
        });
        if input.context_entries.len() > MAX_CONTEXT_ENTRIES {
            return Err(error::invalid_input(format!(
                "More than {MAX_CONTEXT_ENTRIES} context entries: leave out those that no policy asks for."
            )));
        }
        let mut context = Context::new();
        for entry in &input.context_entries {
            match (entry.context_key_type.ends_with("List"), entry.context_key_values.as_slice()) {
                (false, [one]) => _ = context.set(&entry.context_key_name, one.as_str()),
                (_, many) => _ = context.set_list(&entry.context_key_name, many.iter().map(String::as_str)),
            }
        }
        Ok(Self { principal, identity: identity.into(), boundary, service_control, resource, owner, context })
    }

    /// The entity's own policies beside those that the call gives.
    fn add(&mut self, policies: impl IntoIterator<Item = Attached>) {
        self.identity = self.identity.iter().cloned().chain(policies).collect();
    }

    fn run(&self, input: &Input) -> Result<Reply> {
        let star = ["*".to_owned()];
        let resources = if input.resource_arns.is_empty() { &star[..] } else { &input.resource_arns };
        if input.action_names.len().saturating_mul(resources.len()) > MAX_PAIRS {
            return Err(error::invalid_input(format!("More than {MAX_PAIRS} pairs of actions and resources: split the call.")));
        }
        let missing = self.missing_keys();
        let mut items = Vec::new();
        for action in &input.action_names {
            if !action.contains(':') {
                return Err(error::invalid_input(format!("Invalid action: {action}")));
            }
            for resource in resources {
                items.push((format!("{:08}", items.len()), self.judge(action, resource, &missing)));
            }
        }
        entity::answer("EvaluationResults", items, input.marker.as_deref(), input.max_items)
    }

    fn judge(&self, action: &str, resource: &str, missing: &BTreeSet<String>) -> Value {
        let of_arn = Arn::parse(resource).ok().map(|arn| arn.account().to_owned()).filter(|account| AccountId::is_valid(account));
        let owner = self.owner.clone().or(of_arn);
        let request = Request { action, resource, resource_account: owner.as_deref(), principal: &self.principal, context: &self.context };
        let layers = Layers {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            service_control: &self.service_control,
            resource: self.resource.as_ref(),
            ..Layers::default()
        };
        let explanation = tenantry_policy::explain(&request, &layers);
        let decision = &explanation.decision;
        let mut result = json!({
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": word(decision),
            "MatchedStatements": self.matched(&explanation),
            "MissingContextValues": missing,
        });
        let crosses = owner.as_ref().is_some_and(|owner| *owner != self.principal.account);
        if crosses && self.resource.is_some() && passes(&explanation, Cause::ServiceControl) {
            // "Populated for only cross-account simulations."
            let says = |cause: Cause| {
                let verdict = explanation.layers.iter().find(|layer| layer.layer == cause).map(|layer| layer.verdict);
                match verdict {
                    Some(Verdict::Allow) => "allowed",
                    Some(Verdict::ExplicitDeny) => "explicitDeny",
                    _ => "implicitDeny",
                }
            };
            result["EvalDecisionDetails"] = json!({ "IAM Policy": says(Cause::Identity), "Resource Policy": says(Cause::Resource) });
        }
        if self.boundary.is_some() {
            result["PermissionsBoundaryDecisionDetail"] = json!({ "AllowedByPermissionsBoundary": passes(&explanation, Cause::Boundary) });
        }
        if !self.service_control.is_empty() {
            result["OrganizationsDecisionDetail"] = json!({ "AllowedByOrganizations": passes(&explanation, Cause::ServiceControl) });
        }
        result
    }

    /// The statements that made the result what it is: denies, or for an allowed action what allows.
    fn matched(&self, explanation: &Explanation) -> Vec<Value> {
        let wanted = match explanation.decision.outcome {
            Outcome::Allow => Verdict::Allow,
            Outcome::ExplicitDeny => Verdict::ExplicitDeny,
            Outcome::ImplicitDeny => return Vec::new(),
        };
        let granting = |layer: Cause| matches!(layer, Cause::Identity | Cause::Resource | Cause::Trust);
        let layers =
            explanation.layers.iter().filter(|layer| layer.verdict == wanted && (wanted == Verdict::ExplicitDeny || granting(layer.layer)));
        layers.filter_map(|layer| self.statement(layer)).collect()
    }

    fn statement(&self, layer: &LayerOutcome) -> Option<Value> {
        let (id, index, attachment) = (layer.policy.as_deref()?, layer.index?, layer.attachment?);
        let kind = match (layer.layer, attachment) {
            (Cause::Resource | Cause::Trust, _) => "resource",
            (_, Attachment::Managed) if id.starts_with("arn:aws:iam::aws:") => "aws-managed",
            (_, Attachment::Managed) => "user-managed",
            (_, Attachment::Group) => "group",
            (_, Attachment::Inline) => "none",
        };
        let mut told = json!({ "SourcePolicyId": id, "SourcePolicyType": kind });
        let all = self.identity.iter().chain(&self.boundary).chain(&self.resource).chain(self.service_control.iter().flatten());
        let of = all.filter(|attached| *attached.id == *id).find_map(|attached| attached.policy.statement_positions(index));
        if let Some((start, end)) = of {
            told["StartPosition"] = json!({ "Line": start.line, "Column": start.column });
            told["EndPosition"] = json!({ "Line": end.line, "Column": end.column });
        }
        Some(told)
    }

    /// Condition keys that some policy asks for and that were not given.
    fn missing_keys(&self) -> BTreeSet<String> {
        let policies = self.identity.iter().chain(&self.boundary).chain(&self.resource).chain(self.service_control.iter().flatten());
        let mut keys = BTreeSet::new();
        for attached in policies {
            if let Ok(document) = serde_json::from_str::<Value>(attached.policy.text()) {
                condition_keys(&document["Statement"], &mut keys);
            }
        }
        keys.retain(|key| self.context.get(key).is_none());
        keys
    }
}

fn condition_keys(statements: &Value, keys: &mut BTreeSet<String>) {
    let one = std::slice::from_ref(statements);
    for statement in statements.as_array().map_or(one, Vec::as_slice) {
        for block in statement["Condition"].as_object().into_iter().flat_map(|operators| operators.values()) {
            keys.extend(block.as_object().into_iter().flat_map(|block| block.keys().cloned()));
        }
    }
}

fn word(decision: &Decision) -> &'static str {
    match decision.outcome {
        Outcome::Allow => "allowed",
        Outcome::ExplicitDeny => "explicitDeny",
        Outcome::ImplicitDeny => "implicitDeny",
    }
}

fn passes(explanation: &Explanation, layer: Cause) -> bool {
    explanation
        .layers
        .iter()
        .filter(|outcome| outcome.layer == layer)
        .all(|outcome| matches!(outcome.verdict, Verdict::Allow | Verdict::NotApplicable))
}

async fn resolve_custom(_: &Cx, action: &'static str, _: &Input) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn custom(cx: &Cx, permit: Permit<SimulateCustomPolicy>, input: Input) -> Result<Reply> {
    let principal = match &input.caller_arn {
        Some(arn) => own_caller(cx, permit.account(), arn).await?,
        // Nobody in particular, of this account: given policies name no principal.
        None => {
            let account = permit.account().as_str();
            Principal::user(account, &format!("arn:aws:iam::{account}:user/simulated"), "AIDASIMULATED")
        }
    };
    Simulation::new(principal, &input)?.run(&input)
}

/// Checked on the entity itself, with its path.
async fn resolve_principal(_: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    let arn = identity_arn(input.policy_source_arn.as_deref().unwrap_or_default())?;
    Ok(Check::on(action, arn).into())
}

async fn principal(cx: &Cx, permit: Permit<SimulatePrincipalPolicy>, input: Input) -> Result<Reply> {
    let excluded: Result<Vec<Excluded>> = input.policy_exclusion_list.iter().map(Excluded::new).collect();
    let excluded = excluded?;
    let scope = permit.global();
    let source = identity_arn(input.policy_source_arn.as_deref().unwrap_or_default())?;
    let name = source.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let group = source.resource().starts_with("group/");
    let found = match source.resource_type_and_id().0 {
        "group" => entity::find::<Group>(cx, &scope, &name).await?.map(|(_, it)| it.arn),
        "role" => entity::find::<Role>(cx, &scope, &name).await?.map(|(_, it)| it.arn),
        "user" => entity::find::<User>(cx, &scope, &name).await?.map(|(_, it)| it.arn),
        _ => return Err(error::invalid_input(format!("Invalid Entity Arn: {source} does not clearly define entity type and name."))),
    };
    if found.as_ref() != Some(&source) {
        return Err(error::no_such_entity(format!("{source} cannot be found.")));
    }
    let subject = if group { None } else { Some(cx.kernel.caller_of(source.as_str()).await?) };
    let as_whom = match (&input.caller_arn, &subject) {
        (Some(arn), _) => own_caller(cx, permit.account(), arn).await?,
        (None, Some(caller)) => caller.principal.clone(),
        (None, None) => {
            Principal::user(permit.account().as_str(), &format!("arn:aws:iam::{}:user/simulated", permit.account()), "AIDASIMULATED")
        }
    };
    let mut simulation = Simulation::new(as_whom, &input)?;
    match &subject {
        Some(caller) => {
            let layers = cx.kernel.principal_layers(caller).await?;
            simulation.add(layers.identity.iter().filter(|attached| !excluded.iter().any(|one| one.names(attached, false))).cloned());
            if simulation.boundary.is_none() {
                let kept = |attached: &&Attached| !excluded.iter().any(|one| one.names(attached, true));
                simulation.boundary = layers.boundary.as_ref().filter(kept).cloned();
            }
        }
        None => simulation.add(kept_of(&excluded, group_policies(cx, &entity::get(cx, &scope, &name).await?).await?)),
    }
    let without_controls = excluded.iter().any(|one| matches!(one, Excluded::Type(of_type) if of_type == "scp"));
    if simulation.service_control.is_empty() && !without_controls {
        simulation.service_control.clone_from(&cx.kernel.organization_of(permit.account()).await?.service_control);
    }
    simulation.run(&input)
}

/// A policy that is left out: by type, by ARN (with wildcards in its name), or by name and entity.
enum Excluded {
    Type(String),
    Arn(String),
    Inline { name: String, group: bool, entity: String },
}

impl Excluded {
    fn new(given: &Exclusion) -> Result<Self> {
        let malformed = || error::invalid_input("PolicyExclusionList holds an identifier that names no policy.");
        match (&given.policy_type, &given.policy_arn, &given.inline_policy_identifier) {
            (Some(of_type), None, None) => Ok(Self::Type(of_type.clone())),
            (None, Some(arn), None) => {
                let (head, name) = arn.split_once(":policy/").ok_or_else(malformed)?;
                let plain = !head.contains(['*', '?']) && name.matches('*').count() <= 1;
                if plain { Ok(Self::Arn(arn.clone())) } else { Err(malformed()) }
            }
            (None, None, Some(inline)) => {
                let text = |name: &str| inline[name].as_str().map(str::to_owned).ok_or_else(malformed);
                let group = text("AttachmentType")?.eq_ignore_ascii_case("group");
                Ok(Self::Inline { name: text("PolicyName")?, group, entity: text("AttachmentName")? })
            }
            _ => Err(malformed()),
        }
    }

    fn names(&self, attached: &Attached, boundary: bool) -> bool {
        let id = &*attached.id;
        match self {
            Self::Type(of_type) => match of_type.as_str() {
                "permission-boundary" => boundary,
                "inline" => !boundary && !id.starts_with("arn:"),
                "aws-managed" => !boundary && id.starts_with("arn:aws:iam::aws:"),
                "user-managed" => !boundary && id.starts_with("arn:") && !id.starts_with("arn:aws:iam::aws:"),
                _ => false,
            },
            Self::Arn(pattern) => id.starts_with("arn:") && like(pattern, id),
            Self::Inline { name, group, entity } => {
                let of_group = attached.what == Attachment::Group;
                id.split_once('/').is_some_and(|(owner, inline)| inline == name && of_group == *group && like(entity, owner))
            }
        }
    }
}

/// Whether a text matches a pattern with `*` and `?`: on a mismatch only the latest `*` gives way.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut back = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                back = Some((at + 1, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((resume, from)) = back else { return false };
                (at, seen) = (resume, from + 1);
                back = Some((resume, from + 1));
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

fn kept_of(excluded: &[Excluded], policies: Vec<Attached>) -> Vec<Attached> {
    policies.into_iter().filter(|attached| !excluded.iter().any(|one| one.names(attached, false))).collect()
}

async fn group_policies(cx: &Cx, group: &Group) -> Result<Vec<Attached>> {
    let mut policies = Vec::new();
    for arn in &group.policies.attached {
        policies.push(Attached::managed(arn, cx.kernel.managed_policy(arn, PolicyKind::Identity).await?));
    }
    for (name, text) in &group.policies.inline {
        let attached = parse(text, PolicyKind::Identity, &format!("{}/{name}", group.name))?;
        policies.push(Attached { what: Attachment::Group, ..attached });
    }
    Ok(policies)
}

operation!("iam", SimulateCustomPolicy, ["*"], Input, resolve_custom, custom);
operation!("iam", SimulatePrincipalPolicy, ["group", "role", "user"], Input, resolve_principal, principal);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<SimulateCustomPolicy>(), OperationRow::of::<SimulatePrincipalPolicy>()];
