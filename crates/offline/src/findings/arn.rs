//! `Resource` and `NotResource`: ARNs that no resource has.

use std::collections::HashSet;
use std::sync::OnceLock;

use tenantry_facts::{Resource, Service};
use tenantry_policy::PolicyKind;

use super::action::covers;
use super::document::{Statement, shown};
use super::overlap::Pattern;
use super::place::into_item;
use super::variable;
use super::{FindingType, Report};

const PARTITIONS: [&str; 7] = ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"];
/// Longer lists are not searched for what is said twice.
const MAX_COMPARED: usize = 200;

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    for name in ["Resource", "NotResource"] {
        let Some(node) = statement.get(name) else { continue };
        let path = statement.path_to(name);
        let items = node.items();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let path = into_item(&path, node, index);
            variable::check(report, &path, &item.span, text);
            if text.len() > super::MAX_NAME {
                report.error("INVALID_ARN_RESOURCE", &path, &item.span, format!("no ARN is longer than {} characters", super::MAX_NAME));
                continue;
            }
            if !report.search() {
                return;
            }
            if let Some((code, why)) = fault(text, report.kind) {
                report.error(code, &path, &item.span, why);
            }
            let said = |at: usize, other: &str| at != index && if other == text { at < index } else { arn_covers(other, text) };
            let few = items.len() <= MAX_COMPARED;
            if few && items.iter().enumerate().any(|(at, other)| other.text().is_some_and(|other| said(at, other))) {
                let why = format!("`{}` is covered by another resource of the list", shown(text));
                report.add(FindingType::Suggestion, "REDUNDANT_RESOURCE", &path, &item.span, why);
            }
        }
    }
}

fn arn_covers(wide: &str, narrow: &str) -> bool {
    if wide.len() + narrow.len() > super::MAX_NAME {
        return false;
    }
    if wide == "*" {
        return true;
    }
    let (Some(wide), Some(narrow)) = (six(wide), six(narrow)) else { return false };
    // Letter case counts in ARNs, and a variable covers what nobody knows yet.
    wide.iter().zip(narrow).all(|(wide, narrow)| {
        *wide == narrow || (!wide.contains("${") && !wide.bytes().any(|b| b.is_ascii_uppercase()) && covers(wide, narrow))
    })
}

/// The six segments; the colons of variables do not count.
pub(super) fn six(text: &str) -> Option<[&str; 6]> {
    let parts = split(text);
    <[&str; 6]>::try_from(parts).ok()
}

fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if at > 0 && text.as_bytes()[at - 1] == b'$' => inside = true,
            b'}' => inside = false,
            b':' if !inside && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Why an ARN is none.
fn fault(text: &str, kind: PolicyKind) -> Option<(&'static str, String)> {
    if text == "*" {
        return None;
    }
    let parts = split(text);
    if parts[0] != "arn" && parts[0] != "*" || parts.len() == 1 {
        return Some(("INVALID_ARN_PREFIX", format!("`{}` is neither an ARN nor `*`", shown(text))));
    }
    let Ok([_, partition, service, region, account, resource]) = <[&str; 6]>::try_from(parts) else {
        let padded = matches!(kind, PolicyKind::Identity | PolicyKind::Session | PolicyKind::Boundary) || text.ends_with('*');
        let what = if padded { "what is missing stands for anything" } else { "it matches nothing" };
        return Some(("MISSING_ARN_FIELD", format!("an ARN has six parts between colons; {what}")));
    };
    let open = |part: &str| part.contains(['*', '?']) || part.contains("${");
    if !open(partition) && !PARTITIONS.contains(&partition) {
        return Some(("INVALID_PARTITION", format!("there is no partition `{}`", shown(partition))));
    }
    if open(service) {
        return None;
    }
    if service.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(("INVALID_ARN_SERVICE_CASE", format!("write the service `{}` in lower case", shown(service))));
    }
    let number = account.is_empty() || account == "aws" || (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
    if !number && !open(account) {
        return Some(("INVALID_ARN_ACCOUNT", format!("`{}` is no account: twelve digits are", shown(account))));
    }
    match tenantry_facts::service(service) {
        None if !elsewhere(service) => Some(("INVALID_SERVICE", format!("no ARN has the service `{}`", shown(service)))),
        None => None,
        Some(_) if account == "aws" => None,
        Some(known) => form(known, region, account, resource),
    }
}

/// Services whose ARNs say something else than their actions.
fn elsewhere(service: &str) -> bool {
    static SERVICES: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let all = || {
        let resources = tenantry_facts::prefixes().filter_map(tenantry_facts::service).flat_map(|service| &service.resources);
        resources.filter_map(|resource| six(resource.arn)).map(|parts| parts[2]).collect()
    };
    SERVICES.get_or_init(all).contains(service)
}

/// Whether one segment of a policy can be one of a format.
fn segment(written: &str, format: &str) -> bool {
    if format.is_empty() || written.is_empty() {
        return written.bytes().all(|byte| byte == b'*') && (format.is_empty() || !written.is_empty());
    }
    Pattern::of_policy(written, false).meets(&Pattern::of_format(format))
}

/// Whether a policy's ARN can be the ARN of a resource type.
pub(super) fn fits(written: &str, resource: &Resource) -> bool {
    if written == "*" {
        return true;
    }
    let Some(format) = six(resource.arn) else { return true };
    let mut parts = split(written);
    parts.resize(6, "*");
    parts[1..].iter().zip(&format[1..]).all(|(written, format)| segment(written, format))
}

/// Holds region, account and resource against the service's formats.
fn form(service: &Service, region: &str, account: &str, resource: &str) -> Option<(&'static str, String)> {
    let formats: Vec<[&str; 6]> =
        service.resources.iter().filter_map(|resource| six(resource.arn)).filter(|parts| parts[2] == service.prefix).collect();
    if formats.is_empty() {
        return None;
    }
    let named: Vec<&[&str; 6]> = formats.iter().filter(|format| segment(resource, format[5])).collect();
    let Some(first) = named.first() else {
        let mut known: Vec<&str> = formats.iter().map(|format| format[5]).collect();
        known.sort_unstable();
        known.dedup();
        let some = known.iter().take(5).copied().collect::<Vec<_>>().join("`, `");
        return Some((
            "INVALID_ARN_RESOURCE",
            format!(
                "no resource of `{}` is named like `{}`; its resources are `{some}`{}",
                service.prefix,
                shown(resource),
                if known.len() > 5 { ", …" } else { "" }
            ),
        ));
    };
    if !named.iter().any(|format| segment(region, format[3])) {
        return Some(if region.is_empty() {
            ("MISSING_ARN_REGION", format!("the ARN has a region: `{}`", first.join(":")))
        } else {
            ("ARN_REGION_NOT_ALLOWED", format!("the ARN has no region: `{}`", first.join(":")))
        });
    }
    if !named.iter().any(|format| segment(account, format[4])) {
        return Some(if account.is_empty() {
            ("MISSING_ARN_FIELD", format!("the ARN has an account: `{}`", first.join(":")))
        } else {
            ("ARN_ACCOUNT_NOT_ALLOWED", format!("the ARN has no account: `{}`", first.join(":")))
        });
    }
    None
}
