//! `Principal` and `NotPrincipal`.

use tenantry_policy::{Policy, PolicyKind};

use super::document::{Statement, shown};
use super::place::{Step, into_item, into_key, into_value};
use super::tree::{Node, Value};
use super::variable;
use super::{FindingType, Report};

const KEYS: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    for name in ["Principal", "NotPrincipal"] {
        let Some(node) = statement.get(name) else { continue };
        let path = statement.path_to(name);
        if name == "NotPrincipal" && statement.allows() {
            let why = "this allows everybody in the world whom it does not name; use `Principal`";
            report.add(FindingType::SecurityWarning, "ALLOW_WITH_NOT_PRINCIPAL", &path, &node.span, why);
        }
        match &node.value {
            Value::Text(text) if text == "*" => {}
            Value::Text(text) => {
                let why = format!("write `{{\"AWS\": \"{}\"}}`", shown(text));
                report.error("INVALID_PRINCIPAL_FORMAT", &path, &node.span, why);
            }
            Value::Map(members) if members.is_empty() => {
                report.add(
                    FindingType::Suggestion,
                    "EMPTY_OBJECT_PRINCIPAL",
                    &path,
                    &node.span,
                    "nobody is named: the statement never applies",
                );
            }
            Value::Map(members) => {
                for member in members {
                    if KEYS.contains(&member.name.as_str()) {
                        names(report, &path, &member.name, &member.node);
                    } else {
                        let why = format!("`{}` is no kind of principal: AWS, Service, Federated, CanonicalUser are", shown(&member.name));
                        report.error("INVALID_PRINCIPAL_KEY", &into_key(&path, &member.name), &member.name_span, why);
                    }
                }
            }
            _ => report.error("DATA_TYPE_MISMATCH", &path, &node.span, "a principal is `\"*\"` or an object"),
        }
    }
    deputy(report, statement);
}

fn names(report: &mut Report<'_>, path: &[Step], kind: &str, node: &Node) {
    let path = into_value(path, kind);
    if node.items().is_empty() {
        report.add(FindingType::Suggestion, "EMPTY_ARRAY_PRINCIPAL", &path, &node.span, "nobody is named here");
    }
    for (index, item) in node.items().iter().enumerate() {
        let path = into_item(&path, node, index);
        let Some(text) = item.text() else {
            report.error("DATA_TYPE_MISMATCH", &path, &item.span, "a principal is a string");
            continue;
        };
        if variable::unsupported(report, &path, &item.span, text, "Principal") || kind == "CanonicalUser" {
            continue;
        }
        // The reader of policies knows which principals can be named.
        let entry = serde_json::json!({"Version": "2012-10-17", "Statement":
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": {kind: text}}});
        if Policy::parse(&entry.to_string(), PolicyKind::Resource).is_ok() {
            continue;
        }
        let (code, why) = match kind {
            _ if text.contains(['*', '?']) => {
                ("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", "a principal is named in full, or it is `*`; use a condition on `aws:PrincipalArn`")
            }
            "Service" => ("INVALID_SERVICE_PRINCIPAL_FORMAT", "a service is named like `sagemaker.amazonaws.com`"),
            _ => ("INVALID_PRINCIPAL_FORMAT", "name an account, or the ARN of a user, role, role session or federated user"),
        };
        report.error(code, &path, &item.span, why);
    }
}

/// Condition keys that say on whose behalf a service calls.
const ON_BEHALF: [&str; 5] = ["aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths", "sts:externalid"];

/// A service that may act for whoever asks it to ("The confused deputy problem", IAM User Guide).
fn deputy(report: &mut Report<'_>, statement: &Statement<'_>) {
    let Some(members) = statement.get("Principal").and_then(Node::members).filter(|_| statement.allows()) else { return };
    let Some(service) = members.iter().find(|member| member.name == "Service") else { return };
    let conditions = statement.get("Condition").and_then(Node::members).unwrap_or_default();
    let keys = conditions.iter().filter_map(|operator| operator.node.members()).flatten();
    if keys.map(|key| key.name.to_ascii_lowercase()).any(|key| ON_BEHALF.contains(&key.as_str())) {
        return;
    }
    let path = into_value(&statement.path_to("Principal"), "Service");
    let why = "the service may act for anybody: add a condition on `aws:SourceArn` or `aws:SourceAccount`";
    report.add(FindingType::SecurityWarning, "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", &path, &service.node.span, why);
}
