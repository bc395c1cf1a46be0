//! What all `List` operations share: filters on name and times, sorting, pages.
//!
//! A page token is the sort key of the last row of the page before, so a listing goes on rightly
//! while rows come and go. By creation, which is the default nearly everywhere, a page costs what it shows, however long the
//! history is; by another key all rows are looked at.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::Cx;
use tenantry_store::{Created, Kind, List, Row, Store};

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
    query.reverse = filter.sort_order.as_deref().map_or(shape.descending, |order| order == "Descending");
    let by = SortBy::of(filter.sort_by.as_deref());
    let after = filter.next_token.as_deref().map(read_token).transpose()?;
    let wanted = |row: &Row| passes(row, filter) && keep(row);
    let size = filter.max_results.unwrap_or(shape.default_size).clamp(1, 1000);
    let store = cx.kernel.store();
    // One row more than the page tells whether there is another.
    let mut rows = match by {
        SortBy::Creation => by_creation(store, query, filter, after, size + 1, wanted).await?,
        _ => {
            let key = |row: &Row| (by.key(row), row.id.clone());
            let mut rows = store.list(&List { reverse: false, ..query }).await?;
            rows.retain(|row| wanted(row) && after.as_ref().is_none_or(|last| (key(row) < *last) == query.reverse && key(row) != *last));
            rows.sort_by_cached_key(key);
            if query.reverse {
                rows.reverse();
            }
            rows
        }
    };
    let more = rows.len() > size;
    rows.truncate(size);
    let next_token = if more { rows.last().map(|row| write_token(&by.key(row), &row.id)) } else { None };
    Ok(Page { rows, next_token })
}

/// The first `size` wanted rows by creation: read in portions that grow, so that a filter which few rows pass costs few questions.
async fn by_creation(
    store: &dyn Store,
    query: List<'_>,
    filter: &Filter,
    after: Option<(String, String)>,
    size: usize,
    wanted: impl Fn(&Row) -> bool,
) -> Result<Vec<Row>> {
    const MOST: usize = 4000;
    let mut after = match after {
        Some((millis, id)) => Some((Timestamp::from_millis(millis.parse().map_err(|_| bad_token())?), id)),
        None => None,
    };
    let (mut found, mut portion) = (Vec::new(), size);
    loop {
        let created = Created {
            after: after.as_ref().map(|(time, id)| (*time, id.as_str())),
            from: filter.creation_time_after,
            until: filter.creation_time_before,
        };
        let rows = store.list(&query.by_creation(created).limit(portion)).await?;
        let last = rows.len() < portion;
        after = rows.last().map(|row| (row.created, row.id.clone()));
        found.extend(rows.into_iter().filter(&wanted));
        if last || found.len() >= size {
            return Ok(found);
        }
        portion = (portion * 4).min(MOST);
    }
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

/// What a listing is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SortBy {
    Name,
    Status,
    Modification,
    Creation,
}

impl SortBy {
    fn of(word: Option<&str>) -> Self {
        match word.unwrap_or("CreationTime") {
            "Name" | "ModelPackageGroupName" | "NAME" => Self::Name,
            "Status" => Self::Status,
            "LastModifiedTime" | "LAST_MODIFIED_TIME" => Self::Modification,
            _ => Self::Creation,
        }
    }

    fn key(self, row: &Row) -> String {
        match self {
            Self::Name if row.name.is_empty() => row.id.clone(),
            Self::Name => row.name.clone(),
            Self::Status => row.status.clone(),
            Self::Modification => format!("{:020}", row.updated.millis()),
            Self::Creation => row.created.millis().to_string(),
        }
    }
}

fn bad_token() -> AwsError {
    validation("The NextToken is not valid.")
}

fn write_token(key: &str, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{key}\0{id}"))
}

fn read_token(token: &str) -> Result<(String, String)> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad_token)?;
    let (key, id) = text.split_once('\0').ok_or_else(bad_token)?;
    Ok((key.to_owned(), id.to_owned()))
}

#[cfg(test)]
mod tests {
    use tenantry_store::{Batch, Expect, Memory};

    use super::*;

    const THING: Kind = Kind::new("test.thing");

    /// A filter that few rows pass makes the portions grow; what is found is what a look at all rows finds.
    #[tokio::test]
    async fn a_page_by_creation_is_found_in_portions() {
        let (store, scope) = (Memory::new(), Scope::new("1", "us-east-1"));
        let mut batch = Batch::new();
        for n in 0..500_i64 {
            let row = Row::new(THING, &scope, format!("r{}", (n * 37) % 500), Timestamp::from_secs(n / 4));
            batch.put(row.status(if n % 50 == 0 { "Failed" } else { "Completed" }), Expect::Absent);
        }
        store.commit(batch).await.unwrap();
        let all = store.list(&List::of(THING, &scope)).await.unwrap();
        let filter = Filter { creation_time_after: Some(Timestamp::from_secs(20)), ..Filter::default() };
        for (status, size, reverse) in [("Failed", 3, true), ("Failed", 100, false), ("Completed", 7, true), ("Stopped", 1, false)] {
            let wanted = |row: &Row| row.status == status && passes(row, &filter);
            let mut expected: Vec<_> = all.iter().filter(|row| wanted(row)).map(|row| (row.created, row.id.clone())).collect();
            expected.sort();
            if reverse {
                expected.reverse();
            }
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let query = List::of(THING, &scope).reverse(reverse);
                let mut rows = by_creation(&store, query, &filter, after.take(), size, wanted).await.unwrap();
                rows.truncate(size);
                seen.extend(rows.iter().map(|row| (row.created, row.id.clone())));
                let Some(row) = rows.last() else { break };
                after = Some(read_token(&write_token(&SortBy::Creation.key(row), &row.id)).unwrap());
            }
            assert_eq!(seen, expected);
        }
        for token in ["", "!", "cg", &write_token("no number", "id")] {
            let read = read_token(token).and_then(|(key, _)| key.parse::<i64>().map_err(|_| bad_token()));
            assert_eq!(read.unwrap_err().code, "ValidationException");
        }
    }
}
