//! Places: paths through a document, lines and columns.

use std::ops::Range;

use serde::Serialize;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The item of a list, from zero.
    Index(usize),
    /// What a name holds.
    Value(String),
    /// The name itself.
    Key(String),
}

/// A point of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// From one.
    pub line: usize,
    /// From zero, in characters.
    pub column: usize,
    /// From zero, in characters.
    pub offset: usize,
}

/// A stretch of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// Behind the last character.
    pub end: Position,
}

/// Turns offsets in bytes into positions.
#[derive(Debug)]
pub(super) struct Places<'a> {
    text: &'a str,
    /// Where each line begins: in bytes, and in characters.
    lines: Vec<(usize, usize)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut lines = vec![(0, 0)];
        for (characters, (bytes, c)) in text.char_indices().enumerate() {
            if c == '\n' {
                lines.push((bytes + 1, characters + 1));
            }
        }
        Self { text, lines }
    }

    fn position(&self, at: usize) -> Position {
        let line = self.lines.partition_point(|(bytes, _)| *bytes <= at).max(1);
        let (bytes, characters) = self.lines[line - 1];
        let column = self.text.get(bytes..at).map_or(0, |text| text.chars().count());
        Position { line, column, offset: characters + column }
    }

    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        Span { start: self.position(range.start), end: self.position(range.end) }
    }
}

/// The path with one step more.
pub(super) fn into_value(path: &[Step], name: &str) -> Vec<Step> {
    [path, &[Step::Value(name.to_owned())]].concat()
}

/// The path to the name itself.
pub(super) fn into_key(path: &[Step], name: &str) -> Vec<Step> {
    [path, &[Step::Key(name.to_owned())]].concat()
}

/// The path to item `index` where there is a list, and to the value itself where there is one only.
pub(super) fn into_item(path: &[Step], list: &super::tree::Node, index: usize) -> Vec<Step> {
    match list.value {
        super::tree::Value::List(_) => [path, &[Step::Index(index)]].concat(),
        _ => path.to_vec(),
    }
}
