//! What identity providers send: SAML responses, metadata, tokens, key sets.
//!
//! The key that signed the corpus was thrown away, so whatever verifies must say exactly what was signed: another subject,
//! audience or attribute that verifies is a forgery.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tenantry_core::Timestamp;
use tenantry_federation::{
    Certificate,
    jwt::{KeySet, Token},
    metadata::Metadata,
    saml::{self, Expected},
    xml::Document,
};

use super::{MEMORY, no_seeds};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const METADATA: &str = include_str!("../../corpus/metadata/provider.xml");
const KEYS: &str = include_str!("../../corpus/jwt/keys.json");
const RESPONSE: &str = include_str!("../../corpus/saml/signed-response.xml");
const TOKENS: [&str; 2] = [include_str!("../../corpus/jwt/token.txt"), include_str!("../../corpus/jwt/token-many.txt")];

pub(super) fn targets() -> Vec<Target> {
    let target = |name, what, form, tokens, make, seeds| Target {
        name,
        what,
        grammar: Grammar { head: false, form, tokens, longest: 32 << 10 },
        memory: MEMORY,
        renew: 0,
        make,
        seeds,
    };
    vec![
        target("saml", "SAML responses: what verifies says what was signed", Form::Xml, XML, responses, no_seeds),
        target("metadata", "a provider's metadata and its certificates", Form::Xml, XML, || Box::new(metadata), no_seeds),
        target("jwt", "tokens and key sets: what verifies says what was signed", Form::Bytes, WORDS, tokens, decoded_seeds),
    ]
}

const XML: &[&str] = &[
    "urn:oasis:names:tc:SAML:2.0:assertion",
    "urn:oasis:names:tc:SAML:2.0:protocol",
    "http://www.w3.org/2000/09/xmldsig#",
    "_assertion-1",
    "_response-1",
    "_other",
    "ID=\"",
    "URI=\"\"",
    "URI=\"#_assertion-1\"",
    "xmlns=\"\"",
    "xmlns:xml=\"x\"",
    "xml:lang=\"a\"",
    "alice@example.com",
    "<!---->",
    "&#x41;",
    "PrefixList=\"#default\"",
    "http://www.w3.org/2001/10/xml-exc-c14n#",
    "<saml:AttributeValue>admin</saml:AttributeValue>",
    "2026-11-17T00:00:00Z",
    "EncryptedAssertion",
];
const WORDS: &[&str] = &[
    "{\"alg\":\"none\"}",
    "\"alg\":\"HS256\"",
    "\"alg\":\"RS256\"",
    "\"kid\":\"k2\"",
    "\"crit\":[]",
    "\"exp\":1e400",
    "\"aud\":[]",
    "\"sub\":\"admin\"",
    ".",
    "..",
    "=",
    "e30",
    "\n",
    "header:",
    "claims:",
    "\"kty\":\"EC\"",
    "\"crv\":\"P-384\"",
    "\"e\":\"\"",
    "\"n\":\"AA\"",
    "\"x\":\"\"",
    "\"keys\":[",
    "\"use\":\"enc\"",
];

fn certificates() -> Metadata {
    Metadata::parse(METADATA).expect("our own metadata is good")
}

fn responses() -> Run {
    let provider = certificates();
    let verify = move |input: &[u8]| {
        let expected = Expected {
            entity: &provider.entity,
            certificates: &provider.certificates,
            recipient: |url| url == "https://signin.aws.amazon.com/saml",
            audience: |name| name == "urn:amazon:webservices",
            now: NOW,
        };
        saml::verify(&STANDARD.encode(input), &expected)
    };
    let signed = verify(RESPONSE.as_bytes()).expect("what was signed verifies");
    Box::new(move |input| {
        if let Ok(assertion) = verify(input) {
            assert_eq!(assertion, signed, "a forgery");
        }
    })
}

fn metadata(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(document) = Document::parse(text) {
        assert!(document.all().count() <= text.len());
    }
    drop(Metadata::parse(text));
    // The same bytes with the base64 taken off are a certificate's.
    for part in text.split(['<', '>']).filter(|part| part.len() > 100) {
        let packed: String = part.split_whitespace().collect();
        if let Ok(der) = STANDARD.decode(packed) {
            drop(Certificate::parse(&der));
            assert_eq!(Certificate::thumbprint(&der).len(), 40);
        }
    }
    drop(Certificate::parse(input));
}

/// Tokens in a form that mutations get past base64 with: `header:…\nclaims:…\nsignature:…`.
fn decoded_seeds() -> Vec<Vec<u8>> {
    let decode = |token: &str| {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let mut next = |name: &[u8]| [name, &parts.next().unwrap_or_default(), b"\n"].concat();
        [next(b"header:"), next(b"claims:"), token.rsplit('.').next().unwrap_or_default().into()].concat()
    };
    TOKENS.iter().map(|token| decode(token)).collect()
}

fn tokens() -> Run {
    let keys = KeySet::parse(KEYS.as_bytes()).expect("our own key set is good");
    let signed = TOKENS.map(|text| Token::parse(text).and_then(|token| token.verify(&keys, NOW)).expect("what was signed verifies"));
    Box::new(move |input| {
        if let Some(set) = KeySet::parse(input) {
            let _known = set.knows("k1");
            for text in TOKENS {
                drop(Token::parse(text).and_then(|token| token.verify(&set, NOW)));
            }
        }
        let Ok(text) = std::str::from_utf8(input) else { return };
        let packed = text.strip_prefix("header:").and_then(|rest| {
            let (header, rest) = rest.split_once("\nclaims:")?;
            let (claims, signature) = rest.rsplit_once('\n')?;
            Some(format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)))
        });
        let Ok(token) = Token::parse(packed.as_deref().unwrap_or(text)) else { return };
        let (_, _) = (token.issuer().is_ok(), token.key().is_some());
        if let Ok(claims) = token.verify(&keys, NOW) {
            assert!(signed.contains(&claims), "a forgery: {claims:?}");
        }
    })
}
