//! `tenantry coverage`: every modelled operation, whether it is served, and who may call it. What
//! `docs/coverage.md` holds.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::json;
use tenantry_kernel::{ARN_FORMATS, Access, OperationRow};

use crate::{failure::Failure, instance};

/// `tenantry coverage --json`: the rows and the ARN formats of their resource types, for programs.
#[expect(clippy::print_stdout, reason = "the document is the command's data")]
pub fn facts() -> Result<ExitCode, Failure> {
    let mut rows = instance::tables();
    rows.sort_by_key(|row| (row.service, row.name));
    let rows = rows.iter().map(|row| {
        let mut facts = match row.access() {
            Access::Check { action, alternatives, resources, keys, dependent } => {
                let actions: Vec<_> = std::iter::once(&action).chain(alternatives).collect();
                json!({"access": "check", "actions": actions, "resources": resources, "keys": keys, "dependent": dependent})
            }
            Access::CallerOnly(reason) => json!({"access": "caller", "reason": reason}),
            Access::Public(reason) => json!({"access": "public", "reason": reason}),
        };
        facts["service"] = json!(row.service);
        facts["operation"] = json!(row.name);
        facts
    });
    let formats = ARN_FORMATS.iter().map(|(service, of_type, arn)| json!({"service": service, "type": of_type, "arn": arn}));
    println!("{}", json!({"operations": rows.collect::<Vec<_>>(), "resources": formats.collect::<Vec<_>>()}));
    Ok(ExitCode::SUCCESS)
}

/// `tenantry coverage`.
#[expect(clippy::print_stdout, reason = "the page is the command's data")]
pub fn coverage() -> Result<ExitCode, Failure> {
    let rows: BTreeMap<(&str, &str), OperationRow> = instance::tables().into_iter().map(|row| ((row.service, row.name), row)).collect();
    println!("# Operations served\n");
    println!("Made by `cargo xtask coverage` from the services' tables and the models. An operation that is not listed answers");
    println!(
        "`UnknownOperationException` (or its protocol's kin). Step types, images and settings that are not available are refused by name.\n"
    );
    for service in tenantry_wire::services() {
        let served = service.operations().filter(|op| rows.contains_key(&(service.name.as_str(), op.name.as_str()))).count();
        println!("## {} ({served} of {} modelled)\n", service.name, service.operations().count());
        println!("| operation | who may call |\n|---|---|");
        for operation in service.operations() {
            let who = match rows.get(&(service.name.as_str(), operation.name.as_str())).map(tenantry_kernel::OperationRow::access) {
                None => "**not served yet**".to_owned(),
                Some(Access::Check { action, alternatives, resources, keys, .. }) => {
                    let action = std::iter::once(&action).chain(alternatives).copied().collect::<Vec<_>>().join("` or `");
                    let keys = if keys.is_empty() { String::new() } else { format!("; keys {}", keys.join(", ")) };
                    format!("`{action}` on {}{keys}", resources.join(", "))
                }
                Some(Access::CallerOnly(reason)) => format!("any authenticated principal: {reason}"),
                Some(Access::Public(reason)) => format!("anyone: {reason}"),
            };
            println!("| {} | {who} |", operation.name);
        }
        println!();
    }
    Ok(ExitCode::SUCCESS)
}
