//! What SAML and OpenID Connect providers have in common: both are named by ARN, and have tags.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{Check, Checks, Cx, Operation, Permit, Reply};
use tenantry_store::{Batch, Expect, List};

use super::{
    entity::{self, Entity},
    error, tags,
};

/// A provider, under whichever member the operation has its ARN.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ArnInput {
    #[serde(alias = "SAMLProviderArn", alias = "OpenIDConnectProviderArn")]
    pub arn: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NoInput {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagInput {
    #[serde(alias = "SAMLProviderArn", alias = "OpenIDConnectProviderArn")]
    arn: String,
    tags: Vec<tenantry_core::Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagInput {
    #[serde(alias = "SAMLProviderArn", alias = "OpenIDConnectProviderArn")]
    arn: String,
    tag_keys: Vec<String>,
}

/// The ARN of a provider of the caller's kind of things.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn parse<E: Entity>(given: &str) -> Result<Arn> {
    let arn = Arn::parse(given).ok().filter(|arn| arn.service() == "iam" && arn.region().is_empty() && name_of::<E>(arn).is_some());
    arn.ok_or_else(|| error::invalid_input(format!("Invalid ARN: {}", given.chars().take(256).collect::<String>())))
}

fn name_of<E: Entity>(arn: &Arn) -> Option<&str> {
    arn.resource().strip_prefix(E::NOUN)?.strip_prefix('/').filter(|name| !name.is_empty())
}

/// A check on a provider by its ARN.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn on<E: Entity>(action: &'static str, given: &str) -> Result<Check> {
    Ok(Check::on(action, parse::<E>(given)?))
}

pub(crate) async fn resolve<E: Entity>(_: &Cx, action: &'static str, input: &ArnInput) -> Result<Checks> {
    Ok(on::<E>(action, &input.arn)?.into())
}

pub(crate) async fn resolve_list(_: &Cx, action: &'static str, _: &NoInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

/// The name under which an ARN's provider is stored.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn stored_name<E: Entity>(given: &str) -> Result<String> {
    let arn = parse::<E>(given)?;
    Ok(name_of::<E>(&arn).unwrap_or_default().to_owned())
}

/// The provider of an ARN.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) async fn get<E: Entity>(cx: &Cx, scope: &Scope, given: &str) -> Result<E> {
    let found = entity::find::<E>(cx, scope, &stored_name::<E>(given)?).await?.map(|(_, entity)| entity);
    found.filter(|entity| entity.arn().as_str() == given).ok_or_else(|| E::missing(given))
}

/// The provider of an ARN of any account, where there is one.
pub(crate) async fn find<E: Entity>(cx: &Cx, given: &str) -> Result<Option<E>> {
    let Ok(arn) = parse::<E>(given) else { return Ok(None) };
    let found = entity::find::<E>(cx, &Scope::global(arn.account()), name_of::<E>(&arn).unwrap_or_default()).await?;
    Ok(found.map(|(_, entity)| entity).filter(|entity| *entity.arn() == arn))
}

/// Changes the provider of an ARN.
///
/// # Errors
/// `NoSuchEntity`, what `act` answers.
pub(crate) async fn change<E: Entity, T: Send>(
    cx: &Cx,
    scope: &Scope,
    given: &str,
    mut act: impl FnMut(&mut E, &mut Batch) -> Result<T> + Send,
) -> Result<T> {
    get::<E>(cx, scope, given).await?;
    entity::change::<E, T>(cx, scope, &stored_name::<E>(given)?, |it, batch| act(it, batch)).await
}

pub(crate) async fn delete<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: ArnInput) -> Result<Reply> {
    let scope = permit.global();
    get::<E>(cx, &scope, &input.arn).await?;
    let name = stored_name::<E>(&input.arn)?;
    let (row, _) = entity::find::<E>(cx, &scope, &name).await?.ok_or_else(|| E::missing(&input.arn))?;
    let mut batch = Batch::new();
    batch.delete(E::KIND, &scope, row.id, Expect::Version(row.version));
    batch.set_tags(input.arn, Vec::new());
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

/// All providers of the account, as `show` has them.
pub(crate) async fn list<E: Entity>(cx: &Cx, scope: &Scope, member: &str, show: impl Fn(&E) -> Value) -> Result<Reply> {
    let rows = cx.kernel.store().list(&List::of(E::KIND, scope)).await?;
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        shown.push(show(&row.body()?));
    }
    Ok(json!({ member: shown }).into())
}

pub(crate) async fn resolve_tag<E: Entity>(_: &Cx, action: &'static str, input: &TagInput) -> Result<Checks> {
    Ok(on::<E>(action, &input.arn)?.request_tags(&input.tags).into())
}

pub(crate) async fn tag<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: TagInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    change::<E, _>(cx, &permit.global(), &input.arn, |it, batch| {
        let tags = it.tags_mut().ok_or_else(|| error::validation("This resource cannot be tagged."))?;
        tags::merge(tags, &input.tags)?;
        batch.set_tags(input.arn.clone(), tags.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

pub(crate) async fn resolve_untag<E: Entity>(_: &Cx, action: &'static str, input: &UntagInput) -> Result<Checks> {
    Ok(on::<E>(action, &input.arn)?.tag_keys(&input.tag_keys).into())
}

pub(crate) async fn untag<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: UntagInput) -> Result<Reply> {
    change::<E, _>(cx, &permit.global(), &input.arn, |it, batch| {
        let tags = it.tags_mut().ok_or_else(|| error::validation("This resource cannot be tagged."))?;
        tags.retain(|tag| !input.tag_keys.iter().any(|key| key.to_lowercase() == tag.key.to_lowercase()));
        batch.set_tags(input.arn.clone(), tags.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

pub(crate) async fn list_tags<E: Entity, O: Operation>(cx: &Cx, permit: Permit<O>, input: ArnInput) -> Result<Reply> {
    let mut provider: E = get(cx, &permit.global(), &input.arn).await?;
    let found = provider.tags_mut().map(std::mem::take).unwrap_or_default();
    entity::answer("Tags", tags::in_order(&found), input.marker.as_deref(), input.max_items)
}
