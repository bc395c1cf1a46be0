//! Changes of XML by its elements: what a parser must get right is which tags belong together.

use std::ops::Range;

use super::{Grammar, bytes};
use crate::rng::Rng;

/// One change; `None` where there is no element.
pub(super) fn change(rng: &mut Rng, grammar: &Grammar, body: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let elements = elements(body);
    if elements.is_empty() {
        return None;
    }
    let chosen = rng.pick(&elements).clone();
    let mut out = body.to_vec();
    let copy = out[chosen.clone()].to_vec();
    match rng.below(9) {
        0 => drop(out.drain(chosen)),
        1 => drop(out.splice(chosen.end..chosen.end, copy)),
        2 => {
            let others = self::elements(other);
            let donor = if others.is_empty() { Vec::new() } else { other[rng.pick(&others).clone()].to_vec() };
            if rng.one_in(2) {
                out.splice(chosen, donor)
            } else {
                out.splice(chosen.end..chosen.end, donor)
            };
        }
        // To another place, which is what wrapping a signed element is.
        3 | 4 => {
            let to = rng.pick(&elements).clone();
            let at = if rng.one_in(2) { to.start } else { inside(&out, &to) };
            out.splice(at..at, copy);
        }
        5 => {
            let depth = 1 << rng.below(10);
            let tag = rng.pick(&["a", "Item", "ds:Object", "saml:Assertion", "Part"]);
            let wrapped = [format!("<{tag}>").repeat(depth).into_bytes(), copy, format!("</{tag}>").repeat(depth).into_bytes()].concat();
            out.splice(chosen, wrapped);
        }
        6 => {
            let at = chosen.start + 1;
            let end = out[at..].iter().position(|byte| b" />\t\n".contains(byte)).map_or(out.len(), |end| at + end);
            let attribute = match rng.below(5) {
                0 => " xmlns=\"urn:x\"",
                1 => " ID=\"_assertion-1\"",
                2 => " a=\"&lt;&#x0;&#65;\" a='1'",
                3 => " xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"",
                _ => " xml:space=\"preserve\"",
            };
            out.splice(end..end, attribute.bytes());
        }
        7 => {
            let text =
                rng.pick(&["<!---->", "<![CDATA[x]]>", "&#65;", "&lt;", "<?a b?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>", "&b;", "]]>"]);
            let at = inside(&out, &chosen);
            out.splice(at..at, text.bytes());
        }
        _ => {
            let changed = bytes::change(rng, grammar, &copy, other);
            out.splice(chosen, changed);
        }
    }
    Some(out)
}

/// Behind the start tag of an element.
fn inside(text: &[u8], element: &Range<usize>) -> usize {
    text[element.clone()].iter().position(|byte| *byte == b'>').map_or(element.end, |at| element.start + at + 1)
}

/// Where elements stand, as far as tags pair up.
fn elements(text: &[u8]) -> Vec<Range<usize>> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(start) = text[at..].iter().position(|byte| *byte == b'<').map(|found| found + at) {
        let Some(end) = text[start..].iter().position(|byte| *byte == b'>').map(|found| found + start + 1) else { break };
        at = end;
        match text[start + 1] {
            b'?' | b'!' => {}
            b'/' => {
                if let Some(began) = open.pop() {
                    found.push(began..end);
                }
            }
            _ if text[end - 2] == b'/' => found.push(start..end),
            _ => open.push(start),
        }
        if found.len() > 2000 {
            break;
        }
    }
    found
}
