//! Role sessions that services use: a job's execution role, a pipeline's role, a stack's role.
//!
//! A service assumes a role as its service principal, under the role's trust policy; what it then
//! does it does as that session, through the same operations as anyone. Credentials for user code are
//! sessions with keys, stored as STS stores them.

use std::sync::Arc;

use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Secret, Tag};
use tenantry_policy::{PolicyKind, Principal};
use tenantry_store::{Batch, Expect, Row};

use crate::{
    access::Check,
    clock::Ids,
    cx::{Caller, RequestInfo},
    directory::{self, Role, Session, SessionKind, kind},
    explain::{NEVER, role_caller},
    kernel::Kernel,
};

/// How long credentials in a sandbox are valid, in seconds; the endpoint hands out new ones before.
pub const SANDBOX_CREDENTIALS: i64 = 6 * 3600;

/// A service's wish to act as a role.
#[derive(Debug, Clone)]
pub struct ServiceSession<'a> {
    /// The role.
    pub role: &'a Arn,
    /// `sagemaker.amazonaws.com`.
    pub service: &'static str,
    /// The session's name: `SageMaker` for SageMaker's notebooks, jobs and pipelines.
    pub session: &'a str,
    /// The resource that the service works for: `aws:SourceArn`.
    pub source: Option<&'a Arn>,
    /// Carried on from whoever started the work.
    pub source_identity: Option<&'a str>,
    /// Where it happens.
    pub region: &'a Region,
}

impl Kernel {
    /// Assumes a role as a service principal.
    ///
    /// # Errors
    /// `AccessDenied` when the role is not there, is in no state to be assumed, or its trust policy does not allow the service.
    pub async fn assume_for_service(&self, wish: &ServiceSession<'_>) -> Result<Caller> {
        let refused = || {
            AwsError::new(
                400,
                "ValidationException",
                format!(
                    "Could not assume role {}. Please ensure that the role exists and allows principal '{}' to assume the role.",
                    wish.role, wish.service
                ),
            )
        };
        let account = AccountId::from(wish.role.account());
        let name = wish.role.resource().rsplit('/').next().unwrap_or_default().to_lowercase();
        let row = self.store().get(kind::ROLE, &Scope::global(account.clone()), &name).await?.ok_or_else(refused)?;
        let role: Role = row.body()?;
        if role.arn != *wish.role || self.is_closed(&account).await? {
            return Err(refused());
        }
        let service = Caller {
            principal: Principal::service(wish.service),
            account: account.clone(),
            arn: wish.service.to_owned(),
            user_id: String::new(),
            user_name: None,
            tags: Vec::new(),
            session: None,
            access_key: String::new(),
            via: Vec::new(),
            source_arn: wish.source.cloned(),
        };
        // Whoever sets a source identity needs the role's leave for that too ("Monitor and control actions taken with assumed roles").
        for action in std::iter::once("sts:AssumeRole").chain(wish.source_identity.map(|_| "sts:SetSourceIdentity")) {
            let check = Check::on(action, role.arn.clone())
                .inline_policy(role.trust.clone(), PolicyKind::Trust, role.trusted_ids.clone())
                .key("sts:RoleSessionName", wish.session)
                .key_if("sts:SourceIdentity", wish.source_identity)
                .tagged(role.tags.clone());
            let judged = self.judge(&service, &RequestInfo::internal(self.now(), wish.service), wish.region, &check).await?;
            if !judged.decision.allowed() {
                return Err(refused());
            }
        }
        let mut caller = role_caller(&role, &account, wish.session);
        let now = self.now();
        caller.session = Some(Arc::new(Session {
            access_key: String::new(),
            account: account.clone(),
            kind: SessionKind::Role { role: name, role_id: role.id.clone() },
            arn: Arn::parse(caller.arn.clone()).map_err(AwsError::internal)?,
            user_id: caller.user_id.clone(),
            name: wish.session.to_owned(),
            issued: now,
            expires: NEVER,
            tags: caller.tags.clone(),
            transitive: Vec::new(),
            source_identity: wish.source_identity.map(str::to_owned),
            policies: None,
            chained: false,
            mfa: false,
            mfa_at: None,
            service: Some(wish.service.to_owned()),
            source_arn: wish.source.map(ToString::to_string),
            federation: None,
        }));
        Ok(caller)
    }

    /// Credentials of a service's role session for user code: the document of the container
    /// credentials endpoint. Valid for [`SANDBOX_CREDENTIALS`].
    ///
    /// # Errors
    /// When the caller is no role session, or the store fails.
    pub async fn issue_credentials(&self, caller: &Caller) -> Result<Value> {
        let session = caller.session.as_ref().ok_or_else(|| AwsError::internal("credentials are issued to role sessions only"))?;
        let now = self.now();
        let access_key = Ids::access_key("ASIA");
        let secret = Ids::secret_key();
        let token = Ids::token(356);
        let stored =
            Session { access_key: access_key.clone(), issued: now, expires: now.plus_secs(SANDBOX_CREDENTIALS), ..(**session).clone() };
        let document = json!({
            "AccessKeyId": access_key,
            "SecretAccessKey": secret.expose(),
            "Token": token,
            "Expiration": stored.expires.iso8601(false),
            "RoleArn": caller.principal.role_arn,
        });
        let mut batch = Batch::new();
        store_session(&mut batch, &stored, secret, Secret::new(token))?;
        self.store().commit(batch).await?;
        Ok(document)
    }
}

/// Adds a session, its keys and its expiry to a batch.
///
/// # Errors
/// Internal when the session is not JSON.
pub fn store_session(batch: &mut Batch, session: &Session, secret: Secret<String>, token: Secret<String>) -> Result<()> {
    let scope = Scope::global(session.account.clone());
    let row = Row::new(kind::SESSION, &scope, session.access_key.clone(), session.issued).name(session.name.clone()).with(session)?;
    batch.claim_unique(directory::ACCESS_KEY_NAMES, session.access_key.clone(), session.account.to_string());
    batch.put_secret(directory::secret_id(&session.access_key), secret);
    batch.put_secret(directory::token_id(&session.access_key), token);
    batch.put(row, Expect::Absent);
    batch.enqueue(EXPIRY_QUEUE, crate::reconcile::key_of(&scope, &session.access_key), session.expires.plus_secs(EXPIRED_KEPT));
    Ok(())
}

/// The queue of sessions by their end.
pub const EXPIRY_QUEUE: &str = "sts.session";
/// Expired sessions are kept so long, so that their holders are told "expired" and not "invalid".
const EXPIRED_KEPT: i64 = 24 * 3600;

/// Forgets expired sessions.
pub struct SessionExpiry;

impl crate::reconcile::Reconciler for SessionExpiry {
    fn queue(&self) -> &'static str {
        EXPIRY_QUEUE
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> crate::reconcile::StepFuture<'a> {
        Box::pin(async move {
            if let Some((scope, access_key)) = crate::reconcile::parse_key(key) {
                let mut batch = Batch::new();
                batch.delete(kind::SESSION, &scope, access_key, Expect::Any);
                batch.release_unique(directory::ACCESS_KEY_NAMES, access_key);
                batch.delete_secret(directory::secret_id(access_key));
                batch.delete_secret(directory::token_id(access_key));
                kernel.store().commit(batch).await?;
            }
            Ok(crate::reconcile::Next::Done)
        })
    }
}

/// The tags of a role session: the role's, overridden by passed ones, overridden by inherited ones.
/// Keys compare without case ("Passing session tags in AWS STS", IAM User Guide).
#[must_use]
pub fn session_tags(role: &[Tag], passed: &[Tag], inherited: &[Tag]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = role.to_vec();
    for tag in passed.iter().chain(inherited) {
        tags.retain(|t| !t.key.eq_ignore_ascii_case(&tag.key));
        tags.push(tag.clone());
    }
    tags
}
