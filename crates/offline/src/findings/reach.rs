//! Actions and resources of one statement that never come together.

use std::collections::HashMap;

use tenantry_facts::{Action, Service};

use super::arn::fits;
use super::document::{Statement, shown};
use super::overlap::Pattern;
use super::place::into_item;
use super::{FindingType, Report};

/// Characters of resources times resource types that are compared at most.
const MAX_COMPARED: usize = 1_000_000;
/// Longer patterns are not expanded.
const MAX_PATTERN: usize = 256;

type Reachable = HashMap<(&'static str, &'static str), Vec<bool>>;

/// The actions that a pattern stands for; `None` where it stands for those of all services.
pub(super) fn expand(report: &mut Report<'_>, text: &str) -> Option<(&'static Service, Vec<&'static Action>)> {
    let (prefix, name) = text.split_once(':')?;
    let service = tenantry_facts::service(&prefix.to_ascii_lowercase())?;
    if name.len() > MAX_PATTERN || !report.search() {
        return None;
    }
    let actions = match service.action(name) {
        Some(action) => vec![action],
        None if name.contains(['*', '?']) => {
            let pattern = Pattern::of_policy(name, true);
            service.actions.iter().filter(|action| pattern.meets(&Pattern::of_format(&action.name.to_ascii_lowercase()))).collect()
        }
        None => Vec::new(),
    };
    Some((service, actions))
}

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    let (Some(actions), Some(resources)) = (statement.get("Action"), statement.get("Resource")) else { return };
    let texts: Vec<&str> = resources.items().iter().filter_map(super::tree::Node::text).collect();
    if texts.is_empty() || texts.contains(&"*") || texts.len() != resources.items().len() {
        return;
    }
    let size: usize = texts.iter().map(|text| text.len()).sum();
    let mut reachable = Reachable::new();
    let mut met = vec![false; texts.len()];
    let path = statement.path_to("Action");
    for (index, item) in actions.items().iter().enumerate() {
        let Some(text) = item.text() else { return };
        // `*` reaches everything, and what no service knows has been reported.
        let Some((service, found)) = expand(report, text).filter(|(_, found)| !found.is_empty()) else { return };
        let mut any = false;
        for action in &found {
            for row in action.rows.iter().filter(|row| !row.resource.is_empty()) {
                let Some(resource) = service.resource(row.resource) else { return };
                if reachable.len() * size > MAX_COMPARED {
                    return;
                }
                let list = reachable
                    .entry((service.prefix, row.resource))
                    .or_insert_with(|| texts.iter().map(|text| fits(text, resource)).collect());
                any |= list.contains(&true);
                met.iter_mut().zip(list).for_each(|(met, fits)| *met |= *fits);
            }
        }
        if !any {
            let path = into_item(&path, actions, index);
            let (code, why) = if found.iter().all(|action| action.wildcard_only()) {
                ("ACTION_WITHOUT_RESOURCE_TYPES", "has no resources: only `\"Resource\": \"*\"` reaches it")
            } else {
                ("ACTION_WITHOUT_MATCHING_RESOURCE", "concerns none of the statement's resources")
            };
            report.add(FindingType::Warning, code, &path, &item.span, format!("`{}` {why}", shown(text)));
        }
    }
    let path = statement.path_to("Resource");
    for (index, item) in resources.items().iter().enumerate().filter(|(index, _)| !met[*index]) {
        let why = format!("none of the statement's actions concerns `{}`", shown(texts[index]));
        report.add(FindingType::Warning, "RESOURCE_WITHOUT_MATCHING_ACTION", &into_item(&path, resources, index), &item.span, why);
    }
}
