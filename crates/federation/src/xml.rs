//! XML as a tree, strictly: the subset that signed statements are written in.
//!
//! Namespaces are resolved, prefixes are kept (the canonical form needs both). Comments are dropped, as the
//! canonical form drops them, and the texts around them join: nobody reads half a name. Document types,
//! entities of one's own and processing instructions inside the root are refused, and so is whatever is not
//! well-formed. Time and memory are bounded by the length of the text and by [`MAX_DEPTH`].

mod parse;

/// The namespace of the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Elements inside one another.
pub const MAX_DEPTH: usize = 64;
/// Namespaces that are declared at one place of a document: what a name's namespace is searched among.
pub const MAX_IN_SCOPE: usize = 128;
/// Elements and texts of one document.
pub const MAX_NODES: usize = 400_000;

/// An element of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(usize);

/// An attribute that is no namespace declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// As written.
    pub prefix: String,
    /// Without prefix.
    pub local: String,
    /// Empty where there is no prefix.
    pub uri: String,
    /// Normalised.
    pub value: String,
}

#[derive(Debug)]
pub(crate) enum Child {
    Element(Id),
    Text(String),
}

#[derive(Debug)]
pub(crate) struct Element {
    pub prefix: String,
    pub local: String,
    pub uri: String,
    /// Prefix (empty for the default) and namespace.
    pub declarations: Vec<(String, String)>,
    /// Declarations here and around here.
    pub in_scope: usize,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Child>,
    pub parent: Option<Id>,
}

/// A parsed document.
#[derive(Debug)]
pub struct Document {
    elements: Vec<Element>,
    comments: bool,
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub why: &'static str,
    /// Bytes into the text.
    pub at: usize,
}

impl Document {
    /// Parses a text.
    ///
    /// # Errors
    /// When it is not well-formed, or has what is refused.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        parse::document(text)
    }

    /// The outermost element.
    #[must_use]
    pub fn root(&self) -> Id {
        Id(0)
    }
    pub(crate) fn element(&self, id: Id) -> &Element {
        &self.elements[id.0]
    }
    /// Whether comments were dropped.
    pub(crate) fn had_comments(&self) -> bool {
        self.comments
    }
    /// All elements in document order.
    pub fn all(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.elements.len()).map(Id)
    }
    /// Whether an element has this name.
    #[must_use]
    pub fn is(&self, id: Id, uri: &str, local: &str) -> bool {
        let element = self.element(id);
        element.local == local && element.uri == uri
    }
    /// The element around it.
    #[must_use]
    pub fn parent(&self, id: Id) -> Option<Id> {
        self.element(id).parent
    }
    /// The elements directly in it.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        self.element(id).children.iter().filter_map(|child| match child {
            Child::Element(id) => Some(*id),
            Child::Text(_) => None,
        })
    }
    /// Those of a name.
    pub fn named<'a>(&'a self, id: Id, uri: &'a str, local: &'a str) -> impl Iterator<Item = Id> + 'a {
        self.children(id).filter(move |child| self.is(*child, uri, local))
    }
    /// The one of a name: `None` where there is none or more than one.
    #[must_use]
    pub fn only(&self, id: Id, uri: &str, local: &str) -> Option<Id> {
        let mut found = self.named(id, uri, local);
        found.next().filter(|_| found.next().is_none())
    }
    /// An attribute without a namespace.
    #[must_use]
    pub fn attribute(&self, id: Id, local: &str) -> Option<&str> {
        let found = self.element(id).attributes.iter().find(|attribute| attribute.local == local && attribute.uri.is_empty());
        found.map(|attribute| attribute.value.as_str())
    }
    /// The attributes of an element.
    #[must_use]
    pub fn attributes(&self, id: Id) -> &[Attribute] {
        &self.element(id).attributes
    }
    /// The text of an element that has no elements in it.
    #[must_use]
    pub fn text(&self, id: Id) -> Option<String> {
        if self.children(id).next().is_some() {
            return None;
        }
        let texts = self.element(id).children.iter().filter_map(|child| match child {
            Child::Text(text) => Some(text.as_str()),
            Child::Element(_) => None,
        });
        Some(texts.collect())
    }
    /// All text below an element.
    #[must_use]
    pub fn deep_text(&self, id: Id) -> String {
        let mut out = String::new();
        for child in &self.element(id).children {
            match child {
                Child::Text(text) => out.push_str(text),
                Child::Element(id) => out.push_str(&self.deep_text(*id)),
            }
        }
        out
    }
    /// What a prefix stands for at an element; the empty one is the default namespace.
    pub(crate) fn namespace(&self, id: Id, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML);
        }
        let mut at = Some(id);
        while let Some(id) = at {
            let element = self.element(id);
            if let Some((_, uri)) = element.declarations.iter().find(|(declared, _)| declared == prefix) {
                return Some(uri);
            }
            at = element.parent;
        }
        prefix.is_empty().then_some("")
    }
}
