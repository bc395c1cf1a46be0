//! What domains, profiles, spaces and apps have in common: a request that Describe echoes, a status, a reason.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Tag};
use tenantry_kernel::{Cx, Kernel, reconcile::key_of};
use tenantry_store::{Batch, CommitError, Expect, Kind, List, Row};

use crate::error::{in_use, not_found};

/// What a row holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub arn: String,
    /// As asked for and changed since, without tags.
    pub request: Map<String, Value>,
    /// Why the status is a failure.
    pub failure: Option<String>,
}

impl Record {
    pub fn new(arn: &Arn, mut request: Map<String, Value>) -> Self {
        request.remove("Tags");
        request.retain(|_, value| !value.is_null());
        Self { arn: arn.to_string(), request, failure: None }
    }
    /// A member of the request that is text; empty where it is not there.
    pub fn text(&self, member: &str) -> &str {
        self.request.get(member).and_then(Value::as_str).unwrap_or_default()
    }
    /// What lies at a path of the request (`/UserSettings/ExecutionRole`).
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.request.get(*first)?, |value, member| value.get(member))
    }
    /// Status, times and reason beside those members of the request that are `shown`.
    pub fn document(&self, row: &Row, shown: &[&str]) -> Map<String, Value> {
        let mut document: Map<String, Value> =
            self.request.iter().filter(|(member, _)| shown.contains(&member.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
        document.insert("Status".to_owned(), json!(row.status));
        document.insert("CreationTime".to_owned(), json!(row.created));
        document.insert("LastModifiedTime".to_owned(), json!(row.updated));
        if let Some(failure) = &self.failure {
            document.insert("FailureReason".to_owned(), json!(failure));
        }
        document
    }
}

/// A member of a request that is text; empty where it is not there.
pub(super) fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// What AWS calls things of a kind in its sentences.
pub(super) fn noun(kind: Kind) -> &'static str {
    match kind {
        super::DOMAIN => "Domain",
        super::PROFILE => "UserProfile",
        super::SPACE => "Space",
        super::APP => "App",
        _ => "StudioLifecycleConfig",
    }
}

/// `ResourceNotFound` for a thing that is not there.
pub(super) fn missing(kind: Kind, arn: &Arn) -> AwsError {
    not_found(format!("{} [{arn}] does not exist.", noun(kind)))
}

/// `ResourceInUse` for a name that is taken.
pub(super) fn taken(kind: Kind, arn: &Arn) -> AwsError {
    in_use(format!("{} [{arn}] already exists.", noun(kind)))
}

/// `ResourceInUse` for what changes already.
pub(super) fn busy(kind: Kind, arn: &str, status: &str) -> AwsError {
    in_use(format!("{} [{arn}] is in {status} status. Try again when it is InService.", noun(kind)))
}

/// The row and record of a thing that exists.
///
/// # Errors
/// `ResourceNotFound`.
pub(super) async fn find(kernel: &Kernel, kind: Kind, scope: &Scope, arn: &Arn) -> Result<(Row, Record)> {
    let id = arn.resource_type_and_id().1;
    let row = kernel.store().get(kind, scope, id).await?.ok_or_else(|| missing(kind, arn))?;
    let record = row.body()?;
    Ok((row, record))
}

/// The same, where it must be one on which others may be put.
pub(super) async fn find_ready(kernel: &Kernel, kind: Kind, scope: &Scope, arn: &Arn) -> Result<(Row, Record)> {
    let (row, record) = find(kernel, kind, scope, arn).await?;
    match row.status.as_str() {
        "InService" | "Updating" => Ok((row, record)),
        status => Err(busy(kind, arn.as_str(), status)),
    }
}

/// Stores a new thing as `Pending` and puts it into its queue. `batch` says what it stands on.
pub(super) async fn create(cx: &Cx, mut batch: Batch, row: Row, record: &Record, tags: Vec<Tag>) -> std::result::Result<(), CommitError> {
    let (kind, scope, id) = (row.kind, row.scope.clone(), row.id.clone());
    batch.put(row.status("Pending").with(record)?, Expect::Absent);
    batch.set_tags(&*record.arn, tags);
    batch.enqueue(kind.as_str(), key_of(&scope, &id), cx.now());
    cx.commit(batch).await
}

/// Stores a changed thing and puts it into its queue.
///
/// # Errors
/// `ResourceInUse` where another request was faster.
pub(super) async fn change(cx: &Cx, row: Row, status: &str, record: &Record) -> Result<()> {
    let (kind, scope, id) = (row.kind, row.scope.clone(), row.id.clone());
    let mut batch = Batch::new();
    batch.update(row.status(status).at(cx.now()).with(record)?);
    batch.enqueue(kind.as_str(), key_of(&scope, &id), cx.now());
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => {
            Err(in_use(format!("{} [{}] was changed by another request at the same time. Try again.", noun(kind), record.arn)))
        }
        done => done.map_err(Into::into),
    }
}

/// Whether an app occupies what it runs for.
pub(super) fn is_live(status: &str) -> bool {
    !matches!(status, "Deleted" | "Failed")
}

/// What still hangs on a thing, as AWS names it in "Unable to delete": a domain's profiles, spaces and apps, a
/// profile's apps and spaces, a space's apps.
pub(super) async fn dependants(kernel: &Kernel, row: &Row) -> Result<Option<&'static str>> {
    let store = kernel.store();
    let domain = row.id.split('/').next().unwrap_or_default();
    let apps = store.list(&List::of(super::APP, &row.scope).parent(domain)).await?;
    let mut held = false;
    for app in apps.iter().filter(|app| is_live(&app.status)) {
        let of: Record = app.body()?;
        held |= match row.kind {
            super::PROFILE => of.text("UserProfileName").eq_ignore_ascii_case(&row.name),
            super::SPACE => of.text("SpaceName").eq_ignore_ascii_case(&row.name),
            _ => true,
        };
    }
    let spaces = match row.kind {
        super::SPACE => Vec::new(),
        _ => store.list(&List::of(super::SPACE, &row.scope).parent(domain)).await?,
    };
    let mut owned = false;
    for space in &spaces {
        let of: Record = space.body()?;
        let owner = of.at(&["OwnershipSettings", "OwnerUserProfileName"]).and_then(Value::as_str).unwrap_or_default();
        owned |= row.kind == super::DOMAIN || owner.eq_ignore_ascii_case(&row.name);
    }
    let profiles =
        row.kind == super::DOMAIN && !store.list(&List::of(super::PROFILE, &row.scope).parent(domain).limit(1)).await?.is_empty();
    Ok(match (profiles, held, owned) {
        (true, ..) => Some("UserProfile(s)"),
        (_, true, _) => Some("App(s)"),
        (_, _, true) => Some("Space(s)"),
        _ => None,
    })
}

/// AWS's sentence for what cannot be deleted yet.
pub(super) fn held(kind: Kind, arn: &str, by: &str) -> String {
    format!("Unable to delete {} [{arn}] because {by} are associated with it.", noun(kind))
}

/// Marks a thing as going, if nothing hangs on it; the reconciler looks once more and removes it.
///
/// # Errors
/// `ResourceNotFound`, `ResourceInUse`.
pub(super) async fn delete(cx: &Cx, kind: Kind, scope: &Scope, arn: &Arn) -> Result<()> {
    let (row, mut record) = find(&cx.kernel, kind, scope, arn).await?;
    if matches!(row.status.as_str(), "Deleting" | "Pending") {
        return Err(busy(kind, &record.arn, &row.status));
    }
    if let Some(by) = dependants(&cx.kernel, &row).await? {
        return Err(in_use(held(kind, &record.arn, by)));
    }
    record.failure = None;
    change(cx, row, "Deleting", &record).await
}
