//! The metadata document of a SAML identity provider: who it is and which keys sign for it.
//!
//! Source: "Metadata for the OASIS Security Assertion Markup Language (SAML) V2.0".

use tenantry_core::Timestamp;

use crate::{
    Certificate, base64,
    dsig::DS,
    xml::{Document, Id},
};

const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Certificates of one provider: a key and its successors.
const MAX_CERTIFICATES: usize = 10;

/// What a metadata document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Who signs: the `Issuer` of assertions.
    pub entity: String,
    /// Signing certificates.
    pub certificates: Vec<Certificate>,
    /// When the document ends, where it says so.
    pub valid_until: Option<Timestamp>,
}

/// Why a document is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable(pub &'static str);

impl Metadata {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is not the metadata of one identity provider with a signing key.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let document = Document::parse(text).map_err(|malformed| Unusable(malformed.why))?;
        let entity = descriptor(&document)?;
        let id = document.attribute(entity, "entityID").map(str::trim).filter(|id| !id.is_empty() && id.len() <= 1024);
        let id = id.ok_or(Unusable("the entity has no entityID"))?;
        let role = document.named(entity, MD, "IDPSSODescriptor").find(|role| speaks(&document, *role));
        let role = role.ok_or(Unusable("there is no IDPSSODescriptor for SAML 2.0"))?;
        let mut certificates = Vec::new();
        for key in document.named(role, MD, "KeyDescriptor") {
            if document.attribute(key, "use").is_none_or(|usage| usage == "signing") {
                certificates.extend(certificates_of(&document, key)?);
            }
        }
        if certificates.is_empty() {
            return Err(Unusable("there is no signing certificate"));
        }
        if certificates.len() > MAX_CERTIFICATES {
            return Err(Unusable("there are more than 10 signing certificates"));
        }
        let ends = [document.root(), entity, role].into_iter().filter_map(|id| document.attribute(id, "validUntil"));
        let ends: Option<Vec<Timestamp>> = ends.map(Timestamp::parse).collect();
        let valid_until = ends.ok_or(Unusable("validUntil is not a time"))?.into_iter().min();
        Ok(Self { entity: id.to_owned(), certificates, valid_until })
    }
}

/// The one entity of the document.
fn descriptor(document: &Document) -> Result<Id, Unusable> {
    let root = document.root();
    if document.is(root, MD, "EntityDescriptor") {
        return Ok(root);
    }
    let only = document.is(root, MD, "EntitiesDescriptor").then(|| document.only(root, MD, "EntityDescriptor")).flatten();
    only.ok_or(Unusable("there is not one EntityDescriptor"))
}

fn speaks(document: &Document, role: Id) -> bool {
    document.attribute(role, "protocolSupportEnumeration").is_some_and(|all| all.split_ascii_whitespace().any(|one| one == PROTOCOL))
}

fn certificates_of(document: &Document, key: Id) -> Result<Vec<Certificate>, Unusable> {
    let mut found = Vec::new();
    for info in document.named(key, DS, "KeyInfo") {
        for data in document.named(info, DS, "X509Data") {
            for certificate in document.named(data, DS, "X509Certificate") {
                let der = document.text(certificate).and_then(|text| base64::decode(&text));
                let der = der.ok_or(Unusable("a certificate is not base64"))?;
                let parsed = Certificate::parse(&der);
                found.push(
                    parsed.ok_or(Unusable("a certificate is not X.509 with an RSA key of 2048 bits and more, or a P-256 or P-384 key"))?,
                );
            }
        }
    }
    Ok(found)
}
