//! An identity provider: its key, its metadata, and responses as it would sign them. The texts are written in
//! their canonical form, so that nothing of the code under test is needed to sign them.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use tenantry_core::Timestamp;
use tenantry_federation::{
    Refusal,
    metadata::Metadata,
    saml::{self, Assertion, Expected},
};

pub const ENTITY: &str = "https://idp.example.com/metadata";
pub const RECIPIENT: &str = "https://signin.aws.amazon.com/saml";
pub const AUDIENCE: &str = "urn:amazon:webservices";
/// When the response is issued and used.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
pub const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
pub const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

pub struct Provider {
    pub key: EcdsaKeyPair,
    certificate: Vec<u8>,
}

impl Provider {
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap().self_signed(&pair).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &SystemRandom::new()).unwrap();
        Self { key, certificate: certificate.der().to_vec() }
    }

    pub fn document(&self) -> String {
        let certificate = STANDARD.encode(&self.certificate);
        format!(
            r#"<?xml version="1.0"?><!-- made here --><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ENTITY}"><md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}"><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>
{certificate}
</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor></md:EntityDescriptor>"#
        )
    }

    pub fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(&SystemRandom::new(), message).unwrap())
    }

    /// The signature element over `canonical`, the canonical form of the element with this ID.
    pub fn signature(&self, id: &str, canonical: &str) -> String {
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let inside = format!(
            r##"<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>{hash}</ds:DigestValue></ds:Reference>"##
        );
        let made = self.sign(format!(r#"<ds:SignedInfo xmlns:ds="{DS}">{inside}</ds:SignedInfo>"#).as_bytes());
        format!(
            r#"<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{inside}</ds:SignedInfo><ds:SignatureValue>{made}</ds:SignatureValue></ds:Signature>"#
        )
    }

    pub fn verify_at(&self, response: &str, now: Timestamp) -> Result<Assertion, Refusal> {
        let metadata = Metadata::parse(&self.document()).unwrap();
        let expected = Expected {
            entity: &metadata.entity,
            certificates: &metadata.certificates,
            recipient: |url| url == RECIPIENT,
            audience: |name| name == AUDIENCE,
            now,
        };
        saml::verify(&STANDARD.encode(response), &expected)
    }

    pub fn verify(&self, response: &str) -> Result<Assertion, Refusal> {
        self.verify_at(response, NOW)
    }
}

pub fn time(offset: i64) -> String {
    NOW.plus_secs(offset).iso8601(false)
}

/// What a response says; the default is good.
pub struct Recipe {
    pub issuer: &'static str,
    pub issued: i64,
    pub confirmation: String,
    pub conditions: String,
    pub name: &'static str,
    pub attributes: String,
}

impl Default for Recipe {
    fn default() -> Self {
        let attribute = |name: &str, value: &str| {
            format!(r#"<saml:Attribute Name="{name}"><saml:AttributeValue>{value}</saml:AttributeValue></saml:Attribute>"#)
        };
        Self {
            issuer: ENTITY,
            issued: 0,
            confirmation: format!(
                r#"<saml:SubjectConfirmationData NotOnOrAfter="{}" Recipient="{RECIPIENT}"></saml:SubjectConfirmationData>"#,
                time(300)
            ),
            conditions: format!(
                r#"<saml:Conditions NotBefore="{}" NotOnOrAfter="{}"><saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"#,
                time(-60),
                time(300)
            ),
            name: "alice@example.com",
            attributes: [attribute("https://aws.amazon.com/SAML/Attributes/RoleSessionName", "alice"), attribute("team", "red")].concat(),
        }
    }
}

pub const ASSERTION: &str = "_assertion-1";
pub const RESPONSE: &str = "_response-1";

impl Recipe {
    /// The assertion in parts: what is before the place of the signature, and what is behind.
    pub fn assertion(&self) -> (String, String) {
        let before = format!(
            r#"<saml:Assertion xmlns:saml="{SAML}" ID="{ASSERTION}" IssueInstant="{}" Version="2.0"><saml:Issuer>{}</saml:Issuer>"#,
            time(self.issued),
            self.issuer
        );
        let behind = format!(
            r#"<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">{}</saml:SubjectConfirmation></saml:Subject>{}<saml:AttributeStatement>{}</saml:AttributeStatement></saml:Assertion>"#,
            self.name, self.confirmation, self.conditions, self.attributes
        );
        (before, behind)
    }

    pub fn signed_assertion(&self, by: &Provider) -> String {
        let (before, behind) = self.assertion();
        let signature = by.signature(ASSERTION, &format!("{before}{behind}"));
        format!("{before}{signature}{behind}")
    }

    /// A response whose assertion is signed.
    pub fn by_assertion(&self, by: &Provider) -> String {
        response(&self.signed_assertion(by))
    }

    /// A response that is signed as a whole.
    pub fn by_response(&self, by: &Provider) -> String {
        let (before, behind) = self.assertion();
        let whole = response(&format!("{before}{behind}"));
        let signature = by.signature(RESPONSE, &whole);
        whole.replacen("<samlp:Status>", &format!("{signature}<samlp:Status>"), 1)
    }
}

pub fn response(inside: &str) -> String {
    format!(
        r#"<samlp:Response xmlns:samlp="{SAMLP}" ID="{RESPONSE}" IssueInstant="{}" Version="2.0"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>{inside}</samlp:Response>"#,
        time(0)
    )
}
