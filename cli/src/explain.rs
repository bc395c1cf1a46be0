//! `tenantry explain` and `tenantry audit`: what was decided, and why.
//!
//! They read the instance's files, which only its operator can, and change nothing.

use std::{collections::HashMap, process::ExitCode};

use serde_json::Value;
use tenantry_kernel::Kernel;
use tenantry_store::{ByScope, List};

use crate::{
    args::{Audit, AuditCommand, AuditRead, Explain},
    failure::Failure,
    instance,
};

/// `tenantry explain`.
#[expect(clippy::print_stdout, reason = "the explanation is the command's data")]
pub async fn explain(explain: Explain) -> Result<ExitCode, Failure> {
    let kernel = instance::kernel_for_reading(&explain.data.dir)?;
    let document = match (&explain.id, &explain.principal, &explain.action) {
        (Some(id), _, _) => denial(&kernel, id).await?,
        (None, Some(principal), Some(action)) => {
            let context: Result<HashMap<String, String>, Failure> = explain.context.iter().map(|pair| key_value(pair)).collect();
            kernel.explain(principal, action, &explain.resource, &context?).await?
        }
        _ => return Err(Failure::Usage("explain takes a request id, or --as with --action".to_owned())),
    };
    if explain.json {
        println!("{document}");
    } else {
        println!("{}", in_words(&document));
    }
    Ok(ExitCode::SUCCESS)
}

fn key_value(pair: &str) -> Result<(String, String), Failure> {
    let (key, value) = pair.split_once('=').ok_or_else(|| Failure::Usage(format!("`{pair}` is not KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

async fn denial(kernel: &Kernel, id: &str) -> Result<Value, Failure> {
    let rows = kernel.store().list(&List::by(tenantry_kernel::DENIAL, ByScope::All).prefix(id).limit(1)).await?;
    let row = rows.into_iter().find(|row| row.id == id);
    let row = row.ok_or_else(|| {
        Failure::Refused(format!("no denial has the request id `{id}`: it is in the x-amzn-requestid header of the answer"))
    })?;
    Ok(row.body()?)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

fn in_words(document: &Value) -> String {
    let mut out = String::new();
    if let Some(message) = document.get("message").and_then(Value::as_str) {
        out.push_str(message);
        out.push('\n');
    }
    let checks = document.pointer("/explanation/checks").or_else(|| document.get("checks")).and_then(Value::as_array);
    for check in checks.into_iter().flatten() {
        let verdict = if check["allowed"] == Value::Bool(true) { "allowed" } else { "denied" };
        out.push_str(&format!("\n{verdict}: {} on {}\n", text(check, "/action"), text(check, "/resource")));
        for line in check["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

/// `tenantry audit`.
#[expect(clippy::print_stdout, reason = "the events are the command's data")]
pub async fn audit(audit: Audit) -> Result<ExitCode, Failure> {
    match audit.command {
        AuditCommand::Verify(read) => {
            let kernel = instance::kernel_for_reading(&read.data.dir)?;
            let verified = kernel.store().verify_events().await?;
            match verified.broken {
                None => println!(
                    "{} events, chain whole, head {}",
                    verified.intact,
                    verified.head.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                ),
                Some(seq) => return Err(Failure::Refused(format!("the chain is broken at event {seq}"))),
            }
        }
        AuditCommand::Tail(read) => tail(&read).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the events are the command's data")]
async fn tail(read: &AuditRead) -> Result<(), Failure> {
    let kernel = instance::kernel_for_reading(&read.data.dir)?;
    let mut events = kernel.store().events(None, read.lines.min(10_000), true).await?;
    events.reverse();
    for event in events {
        if read.json {
            println!("{}", event.text);
            continue;
        }
        let value: Value = serde_json::from_str(&event.text).unwrap_or_default();
        println!(
            "{} {:8} {}:{} {}",
            event.time.iso8601(false),
            text(&value, "/outcome"),
            text(&value, "/service"),
            text(&value, "/operation"),
            text(&value, "/principal")
        );
    }
    Ok(())
}
