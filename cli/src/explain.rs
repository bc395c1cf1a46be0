//! `tenantry explain`: what was decided, and why; who could do something, and what somebody could do.
//!
//! It reads the instance's files, which only its operator can, and changes nothing. The same by a request of any
//! client, within its own account: the operations of the service `tenantry`.

use std::{
    collections::{BTreeSet, HashMap},
    process::ExitCode,
};

use serde_json::{Value, json};
use tenantry_kernel::{Access, Kernel, Reach};
use tenantry_store::{ByScope, List};

use crate::{args::Explain, failure::Failure, instance};

/// `tenantry explain`.
#[expect(clippy::print_stdout, reason = "the explanation is the command's data")]
pub async fn explain(explain: Explain) -> Result<ExitCode, Failure> {
    let kernel = instance::kernel_for_reading(&explain.data.dir)?;
    let (document, words) = match (&explain.id, &explain.principal, &explain.action) {
        (_, None, Some(action)) if explain.can_reach => {
            let reach = who(&kernel, action, &explain.resource).await?;
            (json!(reach), who_in_words(&reach))
        }
        (_, Some(principal), None) if explain.can_reach => {
            let found = kernel.permissions_of(principal, &actions()).await?;
            let words = what_in_words(&found);
            (found, words)
        }
        (Some(id), ..) => {
            let document = denial(&kernel, id).await?;
            let words = in_words(&document, explain.all);
            (document, words)
        }
        (None, Some(principal), Some(action)) if !explain.can_reach => {
            let context: Result<HashMap<String, String>, Failure> = explain.context.iter().map(|pair| key_value(pair)).collect();
            let document = kernel.explain(principal, action, &explain.resource, &context?).await?;
            let words = in_words(&document, explain.all);
            (document, words)
        }
        _ => {
            let usage = "explain takes a request id, or --as with --action; --can-reach takes --action with --resource, or --as";
            return Err(Failure::Usage(usage.to_owned()));
        }
    };
    if explain.json {
        println!("{document}");
    } else {
        println!("{}", words.trim_end());
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

/// Every action that an operation of this instance asks policies for.
fn actions() -> Vec<&'static str> {
    let mut actions = BTreeSet::new();
    for row in instance::tables() {
        if let Access::Check { action, alternatives, dependent, .. } = row.access() {
            actions.extend(std::iter::once(action).chain(alternatives.iter().copied()).chain(dependent.iter().copied()));
        }
    }
    actions.into_iter().collect()
}

#[expect(clippy::print_stderr, reason = "progress is for whoever waits")]
async fn who(kernel: &Kernel, action: &str, resource: &str) -> Result<Reach, Failure> {
    let progress = |looked: usize| {
        if looked.is_multiple_of(1_000) {
            eprintln!("{looked} principals");
        }
    };
    Ok(kernel.can_reach(action, resource, None, &progress).await?)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

fn in_words(document: &Value, all: bool) -> String {
    let mut out = String::new();
    if let Some(message) = document.get("message").and_then(Value::as_str) {
        out.push_str(message);
        out.push('\n');
    }
    let checks = document.pointer("/explanation/checks").or_else(|| document.get("checks")).and_then(Value::as_array);
    for check in checks.into_iter().flatten() {
        let verdict = if check["allowed"] == Value::Bool(true) { "allowed" } else { "denied" };
        out.push_str(&format!("\n{verdict}: {} on {}\n", text(check, "/action"), text(check, "/resource")));
        out.push_str(&format!("  principal {}{}\n", text(check, "/principal"), tags(&check["principalTags"])));
        if check["resourceTags"].as_object().is_some_and(|tags| !tags.is_empty()) {
            out.push_str(&format!("  resource{}\n", tags(&check["resourceTags"])));
        }
        for line in tenantry_kernel::lines(check, all) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

fn tags(tags: &Value) -> String {
    let pairs: Vec<String> =
        tags.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { String::new() } else { format!(" tagged {}", pairs.join(", ")) }
}

fn depends(on: &Value) -> String {
    let sid = on["sid"].as_str().map_or_else(|| format!("statement {}", on["index"].as_u64().unwrap_or_default() + 1), str::to_owned);
    let values: Vec<&str> = on["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let effect = if on["effect"] == "deny-if" { "unless" } else { "if" };
    format!("{effect} {} {} {} ({sid} of {})", text(on, "/operator"), text(on, "/key"), values.join(", "), text(on, "/policy"))
}

fn who_in_words(reach: &Reach) -> String {
    let mut out = format!("who can do {} on {}\n", reach.action, reach.resource);
    for one in json!(reach.principals).as_array().into_iter().flatten() {
        let answer = if one["answer"] == "allowed" { "allowed    " } else { "conditional" };
        out.push_str(&format!("  {answer} {}\n", text(one, "/principal")));
        for on in one["depends"].as_array().into_iter().flatten() {
            out.push_str(&format!("              {}\n", depends(on)));
        }
    }
    out.push_str(&format!("  denied      {} others{}\n", reach.denied, if reach.truncated { "; not all were looked at" } else { "" }));
    out
}

fn what_in_words(found: &Value) -> String {
    let mut out = format!("what {} can do\n", text(found, "/principal"));
    for one in found["permissions"].as_array().into_iter().flatten() {
        let list = |name: &str| {
            let texts: Vec<&str> = one[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            texts.join(", ")
        };
        let but = if one["except_listed"] == true { "everything but " } else { "" };
        let sid = one["sid"].as_str().map_or_else(|| format!("statement {}", one["index"].as_u64().unwrap_or_default() + 1), str::to_owned);
        out.push_str(&format!("\n  {} of {}\n    {}\n    on {but}{}\n", sid, text(one, "/policy"), list("actions"), list("resources")));
        for on in one["depends"].as_array().into_iter().flatten() {
            out.push_str(&format!("    {}\n", depends(on)));
        }
        for except in one["except"].as_array().into_iter().flatten() {
            let resources: Vec<&str> = except["resources"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            out.push_str(&format!("    not on {} ({} {})\n", resources.join(", "), text(except, "/layer"), text(except, "/policy")));
        }
    }
    out
}
