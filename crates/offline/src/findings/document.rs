//! The elements: which must be there, which must not, and of what type they are.

use std::collections::HashSet;

use tenantry_policy::PolicyKind;

use super::place::{Step, into_item, into_key, into_value};
use super::tree::{Member, Node, Value};
use super::{FindingType, Report, action, arn, condition, principal, reach, security};

const ELEMENTS: [&str; 9] = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// A statement's elements, read once.
pub(super) struct Statement<'a> {
    members: &'a [Member],
    pub path: Vec<Step>,
    pub node: &'a Node,
}

impl<'a> Statement<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.members.iter().find(|member| member.name == name).map(|member| &member.node)
    }

    pub(super) fn allows(&self) -> bool {
        self.get("Effect").and_then(Node::text) == Some("Allow")
    }

    pub(super) fn path_to(&self, name: &str) -> Vec<Step> {
        into_value(&self.path, name)
    }

    /// The strings of an element.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.get(name).into_iter().flat_map(Node::items).filter_map(Node::text)
    }
}

/// Checks everything.
pub(super) fn check(report: &mut Report<'_>, root: &Node) {
    let Some(members) = root.members() else {
        return report.error("DATA_TYPE_MISMATCH", &[], &root.span, "a policy is a JSON object");
    };
    repeated(report, &[], members);
    version(report, root, members);
    size(report, root);
    for member in members.iter().filter(|member| !["Version", "Id", "Statement"].contains(&member.name.as_str())) {
        let path = into_key(&[], &member.name);
        report.error("INVALID_POLICY_ELEMENT", &path, &member.name_span, format!("a policy has no element `{}`", shown(&member.name)));
    }
    let Some(list) = members.iter().find(|member| member.name == "Statement").map(|member| &member.node) else {
        return report.error("MISSING_STATEMENT", &[], &root.span, "add a `Statement`");
    };
    let path = into_value(&[], "Statement");
    if list.items().is_empty() {
        report.error("MISSING_STATEMENT", &path, &list.span, "add a statement to the list");
    }
    let mut sids = HashSet::new();
    for (index, node) in list.items().iter().enumerate() {
        let path = into_item(&path, list, index);
        match node.members() {
            None => report.error("DATA_TYPE_MISMATCH", &path, &node.span, "a statement is a JSON object"),
            Some(members) => statement(report, &Statement { members, path, node }, &mut sids),
        }
    }
}

/// At most this much of somebody else's text is repeated in ours.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(120).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

fn repeated(report: &mut Report<'_>, path: &[Step], members: &[Member]) {
    let (mut exact, mut folded) = (HashSet::new(), HashSet::new());
    for member in members {
        let again = !exact.insert(member.name.as_str());
        let similar = !folded.insert(member.name.to_lowercase());
        if again || similar {
            let code = if again { "JSON_SYNTAX_ERROR" } else { "DUPLICATE_KEYS_WITH_DIFFERENT_CASE" };
            let text = format!("`{}` stands here twice: readers disagree about which one counts", shown(&member.name));
            report.error(code, &into_key(path, &member.name), &member.name_span, text);
        }
    }
}

fn version(report: &mut Report<'_>, root: &Node, members: &[Member]) {
    let Some(node) = members.iter().find(|member| member.name == "Version").map(|member| &member.node) else {
        let text = "add `\"Version\": \"2012-10-17\"`: without it variables are plain text";
        return report.add(FindingType::Warning, "MISSING_VERSION", &[], &root.span, text);
    };
    let path = into_value(&[], "Version");
    match node.text() {
        Some("2012-10-17") => report.variables = true,
        Some("2008-10-17") => {
            let text = "the version of 2008 has no variables; write 2012-10-17";
            report.add(FindingType::Warning, "OLD_VERSION", &path, &node.span, text);
        }
        _ => report.error("INVALID_VERSION", &path, &node.span, "the version is 2012-10-17"),
    }
}

/// Sizes count characters that are not white space.
fn size(report: &mut Report<'_>, root: &Node) {
    let (quota, code, kind) = match report.kind {
        PolicyKind::Identity | PolicyKind::Boundary => (6_144, "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", FindingType::Error),
        PolicyKind::Trust => (4_096, "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA", FindingType::Error),
        PolicyKind::Session => (2_048, "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", FindingType::Error),
        PolicyKind::ServiceControl => (5_120, "POLICY_SIZE_EXCEEDS_SCP_QUOTA", FindingType::Error),
        PolicyKind::ResourceControl => (5_120, "POLICY_SIZE_EXCEEDS_RCP_QUOTA", FindingType::Error),
        PolicyKind::Resource | PolicyKind::Endpoint => (20_480, "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA", FindingType::Warning),
    };
    let size = report.text.chars().filter(|c| !c.is_whitespace()).count();
    if size > quota {
        report.add(kind, code, &[], &root.span, format!("{size} characters without white space; at most {quota} are stored"));
    }
}

fn statement(report: &mut Report<'_>, statement: &Statement<'_>, sids: &mut HashSet<String>) {
    repeated(report, &statement.path, statement.members);
    for member in statement.members.iter().filter(|member| !ELEMENTS.contains(&member.name.as_str())) {
        let path = into_key(&statement.path, &member.name);
        report.error("INVALID_POLICY_ELEMENT", &path, &member.name_span, format!("a statement has no element `{}`", shown(&member.name)));
    }
    sid(report, statement, sids);
    effect(report, statement);
    for (name, missing) in [("Action", "MISSING_ACTION"), ("Resource", "MISSING_RESOURCE"), ("Principal", "MISSING_PRINCIPAL")] {
        either(report, statement, name, missing);
    }
    for name in ["Action", "NotAction", "Resource", "NotResource"] {
        strings(report, statement, name);
    }
    action::check(report, statement);
    arn::check(report, statement);
    principal::check(report, statement);
    condition::check(report, statement);
    reach::check(report, statement);
    security::check(report, statement);
}

fn sid(report: &mut Report<'_>, statement: &Statement<'_>, sids: &mut HashSet<String>) {
    let Some(node) = statement.get("Sid") else { return };
    let path = statement.path_to("Sid");
    let free = matches!(report.kind, PolicyKind::Resource | PolicyKind::Endpoint);
    match node.text() {
        None => report.error("DATA_TYPE_MISMATCH", &path, &node.span, "a `Sid` is a string"),
        Some("") => report.add(FindingType::Suggestion, "EMPTY_SID_VALUE", &path, &node.span, "name the statement, or leave `Sid` out"),
        Some(text) if !free && !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            report.error("UNSUPPORTED_SID", &path, &node.span, "a `Sid` has letters and digits only");
        }
        Some(text) if !sids.insert(text.to_owned()) => {
            let (kind, code) =
                if free { (FindingType::Warning, "UNIQUE_SIDS_RECOMMENDED") } else { (FindingType::Error, "UNIQUE_SIDS_REQUIRED") };
            report.add(kind, code, &path, &node.span, format!("the `Sid` `{}` is taken by a statement before", shown(text)));
        }
        Some(_) => {}
    }
}

fn effect(report: &mut Report<'_>, statement: &Statement<'_>) {
    match statement.get("Effect") {
        None => report.error("MISSING_EFFECT", &statement.path, &statement.node.span, "add `\"Effect\": \"Allow\"` or `\"Deny\"`"),
        Some(node) if !matches!(node.text(), Some("Allow" | "Deny")) => {
            report.error("INVALID_EFFECT", &statement.path_to("Effect"), &node.span, "an effect is `Allow` or `Deny`, in that letter case");
        }
        Some(_) => {}
    }
}

/// `name` or `Not`+`name`: where one is wanted, where none may be, never both.
fn either(report: &mut Report<'_>, statement: &Statement<'_>, name: &str, missing: &'static str) {
    let inverse = format!("Not{name}");
    let (plain, negated) = (statement.get(name), statement.get(&inverse));
    let span = &statement.node.span;
    if plain.is_some() && negated.is_some() {
        let text = format!("`{name}` and `{inverse}` exclude each other");
        return report.error("UNSUPPORTED_ELEMENT_COMBINATION", &statement.path, span, text);
    }
    let present = plain.is_some() || negated.is_some();
    let own_resource = matches!(report.kind, PolicyKind::Resource | PolicyKind::Trust);
    let named = matches!(report.kind, PolicyKind::Resource | PolicyKind::Trust | PolicyKind::ResourceControl | PolicyKind::Endpoint);
    match (name, present) {
        ("Action", false) => report.error(missing, &statement.path, span, "add an `Action`"),
        ("Resource", false) if !own_resource => report.error(missing, &statement.path, span, "add a `Resource`"),
        ("Principal", false) if named => report.error(missing, &statement.path, span, "add a `Principal`: this kind of policy says who"),
        ("Principal", true) if !named => {
            let code = if report.kind == PolicyKind::ServiceControl { "SCP_SYNTAX_ERROR_PRINCIPAL" } else { "UNSUPPORTED_PRINCIPAL" };
            let at = if plain.is_some() { name } else { &inverse };
            let text = format!("remove `{at}`: whom this policy concerns is where it is attached");
            report.error(code, &statement.path_to(at), &plain.or(negated).map_or(span, |node| &node.span).clone(), text);
        }
        ("Resource", true) if report.kind == PolicyKind::Trust => {
            let text = "remove the resource: a trust policy is about the role it belongs to";
            report.error("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", &statement.path, span, text);
        }
        _ => {}
    }
    if negated.is_some() && name == "Principal" && report.kind == PolicyKind::Trust {
        report.error(
            "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL",
            &statement.path_to(&inverse),
            span,
            "a trust policy names whom it trusts",
        );
    }
}

/// A string or a list of strings.
fn strings(report: &mut Report<'_>, statement: &Statement<'_>, name: &str) {
    let Some(node) = statement.get(name) else { return };
    let path = statement.path_to(name);
    if let Value::List(items) = &node.value
        && items.is_empty()
    {
        let code = if name.ends_with("Action") { "EMPTY_ARRAY_ACTION" } else { "EMPTY_ARRAY_RESOURCE" };
        report.add(FindingType::Suggestion, code, &path, &node.span, format!("`{name}` lists nothing: the statement never applies"));
    }
    for (index, item) in node.items().iter().enumerate().filter(|(_, item)| item.text().is_none()) {
        let path = into_item(&path, node, index);
        report.error("DATA_TYPE_MISMATCH", &path, &item.span, format!("`{name}` holds strings"));
    }
}
