//! What AssumeRoleWithSAML and AssumeRoleWithWebIdentity have in common: once it is proven who calls, a
//! role's trust policy decides as it does for AssumeRole, and a session is made.
//!
//! The caller is a provider's principal. Tags need `sts:TagSession` and a source identity
//! `sts:SetSourceIdentity`, each as a request of its own in the same context.
//! Source: "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", STS API Reference; "Passing session tags in AWS STS".

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Result, Scope, Tag, Timestamp};
use tenantry_federation::Refusal;
use tenantry_kernel::{
    Check, Checks, Cx, Kernel, Key, Next, Operation, Permit, Reconciler, Reply, StepFuture,
    directory::{Federation, Role, Session, SessionKind, kind},
    reconcile, session_tags,
};
use tenantry_policy::PolicyKind;
use tenantry_store::{Batch, Expect, Kind, Row};

use super::{assume_role, credentials, error, packed};

/// Seconds, where DurationSeconds is not given.
const HOUR: u32 = 3600;
/// Assertions that were used; scope: global of the provider's account.
const USED: Kind = Kind::new("sts.assertion");
/// The queue of used assertions by their end.
const USED_QUEUE: &str = "sts.assertion";
/// A tag's key and value, in characters.
const TAG_LENGTHS: (usize, usize) = (128, 256);

/// What a verified assertion or token says, in STS's terms.
pub(super) struct Proven {
    pub role: Arn,
    pub session_name: String,
    pub tags: Vec<Tag>,
    pub transitive: Vec<String>,
    pub source_identity: Option<String>,
    /// Condition keys of the provider, for the trust policy.
    pub keys: Vec<(String, Key)>,
    /// What the session keeps.
    pub federation: Federation,
    /// When the session ends at the latest.
    pub ends: Option<Timestamp>,
    /// The name under which it is accepted once, and until when that must be remembered.
    pub once: Option<(String, Timestamp)>,
    /// Members of the answer that are the provider's.
    pub answer: Map<String, Value>,
}

/// What the caller asks for besides.
pub(super) struct Wish<'a> {
    pub duration: Option<u32>,
    pub policy: Option<&'a str>,
    pub policy_arns: &'a [packed::PolicyDescriptor],
}

/// In the words and codes of STS.
pub(super) fn refused(refusal: Refusal) -> AwsError {
    match refusal {
        Refusal::Invalid(text) => error::invalid_token(text),
        Refusal::Expired(text) => error::expired_token(text),
    }
}

/// The claims that `admit` verified.
pub(super) fn proven(cx: &Cx) -> Result<&Proven> {
    cx.claims::<Proven>().ok_or_else(|| AwsError::internal("a federated call without claims"))
}

/// Session names and source identities.
pub(super) fn is_session_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-');
    (2..=64).contains(&text.chars().count()) && text.chars().all(plain)
}

/// The source identity that a provider passes, where it may be one.
pub(super) fn source_identity(text: &str) -> Result<String> {
    match is_session_name(text) && !text.to_ascii_lowercase().starts_with("aws:") {
        true => Ok(text.to_owned()),
        false => Err(error::invalid_token("Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with \"aws:\"")),
    }
}

/// Tags that a provider passes are held against what the model says of tags that a caller passes.
pub(super) fn check_tags(tags: &[Tag], transitive: &[String]) -> Result<()> {
    packed::check_tags(tags).map_err(|fault| error::invalid_token(fault.message))?;
    let plain = |c: char| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@');
    for tag in tags {
        let (key, value) = (tag.key.chars().count(), tag.value.chars().count());
        if key == 0 || key > TAG_LENGTHS.0 || value > TAG_LENGTHS.1 || !tag.key.chars().chain(tag.value.chars()).all(plain) {
            let shown: String = tag.key.chars().take(TAG_LENGTHS.0).collect();
            return Err(error::invalid_token(format!(
                "The session tag {shown} has a key or value that is too long or holds other characters."
            )));
        }
    }
    let known = |key: &&String| tags.iter().any(|tag| tag.key.to_lowercase() == key.to_lowercase());
    match transitive.iter().find(|key| !known(key)) {
        Some(key) => Err(error::invalid_token(format!("The specified transitive tag key {key} must be included in the requested tags."))),
        None => Ok(()),
    }
}

/// What the role's trust policy is asked.
pub(super) async fn resolve(cx: &Cx, action: &'static str) -> Result<Checks> {
    let proven = proven(cx)?;
    let (trust, ids, tags) = match assume_role::find(cx, &proven.role).await? {
        Some((_, role)) => (role.trust, role.trusted_ids, role.tags),
        None => (assume_role::NOBODY.to_owned(), BTreeMap::new(), Vec::new()),
    };
    let check = |action: &'static str| {
        let mut check = Check::on(action, proven.role.clone())
            .inline_policy(trust.clone(), PolicyKind::Trust, ids.clone())
            .tagged(tags.clone())
            .key("sts:RoleSessionName", proven.session_name.as_str())
            .key_if("sts:SourceIdentity", proven.source_identity.as_deref())
            .request_tags(&proven.tags);
        check.keys.extend(proven.keys.iter().cloned());
        // The role is IAM's though the action is not.
        let check = tags.iter().fold(check, |check, tag| check.key(format!("iam:ResourceTag/{}", tag.key), tag.value.as_str()));
        if proven.transitive.is_empty() { check } else { check.list("sts:TransitiveTagKeys", proven.transitive.clone()) }
    };
    Ok(Checks::from(check(action))
        .and_if((!proven.tags.is_empty()).then(|| check("sts:TagSession")))
        .and_if(proven.source_identity.is_some().then(|| check("sts:SetSourceIdentity"))))
}

/// When the session ends.
fn expiry(role: &Role, wish: &Wish<'_>, ends: Option<Timestamp>, now: Timestamp) -> Result<Timestamp> {
    let wanted = wish.duration.unwrap_or(HOUR);
    if wanted > role.max_session {
        return Err(error::validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    let latest = now.plus_secs(i64::from(wanted));
    match ends {
        Some(ends) if ends <= now => Err(error::expired_token("The session at the identity provider has ended")),
        Some(ends) => Ok(latest.min(ends)),
        None => Ok(latest),
    }
}

/// Makes the session, and remembers that what proved it was used.
pub(super) async fn issue<O: Operation>(cx: &Cx, permit: &Permit<O>, wish: &Wish<'_>) -> Result<Reply> {
    let (proven, account, now) = (proven(cx)?, permit.account().clone(), cx.now());
    let not_authorized = || error::access_denied(format!("Not authorized to perform sts:{}", O::NAME));
    let (row, role) = assume_role::find(cx, &proven.role).await?.ok_or_else(not_authorized)?;
    if crate::account::get(cx.kernel.store(), &account).await?.is_none_or(|account| account.status != "ACTIVE") {
        return Err(not_authorized());
    }
    let expires = expiry(&role, wish, proven.ends, now)?;
    let packed = packed::pack(cx, &account, wish.policy, wish.policy_arns, &proven.tags).await?;
    let session = Session {
        access_key: String::new(),
        account: account.clone(),
        kind: SessionKind::Role { role: row.id.clone(), role_id: role.id.clone() },
        arn: Arn::new("sts", "", account.as_str(), format!("assumed-role/{}/{}", role.name, proven.session_name)),
        user_id: format!("{}:{}", role.id, proven.session_name),
        name: proven.session_name.clone(),
        issued: now,
        expires,
        tags: session_tags(&role.tags, &proven.tags, &[]),
        transitive: proven.transitive.clone(),
        source_identity: proven.source_identity.clone(),
        policies: packed.policies,
        chained: false,
        mfa: false,
        mfa_at: None,
        service: None,
        source_arn: None,
        federation: Some(proven.federation.clone()),
    };
    let mut output = proven.answer.clone();
    output.insert("AssumedRoleUser".to_owned(), json!({ "AssumedRoleId": session.user_id, "Arn": session.arn }));
    if packed.percent > 0 {
        output.insert("PackedPolicySize".to_owned(), json!(packed.percent));
    }
    if let Some(identity) = &proven.source_identity {
        output.insert("SourceIdentity".to_owned(), json!(identity));
    }
    let mut batch = Batch::new();
    batch.require(kind::ROLE, &permit.global(), row.id, Expect::Present);
    if let Some((id, until)) = &proven.once {
        use_up(&mut batch, &account, id, *until, now);
    }
    let Some(credentials) = credentials::issue(cx, session, batch).await? else {
        return Err(match &proven.once {
            Some((id, _)) if was_used(cx, &account, id).await? => used(),
            _ => not_authorized(),
        });
    };
    output.insert("Credentials".to_owned(), credentials);
    Ok(Value::Object(output).into())
}

fn used() -> AwsError {
    error::invalid_token("The assertion has already been used: an assertion is accepted once. Sign in at your identity provider again.")
}

/// With the session or not at all: two requests with one assertion cannot both win.
fn use_up(batch: &mut Batch, account: &AccountId, id: &str, until: Timestamp, now: Timestamp) {
    let scope = Scope::global(account.clone());
    batch.put(Row::new(USED, &scope, id, now), Expect::Absent);
    batch.enqueue(USED_QUEUE, reconcile::key_of(&scope, id), until);
}

async fn was_used(cx: &Cx, account: &AccountId, id: &str) -> Result<bool> {
    Ok(cx.kernel.store().get(USED, &Scope::global(account.clone()), id).await?.is_some())
}

/// Refuses an assertion that was used, before anything is asked of it.
pub(super) async fn must_be_unused(cx: &Cx, account: &AccountId, id: &str) -> Result<()> {
    if was_used(cx, account, id).await? { Err(used()) } else { Ok(()) }
}

/// Forgets used assertions that nobody could use any more.
pub struct UsedAssertions;

impl Reconciler for UsedAssertions {
    fn queue(&self) -> &'static str {
        USED_QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            if let Some((scope, id)) = reconcile::parse_key(key) {
                let mut batch = Batch::new();
                batch.delete(USED, &scope, id, Expect::Any);
                kernel.store().commit(batch).await?;
            }
            Ok(Next::Done)
        })
    }
}
