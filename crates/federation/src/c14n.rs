//! Exclusive canonical XML without comments: the bytes that are signed.
//!
//! An element and what is below it, less one element (the signature that is inside of what it signs).
//! Source: "Exclusive XML Canonicalization Version 1.0", W3C.

use crate::xml::{Child, Document, Id};

/// The algorithm's name.
pub(crate) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// The same with comments: equal where there are none.
pub(crate) const EXCLUSIVE_WITH_COMMENTS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";

/// The canonical form. `without`: an element that is left out. `inclusive`: prefixes that are declared wherever they
/// are in scope; `""` is the default namespace.
pub(crate) fn canonical(document: &Document, apex: Id, without: Option<Id>, inclusive: &[String]) -> Vec<u8> {
    let mut writer = Writer { document, without, inclusive, out: Vec::new() };
    writer.element(apex, &mut Vec::new());
    writer.out
}

struct Writer<'a> {
    document: &'a Document,
    without: Option<Id>,
    inclusive: &'a [String],
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// `rendered`: the declarations of the elements around, innermost last. The depth is the parser's.
    fn element(&mut self, id: Id, rendered: &mut Vec<(&'a str, &'a str)>) {
        let element = self.document.element(id);
        let before = rendered.len();
        let mut prefixes: Vec<&'a str> = vec![element.prefix.as_str()];
        prefixes.extend(element.attributes.iter().map(|attribute| attribute.prefix.as_str()).filter(|prefix| !prefix.is_empty()));
        prefixes.extend(self.inclusive.iter().map(String::as_str));
        prefixes.sort_unstable();
        prefixes.dedup();
        self.out.push(b'<');
        self.name(&element.prefix, &element.local);
        for prefix in prefixes.into_iter().filter(|prefix| *prefix != "xml") {
            let Some(uri) = self.document.namespace(id, prefix) else { continue };
            let now = rendered[..before].iter().rev().find(|(declared, _)| *declared == prefix).map(|(_, uri)| *uri);
            if now.unwrap_or_default() == uri {
                continue;
            }
            self.out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
            self.out.extend_from_slice(prefix.as_bytes());
            self.value(uri);
            rendered.push((prefix, uri));
        }
        let mut attributes: Vec<_> = element.attributes.iter().collect();
        attributes.sort_unstable_by_key(|attribute| (attribute.uri.as_str(), attribute.local.as_str()));
        for attribute in attributes {
            self.out.push(b' ');
            self.name(&attribute.prefix, &attribute.local);
            self.value(&attribute.value);
        }
        self.out.push(b'>');
        for child in &element.children {
            match child {
                Child::Element(id) if Some(*id) == self.without => {}
                Child::Element(id) => self.element(*id, rendered),
                Child::Text(text) => self.text(text),
            }
        }
        self.out.extend_from_slice(b"</");
        self.name(&element.prefix, &element.local);
        self.out.push(b'>');
        rendered.truncate(before);
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }

    fn value(&mut self, value: &str) {
        self.out.extend_from_slice(b"=\"");
        for byte in value.bytes() {
            match byte {
                b'&' => self.out.extend_from_slice(b"&amp;"),
                b'<' => self.out.extend_from_slice(b"&lt;"),
                b'"' => self.out.extend_from_slice(b"&quot;"),
                b'\t' => self.out.extend_from_slice(b"&#x9;"),
                b'\n' => self.out.extend_from_slice(b"&#xA;"),
                b'\r' => self.out.extend_from_slice(b"&#xD;"),
                other => self.out.push(other),
            }
        }
        self.out.push(b'"');
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'&' => self.out.extend_from_slice(b"&amp;"),
                b'<' => self.out.extend_from_slice(b"&lt;"),
                b'>' => self.out.extend_from_slice(b"&gt;"),
                b'\r' => self.out.extend_from_slice(b"&#xD;"),
                other => self.out.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(text: &str, uri: &str, local: &str, inclusive: &[&str]) -> String {
        let document = Document::parse(text).unwrap();
        let apex = document.all().find(|id| document.is(*id, uri, local)).unwrap();
        let inclusive: Vec<String> = inclusive.iter().map(|prefix| (*prefix).to_owned()).collect();
        String::from_utf8(canonical(&document, apex, None, &inclusive)).unwrap()
    }

    #[test]
    fn only_what_is_used_is_declared_and_where_it_is_used() {
        let text =
            r#"<n0:a xmlns:n0="a:b" xmlns:n3="e"><n1:b z="1" n3:a='2' xmlns:n1="b:c" xml:lang="x"><n1:c xmlns:n1="b:c"/></n1:b></n0:a>"#;
        assert_eq!(
            of(text, "b:c", "b", &[]),
            r#"<n1:b xmlns:n1="b:c" xmlns:n3="e" z="1" n3:a="2" xml:lang="x"><n1:c></n1:c></n1:b>"#,
            "attributes by namespace, `e` before `http://www.w3.org/XML`"
        );
        assert!(of(text, "b:c", "b", &["n0"]).starts_with(r#"<n1:b xmlns:n0="a:b" xmlns:n1="b:c" xmlns:n3="e" "#));
    }

    #[test]
    fn the_default_namespace_comes_and_goes() {
        let text = r#"<a xmlns="u"><b xmlns=""><c xmlns="u"><d/></c></b></a>"#;
        assert_eq!(of(text, "u", "a", &[]), r#"<a xmlns="u"><b xmlns=""><c xmlns="u"><d></d></c></b></a>"#);
        assert_eq!(of(text, "", "b", &[]), r#"<b><c xmlns="u"><d></d></c></b>"#);
        assert_eq!(of(text, "", "b", &[""]), r#"<b><c xmlns="u"><d></d></c></b>"#);
    }

    #[test]
    fn texts_and_values_are_written_in_one_way() {
        let text = "<a b='&#9;&#xA;&#13;\"&amp;>' ><![CDATA[<]]>&gt;&#xD;<!-- no -->\t</a>";
        assert_eq!(of(text, "", "a", &[]), "<a b=\"&#x9;&#xA;&#xD;&quot;&amp;>\">&lt;&gt;&#xD;\t</a>");
    }
}
