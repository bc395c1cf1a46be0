//! Where the credential of a call is: in its signature, or in its input.
//!
//! `AssumeRoleWithSAML` and `AssumeRoleWithWebIdentity` are called by people who have no keys yet: what
//! proves them is an assertion or a token among the input's members. Such an operation says so
//! ([`Credential::Input`]), and its `admit` turns the verified credential into a caller before anything
//! is resolved. What can come of that is a provider's principal and nothing else, so that a mistake in a
//! service makes nobody a user or an administrator; what the caller may do is then decided where
//! everything is decided.

use std::{any::Any, sync::Arc};

use tenantry_core::AccountId;
use tenantry_policy::Principal;

use crate::cx::Caller;

/// Where the credential of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// In the request's signature.
    Signature,
    /// Among the members of the input: the request need not be signed. The reason stands in the golden file.
    Input(&'static str),
}

/// A credential of the input, verified: whom it speaks for, and what it says.
pub struct Admission {
    pub(crate) caller: Caller,
    pub(crate) claims: Claims,
}

/// What a verified credential says, as the operation that verified it has it.
pub(crate) type Claims = Arc<dyn Any + Send + Sync>;

impl Admission {
    /// Somebody vouched for by `provider` (the ARN of a SAML or OpenID Connect provider of `account`), shown in the
    /// audit as `shown`; `user_id` is what the provider calls them. `resolve` and `handle` get `claims` back from
    /// [`crate::Cx::claims`].
    #[must_use]
    pub fn provider<T: Any + Send + Sync>(provider: &str, account: AccountId, shown: String, user_id: String, claims: T) -> Self {
        let caller = Caller {
            principal: Principal::provider(provider, &shown),
            account,
            arn: shown,
            user_id,
            user_name: None,
            tags: Vec::new(),
            session: None,
            access_key: String::new(),
            via: Vec::new(),
            source_arn: None,
        };
        Self { caller, claims: Arc::new(claims) }
    }
}
