//! Who is calling: the signature, the credentials behind it, and the principal they belong to.
//!
//! One exhaustive path. What presents nothing is anonymous, and anonymous calls reach only operations
//! that say so (`Public`) or resources whose own policy lets everyone in (S3). What presents something
//! that is not understood is refused, never treated as anonymous.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tenantry_core::{AccountId, AwsError, Region, Result, Scope, Secret, Timestamp};
use tenantry_policy::Principal;
use tenantry_sigv4::{Credentials, Dialect, Fault, Form, Parts, Payload, Presented, PresentedV2, SigningKey};
use tenantry_wire::{Protocol, Service};

use crate::{
    addressing,
    body::Body,
    cx::{Caller, SignedAs},
    directory::{self, AccessKey, Session, SessionKind, User, kind},
    door::Head,
    kernel::Kernel,
    last_used,
    operation::Access,
    payload::{hashed, proven},
    remembered::Remembered,
};

/// Bytes of what stands behind access keys that is remembered between requests, about, while nothing about principals changes.
const REMEMBERED: usize = 24 * 1024 * 1024;

/// Signing keys that are remembered of one access key.
const KEYS: usize = 4;

/// A signature that was presented and not yet verified.
pub(crate) struct Signed(Credentials);

impl Signed {
    /// The service of the credential scope.
    pub(crate) fn service(&self) -> &str {
        match &self.0 {
            Credentials::V4(presented) => &presented.service,
            // There is no scope: S3 is the only one that takes it.
            Credentials::V2(_) => "s3",
        }
    }
    /// How it was signed, as S3's condition keys have it.
    pub(crate) fn how(&self) -> SignedAs {
        match &self.0 {
            Credentials::V4(Presented { form: Form::Header, .. }) => SignedAs::Header,
            Credentials::V4(Presented { form: Form::Presigned { .. }, .. }) => SignedAs::Query,
            Credentials::V2(_) => SignedAs::QueryV2,
        }
    }
    /// Headers that the query stands for.
    pub(crate) fn carried(&self) -> &[(String, String)] {
        match &self.0 {
            Credentials::V4(_) => &[],
            Credentials::V2(presented) => &presented.carried,
        }
    }
}

/// What a browser's form presents.
pub(crate) struct Proof<'a> {
    pub policy: &'a str,
    signature: &'a str,
    token: Option<&'a str>,
    key: ProofKey<'a>,
}

enum ProofKey<'a> {
    V4 { credential: &'a str, date: &'a str },
    V2 { access_key: &'a str },
}

impl<'a> Proof<'a> {
    /// Reads the fields; `None` where none of them says anything: an anonymous upload.
    pub(crate) fn read(fields: &'a BTreeMap<String, String>) -> Result<Option<Self>> {
        let field = |name: &str| fields.get(name).map(String::as_str);
        let v4 = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];
        let v2 = ["awsaccesskeyid", "signature"];
        let (policy, token) = (field("policy"), field("x-amz-security-token"));
        let missing = |name: &str| {
            let text =
                format!("Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.");
            AwsError::new(400, "InvalidArgument", text).with("ArgumentName", name.to_owned())
        };
        let need = |name: &str| field(name).ok_or_else(|| missing(name));
        let has = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
        let (key, signature) = match (has(&v4), has(&v2)) {
            (false, false) if policy.is_none() && token.is_none() => return Ok(None),
            (true, true) => return Err(Fault::Ambiguous.answer(Dialect::S3)),
            (false, true) => (ProofKey::V2 { access_key: need("awsaccesskeyid")? }, need("signature")?),
            (true, false) | (false, false) => {
                let algorithm = need("x-amz-algorithm")?;
                if algorithm != tenantry_sigv4::ALGORITHM {
                    return Err(Fault::UnsupportedAlgorithm(String::new()).answer(Dialect::S3));
                }
                (ProofKey::V4 { credential: need("x-amz-credential")?, date: need("x-amz-date")? }, need("x-amz-signature")?)
            }
        };
        Ok(Some(Self { policy: need("policy")?, signature, token, key }))
    }
}

/// The body as the handler may have it: held, or streaming with its hash still to be proven.
pub(crate) struct Verified {
    pub buffered: Option<Bytes>,
    pub stream: Option<Body>,
}

/// What stands behind an access key, as of a revision of the store.
struct Identity {
    revision: u64,
    secret: Secret<String>,
    token: Option<Secret<String>>,
    caller: Arc<Caller>,
    expires: Option<Timestamp>,
    /// Of the scopes that it signed for last, the latest first.
    keys: Mutex<Vec<(String, Arc<SigningKey>)>>,
    /// When its use was last told, by service.
    told: Mutex<HashMap<&'static str, Timestamp>>,
}

/// Identities by access key id.
pub(crate) struct IdentityCache(Remembered<String, Arc<Identity>>);

impl Default for IdentityCache {
    fn default() -> Self {
        Self(Remembered::new(REMEMBERED))
    }
}

/// What the request presents. A fault is worded once the service is known, by [`fault_error`].
pub(crate) fn present(head: &Head) -> std::result::Result<Option<Signed>, Fault> {
    let headers = borrowed(head);
    Ok(tenantry_sigv4::present(&parts(head, &headers))?.map(Signed))
}

fn borrowed(head: &Head) -> Vec<(&str, &str)> {
    head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn parts<'a>(head: &'a Head, headers: &'a [(&'a str, &'a str)]) -> Parts<'a> {
    Parts { method: &head.method, path: &head.path, query: &head.raw_query, headers }
}

/// A signature's fault in a service's own words.
pub(crate) fn fault_error(service: &Service, fault: &Fault) -> AwsError {
    fault.answer(match service.protocol {
        _ if service.is_s3() => Dialect::S3,
        Protocol::AwsJson | Protocol::RestJson => Dialect::Json,
        _ => Dialect::Query,
    })
}

/// Failures of credentials in the codes of a service's protocol ("Common Error Types" of each API reference).
fn worded(service: &Service, error: AwsError) -> AwsError {
    let json = matches!(service.protocol, Protocol::AwsJson | Protocol::RestJson);
    let say =
        |status, code: &'static str, message: &str| AwsError { code: code.into(), status, message: message.to_owned(), ..error.clone() };
    // JSON-RPC services answer 400 to all of these; REST-JSON answers 403.
    let status = if service.protocol == Protocol::AwsJson { 400 } else { 403 };
    match (&*error.code, json, service.is_s3()) {
        ("SignatureDoesNotMatch", true, _) => say(status, "InvalidSignatureException", &error.message),
        ("InvalidClientTokenId", true, _) => say(status, "UnrecognizedClientException", &error.message),
        ("InvalidClientTokenId", false, true) => {
            say(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        }
        ("InvalidToken", true, _) => say(status, "UnrecognizedClientException", &error.message),
        ("InvalidToken", false, true) => say(400, "InvalidToken", "The provided token is malformed or otherwise invalid."),
        ("InvalidToken", false, false) => say(403, "InvalidClientTokenId", &error.message),
        ("ExpiredToken", true, _) => say(status, "ExpiredTokenException", &error.message),
        ("ExpiredToken", false, true) => say(400, "ExpiredToken", "The provided token has expired."),
        ("MissingAuthenticationToken", true, _) => say(status, "MissingAuthenticationTokenException", &error.message),
        _ => error,
    }
}

/// Nobody has this access key id (any more).
pub(crate) fn invalid_key() -> AwsError {
    AwsError::new(403, "InvalidClientTokenId", INVALID)
}

/// The key is somebody's and the session token is not the key's. Only S3 tells the two apart.
fn invalid_token() -> AwsError {
    AwsError::new(403, "InvalidToken", INVALID)
}

const INVALID: &str = "The security token included in the request is invalid.";

impl Kernel {
    /// Verifies what was presented. Answers the caller, the region of the call, and the body as it may be used.
    #[expect(clippy::too_many_arguments, reason = "one call site; the parts of one request")]
    pub(crate) async fn authenticate(
        &self,
        head: &Head,
        service: &'static Service,
        access: &Access,
        signed: Option<Signed>,
        buffered: Option<&Bytes>,
        stream: Option<Body>,
        now: Timestamp,
    ) -> Result<(Arc<Caller>, Region, Verified)> {
        let presented = match signed {
            None => return anonymous(head, service, access, buffered, stream),
            Some(Signed(Credentials::V4(presented))) => presented,
            Some(Signed(Credentials::V2(presented))) => {
                return self.authenticate_v2(head, service, &presented, buffered, stream, now).await;
            }
        };
        let word = |error| worded(service, error);
        let region = scope_agrees(head, service, &presented.service, &presented.region).map_err(word)?;
        let identity = self.identity(&presented.access_key).await.map_err(word)?;
        check_token(&identity, presented.token.as_deref(), now).map_err(word)?;
        let headers = borrowed(head);
        if let (Payload::Streaming { .. }, Some(_)) = (&presented.payload, buffered) {
            // Chunks are proven as they are read; what is read whole would be taken unproven.
            let text = "This operation does not take a chunked body: sign the hash of the whole.";
            return Err(AwsError::new(501, "NotImplemented", text));
        }
        let body_hash = match (&presented.payload, buffered) {
            (Payload::Computed | Payload::Signed(_), Some(bytes)) => Some(hex(&Sha256::digest(bytes))),
            _ => None,
        };
        let key = identity.signing_key(&presented.scope_date, &presented.region, &presented.service);
        tenantry_sigv4::verify(&parts(head, &headers), &presented, &key, body_hash.as_deref(), now)
            .map_err(|fault| fault_error(service, &fault))?;
        let verified =
            Verified { buffered: buffered.cloned(), stream: stream.map(|body| proven(body, &presented, key, head)).transpose()? };
        self.used(&identity, service, &region, now);
        Ok((Arc::clone(&identity.caller), region, verified))
    }

    /// A URL signed with version 2. It names no region: the host's, or the one that has none in its name.
    async fn authenticate_v2(
        &self,
        head: &Head,
        service: &'static Service,
        presented: &PresentedV2,
        buffered: Option<&Bytes>,
        stream: Option<Body>,
        now: Timestamp,
    ) -> Result<(Arc<Caller>, Region, Verified)> {
        if !service.is_s3() {
            return Err(fault_error(service, &Fault::UnsupportedAlgorithm("AWS".to_owned())));
        }
        let word = |error| worded(service, error);
        let identity = self.identity(&presented.access_key).await.map_err(word)?;
        check_token(&identity, presented.token.as_deref(), now).map_err(word)?;
        let headers = borrowed(head);
        let body_hash = buffered.map(|bytes| hex(&Sha256::digest(bytes)));
        let (parts, bucket) = (parts(head, &headers), head.address.bucket.as_deref());
        tenantry_sigv4::verify_v2(&parts, presented, bucket, identity.secret.expose(), body_hash.as_deref(), now)
            .map_err(|fault| fault_error(service, &fault))?;
        let stream = stream.map(|body| match &presented.payload {
            Payload::Signed(promised) => Ok(hashed(body, promised.clone())),
            Payload::Unsigned => Ok(body),
            Payload::Computed | Payload::Streaming { .. } => Err(fault_error(service, &Fault::BadContentHash)),
        });
        let verified = Verified { buffered: buffered.cloned(), stream: stream.transpose()? };
        let region = default_region(head);
        self.used(&identity, service, &region, now);
        Ok((Arc::clone(&identity.caller), region, verified))
    }

    /// Who stands behind a form: the signature is over its policy.
    pub(crate) async fn authenticate_form(
        &self,
        head: &Head,
        service: &'static Service,
        access: &Access,
        proof: Option<&Proof<'_>>,
        now: Timestamp,
    ) -> Result<(Arc<Caller>, Region, SignedAs)> {
        let Some(proof) = proof else {
            let (caller, region, _) = anonymous(head, service, access, None, None)?;
            return Ok((caller, region, SignedAs::FormV2));
        };
        let word = |error| worded(service, error);
        let fault = |fault: Fault| fault_error(service, &fault);
        match proof.key {
            ProofKey::V4 { credential, date } => {
                let scope = tenantry_sigv4::PostScope::read(credential, date).map_err(fault)?;
                let region = scope_agrees(head, service, &scope.service, &scope.region).map_err(word)?;
                // A day's key is good for a week; the policy says when the form expires.
                if scope.signed > now.plus_secs(900) || now > scope.signed.plus_secs(7 * 86_400) {
                    return Err(fault(Fault::Skewed { signed: scope.signed, now }));
                }
                let identity = self.identity(&scope.access_key).await.map_err(word)?;
                check_token(&identity, proof.token, now).map_err(word)?;
                let key = identity.signing_key(&scope.date, &scope.region, &scope.service);
                tenantry_sigv4::verify_post_policy(&key, proof.policy, proof.signature).map_err(fault)?;
                self.used(&identity, service, &region, now);
                Ok((Arc::clone(&identity.caller), region, SignedAs::Form(scope.signed)))
            }
            ProofKey::V2 { access_key } => {
                let identity = self.identity(access_key).await.map_err(word)?;
                check_token(&identity, proof.token, now).map_err(word)?;
                tenantry_sigv4::verify_post_policy_v2(identity.secret.expose(), proof.policy, proof.signature).map_err(fault)?;
                let region = default_region(head);
                self.used(&identity, service, &region, now);
                Ok((Arc::clone(&identity.caller), region, SignedAs::FormV2))
            }
        }
    }

    /// Tells that credentials were used, where that was not told of this service just now.
    fn used(&self, identity: &Identity, service: &'static Service, region: &Region, now: Timestamp) {
        let name = service.signing_name.as_str();
        let mut told = identity.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.get(name).is_none_or(|at| now.millis() - at.millis() >= last_used::TOLD) {
            told.insert(name, now);
            self.inner().uses.note(&identity.caller, name, region, now);
        }
    }

    async fn identity(&self, access_key: &str) -> Result<Arc<Identity>> {
        // Read before loading: what changes in between makes the entry stale, not wrong.
        let revision = self.store().revision();
        let cache = &self.inner().identities.0;
        if let Some(identity) = cache.get(access_key)
            && identity.revision == revision
        {
            return Ok(identity);
        }
        let identity = Arc::new(self.load_identity(access_key, revision).await?);
        cache.put(access_key.to_owned(), Arc::clone(&identity), identity.weight());
        Ok(identity)
    }

    async fn load_identity(&self, access_key: &str, revision: u64) -> Result<Identity> {
        let store = self.store();
        let account = store.unique(directory::ACCESS_KEY_NAMES, access_key).await?.ok_or_else(invalid_key)?;
        let scope = Scope::global(account.as_str());
        if self.is_closed(&scope.account).await? {
            return Err(invalid_key());
        }
        let secret = store.secret(&directory::secret_id(access_key)).await?.ok_or_else(invalid_key)?;
        if let Some(row) = store.get(kind::SESSION, &scope, access_key).await? {
            let session: Session = row.body()?;
            let token = store.secret(&directory::token_id(access_key)).await?.ok_or_else(invalid_key)?;
            let expires = Some(session.expires);
            let caller = self.session_caller(Arc::new(session)).await?.ok_or_else(invalid_key)?;
            return Ok(Identity {
                revision,
                secret,
                token: Some(token),
                caller: Arc::new(caller),
                expires,
                keys: Mutex::default(),
                told: Mutex::default(),
            });
        }
        let key: AccessKey = store.get(kind::ACCESS_KEY, &scope, access_key).await?.ok_or_else(invalid_key)?.body()?;
        if key.status != "Active" {
            return Err(invalid_key());
        }
        let user: User = store.get(kind::USER, &scope, &key.user).await?.ok_or_else(invalid_key)?.body()?;
        let mut caller = user_caller(&user, &AccountId::from(account));
        caller.access_key = access_key.to_owned();
        Ok(Identity {
            revision,
            secret,
            token: None,
            caller: Arc::new(caller),
            expires: None,
            keys: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Whether an account was closed: nobody acts in it any more, whatever credentials there are.
    pub(crate) async fn is_closed(&self, account: &AccountId) -> Result<bool> {
        let row = self.store().get(kind::ACCOUNT, &Scope::global(account.clone()), account.as_str()).await?;
        Ok(match row {
            Some(row) => row.body::<directory::Account>()?.status != "ACTIVE",
            None => false,
        })
    }

    /// The caller behind temporary credentials, or `None` where who they belong to is gone.
    pub(crate) async fn session_caller(&self, session: Arc<Session>) -> Result<Option<Caller>> {
        let scope = Scope::global(session.account.clone());
        let principal = match &session.kind {
            SessionKind::Role { role, role_id } => {
                let Some(row) = self.store().get(kind::ROLE, &scope, role).await? else { return Ok(None) };
                let role: directory::Role = row.body()?;
                if role.id != *role_id {
                    return Ok(None);
                }
                Principal::session(session.account.as_str(), role.arn.as_str(), &role.id, &session.name)
            }
            SessionKind::Federated { user } | SessionKind::User { user } => {
                let Some(row) = self.store().get(kind::USER, &scope, user).await? else { return Ok(None) };
                let user: User = row.body()?;
                if let SessionKind::User { .. } = session.kind {
                    if user.id != session.user_id {
                        return Ok(None);
                    }
                    let mut caller = user_caller(&user, &session.account);
                    caller.access_key.clone_from(&session.access_key);
                    caller.session = Some(session);
                    return Ok(Some(caller));
                }
                Principal::federated_user(session.account.as_str(), user.arn.as_str(), &user.id, &session.name)
            }
        };
        Ok(Some(Caller {
            account: session.account.clone(),
            arn: session.arn.to_string(),
            user_id: session.user_id.clone(),
            user_name: None,
            tags: session.tags.clone(),
            access_key: session.access_key.clone(),
            via: Vec::new(),
            source_arn: None,
            principal,
            session: Some(session),
        }))
    }
}

/// A user as a caller.
#[must_use]
pub fn user_caller(user: &User, account: &AccountId) -> Caller {
    Caller {
        principal: Principal::user(account.as_str(), user.arn.as_str(), &user.id),
        account: account.clone(),
        arn: user.arn.to_string(),
        user_id: user.id.clone(),
        user_name: Some(user.name.clone()),
        tags: user.tags.clone(),
        session: None,
        access_key: String::new(),
        via: Vec::new(),
        source_arn: None,
    }
}

impl Identity {
    /// What it weighs in memory, about.
    fn weight(&self) -> usize {
        let caller = &*self.caller;
        let session = caller.session.as_ref().map_or(0, |session| {
            let policies = session.policies.iter().flatten().map(String::len).sum::<usize>();
            let tags = session.tags.iter().map(|tag| 64 + tag.key.len() + tag.value.len()).sum::<usize>();
            512 + policies + tags
        });
        let tags = caller.tags.iter().map(|tag| 64 + tag.key.len() + tag.value.len()).sum::<usize>();
        1024 + self.token.as_ref().map_or(0, |token| token.expose().len()) + session + tags
    }

    /// The signing key of a scope. The last few are remembered: they change once a day, and a client asks few services.
    fn signing_key(&self, date: &str, region: &str, service: &str) -> Arc<SigningKey> {
        let is_of = |scope: &str| {
            let rest = scope.strip_prefix(date).and_then(|rest| rest.strip_prefix('/')).and_then(|rest| rest.strip_prefix(region));
            rest.and_then(|rest| rest.strip_prefix('/')) == Some(service)
        };
        let mut keys = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = keys.iter().position(|(scope, _)| is_of(scope)) {
            keys[..=at].rotate_right(1);
            return Arc::clone(&keys[0].1);
        }
        let key = Arc::new(SigningKey::derive(self.secret.expose(), date, region, service));
        keys.truncate(KEYS - 1);
        keys.insert(0, (format!("{date}/{region}/{service}"), Arc::clone(&key)));
        key
    }
}

fn anonymous(
    head: &Head,
    service: &'static Service,
    access: &Access,
    buffered: Option<&Bytes>,
    stream: Option<Body>,
) -> Result<(Arc<Caller>, Region, Verified)> {
    if !service.is_s3() && !matches!(access, Access::Public(_)) {
        let missing = AwsError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
        return Err(worded(service, missing));
    }
    let caller = Caller {
        principal: Principal::anonymous(),
        account: AccountId::default(),
        arn: "anonymous".to_owned(),
        user_id: String::new(),
        user_name: None,
        tags: Vec::new(),
        session: None,
        access_key: String::new(),
        via: Vec::new(),
        source_arn: None,
    };
    Ok((Arc::new(caller), default_region(head), Verified { buffered: buffered.cloned(), stream }))
}

/// The region of a request that names none in its signature.
fn default_region(head: &Head) -> Region {
    head.address.region.clone().unwrap_or_else(|| Region::from("us-east-1"))
}

/// The credential scope must be of a region that exists, of this service, and of the host's region if it names one.
fn scope_agrees(head: &Head, service: &Service, signing_name: &str, region: &str) -> Result<Region> {
    if signing_name != service.signing_name {
        let text = format!("Credential should be scoped to correct service: '{}'.", service.signing_name);
        return Err(AwsError::new(403, "SignatureDoesNotMatch", text));
    }
    let known = addressing::is_region(region);
    let agrees = head.address.region.as_ref().is_none_or(|named| named.as_str() == region);
    if !known || !agrees {
        let text = match &head.address.region {
            Some(named) => format!("Credential should be scoped to a valid region, not '{region}'. Expected '{named}'."),
            None => "Credential should be scoped to a valid region.".to_owned(),
        };
        return Err(AwsError::new(403, "SignatureDoesNotMatch", text));
    }
    Ok(Region::from(region))
}

fn check_token(identity: &Identity, given: Option<&str>, now: Timestamp) -> Result<()> {
    match (&identity.token, given) {
        (None, None) => Ok(()),
        (Some(token), Some(given)) if tenantry_sigv4::constant_time_eq(token.expose().as_bytes(), given.as_bytes()) => {
            match identity.expires {
                Some(expires) if expires <= now => {
                    Err(AwsError::new(403, "ExpiredToken", "The security token included in the request is expired"))
                }
                _ => Ok(()),
            }
        }
        _ => Err(invalid_token()),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}
