//! XML in both directions: a bounded tree for requests, an escaping writer for responses.
//!
//! Document types, and so entity expansion and external entities, are refused; only the five predefined
//! entities and character references are known.

use std::borrow::Cow;

use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};
use tenantry_core::{AwsError, Result};

use crate::MAX_DEPTH;

/// Elements of one document. `DeleteObjects` takes 1,000 objects of up to five elements each,
/// `CompleteMultipartUpload` 10,000 parts of up to ten.
const MAX_ELEMENTS: usize = 150_000;

/// Attributes of one element. Namespaces and `xsi:type` are the only ones that S3 knows.
const MAX_ATTRIBUTES: usize = 32;

/// An element with its local name; prefixes of names are dropped, those of attributes kept (`xsi:type`).
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    /// The text, with the white space around child elements left out.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }
}

/// S3's answer to a document that is broken or has another form than the operation's.
pub(crate) fn malformed() -> AwsError {
    AwsError::new(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

/// Parses one document.
pub(crate) fn parse(body: &[u8]) -> Result<Element> {
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0;
    loop {
        let event = reader.read_event().map_err(|_| malformed())?;
        match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(malformed()),
            Event::Start(ref start) | Event::Empty(ref start) => {
                count += 1;
                if count > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                    return Err(malformed());
                }
                open.push(element(start)?);
                if matches!(event, Event::Empty(_)) {
                    close(&mut open, &mut root)?;
                }
            }
            Event::End(_) => close(&mut open, &mut root)?,
            Event::Text(part) => append(&mut open, &part.xml_content().map_err(|_| malformed())?)?,
            Event::CData(part) => append(&mut open, &part.decode().map_err(|_| malformed())?)?,
            Event::GeneralRef(part) => append(&mut open, &reference(&part)?)?,
            Event::DocType(_) => return Err(malformed()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => return root.ok_or_else(malformed),
            Event::Eof => return Err(malformed()),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element> {
    let name = std::str::from_utf8(start.local_name().into_inner()).map_err(|_| malformed())?.to_owned();
    let mut attributes: Vec<(String, String)> = Vec::new();
    let mut given = start.attributes();
    // The parser's own search for duplicates is quadratic in a number that nothing bounds.
    for attribute in given.with_checks(false) {
        let attribute = attribute.map_err(|_| malformed())?;
        let name = std::str::from_utf8(attribute.key.into_inner()).map_err(|_| malformed())?.to_owned();
        let value = attribute.unescape_value().map_err(|_| malformed())?.into_owned();
        if attributes.len() == MAX_ATTRIBUTES || attributes.iter().any(|(known, _)| *known == name) {
            return Err(malformed());
        }
        attributes.push((name, value));
    }
    Ok(Element { name, attributes, ..Element::default() })
}

fn close(open: &mut Vec<Element>, root: &mut Option<Element>) -> Result<()> {
    let done = open.pop().ok_or_else(malformed)?;
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None => *root = Some(done),
    }
    Ok(())
}

fn append(open: &mut [Element], text: &str) -> Result<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_ascii().trim_start_matches('\u{feff}').is_empty() => {}
        None => return Err(malformed()),
    }
    Ok(())
}

fn reference(part: &BytesRef<'_>) -> Result<Cow<'static, str>> {
    if let Some(character) = part.resolve_char_ref().map_err(|_| malformed())? {
        return Ok(character.to_string().into());
    }
    let name = part.decode().map_err(|_| malformed())?;
    quick_xml::escape::resolve_predefined_entity(&name).map(Cow::Borrowed).ok_or_else(malformed)
}

/// Builds a document. Names come from models or constants, never from input.
pub(crate) struct Writer {
    out: String,
}

impl Default for Writer {
    fn default() -> Self {
        // Most answers fit.
        Self { out: String::with_capacity(512) }
    }
}

impl Writer {
    /// Begins with the XML declaration.
    pub(crate) fn document() -> Self {
        Self { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() }
    }
    /// An opening tag with attributes.
    pub(crate) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
    }
    pub(crate) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
    pub(crate) fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }
    /// An element that holds text.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.open(name, &[]);
        self.text(text);
        self.close(name);
    }
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }
}

/// Characters that XML 1.0 cannot carry become U+FFFD, so that one hostile key does not make a whole listing
/// unreadable; S3 clients that need them ask for `encoding-type=url`.
fn escape(text: &str, out: &mut String) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>' | b'&' | b'"');
    if text.bytes().all(plain) {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree() {
        let root = parse(
            b"<?xml version='1.0'?>\n<a:Tagging xmlns:a='u'><!-- c --><T x:type='1&amp;2'>a &lt;b&gt;&#x41;<![CDATA[<c>]]></T><E/></a:Tagging>\n",
        )
        .unwrap();
        assert_eq!(root.name, "Tagging");
        assert_eq!(root.children[0].text, "a <b>A<c>");
        assert_eq!(root.children[0].attributes, [("x:type".to_owned(), "1&2".to_owned())]);
        assert_eq!(root.children[1].name, "E");
    }

    #[test]
    fn refused() {
        let deep = "<a>".repeat(MAX_DEPTH + 1) + &"</a>".repeat(MAX_DEPTH + 1);
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        let attributes = |n: usize| format!("<a{}/>", (0..n).map(|at| format!(" a{at}=''")).collect::<String>());
        assert!(parse(attributes(MAX_ATTRIBUTES).as_bytes()).is_ok());
        for text in [
            "",
            " ",
            &attributes(MAX_ATTRIBUTES + 1),
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a b/>",
            "<a b='1' b='2'/>",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            &deep,
            &wide,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().code, "MalformedXML", "{}", &text[..text.len().min(80)]);
        }
        assert!(parse(b"<a>\xff</a>").is_err());
        let fits = "<a>".repeat(MAX_DEPTH) + &"</a>".repeat(MAX_DEPTH);
        assert!(parse(fits.as_bytes()).is_ok());
    }

    #[test]
    fn written() {
        let mut writer = Writer::document();
        writer.open("a", &[("b", "\"<")]);
        writer.leaf("c", "&\r\u{1}é");
        writer.close("a");
        let text = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a b=\"&quot;&lt;\"><c>&amp;&#13;\u{fffd}é</c></a>");
    }
}
