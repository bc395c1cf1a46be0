//! JSON with the place of everything in it.
//!
//! The policy reader says that a document is wrong; whoever wrote it wants to know where.

use std::ops::Range;

/// No policy nests deeper; the reader of documents refuses sooner.
const MAX_DEPTH: usize = 64;

/// A value and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub span: Range<usize>,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `null`, a boolean or a number, as it is written.
    Plain(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A name of an object and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub name: String,
    pub name_span: Range<usize>,
    pub node: Node,
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list's items, or the value alone.
    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.value {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }
}

/// Where the text stops being JSON, and what was wanted there.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub at: usize,
    pub wanted: &'static str,
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.blank();
    if reader.at < text.len() { Err(reader.fault("the end of the document")) } else { Ok(node) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, wanted: &'static str) -> Fault {
        Fault { at: self.at, wanted }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), Fault> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(self.fault(wanted));
        }
        self.at += 1;
        Ok(())
    }

    /// True when another item follows a comma, false when `end` closes the list or object.
    fn more(&mut self, end: u8, wanted: &'static str) -> Result<bool, Fault> {
        self.blank();
        let found = self.peek();
        if found != Some(b',') && found != Some(end) {
            return Err(self.fault(wanted));
        }
        self.at += 1;
        Ok(found == Some(b','))
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault("less nesting"));
        }
        self.blank();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            _ => self.plain()?,
        };
        Ok(Node { span: start..self.at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut members = Vec::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(members));
        }
        loop {
            self.blank();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("a name in double quotes"));
            }
            let name = self.string()?;
            let name_span = start..self.at;
            self.expect(b':', "`:`")?;
            members.push(Member { name, name_span, node: self.value(depth + 1)? });
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(Value::Map(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if !self.more(b']', "`,` or `]`")? {
                return Ok(Value::List(items));
            }
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                None => return Err(Fault { at: start, wanted: "a closing quote" }),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        let token = self.text.get(start..=at).ok_or(Fault { at: start, wanted: "a string" })?;
        let text = serde_json::from_str(token)
            .map_err(|_| Fault { at: start, wanted: "a string without bare control characters or unknown escapes" })?;
        self.at = at + 1;
        Ok(text)
    }

    fn plain(&mut self) -> Result<Value, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let token = &rest[..end];
        if token.is_empty() || serde_json::from_str::<serde_json::Value>(token).is_err() {
            return Err(self.fault("a value"));
        }
        self.at += end;
        Ok(Value::Plain(token.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_faults() {
        let node = read(r#" {"a": ["x\n", 1], "a": true} "#).unwrap();
        let members = node.members().unwrap();
        assert_eq!((node.span.clone(), members[0].name_span.clone(), members[0].node.span.clone()), (1..29, 2..5, 7..17));
        assert_eq!(members[0].node.items()[0].text(), Some("x\n"));
        assert_eq!(members.len(), 2, "a repeated name is kept");
        for (text, at) in [("{\"a\" 1}", 5), ("[1,]", 3), ("\"a", 0), ("{} x", 3), ("", 0), ("nul", 0), ("{a:1}", 1), ("[1 2]", 3)] {
            assert_eq!(read(text).unwrap_err().at, at, "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read("\"\\").is_err());
        assert!(read("\"é\\u00e9\"").is_ok());
    }
}
