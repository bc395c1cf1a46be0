//! Users: Create, Get, Update, Delete, List.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, AwsError, Result, Scope, Tag};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{AccessKey, Session, SessionKind, User, kind},
};
use tenantry_policy::PrincipalKind;
use tenantry_store::{Batch, CommitError, Expect, List, Row};

use super::{
    entity::{self, Entity, EntityInput, ListInput, arn_of, row_id},
    error, last_used, owned, policies,
    render::{self, Detail},
    tags,
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    path: Option<String>,
    user_name: String,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = arn_of::<User>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.user_name);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagUser", arn.clone()).request_tags(&input.tags));
    let check = Check::on(action, arn).request_tags(&input.tags);
    Ok(Checks::from(check.key_if("iam:PermissionsBoundary", input.permissions_boundary.as_deref())).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateUser>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let scope = permit.global();
    let mut batch = Batch::new();
    if let Some(boundary) = &input.permissions_boundary {
        policies::attachable(cx, &scope, boundary).await?.hold(&mut batch);
    }
    let path = input.path.unwrap_or_else(|| "/".to_owned());
    let user = User {
        id: Ids::unique("AIDA"),
        arn: arn_of::<User>(permit.account(), &path, &input.user_name),
        name: input.user_name,
        path,
        created: cx.now(),
        policies: tenantry_kernel::directory::Policies::default(),
        boundary: input.permissions_boundary,
        groups: Vec::new(),
        tags: input.tags,
    };
    let user = entity::create(cx, &scope, user, batch).await?;
    Ok(json!({ "User": render::user(&user, Detail::Full) }).into())
}

/// Operations whose UserName may be left out: the caller then is meant.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OwnInput {
    pub user_name: Option<String>,
}

/// The user that is meant.
///
/// # Errors
/// `ValidationError` where no name is given and the caller is no user.
pub(crate) fn meant(cx: &Cx, name: Option<&String>) -> Result<String> {
    name.or(cx.caller.user_name.as_ref())
        .cloned()
        .ok_or_else(|| error::validation("Must specify userName when calling with non-User credentials"))
}

pub(crate) async fn resolve_own(cx: &Cx, action: &'static str, name: Option<&String>) -> Result<Checks> {
    if name.is_none() && cx.caller.principal.kind == PrincipalKind::Root {
        return Ok(Check::on(action, cx.global_arn("iam", "root")).into());
    }
    Ok(entity::on::<User>(cx, action, &meant(cx, name)?).await?.into())
}

async fn resolve_get(cx: &Cx, action: &'static str, input: &OwnInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

async fn get(cx: &Cx, permit: Permit<GetUser>, input: OwnInput) -> Result<Reply> {
    let scope = permit.global();
    if input.user_name.is_none() && cx.caller.principal.kind == PrincipalKind::Root {
        let account = crate::account::get(cx.kernel.store(), permit.account()).await?;
        let created = account.map(|account| account.joined).unwrap_or_default();
        let arn = Arn::new("iam", "", permit.account().as_str(), "root");
        return Ok(json!({ "User": {
            "Path": "/", "UserName": "root", "UserId": permit.account(), "Arn": arn, "CreateDate": created,
        } })
        .into());
    }
    let user: User = entity::get(cx, &scope, &meant(cx, input.user_name.as_ref())?).await?;
    Ok(json!({ "User": render::user(&user, Detail::Full) }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInput {
    user_name: String,
    new_path: Option<String>,
    new_user_name: Option<String>,
}

async fn resolve_update(cx: &Cx, action: &'static str, input: &UpdateInput) -> Result<Checks> {
    let check = entity::on::<User>(cx, action, &input.user_name).await?;
    let found = entity::find::<User>(cx, &cx.global(), &input.user_name).await?;
    let path = input.new_path.clone().or(found.map(|(_, user)| user.path)).unwrap_or_else(|| "/".to_owned());
    let target = arn_of::<User>(&cx.caller.account, &path, input.new_user_name.as_ref().unwrap_or(&input.user_name));
    // Permission is needed on the user under both names.
    Ok(Checks::from(check).and(Check::on(action, target)))
}

async fn update(cx: &Cx, permit: Permit<UpdateUser>, input: UpdateInput) -> Result<Reply> {
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let Some((row, mut user)) = entity::find::<User>(cx, &scope, &input.user_name).await? else {
            return Err(User::missing(&input.user_name));
        };
        let (old, old_arn) = (row_id(&user.name), user.arn.clone());
        user.path = input.new_path.clone().unwrap_or(user.path);
        user.name = input.new_user_name.clone().unwrap_or(user.name);
        user.arn = arn_of::<User>(permit.account(), &user.path, &user.name);
        let mut batch = Batch::new();
        let mut new = entity::row_of(&scope, &user, cx.now())?;
        new.created = row.created;
        if new.id == old {
            batch.put(new, Expect::Version(row.version));
        } else {
            if entity::find::<User>(cx, &scope, &user.name).await?.is_some() {
                return Err(User::taken(&user.name));
            }
            batch.delete(kind::USER, &scope, &old, Expect::Version(row.version));
            batch.put(new, Expect::Absent);
            rename_credentials(cx, &scope, &old, &row_id(&user.name), &mut batch).await?;
        }
        batch.set_tags(old_arn.as_str(), Vec::new()).set_tags(user.arn.as_str(), user.tags.clone());
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

/// Keys and sessions name their user by its row: they go with it to its new name.
async fn rename_credentials(cx: &Cx, scope: &Scope, old: &str, new: &str, batch: &mut Batch) -> Result<()> {
    for mut row in keys_of(cx, scope, old).await? {
        let mut key: AccessKey = row.body()?;
        new.clone_into(&mut key.user);
        row.set_body(&key)?;
        row.parent = new.to_owned();
        batch.update(row);
    }
    for (mut row, mut session) in sessions_of(cx, scope, old).await? {
        if let SessionKind::Federated { user } | SessionKind::User { user } = &mut session.kind {
            new.clone_into(user);
        }
        row.set_body(&session)?;
        batch.update(row);
    }
    Ok(())
}

/// The rows of a user's access keys.
pub(crate) async fn keys_of(cx: &Cx, scope: &Scope, user: &str) -> Result<Vec<Row>> {
    Ok(cx.kernel.store().list(&List::of(kind::ACCESS_KEY, scope).parent(user)).await?)
}

async fn sessions_of(cx: &Cx, scope: &Scope, id: &str) -> Result<Vec<(Row, Session)>> {
    let mut found = Vec::new();
    for row in cx.kernel.store().list(&List::of(kind::SESSION, scope)).await? {
        let session: Session = row.body()?;
        if matches!(&session.kind, SessionKind::Federated { user } | SessionKind::User { user } if user == id) {
            found.push((row, session));
        }
    }
    Ok(found)
}

fn deletable(user: &User) -> std::result::Result<(), AwsError> {
    if !user.policies.attached.is_empty() {
        return Err(error::delete_conflict("Cannot delete entity, must detach all policies first."));
    }
    if !user.policies.inline.is_empty() {
        return Err(error::delete_conflict("Cannot delete entity, must delete policies first."));
    }
    if !user.groups.is_empty() {
        return Err(error::delete_conflict("Cannot delete entity, must remove users from group first."));
    }
    Ok(())
}

async fn delete(cx: &Cx, permit: Permit<DeleteUser>, input: EntityInput) -> Result<Reply> {
    let scope = permit.global();
    for _ in 0..entity::ATTEMPTS {
        let Some((row, user)) = entity::find::<User>(cx, &scope, &input.entity).await? else { return Err(User::missing(&input.entity)) };
        deletable(&user)?;
        let mut batch = Batch::new();
        batch.delete(kind::USER, &scope, row.id.clone(), Expect::Version(row.version));
        batch.require_none(kind::ACCESS_KEY, &scope, row.id.clone());
        owned::require_none(&mut batch, &scope, &user);
        batch.set_tags(user.arn.as_str(), Vec::new());
        last_used::forget_principal(cx, &mut batch, &scope, &user.id).await?;
        // Sessions name their user: they must not become those of the next user of this name.
        for (session, _) in sessions_of(cx, &scope, &row.id).await? {
            batch.delete(kind::SESSION, &scope, session.id, Expect::Any);
        }
        match cx.commit(batch).await {
            Ok(()) => return Ok(Reply::empty()),
            Err(CommitError::NotEmpty { kind, .. }) => return Err(owned::conflict(kind)),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

async fn list(cx: &Cx, permit: Permit<ListUsers>, input: ListInput) -> Result<Reply> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let users = entity::all::<User>(cx, &permit.global()).await?;
    let items =
        users.iter().filter(|user| user.path.starts_with(prefix)).map(|user| (row_id(&user.name), render::user(user, Detail::Listed)));
    entity::answer("Users", items.collect(), input.marker.as_deref(), input.max_items)
}

operation!("iam", CreateUser, ["user"] + ["iam:PermissionsBoundary", "aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagUser"], CreateInput, resolve_create, create);
operation!("iam", GetUser, ["user"], OwnInput, resolve_get, get);
operation!("iam", UpdateUser, ["user"], UpdateInput, resolve_update, update);
operation!("iam", DeleteUser, ["user"], EntityInput, entity::resolve::<User>, delete);
operation!("iam", ListUsers, ["*"], ListInput, entity::resolve_list::<User>, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateUser>(),
    OperationRow::of::<GetUser>(),
    OperationRow::of::<UpdateUser>(),
    OperationRow::of::<DeleteUser>(),
    OperationRow::of::<ListUsers>(),
];
