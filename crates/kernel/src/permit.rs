//! Proof that a call was authorized. Only `authorize` makes one; a handler cannot be reached without.

use std::marker::PhantomData;

use tenantry_core::{AccountId, Arn, Region, Scope, Timestamp};

use crate::{access::Checks, operation::Operation};

/// That this call of `O` was allowed on these resources. Not `Clone`, not constructible outside the kernel.
pub struct Permit<O> {
    scope: Scope,
    checks: Checks,
    _of: PhantomData<fn() -> O>,
}

impl<O: Operation> Permit<O> {
    pub(crate) fn grant(scope: Scope, checks: Checks) -> Self {
        Self { scope, checks, _of: PhantomData }
    }

    /// The account and region that the call acts in: the owner of the first resource, the request's region.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
    /// The same account's rows that have no region.
    #[must_use]
    pub fn global(&self) -> Scope {
        Scope { account: self.scope.account.clone(), region: Region::global() }
    }
    /// The owning account of the first resource.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.scope.account
    }
    /// When an MFA code that came with this call was found good, as `resolve` says.
    #[must_use]
    pub fn mfa(&self) -> Option<Timestamp> {
        self.checks.first().and_then(|check| check.mfa)
    }
    /// The ARN of the first resource that was checked, as `resolve` named it; `None` for `*`.
    #[must_use]
    pub fn resource(&self) -> Option<&Arn> {
        self.checks.first().and_then(|check| check.resource.as_ref())
    }
}
