//! Permissions that are wider than they look.

use tenantry_policy::PolicyKind;

use super::action::covers;
use super::document::Statement;
use super::tree::Node;
use super::{FindingType, Report};

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    if !statement.allows() || !matches!(report.kind, PolicyKind::Identity | PolicyKind::Session) {
        return;
    }
    wide(
        report,
        statement,
        "iam:PassRole",
        "PASS_ROLE",
        "hands any role to a service",
        &["iam:passedtoservice", "iam:associatedresourcearn"],
    );
    wide(report, statement, "iam:CreateServiceLinkedRole", "CREATE_SLR", "creates the role of any service", &["iam:awsservicename"]);
}

/// An action that is dangerous on all resources.
fn wide(report: &mut Report<'_>, statement: &Statement<'_>, action: &str, code: &str, what: &str, keys: &[&str]) {
    let conditions = statement.get("Condition").and_then(Node::members).unwrap_or_default();
    let mut held = conditions.iter().filter_map(|operator| operator.node.members()).flatten();
    if held.any(|key| keys.contains(&key.name.to_ascii_lowercase().as_str())) {
        return;
    }
    let exact = statement.texts("Action").any(|text| text.eq_ignore_ascii_case(action));
    let starred = statement.texts("Action").any(|text| covers(text, action));
    let inverted = statement.get("NotAction").is_some() && !statement.texts("NotAction").any(|text| covers(text, action));
    let all =
        statement.texts("Resource").any(|text| matches!(text, "*" | "arn:aws:iam::*:*" | "arn:aws:iam::*:role/*" | "arn:*:iam::*:role/*"));
    let rest = statement.get("NotResource").is_some();
    let name = match (exact, starred, inverted, all, rest) {
        (true, _, _, true, _) => "WITH_STAR_IN_RESOURCE",
        (true, _, _, _, true) => "WITH_NOT_RESOURCE",
        (_, true, _, true, _) => "WITH_STAR_IN_ACTION_AND_RESOURCE",
        (_, true, _, _, true) => "WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
        (_, _, true, true, _) => "WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
        (_, _, true, _, true) => "WITH_NOT_ACTION_AND_NOT_RESOURCE",
        _ => return,
    };
    let Some(code) = CODES.iter().find(|known| known.strip_prefix(code).and_then(|rest| rest.strip_prefix('_')) == Some(name)) else {
        return;
    };
    let (element, node) =
        ["Resource", "NotResource"].into_iter().find_map(|name| Some((name, statement.get(name)?))).unwrap_or(("Resource", statement.node));
    let kind = if code.starts_with("PASS_ROLE") { FindingType::SecurityWarning } else { FindingType::Warning };
    report.add(
        kind,
        code,
        &statement.path_to(element),
        &node.span,
        format!(
            "`{action}` on all resources {what}: name the roles, or add a condition on `{}`",
            SPELLED.iter().find(|key| key.eq_ignore_ascii_case(keys[0])).unwrap_or(&keys[0])
        ),
    );
}

const SPELLED: [&str; 2] = ["iam:PassedToService", "iam:AWSServiceName"];

const CODES: [&str; 12] = [
    "PASS_ROLE_WITH_STAR_IN_RESOURCE",
    "PASS_ROLE_WITH_NOT_RESOURCE",
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE",
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
    "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
    "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE",
    "CREATE_SLR_WITH_STAR_IN_RESOURCE",
    "CREATE_SLR_WITH_NOT_RESOURCE",
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE",
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
    "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
    "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE",
];
