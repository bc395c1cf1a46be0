//! AssumeRoleWithSAML: the first keys of somebody whom a SAML provider vouches for.
//!
//! Not signed: the assertion in the input is the credential. It is verified with the keys of the provider's
//! metadata before anything is resolved, and it is good for one session.
//! Source: "AssumeRoleWithSAML", STS API Reference; "Troubleshoot SAML federation with IAM", IAM User Guide.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest;
use serde::Deserialize;
use serde_json::{Map, json};
use tenantry_core::{AccountId, Result};
use tenantry_federation::{
    metadata::Metadata,
    saml::{self, Assertion, Expected},
};
use tenantry_kernel::{
    Access, Admission, Checks, Credential, Cx, Key, Operation, OperationRow, Permit, Reply, directory::Federation, is_region,
};

use super::{
    assume_role, error,
    federated::{self, Proven, Wish},
    packed, saml_attributes,
};
use crate::iam::{providers, saml_providers::SamlProvider};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    role_arn: String,
    principal_arn: String,
    #[serde(rename = "SAMLAssertion")]
    assertion: String,
    #[serde(default)]
    policy_arns: Vec<packed::PolicyDescriptor>,
    policy: Option<String>,
    duration_seconds: Option<u32>,
}

/// `https://signin.aws.amazon.com/saml`, or a region's.
fn recipient(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.strip_suffix("/saml"));
    match host.and_then(|host| host.strip_suffix("signin.aws.amazon.com")) {
        Some("") => true,
        Some(region) => region.strip_suffix('.').is_some_and(is_region),
        None => false,
    }
}

fn audience(name: &str) -> bool {
    name == "urn:amazon:webservices" || recipient(name)
}

/// base64(SHA-1(issuer + account + "/" + provider)), as the API reference has it.
fn name_qualifier(issuer: &str, account: &AccountId, provider: &str) -> String {
    let text = format!("{issuer}{account}/{provider}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Names an assertion of a provider in as many characters as any other.
fn once(provider: &str, assertion: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{provider}\n{assertion}").as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sts:AssumeRoleWithSAML`
pub(crate) struct AssumeRoleWithSAML;

impl Operation for AssumeRoleWithSAML {
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "AssumeRoleWithSAML";
    const ACCESS: Access = Access::check_with(
        "sts:AssumeRoleWithSAML",
        &["role"],
        &[
            "saml:${Attribute}",
            "sts:RoleSessionName",
            "sts:SourceIdentity",
            "sts:TransitiveTagKeys",
            "aws:RequestTag/${TagKey}",
            "aws:TagKeys",
        ],
    )
    .and(&["sts:TagSession", "sts:SetSourceIdentity"]);
    const CREDENTIAL: Credential =
        Credential::Input("an assertion signed by a SAML provider of the role's account, which its trust policy names");
    type Input = Input;

    async fn admit(cx: &Cx, input: &Input) -> Result<Admission> {
        admit(cx, input).await
    }
    async fn resolve(cx: &Cx, _: &Input) -> Result<Checks> {
        federated::resolve(cx, "sts:AssumeRoleWithSAML").await
    }
    async fn handle(cx: &Cx, permit: Permit<Self>, input: Input) -> Result<Reply> {
        let wish = Wish { duration: input.duration_seconds, policy: input.policy.as_deref(), policy_arns: &input.policy_arns };
        federated::issue(cx, &permit, &wish).await
    }
}

async fn admit(cx: &Cx, input: &Input) -> Result<Admission> {
    let unknown = || error::invalid_token("Specified provider doesn't exist");
    let provider: SamlProvider = providers::find(cx, &input.principal_arn).await?.ok_or_else(unknown)?;
    let account = AccountId::from(provider.arn.account());
    if provider.valid_until <= cx.now() {
        return Err(error::invalid_token("The metadata of the specified provider has expired"));
    }
    let metadata =
        Metadata::parse(&provider.document).map_err(|fault| error::invalid_token(format!("Could not parse metadata: {}", fault.0)))?;
    let expected = Expected { entity: &metadata.entity, certificates: &metadata.certificates, recipient, audience, now: cx.now() };
    let assertion = saml::verify(&input.assertion, &expected).map_err(federated::refused)?;
    let used = once(provider.arn.as_str(), &assertion.id);
    federated::must_be_unused(cx, &account, &used).await?;
    let passed = saml_attributes::passed(&assertion)?;
    let role = assume_role::role_arn(&input.role_arn)?;
    // A provider vouches for people in its own account, and for the roles that it names.
    if role.account() != account.as_str() || !saml_attributes::offers(&assertion, role.as_str(), provider.arn.as_str()) {
        return Err(error::access_denied("Not authorized to perform sts:AssumeRoleWithSAML"));
    }
    let qualifier = name_qualifier(&assertion.issuer, &account, &provider.name);
    let mut keys = saml_attributes::keys(&assertion);
    let said = said(&assertion, &account, &provider.name, &qualifier);
    keys.extend(said.iter().map(|(name, value)| (name.clone(), Key::One(value.clone()))));
    let kept = ["saml:namequalifier", "saml:sub", "saml:sub_type"];
    let federation = Federation {
        provider: provider.arn.to_string(),
        keys: said.into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect(),
    };
    let answer = answer(&assertion, &qualifier);
    let proven = Proven {
        role,
        session_name: passed.session_name,
        tags: passed.tags,
        transitive: passed.transitive,
        source_identity: passed.source_identity,
        keys,
        federation,
        ends: assertion.session_ends,
        once: Some((used, assertion.usable_until)),
        answer,
    };
    let shown = format!("{}/{}", provider.arn, assertion.subject);
    Ok(Admission::provider(provider.arn.as_str(), account, shown, assertion.subject, proven))
}

/// Keys that every assertion has.
fn said(assertion: &Assertion, account: &AccountId, provider: &str, qualifier: &str) -> Vec<(String, String)> {
    let key = |name: &str, value: &str| (format!("saml:{name}"), value.to_owned());
    vec![
        key("aud", &assertion.recipient),
        key("iss", &assertion.issuer),
        key("sub", &assertion.subject),
        key("sub_type", &assertion.subject_type),
        key("doc", &format!("{account}/{provider}")),
        key("namequalifier", qualifier),
    ]
}

fn answer(assertion: &Assertion, qualifier: &str) -> Map<String, serde_json::Value> {
    let mut answer = Map::new();
    answer.insert("Subject".to_owned(), json!(assertion.subject));
    answer.insert("SubjectType".to_owned(), json!(assertion.subject_type));
    answer.insert("Issuer".to_owned(), json!(assertion.issuer));
    answer.insert("Audience".to_owned(), json!(assertion.recipient));
    answer.insert("NameQualifier".to_owned(), json!(qualifier));
    answer
}

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<AssumeRoleWithSAML>()];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_responses_are_sent() {
        for url in ["https://signin.aws.amazon.com/saml", "https://eu-west-1.signin.aws.amazon.com/saml"] {
            assert!(recipient(url) && audience(url), "{url}");
        }
        assert!(audience("urn:amazon:webservices") && !recipient("urn:amazon:webservices"));
        for url in [
            "http://signin.aws.amazon.com/saml",
            "https://xsignin.aws.amazon.com/saml",
            "https://signin.aws.amazon.com/saml/",
            "https://a.b.signin.aws.amazon.com/saml",
            "",
        ] {
            assert!(!audience(url), "{url}");
        }
    }

    #[test]
    fn the_qualifier_of_the_reference() {
        let made = name_qualifier("https://example.com/saml", &AccountId::from("123456789012"), "MySAMLIdP");
        assert_eq!(STANDARD.decode(&made).map(|hash| hash.len()), Ok(20));
        assert_ne!(made, name_qualifier("https://example.com/saml", &AccountId::from("123456789012"), "MySAMLIdp"));
    }
}
