//! A strict JSON reader: a repeated key is an error, not "the last one wins".
//!
//! Two parsers that disagree about a repeated `Effect` are a way past whoever reviewed the
//! document. Nesting is bounded by the reader itself (128 levels).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value; numbers and booleans keep only the text a policy compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    /// A boolean or number, as text.
    Scalar(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// One string or a list of strings.
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(items) => items.iter().map(Self::text).collect(),
            _ => None,
        }
    }

    /// Strings, booleans or numbers, one or a list: what a condition may hold.
    pub(crate) fn scalars(&self) -> Option<Vec<&str>> {
        fn one(node: &Node) -> Option<&str> {
            match node {
                Node::Text(text) | Node::Scalar(text) => Some(text),
                _ => None,
            }
        }
        match self {
            Self::List(items) => items.iter().map(one).collect(),
            _ => one(self).map(|text| vec![text]),
        }
    }
}

pub(crate) fn read(text: &str) -> Option<Node> {
    serde_json::from_str(text).ok()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json without repeated keys")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = access.next_entry::<String, Node>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom("repeated key"));
            }
            members.push((key, value));
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_and_depth() {
        assert!(read(r#"{"a":1,"b":2}"#).is_some());
        assert!(read(r#"{"a":1,"a":2}"#).is_none());
        assert!(read(r#"[{"x":{"a":1,"a":1}}]"#).is_none());
        assert!(read(r#"{"a":1,"\u0061":2}"#).is_none(), "an escape does not hide the repetition");
        assert!(read(&"[".repeat(100_000)).is_none());
        assert!(read(r#"{"a":1} x"#).is_none());
        assert_eq!(read("[1.50,true]").unwrap().scalars().unwrap(), ["1.5", "true"]);
    }
}
