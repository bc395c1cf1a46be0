//! Judging a case with the evaluator that serves requests.
//!
//! Three things an instance knows and a case must state are settled here. Several boundaries, and
//! several endpoint policies, are one layer of which any document may allow. Every level of
//! resource control policies has `RCPFullAWSAccess`, which AWS attaches and nobody can detach
//! ("Resource control policies", AWS Organizations User Guide). The resource `*` of an action that
//! has resource types asks whether there is a resource on which it is allowed.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;
use tenantry_policy::{
    Attached, Cause, Context, Decision, Layers, Outcome, Policy, PolicyKind, PolicySet, PrincipalKind, Request, ResourcePolicyMode,
    evaluate,
};

use super::attach::attach;
use super::input::{Case, Level};
use super::keys::Given;
use super::who::{Who, six};
use super::{Decisive, Verdict};

/// A layer of alternatives is tried one document at a time.
const MAX_ALTERNATIVES: usize = 64;
/// How many resources a question about any resource tries.
const MAX_CANDIDATES: usize = 1_000;

const FULL_ACCESS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

type Judged = (Verdict, String, Vec<Decisive>);

/// Decides a case.
pub(super) fn judge(case: &Case) -> Result<Judged, String> {
    let asked = &case.request;
    if !asked.action.split_once(':').is_some_and(|(prefix, name)| {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        plain(prefix) && plain(name)
    }) {
        return Err(format!("request.action: `{}` is not service:Action", asked.action));
    }
    let given = Given::new(&asked.context)?;
    let who = Who::new(&asked.principal, &asked.action, &given)?;
    let fact = tenantry_facts::action(&asked.action).map(|(_, action)| action.wildcard_only());
    let wildcard_only = asked.wildcard_only_action.or(fact).unwrap_or(false);
    let resource = match asked.resource.as_deref() {
        Some(arn) if arn != "*" && six(arn).is_none() => return Err(format!("request.resource: `{arn}` is neither an ARN nor `*`")),
        Some(arn) if !wildcard_only => arn,
        _ => "*",
    };
    let twelve = |account: &&str| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let own = (!who.principal.account.is_empty()).then_some(who.principal.account.as_str());
    let of_arn = six(resource).map(|parts| parts[4]).filter(twelve);
    let resource_account = asked.resource_account.as_deref().or(of_arn).or(own);
    let documents = Documents::read(case, &who)?;
    let context = given.complete(&who.principal, resource_account);
    let question = Question { who: &who, action: &asked.action, resource_account, context: &context, documents: &documents };
    let mut decision = question.ask(resource);
    if resource.contains('*') && !wildcard_only && decision.outcome == Outcome::ImplicitDeny {
        let candidates = documents.resources_within(resource, &asked.action);
        decision = candidates.iter().map(|arn| question.ask(arn)).find(Decision::allowed).unwrap_or(decision);
    }
    if decision.allowed() && reserved(&asked.action, resource) {
        let verdict = Verdict::ImplicitDeny;
        return Ok((verdict, format!("`{resource}` is AWS's own: nobody may {} it", asked.action), Vec::new()));
    }
    Ok(question.answer(&decision, resource))
}

/// The compiled documents of a case.
struct Documents {
    identity: PolicySet,
    resource: Option<Attached>,
    scp: Vec<PolicySet>,
    rcp: Vec<PolicySet>,
    boundary: Vec<Attached>,
    session: Option<PolicySet>,
    vpce: Vec<Attached>,
}

impl Documents {
    fn read(case: &Case, who: &Who) -> Result<Self, String> {
        let policies = &case.policies;
        // Boundaries and inline policies may have the version of 2008, as session policies may.
        let plain = |name: &str, list: &Option<Vec<Box<RawValue>>>, kind: PolicyKind| -> Result<Vec<Attached>, String> {
            let list = list.as_deref().unwrap_or_default();
            list.iter().enumerate().map(|(at, raw)| attach(format!("{name}[{at}]"), raw, &[kind], who)).collect()
        };
        let levels = |name: &str, levels: &Option<Vec<Level>>, kind: PolicyKind| -> Result<Vec<PolicySet>, String> {
            let level = |(at, level): (usize, &Level)| -> Result<PolicySet, String> {
                let place = |place: usize| format!("{name}[{at}].policies[{place}]");
                let mut list = Vec::new();
                if kind == PolicyKind::ResourceControl {
                    let full = Policy::parse(FULL_ACCESS, kind).map_err(|error| error.to_string())?;
                    list.push(Attached::managed("RCPFullAWSAccess", Arc::new(full)));
                }
                for (index, raw) in level.policies.iter().enumerate() {
                    list.push(attach(place(index), raw, &[kind], who)?);
                }
                Ok(list.into())
            };
            levels.as_deref().unwrap_or_default().iter().enumerate().map(level).collect()
        };
        let trust = must_allow(&case.request.action, case.request.resource.as_deref()) == Some(PolicyKind::Trust);
        let kinds: &[PolicyKind] =
            if trust { &[PolicyKind::Trust, PolicyKind::Resource] } else { &[PolicyKind::Resource, PolicyKind::Endpoint] };
        let session = plain("session", &policies.session, PolicyKind::Session)?;
        let documents = Self {
            identity: plain("identity", &policies.identity, PolicyKind::Session)?.into(),
            resource: policies.resource.as_deref().map(|raw| attach("resource".to_owned(), raw, kinds, who)).transpose()?,
            scp: levels("scp", &policies.scp, PolicyKind::ServiceControl)?,
            rcp: levels("rcp", &policies.rcp, PolicyKind::ResourceControl)?,
            boundary: plain("boundary", &policies.boundary, PolicyKind::Session)?,
            session: (!session.is_empty()).then(|| session.into()),
            vpce: plain("vpce", &policies.vpce, PolicyKind::Endpoint)?,
        };
        for (name, list) in [("boundary", &documents.boundary), ("vpce", &documents.vpce)] {
            if list.len() > MAX_ALTERNATIVES {
                return Err(format!("policies.{name}: more than {MAX_ALTERNATIVES} documents"));
            }
        }
        Ok(documents)
    }

    /// Every resource of the action's service that a document speaks of and that `asked` covers.
    fn resources_within(&self, asked: &str, action: &str) -> BTreeSet<String> {
        let service = action.split(':').next().unwrap_or_default();
        let sets = self.identity.iter().chain(&self.resource);
        let texts = sets.flat_map(|attached| attached.policy.resources());
        let within = |text: &&str| six(text).is_some_and(|parts| parts[2].eq_ignore_ascii_case(service)) && covers(asked, text);
        texts.filter(within).map(str::to_owned).take(MAX_CANDIDATES).collect()
    }
}

/// The resources whose own policy must allow: roles that are to be assumed, and KMS keys.
fn must_allow(action: &str, resource: Option<&str>) -> Option<PolicyKind> {
    let (prefix, _) = action.split_once(':')?;
    let target = six(resource?)?[5];
    match prefix.to_ascii_lowercase().as_str() {
        "sts" if target.starts_with("role/") => Some(PolicyKind::Trust),
        "kms" if target.starts_with("key/") => Some(PolicyKind::Resource),
        _ => None,
    }
}

/// Whether every text that `narrow` covers, `wide` covers too; `*` is the only wildcard of a request.
fn covers(wide: &str, narrow: &str) -> bool {
    let mut parts = wide.split('*');
    let Some(mut rest) = parts.next().and_then(|first| narrow.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What belongs to AWS can be seen and used, but not changed by a customer, whatever policies say:
/// AWS's managed policies, roles on its reserved path, keys' aliases that begin with `aws/`.
fn reserved(action: &str, resource: &str) -> bool {
    let Some([_, _, service, _, account, target]) = six(resource) else { return false };
    let action = action.to_ascii_lowercase();
    let name = action.split_once(':').map_or("", |(_, name)| name);
    let changes = |nouns: &[&str]| {
        let verbs = ["attach", "create", "delete", "detach", "pass", "put", "setdefault", "tag", "untag", "update"];
        verbs.iter().filter_map(|verb| name.strip_prefix(verb)).any(|rest| nouns.iter().any(|noun| rest.starts_with(noun)))
    };
    match service {
        "iam" if account == "aws" && target.starts_with("policy/") => changes(&["policy"]),
        "iam" if target.starts_with("role/aws-reserved/") => changes(&["role", "servicelinkedrole", "assumerolepolicy"]),
        "kms" if target.to_ascii_lowercase().starts_with("alias/aws/") => changes(&["alias"]),
        _ => false,
    }
}

/// A case's request, to be asked of one resource or of several.
struct Question<'a> {
    who: &'a Who,
    action: &'a str,
    resource_account: Option<&'a str>,
    context: &'a Context,
    documents: &'a Documents,
}

impl Question<'_> {
    /// Asks about one resource, with each boundary and each endpoint policy in turn.
    fn ask(&self, resource: &str) -> Decision {
        let alternatives = |list: &[Attached]| -> Vec<Option<Attached>> {
            if list.is_empty() { vec![None] } else { list.iter().cloned().map(Some).collect() }
        };
        let endpoints = alternatives(&self.documents.vpce);
        let mut best: Option<Decision> = None;
        for boundary in alternatives(&self.documents.boundary) {
            for endpoint in &endpoints {
                let decision = self.once(resource, boundary.as_ref(), endpoint.as_ref());
                let rank = |decision: &Decision| match decision.outcome {
                    Outcome::ExplicitDeny => 2,
                    Outcome::Allow => 1,
                    Outcome::ImplicitDeny => 0,
                };
                if best.as_ref().is_none_or(|held| rank(&decision) > rank(held)) {
                    best = Some(decision);
                }
            }
        }
        best.unwrap_or_else(|| self.once(resource, None, None))
    }

    fn once(&self, resource: &str, boundary: Option<&Attached>, endpoint: Option<&Attached>) -> Decision {
        if self.who.principal.kind == PrincipalKind::Anonymous && self.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
            // Nobody can be told who nobody is: the call needs credentials, if no permission.
            return Decision { outcome: Outcome::ImplicitDeny, cause: Cause::Identity, statement: None };
        }
        let request = Request {
            action: self.action,
            resource,
            resource_account: self.resource_account,
            principal: &self.who.principal,
            context: self.context,
        };
        let documents = self.documents;
        let mode = must_allow(self.action, Some(resource)).map_or(ResourcePolicyMode::Normal, |_| ResourcePolicyMode::MustAllow);
        let layers = Layers {
            identity: &documents.identity,
            boundary,
            session: documents.session.as_ref(),
            service_control: &documents.scp,
            resource_control: &documents.rcp,
            resource: documents.resource.as_ref(),
            resource_mode: mode,
            endpoint,
        };
        evaluate(&request, &layers)
    }

    fn answer(&self, decision: &Decision, resource: &str) -> Judged {
        let shown = (resource != "*").then_some(resource);
        let refusal = || decision.message(&self.who.principal.arn, self.action, shown);
        let statement = decision.statement.as_ref();
        let by = |statement: &tenantry_policy::StatementRef| {
            let sid = statement.sid.as_deref().filter(|sid| !sid.is_empty()).map(|sid| format!(" (`{sid}`)"));
            format!("statement {}{} of {}", statement.index, sid.unwrap_or_default(), statement.policy)
        };
        let (verdict, effect, reason) = match decision.outcome {
            Outcome::Allow => {
                let by = statement.map_or_else(|| "no policy is needed".to_owned(), by);
                (Verdict::Allow, "Allow", format!("allowed: {by}"))
            }
            Outcome::ExplicitDeny => {
                let by = statement.map_or_else(String::new, |statement| format!(": {}", by(statement)));
                (Verdict::ExplicitDeny, "Deny", format!("{}{by}", refusal()))
            }
            Outcome::ImplicitDeny => (Verdict::ImplicitDeny, "Deny", refusal()),
        };
        let decisive = statement.map(|statement| Decisive {
            policy: statement.policy.to_string(),
            index: statement.index,
            sid: statement.sid.as_deref().map(str::to_owned),
            effect,
        });
        (verdict, reason, decisive.into_iter().collect())
    }
}
