//! Signature wrapping: what was signed is in the document, and something else is to be read.
//! Source of the patterns: "On Breaking SAML: Be Whoever You Want to Be", USENIX Security 2012.

use crate::signer::{ASSERTION, DS, Provider, RESPONSE, Recipe, response};

/// The attacker's assertion: another name, another ID, no signature.
fn evil(id: &str) -> (String, String) {
    let (before, behind) = Recipe { name: "admin@example.com", ..Recipe::default() }.assertion();
    (before.replace(ASSERTION, id), behind)
}

fn nobody_gets_in(provider: &Provider, documents: &[String]) {
    for document in documents {
        let answer = provider.verify(document);
        assert!(answer.is_err(), "{answer:?} for {document}");
    }
}

#[test]
fn signed_assertions_moved_aside() {
    let provider = Provider::new();
    let signed = Recipe::default().signed_assertion(&provider);
    let (plain_before, plain_behind) = Recipe::default().assertion();
    let plain = format!("{plain_before}{plain_behind}");
    let signature = provider.signature(ASSERTION, &plain);
    let mut documents = Vec::new();
    for id in ["_evil", ASSERTION] {
        let (before, behind) = evil(id);
        let lone = format!("{before}{behind}");
        documents.extend([
            // Beside each other, in both orders.
            response(&format!("{lone}{signed}")),
            response(&format!("{signed}{lone}")),
            // The original in the attacker's assertion, whose signature is the original's.
            response(&format!("{before}{signature}{plain}{behind}")),
            response(&format!("{before}{}{behind}", signed)),
            // The original in the signature.
            response(&format!(
                "{before}{}{behind}",
                signature.replace("</ds:Signature>", &format!("<ds:Object>{plain}</ds:Object></ds:Signature>"))
            )),
            response(&format!(
                "{before}{}{behind}",
                signature.replace("</ds:Signature>", &format!("<ds:KeyInfo>{plain}</ds:KeyInfo></ds:Signature>"))
            )),
            // The original in an extension.
            response(&format!("<samlp:Extensions>{signed}</samlp:Extensions>{lone}")),
            response(&format!("<samlp:Extensions>{plain}</samlp:Extensions>{before}{signature}{behind}")),
            // The attacker's in the original.
            response(&signed.replace("</saml:Assertion>", &format!("{lone}</saml:Assertion>"))),
            response(&signed.replacen("<saml:Subject>", &format!("<saml:Advice>{lone}</saml:Advice><saml:Subject>"), 1)),
        ]);
    }
    nobody_gets_in(&provider, &documents);
}

#[test]
fn signed_responses_moved_aside() {
    let provider = Provider::new();
    let signed = Recipe::default().by_response(&provider);
    let signature = &signed[signed.find("<ds:Signature ").unwrap()..signed.find("</ds:Signature>").unwrap() + "</ds:Signature>".len()];
    let original = signed.replacen(signature, "", 1);
    let mut documents = Vec::new();
    for id in ["_evil", RESPONSE] {
        let (before, behind) = evil("_evil-assertion");
        let other = response(&format!("{before}{behind}")).replace(RESPONSE, id);
        let with = |inside: &str| other.replacen("<samlp:Status>", &format!("{inside}<samlp:Status>"), 1);
        documents.extend([
            with(&format!("{signature}<samlp:Extensions>{original}</samlp:Extensions>")),
            with(&format!("<samlp:Extensions>{signed}</samlp:Extensions>")),
            with(&signature.replace("</ds:Signature>", &format!("<ds:Object xmlns:ds='{DS}'>{original}</ds:Object></ds:Signature>"))),
            with(signature),
        ]);
    }
    nobody_gets_in(&provider, &documents);
}

#[test]
fn a_signature_for_another_element_is_none() {
    let provider = Provider::new();
    let (before, behind) = evil("_evil");
    // A text that the provider signed for some other purpose, named by the reference.
    let other = provider.signature("_note", "<note ID=\"_note\"></note>");
    nobody_gets_in(
        &provider,
        &[
            response(&format!("{before}{other}{behind}")),
            response(&format!("<note ID=\"_note\"></note>{before}{other}{behind}")),
            response(&format!("{before}{}{behind}", other.replace("URI=\"#_note\"", "URI=\"\""))),
            response(&format!("{before}{}{behind}", other.replace(" URI=\"#_note\"", ""))),
        ],
    );
}
