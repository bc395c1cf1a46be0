//! Studio's control plane: domains, user profiles, spaces, apps, lifecycle configurations, and the links
//! that sign a user in.
//!
//! A domain holds profiles and spaces, these hold apps. A profile is a person: its tags decide who may ask for
//! a link to it ([`presign`]), its execution role is what the person's session acts as ([`session`]), and with
//! `ExecutionRoleIdentityConfig` of the domain that session carries the profile's name as its source identity.
//!
//! Everything settles by a reconciler ([`settle`]): made and changed things are `Pending` or `Updating` until its
//! step, what is deleted goes by its step too, and only if nothing hangs on it.
//!
//! What it does not do:
//! - **Applications.** An app is `InService` only if something serves it. Nothing does, so an app ends `Failed`
//!   and says so.
//! - **Networks.** EC2 is not served: the ids of a VPC, its subnets and security groups are checked for their form and kept, and
//!   nothing is promised of them, for nothing runs in them.
//! - **File systems.** None is made, so no answer has a `HomeEfsFileSystemId`.
//! - **Keys.** `KmsKeyId` is refused, for what is kept would not be encrypted under it.
//! - **IAM Identity Center.** A domain with `AuthMode` `SSO` keeps which user a profile is, and has no links:
//!   nobody signs in to it here.

mod app;
mod domain;
mod domain_record;
mod lifecycle;
mod page;
mod presign;
mod profile;
mod record;
mod session;
mod settings;
mod settle;
mod space;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use tenantry_core::{Arn, Scope};
use tenantry_kernel::{OperationRow, Reconciler};
use tenantry_store::Kind;

use crate::names;

pub use page::Studio;
pub use session::session_of;

/// A domain; id: the domain's id.
pub(crate) const DOMAIN: Kind = Kind::new("sagemaker.domain");
/// A user profile; id: `<domain>/<name in lower case>`, parent: the domain.
pub(crate) const PROFILE: Kind = Kind::new("sagemaker.user-profile");
/// A space; id: `<domain>/<name in lower case>`, parent: the domain.
pub(crate) const SPACE: Kind = Kind::new("sagemaker.space");
/// An app; id: what its ARN says behind `app/`, parent: the domain.
pub(crate) const APP: Kind = Kind::new("sagemaker.app");
/// A lifecycle configuration; id: name in lower case.
pub(crate) const LIFECYCLE: Kind = Kind::new("sagemaker.studio-lifecycle-config");

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    [domain::table(), profile::table(), space::table(), app::table(), lifecycle::table(), presign::table()].concat()
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers() -> Vec<Arc<dyn Reconciler>> {
    vec![Arc::new(settle::Domains), Arc::new(settle::Profiles), Arc::new(settle::Spaces), Arc::new(settle::Apps), Arc::new(token::Expiry)]
}

/// `domain/<id>`.
fn domain_arn(scope: &Scope, domain: &str) -> Arn {
    names::arn(scope, "domain", domain)
}

/// `user-profile/<domain>/<name>`.
fn profile_arn(scope: &Scope, domain: &str, name: &str) -> Arn {
    names::arn(scope, "user-profile", &format!("{domain}/{name}"))
}

/// `space/<domain>/<name>`.
fn space_arn(scope: &Scope, domain: &str, name: &str) -> Arn {
    names::arn(scope, "space", &format!("{domain}/{name}"))
}

/// An app's ARN as AWS writes it: lower case but for the type of the app. `rest` is `<domain>/<owner>/<type>/<name>`.
#[must_use]
pub(crate) fn app_arn(scope: &Scope, rest: &str) -> Arn {
    let parts: Vec<String> =
        rest.split('/').enumerate().map(|(at, part)| if at == 2 { part.to_owned() } else { part.to_lowercase() }).collect();
    Arn::new("sagemaker", scope.region.as_str(), scope.account.as_str(), format_args!("app/{}", parts.join("/")))
}

/// The address of a domain.
fn url(scope: &Scope, domain: &str) -> String {
    format!("https://{domain}.studio.{}.sagemaker.aws", scope.region)
}
