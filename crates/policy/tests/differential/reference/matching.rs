//! Patterns: expanded to symbols, then matched by filling in a table.

use tenantry_policy::Value;

use super::Keys;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Symbol {
    Run,
    One,
    Is(char),
}

/// Where the `}` of a variable that starts at `at` stands; quotes hide it, unless it is never found so.
fn closed(chars: &[char], at: usize) -> Option<usize> {
    let mut quoted = false;
    for (offset, c) in chars[at..].iter().enumerate() {
        quoted ^= *c == '\'';
        if *c == '}' && !quoted {
            return Some(at + offset);
        }
    }
    chars[at..].iter().position(|c| *c == '}').map(|offset| at + offset)
}

fn variable_ends(chars: &[char], at: usize) -> Option<usize> {
    if chars[at] == '$' && chars.get(at + 1) == Some(&'{') { closed(chars, at + 2) } else { None }
}

/// `None`: a variable has no value.
pub(super) fn symbols(pattern: &str, wild: bool, variables: bool, keys: &Keys) -> Option<Vec<Symbol>> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if variables && let Some(end) = variable_ends(&chars, at) {
            let inside: String = chars[at + 2..end].iter().collect();
            at = end + 1;
            match inside.as_str() {
                "*" | "?" | "$" => out.push(Symbol::Is(inside.chars().next()?)),
                _ => out.extend(value_of(&inside, keys)?.chars().map(Symbol::Is)),
            }
            continue;
        }
        out.push(match chars[at] {
            '*' if wild => Symbol::Run,
            '?' if wild => Symbol::One,
            c => Symbol::Is(c),
        });
        at += 1;
    }
    Some(out)
}

fn value_of(inside: &str, keys: &Keys) -> Option<String> {
    let (key, default) = match inside.find(',') {
        None => (inside, None),
        Some(at) => {
            let quoted = inside[at + 1..].trim();
            // A default that is not quoted makes it no variable at all.
            if quoted.len() < 2 || !quoted.starts_with('\'') || !quoted.ends_with('\'') {
                return None;
            }
            (&inside[..at], Some(quoted[1..quoted.len() - 1].to_owned()))
        }
    };
    let key = key.trim().to_lowercase();
    match keys.get(&key) {
        _ if key.is_empty() => None,
        Some(Value::One(value)) => Some(value.clone()),
        Some(Value::Many(_)) => None,
        None => default,
    }
}

pub(super) fn like(pattern: &[Symbol], text: &str) -> bool {
    // reached[i]: the pattern so far matches the first i characters.
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for symbol in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match symbol {
                Symbol::Run => reached[at] || (at > 0 && next[at - 1]),
                Symbol::One => at > 0 && reached[at - 1],
                Symbol::Is(c) => at > 0 && reached[at - 1] && text[at - 1] == *c,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

pub(super) fn action(pattern: &str, asked: &str) -> bool {
    if pattern == "*" || pattern == "*:*" {
        return true;
    }
    let (pattern, asked) = (pattern.to_lowercase(), asked.to_lowercase());
    let (service, name) = pattern.split_once(':').unwrap();
    let (of, wanted) = asked.split_once(':').unwrap();
    let stored_only = name.is_empty() || name.contains(',') || name.contains(' ');
    !stored_only && service == of && like(&symbols(name, true, false, &Keys::new()).unwrap(), wanted)
}

/// At the first five colons that are not inside a variable.
pub(super) fn segments(pattern: &str, variables: bool) -> Vec<String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = vec![String::new()];
    let mut at = 0;
    while at < chars.len() {
        if variables && let Some(end) = variable_ends(&chars, at) {
            out.last_mut().unwrap().extend(&chars[at..=end]);
            at = end + 1;
            continue;
        }
        if chars[at] == ':' && out.len() < 6 {
            out.push(String::new());
        } else {
            out.last_mut().unwrap().push(chars[at]);
        }
        at += 1;
    }
    out
}

/// `None`: a variable has no value. `fill`: a short pattern always stands for the longer ones.
pub(super) fn arn(pattern: &str, resource: &str, current: bool, fill: bool, keys: &Keys) -> Option<bool> {
    if pattern.replace('*', "").is_empty() && !pattern.is_empty() {
        return Some(true);
    }
    let mut parts = segments(pattern, current);
    if parts.len() < 6 && !fill && !pattern.ends_with('*') {
        return Some(false);
    }
    while parts.len() < 6 {
        parts.push("*".to_owned());
    }
    let own: Vec<&str> = resource.splitn(6, ':').collect();
    let mut all = own.len() == 6 && own[0] == "arn";
    for (at, part) in parts.iter().enumerate() {
        let pattern = symbols(part, true, current, keys)?;
        all = all && like(&pattern, own[at]);
    }
    Some(all)
}
