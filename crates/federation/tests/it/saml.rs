use tenantry_core::Timestamp;
use tenantry_federation::{Refusal, metadata::Metadata};

use crate::signer::{AUDIENCE, ENTITY, NOW, Provider, RECIPIENT, Recipe, time};

#[test]
fn a_good_response_is_read() {
    let provider = Provider::new();
    for response in [Recipe::default().by_assertion(&provider), Recipe::default().by_response(&provider)] {
        let assertion = provider.verify(&response).unwrap();
        assert_eq!((assertion.subject.as_str(), assertion.subject_type.as_str()), ("alice@example.com", "persistent"));
        assert_eq!((assertion.issuer.as_str(), assertion.recipient.as_str()), (ENTITY, RECIPIENT));
        assert_eq!(assertion.values("team"), ["red"]);
        assert_eq!(assertion.usable_until, NOW.plus_secs(300));
    }
}

#[test]
fn layout_that_means_nothing_changes_nothing() {
    let provider = Provider::new();
    let good = Recipe::default().by_assertion(&provider);
    let same = provider.verify(&good).unwrap();
    let others = [
        good.replace("alice@example.com", "al<!-- x -->ice@<![CDATA[example]]>.com"),
        good.replace("alice@example.com", "&#x61;lice@example.com"),
        good.replace("<saml:Issuer>", "<saml:Issuer >").replace("Version=\"2.0\"", "Version = '2.0' "),
        format!("<?xml version='1.0' encoding='utf-8'?>\n<!-- hello -->{good}\n"),
        good.replace("></saml:SubjectConfirmationData>", "/>"),
    ];
    for other in others {
        assert_ne!(other, good);
        assert_eq!(provider.verify(&other).as_ref(), Ok(&same), "{other}");
    }
}

#[test]
fn what_was_not_signed_is_refused() {
    let provider = Provider::new();
    let good = Recipe::default().by_assertion(&provider);
    let invalid = Err(Refusal::Invalid("Response signature invalid".to_owned()));
    for (from, to) in [
        ("alice@example.com", "bob@example.com"),
        (">red<", ">blue<"),
        ("Name=\"team\"", "Name=\"TEAM\""),
        ("<saml:AttributeStatement>", "<saml:AttributeStatement><saml:Attribute Name=\"x\"/>"),
        ("nameid-format:persistent", "nameid-format:transient"),
        ("<saml:Conditions ", "<saml:Conditions  x='1' "),
        ("#ecdsa-sha256", "#ecdsa-sha1"),
        ("xmlenc#sha256", "xmldsig#sha1"),
        ("<ds:SignatureValue>", "<ds:Object/><ds:SignatureValue>"),
        ("#enveloped-signature", "#base64"),
        ("2001/10/xml-exc-c14n#", "TR/1999/REC-xslt-19991116"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        assert_eq!(provider.verify(&changed), invalid, "{from} -> {to}");
    }
    assert_eq!(Provider::new().verify(&good), invalid, "another provider's key");
    let (before, behind) = Recipe::default().assertion();
    assert_eq!(provider.verify(&crate::signer::response(&format!("{before}{behind}"))), invalid, "no signature at all");
}

#[test]
fn both_signatures_must_be_good() {
    let (provider, other) = (Provider::new(), Provider::new());
    let whole = |inner: &Provider| {
        let inside = crate::signer::response(&Recipe::default().signed_assertion(inner));
        let signature = provider.signature(crate::signer::RESPONSE, &canonical_of_signed(&inside));
        inside.replacen("<samlp:Status>", &format!("{signature}<samlp:Status>"), 1)
    };
    assert!(provider.verify(&whole(&provider)).is_ok());
    assert!(provider.verify(&whole(&other)).is_err());
}

/// The signature inside is written with its namespace where the canonical form has it, so the text is canonical already.
fn canonical_of_signed(text: &str) -> String {
    text.to_owned()
}

#[test]
fn for_another_time_place_or_service() {
    let provider = Provider::new();
    let of = |recipe: Recipe| provider.verify(&recipe.by_assertion(&provider)).unwrap_err();
    let text = |text: &str| Refusal::Invalid(text.to_owned());
    let data = |attributes: String| format!("<saml:SubjectConfirmationData {attributes}></saml:SubjectConfirmationData>");
    let conditions = |times: String, audience: &str| {
        format!(
            "<saml:Conditions{times}><saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        )
    };
    assert_eq!(of(Recipe { issuer: "https://other.example", ..Recipe::default() }), text("Issuer not present in specified provider"));
    assert_eq!(of(Recipe { issued: 121, ..Recipe::default() }), text("Response was issued in the future"));
    let old = Refusal::Expired("Response must be used within 5 minutes of issuance".to_owned());
    assert_eq!(of(Recipe { issued: -300, ..Recipe::default() }), old);
    assert!(provider.verify(&Recipe { issued: -299, ..Recipe::default() }.by_assertion(&provider)).is_ok());
    let elsewhere = data(format!(r#"NotOnOrAfter="{}" Recipient="https://example.com/saml""#, time(300)));
    assert_eq!(of(Recipe { confirmation: elsewhere, ..Recipe::default() }), text("Response does not contain the required recipient"));
    let endless = data(format!(r#"Recipient="{RECIPIENT}""#));
    assert_eq!(of(Recipe { confirmation: endless, ..Recipe::default() }), text("Response does not contain the required recipient"));
    let late = data(format!(r#"NotOnOrAfter="{}" Recipient="{RECIPIENT}""#, time(0)));
    assert!(matches!(of(Recipe { confirmation: late, ..Recipe::default() }), Refusal::Expired(_)));
    let audience = text("Response does not contain the required audience");
    assert_eq!(of(Recipe { conditions: conditions(String::new(), "urn:example"), ..Recipe::default() }), audience);
    assert_eq!(of(Recipe { conditions: String::new(), ..Recipe::default() }), audience);
    assert_eq!(of(Recipe { conditions: "<saml:Conditions></saml:Conditions>".to_owned(), ..Recipe::default() }), audience);
    let two = conditions(String::new(), AUDIENCE).replace(
        "</saml:Conditions>",
        "<saml:AudienceRestriction><saml:Audience>urn:example</saml:Audience></saml:AudienceRestriction></saml:Conditions>",
    );
    assert_eq!(of(Recipe { conditions: two, ..Recipe::default() }), audience, "every restriction counts");
    let over = conditions(format!(r#" NotOnOrAfter="{}""#, time(0)), AUDIENCE);
    assert!(matches!(of(Recipe { conditions: over, ..Recipe::default() }), Refusal::Expired(_)));
    let early = conditions(format!(r#" NotBefore="{}""#, time(121)), AUDIENCE);
    assert!(matches!(of(Recipe { conditions: early, ..Recipe::default() }), Refusal::Invalid(_)));
    let strange = conditions(String::new(), AUDIENCE).replace("</saml:Conditions>", "<saml:Condition></saml:Condition></saml:Conditions>");
    assert_eq!(
        of(Recipe { conditions: strange, ..Recipe::default() }),
        text("Invalid SAMLResponse: there is a condition that is not known")
    );
}

#[test]
fn what_is_no_response() {
    let provider = Provider::new();
    let good = Recipe::default().by_assertion(&provider);
    for wrong in [
        good.replace("status:Success", "status:Requester"),
        good.replace("saml:Assertion", "saml:EncryptedAssertion"),
        good.replace("samlp:Response", "samlp:ArtifactResponse"),
        format!("<!DOCTYPE a [<!ENTITY x 'y'>]>{good}"),
        String::new(),
        "{}".to_owned(),
    ] {
        assert!(matches!(provider.verify(&wrong), Err(Refusal::Invalid(text)) if text.starts_with("Invalid SAMLResponse")), "{wrong}");
    }
}

#[test]
fn metadata_documents() {
    let provider = Provider::new();
    let document = provider.document();
    let metadata = Metadata::parse(&document).unwrap();
    assert_eq!((metadata.entity.as_str(), metadata.certificates.len(), metadata.valid_until), (ENTITY, 1, None));
    let ends = document.replace("entityID=", "validUntil=\"2030-01-01T00:00:00Z\" entityID=");
    assert_eq!(Metadata::parse(&ends).unwrap().valid_until, Timestamp::parse("2030-01-01T00:00:00Z"));
    let wrapped = format!(
        "<md:EntitiesDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'>{}</md:EntitiesDescriptor>",
        &document[document.find("<md:").unwrap()..]
    );
    assert_eq!(Metadata::parse(&wrapped).unwrap(), metadata);
    for (from, to) in [
        ("use=\"signing\"", "use=\"encryption\""),
        ("IDPSSODescriptor", "SPSSODescriptor"),
        ("entityID", "entity"),
        ("SAML:2.0:protocol", "SAML:1.1:protocol"),
        ("<ds:X509Certificate>\n", "<ds:X509Certificate>\nAAAA"),
        ("<ds:X509Certificate>\n", "<ds:X509Certificate>\n*"),
        ("SAML:2.0:metadata", "SAML:2.0:other"),
    ] {
        assert!(Metadata::parse(&document.replace(from, to)).is_err(), "{from} -> {to}");
    }
}
