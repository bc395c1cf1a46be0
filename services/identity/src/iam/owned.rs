//! What users have besides access keys: password, MFA devices, SSH keys, certificates, service credentials.
//!
//! Their rows name the user by its unique id, so that renaming a user changes none of them and a later user
//! of the same name has none of them. Making one holds the user's row; deleting a user requires that there is
//! none: of the two at once one fails.

use serde::{Deserialize, de::DeserializeOwned};
use tenantry_core::{AwsError, Result, Scope};
use tenantry_kernel::{
    Checks, Cx,
    directory::{User, kind},
};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use super::{
    entity, error,
    users::{meant, resolve_own},
};

/// The kinds, and what DeleteUser answers where there is one of it.
const KINDS: [(Kind, &str); 5] = [
    (kind::LOGIN, "Cannot delete entity, must delete login profile first."),
    (kind::MFA_DEVICE, "Cannot delete entity, must delete MFA device first."),
    (kind::SIGNING_CERTIFICATE, "Cannot delete entity, must delete certificates first."),
    (kind::SSH_KEY, "Cannot delete entity, must remove referenced objects first."),
    (kind::SERVICE_CREDENTIAL, "Cannot delete entity, must remove referenced objects first."),
];

/// A user who is about to get something.
pub(crate) struct Owner {
    row: Row,
    pub user: User,
}

impl Owner {
    /// The user of this name, or the caller.
    ///
    /// # Errors
    /// `NoSuchEntity`, `ValidationError`.
    pub(crate) async fn find(cx: &Cx, scope: &Scope, name: Option<&String>) -> Result<Self> {
        let name = meant(cx, name)?;
        let (row, user) = entity::find::<User>(cx, scope, &name).await?.ok_or_else(|| error::not_found("user", &name))?;
        Ok(Self { row, user })
    }

    /// Lets the batch fail where the user has changed; its row is written anew, so that of two requests at
    /// once one counts what the other made.
    pub(crate) fn hold(&self, batch: &mut Batch) {
        batch.update(self.row.clone());
    }

    /// What the user has of a kind, with the rows.
    ///
    /// # Errors
    /// Internal.
    pub(crate) async fn all<T: DeserializeOwned>(&self, cx: &Cx, kind: Kind) -> Result<Vec<(Row, T)>> {
        let rows = cx.kernel.store().list(&List::of(kind, &self.row.scope).parent(&self.user.id)).await?;
        rows.into_iter().map(|row| Ok((row.clone(), row.body()?))).collect()
    }

    /// One of a kind by its id, where it is this user's.
    ///
    /// # Errors
    /// Internal.
    pub(crate) async fn one<T: DeserializeOwned>(&self, cx: &Cx, kind: Kind, id: &str) -> Result<Option<(Row, T)>> {
        let row = cx.kernel.store().get(kind, &self.row.scope, id).await?.filter(|row| row.parent == self.user.id);
        row.map(|row| Ok((row.clone(), row.body()?))).transpose()
    }

    /// A new row of a kind.
    pub(crate) fn row(&self, cx: &Cx, kind: Kind, id: &str) -> Row {
        Row::new(kind, &self.row.scope, id, cx.now()).parent(&self.user.id)
    }
}

/// What lists of a user's things take.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    pub user_name: Option<String>,
    pub marker: Option<String>,
    pub max_items: Option<usize>,
}

/// Lists are checked on the user.
pub(crate) async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

/// The status that a call asks for.
///
/// # Errors
/// `ValidationError`.
pub(crate) fn status(given: &str) -> Result<String> {
    // The model also has Expired, which only time brings about.
    if matches!(given, "Active" | "Inactive") { Ok(given.to_owned()) } else { Err(error::validation("Status must be Active or Inactive.")) }
}

/// Lets a batch that deletes a user fail where the user has any of it.
pub(crate) fn require_none(batch: &mut Batch, scope: &Scope, user: &User) {
    for (kind, _) in KINDS {
        batch.require_none(kind, scope, &user.id);
    }
}

/// What DeleteUser answers where there was something of a kind.
pub(crate) fn conflict(kind: Kind) -> AwsError {
    let text = KINDS.iter().find(|(of, _)| *of == kind).map_or("Cannot delete entity, must delete access keys first.", |(_, text)| text);
    error::delete_conflict(text)
}

/// Lets a batch fail where a row has changed.
pub(crate) fn delete(batch: &mut Batch, row: &Row) {
    batch.delete(row.kind, &row.scope, &row.id, Expect::Version(row.version));
}
