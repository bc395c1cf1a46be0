//! Attributes of an assertion: those that mean something to STS, and those that become condition keys.
//!
//! Source: "Configure SAML assertions for the authentication response"; "IAM and AWS STS condition context
//! keys", keys for SAML-based federation, IAM User Guide.

use tenantry_core::{Result, Tag};
use tenantry_federation::saml::Assertion;
use tenantry_kernel::Key;

use super::{error, federated};

const ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
const SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
const SESSION_DURATION: &str = "https://aws.amazon.com/SAML/Attributes/SessionDuration";
const PRINCIPAL_TAG: &str = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:";
const TRANSITIVE: &str = "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/SAML/Attributes/SourceIdentity";

/// Condition key, whether it is a list, and the names that its attribute goes by.
const KEYS: &[(&str, bool, &[&str])] = &[
    ("saml:edupersonaffiliation", true, &["eduPersonAffiliation", "urn:oid:1.3.6.1.4.1.5923.1.1.1.1"]),
    ("saml:edupersonnickname", true, &["eduPersonNickname", "urn:oid:1.3.6.1.4.1.5923.1.1.1.2"]),
    ("saml:edupersonorgdn", false, &["eduPersonOrgDN", "urn:oid:1.3.6.1.4.1.5923.1.1.1.3"]),
    ("saml:edupersonorgunitdn", true, &["eduPersonOrgUnitDN", "urn:oid:1.3.6.1.4.1.5923.1.1.1.4"]),
    ("saml:edupersonprimaryaffiliation", false, &["eduPersonPrimaryAffiliation", "urn:oid:1.3.6.1.4.1.5923.1.1.1.5"]),
    ("saml:edupersonprincipalname", false, &["eduPersonPrincipalName", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6"]),
    ("saml:edupersonentitlement", true, &["eduPersonEntitlement", "urn:oid:1.3.6.1.4.1.5923.1.1.1.7"]),
    ("saml:edupersonprimaryorgunitdn", false, &["eduPersonPrimaryOrgUnitDN", "urn:oid:1.3.6.1.4.1.5923.1.1.1.8"]),
    ("saml:edupersonscopedaffiliation", true, &["eduPersonScopedAffiliation", "urn:oid:1.3.6.1.4.1.5923.1.1.1.9"]),
    ("saml:edupersontargetedid", true, &["eduPersonTargetedID", "urn:oid:1.3.6.1.4.1.5923.1.1.1.10"]),
    ("saml:edupersonassurance", true, &["eduPersonAssurance", "urn:oid:1.3.6.1.4.1.5923.1.1.1.11"]),
    ("saml:eduorghomepageuri", true, &["eduOrgHomePageURI", "urn:oid:1.3.6.1.4.1.5923.1.2.1.2"]),
    ("saml:eduorgidentityauthnpolicyuri", true, &["eduOrgIdentityAuthNPolicyURI", "urn:oid:1.3.6.1.4.1.5923.1.2.1.3"]),
    ("saml:eduorglegalname", true, &["eduOrgLegalName", "urn:oid:1.3.6.1.4.1.5923.1.2.1.4"]),
    ("saml:eduorgsuperioruri", true, &["eduOrgSuperiorURI", "urn:oid:1.3.6.1.4.1.5923.1.2.1.5"]),
    ("saml:eduorgwhitepagesuri", true, &["eduOrgWhitePagesURI", "urn:oid:1.3.6.1.4.1.5923.1.2.1.6"]),
    ("saml:cn", true, &["cn", "urn:oid:2.5.4.3"]),
    ("saml:commonName", false, &["http://schemas.xmlsoap.org/claims/CommonName"]),
    ("saml:name", false, &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"]),
    ("saml:givenName", false, &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname", "urn:oid:2.5.4.42"]),
    ("saml:surname", false, &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname", "urn:oid:2.5.4.4"]),
    (
        "saml:mail",
        false,
        &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "mail", "urn:oid:0.9.2342.19200300.100.1.3"],
    ),
    ("saml:primaryGroupSID", false, &["http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid"]),
    ("saml:uid", false, &["uid", "urn:oid:0.9.2342.19200300.100.1.1"]),
    ("saml:organizationStatus", false, &["organizationStatus", "urn:oid:0.9.2342.19200300.100.1.45"]),
    ("saml:x500UniqueIdentifier", false, &["x500UniqueIdentifier", "urn:oid:2.5.4.45"]),
];

/// What the assertion passes on to the session.
pub(super) struct Passed {
    pub session_name: String,
    pub tags: Vec<Tag>,
    pub transitive: Vec<String>,
    pub source_identity: Option<String>,
}

/// Whether the assertion offers this role at this provider: a pair, in either order.
pub(super) fn offers(assertion: &Assertion, role: &str, provider: &str) -> bool {
    let pair = |value: &str| match value.split_once(',').map(|(one, other)| (one.trim(), other.trim())) {
        Some((one, other)) => (one, other) == (role, provider) || (one, other) == (provider, role),
        None => false,
    };
    assertion.values(ROLE).into_iter().any(pair)
}

/// A value that is there at most once.
fn single(assertion: &Assertion, name: &str) -> Result<Option<String>> {
    match assertion.values(name).as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.trim().to_owned())),
        _ => Err(error::invalid_token(format!("The attribute {name} must have one value"))),
    }
}

/// Reads what STS knows.
///
/// # Errors
/// `InvalidIdentityToken`.
pub(super) fn passed(assertion: &Assertion) -> Result<Passed> {
    let session_name =
        single(assertion, SESSION_NAME)?.ok_or_else(|| error::invalid_token("RoleSessionName is required in AuthnResponse"))?;
    if !federated::is_session_name(&session_name) {
        return Err(error::invalid_token("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"));
    }
    // How long a sign-in at the console lasts; credentials last as long as the request says.
    if let Some(text) = single(assertion, SESSION_DURATION)?
        && !text.parse::<u32>().is_ok_and(|seconds| (900..=43_200).contains(&seconds))
    {
        return Err(error::invalid_token("SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200"));
    }
    let mut tags = Vec::new();
    for (name, values) in &assertion.attributes {
        let Some(key) = name.strip_prefix(PRINCIPAL_TAG) else { continue };
        let [value] = values.as_slice() else {
            return Err(error::invalid_token(format!("The attribute {name} must have one value")));
        };
        tags.push(Tag::new(key, value.trim()));
    }
    let mut transitive: Vec<String> = Vec::new();
    for key in assertion.values(TRANSITIVE) {
        let key = key.trim();
        if !key.is_empty() && !transitive.iter().any(|other| other == key) {
            transitive.push(key.to_owned());
        }
    }
    federated::check_tags(&tags, &transitive)?;
    let source_identity = single(assertion, SOURCE_IDENTITY)?.map(|text| federated::source_identity(&text)).transpose()?;
    Ok(Passed { session_name, tags, transitive, source_identity })
}

/// Condition keys of attributes.
pub(super) fn keys(assertion: &Assertion) -> Vec<(String, Key)> {
    let mut found = Vec::new();
    for (key, list, names) in KEYS {
        let values: Vec<String> = names.iter().flat_map(|name| assertion.values(name)).map(|value| value.trim().to_owned()).collect();
        match (values.as_slice(), list) {
            ([], _) => {}
            (_, true) => found.push(((*key).to_owned(), Key::Many(values))),
            ([one], false) => found.push(((*key).to_owned(), Key::One(one.clone()))),
            // Of several values nobody knows which is meant: together they satisfy no comparison with one.
            (_, false) => found.push(((*key).to_owned(), Key::Many(values))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tenantry_core::Timestamp;

    use super::*;

    fn assertion(attributes: &[(&str, &[&str])]) -> Assertion {
        let own = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Assertion {
            id: "_1".to_owned(),
            issuer: "idp".to_owned(),
            subject: "alice".to_owned(),
            subject_type: "persistent".to_owned(),
            recipient: String::new(),
            usable_until: Timestamp::from_secs(0),
            session_ends: None,
            attributes: attributes.iter().map(|(name, values)| ((*name).to_owned(), own(values))).collect(),
        }
    }

    #[test]
    fn roles_come_in_pairs_of_either_order() {
        let pairs = assertion(&[(ROLE, &["role-a,provider", " provider , role-b ", "role-c"])]);
        for role in ["role-a", "role-b"] {
            assert!(offers(&pairs, role, "provider") && !offers(&pairs, role, "other"));
        }
        assert!(!offers(&pairs, "role-c", "provider"));
    }

    #[test]
    fn tags_and_what_is_wrong_with_them() {
        let tag = |key: &str| format!("{PRINCIPAL_TAG}{key}");
        let (a, b, reserved) = (tag("userId"), tag("USERID"), tag("aws:x"));
        let of = |more: &[(&str, &[&str])]| passed(&assertion(&[&[(SESSION_NAME, &["alice"] as &[&str])], more].concat()));
        let good = of(&[(&a, &["alice"]), (TRANSITIVE, &["userId"]), (SOURCE_IDENTITY, &["alice"])]).unwrap();
        assert_eq!((good.tags, good.transitive), (vec![Tag::new("userId", "alice")], vec!["userId".to_owned()]));
        for wrong in [
            &[(a.as_str(), &["x"] as &[&str]), (b.as_str(), &["y"])] as &[(&str, &[&str])],
            &[(&a, &["x", "y"])],
            &[(&a, &["<"])],
            &[(&a, &["x"]), (TRANSITIVE, &["team"])],
            &[(&reserved, &["x"])],
            &[(SOURCE_IDENTITY, &["a b"])],
            &[(SESSION_DURATION, &["10"])],
            &[(SESSION_NAME, &["bob"])],
        ] {
            assert_eq!(of(wrong).err().map(|fault| fault.code.into_owned()), Some("InvalidIdentityToken".to_owned()), "{wrong:?}");
        }
        assert!(passed(&assertion(&[])).is_err_and(|fault| fault.message == "RoleSessionName is required in AuthnResponse"));
    }
}
