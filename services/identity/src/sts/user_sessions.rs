//! GetSessionToken and GetFederationToken: a user's temporary credentials for itself, and for others.
//!
//! Both need long-term credentials of a user. Root users have no keys on this instance. Whoever gives
//! GetSessionToken a code of an MFA device has `aws:MultiFactorAuthPresent` with what comes of it.
//!
//! Issuing rewrites the user's row, unchanged, so that a DeleteUser at the same time notices.

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{Arn, Result, Tag, Timestamp};
use tenantry_kernel::{
    Access, Check, Checks, Cx, Operation, OperationRow, Permit, Reply,
    directory::{Session, SessionKind, User, kind},
    session_tags,
};
use tenantry_policy::PrincipalKind;
use tenantry_store::{Batch, Row};

use super::{credentials, error, packed};
use crate::iam;
use tenantry_kernel::operation;

/// Seconds where DurationSeconds is not given: twelve hours.
const HALF_DAY: u32 = 43_200;

/// Only users with long-term keys.
fn long_term(cx: &Cx, operation: &str) -> Result<()> {
    if cx.caller.principal.kind == PrincipalKind::User && cx.caller.session.is_none() {
        return Ok(());
    }
    Err(error::access_denied(format!("Cannot call {operation} with session credentials")))
}

async fn own_row(cx: &Cx, permit_scope: &tenantry_core::Scope) -> Result<(Row, User)> {
    let name = cx.caller.user_name.as_deref().unwrap_or_default();
    let row = cx.kernel.store().get(kind::USER, permit_scope, &iam::entity::row_id(name)).await?;
    let row = row.ok_or_else(|| iam::error::not_found("user", name))?;
    let user = row.body()?;
    Ok((row, user))
}

fn blank(cx: &Cx, kind: SessionKind, arn: Arn, now: Timestamp, seconds: u32) -> Session {
    Session {
        access_key: String::new(),
        account: cx.caller.account.clone(),
        kind,
        arn,
        user_id: cx.caller.user_id.clone(),
        name: String::new(),
        issued: now,
        expires: now.plus_secs(i64::from(seconds)),
        tags: cx.caller.tags.clone(),
        transitive: Vec::new(),
        source_identity: None,
        policies: None,
        chained: false,
        mfa: false,
        mfa_at: None,
        service: None,
        source_arn: None,
        federation: None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SessionInput {
    duration_seconds: Option<u32>,
    serial_number: Option<String>,
    token_code: Option<String>,
}

/// `sts:GetSessionToken`
pub(crate) struct GetSessionToken;

impl Operation for GetSessionToken {
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "GetSessionToken";
    const ACCESS: Access = Access::CallerOnly("no permission is needed: it authenticates a user again, with nothing gained");
    type Input = SessionInput;

    async fn resolve(_: &Cx, _: &SessionInput) -> Result<Checks> {
        Ok(Checks::none())
    }
    async fn handle(cx: &Cx, permit: Permit<Self>, input: SessionInput) -> Result<Reply> {
        session_token(cx, permit, input).await
    }
}

async fn session_token(cx: &Cx, permit: Permit<GetSessionToken>, input: SessionInput) -> Result<Reply> {
    long_term(cx, "GetSessionToken")?;
    let mfa_at = iam::mfa_codes::of_caller(cx, input.serial_number.as_ref(), input.token_code.as_ref()).await?;
    for _ in 0..iam::entity::ATTEMPTS {
        let (row, user) = own_row(cx, &permit.global()).await?;
        let session = Session {
            name: user.name.clone(),
            user_id: user.id.clone(),
            mfa: mfa_at.is_some(),
            mfa_at,
            ..blank(cx, SessionKind::User { user: row.id.clone() }, user.arn.clone(), cx.now(), input.duration_seconds.unwrap_or(HALF_DAY))
        };
        let mut batch = Batch::new();
        batch.update(row);
        if let Some(credentials) = credentials::issue(cx, session, batch).await? {
            return Ok(json!({ "Credentials": credentials }).into());
        }
    }
    Err(iam::error::concurrent())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FederationInput {
    name: String,
    policy: Option<String>,
    #[serde(default)]
    policy_arns: Vec<packed::PolicyDescriptor>,
    duration_seconds: Option<u32>,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve_federation(cx: &Cx, action: &'static str, input: &FederationInput) -> Result<Checks> {
    long_term(cx, "GetFederationToken")?;
    let arn = Arn::new("sts", "", cx.caller.account.as_str(), format!("federated-user/{}", input.name));
    let check = |action: &'static str| Check::on(action, arn.clone()).request_tags(&input.tags);
    Ok(Checks::from(check(action)).and_if((!input.tags.is_empty()).then(|| check("sts:TagSession"))))
}

async fn federation_token(cx: &Cx, permit: Permit<GetFederationToken>, input: FederationInput) -> Result<Reply> {
    packed::check_tags(&input.tags)?;
    let account = permit.account().clone();
    let packed = packed::pack(cx, &account, input.policy.as_deref(), &input.policy_arns, &input.tags).await?;
    let arn = Arn::new("sts", "", account.as_str(), format!("federated-user/{}", input.name));
    let user_id = format!("{account}:{}", input.name);
    for _ in 0..iam::entity::ATTEMPTS {
        let (row, user) = own_row(cx, &permit.global()).await?;
        let session = Session {
            name: input.name.clone(),
            user_id: user_id.clone(),
            tags: session_tags(&user.tags, &input.tags, &[]),
            policies: packed.policies.clone(),
            ..blank(cx, SessionKind::Federated { user: row.id.clone() }, arn.clone(), cx.now(), input.duration_seconds.unwrap_or(HALF_DAY))
        };
        let mut batch = Batch::new();
        batch.update(row);
        if let Some(credentials) = credentials::issue(cx, session, batch).await? {
            let mut output = json!({ "Credentials": credentials, "FederatedUser": { "FederatedUserId": user_id, "Arn": arn } });
            if packed.percent > 0 {
                output["PackedPolicySize"] = json!(packed.percent);
            }
            return Ok(output.into());
        }
    }
    Err(iam::error::concurrent())
}

operation!("sts", GetFederationToken, ["federated-user", "user"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["sts:TagSession"], FederationInput, resolve_federation, federation_token);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<GetSessionToken>(), OperationRow::of::<GetFederationToken>()];
