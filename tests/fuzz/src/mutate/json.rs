//! Changes of JSON documents as trees, and of documents inside of their texts (policies, pipeline definitions).

use serde_json::{Map, Value};

use super::{
    Grammar,
    bytes::{NUMBERS, ODD},
};
use crate::rng::Rng;

/// One change; `None` where `body` is no JSON.
pub(super) fn change(rng: &mut Rng, grammar: &Grammar, body: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut tree: Value = serde_json::from_slice(body).ok()?;
    let other: Value = serde_json::from_slice(other).unwrap_or(Value::Null);
    let at = rng.below(count(&tree));
    let donor = {
        let mut at = rng.below(count(&other));
        find(&other, &mut at).cloned().unwrap_or_default()
    };
    let mut left = at;
    visit(&mut tree, &mut left, &mut |node| node_change(rng, grammar, node, &donor));
    serde_json::to_vec(&tree).ok()
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn find<'a>(tree: &'a Value, left: &mut usize) -> Option<&'a Value> {
    if *left == 0 {
        return Some(tree);
    }
    *left -= 1;
    match tree {
        Value::Array(items) => items.iter().find_map(|item| find(item, left)),
        Value::Object(members) => members.values().find_map(|item| find(item, left)),
        _ => None,
    }
}

/// Calls `then` on the node with this number, counted from the root on.
fn visit(tree: &mut Value, left: &mut usize, then: &mut dyn FnMut(&mut Value)) -> bool {
    if *left == 0 {
        then(tree);
        return true;
    }
    *left -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().any(|item| visit(item, left, then)),
        Value::Object(members) => members.values_mut().any(|item| visit(item, left, then)),
        _ => false,
    }
}

fn node_change(rng: &mut Rng, grammar: &Grammar, node: &mut Value, donor: &Value) {
    match (rng.below(10), &mut *node) {
        (0, _) => *node = donor.clone(),
        (1, _) => *node = edge(rng, grammar),
        (2, _) => *node = Value::Array(vec![std::mem::take(node); 1 + rng.below(3)]),
        (3, _) => {
            let key = word(rng, grammar);
            *node = Value::Object(Map::from_iter([(key, std::mem::take(node))]));
        }
        (4, _) if rng.one_in(4) => {
            // Behind the depth that serde_json itself gives up at, and before it.
            for _ in 0..rng.below(200) {
                let inner = std::mem::take(node);
                *node = if rng.one_in(2) { Value::Array(vec![inner]) } else { Value::Object(Map::from_iter([("a".to_owned(), inner)])) };
            }
        }
        (_, Value::Object(members)) => members_change(rng, grammar, members, donor),
        (_, Value::Array(items)) => items_change(rng, grammar, items, donor),
        (_, Value::String(text)) => *text = text_change(rng, grammar, text, donor),
        (_, Value::Number(_)) => *node = number(rng),
        (_, Value::Bool(set)) => *set = !*set,
        (_, Value::Null) => *node = edge(rng, grammar),
    }
}

fn number(rng: &mut Rng) -> Value {
    let text: &str = rng.pick::<&str>(&NUMBERS);
    serde_json::from_str(text).unwrap_or_default()
}

fn word(rng: &mut Rng, grammar: &Grammar) -> String {
    match rng.below(4) {
        0 => (*rng.pick(&ODD)).to_owned(),
        1 => format!("k{}", rng.below(4)),
        _ if grammar.tokens.is_empty() => "x".to_owned(),
        _ => (*rng.pick(grammar.tokens)).to_owned(),
    }
}

fn edge(rng: &mut Rng, grammar: &Grammar) -> Value {
    match rng.below(9) {
        0 => Value::Null,
        1 => Value::Bool(rng.one_in(2)),
        2 | 3 => number(rng),
        4 => Value::Array(Vec::new()),
        5 => Value::Object(Map::new()),
        6 => Value::String("x".repeat(1 << rng.below(14))),
        _ => Value::String(word(rng, grammar)),
    }
}

fn members_change(rng: &mut Rng, grammar: &Grammar, members: &mut Map<String, Value>, donor: &Value) {
    let name = members.keys().nth(rng.below(members.len())).cloned();
    match (rng.below(6), name) {
        (0, Some(name)) => drop(members.shift_remove(&name)),
        (1, Some(name)) => {
            let value = members.shift_remove(&name).unwrap_or_default();
            members.insert(word(rng, grammar), value);
        }
        (2, Some(name)) => drop(members.insert(name, edge(rng, grammar))),
        (3, _) => {
            if let Value::Object(more) = donor {
                members.extend(more.clone());
            }
        }
        (4, _) => {
            for number in 0..1 << rng.below(9) {
                members.insert(format!("m{number}"), donor.clone());
            }
        }
        _ => drop(members.insert(word(rng, grammar), if rng.one_in(2) { donor.clone() } else { edge(rng, grammar) })),
    }
}

fn items_change(rng: &mut Rng, grammar: &Grammar, items: &mut Vec<Value>, donor: &Value) {
    let at = rng.below(items.len());
    match rng.below(6) {
        0 if !items.is_empty() => drop(items.remove(at)),
        1 if !items.is_empty() => items.push(items[at].clone()),
        2 if !items.is_empty() => {
            let last = items.len() - 1;
            items.swap(at, last);
        }
        3 => items.push(edge(rng, grammar)),
        4 if !items.is_empty() => {
            let copies = vec![items[at].clone(); 1 << rng.below(9)];
            items.extend(copies);
        }
        _ => items.push(donor.clone()),
    }
}

fn text_change(rng: &mut Rng, grammar: &Grammar, text: &str, donor: &Value) -> String {
    if text.starts_with(['{', '[']) && !rng.one_in(4) {
        let inner = change(rng, grammar, text.as_bytes(), donor.to_string().as_bytes());
        if let Some(inner) = inner.and_then(|bytes| String::from_utf8(bytes).ok()) {
            return inner;
        }
    }
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let (from, to) = (rng.below(bounds.len()), rng.below(bounds.len()));
    let (from, to) = (bounds[from.min(to)], bounds[from.max(to)]);
    let (before, inside, behind) = (&text[..from], &text[from..to], &text[to..]);
    match rng.below(7) {
        0 => format!("{before}{behind}"),
        1 => format!("{before}{inside}{inside}{behind}"),
        2 => format!("{before}{}{behind}", word(rng, grammar)),
        3 => format!("{before}{inside}{}{behind}", word(rng, grammar)),
        4 => format!("{before}{}{behind}", rng.pick(&NUMBERS)),
        5 => format!("{before}{}{behind}", donor.as_str().unwrap_or("*")),
        _ => format!("{before}{}{behind}", inside.repeat(1 << rng.below(8))),
    }
}
