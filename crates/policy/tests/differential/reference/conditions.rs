//! The `Condition` element.

use serde_json::Value as Json;
use tenantry_policy::Value;

use super::{
    Asked, list,
    matching::{Symbol, like, segments, symbols},
    scalars::{bytes, decimal, instant, ip},
};

pub(super) fn hold(statement: &Json, current: bool, asked: &Asked) -> bool {
    let Some(block) = statement.get("Condition") else { return true };
    let deny = statement["Effect"] == "Deny";
    block.as_object().unwrap().iter().all(|(operator, tests)| {
        tests.as_object().unwrap().iter().all(|(key, values)| one(&operator.to_lowercase(), key, &list(values), current, asked, deny))
    })
}

fn one(operator: &str, key: &str, wants: &[String], current: bool, asked: &Asked, deny: bool) -> bool {
    let key = key.to_lowercase();
    let value = asked.keys.get(&key);
    if operator == "null" {
        return wants.iter().any(|want| match want.to_lowercase().as_str() {
            "true" => value.is_none(),
            "false" => value.is_some(),
            _ => false,
        });
    }
    if asked.unclear.contains(&key) {
        return deny;
    }
    let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
    let lenient = rest.ends_with("ifexists");
    let base = rest.trim_end_matches("ifexists");
    let negated = base.contains("not");
    let positive = base.replace("not", "");
    let inside = |have: &str| wants.iter().any(|want| equal(&positive, have, want, current, asked));
    let fits = |have: &String| if negated { !inside(have) } else { inside(have) };
    match (set, value) {
        ("", None) => lenient || negated,
        ("", Some(Value::One(have))) => fits(have),
        ("", Some(Value::Many(_))) => deny,
        ("forallvalues", None) => true,
        ("forallvalues", Some(Value::One(have))) if have.is_empty() => true,
        ("forallvalues", Some(Value::One(have))) => fits(have),
        ("forallvalues", Some(Value::Many(haves))) => !haves.iter().any(|have| !fits(have)),
        ("foranyvalue", None) => lenient,
        ("foranyvalue", Some(Value::One(have))) => fits(have),
        ("foranyvalue", Some(Value::Many(haves))) => haves.iter().any(fits),
        _ => panic!("{operator}"),
    }
}

/// Text that holds no wildcard.
fn plain(symbols: &[Symbol]) -> String {
    symbols.iter().map(|symbol| if let Symbol::Is(c) = symbol { *c } else { panic!("{symbol:?}") }).collect()
}

fn equal(positive: &str, have: &str, want: &str, current: bool, asked: &Asked) -> bool {
    let expand = |wild: bool| symbols(want, wild, current, asked.keys);
    match positive {
        "stringequals" => expand(false).is_some_and(|text| plain(&text) == have),
        "stringequalsignorecase" => expand(false).is_some_and(|text| plain(&text).to_lowercase() == have.to_lowercase()),
        "stringlike" => expand(true).is_some_and(|pattern| like(&pattern, have)),
        "bool" => {
            let have = have.to_lowercase();
            ["true", "false"].contains(&have.as_str()) && expand(false).is_some_and(|text| plain(&text).to_lowercase() == have)
        }
        "binaryequals" => bytes(want).is_some() && bytes(want) == bytes(have),
        "arnequals" | "arnlike" => arn(have, want, current, asked),
        "ipaddress" => ip(have, want),
        _ if positive.starts_with("numeric") => ordered(&positive["numeric".len()..], decimal(have), decimal(want)),
        _ if positive.starts_with("date") => ordered(&positive["date".len()..], instant(have), instant(want)),
        other => panic!("{other}"),
    }
}

fn arn(have: &str, want: &str, current: bool, asked: &Asked) -> bool {
    let haves: Vec<&str> = have.splitn(6, ':').collect();
    if haves.len() != 6 || haves[0] != "arn" {
        return false;
    }
    let wants = segments(want, current);
    if wants.len() == 1 && current && want.starts_with("${") {
        return symbols(want, true, current, asked.keys).is_some_and(|pattern| like(&pattern, have));
    }
    wants.len() == 6 && (0..6).all(|at| symbols(&wants[at], true, current, asked.keys).is_some_and(|pattern| like(&pattern, haves[at])))
}

fn ordered(relation: &str, have: Option<i128>, want: Option<i128>) -> bool {
    let (Some(have), Some(want)) = (have, want) else { return false };
    match relation {
        "equals" => have == want,
        "lessthan" => have < want,
        "lessthanequals" => have <= want,
        "greaterthan" => have > want,
        "greaterthanequals" => have >= want,
        other => panic!("{other}"),
    }
}
