//! AssumeRoleWithWebIdentity: the first keys of somebody, or something, that an OpenID Connect issuer vouches for.
//!
//! Not signed: the token in the input is the credential. Its issuer must be a provider of the role's account,
//! and is verified with the issuer's published keys. Access tokens of OAuth 2.0 (`ProviderId`) are not taken.
//! Source: "AssumeRoleWithWebIdentity", STS API Reference; "Available keys for AWS OIDC federation", IAM User Guide.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AccountId, Result, Scope, Tag};
use tenantry_federation::jwt::{Claims, Token};
use tenantry_kernel::{Access, Admission, Checks, Credential, Cx, Key, Operation, OperationRow, Permit, Reply, directory::Federation};

use super::{
    assume_role, error,
    federated::{self, Proven, Wish},
    packed, web_identity_keys,
};
use crate::iam::{
    entity,
    oidc_providers::{self, OidcProvider},
};

const TAGS: &str = "https://aws.amazon.com/tags";
const PRINCIPAL_TAGS: &str = "https://aws.amazon.com/tags/principal_tags/";
const TRANSITIVE: &str = "https://aws.amazon.com/tags/transitive_tag_keys";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";
/// Characters of a subject.
const SUBJECT: usize = 255;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    role_arn: String,
    role_session_name: String,
    web_identity_token: String,
    provider_id: Option<String>,
    #[serde(default)]
    policy_arns: Vec<packed::PolicyDescriptor>,
    policy: Option<String>,
    duration_seconds: Option<u32>,
}

/// `sts:AssumeRoleWithWebIdentity`
pub(crate) struct AssumeRoleWithWebIdentity;

impl Operation for AssumeRoleWithWebIdentity {
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "AssumeRoleWithWebIdentity";
    const ACCESS: Access = Access::check_with(
        "sts:AssumeRoleWithWebIdentity",
        &["role"],
        &[
            "sts:RoleSessionName",
            "sts:SourceIdentity",
            "sts:TransitiveTagKeys",
            "aws:RequestTag/${TagKey}",
            "aws:TagKeys",
            // Named by the issuer: `idp.example.com/realm:sub`.
            "${Issuer}:${Claim}",
        ],
    )
    .and(&["sts:TagSession", "sts:SetSourceIdentity"]);
    const CREDENTIAL: Credential =
        Credential::Input("a token signed by an OpenID Connect provider of the role's account, which its trust policy names");
    type Input = Input;

    async fn admit(cx: &Cx, input: &Input) -> Result<Admission> {
        admit(cx, input).await
    }
    async fn resolve(cx: &Cx, _: &Input) -> Result<Checks> {
        federated::resolve(cx, "sts:AssumeRoleWithWebIdentity").await
    }
    async fn handle(cx: &Cx, permit: Permit<Self>, input: Input) -> Result<Reply> {
        let wish = Wish { duration: input.duration_seconds, policy: input.policy.as_deref(), policy_arns: &input.policy_arns };
        federated::issue(cx, &permit, &wish).await
    }
}

async fn admit(cx: &Cx, input: &Input) -> Result<Admission> {
    let token = Token::parse(&input.web_identity_token).map_err(federated::refused)?;
    if input.provider_id.is_some() {
        return Err(error::validation("ProviderId is for OAuth 2.0 access tokens, which this instance does not take: leave it out."));
    }
    let issuer = token.issuer().map_err(federated::refused)?.to_owned();
    let role = assume_role::role_arn(&input.role_arn)?;
    let account = AccountId::from(role.account());
    let provider = provider(cx, &account, &issuer).await?;
    let keys = web_identity_keys::of(cx, &provider, token.key()).await?;
    let claims = token.verify(&keys, cx.now()).map_err(federated::refused)?;
    let (audience, others) = audience(&claims, &provider)?;
    if claims.subject.chars().count() > SUBJECT {
        return Err(error::invalid_token(format!("The claim sub is longer than {SUBJECT} characters")));
    }
    let key = |name: &str, value: &str| (format!("{}:{name}", provider.name), value.to_owned());
    let kept = vec![key("aud", &audience), key("sub", &claims.subject)];
    let mut keys: Vec<(String, Key)> = kept.iter().map(|(name, value)| (name.clone(), Key::One(value.clone()))).collect();
    if !others.is_empty() {
        keys.push((format!("{}:oaud", provider.name), Key::Many(others)));
    }
    if let Some(email) = claims.all.get("email").and_then(Value::as_str) {
        keys.push((format!("{}:email", provider.name), Key::One(email.to_owned())));
    }
    if let Some(methods) = texts(claims.all.get("amr")) {
        keys.push((format!("{}:amr", provider.name), Key::Many(methods)));
    }
    let (tags, transitive) = tags(&claims.all)?;
    federated::check_tags(&tags, &transitive)?;
    let source_identity = match claims.all.get(SOURCE_IDENTITY) {
        None => None,
        Some(text) => Some(federated::source_identity(text.as_str().unwrap_or_default())?),
    };
    let mut answer = Map::new();
    answer.insert("SubjectFromWebIdentityToken".to_owned(), json!(claims.subject));
    answer.insert("Provider".to_owned(), json!(claims.issuer));
    answer.insert("Audience".to_owned(), json!(audience));
    let proven = Proven {
        role,
        session_name: input.role_session_name.clone(),
        tags,
        transitive,
        source_identity,
        keys,
        federation: Federation { provider: provider.arn.to_string(), keys: kept.into_iter().collect() },
        ends: None,
        once: None,
        answer,
    };
    let shown = format!("{}/{}", provider.arn, claims.subject);
    Ok(Admission::provider(provider.arn.as_str(), account, shown, claims.subject, proven))
}

/// The provider that stands for an issuer.
async fn provider(cx: &Cx, account: &AccountId, issuer: &str) -> Result<OidcProvider> {
    let unknown = || {
        let shown: String = issuer.chars().take(255).collect();
        let url = if shown.starts_with("https://") { shown } else { format!("https://{shown}") };
        error::invalid_token(format!("No OpenIDConnect provider found in your account for {url}"))
    };
    let name = oidc_providers::issuer_name(issuer).ok_or_else(unknown)?;
    let found = entity::find::<OidcProvider>(cx, &Scope::global(account.clone()), name).await?;
    found.map(|(_, provider)| provider).filter(|provider| provider.name == name).ok_or_else(unknown)
}

/// Whom the token was issued to, and the other audiences: the authorized party counts where there is one.
fn audience(claims: &Claims, provider: &OidcProvider) -> Result<(String, Vec<String>)> {
    let known = |id: &&String| provider.client_ids.contains(*id);
    let (found, others) = match &claims.authorized_party {
        Some(party) => (Some(party).filter(known), claims.audiences.clone()),
        None => (claims.audiences.iter().find(known), Vec::new()),
    };
    let found = found.cloned().ok_or_else(|| error::invalid_token("Incorrect token audience"))?;
    Ok((found, others))
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    value?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Tags of the claim, as one document or as flat names; a value is a text or a list of one.
fn tags(claims: &Map<String, Value>) -> Result<(Vec<Tag>, Vec<String>)> {
    let wrong = || error::invalid_token(format!("The claim {TAGS} is malformed"));
    let value = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(list) if list.len() == 1 => list[0].as_str().map(str::to_owned).ok_or_else(wrong),
        _ => Err(wrong()),
    };
    let (mut tags, mut transitive) = (Vec::new(), Vec::new());
    if let Some(document) = claims.get(TAGS) {
        let document = document.as_object().ok_or_else(wrong)?;
        if let Some(pairs) = document.get("principal_tags") {
            for (key, given) in pairs.as_object().ok_or_else(wrong)? {
                tags.push(Tag::new(key, value(given)?));
            }
        }
        if let Some(keys) = document.get("transitive_tag_keys") {
            transitive = texts(Some(keys)).ok_or_else(wrong)?;
        }
    }
    for (name, given) in claims {
        if let Some(key) = name.strip_prefix(PRINCIPAL_TAGS) {
            tags.push(Tag::new(key, value(given)?));
        }
    }
    if let Some(keys) = claims.get(TRANSITIVE) {
        transitive.extend(texts(Some(keys)).ok_or_else(wrong)?);
    }
    transitive.sort();
    transitive.dedup();
    Ok((tags, transitive))
}

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<AssumeRoleWithWebIdentity>()];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(claims: Value) -> Result<(Vec<Tag>, Vec<String>)> {
        tags(claims.as_object().unwrap())
    }

    #[test]
    fn tags_in_both_forms() {
        let nested = json!({ TAGS: { "principal_tags": { "userId": ["alice"], "team": "a" }, "transitive_tag_keys": ["userId"] } });
        let flat = json!({ format!("{PRINCIPAL_TAGS}userId"): "alice", format!("{PRINCIPAL_TAGS}team"): ["a"], TRANSITIVE: ["userId"] });
        let expected = (vec![Tag::new("userId", "alice"), Tag::new("team", "a")], vec!["userId".to_owned()]);
        assert_eq!(of(nested).unwrap(), expected);
        assert_eq!(of(flat).unwrap(), expected);
        assert_eq!(of(json!({})).unwrap(), (Vec::new(), Vec::new()));
        for wrong in [
            json!([]),
            json!({ "principal_tags": ["a"] }),
            json!({ "principal_tags": { "a": ["1", "2"] } }),
            json!({ "transitive_tag_keys": "a" }),
        ] {
            assert!(of(json!({ TAGS: wrong })).is_err(), "{wrong}");
        }
    }
}
