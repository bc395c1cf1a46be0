//! SAML providers: a metadata document under a name, and what it says.
//!
//! The document is read when it is stored, so that a sign-in never meets one that cannot be read.
//! Private keys for encrypted assertions are not taken: nothing here decrypts.
//! Source: "CreateSAMLProvider" and its kin, IAM API Reference; "IAM and AWS STS quotas".

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::{Arn, AwsError, Result, Tag, Timestamp};
use tenantry_federation::metadata::Metadata;
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
/// Years that a document is good for that does not say so.
const NO_END: i64 = 100 * 365 * 86_400;

/// A SAML provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SamlProvider {
    /// `ASPR…`.
    pub id: String,
    pub name: String,
    pub arn: Arn,
    pub created: Timestamp,
    /// The metadata document as uploaded.
    pub document: String,
    pub valid_until: Timestamp,
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl Entity for SamlProvider {
    const KIND: Kind = Kind::new("iam.saml-provider");
    const NOUN: &'static str = "saml-provider";
    const QUOTA: (&'static str, usize) = ("SAMLProvidersPerAccount", QUOTA);

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
        error::no_such_entity(format!("Manifest not found for arn {name}"))
    }
    fn taken(name: &str) -> AwsError {
        error::already_exists(format!("SAML provider with name {name} already exists."))
    }
}

/// A document that can be used, and until when it says that it can.
fn accept(document: &str, now: Timestamp) -> Result<Timestamp> {
    let read = Metadata::parse(document).map_err(|fault| error::invalid_input(format!("Could not parse metadata: {}", fault.0)))?;
    let until = read.valid_until.unwrap_or_else(|| now.plus_secs(NO_END));
    if until <= now { Err(error::invalid_input("Could not parse metadata: validUntil is in the past")) } else { Ok(until) }
}

fn no_encryption() -> AwsError {
    error::invalid_input("Encrypted assertions are not supported by this instance: leave out AssertionEncryptionMode and private keys.")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    name: String,
    #[serde(rename = "SAMLMetadataDocument")]
    document: String,
    #[serde(default)]
    tags: Vec<Tag>,
    assertion_encryption_mode: Option<String>,
    add_private_key: Option<String>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<SamlProvider>(&cx.caller.account, "/", &input.name);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagSAMLProvider", arn.clone()).request_tags(&input.tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateSAMLProvider>, input: CreateInput) -> Result<Reply> {
    if input.assertion_encryption_mode.is_some() || input.add_private_key.is_some() {
        return Err(no_encryption());
    }
    tags::check(&input.tags)?;
    let valid_until = accept(&input.document, cx.now())?;
    let provider = SamlProvider {
        id: Ids::unique("ASPR"),
        arn: arn_of::<SamlProvider>(permit.account(), "/", &input.name),
        name: input.name,
        created: cx.now(),
        document: input.document,
        valid_until,
        tags: input.tags,
    };
    let provider = entity::create(cx, &permit.global(), provider, Batch::new()).await?;
    let mut output = json!({ "SAMLProviderArn": provider.arn });
    if !provider.tags.is_empty() {
        output["Tags"] = json!(provider.tags);
    }
    Ok(output.into())
}

async fn get(cx: &Cx, permit: Permit<GetSAMLProvider>, input: ArnInput) -> Result<Reply> {
    let provider: SamlProvider = providers::get(cx, &permit.global(), &input.arn).await?;
    let mut output = json!({
        "SAMLProviderUUID": provider.id, "SAMLMetadataDocument": provider.document, "CreateDate": provider.created,
        "ValidUntil": provider.valid_until,
    });
    if !provider.tags.is_empty() {
        output["Tags"] = json!(provider.tags);
    }
    Ok(output.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    #[serde(rename = "SAMLMetadataDocument")]
    document: Option<String>,
    assertion_encryption_mode: Option<String>,
    add_private_key: Option<String>,
    remove_private_key: Option<String>,
}

async fn resolve_update(_: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    Ok(providers::on::<SamlProvider>(action, &input.arn)?.into())
}

async fn update(cx: &Cx, permit: Permit<UpdateSAMLProvider>, input: UpdateInput) -> Result<Reply> {
    if input.assertion_encryption_mode.is_some() || input.add_private_key.is_some() || input.remove_private_key.is_some() {
        return Err(no_encryption());
    }
    let none = || error::invalid_input("Unable to update identity provider. No updates are defined for metadata or encryption assertion.");
    let document = input.document.ok_or_else(none)?;
    let valid_until = accept(&document, cx.now())?;
    providers::change::<SamlProvider, _>(cx, &permit.global(), &input.arn, |provider, _| {
        provider.document.clone_from(&document);
        provider.valid_until = valid_until;
        Ok(())
    })
    .await?;
    Ok(json!({ "SAMLProviderArn": input.arn }).into())
}

async fn list(cx: &Cx, permit: Permit<ListSAMLProviders>, _: NoInput) -> Result<Reply> {
    let show = |provider: &SamlProvider| json!({ "Arn": provider.arn, "ValidUntil": provider.valid_until, "CreateDate": provider.created });
    providers::list(cx, &permit.global(), "SAMLProviderList", show).await
}

operation!(
    "iam",
    CreateSAMLProvider,
    ["saml-provider"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagSAMLProvider"],
    CreateInput,
    resolve_create,
    create
);
operation!("iam", GetSAMLProvider, ["saml-provider"], ArnInput, providers::resolve::<SamlProvider>, get);
operation!("iam", UpdateSAMLProvider, ["saml-provider"], UpdateInput, resolve_update, update);
operation!(
    "iam",
    DeleteSAMLProvider,
    ["saml-provider"],
    ArnInput,
    providers::resolve::<SamlProvider>,
    providers::delete::<SamlProvider, _>
);
operation!("iam", ListSAMLProviders, ["*"], NoInput, providers::resolve_list, list);
operation!(
    "iam",
    TagSAMLProvider,
    ["saml-provider"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"],
    TagInput,
    providers::resolve_tag::<SamlProvider>,
    providers::tag::<SamlProvider, _>
);
operation!(
    "iam",
    UntagSAMLProvider,
    ["saml-provider"] + ["aws:TagKeys"],
    UntagInput,
    providers::resolve_untag::<SamlProvider>,
    providers::untag::<SamlProvider, _>
);
operation!(
    "iam",
    ListSAMLProviderTags,
    ["saml-provider"],
    ArnInput,
    providers::resolve::<SamlProvider>,
    providers::list_tags::<SamlProvider, _>
);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateSAMLProvider>(),
    OperationRow::of::<GetSAMLProvider>(),
    OperationRow::of::<UpdateSAMLProvider>(),
    OperationRow::of::<DeleteSAMLProvider>(),
    OperationRow::of::<ListSAMLProviders>(),
    OperationRow::of::<TagSAMLProvider>(),
    OperationRow::of::<UntagSAMLProvider>(),
    OperationRow::of::<ListSAMLProviderTags>(),
];
