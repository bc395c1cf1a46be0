//! An edit of one document: the patch, and the text afterwards.
//!
//! Only the statement that is edited is written anew; the rest of the text stays as its author left it.

use serde_json::{Value, json};

use crate::explain::place::Outline;
use crate::layers::Attached;

use super::Patch;

/// A patch within one statement; paths begin behind the statement's.
pub(super) fn patch(op: &str, path: &str, value: Option<Value>) -> Patch {
    Patch { op: op.to_owned(), path: path.to_owned(), value }
}

/// The document after patches of one statement, and the patches with full paths.
pub(super) fn statement(attached: &Attached, index: usize, patches: &[Patch]) -> Option<(String, Vec<Patch>)> {
    let text = attached.policy.text();
    let outline = Outline::of(text);
    let range = outline.statements.get(index)?.clone();
    let mut statement: Value = serde_json::from_str(&text[range.clone()]).ok()?;
    for patch in patches {
        apply(&mut statement, patch)?;
    }
    let pointer = outline.pointer(index);
    let full = patches.iter().map(|patch| Patch { path: format!("{pointer}{}", patch.path), ..patch.clone() }).collect();
    Some((format!("{}{statement}{}", &text[..range.start], &text[range.end..]), full))
}

/// The document with one statement more at its end.
pub(super) fn appended(attached: &Attached, added: &Value) -> Option<(String, Vec<Patch>)> {
    let text = attached.policy.text();
    let outline = Outline::of(text);
    let (first, last) = (outline.statements.first()?, outline.statements.last()?);
    if outline.list {
        let new = format!("{},{added}{}", &text[..last.end], &text[last.end..]);
        return Some((new, vec![patch("add", "/Statement/-", Some(added.clone()))]));
    }
    let single: Value = serde_json::from_str(&text[first.clone()]).ok()?;
    let both = json!([single, added]);
    let new = format!("{}{both}{}", &text[..first.start], &text[first.end..]);
    Some((new, vec![patch("replace", "/Statement", Some(both))]))
}

/// The document without a statement; `None` where it has no other.
pub(super) fn removed(attached: &Attached, index: usize) -> Option<(String, Vec<Patch>)> {
    let mut document: Value = serde_json::from_str(attached.policy.text()).ok()?;
    let statements = document.get_mut("Statement")?.as_array_mut()?;
    if statements.len() < 2 || index >= statements.len() {
        return None;
    }
    statements.remove(index);
    Some((document.to_string(), vec![patch("remove", &format!("/Statement/{index}"), None)]))
}

fn apply(document: &mut Value, patch: &Patch) -> Option<()> {
    let (parent, name) = patch.path.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    match (document.pointer_mut(parent)?, patch.op.as_str(), &patch.value) {
        (Value::Array(list), "add", Some(value)) if name == "-" => list.push(value.clone()),
        (Value::Object(map), "add" | "replace", Some(value)) => _ = map.insert(name, value.clone()),
        (Value::Object(map), "remove", None) => _ = map.shift_remove(&name)?,
        (Value::Array(list), "remove", None) => {
            let at: usize = name.parse().ok().filter(|at| *at < list.len())?;
            list.remove(at);
        }
        _ => return None,
    }
    Some(())
}

/// A member's name in a JSON Pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The statement's JSON.
pub(super) fn json_of(attached: &Attached, index: usize) -> Option<Value> {
    attached.policy.statement_json(index)
}

/// A patch that adds a text to an element that holds one text or a list.
pub(super) fn add_text(statement: &Value, path: &str, text: &str) -> Option<Patch> {
    match statement.pointer(path)? {
        Value::Array(_) => Some(patch("add", &format!("{path}/-"), Some(json!(text)))),
        one => Some(patch("replace", path, Some(json!([one, text])))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, PolicyKind};

    fn attached(text: &str) -> Attached {
        Attached::inline("p", std::sync::Arc::new(Policy::parse(text, PolicyKind::Identity).unwrap()))
    }

    #[test]
    fn leaves_the_rest_alone() {
        let list =
            attached("{\"Version\": \"2012-10-17\",\n \"Statement\": [ {\"Effect\":\"Allow\",\"Action\":\"a:B\",\"Resource\":\"*\"} ]}");
        let json = json_of(&list, 0).unwrap();
        let (text, full) = statement(&list, 0, &[add_text(&json, "/Action", "a:C").unwrap()]).unwrap();
        assert_eq!(
            text,
            "{\"Version\": \"2012-10-17\",\n \"Statement\": [ {\"Effect\":\"Allow\",\"Action\":[\"a:B\",\"a:C\"],\"Resource\":\"*\"} ]}"
        );
        assert_eq!((full[0].op.as_str(), full[0].path.as_str()), ("replace", "/Statement/0/Action"));
        let added = json!({"Effect":"Deny","Action":"x:Y","Resource":"*"});
        let (text, _) = appended(&list, &added).unwrap();
        assert_eq!(Policy::parse(&text, PolicyKind::Identity).unwrap().len(), 2);
        let two = attached(&text);
        assert_eq!(removed(&two, 0).unwrap().1, [patch("remove", "/Statement/0", None)]);
        assert!(removed(&list, 0).is_none(), "a document has a statement");
        let single = attached(r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:B","Resource":"*"}}"#);
        assert_eq!(Policy::parse(&appended(&single, &added).unwrap().0, PolicyKind::Identity).unwrap().len(), 2);
        assert!(statement(&list, 0, &[patch("remove", "/Condition/x", None)]).is_none());
        assert_eq!(escaped("aws:RequestTag/a~b"), "aws:RequestTag~1a~0b");
    }
}
