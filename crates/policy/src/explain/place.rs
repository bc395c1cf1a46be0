//! Where a statement stands in the text of its document.
//!
//! Explanations and simulations point at statements by line and column, and a change of one statement
//! leaves the text of the others as its author wrote it. The document was parsed before, so this reads
//! only as much of JSON as it takes to find the ends of values; a text it cannot follow has no places.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A position in a text; both count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// The outline of a document.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Whether variables are variables: version 2012-10-17.
    pub variables: bool,
    /// Whether `Statement` is a list.
    pub list: bool,
    /// Each statement's bytes.
    pub statements: Vec<Range<usize>>,
}

impl Outline {
    pub(crate) fn of(text: &str) -> Self {
        Self::read(text).unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        let mut outline = Self::default();
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        reader.expect(b'{')?;
        loop {
            let name = reader.value()?;
            reader.expect(b':')?;
            let start = reader.next_at()?;
            let (of_statement, of_version) = (&text[name.clone()] == "\"Statement\"", &text[name] == "\"Version\"");
            if of_statement && reader.bytes[start] == b'[' {
                outline.list = true;
                outline.statements = reader.elements()?;
            } else {
                let value = reader.value()?;
                if of_version {
                    outline.variables = &text[value] == "\"2012-10-17\"";
                } else if of_statement {
                    outline.statements = vec![value];
                }
            }
            if !reader.comma(b'}')? {
                return Some(outline);
            }
        }
    }

    /// The JSON Pointer of a statement.
    pub(crate) fn pointer(&self, index: usize) -> String {
        if self.list { format!("/Statement/{index}") } else { "/Statement".to_owned() }
    }
}

/// The line and column of a byte.
pub(crate) fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line, column }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no white space.
    fn next_at(&mut self) -> Option<usize> {
        while self.bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        Some(self.at)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let at = self.next_at()?;
        self.at += 1;
        (self.bytes[at] == byte).then_some(())
    }

    /// True after a comma, false after `end`.
    fn comma(&mut self, end: u8) -> Option<bool> {
        let at = self.next_at()?;
        self.at += 1;
        match self.bytes[at] {
            b',' => Some(true),
            byte if byte == end => Some(false),
            _ => None,
        }
    }

    fn elements(&mut self) -> Option<Vec<Range<usize>>> {
        self.expect(b'[')?;
        let mut found = Vec::new();
        loop {
            found.push(self.value()?);
            if !self.comma(b']')? {
                return Some(found);
            }
        }
    }

    /// The bytes of the next value.
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.next_at()?;
        let mut depth = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            let ended = self.bytes.get(self.at).is_none_or(|next| b",]}:".contains(next) || next.is_ascii_whitespace());
            if depth == 0 && ended {
                return Some(start..self.at);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match *self.bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_statements() {
        let text = "{ \"Version\" : \"2012-10-17\",\n  \"Statement\": [\n    {\"Sid\": \"a,]}\\\"\", \"Action\": [\"é\"]},\n    {\"Effect\":\"Deny\"} ] }";
        let outline = Outline::of(text);
        assert!(outline.variables && outline.list);
        let texts: Vec<&str> = outline.statements.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(texts, ["{\"Sid\": \"a,]}\\\"\", \"Action\": [\"é\"]}", "{\"Effect\":\"Deny\"}"]);
        assert_eq!(position(text, outline.statements[1].start), Position { line: 4, column: 5 });
        assert_eq!(position(text, outline.statements[0].end), Position { line: 3, column: 39 });
        assert_eq!(outline.pointer(1), "/Statement/1");
        let single = r#"{"Statement":{"Effect":"Allow","Resource":{"a":[1,2]}},"Version":"2008-10-17"}"#;
        let outline = Outline::of(single);
        assert!(!outline.variables && !outline.list);
        assert_eq!(&single[outline.statements[0].clone()], r#"{"Effect":"Allow","Resource":{"a":[1,2]}}"#);
        assert_eq!(outline.pointer(0), "/Statement");
    }

    #[test]
    fn what_is_no_document_has_no_places() {
        for text in ["", "[", "{", "{\"Statement\":[", "{\"Statement\":[}]", "{\"Statement\":\"", "{]", "{\"a\\"] {
            assert!(Outline::of(text).statements.is_empty(), "{text}");
        }
    }
}
