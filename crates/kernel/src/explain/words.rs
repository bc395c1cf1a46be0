//! An explanation in words, from its record.

use serde_json::Value;

/// A line per layer that was looked at (of the others too, with `all`), what came close in it, and the decision.
#[must_use]
pub fn lines(check: &Value, all: bool) -> Vec<String> {
    let explanation = &check["explanation"];
    let mut out = Vec::new();
    for layer in explanation["layers"].as_array().into_iter().flatten() {
        if all || layer["verdict"] != "not-applicable" {
            out.push(layer_line(layer));
            let conditions = layer["conditions"].as_array().into_iter().flatten().filter(|_| layer["verdict"] == "explicit-deny");
            out.extend(conditions.map(|told| format!("  because {}", compared(told))));
            out.extend(layer["misses"].as_array().into_iter().flatten().flat_map(miss));
        }
    }
    let decision = &explanation["decision"];
    let by = match &decision["statement"] {
        Value::Null => String::new(),
        statement => format!(" by {} of {}", named(statement), text(&statement["policy"])),
    };
    let cause = decision["cause"].as_str().map(|cause| format!(" in the {cause} layer")).unwrap_or_default();
    out.push(format!("decision: {}{cause}{by}", text(&decision["outcome"])));
    if let Some(changes) = check["change"]["changes"].as_array() {
        out.push(if changes.len() == 1 { "would have allowed it:".to_owned() } else { "together would have allowed it:".to_owned() });
        out.extend(changes.iter().map(|change| format!("  {}", text(&change["text"]))));
    }
    for other in check["alternatives"].as_array().into_iter().flatten() {
        let texts: Vec<&str> = other["changes"].as_array().into_iter().flatten().map(|change| text(&change["text"])).collect();
        out.push(format!("or: {}", texts.join("; and ")));
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn named(of: &Value) -> String {
    match (of["sid"].as_str().filter(|sid| !sid.is_empty()), of["index"].as_u64()) {
        (Some(sid), _) => format!("statement {sid}"),
        (None, Some(index)) => format!("statement {}", index + 1),
        (None, None) => "a statement".to_owned(),
    }
}

fn place(of: &Value) -> String {
    of["position"]["line"].as_u64().map(|line| format!(" (line {line})")).unwrap_or_default()
}

fn layer_line(layer: &Value) -> String {
    let name = text(&layer["layer"]);
    let level = layer["level"].as_u64().map(|level| format!(" (level {})", level + 1)).unwrap_or_default();
    let statement = || format!("{} of {}{}", named(layer), text(&layer["policy"]), place(layer));
    let verdict = match text(&layer["verdict"]) {
        "allow" => format!("allows: {}", statement()),
        "explicit-deny" => format!("denies: {}", statement()),
        "implicit-deny" => "has no statement that allows it".to_owned(),
        _ => "does not apply".to_owned(),
    };
    format!("{name}{level} {verdict}")
}

fn list(values: &Value) -> String {
    let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
}

/// What is asked for, as written and, where it differs, with its variables filled in.
fn wanted(of: &Value) -> String {
    let written = list(&of["expected"]);
    let filled: Vec<&str> = of["resolved"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap_or("no value")).collect();
    let filled = filled.join(", ");
    if filled == written || filled.is_empty() { written } else { format!("{written} = {filled}") }
}

fn compared(told: &Value) -> String {
    let actual = if told["actual"].is_null() { "it is absent".to_owned() } else { format!("the request has {}", list(&told["actual"])) };
    format!("{} {} wants {} and {actual}", text(&told["operator"]), text(&told["key"]), wanted(told))
}

fn miss(miss: &Value) -> Vec<String> {
    let which = format!("  near: {} of {}{}:", named(miss), text(&miss["policy"]), place(miss));
    match text(&miss["stage"]) {
        "resource" => vec![format!("{which} its resources are {} and the request has {}", wanted(miss), list(&miss["actual"]))],
        "principal" => vec![format!("{which} its principals do not include {}", list(&miss["actual"]))],
        _ => miss["conditions"].as_array().into_iter().flatten().map(|told| format!("{which} {}", compared(told))).collect(),
    }
}
