//! OpenID Connect providers: an issuer's URL, the audiences that count, and thumbprints of its certificates.
//!
//! Nothing is fetched when a provider is made: an issuer that is down is noticed by the first sign-in.
//! Source: "CreateOpenIDConnectProvider" and its kin, IAM API Reference; "IAM and AWS STS quotas".

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::{Arn, AwsError, Result, Tag, Timestamp};
use tenantry_kernel::{Check, Checks, Cx, Ids, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Kind};

use super::{
    entity::{self, Entity, arn_of},
    error,
    providers::{self, ArnInput, NoInput, TagInput, UntagInput},
    tags,
};
use tenantry_kernel::operation;

/// Providers of an account.
const QUOTA: usize = 100;
/// Audiences of a provider.
const CLIENT_IDS: usize = 100;
/// Thumbprints of a provider.
const THUMBPRINTS: usize = 5;

/// An OpenID Connect provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OidcProvider {
    pub id: String,
    /// Host and path of the URL: what ARNs and condition keys have of it.
    pub name: String,
    pub arn: Arn,
    pub created: Timestamp,
    #[serde(default)]
    pub client_ids: Vec<String>,
    /// SHA-1 of certificates in lower-case hexadecimal.
    #[serde(default)]
    pub thumbprints: Vec<String>,
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl Entity for OidcProvider {
    const KIND: Kind = Kind::new("iam.oidc-provider");
    const NOUN: &'static str = "oidc-provider";
    const QUOTA: (&'static str, usize) = ("OpenIdConnectProvidersPerAccount", QUOTA);

    fn name(&self) -> &str {
        &self.name
    }
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn tags_mut(&mut self) -> Option<&mut Vec<Tag>> {
        Some(&mut self.tags)
    }
    fn missing(name: &str) -> AwsError {
        error::no_such_entity(format!("OpenIDConnect Provider not found for arn {name}"))
    }
    fn taken(name: &str) -> AwsError {
        error::already_exists(format!("Provider with url https://{name} already exists."))
    }
}

/// Host and path of an issuer's URL; `None` where it is not one that AWS takes: `https`, without query, user
/// and fragment. A slash at the end is part of it.
pub(crate) fn issuer_name(url: &str) -> Option<&str> {
    let name = url.strip_prefix("https://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | ':' | '/' | '[' | ']' | '%');
    let host = name.split('/').next().unwrap_or_default();
    (!host.is_empty() && !host.starts_with(':') && name.chars().all(plain) && !name.contains("//")).then_some(name)
}

fn check_thumbprints(list: &[String]) -> Result<Vec<String>> {
    if list.len() > THUMBPRINTS {
        return Err(error::invalid_input("Thumbprint list must contain fewer than 5 entries."));
    }
    if list.iter().any(|thumbprint| thumbprint.len() != 40 || !thumbprint.chars().all(|c| c.is_ascii_hexdigit())) {
        return Err(error::invalid_input("Thumbprint is not the SHA-1 of a certificate in 40 hexadecimal digits."));
    }
    Ok(list.iter().map(|thumbprint| thumbprint.to_ascii_lowercase()).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    url: String,
    #[serde(default, rename = "ClientIDList")]
    client_ids: Vec<String>,
    #[serde(default)]
    thumbprint_list: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn issuer(url: &str) -> Result<&str> {
    issuer_name(url).ok_or_else(|| error::validation("Invalid Open ID Connect Provider URL"))
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<OidcProvider>(&cx.caller.account, "/", issuer(&input.url)?);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagOpenIDConnectProvider", arn.clone()).request_tags(&input.tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateOpenIDConnectProvider>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let name = issuer(&input.url)?.to_owned();
    if input.client_ids.len() > CLIENT_IDS {
        return Err(error::quota("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS));
    }
    let mut client_ids: Vec<String> = Vec::new();
    for id in input.client_ids {
        if !client_ids.contains(&id) {
            client_ids.push(id);
        }
    }
    let provider = OidcProvider {
        id: Ids::unique("AOID"),
        arn: arn_of::<OidcProvider>(permit.account(), "/", &name),
        name,
        created: cx.now(),
        client_ids,
        thumbprints: check_thumbprints(&input.thumbprint_list)?,
        tags: input.tags,
    };
    let provider = entity::create(cx, &permit.global(), provider, Batch::new()).await?;
    let mut output = json!({ "OpenIDConnectProviderArn": provider.arn });
    if !provider.tags.is_empty() {
        output["Tags"] = json!(provider.tags);
    }
    Ok(output.into())
}

async fn get(cx: &Cx, permit: Permit<GetOpenIDConnectProvider>, input: ArnInput) -> Result<Reply> {
    let provider: OidcProvider = providers::get(cx, &permit.global(), &input.arn).await?;
    let mut output = json!({
        "Url": provider.name, "ClientIDList": provider.client_ids, "ThumbprintList": provider.thumbprints,
        "CreateDate": provider.created,
    });
    if !provider.tags.is_empty() {
        output["Tags"] = json!(provider.tags);
    }
    Ok(output.into())
}

async fn list(cx: &Cx, permit: Permit<ListOpenIDConnectProviders>, _: NoInput) -> Result<Reply> {
    let show = |provider: &OidcProvider| json!({ "Arn": provider.arn });
    providers::list(cx, &permit.global(), "OpenIDConnectProviderList", show).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ThumbprintInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    thumbprint_list: Vec<String>,
}

async fn resolve_thumbprint(_: &Cx, action: &'static str, input: &ThumbprintInput) -> Result<Checks> {
    Ok(providers::on::<OidcProvider>(action, &input.arn)?.into())
}

async fn thumbprint(cx: &Cx, permit: Permit<UpdateOpenIDConnectProviderThumbprint>, input: ThumbprintInput) -> Result<Reply> {
    let thumbprints = check_thumbprints(&input.thumbprint_list)?;
    providers::change::<OidcProvider, _>(cx, &permit.global(), &input.arn, |provider, _| {
        provider.thumbprints.clone_from(&thumbprints);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ClientInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "ClientID")]
    client_id: String,
}

async fn resolve_client(_: &Cx, action: &'static str, input: &ClientInput) -> Result<Checks> {
    Ok(providers::on::<OidcProvider>(action, &input.arn)?.into())
}

/// Adding what is there, and removing what is not, succeeds and changes nothing.
async fn add_client(cx: &Cx, permit: Permit<AddClientIDToOpenIDConnectProvider>, input: ClientInput) -> Result<Reply> {
    providers::change::<OidcProvider, _>(cx, &permit.global(), &input.arn, |provider, _| {
        if !provider.client_ids.contains(&input.client_id) {
            if provider.client_ids.len() >= CLIENT_IDS {
                return Err(error::quota("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS));
            }
            provider.client_ids.push(input.client_id.clone());
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

async fn remove_client(cx: &Cx, permit: Permit<RemoveClientIDFromOpenIDConnectProvider>, input: ClientInput) -> Result<Reply> {
    providers::change::<OidcProvider, _>(cx, &permit.global(), &input.arn, |provider, _| {
        provider.client_ids.retain(|id| *id != input.client_id);
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

operation!(
    "iam",
    CreateOpenIDConnectProvider,
    ["oidc-provider"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagOpenIDConnectProvider"],
    CreateInput,
    resolve_create,
    create
);
operation!("iam", GetOpenIDConnectProvider, ["oidc-provider"], ArnInput, providers::resolve::<OidcProvider>, get);
operation!(
    "iam",
    DeleteOpenIDConnectProvider,
    ["oidc-provider"],
    ArnInput,
    providers::resolve::<OidcProvider>,
    providers::delete::<OidcProvider, _>
);
operation!("iam", ListOpenIDConnectProviders, ["*"], NoInput, providers::resolve_list, list);
operation!("iam", UpdateOpenIDConnectProviderThumbprint, ["oidc-provider"], ThumbprintInput, resolve_thumbprint, thumbprint);
operation!("iam", AddClientIDToOpenIDConnectProvider, ["oidc-provider"], ClientInput, resolve_client, add_client);
operation!("iam", RemoveClientIDFromOpenIDConnectProvider, ["oidc-provider"], ClientInput, resolve_client, remove_client);
operation!(
    "iam",
    TagOpenIDConnectProvider,
    ["oidc-provider"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"],
    TagInput,
    providers::resolve_tag::<OidcProvider>,
    providers::tag::<OidcProvider, _>
);
operation!(
    "iam",
    UntagOpenIDConnectProvider,
    ["oidc-provider"] + ["aws:TagKeys"],
    UntagInput,
    providers::resolve_untag::<OidcProvider>,
    providers::untag::<OidcProvider, _>
);
operation!(
    "iam",
    ListOpenIDConnectProviderTags,
    ["oidc-provider"],
    ArnInput,
    providers::resolve::<OidcProvider>,
    providers::list_tags::<OidcProvider, _>
);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateOpenIDConnectProvider>(),
    OperationRow::of::<GetOpenIDConnectProvider>(),
    OperationRow::of::<DeleteOpenIDConnectProvider>(),
    OperationRow::of::<ListOpenIDConnectProviders>(),
    OperationRow::of::<UpdateOpenIDConnectProviderThumbprint>(),
    OperationRow::of::<AddClientIDToOpenIDConnectProvider>(),
    OperationRow::of::<RemoveClientIDFromOpenIDConnectProvider>(),
    OperationRow::of::<TagOpenIDConnectProvider>(),
    OperationRow::of::<UntagOpenIDConnectProvider>(),
    OperationRow::of::<ListOpenIDConnectProviderTags>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_issuers() {
        assert_eq!(issuer_name("https://idp.example.com/realm/a/"), Some("idp.example.com/realm/a/"));
        assert_eq!(issuer_name("https://127.0.0.1:8443"), Some("127.0.0.1:8443"));
        for url in [
            "http://a.example",
            "https://",
            "https://:1",
            "https:///x",
            "https://u@a.example",
            "https://a.example?x",
            "https://a.example/#x",
            "https://a//b",
            "a.example",
        ] {
            assert_eq!(issuer_name(url), None, "{url}");
        }
    }

    #[test]
    fn five_thumbprints_and_one_more() {
        let list = |count: usize| vec!["A".repeat(40); count];
        assert_eq!(check_thumbprints(&list(5)).map(|list| list[0].clone()), Ok("a".repeat(40)));
        assert!(check_thumbprints(&list(6)).is_err());
        assert!(check_thumbprints(&["g".repeat(40)]).is_err());
    }
}
