//! What an operation sees of the world: the kernel's parts, its caller, its request.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, sync::Mutex};

use tenantry_core::{AccountId, Arn, Region, Scope, Tag, Timestamp};
use tenantry_policy::Principal;

use crate::{
    audit::Trail,
    body::Body,
    credential::{Admission, Claims},
    directory::Session,
    kernel::Kernel,
};

/// An authenticated principal.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As policies see it.
    pub principal: Principal,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its ARN: the session's for sessions. For services the service principal's name.
    pub arn: String,
    /// `aws:userid`.
    pub user_id: String,
    /// `aws:username`: IAM users only.
    pub user_name: Option<String>,
    /// Principal tags.
    pub tags: Vec<Tag>,
    /// Its temporary credentials, if they are.
    pub session: Option<Arc<Session>>,
    /// The access key id that signed; empty for internal callers.
    pub access_key: String,
    /// Services that forwarded the call, first to last: `aws:CalledVia`.
    pub via: Vec<String>,
    /// For service principals: the resource that caused the call.
    pub source_arn: Option<Arn>,
}

impl Caller {
    /// The same principal when `service` calls another service on its behalf ("Forward access sessions", IAM User Guide):
    /// `aws:ViaAWSService` is true and `aws:CalledVia` has the service. Not for work under a service's own role session.
    #[must_use]
    pub fn forwarded(&self, service: &str) -> Self {
        let mut caller = self.clone();
        caller.via.push(service.to_owned());
        caller
    }
}

/// Where a call came from inside the instance's own networks. Only the broker makes one; never a header.
#[derive(Debug, Clone, Default)]
pub struct NetworkOrigin {
    /// `aws:SourceVpc`.
    pub vpc: Option<String>,
    /// `aws:SourceVpce`.
    pub vpc_endpoint: Option<String>,
    /// `aws:VpcSourceIp`.
    pub vpc_source_ip: Option<IpAddr>,
}

/// Where the signature of a request was, and which: S3 has condition keys of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedAs {
    /// In the `Authorization` header.
    Header,
    /// In the query.
    Query,
    /// In the query, version 2.
    QueryV2,
    /// Under the policy of a browser's form, at this time.
    Form(Timestamp),
    /// Under the policy of a browser's form, version 2.
    FormV2,
}

/// The request as it arrived, where authorization or answers need it.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// `x-amzn-RequestId`, and the id that `explain` takes.
    pub id: String,
    /// When it arrived.
    pub time: Timestamp,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
    /// `aws:UserAgent`.
    pub user_agent: String,
    /// `aws:Referer`.
    pub referer: Option<String>,
    /// `aws:SecureTransport`.
    pub secure: bool,
    /// The version of TLS, where the client itself used it: `1.3`.
    pub tls: Option<&'static str>,
    /// Set by the broker for calls out of a sandbox.
    pub network: Option<NetworkOrigin>,
    /// `http://127.0.0.1:4566`: how the client addressed the instance, for URLs in answers.
    pub base_url: String,
    /// Lower-cased headers, for the operations that take more than their model says (streaming uploads, conditions).
    pub headers: BTreeMap<String, String>,
    /// Decoded query parameters in order.
    pub query: Vec<(String, String)>,
    /// How it was signed. Says nothing of anonymous requests.
    pub signed: SignedAs,
}

impl RequestInfo {
    /// The request of a call that did not arrive by HTTP; `agent` is who made it.
    #[must_use]
    pub fn internal(now: Timestamp, agent: &str) -> Self {
        Self {
            id: crate::clock::Ids::uuid(),
            time: now,
            source_ip: None,
            user_agent: agent.to_owned(),
            referer: None,
            secure: true,
            tls: None,
            network: None,
            base_url: String::new(),
            headers: BTreeMap::new(),
            query: Vec::new(),
            signed: SignedAs::Header,
        }
    }
}

/// One call.
pub struct Cx {
    /// The kernel: store, blobs, clock, other operations.
    pub kernel: Kernel,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The region that the request names.
    pub region: Region,
    /// The request.
    pub request: RequestInfo,
    /// The operation that runs: `SERVICE`, `NAME`.
    pub operation: (&'static str, &'static str),
    pub(crate) body: Mutex<Option<Body>>,
    pub(crate) claims: Option<Claims>,
    pub(crate) trail: Arc<Trail>,
}

impl Cx {
    /// What the credential of the input says, as `admit` verified it. `None` for calls that are proven by their signature.
    #[must_use]
    pub fn claims<T: std::any::Any>(&self) -> Option<&T> {
        self.claims.as_ref()?.downcast_ref()
    }
    /// The same call, made by whom a credential of its input speaks for.
    pub(crate) fn admitted(&self, admission: Admission) -> Self {
        self.trail.speaks(&admission.caller);
        Self {
            kernel: self.kernel.clone(),
            caller: Arc::new(admission.caller),
            region: self.region.clone(),
            request: self.request.clone(),
            operation: self.operation,
            body: Mutex::new(self.take_body()),
            claims: Some(admission.claims),
            trail: Arc::clone(&self.trail),
        }
    }
    /// The streaming payload. `None` when it was taken before, or the operation has none.
    pub fn take_body(&self) -> Option<Body> {
        self.body.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
    /// The caller's account in the request's region: for `resolve`. Handlers take the permit's scope.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { account: self.caller.account.clone(), region: self.region.clone() }
    }
    /// The caller's global scope: for `resolve`.
    #[must_use]
    pub fn global(&self) -> Scope {
        Scope::global(self.caller.account.clone())
    }
    /// `arn:aws:<service>:<region>:<caller's account>:<resource>`.
    #[must_use]
    pub fn arn(&self, service: &str, resource: impl std::fmt::Display) -> Arn {
        Arn::new(service, self.region.as_str(), self.caller.account.as_str(), resource)
    }
    /// `arn:aws:<service>::<caller's account>:<resource>`.
    #[must_use]
    pub fn global_arn(&self, service: &str, resource: impl std::fmt::Display) -> Arn {
        Arn::new(service, "", self.caller.account.as_str(), resource)
    }
    /// This instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.kernel.now()
    }
}
