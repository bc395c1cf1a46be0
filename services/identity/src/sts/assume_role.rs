//! AssumeRole: another identity for a while, if its trust policy says so.
//!
//! The trust policy is a resource-based policy that must itself allow; naming the account only
//! delegates to the caller's identity policies, naming the caller is enough in the same account, and
//! across accounts both sides must allow. Tags need `sts:TagSession`, a source identity
//! `sts:SetSourceIdentity`, as requests of their own in the same context.
//! Source: "AssumeRole", STS API Reference; "Passing session tags in AWS STS"; "Monitor and control
//! actions taken with assumed roles".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tenantry_core::{AccountId, Arn, AwsError, Result, Scope, Tag};
use tenantry_kernel::{
    Check, Checks, Cx, OperationRow, Permit, Reply,
    directory::{Role, Session, SessionKind, kind},
    session_tags,
};
use tenantry_policy::{PolicyKind, PrincipalKind, rewrite_principals};
use tenantry_store::{Batch, Expect, Row};

use super::{credentials, error, packed};
use crate::iam;
use tenantry_kernel::operation;

/// Seconds, where DurationSeconds is not given; and the most in a role chain.
const HOUR: u32 = 3600;

/// Trusts an account that cannot exist: account ids here do not begin with a zero. It stands in for
/// the trust policy of a role that is not there, so that the answer does not tell it from one that
/// does not trust the caller.
pub(super) const NOBODY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}"#;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    role_arn: String,
    role_session_name: String,
    #[serde(default)]
    policy_arns: Vec<packed::PolicyDescriptor>,
    policy: Option<String>,
    duration_seconds: Option<u32>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    transitive_tag_keys: Vec<String>,
    external_id: Option<String>,
    source_identity: Option<String>,
    serial_number: Option<String>,
    token_code: Option<String>,
    #[serde(default)]
    provided_contexts: Vec<serde_json::Value>,
}

/// The caller's session, where it is a role's: then this call chains roles.
fn chain(cx: &Cx) -> Option<&Session> {
    cx.caller.session.as_deref().filter(|session| matches!(session.kind, SessionKind::Role { .. }))
}

/// The caller's session, where it is GetSessionToken's: the role's session is authenticated as it is. Roles do
/// not hand on that a code was given for them.
fn users_own(cx: &Cx) -> Option<&Session> {
    cx.caller.session.as_deref().filter(|session| matches!(session.kind, SessionKind::User { .. }))
}

/// Tags that the caller's session hands on.
fn inherited(cx: &Cx) -> Vec<Tag> {
    let Some(session) = chain(cx) else { return Vec::new() };
    let handed_on = |tag: &&Tag| session.transitive.iter().any(|key| key.to_lowercase() == tag.key.to_lowercase());
    session.tags.iter().filter(handed_on).cloned().collect()
}

fn inherited_identity(cx: &Cx) -> Option<&str> {
    cx.caller.session.as_ref().and_then(|session| session.source_identity.as_deref())
}

pub(super) async fn find(cx: &Cx, arn: &Arn) -> Result<Option<(Row, Role)>> {
    let name = arn.resource().rsplit('/').next().unwrap_or_default().to_lowercase();
    let Some(row) = cx.kernel.store().get(kind::ROLE, &Scope::global(arn.account()), &name).await? else { return Ok(None) };
    let role: Role = row.body()?;
    Ok((role.arn == *arn).then_some((row, role)))
}

/// The trust policy for this caller. Sessions are named by ARN, which a session of another role of the
/// same name would have too: where the name was saved for another role than the caller's, it becomes
/// that role's id, which the caller does not have.
fn own_namesake(cx: &Cx, role: &Role) -> Result<String> {
    match role.trusted_ids.get(&cx.caller.arn) {
        Some(id) if cx.caller.session.is_some() && cx.caller.principal.unique_id.as_ref() != Some(id) => {
            rewrite_principals(&role.trust, &|name| (name == cx.caller.arn).then(|| id.clone())).map_err(AwsError::internal)
        }
        _ => Ok(role.trust.clone()),
    }
}

pub(super) fn role_arn(text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).ok();
    let arn = arn.filter(|arn| arn.service() == "iam" && arn.resource().starts_with("role/") && AccountId::is_valid(arn.account()));
    arn.ok_or_else(|| error::validation(format!("{text} is invalid")))
}

async fn resolve(cx: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    match cx.caller.principal.kind {
        PrincipalKind::Root => return Err(error::access_denied("Roles may not be assumed by root accounts.")),
        PrincipalKind::FederatedUser => return Err(error::access_denied("Cannot call AssumeRole with federated session credentials")),
        _ => {}
    }
    let arn = role_arn(&input.role_arn)?;
    let (trust, ids, mut tags) = match find(cx, &arn).await? {
        Some((_, role)) => (own_namesake(cx, &role)?, role.trusted_ids, role.tags),
        None => (NOBODY.to_owned(), BTreeMap::new(), Vec::new()),
    };
    // The role's tags as conditions see them: inherited transitive tags have replaced theirs already.
    let handed_on = inherited(cx);
    for tag in &mut tags {
        if let Some(new) = handed_on.iter().find(|new| new.key.to_lowercase() == tag.key.to_lowercase()) {
            tag.value.clone_from(&new.value);
        }
    }
    let identity = input.source_identity.as_deref().or(inherited_identity(cx));
    // The code is part of who calls: it is used up before policies are asked, which may ask for it.
    let mfa = iam::mfa_codes::of_caller(cx, input.serial_number.as_ref(), input.token_code.as_ref()).await?;
    let check = |action: &'static str| {
        let check = Check::on(action, arn.clone())
            .inline_policy(trust.clone(), PolicyKind::Trust, ids.clone())
            .authenticated_by_mfa(mfa)
            .tagged(tags.clone())
            .key("sts:RoleSessionName", input.role_session_name.as_str())
            .key_if("sts:ExternalId", input.external_id.as_deref())
            .key_if("sts:SourceIdentity", identity)
            .request_tags(&input.tags);
        // The role is IAM's though the action is not.
        let check = tags.iter().fold(check, |check, tag| check.key(format!("iam:ResourceTag/{}", tag.key), tag.value.as_str()));
        if input.transitive_tag_keys.is_empty() { check } else { check.list("sts:TransitiveTagKeys", input.transitive_tag_keys.clone()) }
    };
    let tagged = !input.tags.is_empty() || !handed_on.is_empty();
    Ok(Checks::from(check(action))
        .and_if(tagged.then(|| check("sts:TagSession")))
        .and_if(identity.is_some().then(|| check("sts:SetSourceIdentity"))))
}

/// How long the session lasts.
fn duration(input: &Input, role: &Role, chained: bool) -> Result<u32> {
    let wanted = input.duration_seconds.unwrap_or(HOUR);
    if chained && wanted > HOUR {
        return Err(error::validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"));
    }
    if wanted > role.max_session {
        return Err(error::validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    Ok(wanted)
}

/// The session's tags, and which of them it hands on.
fn tags(input: &Input, role: &Role, handed_on: &[Tag]) -> Result<(Vec<Tag>, Vec<String>)> {
    packed::check_tags(&input.tags)?;
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    if let Some(tag) = input.tags.iter().find(|tag| handed_on.iter().any(|old| same(&old.key, &tag.key))) {
        return Err(error::validation(format!(
            "The tag key {} is inherited as transitive from the calling session and cannot be passed again.",
            tag.key
        )));
    }
    let mut transitive: Vec<String> = handed_on.iter().map(|tag| tag.key.clone()).collect();
    for key in &input.transitive_tag_keys {
        if !input.tags.iter().any(|tag| same(&tag.key, key)) {
            return Err(error::validation(format!("The specified transitive tag key {key} must be included in the requested tags.")));
        }
        transitive.push(key.clone());
    }
    let tags = session_tags(&role.tags, &input.tags, handed_on);
    if input.tags.len() + handed_on.len() > packed::TAGS {
        return Err(error::validation(format!(
            "The number of session tags, inherited ones included, exceeds the limit of {}.",
            packed::TAGS
        )));
    }
    Ok((tags, transitive))
}

async fn handle(cx: &Cx, permit: Permit<AssumeRole>, input: Input) -> Result<Reply> {
    let account = permit.account().clone();
    let arn = role_arn(&input.role_arn)?;
    let refused =
        || error::access_denied(format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", cx.caller.arn));
    let (row, role) = find(cx, &arn).await?.ok_or_else(refused)?;
    if crate::account::get(cx.kernel.store(), &account).await?.is_none_or(|account| account.status != "ACTIVE") {
        return Err(refused());
    }
    if !input.provided_contexts.is_empty() {
        return Err(error::validation("ProvidedContexts are not supported by this instance: leave them out."));
    }
    let source_identity = match (inherited_identity(cx), &input.source_identity) {
        (Some(old), Some(new)) if old != new => {
            return Err(error::access_denied("The source identity of the calling session cannot be changed."));
        }
        (Some(old), _) => Some(old.to_owned()),
        (None, new) => new.clone(),
    };
    let chained = chain(cx).is_some();
    let seconds = duration(&input, &role, chained)?;
    let handed_on = inherited(cx);
    let (tags, transitive) = tags(&input, &role, &handed_on)?;
    let passed: Vec<Tag> = input.tags.iter().chain(&handed_on).cloned().collect();
    let packed = packed::pack(cx, &account, input.policy.as_deref(), &input.policy_arns, &passed).await?;
    let now = cx.now();
    let mfa_at = permit.mfa().or_else(|| users_own(cx).and_then(Session::authenticated_by_mfa));
    let session = Session {
        access_key: String::new(),
        account: account.clone(),
        kind: SessionKind::Role { role: row.id.clone(), role_id: role.id.clone() },
        arn: Arn::new("sts", "", account.as_str(), format!("assumed-role/{}/{}", role.name, input.role_session_name)),
        user_id: format!("{}:{}", role.id, input.role_session_name),
        name: input.role_session_name,
        issued: now,
        expires: now.plus_secs(i64::from(seconds)),
        tags,
        transitive,
        source_identity: source_identity.clone(),
        policies: packed.policies,
        chained,
        mfa: mfa_at.is_some(),
        mfa_at,
        service: None,
        source_arn: None,
        federation: None,
    };
    let mut output = json!({ "AssumedRoleUser": { "AssumedRoleId": session.user_id, "Arn": session.arn } });
    if packed.percent > 0 {
        output["PackedPolicySize"] = json!(packed.percent);
    }
    if let Some(identity) = source_identity {
        output["SourceIdentity"] = json!(identity);
    }
    let mut batch = Batch::new();
    batch.require(kind::ROLE, &permit.global(), row.id, Expect::Present);
    output["Credentials"] = credentials::issue(cx, session, batch).await?.ok_or_else(refused)?;
    Ok(output.into())
}

operation!(
    "sts",
    AssumeRole,
    ["role"]
        + [
            "sts:RoleSessionName",
            "sts:ExternalId",
            "sts:SourceIdentity",
            "sts:TransitiveTagKeys",
            "aws:RequestTag/${TagKey}", "aws:TagKeys"
        ]
        and ["sts:TagSession", "sts:SetSourceIdentity"],
    Input,
    resolve,
    handle
);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<AssumeRole>()];
