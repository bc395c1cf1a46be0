//! Login profiles: a user's password. Create, Get, Update, Delete, and ChangePassword by the user.
//!
//! The profile is a row, the password a secret beside it ([`super::password`]). Nobody signs in with it yet: this
//! instance has no console, so that no time of a last use of a password is known.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, OperationRow, Permit, Reply,
    directory::{User, kind},
};
use tenantry_policy::PrincipalKind;
use tenantry_store::{Batch, CommitError, Expect, Row};

use super::{
    attempts::{self, Tried},
    error,
    owned::{self, Owner},
    password::{self, Kept},
    password_policy, settings,
    users::{OwnInput, resolve_own},
};
use tenantry_kernel::operation;

/// A user's password, without it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// When it was made.
    pub created: Timestamp,
    /// When the password was last set.
    pub changed: Timestamp,
    /// Whether the user has to set another one at the next sign-in.
    pub reset_required: bool,
}

fn secret(user: &User) -> String {
    format!("password/{}", user.id)
}

/// What tries at a user's password are counted under.
fn tries(user: &User) -> String {
    format!("password/{}", user.id)
}

fn missing(user: &User) -> AwsError {
    error::no_such_entity(format!("Login Profile for User {} cannot be found.", user.name))
}

fn violation(text: impl Into<String>) -> AwsError {
    AwsError::new(400, "PasswordPolicyViolation", text)
}

/// Holds a new password against the account's rules and puts it in force in `kept`.
async fn set(cx: &Cx, scope: &Scope, user: &User, kept: &mut Kept, password: &str) -> Result<()> {
    let rules = password_policy::rules(cx, scope).await?;
    let account = settings::shown_name(cx, scope).await?;
    if let Some(text) = password::fault(rules.as_ref(), password, &[&account, scope.account.as_str(), &user.name]) {
        return Err(violation(text));
    }
    let hash = kept.hash(password).await?;
    let reuse = rules.and_then(|rules| rules.password_reuse_prevention).unwrap_or(0);
    if kept.has(&hash, reuse) {
        return Err(violation(format!("Password should be none of the last {reuse}")));
    }
    kept.set(&hash);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProfileInput {
    user_name: Option<String>,
    password: Option<String>,
    password_reset_required: Option<bool>,
}

async fn resolve(cx: &Cx, action: &'static str, input: &ProfileInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

async fn resolve_named(cx: &Cx, action: &'static str, input: &OwnInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

/// The user's profile.
pub(crate) async fn of(cx: &Cx, owner: &Owner) -> Result<Option<(Row, Login)>> {
    owner.one(cx, kind::LOGIN, &owner.user.id).await
}

async fn kept(cx: &Cx, user: &User) -> Result<Kept> {
    let stored = cx.kernel.store().secret(&secret(user)).await?;
    Kept::read(&stored.ok_or_else(|| AwsError::internal("a login profile has no password"))?)
}

async fn create(cx: &Cx, permit: Permit<CreateLoginProfile>, input: ProfileInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, input.user_name.as_ref()).await?;
    let user = &owner.user;
    let taken = || error::already_exists(format!("Login Profile for user {} already exists.", user.name));
    if of(cx, &owner).await?.is_some() {
        return Err(taken());
    }
    let given = input.password.as_deref().ok_or_else(|| error::validation("Password must be given: root users have none here."))?;
    let mut kept = Kept::new()?;
    set(cx, &scope, user, &mut kept, given).await?;
    let login = Login { created: cx.now(), changed: cx.now(), reset_required: input.password_reset_required.unwrap_or(false) };
    let mut batch = Batch::new();
    owner.hold(&mut batch);
    batch.put(owner.row(cx, kind::LOGIN, &user.id).with(&login)?, Expect::Absent);
    batch.put_secret(secret(user), kept.text()?);
    match cx.commit(batch).await {
        Ok(()) => Ok(json!({ "LoginProfile": shown(user, &login) }).into()),
        Err(CommitError::Conflict { kind: kind::LOGIN, .. }) => Err(taken()),
        Err(other) => Err(error::lost(other)),
    }
}

fn shown(user: &User, login: &Login) -> serde_json::Value {
    json!({ "UserName": user.name, "CreateDate": login.created, "PasswordResetRequired": login.reset_required })
}

async fn get(cx: &Cx, permit: Permit<GetLoginProfile>, input: OwnInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.user_name.as_ref()).await?;
    let (_, login) = of(cx, &owner).await?.ok_or_else(|| missing(&owner.user))?;
    Ok(json!({ "LoginProfile": shown(&owner.user, &login) }).into())
}

async fn update(cx: &Cx, permit: Permit<UpdateLoginProfile>, input: ProfileInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, input.user_name.as_ref()).await?;
    let (mut row, mut login) = of(cx, &owner).await?.ok_or_else(|| missing(&owner.user))?;
    let mut batch = Batch::new();
    if let Some(given) = &input.password {
        let mut kept = kept(cx, &owner.user).await?;
        set(cx, &scope, &owner.user, &mut kept, given).await?;
        login.changed = cx.now();
        batch.put_secret(secret(&owner.user), kept.text()?);
        attempts::forget(&mut batch, &scope, &tries(&owner.user));
    }
    login.reset_required = input.password_reset_required.unwrap_or(login.reset_required);
    row.set_body(&login)?;
    batch.update(row.at(cx.now()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeleteLoginProfile>, input: OwnInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, input.user_name.as_ref()).await?;
    let (row, _) = of(cx, &owner).await?.ok_or_else(|| missing(&owner.user))?;
    let mut batch = Batch::new();
    owned::delete(&mut batch, &row);
    batch.delete_secret(secret(&owner.user));
    attempts::forget(&mut batch, &scope, &tries(&owner.user));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeInput {
    old_password: String,
    new_password: String,
}

/// 400: who is no user has no password.
fn no_user() -> AwsError {
    AwsError::new(400, "InvalidUserType", "Only IAM Users can change their own password")
}

async fn resolve_change(cx: &Cx, action: &'static str, _: &ChangeInput) -> Result<Checks> {
    // Others than users are asked for nobody's permission: `handle` refuses them.
    if cx.caller.principal.kind != PrincipalKind::User {
        return Ok(Check::any(action).into());
    }
    resolve_own(cx, action, None).await
}

async fn change(cx: &Cx, permit: Permit<ChangePassword>, input: ChangeInput) -> Result<Reply> {
    if cx.caller.principal.kind != PrincipalKind::User {
        return Err(no_user());
    }
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, None).await?;
    let user = &owner.user;
    let (mut row, mut login) = of(cx, &owner).await?.ok_or_else(|| missing(user))?;
    let mut kept = kept(cx, user).await?;
    let old = kept.hash(&input.old_password).await?;
    match attempts::attempt(cx, &scope, &tries(user), |_| kept.has(&old, 1).then_some(0)).await? {
        Tried::Good(_) => {}
        Tried::Wrong => return Err(AwsError::new(403, "AccessDenied", "The old password was incorrect.")),
        Tried::Wait(seconds) => {
            let text = format!("Too many wrong passwords of this user. Try again in {seconds} seconds.");
            return Err(AwsError::new(403, "AccessDenied", text));
        }
    }
    if let Some(rules) = password_policy::rules(cx, &scope).await?
        && rules.hard_expiry == Some(true)
        && expires(&login, rules.max_password_age).is_some_and(|end| end <= cx.now())
    {
        return Err(AwsError::new(403, "AccessDenied", "The password has expired: ask an administrator to set a new one."));
    }
    set(cx, &scope, user, &mut kept, &input.new_password).await?;
    (login.changed, login.reset_required) = (cx.now(), false);
    row.set_body(&login)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    batch.put_secret(secret(user), kept.text()?);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

/// When a password has to be changed, where passwords age; `days` is what they may live.
pub(crate) fn expires(login: &Login, days: Option<i64>) -> Option<Timestamp> {
    days.map(|days| login.changed.plus_secs(days * 86_400))
}

operation!("iam", CreateLoginProfile, ["user"], ProfileInput, resolve, create);
operation!("iam", GetLoginProfile, ["user"], OwnInput, resolve_named, get);
operation!("iam", UpdateLoginProfile, ["user"], ProfileInput, resolve, update);
operation!("iam", DeleteLoginProfile, ["user"], OwnInput, resolve_named, delete);
operation!("iam", ChangePassword, ["user"], ChangeInput, resolve_change, change);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateLoginProfile>(),
    OperationRow::of::<GetLoginProfile>(),
    OperationRow::of::<UpdateLoginProfile>(),
    OperationRow::of::<DeleteLoginProfile>(),
    OperationRow::of::<ChangePassword>(),
];
