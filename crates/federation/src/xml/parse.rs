//! From text to tree.

use super::{Attribute, Child, Document, Element, Id, MAX_DEPTH, MAX_IN_SCOPE, MAX_NODES, Malformed, XML};

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// Attributes and declarations of one element.
const MAX_ATTRIBUTES: usize = 128;

type Result<T> = std::result::Result<T, Malformed>;

/// An attribute as written.
struct Raw {
    prefix: String,
    local: String,
    value: String,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    elements: Vec<Element>,
    nodes: usize,
    comments: bool,
}

pub(super) fn document(text: &str) -> Result<Document> {
    // Line ends are one character before anything else is read ("End-of-Line Handling", XML 1.0).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut parser = Parser { text: &text, at: 0, elements: Vec::new(), nodes: 0, comments: false };
    if let Some(at) = text.find(|c: char| !is_char(c)) {
        return Err(Malformed { why: "a character that XML does not have", at });
    }
    parser.declaration()?;
    parser.around()?;
    parser.tree()?;
    parser.around()?;
    if parser.at != parser.text.len() {
        return parser.fail("text behind the root element");
    }
    Ok(Document { elements: parser.elements, comments: parser.comments })
}

fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic())
}

fn is_name(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit() || matches!(c, '-' | '.') || (!c.is_ascii() && c.is_alphanumeric())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, why: &'static str) -> Result<T> {
        Err(Malformed { why, at: self.at })
    }
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
    fn take(&mut self, what: &str) -> bool {
        let there = self.rest().starts_with(what);
        if there {
            self.at += what.len();
        }
        there
    }
    fn expect(&mut self, what: &str, why: &'static str) -> Result<()> {
        if self.take(what) { Ok(()) } else { self.fail(why) }
    }
    fn while_(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
    /// Up to and with `end`; answers what is before it.
    fn until(&mut self, end: &str, why: &'static str) -> Result<&'a str> {
        let rest = self.rest();
        let Some(found) = rest.find(end) else { return self.fail(why) };
        self.at += found + end.len();
        Ok(&rest[..found])
    }

    /// `<?xml version="1.0" encoding="UTF-8"?>`
    fn declaration(&mut self) -> Result<()> {
        if !self.rest().starts_with("<?xml") || !self.rest()[5..].starts_with(is_space) {
            return Ok(());
        }
        let text = self.until("?>", "the declaration has no end")?.to_ascii_lowercase();
        let Some((_, encoding)) = text.split_once("encoding") else { return Ok(()) };
        let encoding = encoding.trim_start_matches(|c: char| is_space(c) || c == '=').trim_start_matches(['"', '\'']);
        if encoding.starts_with("utf-8") || encoding.starts_with("us-ascii") { Ok(()) } else { self.fail("another encoding than UTF-8") }
    }

    /// What may stand before and behind the root.
    fn around(&mut self) -> Result<()> {
        loop {
            self.while_(is_space);
            if self.take("<!--") {
                self.comment()?;
            } else if self.rest().starts_with("<!") {
                return self.fail("document types are not taken");
            } else if self.take("<?") {
                if self.rest().get(..3).is_some_and(|target| target.eq_ignore_ascii_case("xml")) && !self.rest().starts_with("xml-") {
                    return self.fail("a declaration that is not at the beginning");
                }
                self.until("?>", "a processing instruction has no end")?;
            } else {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<()> {
        self.until("--", "a comment has no end")?;
        self.comments = true;
        self.expect(">", "two hyphens in a comment")
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { self.fail("too many elements") } else { Ok(()) }
    }

    fn tree(&mut self) -> Result<()> {
        let mut open: Vec<Id> = Vec::new();
        let mut text = String::new();
        loop {
            if self.rest().is_empty() {
                return self.fail("an element has no end");
            }
            if !self.rest().starts_with('<') {
                if open.is_empty() {
                    return self.fail("there is no root element");
                }
                let raw = self.while_(|c| c != '<');
                if raw.contains("]]>") {
                    return self.fail("the end of a section that did not begin");
                }
                self.expand(raw, false, &mut text)?;
            } else if self.take("<!--") {
                self.comment()?;
            } else if self.take("<![CDATA[") {
                if open.is_empty() {
                    return self.fail("there is no root element");
                }
                text.push_str(self.until("]]>", "a section has no end")?);
            } else if self.rest().starts_with("<!") {
                return self.fail("document types are not taken");
            } else if self.rest().starts_with("<?") {
                return self.fail("processing instructions are not taken");
            } else {
                self.flush(&mut text, open.last())?;
                if self.take("</") {
                    self.close(open.pop())?;
                } else {
                    self.at += 1;
                    if open.len() >= MAX_DEPTH {
                        return self.fail("elements are nested too deep");
                    }
                    let (id, ended) = self.open(open.last().copied())?;
                    if !ended {
                        open.push(id);
                    }
                }
                if open.is_empty() {
                    return Ok(());
                }
            }
        }
    }

    fn flush(&mut self, text: &mut String, into: Option<&Id>) -> Result<()> {
        if let Some(id) = into
            && !text.is_empty()
        {
            self.count()?;
            self.elements[id.0].children.push(Child::Text(std::mem::take(text)));
        }
        Ok(())
    }

    fn close(&mut self, open: Option<Id>) -> Result<()> {
        let Some(id) = open else { return self.fail("an end without a beginning") };
        let (prefix, local) = self.name()?;
        if (&prefix, &local) != (&self.elements[id.0].prefix, &self.elements[id.0].local) {
            return self.fail("an end of another element");
        }
        self.while_(is_space);
        self.expect(">", "an end tag has no end")
    }

    /// Prefix and local part.
    fn name(&mut self) -> Result<(String, String)> {
        let first = self.part()?;
        if !self.take(":") {
            return Ok((String::new(), first));
        }
        Ok((first, self.part()?))
    }
    fn part(&mut self) -> Result<String> {
        if self.rest().starts_with(is_name_start) { Ok(self.while_(is_name).to_owned()) } else { self.fail("a name was expected") }
    }

    /// A start tag behind its `<`; whether the element is empty.
    fn open(&mut self, parent: Option<Id>) -> Result<(Id, bool)> {
        self.count()?;
        let (prefix, local) = self.name()?;
        let mut raws: Vec<Raw> = Vec::new();
        let ended = loop {
            let spaced = !self.while_(is_space).is_empty();
            if self.take("/>") {
                break true;
            }
            if self.take(">") {
                break false;
            }
            if !spaced {
                return self.fail("attributes are separated by space");
            }
            if raws.len() >= MAX_ATTRIBUTES {
                return self.fail("too many attributes");
            }
            let (prefix, local) = self.name()?;
            self.while_(is_space);
            self.expect("=", "an attribute has no value")?;
            self.while_(is_space);
            let quote = if self.take("\"") { "\"" } else { "'" };
            if quote == "'" {
                self.expect("'", "a value is in quotes")?;
            }
            let raw = self.until(quote, "a value has no end")?;
            if raw.contains('<') {
                return self.fail("a value holds the beginning of a tag");
            }
            let mut value = String::new();
            self.expand(raw, true, &mut value)?;
            raws.push(Raw { prefix, local, value });
        };
        let id = Id(self.elements.len());
        let declarations = self.declarations(&raws)?;
        let in_scope = declarations.len() + parent.map_or(0, |parent| self.elements[parent.0].in_scope);
        if in_scope > MAX_IN_SCOPE {
            return self.fail("too many namespaces");
        }
        let (attributes, children) = (Vec::new(), Vec::new());
        self.elements.push(Element { prefix, local, uri: String::new(), declarations, in_scope, attributes, children, parent });
        let uri = self.resolve(id, &self.elements[id.0].prefix)?;
        self.elements[id.0].uri = uri;
        self.elements[id.0].attributes = self.attributes(id, raws)?;
        if let Some(parent) = parent {
            self.elements[parent.0].children.push(Child::Element(id));
        }
        Ok((id, ended))
    }

    fn declarations(&self, raws: &[Raw]) -> Result<Vec<(String, String)>> {
        let mut found: Vec<(String, String)> = Vec::new();
        for raw in raws {
            let prefix = match (raw.prefix.as_str(), raw.local.as_str()) {
                ("", "xmlns") => "",
                ("xmlns", local) => local,
                _ => continue,
            };
            if prefix == "xmlns" || prefix == "xml" || raw.value == XML || raw.value == XMLNS {
                return self.fail("a reserved namespace");
            }
            if !prefix.is_empty() && raw.value.is_empty() {
                return self.fail("a prefix without a namespace");
            }
            if found.iter().any(|(other, _)| other == prefix) {
                return self.fail("a namespace is declared twice");
            }
            found.push((prefix.to_owned(), raw.value.clone()));
        }
        Ok(found)
    }

    fn attributes(&self, id: Id, raws: Vec<Raw>) -> Result<Vec<Attribute>> {
        let mut found: Vec<Attribute> = Vec::new();
        for Raw { prefix, local, value } in raws {
            if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
                continue;
            }
            // The default namespace is not that of attributes.
            let uri = if prefix.is_empty() { String::new() } else { self.resolve(id, &prefix)? };
            if found.iter().any(|other| other.local == local && other.uri == uri) {
                return self.fail("an attribute is there twice");
            }
            found.push(Attribute { prefix, local, uri, value });
        }
        Ok(found)
    }

    fn resolve(&self, id: Id, prefix: &str) -> Result<String> {
        if prefix == "xml" {
            return Ok(XML.to_owned());
        }
        let mut at = Some(id);
        while let Some(id) = at {
            let element = &self.elements[id.0];
            if let Some((_, uri)) = element.declarations.iter().find(|(declared, _)| declared == prefix) {
                return Ok(uri.clone());
            }
            at = element.parent;
        }
        if prefix.is_empty() { Ok(String::new()) } else { self.fail("a prefix that is not declared") }
    }

    /// Adds text with its references resolved. In attributes, white space is a blank.
    fn expand(&self, raw: &str, attribute: bool, out: &mut String) -> Result<()> {
        let mut rest = raw;
        while let Some(at) = rest.find(['&', '\t', '\n']) {
            out.push_str(&rest[..at]);
            let (found, behind) = rest[at..].split_at(1);
            rest = behind;
            if found != "&" {
                out.push_str(if attribute { " " } else { found });
                continue;
            }
            let Some((name, behind)) = rest.split_once(';') else { return self.fail("a reference has no end") };
            rest = behind;
            out.push(match name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                _ => match numbered(name) {
                    Some(c) => c,
                    None => return self.fail("an entity that is not XML's own"),
                },
            });
        }
        out.push_str(rest);
        Ok(())
    }
}

/// `#10`, `#xA`.
fn numbered(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
    if digits.is_empty() || digits.len() > 8 || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    (is_char(c) || c == '\r').then_some(c)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
