#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::{Document, MAX_DEPTH};

fn why(text: &str) -> &'static str {
    Document::parse(text).unwrap_err().why
}

#[test]
fn a_tree_with_its_names() {
    let text = "<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<!-- a --><a:r xmlns:a='u' xmlns='d' x=\"1\n2\" a:x='&lt;&#xA;'>\r\n<b>1<!-- c -->2<![CDATA[<&]]></b><a:c/></a:r>\n";
    let document = Document::parse(text).unwrap();
    let root = document.root();
    assert!(document.is(root, "u", "r"));
    assert_eq!(document.attribute(root, "x"), Some("1 2"));
    assert_eq!(document.attributes(root)[1].value, "<\n");
    let b = document.only(root, "d", "b").unwrap();
    assert_eq!(document.text(b).unwrap(), "12<&", "texts around a comment join");
    assert!(document.had_comments() && document.only(root, "u", "c").is_some());
    assert_eq!(document.text(root), None);
    assert_eq!(document.deep_text(root), "\n12<&");
}

#[test]
fn what_is_refused() {
    for text in ["<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "<!DOCTYPE a><a/>", "<a><!DOCTYPE b></a>"] {
        assert_eq!(why(text), "document types are not taken");
    }
    assert_eq!(why("<a>&x;</a>"), "an entity that is not XML's own");
    assert_eq!(why("<a>&#0;</a>"), "an entity that is not XML's own");
    assert_eq!(why("<a><?b c?></a>"), "processing instructions are not taken");
    assert_eq!(why("<a b='1' b='2'/>"), "an attribute is there twice");
    assert_eq!(why("<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>"), "an attribute is there twice");
    assert_eq!(why("<a xmlns:x='u' xmlns:x='v'/>"), "a namespace is declared twice");
    assert_eq!(why("<x:a/>"), "a prefix that is not declared");
    assert_eq!(why("<a xmlns:b=''/>"), "a prefix without a namespace");
    assert_eq!(why("<a xmlns:xml='u'/>"), "a reserved namespace");
    assert_eq!(why("<a></b>"), "an end of another element");
    assert_eq!(why("<a/><b/>"), "text behind the root element");
    assert_eq!(why("<a><!-- -- --></a>"), "two hyphens in a comment");
    assert_eq!(why("<a>\u{1}</a>"), "a character that XML does not have");
    assert_eq!(why("<a b='<'/>"), "a value holds the beginning of a tag");
    assert_eq!(why("<a>]]></a>"), "the end of a section that did not begin");
    assert_eq!(why("<?xml version='1.0' encoding='UTF-16'?><a/>"), "another encoding than UTF-8");
    for text in
        ["", "a", "<", "<a", "<a b", "<a b=", "<a b='", "<a>", "<a>&", "<a>&#", "<a><![CDATA[", "<!--", "<?x", "</a>", "<a:/>", "<1/>"]
    {
        assert!(Document::parse(text).is_err(), "{text}");
    }
}

#[test]
fn as_deep_as_may_be_and_one_more() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Document::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(why(&nested(MAX_DEPTH + 1)), "elements are nested too deep");
}
