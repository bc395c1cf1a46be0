//! What all `List` operations share: filters on name and times, sorting, pages.
//!
//! A page token is the sort key of the last row of the page before, so a listing goes on rightly
//! while rows come and go.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use tenantry_core::{Result, Scope, Timestamp};
use tenantry_kernel::Cx;
use tenantry_store::{Kind, List, Row};

use crate::error::validation;

/// The members that `List` inputs have in common, under whichever of AWS's names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Filter {
    /// A part of the name, compared without case.
    #[serde(alias = "PipelineNamePrefix", alias = "ModelPackageGroupNameContains")]
    pub name_contains: Option<String>,
    /// Made after.
    #[serde(alias = "CreatedAfter")]
    pub creation_time_after: Option<Timestamp>,
    /// Made before.
    #[serde(alias = "CreatedBefore")]
    pub creation_time_before: Option<Timestamp>,
    /// Changed after.
    pub last_modified_time_after: Option<Timestamp>,
    /// Changed before.
    pub last_modified_time_before: Option<Timestamp>,
    /// The status, exactly.
    pub status_equals: Option<String>,
    /// `Name`, `CreationTime`, `LastModifiedTime`, `Status`, or a variant of these; default by creation.
    pub sort_by: Option<String>,
    /// `Ascending` or `Descending` (default).
    pub sort_order: Option<String>,
    /// 1 to 100; default 10 where AWS says so, else 100.
    pub max_results: Option<usize>,
    /// Opaque.
    pub next_token: Option<String>,
}

/// A page, and the token of the next.
pub struct Page {
    /// Rows in order.
    pub rows: Vec<Row>,
    /// Absent on the last page.
    pub next_token: Option<String>,
}

/// Which pages a listing has.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Rows of this kind.
    pub kind: Kind,
    /// With this parent.
    pub parent: Option<&'a str>,
    /// Rows a page has when the request does not say.
    pub default_size: usize,
    /// Whether newest or last comes first when the request does not say.
    pub descending: bool,
}

impl<'a> Shape<'a> {
    /// All rows of a kind, newest first.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self { kind, parent: None, default_size: 10, descending: true }
    }
    /// With this parent.
    #[must_use]
    pub const fn parent(mut self, parent: &'a str) -> Self {
        self.parent = Some(parent);
        self
    }
}

/// A page of rows of `scope` that pass `filter` and `keep`.
///
/// # Errors
/// `ValidationException` for a token that is none of ours; what the store says.
pub async fn page(cx: &Cx, scope: &Scope, shape: Shape<'_>, filter: &Filter, keep: impl Fn(&Row) -> bool) -> Result<Page> {
    let mut query = List::of(shape.kind, scope);
    query.parent = shape.parent;
    let mut rows = cx.kernel.store().list(&query).await?;
    rows.retain(|row| passes(row, filter) && keep(row));
    let key = |row: &Row| (sort_key(row, filter.sort_by.as_deref()), row.id.clone());
    rows.sort_by_cached_key(key);
    let descending = filter.sort_order.as_deref().map_or(shape.descending, |order| order == "Descending");
    if descending {
        rows.reverse();
    }
    if let Some(token) = &filter.next_token {
        let last = read_token(token)?;
        rows.retain(|row| if descending { key(row) < last } else { key(row) > last });
    }
    let size = filter.max_results.unwrap_or(shape.default_size).clamp(1, 1000);
    let more = rows.len() > size;
    rows.truncate(size);
    let next_token = if more { rows.last().map(|row| write_token(&key(row))) } else { None };
    Ok(Page { rows, next_token })
}

fn passes(row: &Row, filter: &Filter) -> bool {
    let name = if row.name.is_empty() { &row.id } else { &row.name };
    filter.name_contains.as_ref().is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
        && filter.creation_time_after.is_none_or(|t| row.created > t)
        && filter.creation_time_before.is_none_or(|t| row.created < t)
        && filter.last_modified_time_after.is_none_or(|t| row.updated > t)
        && filter.last_modified_time_before.is_none_or(|t| row.updated < t)
        && filter.status_equals.as_ref().is_none_or(|status| row.status == *status)
}

fn sort_key(row: &Row, by: Option<&str>) -> String {
    let name = if row.name.is_empty() { &row.id } else { &row.name };
    match by.unwrap_or("CreationTime") {
        "Name" | "ModelPackageGroupName" | "NAME" => name.clone(),
        "Status" => row.status.clone(),
        "LastModifiedTime" | "LAST_MODIFIED_TIME" => format!("{:020}", row.updated.millis()),
        _ => format!("{:020}", row.created.millis()),
    }
}

fn write_token(key: &(String, String)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\0{}", key.0, key.1))
}

fn read_token(token: &str) -> Result<(String, String)> {
    let bad = || validation("The NextToken is not valid.");
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
    let (key, id) = text.split_once('\0').ok_or_else(bad)?;
    Ok((key.to_owned(), id.to_owned()))
}
