//! Access keys of users: Create, Update, Delete, List, and when one was last used.
//!
//! The secret is answered once, by CreateAccessKey; no other operation reads it. A key that was never used
//! has AWS's `N/A` for a service and a region, and no time.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AccountId, Result, Scope};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{self, AccessKey, User, kind},
};
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    entity::{self, row_id},
    error, last_used, quota,
    users::{OwnInput, keys_of, meant, resolve_own},
};
use tenantry_kernel::operation;

async fn resolve(cx: &Cx, action: &'static str, input: &OwnInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

/// Adds a new key of `user` (a row id) to a batch and answers its id and secret.
///
/// # Errors
/// Internal, when the key is not JSON.
pub(crate) fn add(
    batch: &mut Batch,
    scope: &Scope,
    user: &str,
    now: tenantry_core::Timestamp,
) -> Result<(AccessKey, tenantry_core::Secret<String>)> {
    let key = AccessKey { id: Ids::access_key("AKIA"), user: user.to_owned(), status: "Active".to_owned(), created: now };
    let secret = Ids::secret_key();
    batch.claim_unique(directory::ACCESS_KEY_NAMES, key.id.clone(), scope.account.to_string());
    batch.put_secret(directory::secret_id(&key.id), secret.clone());
    batch.put(Row::new(kind::ACCESS_KEY, scope, key.id.clone(), now).parent(user).with(&key)?, Expect::Absent);
    Ok((key, secret))
}

async fn create(cx: &Cx, permit: Permit<CreateAccessKey>, input: OwnInput) -> Result<Reply> {
    let scope = permit.global();
    let name = meant(cx, input.user_name.as_ref())?;
    for _ in 0..entity::ATTEMPTS {
        let (row, user) = entity::find::<User>(cx, &scope, &name).await?.ok_or_else(|| error::not_found("user", &name))?;
        if keys_of(cx, &scope, &row.id).await?.len() >= quota::ACCESS_KEYS {
            return Err(error::quota("AccessKeysPerUser", quota::ACCESS_KEYS));
        }
        let mut batch = Batch::new();
        // The user's row is rewritten so that of two requests at once one counts the other's key.
        let user_row = row.id.clone();
        batch.update(row);
        let (key, secret) = add(&mut batch, &scope, &user_row, cx.now())?;
        match cx.commit(batch).await {
            Ok(()) => {
                return Ok(json!({ "AccessKey": {
                    "UserName": user.name, "AccessKeyId": key.id, "Status": key.status,
                    "SecretAccessKey": secret.expose(), "CreateDate": key.created,
                } })
                .into());
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyInput {
    user_name: Option<String>,
    access_key_id: String,
    #[serde(default)]
    status: String,
}

async fn resolve_key(cx: &Cx, action: &'static str, input: &KeyInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

/// A key of this user.
async fn find(cx: &Cx, scope: &Scope, input: &KeyInput) -> Result<(Row, AccessKey)> {
    let name = meant(cx, input.user_name.as_ref())?;
    let user: User = entity::get(cx, scope, &name).await?;
    let missing = || error::no_such_entity(format!("The Access Key with id {} cannot be found.", input.access_key_id));
    let row = cx.kernel.store().get(kind::ACCESS_KEY, scope, &input.access_key_id).await?.ok_or_else(missing)?;
    let key: AccessKey = row.body()?;
    if key.user == row_id(&user.name) { Ok((row, key)) } else { Err(missing()) }
}

async fn update(cx: &Cx, permit: Permit<UpdateAccessKey>, input: KeyInput) -> Result<Reply> {
    if !matches!(input.status.as_str(), "Active" | "Inactive") {
        return Err(error::validation("Status must be Active or Inactive."));
    }
    let (mut row, mut key) = find(cx, &permit.global(), &input).await?;
    key.status.clone_from(&input.status);
    row.set_body(&key)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeleteAccessKey>, input: KeyInput) -> Result<Reply> {
    let scope = permit.global();
    let (row, key) = find(cx, &scope, &input).await?;
    let mut batch = Batch::new();
    batch.delete(kind::ACCESS_KEY, &scope, key.id.clone(), Expect::Version(row.version));
    batch.release_unique(directory::ACCESS_KEY_NAMES, key.id.clone());
    batch.delete_secret(directory::secret_id(&key.id));
    last_used::forget_key(&mut batch, &scope, &key.id);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

async fn list(cx: &Cx, permit: Permit<ListAccessKeys>, input: ListInput) -> Result<Reply> {
    let scope = permit.global();
    let user: User = entity::get(cx, &scope, &meant(cx, input.user_name.as_ref())?).await?;
    let mut items = Vec::new();
    for row in keys_of(cx, &scope, &row_id(&user.name)).await? {
        let key: AccessKey = row.body()?;
        let value = json!({ "UserName": user.name, "AccessKeyId": key.id, "Status": key.status, "CreateDate": key.created });
        items.push((format!("{:016}{}", key.created.millis(), key.id), value));
    }
    entity::answer("AccessKeyMetadata", items, input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LastUsedInput {
    access_key_id: String,
}

/// The key's user where the key is of the caller's account; else nothing is told.
async fn owner(cx: &Cx, account: &AccountId, id: &str) -> Result<Option<User>> {
    let scope = Scope::global(account.clone());
    let Some(row) = cx.kernel.store().get(kind::ACCESS_KEY, &scope, id).await? else { return Ok(None) };
    let key: AccessKey = row.body()?;
    Ok(entity::find::<User>(cx, &scope, &key.user).await?.map(|(_, user)| user))
}

async fn resolve_last_used(cx: &Cx, action: &'static str, input: &LastUsedInput) -> Result<Checks> {
    Ok(match owner(cx, &cx.caller.account, &input.access_key_id).await? {
        Some(user) => Check::on(action, user.arn),
        None => Check::any(action),
    }
    .into())
}

async fn used(cx: &Cx, permit: Permit<GetAccessKeyLastUsed>, input: LastUsedInput) -> Result<Reply> {
    let missing = || error::no_such_entity(format!("The Access Key with id {} cannot be found.", input.access_key_id));
    let user = owner(cx, permit.account(), &input.access_key_id).await?.ok_or_else(missing)?;
    let shown = match last_used::key(cx, &permit.global(), &input.access_key_id).await? {
        Some(used) => json!({ "LastUsedDate": used.time, "ServiceName": used.service, "Region": used.region }),
        None => json!({ "ServiceName": "N/A", "Region": "N/A" }),
    };
    Ok(json!({ "UserName": user.name, "AccessKeyLastUsed": shown }).into())
}

operation!("iam", CreateAccessKey, ["user"], OwnInput, resolve, create);
operation!("iam", UpdateAccessKey, ["user"], KeyInput, resolve_key, update);
operation!("iam", DeleteAccessKey, ["user"], KeyInput, resolve_key, delete);
operation!("iam", ListAccessKeys, ["user"], ListInput, resolve_list, list);
operation!("iam", GetAccessKeyLastUsed, ["user"], LastUsedInput, resolve_last_used, used);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateAccessKey>(),
    OperationRow::of::<UpdateAccessKey>(),
    OperationRow::of::<DeleteAccessKey>(),
    OperationRow::of::<ListAccessKeys>(),
    OperationRow::of::<GetAccessKeyLastUsed>(),
];
