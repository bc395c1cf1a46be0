//! `Action` and `NotAction`: actions that no service has.

use tenantry_policy::PolicyKind;

use super::document::{Statement, shown};
use super::overlap::Pattern;
use super::place::into_item;
use super::variable;
use super::{FindingType, Report};

/// The longest action's name has about half as many characters.
const MAX_ACTION: usize = 128;
/// Longer lists are not searched for what is said twice.
const MAX_COMPARED: usize = 200;

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    for name in ["Action", "NotAction"] {
        let Some(node) = statement.get(name) else { continue };
        let path = statement.path_to(name);
        for (index, item) in node.items().iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let path = into_item(&path, node, index);
            if variable::unsupported(report, &path, &item.span, text, name) {
                continue;
            }
            if let Some((code, why)) = fault(report, text) {
                report.error(code, &path, &item.span, why);
            } else if report.kind == PolicyKind::Trust && !text.to_ascii_lowercase().starts_with("sts:") {
                report.error("ROLE_TRUST_POLICY_UNSUPPORTED_ACTION", &path, &item.span, "a trust policy allows actions of `sts` only");
            } else if redundant(node.items(), index) {
                let why = format!("`{}` is covered by another action of the list", shown(text));
                report.add(FindingType::Suggestion, "REDUNDANT_ACTION", &path, &item.span, why);
            }
        }
    }
}

/// Why an action is none.
fn fault(report: &mut Report<'_>, text: &str) -> Option<(&'static str, String)> {
    if text == "*" || text == "*:*" {
        return None;
    }
    let Some((prefix, name)) = text.split_once(':') else {
        return Some(("INVALID_ACTION", format!("`{}` is not `service:Action`", shown(text))));
    };
    let Some(service) = tenantry_facts::service(&prefix.to_ascii_lowercase()) else {
        return Some(("INVALID_SERVICE_IN_ACTION", format!("there is no service prefix `{}`", shown(prefix))));
    };
    if !report.search() {
        return None;
    }
    if name.contains(['*', '?']) {
        // What is not a wildcard has to be in the name, and names are short.
        if name.chars().filter(|c| *c != '*').count() > MAX_ACTION {
            return Some(("INVALID_ACTION", format!("no action has a name as long as `{}`", shown(name))));
        }
        let name = &squeezed(name);
        let pattern = Pattern::of_policy(name, true);
        let any = service.actions.iter().any(|action| pattern.meets(&Pattern::of_format(&action.name.to_ascii_lowercase())));
        return (!any).then(|| ("INVALID_ACTION", format!("no action of `{}` is named like `{}`", service.prefix, shown(name))));
    }
    if service.action(name).is_some() {
        return None;
    }
    let hint = service.actions.iter().map(|action| (distance(action.name, name), action.name)).min();
    let hint = hint.filter(|(far, _)| *far <= 2).map(|(_, near)| format!("; did you mean `{near}`?")).unwrap_or_default();
    Some(("INVALID_ACTION", format!("`{}` has no action `{}`{hint}", service.prefix, shown(name))))
}

/// The pattern with one star for several in a row.
fn squeezed(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().filter(|c| c.is_ascii()) {
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

/// How many letters are wrong; names much longer than any action are not compared.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 100 {
        return usize::MAX;
    }
    let b: Vec<u8> = b.to_ascii_lowercase().into_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().map(|byte| byte.to_ascii_lowercase()).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let least = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[b.len()]
}

/// Whether another item of the list already says what this one says.
fn redundant(items: &[super::tree::Node], index: usize) -> bool {
    let Some(own) = items[index].text() else { return false };
    items.len() <= MAX_COMPARED
        && items.iter().enumerate().any(|(at, other)| {
            let Some(other) = other.text() else { return false };
            let same = own.eq_ignore_ascii_case(other);
            at != index && own.len() + other.len() < super::MAX_NAME && if same { at < index } else { covers(other, own) }
        })
}

/// Whether `wide` is a pattern that takes every text of `narrow`, which may be a pattern itself.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    let (wide, narrow): (Vec<u8>, Vec<u8>) = (wide.to_ascii_lowercase().into(), narrow.to_ascii_lowercase().into());
    let (mut w, mut n, mut back) = (0, 0, None);
    while n < narrow.len() {
        if w < wide.len() && wide[w] == b'*' {
            back = Some((w, n));
            w += 1;
        } else if w < wide.len() && (wide[w] == narrow[n] || (wide[w] == b'?' && narrow[n] != b'*')) {
            (w, n) = (w + 1, n + 1);
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            (w, n) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    wide[w..].iter().all(|byte| *byte == b'*')
}
