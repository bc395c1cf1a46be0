//! The signature inside of what it signs, by the profile of SAML ("XML Signature Profile", SAML core, 5.4).
//!
//! One reference, to the parent of the signature, by its ID; the two transforms of the profile; one of the
//! provider's own keys. What else XML signatures can do is what attacks on them are made of.

use crate::{
    Certificate, base64,
    c14n::{self, EXCLUSIVE, EXCLUSIVE_WITH_COMMENTS},
    key::{Hash, Scheme},
    xml::{Document, Id},
};

/// The namespace of XML signatures.
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// Prefixes of an InclusiveNamespaces list.
const MAX_INCLUSIVE: usize = 32;

/// Why a signature is refused. Only for tests and logs: clients are told that it is invalid.
pub(crate) type Why = &'static str;

/// Verifies the signature that `signed` holds as its child.
pub(crate) fn verify(document: &Document, signed: Id, certificates: &[Certificate]) -> Result<(), Why> {
    let signature = document.only(signed, DS, "Signature").ok_or("there is not one signature")?;
    let only = |parent: Id, local: &str| document.only(parent, DS, local).ok_or("the signature is malformed");
    let info = only(signature, "SignedInfo")?;
    let known = |id: Id| ["SignedInfo", "SignatureValue", "KeyInfo"].iter().any(|local| document.is(id, DS, local));
    if !document.children(signature).all(known) {
        return Err("the signature holds more than a signature");
    }
    let (inclusive, method) = (method(document, only(info, "CanonicalizationMethod")?)?, only(info, "SignatureMethod")?);
    let scheme = scheme(document.attribute(method, "Algorithm").unwrap_or_default())?;
    let made = text(document, only(signature, "SignatureValue")?)?;
    let message = c14n::canonical(document, info, None, &inclusive);
    if !certificates.iter().any(|certificate| certificate.key.verifies(scheme, &message, &made)) {
        return Err("no key of the provider made the signature");
    }
    reference(document, signed, signature, only(info, "Reference")?)
}

/// What the signature says of the element around it.
fn reference(document: &Document, signed: Id, signature: Id, reference: Id) -> Result<(), Why> {
    let named = document.attribute(reference, "URI").and_then(|uri| uri.strip_prefix('#')).ok_or("the reference names nothing")?;
    if named.is_empty() || document.attribute(signed, "ID") != Some(named) {
        return Err("the reference is to another element");
    }
    let transforms = document.only(reference, DS, "Transforms").ok_or("there are no transforms")?;
    let all: Vec<Id> = document.children(transforms).collect();
    let [first, second] = all.as_slice() else { return Err("there are not two transforms") };
    if !document.is(*first, DS, "Transform") || document.attribute(*first, "Algorithm") != Some(ENVELOPED) {
        return Err("the first transform is not that of enveloped signatures");
    }
    if !document.is(*second, DS, "Transform") {
        return Err("the second transform is none");
    }
    let inclusive = method(document, *second)?;
    let of = |local: &str| document.only(reference, DS, local).ok_or("the reference is malformed");
    let hash = match document.attribute(of("DigestMethod")?, "Algorithm").unwrap_or_default() {
        "http://www.w3.org/2001/04/xmlenc#sha256" => Hash::Sha256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Hash::Sha384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => Hash::Sha512,
        _ => return Err("a digest that is not taken"),
    };
    let promised = text(document, of("DigestValue")?)?;
    let actual = hash.of(&c14n::canonical(document, signed, Some(signature), &inclusive));
    if actual == promised { Ok(()) } else { Err("the element is not what was signed") }
}

fn text(document: &Document, id: Id) -> Result<Vec<u8>, Why> {
    document.text(id).and_then(|text| base64::decode(&text)).ok_or("a value is not base64")
}

/// The prefixes of a canonicalization, which must be the exclusive one.
fn method(document: &Document, id: Id) -> Result<Vec<String>, Why> {
    match document.attribute(id, "Algorithm") {
        Some(EXCLUSIVE) => {}
        Some(EXCLUSIVE_WITH_COMMENTS) if !document.had_comments() => {}
        _ => return Err("a canonical form that is not taken"),
    }
    let mut children = document.children(id);
    let Some(list) = children.next() else { return Ok(Vec::new()) };
    if children.next().is_some() || !document.is(list, EXCLUSIVE, "InclusiveNamespaces") {
        return Err("the canonical form has parameters that are not taken");
    }
    let prefixes = document.attribute(list, "PrefixList").unwrap_or_default();
    let prefixes: Vec<String> =
        prefixes.split_ascii_whitespace().map(|prefix| if prefix == "#default" { "" } else { prefix }.to_owned()).collect();
    if prefixes.len() > MAX_INCLUSIVE { Err("too many prefixes") } else { Ok(prefixes) }
}

fn scheme(algorithm: &str) -> Result<Scheme, Why> {
    Ok(match algorithm {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Scheme::RsaPkcs1(Hash::Sha256),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Scheme::RsaPkcs1(Hash::Sha384),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Scheme::RsaPkcs1(Hash::Sha512),
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1" => Scheme::RsaPss(Hash::Sha256),
        "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1" => Scheme::RsaPss(Hash::Sha384),
        "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1" => Scheme::RsaPss(Hash::Sha512),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Scheme::Ecdsa(Hash::Sha256),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Scheme::Ecdsa(Hash::Sha384),
        _ => return Err("a signature method that is not taken"),
    })
}
