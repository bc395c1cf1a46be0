//! Lists that only a person may change: what needs no policy, and what is modelled but not served.
//!
//! `TENANTRY_UPDATE_GOLDEN=1 cargo test -p tenantry-matrix golden` writes them anew.

use std::{collections::BTreeSet, path::PathBuf};

use tenantry_kernel::{Access, Credential};

use crate::services;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn updating() -> bool {
    std::env::var_os("TENANTRY_UPDATE_GOLDEN").is_some()
}

#[test]
fn open_operations() {
    let mut lines: Vec<String> = services::table()
        .iter()
        .filter_map(|row| match row.access() {
            Access::Check { .. } => None,
            Access::CallerOnly(reason) => Some(format!("{}:{} caller-only: {reason}\n", row.service, row.name)),
            Access::Public(reason) => Some(format!("{}:{} public: {reason}\n", row.service, row.name)),
        })
        .collect();
    // Calls that nobody signs: policies decide once the input has proven who calls.
    lines.extend(services::table().iter().filter_map(|row| match row.credential() {
        Credential::Signature => None,
        Credential::Input(reason) => Some(format!("{}:{} credential in the input: {reason}\n", row.service, row.name)),
    }));
    lines.sort();
    let now = lines.concat();
    let path = file("open-operations.txt");
    if updating() {
        std::fs::write(&path, &now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(before, now, "an operation that no policy guards came or went: look at it, then update {}", path.display());
}

#[test]
fn modelled_but_not_served() {
    let served: BTreeSet<(&str, &str)> = services::table().iter().map(|row| (row.service, row.name)).collect();
    let mut now = BTreeSet::new();
    for service in tenantry_wire::services() {
        for operation in service.operations() {
            if !served.contains(&(service.name.as_str(), operation.name.as_str())) {
                now.insert(format!("{}:{}", service.name, operation.name));
            }
        }
    }
    let path = file("not-served.txt");
    if updating() {
        std::fs::write(&path, now.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let before: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let (more, fewer): (Vec<_>, Vec<_>) = (now.difference(&before).collect(), before.difference(&now).collect());
    assert!(more.is_empty(), "no longer served, or modelled without being served: {more:?}");
    assert!(fewer.is_empty(), "served by now, so take them off {}: {fewer:?}", path.display());
}

#[test]
fn every_row_is_well_formed() {
    for row in services::table() {
        let name = format!("{}:{}", row.service, row.name);
        let service = tenantry_wire::service(row.service).unwrap_or_else(|| panic!("{name}: no such model"));
        assert!(service.operation(row.name).is_some(), "{name} is not modelled");
        match row.access() {
            Access::Check { action, alternatives, resources, .. } => {
                for action in std::iter::once(&action).chain(alternatives) {
                    let (prefix, verb) = action.split_once(':').unwrap_or_else(|| panic!("{name}: {action} has no prefix"));
                    assert_eq!(prefix, service.signing_name, "{name}: {action} is another service's");
                    assert!(!verb.is_empty() && !verb.contains('*'), "{name}: {action}");
                }
                assert!(!resources.is_empty(), "{name} says no resource type; \"*\" is one");
            }
            Access::CallerOnly(reason) | Access::Public(reason) => assert!(reason.len() > 20, "{name}: give a reason"),
        }
    }
}
