//! A SAML 2.0 response, verified: what an identity provider says of the person who brings it.
//!
//! The response holds one assertion. The response, the assertion, or both are signed; every signature
//! that is there must be good, and stands where the profile has it. What is read is read from the nodes
//! that were verified, and no ID is there twice, so that no second element can stand in for a signed one.
//! Source: "Assertions and Protocols for SAML 2.0"; "Configure SAML assertions for the authentication
//! response", IAM User Guide.

use std::collections::HashSet;

use tenantry_core::Timestamp;

use crate::{
    Certificate, Refusal, base64,
    dsig::{self, DS},
    xml::{Document, Id},
};

const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// Removed from the format of a name where it is answered.
const FORMAT_PREFIX: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";
/// An assertion is used within so many seconds of its issue.
pub const MAX_AGE: i64 = 300;
/// Seconds that a provider's clock may be ahead.
pub const SKEW: i64 = 120;
/// Attributes and values of one assertion.
const MAX_VALUES: usize = 1000;

/// What a response is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who must have issued it.
    pub entity: &'a str,
    /// With whose keys.
    pub certificates: &'a [Certificate],
    /// Whether this is a place that responses may be sent to.
    pub recipient: fn(&str) -> bool,
    /// Whether this names the service.
    pub audience: fn(&str) -> bool,
    /// The time.
    pub now: Timestamp,
}

/// A verified assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Accepted once.
    pub id: String,
    /// The provider's entity id.
    pub issuer: String,
    /// The person's name.
    pub subject: String,
    /// Its kind: `persistent`, `transient`, or a whole URI of another kind.
    pub subject_type: String,
    /// Where the response was sent.
    pub recipient: String,
    /// After this no credentials may be made of it, so nobody need remember its id.
    pub usable_until: Timestamp,
    /// When the session at the provider ends, if that is said.
    pub session_ends: Option<Timestamp>,
    /// Names and values, in order.
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Assertion {
    /// The values of an attribute, wherever it stands.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.attributes.iter().filter(|(found, _)| found == name).flat_map(|(_, values)| values.iter().map(String::as_str)).collect()
    }
}

type Answer<T> = Result<T, Refusal>;

fn invalid<T>(text: &str) -> Answer<T> {
    Err(Refusal::invalid(text))
}

/// Verifies a response in base64.
///
/// # Errors
/// In AWS's words where AWS has any.
pub fn verify(response: &str, expected: &Expected<'_>) -> Answer<Assertion> {
    let unreadable = || Refusal::invalid("Invalid base64 SAMLResponse");
    let bytes = base64::decode(response).ok_or_else(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
    let document = Document::parse(&text).map_err(|malformed| Refusal::Invalid(format!("Invalid SAMLResponse: {}", malformed.why)))?;
    let (response, assertion) = shape(&document)?;
    signed(&document, response, assertion, expected.certificates)?;
    issued(&document, response, assertion, expected)?;
    let recipient = confirmed(&document, assertion, expected)?;
    let ends = conditions(&document, assertion, expected)?;
    read(&document, assertion, recipient, ends, expected)
}

/// The response and its one assertion, where nothing is ambiguous.
fn shape(document: &Document) -> Answer<(Id, Id)> {
    let response = document.root();
    if !document.is(response, SAMLP, "Response") || document.attribute(response, "Version") != Some("2.0") {
        return invalid("Invalid SAMLResponse: it is not a response of SAML 2.0");
    }
    let status = document.only(response, SAMLP, "Status").and_then(|status| document.only(status, SAMLP, "StatusCode"));
    if status.and_then(|status| document.attribute(status, "Value")) != Some(SUCCESS) {
        return invalid("Invalid SAMLResponse: the identity provider reports no success");
    }
    if document.all().any(|id| ["EncryptedAssertion", "EncryptedID", "EncryptedAttribute"].iter().any(|local| document.is(id, SAML, local)))
    {
        return invalid("Invalid SAMLResponse: encrypted assertions are not supported by this instance");
    }
    let assertions = document.all().filter(|id| document.is(*id, SAML, "Assertion")).count();
    let assertion = document.only(response, SAML, "Assertion").filter(|_| assertions == 1);
    let Some(assertion) = assertion else { return invalid("Invalid SAMLResponse: there is not one assertion") };
    if document.attribute(assertion, "Version") != Some("2.0") {
        return invalid("Invalid SAMLResponse: it is not an assertion of SAML 2.0");
    }
    let mut seen = HashSet::new();
    for id in document.all() {
        for attribute in document.attributes(id) {
            if attribute.local.eq_ignore_ascii_case("id") && !seen.insert(attribute.value.as_str()) {
                return invalid("Invalid SAMLResponse: an ID is there twice");
            }
        }
    }
    Ok((response, assertion))
}

/// Every signature is good, and one covers the assertion.
fn signed(document: &Document, response: Id, assertion: Id, certificates: &[Certificate]) -> Answer<()> {
    let signatures: Vec<Id> = document.all().filter(|id| document.is(*id, DS, "Signature")).collect();
    let mut parents: Vec<Option<Id>> = signatures.iter().map(|id| document.parent(*id)).collect();
    parents.dedup();
    let placed = parents.iter().all(|parent| *parent == Some(response) || *parent == Some(assertion));
    if signatures.is_empty() || parents.len() != signatures.len() || !placed {
        return invalid("Response signature invalid");
    }
    for parent in parents.into_iter().flatten() {
        dsig::verify(document, parent, certificates).map_err(|_| Refusal::invalid("Response signature invalid"))?;
    }
    Ok(())
}

/// By whom, and when.
fn issued(document: &Document, response: Id, assertion: Id, expected: &Expected<'_>) -> Answer<()> {
    let issuer = |id: Id| document.only(id, SAML, "Issuer").and_then(|issuer| document.text(issuer));
    let right = |issuer: Option<String>| issuer.is_some_and(|issuer| issuer.trim() == expected.entity);
    let of_response = document.named(response, SAML, "Issuer").next().is_none() || right(issuer(response));
    if !of_response || !right(issuer(assertion)) {
        return invalid("Issuer not present in specified provider");
    }
    let Some(at) = document.attribute(assertion, "IssueInstant").and_then(Timestamp::parse) else {
        return invalid("Invalid SAMLResponse: IssueInstant is not a time");
    };
    if at > expected.now.plus_secs(SKEW) {
        return invalid("Response was issued in the future");
    }
    if expected.now >= at.plus_secs(MAX_AGE) {
        return Err(Refusal::Expired("Response must be used within 5 minutes of issuance".to_owned()));
    }
    Ok(())
}

fn time(document: &Document, id: Id, name: &str) -> Answer<Option<Timestamp>> {
    let Some(text) = document.attribute(id, name) else { return Ok(None) };
    Timestamp::parse(text).map(Some).ok_or_else(|| Refusal::Invalid(format!("Invalid SAMLResponse: {name} is not a time")))
}

/// That the bearer is who was meant, here and now: the place that the response was sent to.
fn confirmed(document: &Document, assertion: Id, expected: &Expected<'_>) -> Answer<String> {
    let Some(subject) = document.only(assertion, SAML, "Subject") else { return invalid("Invalid SAMLResponse: there is no subject") };
    let mut expired = false;
    for confirmation in document.named(subject, SAML, "SubjectConfirmation") {
        let data = document.only(confirmation, SAML, "SubjectConfirmationData");
        let (Some(BEARER), Some(data)) = (document.attribute(confirmation, "Method"), data) else { continue };
        let recipient = document.attribute(data, "Recipient").unwrap_or_default();
        let Some(ends) = time(document, data, "NotOnOrAfter")? else { continue };
        let begins = time(document, data, "NotBefore")?;
        if !(expected.recipient)(recipient) || begins.is_some_and(|begins| begins > expected.now.plus_secs(SKEW)) {
            continue;
        }
        if ends > expected.now {
            return Ok(recipient.to_owned());
        }
        expired = true;
    }
    match expired {
        true => Err(Refusal::Expired("Response has expired: its subject confirmation is past NotOnOrAfter".to_owned())),
        false => invalid("Response does not contain the required recipient"),
    }
}

/// The assertion's own conditions; answers until when they hold.
fn conditions(document: &Document, assertion: Id, expected: &Expected<'_>) -> Answer<Option<Timestamp>> {
    let Some(conditions) = document.only(assertion, SAML, "Conditions") else {
        return invalid("Response does not contain the required audience");
    };
    let begins = time(document, conditions, "NotBefore")?;
    let ends = time(document, conditions, "NotOnOrAfter")?;
    if begins.is_some_and(|begins| begins > expected.now.plus_secs(SKEW)) {
        return invalid("Response is not valid yet: NotBefore is in the future");
    }
    if ends.is_some_and(|ends| ends <= expected.now) {
        return Err(Refusal::Expired("Response has expired: its conditions are past NotOnOrAfter".to_owned()));
    }
    let mut restricted = false;
    for condition in document.children(conditions) {
        if document.is(condition, SAML, "AudienceRestriction") {
            let ours = |audience: Id| document.text(audience).is_some_and(|text| (expected.audience)(text.trim()));
            if !document.named(condition, SAML, "Audience").any(ours) {
                return invalid("Response does not contain the required audience");
            }
            restricted = true;
        } else if !document.is(condition, SAML, "OneTimeUse") && !document.is(condition, SAML, "ProxyRestriction") {
            return invalid("Invalid SAMLResponse: there is a condition that is not known");
        }
    }
    if restricted { Ok(ends) } else { invalid("Response does not contain the required audience") }
}

/// What is said of the subject.
fn read(document: &Document, assertion: Id, recipient: String, ends: Option<Timestamp>, expected: &Expected<'_>) -> Answer<Assertion> {
    let name = document.only(assertion, SAML, "Subject").and_then(|subject| document.only(subject, SAML, "NameID"));
    let Some(name) = name else { return invalid("Invalid SAMLResponse: there is no NameID") };
    let subject = document.text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty() && text.chars().count() <= 1024);
    let Some(subject) = subject else { return invalid("Invalid SAMLResponse: the NameID is not a name") };
    let format = document.attribute(name, "Format").unwrap_or("urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified");
    let Some(id) = document.attribute(assertion, "ID").filter(|id| !id.is_empty() && id.len() <= 1024) else {
        return invalid("Invalid SAMLResponse: the assertion has no ID");
    };
    let mut session_ends: Option<Timestamp> = None;
    for statement in document.named(assertion, SAML, "AuthnStatement") {
        let end = time(document, statement, "SessionNotOnOrAfter")?;
        session_ends = [session_ends, end].into_iter().flatten().min();
    }
    let issued = document.attribute(assertion, "IssueInstant").and_then(Timestamp::parse).unwrap_or(expected.now);
    let usable_until = [Some(issued.plus_secs(MAX_AGE)), ends].into_iter().flatten().min().unwrap_or(expected.now);
    Ok(Assertion {
        id: id.to_owned(),
        issuer: expected.entity.to_owned(),
        subject,
        subject_type: format.strip_prefix(FORMAT_PREFIX).unwrap_or(format).to_owned(),
        recipient,
        usable_until,
        session_ends,
        attributes: attributes(document, assertion)?,
    })
}

fn attributes(document: &Document, assertion: Id) -> Answer<Vec<(String, Vec<String>)>> {
    let (mut found, mut count) = (Vec::new(), 0);
    for statement in document.named(assertion, SAML, "AttributeStatement") {
        for attribute in document.named(statement, SAML, "Attribute") {
            let name = document.attribute(attribute, "Name").unwrap_or_default().to_owned();
            let values: Vec<String> = document.named(attribute, SAML, "AttributeValue").map(|value| document.deep_text(value)).collect();
            count += 1 + values.len();
            if count > MAX_VALUES {
                return invalid("Invalid SAMLResponse: there are too many attributes");
            }
            found.push((name, values));
        }
    }
    Ok(found)
}
