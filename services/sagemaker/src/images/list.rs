//! ListImages, ListImageVersions.

use serde::Deserialize;
use serde_json::Value;
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, Permit, Reply};

use super::{IMAGE, ImageRecord, VERSION, VersionRecord, arn_of, find};
use crate::{
    listing::{self, Filter, Page, Shape},
    operation::operation,
    pipelines::members,
};

/// Elements of a page where the request does not say.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    image_name: Option<String>,
    #[serde(flatten)]
    filter: Filter,
}

impl ListInput {
    /// The filter in the words of other lists: these operations write their enumerations in capitals.
    fn filter(&self) -> Filter {
        let mut filter = self.filter.clone();
        // An empty token is what clients that count on pages send first.
        filter.next_token = filter.next_token.filter(|token| !token.is_empty());
        filter.sort_order = filter.sort_order.map(|order| if order == "ASCENDING" { "Ascending" } else { "Descending" }.to_owned());
        // Versions have no name, so that their ids count, which are ordered like their numbers.
        filter.sort_by = filter.sort_by.map(|by| if matches!(by.as_str(), "IMAGE_NAME" | "VERSION") { "Name".to_owned() } else { by });
        filter
    }
}

operation!(ListImages, ["*"], ListInput, resolve_images, images);
operation!(ListImageVersions, ["image"], ListInput, resolve_versions, versions);

async fn resolve_images(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn resolve_versions(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    Ok(Check::on(action, arn_of(cx, input.image_name.as_deref().unwrap_or_default())).into())
}

fn reply(member: &str, list: Vec<Value>, page: Page) -> Reply {
    Reply::new(members([(member, Some(list.into())), ("NextToken", page.next_token.map(Value::from))]).into())
}

async fn images(cx: &Cx, permit: Permit<ListImages>, input: ListInput) -> Result<Reply> {
    let shape = Shape { default_size: PAGE, ..Shape::of(IMAGE) };
    let page = listing::page(cx, permit.scope(), shape, &input.filter(), |_| true).await?;
    let mut list = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        list.push(Value::from(row.body::<ImageRecord>()?.document(row)));
    }
    Ok(reply("Images", list, page))
}

async fn versions(cx: &Cx, permit: Permit<ListImageVersions>, input: ListInput) -> Result<Reply> {
    let image = find(cx, permit.scope(), input.image_name.as_deref().unwrap_or_default()).await?;
    let shape = Shape { default_size: PAGE, ..Shape::of(VERSION).parent(&image.id) };
    let page = listing::page(cx, permit.scope(), shape, &input.filter(), |_| true).await?;
    let mut list = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        list.push(Value::from(row.body::<VersionRecord>()?.summary(row)));
    }
    Ok(reply("ImageVersions", list, page))
}
